"""What a decoded latent point says: one point as bars, a row of points as a strip of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from engine.latent.values import DecodeResult
from gui import theme
from gui.widgets.nextbar import percent
from gui.widgets.spans import visible

ROW = 22
"""Height of a token of the list in pixels."""

_LEFT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
_RIGHT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight


@dataclass(frozen=True, slots=True)
class Said:
    """A token a point decodes to: how it is written, its bar 0..1, and its number in words."""

    token: str
    share: float
    number: str


def said(result: DecodeResult, point: int) -> tuple[Said, ...]:
    """The tokens of one of the points of `result`, likeliest first."""
    found = []
    for text, score in zip(result.texts[point], result.scores[point].tolist(), strict=True):
        number = percent(score) if result.kind == "next" else f"{score:.2f}".replace("-", "−")
        found.append(Said(visible(text) or "∅", min(1.0, max(0.0, score)), number))
    return tuple(found)


class DecodeBars(QWidget):
    """The likeliest tokens one below the other, as many as there is room for; or a message."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: tuple[Said, ...] = ()
        self.message = ""
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def set_rows(self, rows: Sequence[Said], message: str = "") -> None:
        """List tokens; where there are none, say `message`."""
        self.rows, self.message = tuple(rows), message
        told = ", ".join(f"{row.token} {row.number}" for row in self.rows)
        self.setAccessibleDescription(told or message)
        self.update()

    def minimumSizeHint(self) -> QSize:
        """Room for two tokens: the rest is seen where there is more."""
        return QSize(104, 2 * ROW)

    def sizeHint(self) -> QSize:
        """Room for six."""
        return QSize(144, 6 * ROW)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Write token and number, the bar below them."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self.rows:
            painter.setFont(theme.ui_font(theme.SMALL))
            painter.setPen(QColor(look.muted))
            flags = Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(4, 2, -4, -2), flags, self.message)
            painter.end()
            return
        numbers, words = theme.tabular(theme.ui_font(theme.SMALL)), theme.token_font(theme.SMALL)
        for index, row in enumerate(self.rows[: self.height() // ROW]):
            line = QRectF(4, index * ROW, self.width() - 10, ROW - 4)
            painter.setFont(numbers)
            painter.setPen(QColor(look.muted))
            painter.drawText(line, _RIGHT, row.number)
            room = line.width() - painter.fontMetrics().horizontalAdvance(row.number) - 6
            painter.setFont(words)
            painter.setPen(QColor(look.text))
            shown = painter.fontMetrics().elidedText(
                row.token, Qt.TextElideMode.ElideRight, int(room)
            )
            painter.drawText(line, _LEFT, shown)
            painter.setPen(Qt.PenStyle.NoPen)
            track = QRectF(line.left(), line.bottom(), line.width(), 3)
            painter.setBrush(QColor(look.line))
            painter.drawRoundedRect(track, 1.5, 1.5)
            track.setWidth(max(2.0, track.width() * row.share))
            painter.setBrush(QColor(look.accent))
            painter.drawRoundedRect(track, 1.5, 1.5)
        painter.end()


class DecodeStrip(QWidget):
    """The likeliest token of each point of a row, the fuller the colour the likelier.

    Below each stands where it lies on the way. The whole list of a cell is said on hover.
    """

    HEIGHT = 38

    clicked = Signal(int)
    """A cell was clicked, or stepped to by an arrow key."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cells: tuple[tuple[Said, ...], ...] = ()
        self.labels: tuple[str, ...] = ()
        self.message = ""
        self.chosen = -1
        self._explained = ""
        self.setFixedHeight(self.HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)

    def explain(self, text: str) -> None:
        """Say `text` on hover, below what the cell there holds."""
        self._explained = text
        self.setToolTip(text)

    def set_cells(
        self, cells: Sequence[tuple[Said, ...]], labels: Sequence[str], message: str = ""
    ) -> None:
        """Show a row of points with their labels; where there are none, say `message`."""
        self.cells, self.labels, self.message = tuple(cells), tuple(labels), message
        told = ", ".join(
            f"{label}: {cell[0].token}" for label, cell in zip(labels, self.cells, strict=False)
        )
        self.setAccessibleDescription(told or message)
        self.update()

    def choose(self, index: int) -> None:
        """Frame a cell; −1 frames none."""
        if index != self.chosen:
            self.chosen = index
            self.update()

    def cell_rect(self, index: int) -> QRectF:
        """Where a cell is drawn."""
        wide = (self.width() - 8) / max(1, len(self.cells))
        return QRectF(4 + index * wide + 1, 2, wide - 2, self.height() - 4)

    def cell_at(self, position: QPointF) -> int:
        """The cell at a place, −1 where there is none."""
        wide = (self.width() - 8) / max(1, len(self.cells))
        index = int((position.x() - 4) // wide)
        return index if 0 <= index < len(self.cells) else -1

    def minimumSizeHint(self) -> QSize:
        """Narrow: tokens are cut before the panel is."""
        return QSize(160, self.HEIGHT)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Fill each cell by its probability and write its token and its place."""
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self.cells:
            painter.setFont(theme.ui_font(theme.SMALL))
            painter.setPen(QColor(look.muted))
            flags = _LEFT | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(8, 0, -8, 0), flags, self.message)
        words, places = theme.token_font(theme.SMALL), theme.tabular(theme.ui_font(theme.SMALL))
        for index, (cell, label) in enumerate(zip(self.cells, self.labels, strict=True)):
            area, first = self.cell_rect(index), cell[0]
            fill = QColor(look.accent)
            fill.setAlphaF(0.06 + 0.5 * first.share)
            chosen = index == self.chosen
            painter.setPen(QPen(QColor(look.accent), 1.5) if chosen else Qt.PenStyle.NoPen)
            painter.setBrush(fill)
            painter.drawRoundedRect(area, 3, 3)
            inner = area.adjusted(2, 1, -2, -1)
            upper, lower = QRectF(inner), QRectF(inner)
            upper.setHeight(inner.height() / 2)
            lower.setTop(upper.bottom())
            painter.setFont(words)
            painter.setPen(QColor(look.text))
            elide = Qt.TextElideMode.ElideRight
            shown = painter.fontMetrics().elidedText(first.token, elide, int(inner.width()))
            painter.drawText(upper, Qt.AlignmentFlag.AlignCenter, shown)
            painter.setFont(places)
            shown = painter.fontMetrics().elidedText(label, elide, int(inner.width()))
            painter.drawText(lower, Qt.AlignmentFlag.AlignCenter, shown)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.accent), 1))
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        painter.end()

    def event(self, event: QEvent) -> bool:
        """Say what the cell under the mouse holds."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            index = self.cell_at(QPointF(event.pos()))
            if index >= 0:
                rows = "<br>".join(
                    f"{_escaped(one.token)} &nbsp; {_escaped(one.number)}"
                    for one in self.cells[index]
                )
                text = f"<p style='margin:0'><b>{self.labels[index]}</b><br>{rows}</p>"
                QToolTip.showText(event.globalPos(), text + self._explained, self)
                return True
        return super().event(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the cell under the mouse."""
        index = self.cell_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and index >= 0:
            self.clicked.emit(index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Step along the row."""
        by = {Qt.Key.Key_Right: 1, Qt.Key.Key_Left: -1}.get(Qt.Key(event.key()))
        if by is None or not self.cells:
            super().keyPressEvent(event)
            return
        here = self.chosen if self.chosen >= 0 else len(self.cells) // 2 - by
        self.clicked.emit(min(max(here + by, 0), len(self.cells) - 1))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
