"""What an export format is, and how a view's figure or numbers become a file. No Qt in here.

A new format is one file in gui/exporters/ with a `FORMAT` record; the suffix of the file's name
picks it. Nothing half-written stays: a file is written beside and renamed.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

import gui.exporters
from engine.errors import UserError
from engine.files import replacing
from engine.types import ModelInfo, Snapshot
from gui.exporters.record import Record, json_text, record
from gui.figures.numbers import token_ids, token_texts
from gui.figures.spec import FigureOptions, FigureSpec, figure_specs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARED = frozenset({"spec", "record", "picture"})
"""Modules of gui/exporters/ that are no format but serve all of them."""

SCALES = range(1, 5)
"""The scales a PNG can have."""


_IN_WORDS = {
    "embedding": "hidden states that can be read",
    "attention": "attention that can be read",
    "latent": "latent space",
    "next": "prediction of a next token",
    "gates": "gates, which only LSTMs have",
}


class Printable(Protocol):
    """What a format can write: a figure, the numbers behind it, and its record.

    `scale` multiplies the pixels of a PNG; other formats do not have any.
    """

    @property
    def meta(self) -> Record:
        """What made it, from what, and when."""

    @property
    def scale(self) -> int:
        """1 to 4."""

    def draw(self, figure: Figure) -> None:
        """Draw it into an empty figure, sizing it."""

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All numbers by name, the record as `meta` among them."""

    def table(self) -> list[list[object]]:
        """The same numbers as rows, the first being the header."""

    def texts(self) -> list[str]:
        """What may be written into a picture, so that fonts can be found for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A view of a snapshot as a `Printable`: what is shown, how, and its record."""

    figure: FigureSpec
    snapshot: Snapshot
    options: FigureOptions
    meta: Record
    scale: int = 1

    def draw(self, figure: Figure) -> None:
        """Draw it into an empty figure, sizing it."""
        self.figure.draw(figure, self.snapshot, self.options)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All numbers by name: the view's own, and `tokens`, `ids` and `meta` of every view.

        What a job measured is not of the text at hand, and has `meta` alone beside its own.
        """
        seen = self.snapshot
        if self.figure.made_of is not None or self.figure.own_record:  # the text has no part in it
            own = self.figure.arrays(seen, self.options)
            return {"meta": np.array(json_text(self.meta), np.str_), **own}
        numbers: dict[str, NDArray[np.generic]] = {
            "tokens": token_texts(seen.tokens),
            "ids": token_ids(seen.tokens),
            "meta": np.array(json_text(self.meta), np.str_),
        }
        if seen.target_tokens:
            numbers["target_tokens"] = token_texts(seen.target_tokens)
            numbers["target_ids"] = token_ids(seen.target_tokens)
        return numbers | dict(self.figure.arrays(seen, self.options))

    def table(self) -> list[list[object]]:
        """The same numbers as rows, the first being the header."""
        return self.figure.table(self.snapshot, self.options)

    def texts(self) -> list[str]:
        """What may be written into a picture, so that fonts can be found for it."""
        seen = self.snapshot
        texts = [token.text for token in (*seen.tokens, *seen.target_tokens)]
        for result in seen.results.values():
            texts += getattr(result, "texts", ())
        if self.options.sheet is not None:
            texts += self.options.sheet.texts()
        return [*texts, seen.model.title]


@dataclass(frozen=True, slots=True)
class FormatSpec:
    """A file format.

    Parameters
    ----------
    suffix : str
        With its dot; picks the format.
    title : str
        What it is called in a list of formats.
    kind : {"picture", "numbers"}
        Whether it holds what the figure shows or what it was drawn from.
    write : callable
        Write a document to a binary stream.
    """

    suffix: str
    title: str
    kind: Literal["picture", "numbers"]
    write: Callable[[Printable, BinaryIO], None]


@cache
def format_specs() -> Mapping[str, FormatSpec]:
    """Find every format there is, by suffix; pictures first.

    Raises
    ------
    TypeError
        If a module in gui/exporters/ has no `FORMAT` record.
    """
    specs: list[FormatSpec] = []
    for module in pkgutil.iter_modules(gui.exporters.__path__, "gui.exporters."):
        if module.name.rpartition(".")[2] in SHARED:
            continue
        spec = getattr(importlib.import_module(module.name), "FORMAT", None)
        if not isinstance(spec, FormatSpec):
            raise TypeError(f"{module.name} has no FORMAT record")
        specs.append(spec)
    specs.sort(key=lambda spec: (spec.kind != "picture", spec.suffix != ".png", spec.suffix))
    return MappingProxyType({spec.suffix: spec for spec in specs})


def format_for(path: Path) -> FormatSpec:
    """The format that the suffix of `path` picks.

    Raises
    ------
    UserError
        If there is none, naming those there are.
    """
    spec = format_specs().get(path.suffix.lower())
    if spec is None:
        *others, last = format_specs()
        why = f"there is no format {path.suffix}" if path.suffix else "its name has no suffix"
        do = f"End the name with {', '.join(others)} or {last}"
        raise UserError(f"Cannot write {path}", why, do)
    return spec


def check_applies(figure: FigureSpec, model: ModelInfo) -> None:
    """Raise `UserError` if `model` does not provide what `figure` needs."""
    missing = sorted(figure.needs - model.provides)
    if missing:
        lacks = _IN_WORDS.get(missing[0], missing[0])
        why = f"{model.title} has no {lacks}"
        raise UserError(f"Cannot export {figure.key}", why, "Choose another view or model")


def export(
    snapshot: Snapshot,
    view: str,
    options: FigureOptions,
    path: Path,
    *,
    scale: int = 1,
    meta: Mapping[str, object] | None = None,
) -> None:
    """Save a view of `snapshot` in the format that the suffix of `path` picks.

    Parameters
    ----------
    snapshot : Snapshot
        Answers the queries that ``figure_specs()[view].queries`` asks for these options.
    view : str
        The view's key.
    options : FigureOptions
        What of it to show.
    path : Path
        Where to; an existing file is replaced once the new one is complete.
    scale : int
        1 to 4, of a PNG.
    meta : mapping, optional
        Entries to add to the record that goes into the file, or to have instead of its own. With
        the same ``date`` the same snapshot gives the same bytes.

    Raises
    ------
    UserError
        If the suffix is unknown, there is nothing to show, or the file cannot be written.
    """
    format_for(path)
    save(_document(snapshot, view, options, scale, meta), path)


def save(document: Printable, path: Path) -> None:
    """Write a document in the format that the suffix of `path` picks.

    Raises
    ------
    UserError
        If the suffix is unknown or the file cannot be written.
    """
    spec = format_for(path)
    with replacing(path) as beside, beside.open("wb") as stream:
        spec.write(document, stream)


def picture_bytes(
    snapshot: Snapshot,
    view: str,
    options: FigureOptions,
    *,
    scale: int = 2,
    suffix: str = ".png",
    meta: Mapping[str, object] | None = None,
) -> bytes:
    """The picture that `export` would save, for the clipboard; takes what `export` takes."""
    stream = io.BytesIO()
    document = _document(snapshot, view, options, scale, meta)
    format_specs()[suffix].write(document, stream)
    return stream.getvalue()


def _document(
    snapshot: Snapshot,
    view: str,
    options: FigureOptions,
    scale: int,
    meta: Mapping[str, object] | None,
) -> Document:
    figure = figure_specs()[view]
    if scale not in SCALES:
        raise ValueError(f"scale {scale} is not in {SCALES}")
    check_applies(figure, snapshot.model)
    wordless = figure.own_record or (figure.textless and snapshot.results)
    if not snapshot.tokens and not wordless and figure.made_of is None:
        raise UserError(f"Cannot export {view}", "the text has no tokens", "Give some text")
    made = record(snapshot, figure, options)
    if figure.own_record and options.sheet is not None:
        made = options.sheet.meta
    return Document(figure, snapshot, options, MappingProxyType({**made, **(meta or {})}), scale)
