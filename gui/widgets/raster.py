"""Codes to colours: their shrinking by block maximum, and images made of them.

A matrix is first turned into *codes*, see `gui.widgets.coding`, whose order is the order of
salience. Because the order is kept, the maximum over a block of codes is the code of the block's
largest magnitude, sign included, and shrinking never lets a lone peak fade; averaging would.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

from gui import theme
from gui.widgets.coding import SIGNED_STEPS, Codes


def colour_table(dark: bool, signed: bool) -> list[int]:
    """The colour of each code, as 256 ``0xAARRGGBB``; code 0 is transparent."""
    return list(_colours(dark, signed))


@cache
def _colours(dark: bool, signed: bool) -> tuple[int, ...]:
    if signed:
        source = theme.diverging(dark)
        steps = (np.arange(255) // 2) / SIGNED_STEPS
        signs = np.where(np.arange(255) % 2, -1, 1)
        places = np.rint(127.5 * (1 + signs * np.minimum(steps, 1)))
    else:
        source = theme.sequential(dark)
        places = np.rint(np.linspace(0, 255, 255))
    rgba = source[np.clip(places, 0, 255).astype(np.int64)].astype(np.int64)  # (255, 4)
    packed = (255 << 24) | (rgba[:, 0] << 16) | (rgba[:, 1] << 8) | rgba[:, 2]
    return (0, *packed.tolist())


def bar_codes(signed: bool) -> Codes:
    """Codes (1, n) in the order of the values they stand for, for a legend's bar."""
    if not signed:
        return np.arange(1, 256, dtype=np.uint8)[None]
    steps = np.arange(SIGNED_STEPS + 1)
    return np.concatenate([(2 + 2 * steps)[::-1], 1 + 2 * steps]).astype(np.uint8)[None]


def image(codes: Codes, table: list[int]) -> QImage:
    """Make an image of codes (height, width), one pixel each; it owns its memory."""
    codes = np.ascontiguousarray(codes)
    height, width = codes.shape
    made = QImage(codes.data, width, height, width, QImage.Format.Format_Indexed8)
    made.setColorTable(table)
    return made.copy()


def resize_all(codes: Codes, height: int, width: int) -> Codes:
    """Bring many matrices (..., R, C) to (..., height, width) each, by block maximum."""
    if not codes.size:
        return np.zeros((*codes.shape[:-2], height, width), np.uint8)
    rows, columns = codes.shape[-2:]
    drawn = _resample(np.moveaxis(codes, -2, 0), (0, rows), height, 0)
    drawn = _resample(np.moveaxis(drawn, -1, 0), (0, columns), width, 0)
    return np.moveaxis(drawn, (0, 1), (-1, -2))


class Raster:
    """Codes that can be drawn at any size, from any part, in the time the pixels take.

    Halves of the whole are kept as they are asked for, so that moving over a large matrix costs
    what the screen shows and not what the matrix holds. Nearly square matrices keep about as many
    bytes of halves as they have cells, any other at most three times as many.

    Parameters
    ----------
    codes : uint8 (R, C)
    """

    def __init__(self, codes: Codes) -> None:
        self.codes = codes
        self._halves: dict[tuple[int, int], Codes] = {(0, 0): codes}

    @property
    def nbytes(self) -> int:
        """Bytes held: the codes, and what was halved of them."""
        return sum(half.nbytes for half in self._halves.values())

    def region(
        self, rows: tuple[float, float], columns: tuple[float, float], height: int, width: int
    ) -> Codes:
        """Draw the cells from `rows[0]` to `rows[1]`, `columns[0]` to `columns[1]`.

        A pixel that covers several cells shows the largest; a cell that covers several pixels is
        repeated, never blended.

        Returns
        -------
        uint8 (height, width)
        """
        if not self.codes.size or height < 1 or width < 1:
            return np.zeros((max(0, height), max(0, width)), np.uint8)
        steps = ((rows[1] - rows[0]) / height, (columns[1] - columns[0]) / width)
        halvings = (_halvings(steps[0]), _halvings(steps[1]))
        source = self._half(*halvings)
        drawn = _resample(source, rows, height, halvings[0])
        return _resample(drawn.T, columns, width, halvings[1]).T

    def tile(
        self,
        pitch: tuple[float, float],
        top: int,
        left: int,
        height: int,
        width: int,
        once: bool = False,
    ) -> Codes:
        """Draw one piece of the whole matrix at `pitch` pixels a cell, downwards and across.

        Pieces cut at any pixels fit together: each cell of a crowded axis is seen in one pixel,
        which pieces never share, so that a lone peak is never lost between two.

        Parameters
        ----------
        pitch : (float, float)
            Pixels a cell, downwards and across.
        top, left, height, width : int
            The piece, in pixels from the corner of the first cell.
        once : bool
            No other piece is expected at this pitch: only what this one shows is halved.

        Returns
        -------
        uint8 (height, width)
        """
        halvings = (_halvings(1 / pitch[0]), _halvings(1 / pitch[1]))
        rows, columns = self.codes.shape
        if once and halvings not in self._halves:
            down = _needed(rows, pitch[0], top, height, halvings[0])
            across = _needed(columns, pitch[1], left, width, halvings[1])
            source = self.codes[down, across]
            for _ in range(halvings[0]):
                source = _halve(source)
            for _ in range(halvings[1]):
                source = _halve(source.T).T
            skipped = (down.start >> halvings[0], across.start >> halvings[1])
        else:
            source, skipped = self._half(*halvings), (0, 0)
        drawn = _cut(source, rows, pitch[0], top, height, halvings[0], skipped[0])
        return _cut(drawn.T, columns, pitch[1], left, width, halvings[1], skipped[1]).T

    def _half(self, down: int, across: int) -> Codes:
        kept = self._halves.get((down, across))
        if kept is None:
            # Both ways together first: a near square then keeps few halves that are not.
            if across >= down and across:
                kept = _halve(self._half(down, across - 1).T).T
            else:
                kept = _halve(self._half(down - 1, across))
            self._halves[down, across] = kept
        return kept


