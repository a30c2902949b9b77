"""Numbers to colours: codes, their shrinking by block maximum, and images made of them.

A matrix is first turned into *codes*, one byte a cell, whose order is the order of salience: 0 is
a cell with nothing to show, then the smallest magnitude, up to the largest. Because the order is
kept, the maximum over a block of codes is the code of the block's largest magnitude, and shrinking
never lets a lone peak fade; averaging would. For signed data codes alternate between the signs, so
the same maximum keeps the sign of the largest magnitude.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

from gui import theme

Scaling = Literal["linear", "log", "row"]
Codes = NDArray[np.uint8]

DECADES = 3
"""How many powers of ten a logarithmic scale spans below its largest value."""

_SIGNED_STEPS = 126


@dataclass(frozen=True, slots=True)
class ColourScale:
    """Which values the colours stand for.

    `low` and `high` in the data's unit; for a scale by row, 1 stands for the row's largest.
    `clipped` says that some cells lie above `high` and are drawn as if they had it.
    """

    low: float
    high: float
    scaling: Scaling = "linear"
    signed: bool = False
    clipped: bool = False


def encode(
    values: NDArray[np.float32],
    *,
    levels: tuple[float, float] | None = None,
    signed: bool = False,
    scaling: Scaling = "linear",
    masked: NDArray[np.bool_] | None = None,
    unscaled: Sequence[int] = (),
) -> tuple[Codes, ColourScale]:
    """Turn values into colour codes.

    Parameters
    ----------
    values : float32 (R, C)
        NaN and infinities are drawn like masked cells.
    levels : (low, high), optional
        The values of the first and last colour; by default zero (or the smallest value, if that
        is negative) and the largest value. Not used by a scale by row.
    signed : bool
        Whether colour stands for magnitude and sign, neutral at zero, symmetric about it.
    scaling : {"linear", "log", "row"}
        As they are; by logarithm, `DECADES` powers of ten deep; or by each row's largest.
    masked : bool (R, C), optional
        True where there is nothing to show.
    unscaled : sequence of int
        Columns that are drawn but have no say in the range of colours.

    Returns
    -------
    uint8 (R, C), ColourScale
        The codes, and what the colours stand for.
    """
    hidden = ~np.isfinite(values)
    if masked is not None:
        hidden |= masked
    clean = np.where(hidden, np.float32(0), values)
    low = 0.0
    if signed:
        magnitude = np.abs(clean)
        if levels is not None:
            levels = (0.0, max(abs(levels[0]), abs(levels[1])))
    else:
        low = levels[0] if levels is not None else min(0.0, float(clean.min(initial=0.0)))
        magnitude = clean - np.float32(low) if low else clean
    counted = magnitude
    if len(unscaled) or hidden.any():
        counted = np.where(hidden, np.float32(0), magnitude)
        counted[:, [column for column in unscaled if 0 <= column < values.shape[1]]] = 0
    if scaling == "row":
        top = counted.max(axis=1, initial=0.0, keepdims=True)  # (R, 1)
        high = 1.0
        clipped = bool((magnitude > top).any()) if len(unscaled) else False
    else:
        span = levels[1] - low if levels is not None else float(counted.max(initial=0.0))
        top = np.full((1, 1), span, np.float32)
        high = low + span
        clipped = bool(magnitude.max(initial=0.0) > span * (1 + 1e-6))
    share = magnitude / np.maximum(top, np.finfo(np.float32).tiny)
    if scaling == "log":
        with np.errstate(divide="ignore"):
            share = 1 + np.log10(np.maximum(share, 0)) / DECADES
    np.clip(share, 0, 1, out=share)
    if signed:
        codes = 1 + 2 * np.rint(share * _SIGNED_STEPS).astype(np.uint8)
        codes += clean < 0
        low = -high
    else:
        codes = 1 + np.rint(share * 254).astype(np.uint8)
    codes[hidden] = 0
    return codes, ColourScale(low, high, scaling, signed, clipped)


def colour_table(dark: bool, signed: bool) -> list[int]:
    """The colour of each code, as 256 ``0xAARRGGBB``; code 0 is transparent."""
    if signed:
        source = theme.diverging(dark)
        steps = (np.arange(255) // 2) / _SIGNED_STEPS
        signs = np.where(np.arange(255) % 2, -1, 1)
        places = np.rint(127.5 * (1 + signs * np.minimum(steps, 1)))
    else:
        source = theme.sequential(dark)
        places = np.rint(np.linspace(0, 255, 255))
    rgba = source[np.clip(places, 0, 255).astype(np.int64)].astype(np.int64)  # (255, 4)
    packed = (255 << 24) | (rgba[:, 0] << 16) | (rgba[:, 1] << 8) | rgba[:, 2]
    return [0, *packed.tolist()]


def bar_codes(signed: bool) -> Codes:
    """Codes (1, n) in the order of the values they stand for, for a legend's bar."""
    if not signed:
        return np.arange(1, 256, dtype=np.uint8)[None]
    steps = np.arange(_SIGNED_STEPS + 1)
    return np.concatenate([(2 + 2 * steps)[::-1], 1 + 2 * steps]).astype(np.uint8)[None]


