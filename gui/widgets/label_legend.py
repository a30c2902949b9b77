"""The labels of a cloud's dots with their colours."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QToolButton, QWidget
from superqt import QFlowLayout

from gui import theme


class LabelLegend(QWidget):
    """The labels with their colours; choosing one leaves the others grey."""

    chosen = Signal(int)
    """The label that alone is coloured, −1 for all of them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Labels of the reference states")
        self._flow = QFlowLayout(self)
        self._flow.setContentsMargins(8, 0, 8, 4)
        self._flow.setHorizontalSpacing(4)
        self._flow.setVerticalSpacing(0)
        self.buttons: list[QToolButton] = []

    def set_names(self, names: Sequence[str]) -> None:
        """Show these labels, none of them chosen."""
        for button in self.buttons:
            self._flow.removeWidget(button)
            button.deleteLater()
        self.buttons = []
        for index, name in enumerate(names):
            button = QToolButton()
            button.setText(name)
            button.setIcon(_dot(theme.category(index)))
            button.setIconSize(QSize(12, 12))
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.setFont(theme.ui_font(theme.SMALL))
            button.setAutoRaise(True)
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setAccessibleName(f"Colour only {name}")
            button.setToolTip(f"Colour only the states of {name}; once more for all labels.")
            button.clicked.connect(lambda on, index=index: self._choose(index if on else -1))
            self._flow.addWidget(button)
            self.buttons.append(button)

    def _choose(self, index: int) -> None:
        for at, button in enumerate(self.buttons):
            button.setChecked(at == index)
        self.chosen.emit(index)


def _dot(colour: str) -> QIcon:
    """A filled circle, sharp at two device pixels a pixel."""
    picture = QPixmap(24, 24)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawEllipse(4, 4, 16, 16)
    painter.end()
    picture.setDevicePixelRatio(2)
    return QIcon(picture)
