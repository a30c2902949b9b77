"""The arithmetic behind a map of points: ranges, ellipses, ticks, label places, a cloud's pixels.

Nothing in here is a widget, so that each piece can be checked by numbers. Map coordinates have y
upwards, pixels have y downwards. Shape letters: T points of the map, N points of the cloud.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]
"""(T, 2) positions, float64 so that far zooms do not shake."""

Rooms = NDArray[np.bool_]
"""(T, 6): for each label, which of its six places are free."""

Number = TypeVar("Number", float, NDArray[np.float64])

Box = tuple[float, float, float, float]
"""Left, bottom, right, top in map units."""


@dataclass(frozen=True, slots=True)
class Range:
    """The part of the plane a map shows: what lies in its middle, and pixels per map unit.

    One scale serves both axes, so that distances compare in every direction.
    """

    x: float
    y: float
    scale: float

    def to_pixels(self, xy: Points, width: float, height: float) -> Points:
        """Where (T, 2) map positions lie on a map of `width` × `height` pixels."""
        return np.stack(
            [
                width / 2 + (xy[..., 0] - self.x) * self.scale,
                height / 2 - (xy[..., 1] - self.y) * self.scale,
            ],
            axis=-1,
        )

    def to_map(self, px: float, py: float, width: float, height: float) -> tuple[float, float]:
        """What lies under a pixel."""
        return self.x + (px - width / 2) / self.scale, self.y - (py - height / 2) / self.scale

    def zoomed(self, factor: float, px: float, py: float, width: float, height: float) -> Range:
        """Enlarge by `factor` and leave what lies under the pixel where it is."""
        x, y = self.to_map(px, py, width, height)
        return Range(x + (self.x - x) / factor, y + (self.y - y) / factor, self.scale * factor)

    def moved(self, dx: float, dy: float) -> Range:
        """Drag the plane by (dx, dy) pixels."""
        return Range(self.x - dx / self.scale, self.y + dy / self.scale, self.scale)

    def towards(self, other: Range, share: float) -> Range:
        """The range that share 0..1 of the way to `other` shows; scales go by equal ratios."""
        return Range(
            self.x + (other.x - self.x) * share,
            self.y + (other.y - self.y) * share,
            self.scale * (other.scale / self.scale) ** share,
        )


def fit(box: Box, width: float, height: float, padding: float) -> Range:
    """The range that shows `box` with `padding` pixels to spare on each side."""
    left, bottom, right, top = box
    x, y = left + (right - left) / 2, bottom + (top - bottom) / 2
    # A box without extent (one token, or all alike) still needs a scale, and one that its numbers
    # can resolve.
    least = max(abs(left), abs(right), abs(bottom), abs(top), 1e-100) * 1e-6
    across, up = right - left, top - bottom
    if max(across, up) <= least:
        across = up = max(1.0, least)
    inner_width, inner_height = max(width - 2 * padding, 8.0), max(height - 2 * padding, 8.0)
    ratios = [inner_width / across if across else 0.0, inner_height / up if up else 0.0]
    return Range(x, y, min(ratio for ratio in ratios if ratio > 0))


def bounds(xy: Points, covariance: NDArray[np.float64] | None = None) -> Box | None:
    """The box round all finite points and, where given, their 1-σ ellipses; None if there is none.

    Parameters
    ----------
    xy : (T, 2)
    covariance : (T, 2, 2), optional
        In squared map units.
    """
    reach = np.zeros_like(xy)
    if covariance is not None and len(covariance):
        variance = np.stack([covariance[:, 0, 0], covariance[:, 1, 1]], axis=1)
        reach = np.sqrt(np.clip(np.nan_to_num(variance, posinf=0.0), 0.0, None))
    good = np.isfinite(xy).all(axis=1)
    if not good.any():
        return None
    low, high = (xy - reach)[good].min(axis=0), (xy + reach)[good].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def robust_bounds(xy: Points, share: float = 0.01) -> Box | None:
    """The box that leaves out `share` of the finite points on each side of each axis."""
    good = xy[np.isfinite(xy).all(axis=1)]
    if not len(good):
        return None
    low, high = np.quantile(good, [share, 1 - share], axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def join(first: Box | None, second: Box | None) -> Box | None:
    """The box round both."""
    if first is None or second is None:
        return first or second
    return (
        min(first[0], second[0]),
        min(first[1], second[1]),
        max(first[2], second[2]),
        max(first[3], second[3]),
    )


def ellipse_axes(covariance: NDArray[np.floating]) -> NDArray[np.float64]:
    """The 1-σ ellipses of covariances (T, 2, 2).

    Returns
    -------
    (T, 3)
        Semi-axes in map units, the longer first (square roots of the eigenvalues), and the longer
        one's direction in radians, counter-clockwise from x. NaN where a matrix is not finite.
    """
    given = covariance.astype(np.float64)
    xx, xy, yy = given[:, 0, 0], given[:, 0, 1], given[:, 1, 1]
    with np.errstate(invalid="ignore", over="ignore"):
        middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
        # Rounding may leave the smaller eigenvalue a hair below zero.
        major, minor = (np.sqrt(np.maximum(value, 0.0)) for value in (middle + half, middle - half))
        made = np.stack([major, minor, 0.5 * np.arctan2(2 * xy, xx - yy)], axis=1)
    made[~np.isfinite(made).all(axis=1)] = np.nan
    return made


def path_strengths(count: int) -> NDArray[np.float64]:
    """How strongly each of the `count` − 1 steps of a path is drawn: rising from old to new.

    A long path fades to little, so that its newest end can be made out among all the rest.
    """
    age = np.arange(max(count - 1, 0))[::-1]
    floor = 0.35 * min(1.0, 30 / max(count, 1))
    return floor + (0.85 - floor) * np.exp(-age / 20)


def clipped_steps(
    at: Points, width: float, height: float, beyond: float = 64.0
) -> tuple[NDArray[np.intp], Points, Points]:
    """The parts of a path's steps that lie on the map or up to `beyond` pixels from its edge.

    A painter's arithmetic ends long before the numbers of a far zoom do.

    Returns
    -------
    steps, starts, ends
        (S,) which of the T − 1 steps are seen at all, and (S, 2) their ends in pixels.
    """
    start, along = at[:-1], np.diff(at, axis=0)
    low, high = np.array([-beyond, -beyond]), np.array([width + beyond, height + beyond])
    with np.errstate(all="ignore"):
        first, second = (low - start) / along, (high - start) / along
        # Where a step runs along an axis it is within the edges of the other everywhere or nowhere.
        level = along == 0
        within = (start >= low) & (start <= high)
        enter = np.where(level, np.where(within, 0.0, 2.0), np.minimum(first, second)).max(axis=1)
        leave = np.where(level, 1.0, np.maximum(first, second)).min(axis=1)
        enter, leave = np.maximum(enter, 0.0), np.minimum(leave, 1.0)
        steps = np.flatnonzero(enter < leave)
    start, along = start[steps], along[steps]
    enter, leave = enter[steps, None], leave[steps, None]
    ends = np.where(leave == 1, at[steps + 1], start + leave * along)
    return steps, start + enter * along, ends


def ticks(low: float, high: float, scale: float, apart: float = 64.0) -> tuple[list[float], int]:
    """Round numbers between `low` and `high`, at least `apart` pixels from one another.

    Returns
    -------
    values, decimals
        `decimals` is how many places tell the values apart.
    """
    least = apart / scale
    power = math.floor(math.log10(least))
    step = next(m * 10.0**power for m in (1, 2, 5, 10) if m * 10.0**power >= least * (1 - 1e-9))
    first, last = math.ceil(low / step), math.floor(high / step)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [index * step for index in range(first, min(last, first + 100) + 1)], decimals


class LabelPlacer:
    """Finds places for labels that cover neither each other nor the points.

    The map is divided into cells of 4 pixels, so that a try costs one look into a small table
    whatever the number of labels; where hundreds of them have no room is told for all at once.

    Parameters
    ----------
    width, height : int
        The map in pixels.
    """

    CELL = 4

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._taken = np.zeros((height // self.CELL + 1, width // self.CELL + 1), np.bool_)

    def copy(self) -> LabelPlacer:
        """Another one of the same map, with the same places taken."""
        made = LabelPlacer(self._width, self._height)
        made._taken = self._taken.copy()
        return made

    def take(self, left: float, top: float, width: float, height: float) -> None:
        """Keep labels away from a rectangle."""
        self._taken[self._cells(left, top, width, height)] = True

    def take_points(self, at: Points, radius: float) -> None:
        """Keep labels away from squares of `radius` pixels round finite points (T, 2)."""
        rows, columns = self._taken.shape
        low = np.floor((at - radius) / self.CELL).astype(np.intp)
        high = np.floor((at + radius) / self.CELL).astype(np.intp)
        # A square meets few cells: those at the same place within their squares go together.
        steps = range(math.ceil(2 * radius / self.CELL) + 1)
        downs, acrosses = (
            [(at, (at <= last) & (at >= 0) & (at < most)) for at in (first + s for s in steps)]
            for first, last, most in zip(low.T[::-1], high.T[::-1], (rows, columns), strict=True)
        )
        for row, in_row in downs:
            for column, in_column in acrosses:
                met = in_row & in_column
                self._taken[row[met], column[met]] = True

    def place_all(
        self, at: Points, widths: NDArray[np.float64], height: float, gap: float
    ) -> list[tuple[int, float, float]]:
        """Place as many labels as have room, one after the other in the order of their points.

        It is what `place` does for each, in a fraction of the time.

        Parameters
        ----------
        at : (T, 2)
            Finite points.
        widths : (T,)

        Returns
        -------
        list of (index, left, top)
            The labels that found a place.
        """
        left, top = _all_corners(at, widths, height, gap)
        right, bottom = left + widths[:, None], top + height
        inside = (left >= 2) & (top >= 2)
        inside &= (right <= self._width - 2) & (bottom <= self._height - 2)
        down, across = self._taken.shape
        low = self._cells_of(left, across), self._cells_of(top, down)
        high = self._cells_of(right, across, 1), self._cells_of(bottom, down, 1)
        free = inside & self._free(*low, *high)
        # A row of the table is one number here, a bit for each cell: to look at a few numbers
        # takes far less time than to look at a part of an array.
        packed = np.packbits(self._taken, axis=1, bitorder="little")
        rows = [int.from_bytes(row.tobytes(), "little") for row in packed]
        bits = [1 << cell for cell in range(across + 1)]
        placed: list[tuple[int, float, float]] = []
        which, places = np.nonzero(free)
        tried = (part[free].tolist() for part in (*low, *high))
        last = -1
        for index, place, first, begin, after, end in zip(
            which.tolist(), places.tolist(), *tried, strict=True
        ):
            if index == last:
                continue
            mask = bits[after] - bits[first]
            for row in rows[begin:end]:
                if row & mask:
                    break
            else:
                last = index
                for at_row in range(begin, end):
                    rows[at_row] |= mask
                self._taken[begin:end, first:after] = True
                placed.append((index, float(left[index, place]), float(top[index, place])))
        return placed

    def _cells_of(self, ends: NDArray[np.float64], most: int, more: int = 0) -> NDArray[np.int32]:
        """The cells that `ends` in pixels lie in, or `more` behind, of `most` one way."""
        # To multiply by what is a power of two is exact, and far faster than to divide.
        cells = np.floor(ends * (1 / self.CELL))
        clipped: NDArray[np.int32] = np.clip(cells + more, 0, most).astype(np.int32)
        return clipped

    def _free(
        self,
        left: NDArray[np.int32],
        top: NDArray[np.int32],
        right: NDArray[np.int32],
        bottom: NDArray[np.int32],
    ) -> Rooms:
        """Which places (T, 6) have no cell that is taken."""
        down, across = self._taken.shape
        # How many cells are taken above and to the left of each corner of the table.
        table = np.zeros((down + 1, across + 1), np.int32)
        self._taken.cumsum(0, out=table[1:, 1:], dtype=np.int32)
        table.cumsum(1, out=table, dtype=np.int32)
        flat, above, below = table.ravel(), top * (across + 1), bottom * (across + 1)
        met = flat[below + right] - flat[above + right] - flat[below + left] + flat[above + left]
        return np.asarray(met == 0)

    def place(
        self,
        px: float,
        py: float,
        width: float,
        height: float,
        *,
        gap: float = 8.0,
        force: bool = False,
    ) -> tuple[float, float] | None:
        """Find a place `gap` pixels beside the point (px, py) for a label, and take it.

        Returns the label's left and top, None where it would collide; with `force` it is then put
        beside its point all the same: at the right, or at the left where it would leave the map.
        """
        for left, top in _corners(px, py, width, height, gap):
            inside = (
                left >= 2
                and top >= 2
                and left + width <= self._width - 2
                and top + height <= self._height - 2
            )
            if inside and not self._taken[self._cells(left, top, width, height)].any():
                self.take(left, top, width, height)
                return left, top
        if not force:
            return None
        left = px + gap
        if left + width > self._width - 2 and px - gap - width >= 2:
            left = px - gap - width
        left = min(max(left, 2.0), max(self._width - width - 2, 2.0))
        top = min(max(py - height / 2, 2.0), max(self._height - height - 2, 2.0))
        self.take(left, top, width, height)
        return left, top

    def _cells(self, left: float, top: float, width: float, height: float) -> tuple[slice, slice]:
        cell = self.CELL
        return (
            slice(max(int(top // cell), 0), max(int((top + height) // cell) + 1, 0)),
            slice(max(int(left // cell), 0), max(int((left + width) // cell) + 1, 0)),
        )


def _all_corners(
    at: Points, widths: NDArray[np.float64], height: float, gap: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Left and top (T, 6) of the places beside points (T, 2), in the order of `_corners`."""
    lefts, tops = np.empty((2, len(at), 6))
    for place, (left, top) in enumerate(_corners(at[:, 0], at[:, 1], widths, height, gap)):
        lefts[:, place], tops[:, place] = left, top
    return lefts, tops


