"""Parse the command line, then open the window or run a headless command; nothing else."""

from __future__ import annotations

import argparse
import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import gui.figures
from engine.errors import UserError
from engine.heap import share_one_heap
from engine.types import Dtype, LatentPlane
from gui.headless import draft_arguments, lab_arguments, latent_arguments, study_arguments
from gui.headless.console import guarded
from gui.headless.text import SENTENCE, given_text

DEVICES = ("auto", "cpu", "cuda", "mps")
BENCH_EDITS = ("append", "middle", "paste", "layer", "head", "fresh")
BENCH_TOKENS = (64, 256, 512, 1024, 2048)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns
    -------
    int
        0 done, 1 failed, 130 interrupted. Wrong usage leaves with 2 through `SystemExit`.
    """
    # Must stand before torch is loaded. A thread of a product stays awake for the next one for some
    # tenths of a millisecond, longer than a step leaves between two: on a virtual machine waking it
    # costs more than the product. Staying awake for good would take a core from the window.
    os.environ.setdefault("GOMP_SPINCOUNT", "100000")
    # numpy's own threads do stay awake: after the two components of a picture had been found, the
    # next step's products took twice as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # oneDNN keeps a compiled loop for each shape it has met, a thousand of them: after texts of
    # 1,200 lengths the process held 1.2 GB more. What a key needs are a few.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    share_one_heap()  # before there is another thread
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.text is not None and arguments.text_file is not None:
        # One before the command and one after it: argparse looks at each place by itself.
        parser.error("argument --text-file: not allowed with argument --text")
    return guarded(lambda: _dispatch(arguments))


def _dispatch(given: argparse.Namespace) -> int:
    # Each branch imports what it alone needs: a table of models must not wait for torch, nor a
    # machine without a display for Qt.
    if given.command == "models":
        from gui.headless import models

        return models.get(given.name) if given.action == "get" else models.show()
    if given.command == "bench":
        return _bench(given)
    if given.command == "latent":
        return latent_arguments.run(given)
    if given.command == "sentences":
        return draft_arguments.run(given)
    if given.command == "lab":
        return lab_arguments.run(given)
    if given.command == "study":
        return study_arguments.run(given)
    text = given_text(given.text, given.text_file)
    if given.command == "export":
        from gui.headless import export

        return export.run(
            export.Order(
                view=given.view,
                out=given.out,
                text=SENTENCE if text is None else text,
                model=given.model,
                target=given.target,
                layer=given.layer,
                head=given.head,
                kind=given.kind,
                scaling=given.scaling,
                scale=given.scale,
                device=given.device or "auto",
                dtype=given.dtype or "auto",
                chat=bool(given.chat),
                context=given.context,
                other_model=given.other_model,
                task=given.task,
                k=given.k,
                seed=given.seed,
                plane=given.plane,
                states=given.states,
                by_label=given.by_label,
            )
        )
    return _window(given, text)


def _bench(given: argparse.Namespace) -> int:
    if given.what == "start":
        from gui.bench import start

        return start.run(given.repeats, as_json=given.json)
    if given.what == "soak":
        from gui.bench import soak

        order = soak.Plan(given.model, given.device or "auto", given.edits, given.seed)
        return soak.run(order, as_json=given.json)
    from gui.bench import typing

    plan = typing.Plan(
        given.model, given.device or "auto", given.tokens, given.edits, given.repeats
    )
    return typing.run(plan, as_json=given.json)


def _window(given: argparse.Namespace, text: str | None) -> int:
    from gui.headless.display import require_display

    require_display()
    try:
        from gui.app import run
    except ImportError as error:  # a library of the system that Qt needs, mostly
        raise UserError(
            "Cannot open the window",
            f"a part of it cannot be loaded ({error})",
            "Install what README.md names for your system",
        ) from error
    return run(
        model=given.model, text=text, device=given.device, dtype=given.dtype, chat=given.chat
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="main.py", description="Type a context and see the inside of a language model."
    )
    _add_input(parser)
    # Given before the command or after it; what stands after must not be undone by a default.
    commands = parser.add_subparsers(
        dest="command", metavar="models | export | bench | latent | sentences | lab | study"
    )
    models = commands.add_parser("models", help="list the models that can be opened by name")
    actions = models.add_subparsers(dest="action", metavar="get")
    get = actions.add_parser("get", help="bring a model to this machine")
    get.add_argument("name", metavar="NAME")
    _add_export(commands.add_parser("export", help="save a view as a picture or as numbers"))
    _add_bench(commands.add_parser("bench", help="measure what the program costs on this machine"))
    about = "train latent spaces of a model's states, list them, measure them"
    latent_arguments.add_latent(commands.add_parser("latent", help=about))
    about = "train a space of short sentences that writes, measure it, write from it"
    draft_arguments.add_sentences(commands.add_parser("sentences", help=about))
    lab_arguments.add_lab(commands.add_parser("lab", help="train small models, measure them"))
    about = "measure how a model learns from its context"
    study_arguments.add_study(commands.add_parser("study", help=about))
    return parser


def _add_input(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add what both the window and an export take."""
    parser.add_argument(
        "--model", default=default, help="a name of the list, an id on the hub, a folder or a file"
    )
    text = parser.add_mutually_exclusive_group()
    text.add_argument("--text", default=default, help="the context")
    text.add_argument(
        "--text-file", default=default, metavar="FILE", help="the context in UTF-8; - reads stdin"
    )
    parser.add_argument("--device", choices=DEVICES, default=default, help="where the model runs")
    parser.add_argument(
        "--dtype", choices=get_args(Dtype), default=default, help="what it computes in"
    )
    parser.add_argument(
        "--chat",
        action=argparse.BooleanOptionalAction,
        default=default,
        help="wrap the context in the model's template for conversations",
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    # By name, without importing them: a figure's module is called what its view is called.
    names = (module.name for module in pkgutil.iter_modules(gui.figures.__path__))
    views = sorted(name for name in names if name not in gui.figures.SHARED)
    parser.add_argument("--view", required=True, choices=views)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="its suffix picks the format"
    )
    _add_input(parser, argparse.SUPPRESS)
    parser.add_argument("--target", help="what the decoder of an encoder-decoder reads")
    parser.add_argument(
        "--context", metavar="TEXT", help="what stands before the text, for --view compare"
    )
    parser.add_argument(
        "--other-model", metavar="NAME", help="the model that reads side B, for --view compare"
    )
    parser.add_argument(
        "--task", metavar="NAME", help="a task or its TOML file, for --view task; it is the text"
    )
    parser.add_argument("--k", type=_count, default=4, metavar="N", help="examples of the task")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="0: the task's first ones")
    parser.add_argument("--layer", type=int, metavar="N", help="from 0; the middle if left out")
    parser.add_argument("--head", type=int, metavar="N", help="from 0; all heads if left out")
    parser.add_argument(
        "--kind",
        choices=("encoder", "decoder", "cross"),
        help="which attention of an encoder-decoder",
    )
    parser.add_argument(
        "--scaling",
        choices=("linear", "log", "row"),
        default="linear",
        help="how weights become colours in a picture",
    )
    parser.add_argument(
        "--plane",
        type=_plane,
        default="own",
        metavar="PLANE",
        help="of --view latent: own, components, three-components, umap, or dimensions: 1,2 "
        "or 1,2,3",
    )
    parser.add_argument(
        "--states",
        choices=("tokens", "mean", "last"),
        default="tokens",
        help="of --view latent: the space of tokens, or of sentences by their mean or last token",
    )
    parser.add_argument(
        "--by-label", action="store_true", help="of --view latent: colour the cloud by its labels"
    )
    parser.add_argument(
        "--scale", type=int, choices=range(1, 5), default=1, help="size of a PNG, 150 dpi each"
    )


