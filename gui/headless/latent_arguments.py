"""The words of ``main.py latent``, and what they come to. Imports nothing that takes time."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

_DEVICES = ("auto", "cpu", "cuda", "mps")
_CORPUS = "texts, tables (csv, tsv, jsonl) or folders of them; `samples` for the program's own"
# Long names of options, by the field of engine.latent.training.Settings they set. Defaults are
# there, not here: torch need not be loaded to say what a word means.
_SETTINGS = (
    ("z", "latent", int, "latent dimensions"),
    ("beta", "beta", float, "weight of the KL term; 1 is the evidence bound"),
    ("warm-up", "warm_up", float, "share of all steps over which β grows from 0"),
    ("free-bits", "free_bits", float, "nats a unit below which its KL is not pressed"),
    ("width", "hidden", int, "width of the hidden layers"),
    ("dropout", "dropout", float, "share of its input that the encoder does not see"),
    ("noise", "noise", float, "standard deviation of noise on what the encoder sees"),
    ("picture", "picture", float, "share of states rebuilt from the first two dimensions alone"),
    ("epochs", "epochs", int, "passes over the states"),
    ("batch", "batch", int, "states a step"),
    ("rate", "rate", float, "learning rate at its highest"),
    ("decay", "decay", float, "decay of the hidden layers' weights"),
    ("seed", "seed", int, "the same seed gives the same weights on the same device"),
)
_CUTTING = (
    ("tokens", "tokens", int, "token states to collect, about"),
    ("sentences", "sentences", int, "most sentence states to collect"),
    ("length", "length", int, "tokens of a passage, and most of a sentence"),
    ("share", "share", float, "share of each text that is read, from its beginning"),
)
_SAMPLING = (
    ("texts-per-prompt", "texts", int, "texts the model writes for each prompt"),
    ("text-length", "tokens", int, "most tokens of each"),
    ("temperature", "temperature", float, "0 takes the likeliest token, 1 draws as the model says"),
)


def add_latent(latent: argparse.ArgumentParser) -> None:
    """Add what stands behind ``latent``."""
    actions = latent.add_subparsers(dest="action", metavar="train | list | evaluate", required=True)
    train = actions.add_parser("train", help="train a space of a model's states on texts")
    _add_input(train, corpus=False)
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="the space's file")
    train.add_argument("--states", choices=("tokens", "mean", "last"), default="tokens")
    train.add_argument("--prompts", type=Path, metavar="FILE", help="the model goes on from lines")
    train.add_argument("--resume", action="store_true", help="go on from the last epoch kept")
    _add_numbers(train, _SETTINGS + _CUTTING + _SAMPLING)
    listing = actions.add_parser("list", help="the spaces there are")
    evaluate = actions.add_parser("evaluate", help="measure a space on texts it has not seen")
    evaluate.add_argument("space", metavar="SPACE", help="a file, or a name of the list")
    _add_input(evaluate, corpus=True)
    _add_numbers(evaluate, _CUTTING)
    for action in (train, listing, evaluate):
        action.add_argument("--json", action="store_true", help="one JSON object a line")


def run(given: argparse.Namespace) -> int:
    """Do what was asked for."""
    from gui.headless import latent

    if given.action == "list":
        return latent.list_spaces(given.json)
    cutting = _given(given, _CUTTING)
    if given.action == "evaluate":
        wanted = latent.Evaluation(
            space=given.space,
            corpus=tuple(given.corpus),
            model=given.model,
            device=given.device or "auto",
            layer=given.layer,
            label=given.label,
            cutting=cutting,
        )
        return latent.evaluate(wanted, given.json)
    order = latent.Training(
        model=given.model,
        corpus=tuple(given.corpus),
        out=given.out,
        device=given.device or "auto",
        settings=_given(given, _SETTINGS),
        cutting=cutting,
        sampling=_given(given, _SAMPLING),
        prompts=given.prompts,
        label=given.label,
        layer=given.layer,
        states=given.states,
        resume=given.resume,
        command=_said(sys.argv[1:]),
    )
    return latent.train(order, given.json)


def _add_input(parser: argparse.ArgumentParser, corpus: bool) -> None:
    # Given before the command or after it; what stands after must not be undone by a default.
    parser.add_argument("--model", default=argparse.SUPPRESS, help="as for the window")
    parser.add_argument("--device", choices=_DEVICES, default=argparse.SUPPRESS)
    parser.add_argument("--layer", type=int, metavar="N", help="0 to L; the middle if left out")
    parser.add_argument(
        "--corpus", type=Path, nargs="+", required=corpus, default=[], metavar="PATH", help=_CORPUS
    )
    parser.add_argument("--label", metavar="COLUMN", help="the column of tables that is the label")


def _add_numbers(
    parser: argparse.ArgumentParser, options: tuple[tuple[str, str, type, str], ...]
) -> None:
    for word, _, kind, meaning in options:
        name = "X" if kind is float else "N"
        parser.add_argument(f"--{word}", type=kind, metavar=name, help=meaning)


def _given(
    given: argparse.Namespace, options: tuple[tuple[str, str, type, str], ...]
) -> dict[str, float | int]:
    """What was said, by field; what was not is left to the field's default."""
    said = {field: getattr(given, word.replace("-", "_")) for word, field, _, _ in options}
    return {field: value for field, value in said.items() if value is not None}


def _said(words: list[str]) -> str:
    """The command to repeat this with. That it was resumed changes nothing."""
    return shlex.join(
        ["python", "main.py", *(word for word in words if word not in ("--resume", "--json"))]
    )
