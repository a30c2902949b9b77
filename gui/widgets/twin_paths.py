"""Two paths in one plane, over the cloud they lie in: where the same tokens go on either side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QResizeEvent,
)
from PySide6.QtWidgets import QWidget

from gui import theme
from gui.widgets.readout import draw_readout

HUES = (4, 5)
"""Which categories of the theme's the two paths have: a light blue and a vermilion."""

REACH = 12.0
"""How near the mouse must be to a point to mean it, in pixels."""

MARGIN, FOOT = 16, 20
"""Pixels round the picture, and of the legend below it."""

DOTS = 3000
"""Most dots of the cloud that are drawn; evenly left out beyond."""

Points = NDArray[np.float64]


class TwinPaths(QWidget):
    """Draw n points of either side, joined in reading order, each pair by a thin line.

    The range holds both paths, and of the cloud what lies near them.
    """

    pointHovered = Signal(object)
    pointClicked = Signal(object)
    """The pair pointed at or clicked, None for none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paths: Points = np.empty((2, 0, 2))
        self._cloud: Points = np.empty((0, 2))
        self._labels: tuple[str, ...] = ()
        self._names = ("A", "B")
        self._message = ""
        self._selected: int | None = None
        self._hovered: int | None = None
        self._under = -1
        self._ground: QPixmap | None = None
        self.setMouseTracking(True)
        self.setAccessibleName("Paths of the text in the latent space under both contexts")

    def set_paths(self, paths: ArrayLike, cloud: ArrayLike, labels: Sequence[str]) -> None:
        """Show paths (2, n, 2) over a cloud (N, 2), with a label a pair."""
        dots = np.asarray(cloud, np.float64).reshape(-1, 2)
        self._cloud = dots[:: max(1, -(-len(dots) // DOTS))]
        self._paths = np.asarray(paths, np.float64).reshape(2, -1, 2)
        self._labels, self._message = tuple(labels), ""
        self._under = -1
        self._renew()

    def set_message(self, message: str) -> None:
        """Show no paths, and say why."""
        self._paths, self._cloud = np.empty((2, 0, 2)), np.empty((0, 2))
        self._labels, self._message = (), message
        self._renew()

    def set_marks(self, selected: int | None, hovered: int | None) -> None:
        """Ring a pair, and outline one."""
        if (selected, hovered) != (self._selected, self._hovered):
            self._selected, self._hovered = selected, hovered
            self.update()

    def _renew(self) -> None:
        self._ground = None
        lengths = np.linalg.norm(self._paths[1] - self._paths[0], axis=-1)
        far = int(np.argmax(np.nan_to_num(lengths))) if len(lengths) else -1
        said = f"farthest apart: {self._labels[far]}" if far >= 0 else self._message
        self.setAccessibleDescription(said)
        self.update()

    # --- where things are ------------------------------------------------------------------------

    def pixels(self, points: Points) -> Points:
        """Places (…, 2) of the plane in pixels of this widget; one scale for both axes."""
        low, high = self._bounds()
        room = np.array([self.width() - 2.0 * MARGIN, self.height() - 2.0 * MARGIN - FOOT]).clip(
            min=1.0
        )
        scale = float((room / np.maximum(high - low, 1e-9)).min())
        middle = np.array([self.width() / 2, (self.height() - FOOT) / 2])
        away = (points - (low + high) / 2) * scale
        return middle + away * (1, -1)

    def _bounds(self) -> tuple[Points, Points]:
        points = self._paths.reshape(-1, 2)
        points = points[np.isfinite(points).all(axis=1)]
        if not len(points):
            return np.zeros(2), np.ones(2)
        # Nearly all: the first token may lie far from all others, and would press them together.
        low, high = (
            np.percentile(points, [1, 99], axis=0)
            if len(points) > 24
            else (
                points.min(axis=0),
                points.max(axis=0),
            )
        )
        wide = np.maximum(high - low, 1e-6)
        return low - wide * 0.15, high + wide * 0.15

    def point_at(self, position: QPointF) -> int:
        """The pair one of whose points is nearest to `position` if near enough, else −1."""
        if not self._paths.shape[1]:
            return -1
        away = self.pixels(self._paths) - (position.x(), position.y())
        squared = np.nan_to_num((away**2).sum(axis=-1), nan=np.inf).min(axis=0)  # (n,)
        nearest = int(np.argmin(squared))
        return nearest if squared[nearest] <= REACH**2 else -1

    # --- painting --------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Blit what is fixed; mark what is chosen and pointed at."""
        look = theme.current()
        ratio = self.devicePixelRatioF()
        if self._ground is None or self._ground.devicePixelRatioF() != ratio:
            self._ground = self._painted(look, ratio)
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._ground)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for pair, colour, wide in (
            (self._hovered, look.hover, 1.5),
            (self._selected, look.accent, 2.5),
        ):
            if pair is not None and 0 <= pair < self._paths.shape[1]:
                self._mark(painter, pair, QColor(colour), wide, look)
        if self._under >= 0:
            at = self.pixels(self._paths[:, self._under]).mean(axis=0)
            around = QRectF(at[0] - 6, at[1] - 6, 12, 12)
            draw_readout(painter, self.rect(), around, self._labels[self._under])
        painter.end()

    def _mark(
        self, painter: QPainter, pair: int, colour: QColor, wide: float, look: theme.Theme
    ) -> None:
        ends = [QPointF(*xy) for xy in self.pixels(self._paths[:, pair]).tolist()]
        painter.setPen(QPen(colour, wide))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawLine(*ends)
        for end in ends:
            painter.drawEllipse(end, 6, 6)
        painter.setFont(theme.token_font(theme.SMALL))
        painter.setPen(QColor(look.text))
        painter.drawText(ends[1] + QPointF(9, 4), self._labels[pair])

    def _painted(self, look: theme.Theme, ratio: float) -> QPixmap:
        pixmap = QPixmap(self.size() * ratio)
        pixmap.setDevicePixelRatio(ratio)
        pixmap.fill(QColor(look.panel))
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._paths.shape[1]:
            painter.setFont(theme.ui_font(theme.SMALL))
            painter.setPen(QColor(look.muted))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(12, 4, -12, -4), flags, self._message)
            painter.end()
            return pixmap
        dots = QColor(look.muted)
        dots.setAlpha(70)
        painter.setPen(QPen(dots, 2.0))
        at = self.pixels(self._cloud)
        seen = ((at > 0) & (at < (self.width(), self.height() - FOOT))).all(axis=1)
        painter.drawPoints([QPointF(x, y) for x, y in at[seen].tolist()])
        both = self.pixels(self._paths)
        line = QColor(look.muted)
        line.setAlpha(120)
        painter.setPen(QPen(line, 0.8))
        for (x, y), (to_x, to_y) in zip(both[0].tolist(), both[1].tolist(), strict=True):
            painter.drawLine(QPointF(x, y), QPointF(to_x, to_y))
        for side, xy in enumerate(both):
            points = [QPointF(x, y) for x, y in xy.tolist()]
            hue = QColor(theme.category(HUES[side]))
            # The second is dashed: a colour alone would not tell them apart.
            style = Qt.PenStyle.DashLine if side else Qt.PenStyle.SolidLine
            painter.setPen(QPen(hue, 1.5, style))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPolyline(QPolygonF(points))
            painter.setPen(QPen(hue, 1.2))
            painter.setBrush(QColor(look.panel) if side else hue)
            for point in points:
                painter.drawEllipse(point, 3, 3)
        self._paint_legend(painter, look)
        painter.end()
        return pixmap

    def _paint_legend(self, painter: QPainter, look: theme.Theme) -> None:
        painter.setFont(theme.ui_font(theme.SMALL))
        x, y = 8.0, self.height() - FOOT / 2
        for side, name in enumerate(self._names):
            hue = QColor(theme.category(HUES[side]))
            style = Qt.PenStyle.DashLine if side else Qt.PenStyle.SolidLine
            painter.setPen(QPen(hue, 1.5, style))
            painter.drawLine(QPointF(x, y), QPointF(x + 18, y))
            painter.setPen(QPen(hue, 1.2))
            painter.setBrush(QColor(look.panel) if side else hue)
            painter.drawEllipse(QPointF(x + 9, y), 3, 3)
            painter.setPen(QColor(look.text))
            painter.drawText(QPointF(x + 23, y + 4), name)
            x += 52
        painter.setPen(QColor(look.muted))
        if self.width() > 260:
            painter.drawText(QPointF(x, y + 4), "thin lines join the same token")

    # --- mouse, theme ----------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell which pair the mouse is over."""
        self._point_at(self.point_at(event.position()))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Tell which pair was clicked; beside the points, none."""
        if event.button() == Qt.MouseButton.LeftButton:
            pair = self.point_at(event.position())
            self.pointClicked.emit(pair if pair >= 0 else None)

    def _point_at(self, pair: int) -> None:
        if pair != self._under:
            self._under = pair
            self.pointHovered.emit(pair if pair >= 0 else None)
            self.update()

    def event(self, event: QEvent) -> bool:
        """Notice the mouse leaving."""
        if event.type() == QEvent.Type.Leave:
            self._point_at(-1)
        return super().event(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Paint anew in another size."""
        super().resizeEvent(event)
        self._ground = None

    def changeEvent(self, event: QEvent) -> None:
        """Paint anew in another theme or face."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self._ground = None
            self.update()

    def sizeHint(self) -> QSize:
        """Room for a short path."""
        return QSize(280, 180)
