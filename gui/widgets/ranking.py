"""A short list of what ranks highest, each with a bar and its number; a click goes there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.widgets.focus import by_keyboard, draw_focus
from gui.widgets.legend import number

ROW, HEAD = 18, 20
"""Pixels of a line, and of the title."""


class Ranking(QWidget):
    """Lines (text, value) by falling magnitude; a negative value has a hollow bar.

    Up and down move from line to line, Return goes where a click would.

    Parameters
    ----------
    title : str
        What is ranked, and by what; stands above the lines.
    about : str
        A tooltip that explains it.
    whole : bool
        Whether it is as high as its lines are many, to stand in something that scrolls; else lines
        that have no room are left out.
    """

    chosen = Signal(int)
    """The line that was clicked."""

    def __init__(
        self, title: str, about: str, parent: QWidget | None = None, *, whole: bool = False
    ) -> None:
        super().__init__(parent)
        self._whole = whole
        self._title = title
        self._rows: tuple[tuple[str, float], ...] = ()
        self._message = ""
        self._marked: frozenset[int] = frozenset()
        self._hovered = -1
        self._at = 0
        self._keyed = False
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(title)
        self.setToolTip(f"<p>{about}</p>")

    @property
    def rows(self) -> tuple[tuple[str, float], ...]:
        """What is listed."""
        return self._rows

    @property
    def room(self) -> int:
        """How many lines can be seen."""
        return len(self._rows) if self._whole else max(1, (self.height() - HEAD) // ROW)

    def set_rows(self, rows: Sequence[tuple[str, float]], message: str = "") -> None:
        """List these; where there are none, say `message`."""
        if (tuple(rows), message) != (self._rows, self._message):
            self._rows, self._message = tuple(rows), message
            self._at = min(self._at, max(0, len(self._rows) - 1))
            said = ", ".join(f"{text.strip()} {value:.2f}" for text, value in self._rows)
            self.setAccessibleDescription(said or message)
            self.updateGeometry()
            self.update()

    def set_title(self, title: str) -> None:
        """Say what it is ranked by now."""
        if title != self._title:
            self._title = title
            self.setAccessibleName(title)
            self.update()

    def set_marked(self, lines: frozenset[int]) -> None:
        """Mark the lines that are chosen elsewhere too."""
        if lines != self._marked:
            self._marked = lines
            self.update()

    def line_at(self, point: QPointF) -> int:
        """The line at a place, −1 for none."""
        line = int((point.y() - HEAD) // ROW)
        return line if 0 <= line < min(len(self._rows), self.room) else -1

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Write the words at the left, the numbers at the right, the bars between."""
        look = theme.current()
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(look.panel))
        level = Qt.AlignmentFlag.AlignVCenter
        small = theme.ui_font(theme.SMALL)
        painter.setFont(small)
        painter.setPen(QColor(look.muted))
        head = painter.fontMetrics().elidedText(
            self._title, Qt.TextElideMode.ElideRight, self.width() - 12
        )
        painter.drawText(QRectF(8, 0, self.width() - 8, HEAD), level, head)
        if not self._rows:
            flags = Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(8, HEAD + 4, -8, -2), flags, self._message)
        else:
            self._paint_rows(painter, look)
        if self._keyed and self.hasFocus():
            draw_focus(painter, self.rect())
        painter.end()

    def _paint_rows(self, painter: QPainter, look: theme.Theme) -> None:
        words, numbers = theme.token_font(theme.SMALL), theme.tabular(theme.ui_font(theme.SMALL))
        figure = QFontMetrics(numbers).horizontalAdvance("−0.00") + 4
        shown = self._rows[: self.room]
        widest = max(QFontMetrics(words).horizontalAdvance(text) for text, _ in shown)
        # Bars give way to words, down to a stub.
        word = min(widest + 12, max(36, self.width() - figure - 16 - 8))
        bar = max(0, self.width() - 8 - word - figure - 8)
        largest = max((abs(value) for _, value in shown if math.isfinite(value)), default=0.0)
        level = Qt.AlignmentFlag.AlignVCenter
        for index, (text, value) in enumerate(shown):
            top = HEAD + index * ROW
            marked = index in self._marked
            if marked or index == self._hovered or (self._keyed and index == self._at):
                painter.fillRect(QRectF(4, top, self.width() - 8, ROW), QColor(look.raised))
            if marked:
                painter.fillRect(QRectF(4, top + 2, 2, ROW - 4), QColor(look.accent))
            painter.setFont(words)
            painter.setPen(QColor(look.text))
            cut = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, word - 8)
            painter.drawText(QRectF(10, top, word, ROW), level | Qt.AlignmentFlag.AlignLeft, cut)
            if largest and math.isfinite(value):
                painter.setPen(QColor(look.muted))
                painter.setBrush(QColor(look.muted if value >= 0 else look.panel))
                wide = max(1.0, bar * abs(value) / largest)
                painter.drawRect(QRectF(8 + word + 0.5, top + 5.5, wide, ROW - 11))
            painter.setFont(numbers)
            painter.setPen(QColor(look.text))
            box = QRectF(self.width() - figure - 4, top, figure, ROW)
            painter.drawText(box, level | Qt.AlignmentFlag.AlignRight, _said(value))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show what a click would choose."""
        line = self.line_at(event.position())
        if line != self._hovered:
            self._hovered = line
            shape = Qt.CursorShape
            self.setCursor(shape.PointingHandCursor if line >= 0 else shape.ArrowCursor)
            self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose a line."""
        line = self.line_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and line >= 0:
            self._at = line
            self.chosen.emit(line)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go through the lines; Return chooses."""
        last = min(len(self._rows), self.room) - 1
        if event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down) and last >= 0:
            step = 1 if event.key() == Qt.Key.Key_Down else -1
            self._at, self._keyed = max(0, min(last, self._at + step)), True
            self.update()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and last >= 0:
            self.chosen.emit(min(self._at, last))
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show a frame where the focus came by a key."""
        self._keyed = by_keyboard(event)
        super().focusInEvent(event)

    def event(self, event: QEvent) -> bool:
        """Notice the mouse leaving."""
        if event.type() == QEvent.Type.Leave and self._hovered >= 0:
            self._hovered = -1
            self.update()
        return super().event(event)

    def sizeHint(self) -> QSize:
        """Six lines, or as many as there are."""
        return QSize(140, HEAD + (max(2, len(self._rows)) if self._whole else 6) * ROW)

    def minimumSizeHint(self) -> QSize:
        """Two lines: what is lower ranks lower; or all of them."""
        return QSize(80, self.sizeHint().height() if self._whole else HEAD + 2 * ROW)


def _said(value: float) -> str:
    """A number in few digits; what is small keeps one that says something."""
    if not math.isfinite(value):
        return "none"
    if value and abs(value) < 0.0005:
        return number(float(f"{value:.0e}"))
    return (f"{value:.3f}" if abs(value) < 0.995 else f"{value:.2f}").replace("-", "−")
