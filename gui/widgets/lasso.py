"""Choosing points of a map by drawing round them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QApplication

from gui import theme
from gui.widgets.scatter_geometry import Points, Range

_STEP = 3.0  # pixels between two corners: more of them would make no difference to be seen


def nothing() -> NDArray[np.int64]:
    """No index at all."""
    made: NDArray[np.int64] = np.empty(0, np.int64)
    made.setflags(write=False)
    return made


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Points that were chosen together, by index: dots of the `cloud` and `tokens`, both rising."""

    cloud: NDArray[np.int64] = field(default_factory=nothing)
    tokens: NDArray[np.int64] = field(default_factory=nothing)

    def __bool__(self) -> bool:
        return bool(len(self.cloud) or len(self.tokens))


def inside(points: Points, corners: Points) -> NDArray[np.bool_]:
    """Which of points (N, 2) lie in a polygon (C, 2), closed by itself: by the even-odd rule.

    A point that is not finite lies in none.
    """
    within = np.zeros(len(points), np.bool_)
    if len(corners) < 3:
        return within
    low, high = corners.min(axis=0), corners.max(axis=0)
    rows = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    x, y = points[rows].T
    odd = np.zeros(len(rows), np.bool_)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if ay == by:
            continue
        # A level line to the right of the point meets this edge.
        crossed = (ay > y) != (by > y)
        crossed &= x < ax + (y - ay) * ((bx - ax) / (by - ay))
        odd ^= crossed
    within[rows] = odd
    return within


class Lasso:
    """A line that is being drawn round points, in pixels."""

    def __init__(self) -> None:
        self._corners: list[tuple[float, float]] | None = None

    @property
    def drawing(self) -> bool:
        """Whether it is being drawn."""
        return self._corners is not None

    def begin(self, at: QPointF) -> None:
        """Start at a pixel."""
        self._corners = [(at.x(), at.y())]

    def go_on(self, at: QPointF) -> None:
        """Draw on to a pixel."""
        if self._corners is not None:
            x, y = self._corners[-1]
            if abs(at.x() - x) + abs(at.y() - y) >= _STEP:
                self._corners.append((at.x(), at.y()))

    def finish(self, seen: Range, width: float, height: float) -> Points | None:
        """The polygon (C, 2) in map units; None where hardly anything was drawn."""
        corners, self._corners = np.array(self._corners or ()), None
        if len(corners) < 3 or np.ptp(corners, axis=0).sum() < QApplication.startDragDistance():
            return None
        return np.array([seen.to_map(x, y, width, height) for x, y in corners.tolist()])

    def cancel(self) -> None:
        """Let it go."""
        self._corners = None

    def paint(self, painter: QPainter) -> None:
        """Draw it as far as it is."""
        if self._corners is None:
            return
        accent = QColor(theme.current().accent)
        painter.setPen(QPen(accent, 1.5, Qt.PenStyle.DashLine))
        accent.setAlpha(30)
        painter.setBrush(accent)
        painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in self._corners]))
