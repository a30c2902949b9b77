"""Texts with labels: from files and folders, tables, and what the program brings along."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.lab.corpus import unwrap
from engine.latent.corpus_sentences import marks, plain, spans
from engine.models.text import without_surrogates
from engine.paths import RESOURCES

PLAIN = (".txt", ".md")
TABLES = (".csv", ".tsv", ".jsonl")
SAMPLES = RESOURCES / "corpus"
"""The samples that come with the program: what ``samples`` names on the command line."""

UNLABELLED = "(none)"
_CELL = 10_000_000  # characters; a text may be a book


@dataclass(frozen=True, slots=True)
class Text:
    """A text and what it is called in the picture. A `row` of a table is taken as one sentence."""

    label: str
    text: str
    row: bool = False


def read_corpus(
    paths: Path | Sequence[Path], label: str | None = None, column: str = "text"
) -> tuple[Text, ...]:
    """Read texts from files and folders.

    A plain text is labelled with its file's name without the suffix, or, where it lies in a
    subfolder of a folder that was named, with that subfolder's name. A row of a table (CSV, TSV
    with a header; JSONL) has its text in `column` and its label in the column `label`.

    Parameters
    ----------
    label : str, optional
        By default ``label`` where there is such a column, else ``subject``, else the file's name.

    Raises
    ------
    UserError
        If there is nothing to read, a file is not what its suffix says, or all of it would not fit
        into memory.
    """
    from engine.latent.corpus_memory import require_room_for_texts  # which needs torch

    given = [paths] if isinstance(paths, Path) else list(paths)
    texts: list[Text] = []
    files = [one for path in given for one in _files(SAMPLES if str(path) == "samples" else path)]
    require_room_for_texts([file for file, _ in files])
    for file, name in files:
        if file.suffix.lower() in TABLES:
            texts += _rows(file, column, label)
        else:
            texts.append(Text(name, without_surrogates(unwrap(_content(file)))))
    return tuple(texts)


def read_texts(folder: Path) -> tuple[Text, ...]:
    """Do what `read_corpus` does for one folder or file."""
    return read_corpus(folder)


def label_columns(path: Path, column: str = "text") -> tuple[str, ...]:
    """The columns of a table, or of a folder's first one, that can be labels."""
    for file, _ in _files(SAMPLES if str(path) == "samples" else path):
        if file.suffix.lower() in TABLES:
            for row in _table(file):
                return tuple(name for name in row if name != column)
    return ()


def unseen(texts: Sequence[Text], seen: NDArray[np.int64]) -> tuple[Text, ...]:
    """What of `texts` holds no sentence with one of the marks `seen` (n,).

    A text falls into the runs of sentences between those that were seen.
    """
    known = set(seen.tolist())
    left: list[Text] = []
    for text in texts:
        places = [(0, len(text.text))] if text.row else spans(text.text)
        found = marks(text.text[start:end] for start, end in places).tolist()
        run: tuple[int, int] | None = None
        for (start, end), mark in zip(places, found, strict=True):
            if mark not in known:
                run = (start if run is None else run[0], end)
            elif run is not None:
                left.append(Text(text.label, text.text[slice(*run)], text.row))
                run = None
        if run is not None:
            left.append(Text(text.label, text.text[slice(*run)], text.row))
    return tuple(left)


def named(texts: Iterable[Text]) -> tuple[str, ...]:
    """The labels of `texts`, each once, in the order they come in."""
    return tuple(dict.fromkeys(text.label for text in texts))


def _files(path: Path) -> list[tuple[Path, str]]:
    """The files under `path` that can be read, and the label of each."""
    if path.is_file():
        return [(path, path.stem)]
    found = []
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            parts = file.relative_to(path).parts
            # A README tells of the texts beside it and is none of them.
            hidden = file.stem.lower() == "readme" or any(part.startswith(".") for part in parts)
            if file.suffix.lower() in PLAIN + TABLES and file.is_file() and not hidden:
                found.append((file, file.stem if len(parts) == 1 else parts[0]))
    if not found:
        raise UserError(
            f"Cannot collect states from {path}",
            f"it holds no {', '.join(PLAIN + TABLES[:-1])} or {TABLES[-1]} file"
            if path.is_dir()
            else "there is no such folder or file",
            "Name plain texts in UTF-8, tables, or a folder of them",
        )
    return found


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"it is not UTF-8 text, at byte {error.start}"
        raise UserError(f"Cannot read {path}", why, "Save it as UTF-8 and try again") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"Cannot read {path}", why, "Choose another file") from error


def _table(path: Path) -> Iterator[dict[str, str]]:
    what = f"Cannot read {path}"
    content = _content(path)
    if path.suffix.lower() == ".jsonl":
        # Not `splitlines`: a JSON string may hold U+2028, which ends no line of the file.
        for number, line in enumerate(content.split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                why = f"line {number} is not JSON"
                raise UserError(what, why, "Put one JSON object on each line") from error
            if not isinstance(row, dict):
                raise UserError(
                    what, f"line {number} is no object", "Put one JSON object on each line"
                )
            yield {str(key): "" if value is None else str(value) for key, value in row.items()}
        return
    before = csv.field_size_limit(_CELL)
    try:
        delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        for cells in csv.DictReader(content.splitlines(keepends=True), delimiter=delimiter):
            yield {key: value or "" for key, value in cells.items() if isinstance(key, str)}
    except csv.Error as error:
        raise UserError(what, f"it is no table ({error})", "Save it as CSV again") from error
    finally:
        csv.field_size_limit(before)


def _rows(path: Path, column: str, label: str | None) -> list[Text]:
    texts = []
    for row in _table(path):
        for wanted in (column, label):
            if wanted is not None and wanted not in row:
                raise UserError(
                    f"Cannot read {path}",
                    f"it has no column {wanted}; there are {', '.join(row) or 'none'}",
                    "Choose another column",
                )
        chosen = label or next((name for name in ("label", "subject") if name in row), None)
        text = plain(without_surrogates(row[column]))
        if text:
            name = path.stem if chosen is None else row[chosen].strip() or UNLABELLED
            texts.append(Text(name, text, row=True))
    return texts
