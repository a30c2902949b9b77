"""Static word vectors: reading their files into a folder of the cache.

word2vec writes them as text or binary after a line with their number and width, GloVe as text
without one, others as a table of a safetensors file beside a vocabulary. All become one form: a
safetensors file that can be mapped, and a word a line. Run as a process of its own, because parsing
text keeps the interpreter busy: ``python -m engine.models.vectors PATH FOLDER TITLE``.
"""

from __future__ import annotations

import mmap
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.files import disk_error
from engine.models.sources.folder import WORD_VECTORS
from engine.models.sources.process import Line, end_with_parent
from engine.types import Floats

VOCABULARIES = ("vocab.json", "vocab.txt")
AGAIN = "Copy or download it again"
_HEADER = re.compile(rb"\s*(\d+) (\d+)[ \t\r]*\n")
_LONGEST_WORD = 1024
_ROWS = 2048  # words at a time
_RESERVED = 1024  # bytes for a safetensors header that is written last
_TYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "BF16": "<u2"}

Batch = tuple[list[str], Floats]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file holds its vectors; `rows` is None where only reading it would tell."""

    kind: Literal["binary", "text", "table"]
    width: int
    rows: int | None
    begin: int = 0
    dtype: str = "F32"

    def size(self, bytes_there: int) -> int:
        """About how many bytes the converted folder takes."""
        # A number takes at least five characters of GloVe's text.
        rows = self.rows or bytes_there // (5 * self.width) + 1
        return rows * (4 * self.width + 4 + 16)


def table_file(folder: Path) -> Path | None:
    """The one safetensors file of a folder that has a vocabulary and no model's config.json."""
    if (folder / "config.json").exists():
        return None
    tables = list(folder.glob("*.safetensors"))
    has_words = any((folder / name).is_file() for name in VOCABULARIES)
    return tables[0] if len(tables) == 1 and has_words else None


def looks_binary(path: Path) -> bool:
    """Whether a .bin file begins as word2vec's do, and not as a pickle."""
    with path.open("rb") as file:
        return _HEADER.match(file.read(64)) is not None


def layout_of(path: Path) -> Layout:
    """Look at the beginning of a file, or into the header of a folder's table.

    Raises
    ------
    UserError
        If there are no vectors in it.
    """
    what = f"Cannot open {path}"
    try:
        if path.is_dir():
            return _table_layout(path, what)
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(what, f"it cannot be read ({reason})", "Check the path") from error
    match = _HEADER.match(head)
    if match is not None:
        rows, width = int(match[1]), int(match[2])
        if not rows or not width:
            raise UserError(what, "its first line tells of no vectors", AGAIN)
        second = head[match.end() :].split(b"\n", 1)[0]
        if _numbers(second, width) is not None:
            return Layout("text", width, rows, match.end())
        _check_length(path, match.end() + rows * (4 * width + 2), what)
        return Layout("binary", width, rows, match.end())
    first = head.split(b"\n", 1)[0]
    width = _trailing_numbers(first)
    if width < 2:
        raise UserError(
            what,
            "there are no word vectors in it: its first line is not a word and its numbers",
            "Choose a file of word2vec or GloVe",
        )
    return Layout("text", width, None)


def _trailing_numbers(line: bytes) -> int:
    """How many numbers a line ends with, behind its first field."""
    count = 0
    for field in reversed(line.rstrip().split(b" ")[1:]):
        try:
            float(field)
        except ValueError:
            break
        count += 1
    return count


def batches(path: Path, layout: Layout) -> Iterator[Batch]:
    """Words and their vectors (n, D), some at a time.

    Raises
    ------
    UserError
        If the file is damaged or was cut short.
    """
    if layout.kind == "binary":
        return _binary(path, layout)
    return _text(path, layout) if layout.kind == "text" else _table(path, layout)


