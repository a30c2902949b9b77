"""The hatching of what does not exist: cells that a mask forbids, unlike cells of no weight."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPixmap

from gui import theme

_PERIOD = 6


def draw_hatch(painter: QPainter, rect: QRectF, ratio: float) -> None:
    """Hatch `rect`, on a screen of `ratio` dots a pixel (Qt's own patterns are always one dot)."""
    side = round(_PERIOD * ratio)
    tile = QPixmap(side, side)
    tile.fill(Qt.GlobalColor.transparent)
    inner = QPainter(tile)
    inner.setRenderHint(QPainter.RenderHint.Antialiasing)
    inner.setPen(QPen(QColor(theme.current().line), ratio))
    # Also the neighbours' lines, whose ends reach into the corners of this tile.
    for shift in (-side, 0, side):
        inner.drawLine(QPointF(shift - side, 2 * side), QPointF(shift + 2 * side, -side))
    inner.end()
    tile.setDevicePixelRatio(ratio)
    painter.drawTiledPixmap(rect, tile, QPointF(0, 0))