def _halvings(cells: float) -> int:
    """How often an axis can be halved and still have a block for each pixel of so many cells."""
    return int(math.log2(cells)) if cells >= 2 else 0


def _halve(codes: Codes) -> Codes:
    even = codes[: len(codes) // 2 * 2]
    halved: Codes = np.maximum(even[0::2], even[1::2])
    return np.concatenate([halved, codes[-1:]]) if len(codes) % 2 else halved


def _resample(codes: Codes, visible: tuple[float, float], pixels: int, halvings: int) -> Codes:
    """Bring the first axis of (n, ...), halved so often, to (pixels, ...)."""
    scale = 2.0**halvings
    start, step = visible[0] / scale, (visible[1] - visible[0]) / scale / pixels
    if step < 1:
        return _repeated(codes, start + (np.arange(pixels) + 0.5) * step)
    edges = np.floor(start + np.arange(pixels + 1) * step + 1e-9).astype(np.int64)
    # What is seen of the last cell counts, were it a half of a block only.
    edges[-1] = math.ceil(start + pixels * step - 1e-9)
    return _largest(codes, edges)


def _needed(count: int, pitch: float, first: int, pixels: int, halvings: int) -> slice:
    """The cells that so many pixels show something of, whole blocks of so many halvings."""
    block = 1 << halvings
    begin = max(0, math.floor(first / pitch) // block - 1) * block
    after = (math.ceil((first + pixels) / pitch) // block + 2) * block
    return slice(min(begin, (count - 1) // block * block), min(after, count))


def _cut(
    codes: Codes,
    count: int,
    pitch: float,
    first: int,
    pixels: int,
    halvings: int,
    skipped: int,
) -> Codes:
    """Pixels from `first` on of the first axis of (n, ...): `count` cells, halved so often.

    So many blocks of them at the beginning are `skipped`, and maybe some at the end.
    """
    step = 1 / (pitch * 2.0**halvings)
    places = np.arange(first, first + pixels + 1)
    if step < 1:
        return _repeated(codes, (places[:-1] + 0.5) * step - skipped)
    edges = np.floor(places * step + 1e-9).astype(np.int64) - skipped
    edges[places / pitch >= count - 1e-9] = len(codes)  # also what is left of a block
    return _largest(codes, edges)


def _repeated(codes: Codes, middles: NDArray[np.floating]) -> Codes:
    """The cells that pixels have their `middles` in."""
    repeated: Codes = codes[np.clip(np.floor(middles), 0, len(codes) - 1).astype(np.int64)]
    return repeated


def _largest(codes: Codes, edges: NDArray[np.int64]) -> Codes:
    """The largest from each edge to the next, of at least one cell each."""
    last = len(codes) - 1
    first, final = edges[:-1], edges[1:] - 1
    drawn: Codes = codes[np.clip(first, 0, last)]
    for offset in range(1, int(np.max(final - first)) + 1):
        np.maximum(drawn, codes[np.clip(np.minimum(first + offset, final), 0, last)], out=drawn)
    return drawn
