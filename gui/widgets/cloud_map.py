"""A map whose cloud is what one looks at: its dots are named when they are pointed at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen

from gui import theme
from gui.widgets import scatter_geometry as geometry
from gui.widgets.readout import draw_readout
from gui.widgets.scatter import ScatterMap
from gui.widgets.scatter_geometry import Box, Points

NEAR = 6.0
"""How near the mouse must be to a dot to mean it, in pixels."""

BEYOND = 0.5
"""A point this share of the cloud's extent outside of it does not widen what is shown."""


class CloudMap(ScatterMap):
    """Shows a cloud also while there is no point before it, and says what a dot stands for.

    Points far outside the cloud, as the first token of a context may be, do not shrink it to a dot:
    they are found by zooming out.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._dots: Points = np.empty((0, 2))
        self._says: Callable[[int], str] | None = None
        self._dot = -1

    def set_dots(
        self, xy: ArrayLike, categories: NDArray[np.int64], says: Callable[[int], str]
    ) -> None:
        """Show dots (N, 2) with a category each; `says` names the one at an index."""
        self._dots, self._says, self._dot = geometry.as_points(xy), says, -1
        self.set_points(np.empty((0, 2)), ())
        self.set_cloud(self._dots, categories)
        self.by_hand = False
        self.go_to(self.fitted(), animated=False)

    def has_picture(self) -> bool:
        """Whether there is anything to draw."""
        return super().has_picture() or bool(len(self._dots))

    def content(self) -> Box | None:
        """The box round nearly all dots and the points that lie near them."""
        cloud = geometry.robust_bounds(self._dots)
        if cloud is None:
            return super().content()
        left, bottom, right, top = cloud
        room = BEYOND * np.array([right - left, top - bottom])
        near = ((self._xy >= (left, bottom) - room) & (self._xy <= (right, top) + room)).all(axis=1)
        return geometry.join(geometry.bounds(self._xy[near]), cloud)

    def dot_at(self, position: QPointF) -> int:
        """The dot nearest to `position` if one is near enough, else −1."""
        if self.seen is None or not len(self._dots):
            return -1
        away = self.seen.to_pixels(self._dots, self.width(), self.height())
        away = away - (position.x(), position.y())
        squared = np.nan_to_num((away**2).sum(axis=1), nan=np.inf)
        nearest = int(np.argmin(squared))
        return nearest if squared[nearest] <= NEAR**2 else -1

    def hover_at(self, position: QPointF) -> None:
        """Tell which point the mouse is over, else which dot."""
        super().hover_at(position)
        self._point_to(-1 if self.point_at(position) >= 0 else self.dot_at(position))

    def _point_to(self, dot: int) -> None:
        if dot != self._dot:
            self._dot = dot
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the map, then a ring round the dot under the mouse and what it stands for."""
        super().paintEvent(event)
        if self._dot < 0 or self.seen is None or self._says is None or self.panning:
            return
        at = self.seen.to_pixels(self._dots[self._dot], self.width(), self.height())
        centre = QPointF(float(at[0]), float(at[1]))
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(theme.current().hover), 1.5))
        painter.drawEllipse(centre, 4.0, 4.0)
        around = QRectF(centre.x() - 4, centre.y() - 4, 8, 8)
        draw_readout(painter, self.rect(), around, self._says(self._dot))
        painter.end()

    def event(self, event: QEvent) -> bool:
        """Notice the mouse leaving."""
        if event.type() == QEvent.Type.Leave:
            self._point_to(-1)
        return super().event(event)
