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
    causal: bool = False,
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
    causal : bool
        Whether there is nothing to show in columns after the row's own; half the work, and no
        mask is needed.
    unscaled : sequence of int
        Columns that are drawn but have no say in the range of colours.

    Returns
    -------
    uint8 (R, C), ColourScale
        The codes, and what the colours stand for.
    """
    limit = None if levels is None else max(abs(levels[0]), abs(levels[1])) if signed else levels[1]
    spared = [column for column in unscaled if 0 <= column < values.shape[1]]
    bands = _Bands(values, masked, causal)
    low = 0.0
    if levels is not None and not signed:
        low = levels[0]
    tops = np.zeros(len(values), np.float32)  # (R,) each row's largest among those that count
    largest = 0.0  # of all
    if levels is None and not signed:
        # Most data has nothing below zero, and that is found by the way.
        tops, largest, low = bands.extremes(spared)
    if signed or low != 0:
        largest = 0.0
        for part in bands.parts:
            magnitude = _magnitude(bands.clean(part), signed, low)
            largest = max(largest, float(magnitude.max(initial=0.0)))
            magnitude[:, [column for column in spared if column < magnitude.shape[1]]] = 0
            tops[part] = magnitude.max(axis=1, initial=0.0)
    elif levels is not None:
        tops, largest, _ = bands.extremes(spared)
    high, clipped = 1.0, bool(spared)
    if scaling != "row":
        span = limit - low if limit is not None else float(tops.max(initial=0.0))
        high, clipped = low + span, largest > span * (1 + 1e-6)
        tops[:] = span
    steps = _SIGNED_STEPS if signed else 254
    codes = np.zeros(values.shape, np.uint8)
    for part in bands.parts:
        clean = bands.clean(part)
        share = _magnitude(clean, signed, low, bands.positive(part))
        share /= np.maximum(tops[part], np.finfo(np.float32).tiny)[:, None]
        if scaling == "log":
            with np.errstate(divide="ignore"):
                np.log10(share, out=share)
            share *= 1 / DECADES
            share += 1
            np.maximum(share, 0, out=share)
        if clipped or limit is not None or signed:
            np.minimum(share, 1, out=share)
        share *= steps
        coded = np.rint(share, out=share).astype(np.uint8)
        if signed:
            coded *= 2
            coded += clean < 0
        coded += 1
        bands.hide(coded, part)
        codes[part, : coded.shape[1]] = coded
    return codes, ColourScale(-high if signed else low, high, scaling, signed, clipped)


class _Bands:
    """A matrix a few rows at a time: what fits a processor's cache is several times faster."""

    def __init__(
        self, values: NDArray[np.float32], masked: NDArray[np.bool_] | None, causal: bool
    ) -> None:
        self._values, self._masked, self._causal = values, masked, causal
        self._known: dict[int, tuple[bool, bool]] = {}
        self._rows = max(1, 2**16 // max(1, values.shape[1]))
        starts = range(0, len(values), self._rows)
        self.parts = [slice(start, min(start + self._rows, len(values))) for start in starts]
        most = min(self._rows, len(values)) if causal else 0
        self._after = np.triu(np.ones((most, min(most, values.shape[1])), np.bool_), 1)

    def _block(self, part: slice) -> NDArray[np.float32]:
        """The columns of some rows that may have something to show."""
        return self._values[part, : part.stop] if self._causal else self._values[part]

    def _looked_at(self, part: slice) -> tuple[bool, bool]:
        """Whether some rows are finite throughout, and nowhere below zero."""
        known = self._known.get(part.start)
        if known is None:
            block = self._block(part)
            least, most = float(block.min(initial=0.0)), float(block.max(initial=0.0))
            known = (math.isfinite(least) and math.isfinite(most), least >= 0)
            self._known[part.start] = known
        return known

    def positive(self, part: slice) -> bool:
        """Whether some rows hold nothing below zero."""
        return self._looked_at(part) == (True, True)

    def clean(self, part: slice) -> NDArray[np.float32]:
        """Some rows as an own array, with zeros where there is nothing to show."""
        block = self._block(part)
        if self._looked_at(part)[0]:
            clean = block.copy()
        else:
            clean = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
        if self._masked is not None:
            np.putmask(clean, self._masked[part, : clean.shape[1]], 0)
        self._cut(clean, part)
        return clean

    def extremes(self, spared: Sequence[int]) -> tuple[NDArray[np.float32], float, float]:
        """Each row's largest (R,) without the columns `spared`, the largest and least of all."""
        tops = np.zeros(len(self._values), np.float32)
        largest = least = 0.0
        for part in self.parts:
            clean = self.clean(part)
            if not self.positive(part):
                least = min(least, float(clean.min(initial=0.0)))
            largest = max(largest, float(clean.max(initial=0.0)))
            clean[:, [column for column in spared if column < clean.shape[1]]] = 0
            tops[part] = clean.max(axis=1, initial=0.0)
        return tops, largest, least

    def hide(self, coded: Codes, part: slice) -> None:
        """Take the codes of some rows away where there is nothing to show."""
        if not self._looked_at(part)[0]:
            coded[~np.isfinite(self._block(part))] = 0
        if self._masked is not None:
            np.putmask(coded, self._masked[part, : coded.shape[1]], 0)
        self._cut(coded, part)

    def _cut(self, block: NDArray[np.generic], part: slice) -> None:
        """Put zeros after the diagonal of a causal matrix."""
        if self._causal and part.start < block.shape[1]:
            own = block[:, part.start :]
            own[self._after[: own.shape[0], : own.shape[1]]] = 0


def _magnitude(
    clean: NDArray[np.float32], signed: bool, low: float, positive: bool = False
) -> NDArray[np.float32]:
    """What colour stands for, at least zero: distance from zero, or from the lowest value.

    It may be `clean` itself where nothing in it is below zero.
    """
    if signed:
        return np.abs(clean)
    if low:
        clean = clean - np.float32(low)
    elif positive:
        return clean
    return np.maximum(clean, 0)


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
        self, pitch: tuple[float, float], top: int, left: int, height: int, width: int
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

        Returns
        -------
        uint8 (height, width)
        """
        halvings = (_halvings(1 / pitch[0]), _halvings(1 / pitch[1]))
        source = self._half(*halvings)
        rows, columns = self.codes.shape
        drawn = _cut(source, rows, pitch[0], top, height, halvings[0])
        return _cut(drawn.T, columns, pitch[1], left, width, halvings[1]).T

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


def _cut(codes: Codes, count: int, pitch: float, first: int, pixels: int, halvings: int) -> Codes:
    """Pixels from `first` on of the first axis of (n, ...): `count` cells, halved so often."""
    step = 1 / (pitch * 2.0**halvings)
    places = np.arange(first, first + pixels + 1)
    if step < 1:
        return _repeated(codes, (places[:-1] + 0.5) * step)
    edges = np.floor(places * step + 1e-9).astype(np.int64)
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
