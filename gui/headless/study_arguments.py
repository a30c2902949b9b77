"""The words of ``main.py study``, and what they come to. Imports nothing that takes time."""

from __future__ import annotations

import argparse
from pathlib import Path

_DEVICES = ("auto", "cpu", "cuda", "mps")
_DTYPES = ("auto", "float32", "bfloat16", "float16")
_WHATS = ("kshot", "position", "heads", "emergence", "ladder")
_AXES = ("parameters", "compute", "steps")
_METRICS = ("exact_match", "edit_distance", "brier", "logprob")
_CORPUS = "texts, tables (csv, tsv, jsonl) or folders of them; `samples` for the program's own"


def add_study(study: argparse.ArgumentParser) -> None:
    """Add what stands behind ``study``."""
    whats = study.add_subparsers(dest="what", metavar=" | ".join(_WHATS), required=True)
    kshot = whats.add_parser("kshot", help="how well a task is done after k examples of it")
    kshot.add_argument("--task", required=True, metavar="NAME|FILE", help="see resources/tasks")
    kshot.add_argument(
        "--k", type=_numbers, default=(0, 1, 2, 4, 8), metavar="N,…", help="numbers of examples"
    )
    kshot.add_argument(
        "--seeds", type=_count, default=3, metavar="N", help="draws of examples and queries"
    )
    kshot.add_argument(
        "--queries", type=_count, metavar="N", help="asked in each; half of the task's examples"
    )
    kshot.add_argument(
        "--instruction", action=argparse.BooleanOptionalAction, default=True,
        help="begin with the task's instruction",
    )  # fmt: skip
    kshot.add_argument(
        "--shuffled", action=argparse.BooleanOptionalAction, default=True,
        help="the control whose examples have answers drawn by chance",
    )  # fmt: skip
    position = whats.add_parser("position", help="loss by position over long texts")
    heads = whats.add_parser("heads", help="which heads look back, and what they are worth")
    for parser, texts in ((position, 32), (heads, 8)):
        # As `texts`: `--text` before the command is another thing.
        parser.add_argument(
            "--text", dest="texts", type=Path, nargs="+", default=[], metavar="FILE",
            help="long texts in UTF-8",
        )  # fmt: skip
        parser.add_argument(
            "--corpus", type=Path, nargs="+", default=[], metavar="PATH", help=_CORPUS
        )
        parser.add_argument("--early", type=_count, default=50, metavar="N", help="first position")
        parser.add_argument("--late", type=_count, default=500, metavar="N", help="second position")
        parser.add_argument(
            "--around", type=_whole, default=0, metavar="N",
            help="take the mean over as many positions on either side too",
        )  # fmt: skip
        parser.add_argument(
            "--texts", dest="most", type=_count, default=texts, metavar="N",
            help="most passages that are read",
        )  # fmt: skip
    heads.add_argument("--sequences", type=_count, default=8, metavar="N", help="random texts")
    heads.add_argument("--period", type=_count, default=50, metavar="N", help="of the repetition")
    heads.add_argument("--top", type=_whole, default=5, metavar="N", help="heads to switch off")
    heads.add_argument(
        "--ablation", choices=("zero", "mean"), default="zero", help="what they hand on instead"
    )
    heads.add_argument("--seed", type=_whole, default=0, metavar="N", help="of the random tokens")
    emergence = whats.add_parser("emergence", help="abilities against size, compute or steps")
    _add_emergence(emergence)
    ladder = whats.add_parser("ladder", help="train and measure the models of the shipped ladder")
    ladder.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of its runs")
    ladder.add_argument("--json", action="store_true", help="one JSON object a line")
    for parser in (kshot, position, heads, emergence):
        # Given before the command or after it; what stands after must not be undone by a default.
        if parser is not emergence:
            parser.add_argument("--model", default=argparse.SUPPRESS, help="as for the window")
        parser.add_argument("--device", choices=_DEVICES, default=argparse.SUPPRESS)
        parser.add_argument("--dtype", choices=_DTYPES, default=argparse.SUPPRESS)
        parser.add_argument("--out", type=Path, metavar="FILE", help="its suffix picks the format")
        parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(given: argparse.Namespace) -> int:
    """Do what was asked for."""
    from gui.headless import study

    if given.what in ("emergence", "ladder"):
        from gui.headless import emergence

        return {"emergence": emergence.emergence, "ladder": emergence.ladder}[given.what](given)
    return {"kshot": study.kshot, "position": study.position, "heads": study.heads}[given.what](
        given
    )


def _add_emergence(emergence: argparse.ArgumentParser) -> None:
    emergence.add_argument(
        "--models", nargs="+", default=[], metavar="MODEL",
        help="as for the window, revisions too (owner/name@step1000); folders of lab train, with "
        "all their checkpoints; tables (.jsonl) measured before. The shipped ladder if left out",
    )  # fmt: skip
    emergence.add_argument(
        "--task", default="", metavar="NAME|FILE",
        help="of a table or of runs: which one is told; of other models: see resources/tasks, or "
        "repeat (if left out), random tokens shown twice",
    )  # fmt: skip
    emergence.add_argument("--against", choices=_AXES, help="the axis; steps, where they are known")
    emergence.add_argument("--metric", choices=_METRICS, default="exact_match", help="that jumps")
    emergence.add_argument(
        "--beside", choices=_METRICS, default="edit_distance", help="that does not, beside it"
    )
    emergence.add_argument(
        "--k", type=_whole, default=4, metavar="N", help="examples before a query of a task"
    )
    emergence.add_argument(
        "--seeds", type=_count, default=2, metavar="N", help="draws of examples and queries"
    )
    emergence.add_argument(
        "--scale", type=int, choices=(1, 2, 3, 4), default=2, help="of a PNG, in pixels"
    )
    emergence.add_argument("--queries", type=_count, metavar="N", help="asked in each draw")
    emergence.add_argument(
        "--rows", type=_count, default=256, metavar="N", help="rows of runs and of random tokens"
    )


def _whole(given: str) -> int:
    number = int(given)
    if number < 0:
        raise ValueError
    return number


def _count(given: str) -> int:
    number = _whole(given)
    if number < 1:
        raise ValueError
    return number


def _numbers(given: str) -> tuple[int, ...]:
    return tuple(sorted({_whole(part) for part in given.split(",")}))
