"""A cloud that may have depth: then it can be turned, and what is near lies over what is far.

Shape letters: N dots.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QImage

from gui import theme
from gui.turning import HOME, Turn, middle_of
from gui.widgets.cloud import Cloud, Indices
from gui.widgets.scatter_geometry import Points, Range
from gui.widgets.splat import SHADES, Canvas

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
        self._given: NDArray[np.float32] = np.empty((0, 3), np.float32)
        self._solid: NDArray[np.float32] | None = None  # the same round the centre, (3, N)
        self._seen: NDArray[np.float32] = np.empty((3, 0), np.float32)  # across, up, to the eye
        self._canvas: Canvas | None = None
        self._solid_key: tuple[object, ...] = ()
        self._shades_key: tuple[object, ...] = ()
        self._which: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._colours: NDArray[np.uint32] = np.empty(0, np.uint32)

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
        same = self._solid is not None and np.array_equal(given, self._given, equal_nan=True)
        self._given = given
        if not same:
            self.centre, self.radius = middle_of(given)
            self._solid = np.ascontiguousarray((given - self.centre.astype(np.float32)).T)
        changed = super().set(self._look_from(turn), categories)
        if not same and not changed:
            self.version += 1
        self.box = None  # whoever shows it knows the ball
        return changed or not same

    def turn(self, turn: Turn) -> None:
        """Look at the dots from elsewhere; nothing but what is seen of them changes."""
        if self._solid is not None:
            self.xy = self._look_from(turn)
            self.version += 1

    def _look_from(self, turn: Turn) -> Points:
        """What is seen of the dots, (N, 2); as pictures of fifty thousand allow, in float32."""
        assert self._solid is not None
        self._seen = turn.matrix.astype(np.float32) @ self._solid
        return self._seen[:2].T.astype(np.float64)

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
        return int(close[np.argmax(self._seen[2, close])])

    def image(self, seen: Range, size: QSize, ratio: float, *, rough: bool = False) -> QImage:
        """The dots in the part that is seen; `rough` while it moves: a dot a pixel of the map."""
        if self._solid is None:
            return super().image(seen, size, ratio, rough=rough)
        if rough:
            ratio = min(ratio, 1.0)
        marked = self.found is not None or len(self.chosen) > 0
        key = (self.version, size, ratio, theme.current().dark, seen, rough and marked)
        if self._image is None or key != self._solid_key:
            self._image, self._solid_key = self._drawn(seen, size, ratio, rough), key
            self._key = ()  # of a plane nothing is drawn any more
        return self._image

    def _drawn(self, seen: Range, size: QSize, ratio: float, rough: bool) -> QImage:
        self.drawings += 1
        width, height = round(size.width() * ratio), round(size.height() * ratio)
        by = seen.scale * ratio
        with np.errstate(invalid="ignore", over="ignore"):
            x = self._seen[0] * np.float32(by) + np.float32(width / 2 - seen.x * by)
            y = self._seen[1] * np.float32(-by) + np.float32(height / 2 + seen.y * by)
        depth = self._seen[2]
        radius, opacity = self._look()
        canvas = self._canvas
        if canvas is None or canvas.size != (width, height):
            canvas = Canvas(width, height)
        self._canvas = canvas if rough else None  # it is held while all moves
        self._know_shades()
        which, colours, strong = self._which, self._colours, None
        marked = self.found is not None or len(self.chosen) > 0
        if rough and marked:
            which, colours, strong = self._with_marked(which, colours)
        dots = canvas.splat(
            x,
            y,
            depth,
            which,
            colours,
            radius=radius * ratio,
            opacity=opacity,
            strong=strong,
        )
        if marked and not rough:
            at = np.nan_to_num(np.stack([x, y], axis=1), nan=2 * _FAR)
            grid = np.clip(at, -_FAR, _FAR).astype(np.int64)
            order = np.argsort(depth, kind="stable")
            self._paint_marked(dots, grid, order, colours[which], ratio)
        self._dots = dots  # the image is made of its memory
        image = QImage(dots.data, width, height, 4 * width, _PREMULTIPLIED)
        image.setDevicePixelRatio(ratio)
        return image

    def _know_shades(self) -> None:
        """Know which of few colours each dot has, (N,), and the colours (K,); grey is the first."""
        grey = QColor(theme.current().muted).rgb() & 0xFFFFFF
        key = (grey, self.palette, id(self._kinds))
        if key == self._shades_key:
            return
        colours, table = [grey], []
        for name in self.palette or ():
            shade = grey if name is None else QColor(name).rgb() & 0xFFFFFF
            if shade not in colours and len(colours) < SHADES:
                colours.append(shade)
            table.append(colours.index(shade) if shade in colours else 0)
        kinds: Indices = self._kinds
        which = np.zeros(len(kinds), np.uint8)
        known = (kinds >= 0) & (kinds < len(table))
        which[known] = np.array(table, np.uint8)[kinds[known]]
        self._which, self._colours, self._shades_key = which, np.array(colours, np.uint32), key

    def _with_marked(
        self, which: NDArray[np.uint8], colours: NDArray[np.uint32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint32], NDArray[np.bool_]]:
        """Colours of the dots while all moves: chosen ones in the accent, without their ring."""
        look, strong, which = theme.current(), np.zeros(len(which), np.bool_), which.copy()
        # Where labels have colours, those that were found keep theirs.
        for rows, name in (
            (self.chosen, look.accent),
            (self.found, "" if self.palette else look.text),
        ):
            if rows is None or not len(rows):
                continue
            strong[rows] = True
            if name and len(colours) < SHADES:
                which[rows] = len(colours)
                colours = np.append(colours, np.uint32(QColor(name).rgb() & 0xFFFFFF))
        return which, colours, strong


_PREMULTIPLIED = QImage.Format.Format_ARGB32_Premultiplied
