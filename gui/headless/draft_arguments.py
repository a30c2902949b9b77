"""The words of ``main.py sentences``, and what they come to. Imports nothing that takes time."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from engine.latent.draft_values import STEPS, Wish

_DEVICES = ("auto", "cpu", "cuda", "mps")
_CORPUS = "texts, tables (csv, tsv, jsonl) or folders of them"
# By the field of engine.latent.draft_training.Settings they set, whose defaults are there.
_SETTINGS = (
    ("z", "latent", int, "latent dimensions"),
    ("beta", "beta", float, "weight of the KL term"),
    ("warm-up", "warm_up", float, "share of all steps over which β grows from 0"),
    ("free-bits", "free_bits", float, "nats a unit below which its KL is not pressed"),
    ("epochs", "epochs", int, "passes over the sentences"),
    ("batch", "batch", int, "sentences a step"),
    ("rate", "rate", float, "learning rate at its highest"),
    ("seed", "seed", int, "the same seed gives the same weights on the same machine"),
)


def add_sentences(parser: argparse.ArgumentParser) -> None:
    """Add what stands behind ``sentences``."""
    actions = parser.add_subparsers(
        dest="action", metavar="train | evaluate | write", required=True
    )
    train = actions.add_parser("train", help="train a space of short sentences that writes")
    train.add_argument("--corpus", type=Path, nargs="+", default=[], metavar="PATH", help=_CORPUS)
    train.add_argument("--label", metavar="COLUMN", help="the column of tables that is the label")
    train.add_argument(
        "--templates", type=int, default=0, metavar="N", help="sentences made by rules, beside"
    )
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="the space's file")
    train.add_argument("--resume", action="store_true", help="go on from the last epoch kept")
    for word, _, kind, meaning in _SETTINGS:
        name = "N" if kind is int else "X"
        train.add_argument(f"--{word}", type=kind, metavar=name, help=meaning)
    evaluate = actions.add_parser("evaluate", help="measure a space on texts it has not seen")
    evaluate.add_argument(
        "--corpus", type=Path, nargs="+", required=True, metavar="PATH", help=_CORPUS
    )
    evaluate.add_argument("--label", metavar="COLUMN", help="as for train")
    write = actions.add_parser("write", help="write sentences from points")
    way = write.add_mutually_exclusive_group(required=True)
    way.add_argument("--here", metavar="SENTENCE", help="the sentence, written back")
    way.add_argument("--between", nargs=2, metavar="SENTENCE", help="from one to the other")
    way.add_argument("--along", metavar="SENTENCE", help="along --dimension, through it")
    way.add_argument("--analogy", nargs=3, metavar="SENTENCE", help="a − b + c")
    way.add_argument("--prior", action="store_true", help="draws from N(0, I), with --seed")
    write.add_argument("--dimension", type=int, default=0, metavar="N", help="from 0")
    write.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws")
    write.add_argument("--steps", type=int, default=STEPS, metavar="N", help="points of a walk")
    for action in (train, evaluate, write):
        # Given before the command or after it; what stands after must not be undone by a default.
        action.add_argument("--model", default=argparse.SUPPRESS, help="as for the window")
        action.add_argument("--device", choices=_DEVICES, default=argparse.SUPPRESS)
        action.add_argument("--json", action="store_true", help="one JSON object a line")
    for action in (evaluate, write):
        action.add_argument(
            "--space", type=Path, metavar="FILE", help="the model's own if left out"
        )


def run(given: argparse.Namespace) -> int:
    """Do what was asked for."""
    from gui.headless import drafts

    device = given.device or "auto"
    if given.action == "train":
        settings = {
            field: getattr(given, word.replace("-", "_")) for word, field, _, _ in _SETTINGS
        }
        order = drafts.Training(
            model=given.model,
            device=device,
            corpus=tuple(given.corpus),
            label=given.label,
            templates=given.templates,
            out=given.out,
            settings={name: value for name, value in settings.items() if value is not None},
            resume=given.resume,
            command=shlex.join(
                ["python", "main.py", *(w for w in sys.argv[1:] if w not in ("--resume", "--json"))]
            ),
        )
        return drafts.train(order, given.json)
    if given.action == "evaluate":
        corpus = tuple(given.corpus)
        return drafts.evaluate(given.model, device, given.space, corpus, given.label, given.json)
    return drafts.write(given.model, device, given.space, _wish(given), given.json)


def _wish(given: argparse.Namespace) -> Wish:
    more = {"dimension": given.dimension, "seed": given.seed, "steps": max(2, given.steps)}
    if given.here is not None:
        return Wish("here", (given.here,), **more)
    if given.between is not None:
        return Wish("between", tuple(given.between), **more)
    if given.along is not None:
        return Wish("dimension", (given.along,), **more)
    if given.analogy is not None:
        return Wish("analogy", tuple(given.analogy), **more)
    return Wish("prior", (), **more)