def _corners(
    px: Number, py: Number, width: Number, height: float, gap: float
) -> tuple[tuple[Number, Number], ...]:
    """Left and top of the six places for a label beside a point, the best first."""
    return (
        (px + gap, py - height / 2),
        (px - gap - width, py - height / 2),
        (px - width / 2, py - gap - height),
        (px - width / 2, py + gap),
        (px + gap - 2, py - gap - height + 4),
        (px + gap - 2, py + gap - 4),
    )


def rasterise(
    pixels: Points,
    width: int,
    height: int,
    colours: NDArray[np.uint32],
    *,
    radius: float,
    opacity: float,
) -> NDArray[np.uint32]:
    """Draw a cloud of dots into an image; dots that meet add up.

    Parameters
    ----------
    pixels : (N, 2)
        Device pixels; what lies outside or is not finite is left out.
    colours : (N,)
        ``0xRRGGBB`` of each dot. Where dots of several colours meet, the last one's shows.
    radius : float
        Of a dot, in device pixels.
    opacity : float
        Of one dot alone, 0..1.

    Returns
    -------
    (height, width)
        ``0xAARRGGBB``, premultiplied.
    """
    image = np.zeros(height * width, np.uint32)
    with np.errstate(invalid="ignore"):
        near = (np.abs(pixels - (width / 2, height / 2)) <= (width / 2 + 8, height / 2 + 8)).all(1)
    column, row = np.floor(pixels[near]).astype(np.intp).T
    dots = colours[near]
    reach = math.ceil(radius)
    steps = range(-reach, reach + 1)
    flat: list[NDArray[np.intp]] = []
    shade: list[NDArray[np.uint32]] = []
    cover: list[NDArray[np.float64]] = []
    for dx, dy in ((dx, dy) for dy in steps for dx in steps):
        # How much of the pixel a round dot covers, roughly: a hard edge would make small dots
        # crosses.
        part = min(1.0, radius + 0.5 - math.hypot(dx, dy))
        if part < 0.1:
            continue
        x, y = column + dx, row + dy
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        flat.append(y[inside] * width + x[inside])
        shade.append(dots[inside])
        cover.append(np.full(len(flat[-1]), part))
    at = np.concatenate(flat)
    if not len(at):
        return image.reshape(height, width)
    image[at] = np.concatenate(shade)
    covered = np.bincount(at, np.concatenate(cover), minlength=height * width)
    drawn = np.flatnonzero(covered)
    share = 1 - (1 - opacity) ** covered[drawn]
    colour = image[drawn]
    channels = [(((colour >> shift) & 255) * share + 0.5).astype(np.uint32) for shift in (16, 8, 0)]
    image[drawn] = (
        ((share * 255 + 0.5).astype(np.uint32) << 24)
        | (channels[0] << 16)
        | (channels[1] << 8)
        | channels[2]
    )
    return image.reshape(height, width)


def as_points(xy: ArrayLike) -> Points:
    """Take (T, 2) positions; an empty array of any shape is no point at all."""
    array = np.asarray(xy, np.float64)
    return array.reshape(-1, 2) if array.size else np.empty((0, 2))


def moved_from(old: Points, new: Points, same: Sequence[bool]) -> Points:
    """Where each of the new points starts on its way to its place, (T, 2).

    A point that was there before starts where it was; one that is new grows out of the one before
    it, as the path of a context grows while it is typed. `same` (T,) says which were there.
    """
    start = new.copy()
    kept: NDArray[np.bool_] = np.array(same, np.bool_)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(new).all(axis=1))
    shared = min(len(old), len(new))
    known = np.isfinite(old[:shared]).all(axis=1)
    stays = np.flatnonzero(kept[:shared] & finite[:shared] & known)
    start[stays] = old[stays]
    for index in np.flatnonzero(~kept):
        if index and np.isfinite(start[index - 1]).all():
            start[index] = start[index - 1] if finite[index] else new[index]
    return start
