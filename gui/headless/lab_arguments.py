"""The words of ``main.py lab``, and what they come to. Imports nothing that takes time."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

_ARCHS = ("transformer", "lstm")
_TASKS = ("repeat", "recall", "addition", "text")
# By the field of engine.lab.settings.Settings, or of a task's options, that they set. Defaults are
# there, not here, and differ by task: what was seen to be learnt in minutes.
_NUMBERS = (
    ("layers", "layers", int, "blocks, or layers of the LSTM"),
    ("heads", "heads", int, "attention heads of each block"),
    ("width", "width", int, "dimensions of a state"),
    ("mlp", "inner", int, "width of the hidden layer of each block's MLP; 0 is attention alone"),
    ("steps", "steps", int, "updates of the weights"),
    ("batch", "batch", int, "rows of an update"),
    ("rate", "rate", float, "learning rate at its highest"),
    ("decay", "decay", float, "decay of matrices"),
    ("clip", "clip", float, "length that gradients are clipped to"),
    ("check-every", "check_every", int, "updates between two points of the curves"),
    ("seed", "seed", int, "the same seed gives the same weights on the same machine"),
    ("vocabulary", "vocabulary", int, "repeat: different tokens; text: entries of a BPE"),
    ("length", "length", int, "repeat and text: tokens of a row"),
    ("shortest", "shortest", int, "repeat: tokens of the shortest span"),
    ("pairs", "pairs", int, "recall: pairs listed in a row"),
    ("digits", "digits", int, "addition: digits of each number"),
)


def add_lab(lab: argparse.ArgumentParser) -> None:
    """Add what stands behind ``lab``."""
    actions = lab.add_subparsers(dest="action", metavar="train | evaluate", required=True)
    train = actions.add_parser("train", help="train a small model; goes on where it was stopped")
    train.add_argument("--arch", choices=_ARCHS, required=True)
    train.add_argument("--task", choices=_TASKS, required=True, help="what it is to learn")
    train.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the run's folder")
    train.add_argument(
        "--positions", choices=("rotary", "learned"), help="how a transformer knows positions"
    )
    train.add_argument(
        "--tokens", choices=("characters", "bpe"), help="text: what a token is; characters"
    )
    for word, _, kind, meaning in _NUMBERS:
        name = "X" if kind is float else "N"
        train.add_argument(f"--{word}", type=kind, metavar=name, help=meaning)
    train.add_argument(
        "--threads", type=int, default=1, metavar="N", help="cores; 1, as small models gain little"
    )
    evaluate = actions.add_parser("evaluate", help="measure a model on what it has not learnt from")
    evaluate.add_argument("folder", type=Path, metavar="FOLDER", help="what lab train has written")
    evaluate.add_argument(
        "--out", type=Path, metavar="FILE", help="save it; its suffix picks the format"
    )
    for action in (train, evaluate):
        action.add_argument(
            "--corpus",
            type=Path,
            nargs="+",
            default=[],
            metavar="FILE",
            help="text: files, folders",
        )
        action.add_argument("--json", action="store_true", help="one JSON object a line")


def run(given: argparse.Namespace) -> int:
    """Do what was asked for."""
    from gui.headless import lab

    if given.action == "evaluate":
        return lab.evaluate(given.folder, tuple(given.corpus), given.json, given.out)
    said = {field: getattr(given, word.replace("-", "_")) for word, field, _, _ in _NUMBERS}
    said |= {"positions": given.positions, "tokens": given.tokens}
    order = lab.Training(
        arch=given.arch,
        task=given.task,
        out=given.out,
        corpus=tuple(given.corpus),
        said={name: value for name, value in said.items() if value is not None},
        threads=given.threads,
        command=shlex.join(["python", "main.py", *(w for w in sys.argv[1:] if w != "--json")]),
    )
    return lab.train(order, given.json)
