"""The words of ``main.py latent``, and what they come to. Imports nothing that takes time."""

from __future__ import annotations

import argparse
import pkgutil
import shlex
import sys
from pathlib import Path

from engine.latent import projections
from gui.headless.text import given_text

_ACTIONS = "train | list | evaluate | refresh | picture"
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
# By the field of a projection's own `Settings`, whose names these words are; each has some of them.
_DRAWING = (
    ("points", "points", int, "states drawn, evenly at random; 0 for all"),
    ("held-out", "held_out", float, "share that takes no part in fitting, to be measured with"),
    ("seed", "seed", int, "the same seed gives the same picture"),
    ("neighbours", "neighbours", int, "UMAP: nearest points each is held to"),
    ("spread-least", "spread_least", float, "UMAP: how close points may be packed"),
    ("perplexity", "perplexity", float, "t-SNE: about how many neighbours count"),
    ("metric", "metric", str, "UMAP, t-SNE: euclidean or cosine"),
    ("keep", "keep", int, "UMAP, t-SNE: principal components it is given; 0 for all dimensions"),
    ("first", "first", int, "identity: the dimension drawn across"),
    ("second", "second", int, "identity: the dimension drawn upwards"),
    ("left", "left", str, "directions: the label whose mean lies at the left"),
    ("right", "right", str, "directions: at the right"),
    ("bottom", "bottom", str, "directions: at the bottom"),
    ("top", "top", str, "directions: at the top"),
)


def add_latent(latent: argparse.ArgumentParser) -> None:
    """Add what stands behind ``latent``."""
    actions = latent.add_subparsers(dest="action", metavar=_ACTIONS, required=True)
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
    refresh = actions.add_parser("refresh", help="collect anew what a space is shown against")
    refresh.add_argument("space", metavar="SPACE", help="a file, or a name of the list")
    _add_input(refresh, corpus=True)
    refresh.add_argument("--out", type=Path, metavar="FILE", help="its own file if left out")
    _add_numbers(refresh, _CUTTING)
    _add_picture(actions.add_parser("picture", help="draw texts' states by a projection"))
    for action in (train, listing, evaluate, refresh, actions.choices["picture"]):
        action.add_argument("--json", action="store_true", help="one JSON object a line")


def run(given: argparse.Namespace) -> int:
    """Do what was asked for."""
    from gui.headless import latent

    if given.action == "list":
        return latent.list_spaces(given.json)
    if given.action == "picture":
        return _picture(given)
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
    if given.action == "refresh":
        from gui.headless import latent_refresh

        what = latent_refresh.Refreshing(
            space=given.space,
            corpus=tuple(given.corpus),
            out=given.out,
            model=given.model,
            device=given.device or "auto",
            layer=given.layer,
            label=given.label,
            cutting=cutting,
            command=_said(sys.argv[1:]),
        )
        return latent_refresh.refresh(what, given.json)
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


def methods() -> list[str]:
    """The projections there are, by name and without importing them: a module is called as one."""
    names = (module.name for module in pkgutil.iter_modules(projections.__path__))
    return sorted(name.replace("_", "-") for name in names if name != "spec")


def _picture(given: argparse.Namespace) -> int:
    from gui.headless import latent_picture

    wanted = latent_picture.Wanted(
        model=given.model,
        corpus=tuple(given.corpus),
        method=given.method,
        out=given.out,
        device=given.device or "auto",
        dtype=given.dtype or "auto",
        layer=given.layer,
        label=given.label,
        states=given.states,
        most=given.most,
        first=given.first_tokens,
        text=given_text(given.text, given.text_file),
        settings=_given(given, _DRAWING),
        scale=given.scale,
    )
    return latent_picture.draw(wanted, given.json)


def _add_picture(picture: argparse.ArgumentParser) -> None:
    _add_input(picture, corpus=True)
    picture.add_argument("--method", choices=methods(), required=True, help="the projection")
    picture.add_argument(
        "--out", type=Path, metavar="FILE", help="its suffix picks the format; none saves nothing"
    )
    picture.add_argument("--states", choices=("tokens", "mean", "last"), default="tokens")
    picture.add_argument(
        "--most", type=int, metavar="N", help="tokens or sentences read, about; 0 for all"
    )
    picture.add_argument(
        "--first-tokens",
        action="store_true",
        help="draw passages' first tokens too, whose states are like no others",
    )
    picture.add_argument(
        "--text", default=argparse.SUPPRESS, help="a context whose tokens are placed in it"
    )
    picture.add_argument(
        "--scale", type=int, choices=range(1, 5), default=1, help="size of a PNG, 150 dpi each"
    )
    _add_numbers(picture, _DRAWING)


def _add_input(parser: argparse.ArgumentParser, corpus: bool) -> None:
    # Given before the command or after it; what stands after must not be undone by a default.
    parser.add_argument("--model", default=argparse.SUPPRESS, help="as for the window")
    parser.add_argument("--device", choices=_DEVICES, default=argparse.SUPPRESS)
    parser.add_argument("--layer", type=int, metavar="N", help="0 to L; the middle if left out")
    parser.add_argument(
        "--corpus", type=Path, nargs="+", required=corpus, default=[], metavar="PATH", help=_CORPUS
    )
    parser.add_argument("--label", metavar="COLUMN", help="the column of tables that is the label")


_METAVARS = {float: "X", int: "N", str: "WORD"}


def _add_numbers(
    parser: argparse.ArgumentParser, options: tuple[tuple[str, str, type, str], ...]
) -> None:
    for word, _, kind, meaning in options:
        name = _METAVARS[kind]
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