def _add_bench(parser: argparse.ArgumentParser) -> None:
    whats = parser.add_subparsers(dest="what", metavar="typing | start | soak", required=True)
    typing = whats.add_parser("typing", help="edits in the window, beside what they could cost")
    soak = whats.add_parser("soak", help="random edits in the window; does anything pile up?")
    for what in (typing, soak):
        what.add_argument("--model", default=argparse.SUPPRESS, help="as for the window")
        what.add_argument("--device", choices=DEVICES, default=argparse.SUPPRESS)
    typing.add_argument(
        "--tokens",
        type=_lengths,
        default=BENCH_TOKENS,
        metavar="N,…",
        help="lengths of contexts",
    )
    typing.add_argument(
        "--edits",
        type=_edits,
        default=BENCH_EDITS[:4],
        metavar="EDIT,…",
        help=f"of {', '.join(BENCH_EDITS)}",
    )
    start = whats.add_parser("start", help="from the start of the process to the first pictures")
    for what, repeats in ((typing, 15), (start, 3)):
        what.add_argument("--repeats", type=_count, default=repeats, metavar="N")
        what.add_argument("--json", action="store_true", help="one JSON object a line")
    soak.add_argument("--edits", type=_count, default=10_000, metavar="N", help="how many")
    soak.add_argument("--seed", type=int, default=0, metavar="N", help="the same, the same edits")
    soak.add_argument("--json", action="store_true", help="one JSON object")


def _count(given: str) -> int:
    number = int(given)
    if number < 1:
        raise ValueError
    return number


def _plane(given: str) -> LatentPlane:
    """A plane by name, or by its dimensions counted from 1."""
    names: dict[str, LatentPlane] = {
        "own": "own",
        "components": "components",
        "three-components": "three components",
        "umap": "umap",
    }
    if given in names:
        return names[given]
    first, second, *others = (_count(part) - 1 for part in given.split(","))
    if len({first, second, *others}) != 2 + len(others) or len(others) > 1:
        raise ValueError
    return (first, second, others[0]) if others else (first, second)


def _lengths(given: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in given.split(","))


def _edits(given: str) -> tuple[str, ...]:
    edits = tuple(given.split(","))
    for edit in edits:
        if edit not in BENCH_EDITS:
            raise argparse.ArgumentTypeError(f"{edit!r} is none of {', '.join(BENCH_EDITS)}")
    return edits


if __name__ == "__main__":
    sys.exit(main())
