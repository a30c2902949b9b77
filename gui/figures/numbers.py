"""Numbers and strings on their way into files, and shrinking that loses no peak."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.types import Floats, Token

_AT_ONCE = 100_000
"""Numbers turned into digits at once: as strings each takes 128 bytes for a moment."""


def storable(text: str) -> str:
    r"""Make `text` fit for UTF-8 and for a numpy string array, changing only what must change.

    Lone surrogates cannot be encoded and become ``\udXXX``; NUL, which numpy takes for the end of a
    string, becomes the character U+2400 that pictures it.
    """
    return text.replace("\0", "␀").encode("utf-8", "backslashreplace").decode("utf-8")


def text_array(texts: Iterable[str]) -> NDArray[np.str_]:
    """Strings (n,) as a numpy array that loads without pickle."""
    return np.array([storable(text) for text in texts] or [], dtype=np.str_)


def token_texts(tokens: Sequence[Token]) -> NDArray[np.str_]:
    """The texts (T,) of tokens."""
    return text_array(token.text for token in tokens)


def token_ids(tokens: Sequence[Token]) -> NDArray[np.int64]:
    """The ids (T,) of tokens."""
    return np.array([token.id for token in tokens], np.int64)


def plain(array: NDArray[np.generic]) -> Any:
    """Give the array as nested lists of Python's own numbers.

    A float32 is given with the fewest digits that bring back the same float32, not with the
    seventeen of its neighbour in double precision. NaN and infinities stay what they are.
    """
    if array.dtype == np.float32:
        if array.ndim > 1 and array.size > _AT_ONCE:
            return [plain(part) for part in array]
        return array.astype(np.str_).astype(np.float64).tolist()
    return array.tolist()


def block_extreme(values: Floats, rows: int, columns: int) -> Floats:
    """Shrink (R, C) to at most (rows, columns), each cell the value of largest magnitude.

    Averaging would let a lone peak fade. NaN counts as nothing unless a whole block is NaN.
    """
    return _along(_along(values, rows, 0), columns, 1)


def blocks(count: int, most: int) -> int:
    """How many neighbours share a cell where `count` are shrunk to at most `most`."""
    return max(1, -(-count // most))


def _along(values: Floats, most: int, axis: int) -> Floats:
    each = blocks(values.shape[axis], most)
    if each == 1:
        return values
    lines = np.moveaxis(values, axis, 0)
    missing = -len(lines) % each
    filler = np.full((missing, *lines.shape[1:]), np.nan, values.dtype)
    grouped = np.concatenate([lines, filler]).reshape(-1, each, *lines.shape[1:])
    weight = np.where(np.isnan(grouped), -1, np.abs(grouped))
    chosen = np.take_along_axis(grouped, weight.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.moveaxis(chosen, 0, axis)