def _text(path: Path, layout: Layout) -> Iterator[Batch]:
    what = f"Cannot open {path}"
    words: list[str] = []
    rows: list[Floats] = []
    done = 0
    with path.open("rb") as file:
        file.seek(layout.begin)
        for line in file:
            if line.strip() == b"":
                continue
            numbers = _numbers(line, layout.width)
            done += 1
            if numbers is None:
                short = not line.endswith(b"\n")
                why = "it was cut short in" if short else f"there are not {layout.width} numbers in"
                raise UserError(what, f"{why} the line of its word {done:,}", AGAIN)
            words.append(line.rsplit(b" ", layout.width)[0].decode("utf-8", "replace"))
            rows.append(numbers)
            if len(words) == _ROWS:
                yield words, np.stack(rows)
                words, rows = [], []
    if words:
        yield words, np.stack(rows)
    _check_count(done, layout, what)


def _numbers(line: bytes, width: int) -> Floats | None:
    """The last `width` fields of a line, if they are finite numbers behind a word."""
    fields = line.rstrip().rsplit(b" ", width)
    if len(fields) != width + 1 or not fields[0]:
        return None
    try:
        numbers = np.array(fields[1:], dtype=np.float32)
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _binary(path: Path, layout: Layout) -> Iterator[Batch]:
    what = f"Cannot open {path}"
    damaged = UserError(what, "it is damaged, or no binary file of word2vec", AGAIN)
    assert layout.rows is not None
    length = 4 * layout.width
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = layout.begin
        for low in range(0, layout.rows, _ROWS):
            count = min(_ROWS, layout.rows - low)
            words: list[str] = []
            vectors = np.empty((count, layout.width), np.float32)
            for row in range(count):
                stop = data.find(b" ", place, place + _LONGEST_WORD)
                if stop < 0 or stop + 1 + length > len(data):
                    raise damaged
                # Some writers end each vector with a line feed.
                words.append(data[place:stop].lstrip(b"\n").decode("utf-8", "replace"))
                place = stop + 1 + length
                vectors[row] = np.frombuffer(data[stop + 1 : place], "<f4")
            if not np.isfinite(vectors).all():
                raise damaged
            yield words, vectors
        if data[place:].strip():
            raise damaged


def _table_layout(folder: Path, what: str) -> Layout:
    path = table_file(folder)
    if path is None:
        raise UserError(
            what,
            "there is not one safetensors file with a vocabulary beside it",
            "Put vocab.txt or vocab.json beside the table",
        )
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length < path.stat().st_size else b""
    try:
        table = msgspec.json.decode(header, type=dict[str, dict[str, object]])
        table.pop("__metadata__", None)
        (entry,) = table.values()
        rows, width = msgspec.convert(entry["shape"], tuple[int, int])
        begin, end = msgspec.convert(entry["data_offsets"], tuple[int, int])
        dtype = str(entry["dtype"])
        size = np.dtype(_TYPES[dtype]).itemsize
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, KeyError) as error:
        raise UserError(
            what,
            f"{path.name} does not hold one table of words by numbers",
            "Save the vectors as the only tensor of a safetensors file",
        ) from error
    if end - begin != rows * width * size or not rows or not width:
        raise UserError(what, f"{path.name} is damaged", AGAIN)
    _check_length(path, 8 + length + end, what)
    return Layout("table", width, rows, 8 + length + begin, dtype)


def _table(folder: Path, layout: Layout) -> Iterator[Batch]:
    path = table_file(folder)
    assert path is not None
    assert layout.rows is not None
    words = _vocabulary(folder)
    if len(words) != layout.rows:
        raise UserError(
            f"Cannot open {folder}",
            f"its vocabulary has {len(words):,} words and its table {layout.rows:,} rows",
            "Put the vocabulary that belongs to the table beside it",
        )
    shape = (layout.rows, layout.width)
    table = np.memmap(path, _TYPES[layout.dtype], "r", layout.begin, shape)
    for low in range(0, layout.rows, _ROWS):
        part: NDArray[np.generic] = np.array(table[low : low + _ROWS])
        if layout.dtype == "BF16":  # the upper half of a float32
            part = (part.astype(np.uint32) << 16).view(np.float32)
        vectors = part.astype(np.float32)
        if not np.isfinite(vectors).all():
            raise UserError(f"Cannot open {folder}", f"{path.name} holds no numbers", AGAIN)
        yield words[low : low + _ROWS], vectors


