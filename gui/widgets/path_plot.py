"""A path through the plane in reading order, with its tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from engine.types import Floats
from gui import theme
from gui.widgets.raster import colour_table
from gui.widgets.readout import draw_readout

_TOP, _PAD, _NEAR, _MOST = 20, 12, 20.0, 16


class PathPlot(QWidget):
    """Points (T, 2) joined from the first to the last, lighter to darker; the mouse names them.

    Parameters
    ----------
    title, about : str
        What is drawn, and what it means.
    """

    def __init__(self, title: str, about: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = title
        self.places: Floats = np.zeros((0, 2), np.float32)
        self.tokens: tuple[str, ...] = ()
        self._mouse: QPointF | None = None
        self.setMouseTracking(True)
        self.setAccessibleName(title)
        self.setToolTip(f"<p>{about}</p>")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def set_path(self, places: Floats, tokens: Sequence[str]) -> None:
        """Draw these."""
        self.places, self.tokens = places, tuple(tokens)
        self.setAccessibleDescription(f"{len(places)} tokens: {' '.join(self.tokens)}")
        self.update()

    def minimumSizeHint(self) -> QSize:
        """Room for the title and a path."""
        return QSize(120, 84)

    def points(self) -> list[QPointF]:
        """Where the tokens are, in the widget's pixels; both axes have the same scale."""
        if not len(self.places):
            return []
        room = QRectF(0, _TOP, self.width(), self.height() - _TOP)
        room.adjust(_PAD, _PAD, -_PAD, -_PAD)
        low, high = self.places.min(axis=0), self.places.max(axis=0)
        span = np.maximum(high - low, 1e-9)
        unit = min(room.width() / float(span[0]), room.height() / float(span[1]))
        middle = (low + high) / 2
        return [
            QPointF(
                room.center().x() + float(x - middle[0]) * unit,
                room.center().y() - float(y - middle[1]) * unit,
            )
            for x, y in self.places
        ]

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the title, the path, its tokens and what the mouse points at."""
        colours = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.ui_font(theme.SMALL))
        painter.setPen(QColor(colours.text))
        title = painter.fontMetrics().elidedText(
            self.title, Qt.TextElideMode.ElideRight, self.width() - 8
        )
        painter.drawText(QPointF(4, 13), title)
        points = self.points()
        if points:
            painter.setPen(QPen(QColor(colours.line), 1))
            painter.drawPolyline(QPolygonF(points))
            table = colour_table(colours.dark, False)
            painter.setPen(Qt.PenStyle.NoPen)
            for at, point in enumerate(points):
                shade = table[64 + round(191 * at / max(1, len(points) - 1))]
                painter.setBrush(QColor.fromRgba(shade))
                painter.drawEllipse(point, 3, 3)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QColor(colours.text))
            named = range(len(points)) if len(points) <= _MOST else (0, len(points) - 1)
            for at in named:
                painter.drawText(points[at] + QPointF(5, -3), self.tokens[at])
            self._paint_readout(painter, points)
        painter.end()

    def _paint_readout(self, painter: QPainter, points: Sequence[QPointF]) -> None:
        at = self.token_near(self._mouse, points) if self._mouse is not None else None
        if at is None:
            return
        painter.setPen(QPen(QColor(theme.current().text), 1.5))
        painter.drawEllipse(points[at], 5, 5)
        beside = QRectF(points[at].x(), points[at].y(), 0, 0)
        draw_readout(painter, self.rect(), beside, f"{self.tokens[at]}, token {at}")

    def token_near(self, position: QPointF, points: Sequence[QPointF]) -> int | None:
        """The token nearest to a position; None where none is near."""
        far = [(point - position).manhattanLength() for point in points]
        at = int(np.argmin(far)) if far else -1
        return at if at >= 0 and far[at] < _NEAR else None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Name the token that is nearest."""
        self._mouse = event.position()
        self.update()

    def leaveEvent(self, _event: QEvent) -> None:
        """Name none."""
        self._mouse = None
        self.update()
