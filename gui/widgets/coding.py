"""Numbers to codes, one byte a cell, whose order is the order of salience.

0 is a cell with nothing to show, then the smallest magnitude, up to the largest. For signed data
codes alternate between the signs, so that the largest code of some is that of the largest magnitude
and keeps its sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from engine.lineage import shared_rows

Scaling = Literal["linear", "log", "row"]
Codes = NDArray[np.uint8]

DECADES = 3
"""How many powers of ten a logarithmic scale spans below its largest value."""

SIGNED_STEPS = 126
"""How many magnitudes signed codes tell apart."""


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


class How(TypedDict, total=False):
    """How values become codes; all of it may be left out.

    Attributes
    ----------
    levels : (low, high) or None
        The values of the first and last colour; by default zero (or the smallest value, if that
        is negative) and the largest value. Not used by a scale by row.
    signed : bool
        Whether colour stands for magnitude and sign, neutral at zero, symmetric about it.
    scaling : {"linear", "log", "row"}
        As they are; by logarithm, `DECADES` powers of ten deep; or by each row's largest.
    masked : bool (R, C) or None
        True where there is nothing to show.
    causal : bool
        Whether there is nothing to show in columns after the row's own; half the work, and no
        mask is needed.
    unscaled : sequence of int
        Columns that are drawn but have no say in the range of colours.
    """

    levels: tuple[float, float] | None
    signed: bool
    scaling: Scaling
    masked: NDArray[np.bool_] | None
    causal: bool
    unscaled: Sequence[int]


def encode(values: NDArray[np.float32], **how: Unpack[How]) -> tuple[Codes, ColourScale]:
    """Turn values into colour codes.

    Parameters
    ----------
    values : float32 (R, C)
        NaN and infinities are drawn like masked cells.
    how : see `How`

    Returns
    -------
    uint8 (R, C), ColourScale
        The codes, and what the colours stand for.
    """
    codes, scale, _ = Coder().encode(values, **how)
    return codes, scale


@dataclass(frozen=True, slots=True)
class _Coded:
    """A matrix that was coded, with what is known of each of its rows."""

    values: NDArray[np.float32]
    key: tuple[object, ...]
    codes: Codes
    tops: NDArray[np.float32]  # (R,) each row's largest among those that count
    most: NDArray[np.float32]  # (R,) each row's largest
    least: NDArray[np.float32]  # (R,) each row's smallest, zero where none is below
    low: float
    span: float


class Coder:
    """Turns one matrix after another into codes, and only the rows that are new.

    While a text is typed, its matrices differ in their last rows: those before them are compared,
    which takes a tenth of coding them. Only what nobody can write to is remembered.

    Attributes
    ----------
    coded : int
        How many rows were coded so far.
    """

    def __init__(self) -> None:
        self.coded = 0
        self._kept: _Coded | None = None

    def encode(
        self, values: NDArray[np.float32], **how: Unpack[How]
    ) -> tuple[Codes, ColourScale, int]:
        """Turn values into colour codes, see `encode`; also returned is the first new row.

        Codes of the rows before it are those of the last matrix, as far as that had columns.
        """
        levels, signed = how.get("levels"), how.get("signed", False)
        scaling, causal = how.get("scaling", "linear"), how.get("causal", False)
        masked, unscaled = how.get("masked"), how.get("unscaled", ())
        limit = None if levels is None else max(map(abs, levels)) if signed else levels[1]
        spared = [column for column in unscaled if 0 <= column < values.shape[1]]
        key = (levels, signed, scaling, causal, tuple(spared))
        kept = self._kept if masked is None else None
        same = 0 if kept is None or kept.key != key else _same_rows(kept.values, values, causal)
        tops, most, least = np.zeros((3, len(values)), np.float32)
        if kept is not None:
            tops[:same], most[:same] = kept.tops[:same], kept.most[:same]
            least[:same] = kept.least[:same]
        bands = _Bands(values, masked, causal, same)
        low = 0.0 if levels is None or signed else levels[0]
        if signed or low == 0:
            # Most data has nothing below zero, and that is found by the way.
            bands.extremes(spared, signed, tops, most, least)
        if not signed and low == 0:
            low = float(least.min(initial=0.0)) if levels is None else low
        if same and kept is not None and low != kept.low:
            self._kept = None  # each row is measured from another place
            return self.encode(values, **how)
        if low != 0:
            for part in bands.parts:
                magnitude = np.maximum(bands.clean(part) - np.float32(low), 0)
                bands.hide(magnitude, part)  # nothing is there: it is not the zero of clean data
                most[part] = magnitude.max(axis=1, initial=0.0)
                magnitude[:, [column for column in spared if column < magnitude.shape[1]]] = 0
                tops[part] = magnitude.max(axis=1, initial=0.0)
        high, clipped, span = 1.0, bool(spared), 1.0
        if scaling != "row":
            span = limit - low if limit is not None else float(tops.max(initial=0.0))
            high, clipped = low + span, float(most.max(initial=0.0)) > span * (1 + 1e-6)
        if same and (kept is None or span != kept.span):
            same = 0
            bands = _Bands(values, masked, causal)
        codes = np.zeros(values.shape, np.uint8)
        if kept is not None and same:
            # Another width has all that is new in it after the diagonal, where there is no code.
            width = min(values.shape[1], kept.codes.shape[1])
            codes[:same, :width] = kept.codes[:same, :width]
        self.coded += len(values) - same
        # Where nothing is shown may be more than the largest, if that is below zero.
        bounded = clipped or limit is not None or signed or low != 0
        for part in bands.parts:
            top = tops[part, None] if scaling == "row" else np.array(span, np.float32)
            _code(codes, bands, part, top, low, signed, scaling, bounded)
        # What can be written to may have other numbers in it by the next time.
        lasting = masked is None and not values.flags.writeable
        self._kept = _Coded(values, key, codes, tops, most, least, low, span) if lasting else None
        return codes, ColourScale(-high if signed else low, high, scaling, signed, clipped), same


def _same_rows(old: NDArray[np.float32], new: NDArray[np.float32], causal: bool) -> int:
    """How many rows from the first on have the same in them, after the diagonal if `causal`."""
    rows, columns = min(len(old), len(new)), min(old.shape[1], new.shape[1])
    if old.shape[1] != new.shape[1]:
        rows = min(rows, columns) if causal else 0
    if _same_place(old, new):
        return rows
    lasting = not (old.flags.writeable or new.flags.writeable)
    known = shared_rows(old, new) if lasting else None
    if known is not None:
        return min(rows, known)
    # Most that differ do so near the beginning, or the end.
    step = max(1, 2**16 // max(1, columns))
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        same = old[part, :columns] == new[part, :columns]
        if not same.all():
            return start + int(np.argmin(same.all(axis=1)))
    return rows


def _same_place(old: NDArray[np.float32], new: NDArray[np.float32]) -> bool:
    """Whether both begin at one place in memory: what grows in it shows what it showed before."""
    lasting = not (old.flags.writeable or new.flags.writeable)
    return lasting and old.strides == new.strides and old.ctypes.data == new.ctypes.data


def _code(
    codes: Codes,
    bands: _Bands,
    part: slice,
    tops: NDArray[np.float32],
    low: float,
    signed: bool,
    scaling: Scaling,
    bounded: bool,
) -> None:
    """Put in the codes of some rows, whose last colour stands for `tops`: of all, or of each."""
    given, share = bands.given(part)
    shown = _magnitude(given, signed, low, bands.positive(part), share)
    with np.errstate(all="ignore"):  # what is after the diagonal may be anything
        np.divide(shown, np.maximum(tops, np.finfo(np.float32).tiny), out=share)
    bands.cut(share, part)
    if scaling == "log":
        with np.errstate(divide="ignore"):
            np.log(share, out=share)  # numpy takes four times as long for that to base ten
        share *= 1 / (DECADES * math.log(10))
        share += 1
        np.maximum(share, 0, out=share)
    if bounded:
        # An array of ones is compared with in a quarter of the time that the number takes.
        np.minimum(share, bands.ones(share), out=share)
    share *= SIGNED_STEPS if signed else 254
    coded = codes[part, : share.shape[1]]
    np.copyto(coded, np.rint(share, out=share), casting="unsafe")
    if signed:
        coded *= 2
        coded += given < 0
    coded += 1
    bands.hide(coded, part)


class _Bands:
    """A matrix a few rows at a time: what fits a processor's cache is several times faster."""

    def __init__(
        self,
        values: NDArray[np.float32],
        masked: NDArray[np.bool_] | None,
        causal: bool,
        first: int = 0,
    ) -> None:
        self._values, self._masked, self._causal = values, masked, causal
        self._ones: NDArray[np.float32] | None = None
        self._known: dict[int, tuple[bool, bool]] = {}
        self._rows = max(1, 2**16 // max(1, values.shape[1]))
        starts = range(first, len(values), self._rows)
        self.parts = [slice(start, min(start + self._rows, len(values))) for start in starts]
        most = min(self._rows, len(values) - first) if causal else 0
        self._after = np.triu(np.ones((most, min(most, values.shape[1])), np.bool_), 1)
        # In one piece whatever the width, which numpy is twice as fast with.
        self._room = np.empty(min(self._rows, len(values) - first) * values.shape[1], np.float32)

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
        self.cut(clean, part)
        return clean

    def given(self, part: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Some rows to read from, and an array of their shape to write to.

        What is after the diagonal may be anything; elsewhere are zeros where there is nothing.
        """
        block = self._block(part)
        plain = self._masked is None and self._looked_at(part)[0]
        room = self._room[: block.size].reshape(block.shape)
        return block if plain else self.clean(part), room

    def ones(self, like: NDArray[np.float32]) -> NDArray[np.float32]:
        """Ones in the shape of some rows."""
        if self._ones is None:
            self._ones = np.ones(len(self._room), np.float32)
        return self._ones[: like.size].reshape(like.shape)

    def extremes(
        self,
        spared: Sequence[int],
        signed: bool,
        tops: NDArray[np.float32],
        most: NDArray[np.float32],
        least: NDArray[np.float32],
    ) -> None:
        """Find each row's largest without the columns `spared`, its largest and its smallest.

        The largest are those of magnitudes where data is `signed`.
        """
        for part in self.parts:
            if list(spared) in ([], [0]) and self._masked is None:
                top, low, first = self._ends(part, len(spared))
                bottom = np.minimum(low, first)
                ends = (bottom.min(), top.max(), first.max())
                if all(map(math.isfinite, ends)):
                    positive = bool(ends[0] >= 0)
                    self._known[part.start] = (True, positive)
                    if signed:
                        first, top = np.abs(first), np.maximum(top, -low)
                    elif not positive:
                        least[part] = bottom
                    tops[part], most[part] = top, np.maximum(top, first)
                    continue
            clean = self.clean(part)
            if not self.positive(part) and not signed:
                least[part] = clean.min(axis=1, initial=0.0)
            if signed:
                clean = np.abs(clean)
            most[part] = tops[part] = clean.max(axis=1, initial=0.0)
            if spared:
                clean[:, [column for column in spared if column < clean.shape[1]]] = 0
                tops[part] = clean.max(axis=1, initial=0.0)

    def _ends(
        self, part: slice, beside: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """The largest and the smallest of some rows, from zero on, and what is in the first column.

        Of the `beside` = 0 or 1 first columns only the last of the three tells.
        """
        block = self._block(part)
        first = block[:, 0] if beside else np.zeros(len(block), np.float32)
        if not self._causal:
            rest = block[:, beside:]
            return rest.max(axis=1, initial=0.0), rest.min(axis=1, initial=0.0), first
        own, rest = block[:, part.start :].copy(), block[:, beside : part.start]
        own[self._after[: own.shape[0], : own.shape[1]]] = 0
        own = own[:, max(0, beside - part.start) :]
        return (
            np.maximum(rest.max(axis=1, initial=0.0), own.max(axis=1, initial=0.0)),
            np.minimum(rest.min(axis=1, initial=0.0), own.min(axis=1, initial=0.0)),
            first,
        )

    def hide(self, coded: NDArray[np.generic], part: slice) -> None:
        """Put zeros in some rows, of codes or other numbers, where there is nothing to show."""
        if not self._looked_at(part)[0]:
            coded[~np.isfinite(self._block(part))] = 0
        if self._masked is not None:
            np.putmask(coded, self._masked[part, : coded.shape[1]], 0)
        self.cut(coded, part)

    def cut(self, block: NDArray[np.generic], part: slice) -> None:
        """Put zeros after the diagonal of a causal matrix."""
        if self._causal and part.start < block.shape[1]:
            own = block[:, part.start :]
            own[self._after[: own.shape[0], : own.shape[1]]] = 0


def _magnitude(
    given: NDArray[np.float32],
    signed: bool,
    low: float,
    positive: bool,
    room: NDArray[np.float32],
) -> NDArray[np.float32]:
    """What colour stands for, at least zero: distance from zero, or from the lowest value.

    It is written to `room`, or is `given` itself where nothing in it is below zero.
    """
    if signed:
        return np.abs(given, out=room)
    if low:
        given = np.subtract(given, np.float32(low), out=room)
    elif positive:
        return given
    return np.maximum(given, 0, out=room)
