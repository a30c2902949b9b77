"""The hatching of what does not exist: cells that a mask forbids, unlike cells of no weight."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPixmap

from gui import theme

_PERIOD = 6


def draw_hatch(painter: QPainter, rect: QRectF, ratio: float) -> None:
    """Hatch `rect`, on a screen of `ratio` dots a pixel (Qt's own patterns are always one dot)."""
    tile = _tile(theme.current().line, ratio)
    painter.drawTiledPixmap(rect, tile, QPointF(0, 0))


@lru_cache(maxsize=8)
def _tile(colour: str, ratio: float) -> QPixmap:
    """Many periods of the pattern, since laying tiles is what takes time."""
    side = round(_PERIOD * ratio)
    whole = side * 40
    tile = QPixmap(whole, whole)
    tile.fill(Qt.GlobalColor.transparent)
    inner = QPainter(tile)
    inner.setRenderHint(QPainter.RenderHint.Antialiasing)
    inner.setPen(QPen(QColor(colour), ratio))
    # Also the neighbours' lines, whose ends reach into the corners of this tile.
    for shift in range(-whole, whole + side, side):
        inner.drawLine(QPointF(shift - side, whole + side), QPointF(shift + whole + side, -side))
    inner.end()
    tile.setDevicePixelRatio(ratio)
    return tile
