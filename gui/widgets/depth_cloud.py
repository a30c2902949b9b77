"""A cloud that may have depth: then it can be turned, and what is near lies over what is far.

Shape letters: N dots.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QImage

from gui import theme
from gui.turning import HOME, Turn, middle_of, seen_from
from gui.widgets.cloud import Cloud, Indices
from gui.widgets.scatter_geometry import Points, Range
from gui.widgets.splat import SHADES, splat

_FAR = 1 << 24  # device pixels: further out nothing is seen
_TOGETHER = 3.0  # pixels: of dots that lie so near to the nearest one, the one in front is meant


class DepthCloud(Cloud):
    """Dots on a plane as in `Cloud`, or in space: `xy` is then what is seen of them.

    Attributes
    ----------
    centre : (3,)
        Round what the dots are turned, in their own units.
    radius : float
        Of a ball that holds nearly all of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.centre = np.zeros(3)
        self.radius = 0.0
        self._solid: NDArray[np.float32] | None = None
        self._depth: NDArray[np.float32] = np.empty(0, np.float32)
        self._solid_key: tuple[object, ...] = ()

    def set(self, xy: ArrayLike, categories: ArrayLike | None) -> bool:
        """Take other dots on a plane, see `Cloud.set`."""
        was, self._solid = self._solid, None
        changed = super().set(xy, categories)
        if was is not None and not changed:
            self.version += 1
        return changed or was is not None

    def set_solid(self, xyz: ArrayLike, categories: ArrayLike | None, turn: Turn = HOME) -> bool:
        """Take dots in space, (N, 3), seen from `turn`, see `Cloud.set`."""
        given = np.asarray(xyz, np.float32).reshape(-1, 3)
        before, same = self._solid, False
        if before is not None and before.shape == given.shape:
            same = np.array_equal(before, given, equal_nan=True)
        if not same:
            self._solid = given.copy()
            self.centre, self.radius = middle_of(given)
        changed = super().set(self._seen(turn), categories)
        if not same and not changed:
            self.version += 1
        self.box = None  # whoever shows it knows the ball
        return changed or not same

    def turn(self, turn: Turn) -> None:
        """Look at the dots from elsewhere; nothing but what is seen of them changes."""
        if self._solid is not None:
            self.xy = self._seen(turn)
            self.version += 1

    def _seen(self, turn: Turn) -> Points:
        assert self._solid is not None
        seen = seen_from(turn, self._solid, self.centre)
        self._depth = seen[:, 2].astype(np.float32)
        return seen[:, :2]

    def nearest(self, x: float, y: float, reach: float) -> int:
        """The dot nearest to a place in map units within `reach`, else −1; in front where some are.

        Of dots that are seen at nearly one place the one in front is meant.
        """
        index = super().nearest(x, y, reach)
        if index < 0 or self._solid is None:
            return index
        with np.errstate(over="ignore", invalid="ignore"):
            away = np.hypot(self.xy[:, 0] - x, self.xy[:, 1] - y)
            close = np.flatnonzero(away <= away[index] + reach * _TOGETHER / 12)
        return int(close[np.argmax(self._depth[close])])

    def image(self, seen: Range, size: QSize, ratio: float, *, rough: bool = False) -> QImage:
        """The dots in the part that is seen; `rough` while it moves: a dot a pixel of the map."""
        if self._solid is None:
            return super().image(seen, size, ratio, rough=rough)
        if rough:
            ratio = min(ratio, 1.0)
        key = (self.version, size, ratio, theme.current().dark, seen)
        if self._image is None or key != self._solid_key:
            self._image, self._solid_key = self._drawn(seen, size, ratio), key
            self._key = ()  # of a plane nothing is drawn any more
        return self._image

    def _drawn(self, seen: Range, size: QSize, ratio: float) -> QImage:
        self.drawings += 1
        width, height = round(size.width() * ratio), round(size.height() * ratio)
        by = seen.scale * ratio
        with np.errstate(invalid="ignore", over="ignore"):
            at = np.empty((len(self.xy), 2), np.float32)
            np.multiply(self.xy[:, 0] - seen.x, by, out=at[:, 0], casting="same_kind")
            np.multiply(self.xy[:, 1] - seen.y, -by, out=at[:, 1], casting="same_kind")
            at += np.array([width / 2, height / 2], np.float32)
        radius, opacity = self._look()
        grey = QColor(theme.current().muted).rgb() & 0xFFFFFF
        which, colours = self._few_shades(grey)
        dots = splat(
            at,
            self._depth,
            which,
            colours,
            (width, height),
            radius=radius * ratio,
            opacity=opacity,
        )
        if self.found is not None or len(self.chosen):
            grid = np.clip(np.nan_to_num(at, nan=2 * _FAR), -_FAR, _FAR).astype(np.int64)
            order = np.argsort(self._depth, kind="stable")
            self._paint_marked(dots, grid, order, colours[which], ratio)
        self._dots = dots  # the image is made of its memory
        image = QImage(dots.data, width, height, 4 * width, _PREMULTIPLIED)
        image.setDevicePixelRatio(ratio)
        return image

    def _few_shades(self, grey: int) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
        """Which of few colours each dot has, (N,), and the colours (K,); grey is the first."""
        colours = [grey]
        if not self.palette:
            return np.zeros(len(self.xy), np.uint8), np.array(colours, np.uint32)
        table: list[int] = []
        for name in self.palette:
            shade = grey if name is None else QColor(name).rgb() & 0xFFFFFF
            if shade not in colours and len(colours) < SHADES:
                colours.append(shade)
            table.append(colours.index(shade) if shade in colours else 0)
        kinds: Indices = self._kinds
        which = np.zeros(len(kinds), np.uint8)
        known = (kinds >= 0) & (kinds < len(table))
        which[known] = np.array(table, np.uint8)[kinds[known]]
        return which, np.array(colours, np.uint32)


_PREMULTIPLIED = QImage.Format.Format_ARGB32_Premultiplied
