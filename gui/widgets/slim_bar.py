"""A scroll bar that takes little room and less attention."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QEnterEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QScrollBar, QStyle, QStyleOptionSlider, QWidget

from gui import theme

THICKNESS = 10
"""Pixels across, of which the middle ones are painted."""


class SlimBar(QScrollBar):
    """Behaves as the style's own scroll bar; only its handle is drawn."""

    def __init__(self, orientation: Qt.Orientation, parent: QWidget | None = None) -> None:
        super().__init__(orientation, parent)
        if orientation == Qt.Orientation.Horizontal:
            self.setFixedHeight(THICKNESS)
        else:
            self.setFixedWidth(THICKNESS)

    def sizeHint(self) -> QSize:
        """`THICKNESS` across."""
        across = self.orientation() == Qt.Orientation.Horizontal
        return QSize(48, THICKNESS) if across else QSize(THICKNESS, 48)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the handle, stronger under the pointer."""
        option = QStyleOptionSlider()
        self.initStyleOption(option)
        handle = QRectF(
            self.style().subControlRect(
                QStyle.ComplexControl.CC_ScrollBar,
                option,
                QStyle.SubControl.SC_ScrollBarSlider,
                self,
            )
        )
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(look.muted if self.underMouse() else look.line))
        painter.drawRoundedRect(handle.adjusted(2, 2, -2, -2), 3, 3)

    def enterEvent(self, event: QEnterEvent) -> None:
        """Show that it can be taken hold of."""
        super().enterEvent(event)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Step back."""
        super().leaveEvent(event)
        self.update()
