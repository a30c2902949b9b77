"""The small label next to what the mouse points at."""

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPen

from gui import theme

_FLAGS = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextWordWrap


def draw_readout(painter: QPainter, within: QRect, beside: QRectF, text: str) -> QRectF:
    """Write `text` beside a place, inside `within`, and return where it was written."""
    if not text:
        return QRectF()
    colours = theme.current()
    font = theme.ui_font(theme.SMALL)
    room = QRect(0, 0, max(40, min(320, within.width() - 24)), within.height())
    size = QFontMetrics(font).boundingRect(room, _FLAGS, text).size()
    box = QRectF(0, 0, size.width() + 16, size.height() + 8)
    box.moveTopLeft(beside.bottomRight())
    box.translate(8, 8)
    if box.right() > within.right():
        box.moveRight(beside.left() - 8)
    if box.bottom() > within.bottom():
        box.moveBottom(beside.top() - 8)
    # Where there is no room on the other side either, lie over the picture but inside the widget.
    box.moveLeft(max(2.0, min(box.left(), within.right() - box.width() - 2)))
    box.moveTop(max(2.0, min(box.top(), within.bottom() - box.height() - 2)))
    painter.setPen(QPen(QColor(colours.line), 1))
    painter.setBrush(QColor(colours.raised))
    painter.drawRoundedRect(box, 4, 4)
    painter.setFont(font)
    painter.setPen(QColor(colours.text))
    painter.drawText(box.adjusted(8, 4, -8, -4), _FLAGS, text)
    return box
