"""The cloud behind the points of a map: fifty thousand dots, drawn so that they can be dragged.

The dots lie on whole device pixels. While the plane is dragged its scale stays, so that the picture
is moved by whole pixels and only what comes into view at the edges is drawn.

Shape letters: N dots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QImage

from gui import theme
from gui.widgets import scatter_geometry as geometry
from gui.widgets.scatter_geometry import Box, Points, Range

FEW, MANY = 1000, 4000
"""A cloud of fewer dots has larger ones, and one of more has smaller ones."""

FOUND, RINGED = 2.4, 3.4
"""Radius in pixels of a dot that was searched for, and of the ring round a chosen one."""

_FAR = 1 << 24  # device pixels: further out no dot can be dragged into view
_WHOLE = 1e-6  # device pixels: what is so near to a whole one was a whole one
_BIGGEST = 6  # device pixels, at a ratio of 1, that a dot may reach into a strip

Indices = NDArray[np.int64]


class Cloud:
    """Dots with a category each, some of which may be found or chosen.

    Attributes
    ----------
    xy : (N, 2)
        In map units, in the order they were given.
    box : Box or None
        Round nearly all of them.
    version : int
        Another one whenever what is drawn has changed.
    drawings, strips : int
        How often the whole picture, and how often parts at its edges, were drawn.
    """

    def __init__(self) -> None:
        self.xy: Points = np.empty((0, 2))
        self.box: Box | None = None
        self.palette: tuple[str | None, ...] | None = None
        self.found: Indices | None = None
        self.chosen: Indices = np.empty(0, np.int64)
        self.version = 0
        self.drawings = self.strips = 0
        self._kinds: Indices = np.empty(0, np.int64)
        self._order: Indices = np.empty(0, np.int64)
        self._key: tuple[object, ...] = ()
        self._anchor: Range | None = None
        self._grid: Indices = np.empty((0, 2), np.int64)
        self._shift = (0, 0)
        self._dots: NDArray[np.uint32] = np.empty((0, 0), np.uint32)
        self._image: QImage | None = None

    def __len__(self) -> int:
        return len(self.xy)

    # --- what there is ---------------------------------------------------------------------------

    def set(self, xy: ArrayLike, categories: ArrayLike | None) -> bool:
        """Take other dots: (N, 2) positions, (N,) a category each; whether they are others.

        What was found or chosen stays where there are as many as before.
        """
        cloud = geometry.as_points(xy)
        kinds = np.zeros(len(cloud), np.int64) if categories is None else np.asarray(categories)
        if kinds.shape != (len(cloud),):
            raise ValueError(f"{len(cloud)} dots cannot have categories {kinds.shape}")
        if np.array_equal(cloud, self.xy) and np.array_equal(kinds, self._kinds):
            return False
        if len(cloud) != len(self.xy):
            self.found, self.chosen = None, np.empty(0, np.int64)
        self.xy, self._kinds = cloud.copy(), kinds.astype(np.int64)
        # Neighbours in a file often share a category; drawn in that order the last would hide the
        # others wherever they overlap.
        self._order = np.random.default_rng(0).permutation(len(cloud))
        self.box = geometry.robust_bounds(cloud)
        self.version += 1
        return True

    def set_palette(self, palette: Sequence[str | None] | None) -> bool:
        """Colour by category, ``#rrggbb`` or None (grey) for each; None: all grey."""
        made = None if palette is None else tuple(palette)
        changed = made != self.palette
        self.palette = made
        self.version += changed
        return changed

    def set_found(self, found: ArrayLike | None) -> None:
        """Make these dots stand out from the others; None: there is nothing searched for."""
        made = None if found is None else self._known(found)
        before = self.found
        if made is None or before is None:
            changed = made is not before
        else:
            changed = not np.array_equal(made, before)
        if changed:
            self.found = made
            self.version += 1

    def set_chosen(self, chosen: ArrayLike) -> None:
        """Ring these dots."""
        made = self._known(chosen)
        if not np.array_equal(made, self.chosen):
            self.chosen = made
            self.version += 1

    def _known(self, indices: ArrayLike) -> Indices:
        made = np.unique(np.asarray(indices, np.int64))
        return made[(made >= 0) & (made < len(self.xy))]

    def nearest(self, x: float, y: float, reach: float) -> int:
        """The dot nearest to a place in map units within `reach`, else −1."""
        if not len(self.xy):
            return -1
        with np.errstate(over="ignore"):
            away = (self.xy[:, 0] - x) ** 2 + (self.xy[:, 1] - y) ** 2
        away[np.isnan(away)] = np.inf
        index = int(np.argmin(away))
        return index if math.sqrt(float(away[index])) <= reach else -1

    # --- its picture -----------------------------------------------------------------------------

    def image(self, seen: Range, size: QSize, ratio: float, *, rough: bool = False) -> QImage:
        """The dots in the part of the plane that is seen, `size` pixels at `ratio` dots a pixel.

        While it is dragged it may be `rough`: up to half a device pixel off its place.
        """
        width, height = round(size.width() * ratio), round(size.height() * ratio)
        key = (self.version, size, ratio, theme.current().dark, seen.scale)
        shift = self._shift_to(seen, ratio, rough) if key == self._key else None
        if shift is None:
            self._draw_all(seen, size, ratio)
            self._key = key
        elif shift != self._shift:
            self._move(shift, width, height, ratio)
        elif self._image is not None:
            return self._image
        # Made of the array's own memory, which is not written to again.
        self._image = QImage(
            self._dots.data, width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied
        )
        self._image.setDevicePixelRatio(ratio)
        return self._image

    def _shift_to(self, seen: Range, ratio: float, rough: bool) -> tuple[int, int] | None:
        """Device pixels by which the dots have moved since they were put on the grid."""
        anchor = self._anchor
        if anchor is None:
            return None
        by = ratio * seen.scale
        right, down = (anchor.x - seen.x) * by, (seen.y - anchor.y) * by
        if max(abs(right), abs(down)) >= _FAR / 2:
            return None
        across, along = round(right), round(down)
        whole = max(abs(right - across), abs(down - along)) < _WHOLE
        return (across, along) if rough or whole else None

    def _draw_all(self, seen: Range, size: QSize, ratio: float) -> None:
        self.drawings += 1
        with np.errstate(invalid="ignore", over="ignore"):
            at = seen.to_pixels(self.xy, size.width(), size.height()) * ratio
        self._grid = np.floor(np.clip(np.nan_to_num(at, nan=2 * _FAR), -_FAR, _FAR)).astype(
            np.int64
        )
        self._anchor, self._shift = seen, (0, 0)
        width, height = round(size.width() * ratio), round(size.height() * ratio)
        self._dots = self._part(0, 0, width, height, ratio)

    def _move(self, shift: tuple[int, int], width: int, height: int, ratio: float) -> None:
        """Move the picture, and draw the strips that were out of view."""
        right, down = shift[0] - self._shift[0], shift[1] - self._shift[1]
        self._shift = shift
        if abs(right) >= width or abs(down) >= height:
            self._dots = self._part(0, 0, width, height, ratio)
            return
        self.strips += 1
        dots = np.empty_like(self._dots)
        rows, above = slice(max(down, 0), height + min(down, 0)), slice(-min(down, 0), None)
        columns, before = slice(max(right, 0), width + min(right, 0)), slice(-min(right, 0), None)
        there = self._dots[above, before]
        dots[rows, columns] = there[: rows.stop - rows.start, : columns.stop - columns.start]
        if right:
            left = 0 if right > 0 else width + right
            dots[:, left : left + abs(right)] = self._part(left, 0, abs(right), height, ratio)
        if down:
            top = 0 if down > 0 else height + down
            dots[top : top + abs(down)] = self._part(0, top, width, abs(down), ratio)
        self._dots = dots

    def _part(
        self, left: int, top: int, width: int, height: int, ratio: float
    ) -> NDArray[np.uint32]:
        """The dots in a rectangle of device pixels, (height, width) of ``0xAARRGGBB``."""
        colours = theme.current()
        beyond = math.ceil(_BIGGEST * ratio)
        at = self._grid + (self._shift[0] - left, self._shift[1] - top)
        near: NDArray[np.bool_] = np.asarray(
            (at[:, 0] >= -beyond)
            & (at[:, 0] < width + beyond)
            & (at[:, 1] >= -beyond)
            & (at[:, 1] < height + beyond)
        )
        order = self._order[near[self._order]]
        shades = self._shades(QColor(colours.muted).rgb() & 0xFFFFFF)
        radius, opacity = self._look()
        part = geometry.rasterise(
            at[order].astype(np.float64),
            width,
            height,
            shades[order],
            radius=radius * ratio,
            opacity=opacity,
        )
        self._paint_marked(part, at, order, shades, ratio)
        return part

    def _look(self) -> tuple[float, float]:
        """Radius in pixels and opacity of a dot."""
        radius = 2.0 if len(self.xy) < FEW else 1.2
        if len(self.xy) > MANY and not self.palette:
            radius = 0.8
        opacity = 0.5 if self.palette else 0.3
        return radius, opacity / 2 if self.found is not None else opacity

    def _paint_marked(
        self,
        part: NDArray[np.uint32],
        at: Indices,
        order: Indices,
        shades: NDArray[np.uint32],
        ratio: float,
    ) -> None:
        """Draw what was chosen and found over the others, at device pixels `at`, in an order."""
        colours = theme.current()
        marked = np.zeros(len(self.xy), np.bool_)
        marked[self.chosen] = True
        chosen = order[marked[order]]
        if len(chosen):
            accent = QColor(colours.accent).rgb() & 0xFFFFFF
            _over(part, at[chosen], np.full(len(chosen), accent, np.uint32), RINGED * ratio)
            _over(part, at[chosen], shades[chosen], (RINGED - 1.8) * ratio)
        if self.found is not None:
            marked[:] = False
            marked[self.found] = True
            found = order[marked[order]]
            ink = (
                shades[found]
                if self.palette
                else np.full(len(found), QColor(colours.text).rgb() & 0xFFFFFF, np.uint32)
            )
            _over(part, at[found], ink, FOUND * ratio)

    def _shades(self, grey: int) -> NDArray[np.uint32]:
        """The colour of each dot, (N,) of ``0xRRGGBB``."""
        shades = np.full(len(self.xy), grey, np.uint32)
        if self.palette:
            table = np.array(
                [grey if c is None else QColor(c).rgb() & 0xFFFFFF for c in self.palette],
                np.uint32,
            )
            known = (self._kinds >= 0) & (self._kinds < len(table))
            shades[known] = table[self._kinds[known]]
        return shades


def _over(
    part: NDArray[np.uint32], at: Indices, colours: NDArray[np.uint32], radius: float
) -> None:
    """Draw full dots over what is in a picture."""
    height, width = part.shape
    above = geometry.rasterise(
        at.astype(np.float64), width, height, colours, radius=radius, opacity=0.97
    )
    drawn = above >> 24 > 0
    over, under = above[drawn], part[drawn]
    left = 255 - (over >> 24)
    made = np.zeros(len(over), np.uint32)
    for shift in (0, 8, 16, 24):
        channel = ((over >> shift) & 255) + (((under >> shift) & 255) * left + 127) // 255
        made |= np.minimum(channel, 255).astype(np.uint32) << np.uint32(shift)
    part[drawn] = made
