"""A slider for each coordinate of a latent point, side by side in little room."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from gui import theme

REACH = 3.0
"""A slider goes from −REACH to +REACH: three standard deviations of the prior N(0, 1)."""

STEP = 0.25
"""What an arrow key moves a slider by."""


def coordinate(value: float) -> str:
    """A coordinate to two decimals, with a real minus sign."""
    return f"{value:+.2f}".replace("-", "−")


class Faders(QWidget):
    """Vertical sliders; one of them is the chosen dimension.

    The mouse chooses and drags; the left and right keys choose, up and down move. A coordinate
    beyond the range is kept as it is and drawn at the end until it is moved.
    """

    moved = Signal(int, float)
    """The user gave a dimension another value."""

    picked = Signal(int)
    """The user chose another dimension."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.values: tuple[float, ...] = ()
        self.chosen = 0
        self._explained = ""
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def explain(self, text: str) -> None:
        """Say `text` on hover, below the slider's value."""
        self._explained = text
        self.setToolTip(text)

    def set_values(self, values: Sequence[float], chosen: int) -> None:
        """Show a point, one of its dimensions being the chosen one."""
        self.values, self.chosen = tuple(values), chosen
        if self.values:
            told = f"dimension {chosen + 1} at {coordinate(self.values[chosen])}"
            self.setAccessibleDescription(told)
        self.update()

    def sizeHint(self) -> QSize:
        """High enough to be set by a hundredth of the range."""
        return QSize(144, 64)

    def minimumSizeHint(self) -> QSize:
        """Nine pixels for each of sixteen."""
        return QSize(104, 44)

    def column(self, index: int) -> QRectF:
        """The part that belongs to a dimension."""
        wide = (self.width() - 8) / max(1, len(self.values))
        return QRectF(4 + index * wide, 4, wide, self.height() - 8)

    def value_at(self, y: float) -> float:
        """The value at a height, within the range."""
        share = 1 - (y - 7) / max(1, self.height() - 14)
        return round(REACH * (2 * min(max(share, 0.0), 1.0) - 1), 2)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw each slider as a bar from 0 to its value, with a knob."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle, half = self.height() / 2, (self.height() - 14) / 2
        painter.setPen(QPen(QColor(look.line), 1))
        painter.drawLine(QPointF(4, middle), QPointF(self.width() - 4, middle))
        for index, value in enumerate(self.values):
            area = self.column(index)
            chosen = index == self.chosen
            if chosen:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(look.raised))
                painter.drawRoundedRect(area, 3, 3)
            x = area.center().x()
            y = middle - half * min(max(value / REACH, -1.0), 1.0)
            colour = QColor(look.accent if chosen else look.muted)
            painter.setPen(QPen(QColor(look.line), 1))
            painter.drawLine(QPointF(x, middle - half), QPointF(x, middle + half))
            painter.setPen(QPen(colour, 2))
            painter.drawLine(QPointF(x, middle), QPointF(x, y))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            painter.drawEllipse(QPointF(x, y), 3, 3)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.accent), 1))
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        painter.end()

    def _index_at(self, x: float) -> int:
        wide = (self.width() - 8) / max(1, len(self.values))
        return min(max(int((x - 4) // wide), 0), len(self.values) - 1)

    def event(self, event: QEvent) -> bool:
        """Say the value under the mouse."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent) and self.values:
            index = self._index_at(event.pos().x())
            said = f"<p style='margin:0'><b>z{index + 1} = {coordinate(self.values[index])}</b></p>"
            QToolTip.showText(event.globalPos(), said + self._explained, self)
            return True
        return super().event(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the dimension under the mouse; a second press on it sets it."""
        if event.button() != Qt.MouseButton.LeftButton or not self.values:
            return
        index = self._index_at(event.position().x())
        if index != self.chosen:
            self.picked.emit(index)
        else:
            self.moved.emit(index, self.value_at(event.position().y()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the chosen slider, wherever the mouse wanders meanwhile."""
        if event.buttons() & Qt.MouseButton.LeftButton and self.values:
            self.moved.emit(self.chosen, self.value_at(event.position().y()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Choose by left and right, move by up and down."""
        key = event.key()
        last = len(self.values) - 1
        if last < 0:
            super().keyPressEvent(event)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            by = 1 if key == Qt.Key.Key_Right else -1
            self.picked.emit(min(max(self.chosen + by, 0), last))
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            value = self.values[self.chosen] + (STEP if key == Qt.Key.Key_Up else -STEP)
            self.moved.emit(self.chosen, min(max(value, -REACH), REACH))
        else:
            super().keyPressEvent(event)