def _vocabulary(folder: Path) -> list[str]:
    """The words of a table's rows: a list, a mapping to row numbers, or a word a line."""
    what = f"Cannot open {folder}"
    try:
        if not (folder / "vocab.json").is_file():
            text = (folder / "vocab.txt").read_text(encoding="utf-8")
            return text.removesuffix("\n").split("\n")
        data = (folder / "vocab.json").read_bytes()
        found = msgspec.json.decode(data, type=list[str] | dict[str, int])
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise UserError(what, f"its vocabulary cannot be read ({error})", AGAIN) from error
    if isinstance(found, list):
        return found
    if sorted(found.values()) != list(range(len(found))):
        raise UserError(what, "vocab.json does not give each row one word", AGAIN)
    return sorted(found, key=found.__getitem__)


def _check_length(path: Path, needed: int, what: str) -> None:
    size = path.stat().st_size
    if size < needed:
        share = 100 * (needed - size) / needed
        raise UserError(what, f"it was cut short: {share:.0f} % of it are missing", AGAIN)


def _check_count(done: int, layout: Layout, what: str) -> None:
    if layout.rows is not None and done != layout.rows:
        raise UserError(
            what, f"it holds {done:,} words where its first line says {layout.rows:,}", AGAIN
        )


def convert(path: Path, folder: Path, title: str) -> None:
    """Write the vectors of `path` into `folder`, which is made.

    Raises
    ------
    UserError
        If they cannot be read, or the disk is full.
    """
    layout = layout_of(path)
    total = layout.rows or max(1, layout.size(path.stat().st_size) // (4 * layout.width + 20))
    Line(f"Reading {title}", 0.0).say()
    try:
        folder.mkdir(parents=True)
        with (
            (folder / "model.safetensors").open("wb") as table,
            (folder / "vocab.txt").open("wb") as words_file,
        ):
            table.write(bytes(_RESERVED))
            norms: list[Floats] = []
            rows = 0
            for words, vectors in batches(path, layout):
                table.write(np.ascontiguousarray(vectors, "<f4").tobytes())
                lines = "".join(word.replace("\n", " ") + "\n" for word in words)
                words_file.write(lines.encode("utf-8", "replace"))
                norms.append(np.linalg.norm(vectors, axis=1))
                rows += len(words)
                Line(f"Reading {title}", min(rows / total, 1.0)).say()
            table.write(np.concatenate(norms).astype("<f4").tobytes())
            _write_header(table, rows, layout.width)
        config = {"model_type": WORD_VECTORS, "rows": rows, "width": layout.width}
        (folder / "config.json").write_bytes(msgspec.json.encode(config) + b"\n")
    except OSError as error:
        raise disk_error(folder, error) from error


def _write_header(table: IO[bytes], rows: int, width: int) -> None:
    """Fill in the header of a safetensors file, which has room for `_RESERVED` bytes."""
    end = 4 * rows * width
    header = msgspec.json.encode(
        {
            "vectors": {"dtype": "F32", "shape": [rows, width], "data_offsets": [0, end]},
            "norms": {"dtype": "F32", "shape": [rows], "data_offsets": [end, end + 4 * rows]},
        }
    ).ljust(_RESERVED - 8)
    table.seek(0)
    table.write(len(header).to_bytes(8, "little") + header)


def main(args: list[str]) -> int:
    """Convert as the arguments say; tell how it went on standard output."""
    end_with_parent()
    if hasattr(os, "nice"):
        os.nice(5)  # the window comes first
    try:
        convert(Path(args[0]), Path(args[1]), args[2])
    except UserError as error:
        Line(error=(error.what, error.why, error.do)).say()
        return 1
    Line(result={}).say()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