def image(codes: Codes, table: list[int]) -> QImage:
    """Make an image of codes (height, width), one pixel each; it owns its memory."""
    codes = np.ascontiguousarray(codes)
    height, width = codes.shape
    made = QImage(codes.data, width, height, width, QImage.Format.Format_Indexed8)
    made.setColorTable(table)
    return made.copy()


class Raster:
    """Codes that can be drawn at any size, from any part, in the time the pixels take.

    Halves of the whole are kept as they are asked for, so that moving over a large matrix costs
    what the screen shows and not what the matrix holds.

    Parameters
    ----------
    codes : uint8 (R, C)
    """

    def __init__(self, codes: Codes) -> None:
        self.codes = codes
        self._halves: dict[tuple[int, int], Codes] = {(0, 0): codes}

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
        halvings = (_halvings(rows, height), _halvings(columns, width))
        source = self._half(*halvings)
        drawn = _resample(source, rows, height, halvings[0])
        return _resample(drawn.T, columns, width, halvings[1]).T

    def _half(self, down: int, across: int) -> Codes:
        kept = self._halves.get((down, across))
        if kept is None:
            if across:
                kept = _halve(self._half(down, across - 1).T).T
            else:
                kept = _halve(self._half(down - 1, 0))
            self._halves[down, across] = kept
        return kept


def _halvings(visible: tuple[float, float], pixels: int) -> int:
    """How often an axis can be halved and still have a block for each pixel."""
    ratio = (visible[1] - visible[0]) / pixels
    return int(math.log2(ratio)) if ratio >= 2 else 0


def _halve(codes: Codes) -> Codes:
    even = codes[: len(codes) // 2 * 2]
    halved: Codes = np.maximum(even[0::2], even[1::2])
    return np.concatenate([halved, codes[-1:]]) if len(codes) % 2 else halved


def _resample(codes: Codes, visible: tuple[float, float], pixels: int, halvings: int) -> Codes:
    """Bring the first axis of (n, m), halved so often, to (pixels, m)."""
    scale = 2.0**halvings
    start, step = visible[0] / scale, (visible[1] - visible[0]) / scale / pixels
    last = len(codes) - 1
    if step <= 1:
        middles = np.floor(start + (np.arange(pixels) + 0.5) * step)
        repeated: Codes = codes[np.clip(middles, 0, last).astype(np.int64)]
        return repeated
    edges = np.floor(start + np.arange(pixels + 1) * step + 1e-9).astype(np.int64)
    first, final = edges[:-1], edges[1:] - 1
    drawn: Codes = codes[np.clip(first, 0, last)]
    for offset in range(1, int(np.max(final - first)) + 1):
        np.maximum(drawn, codes[np.clip(np.minimum(first + offset, final), 0, last)], out=drawn)
    return drawn
