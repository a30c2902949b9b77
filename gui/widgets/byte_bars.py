"""Bars of bytes with their numbers, in sections that each have a scale of their own.

Filled is held; hatched was never made; hollow can still be had. Lines that sum others are bold.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QHelpEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from gui import theme
from gui.accounting import Line, Section, amount
from gui.widgets.hatch import draw_hatch

ROW = 17
HEAD = 22
GAP = 12
"""Heights of a line and of a section's title, and the room between sections, in pixels."""

_MARGIN = 8
_BETWEEN = 24
_COLUMN = 260
"""A section is no narrower than this where two stand side by side."""

_LEVEL = Qt.AlignmentFlag.AlignVCenter


class ByteBars(QWidget):
    """Sections of bars, side by side where there is room, else one below the other."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Memory")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._sections: tuple[Section, ...] = ()

    @property
    def sections(self) -> tuple[Section, ...]:
        """What is shown."""
        return self._sections

    def set_sections(self, sections: Sequence[Section]) -> None:
        """Show these."""
        self._sections = tuple(sections)
        self.setAccessibleDescription(
            "; ".join(
                f"{section.title}: "
                + ", ".join(f"{line.label} {amount(line.bytes)}" for line in section.lines)
                for section in self._sections
            )
        )
        self.updateGeometry()
        self.update()

    def line_at(self, point: QPointF) -> Line | None:
        """The line drawn at `point`, if any."""
        for section, box in self._boxes():
            for line, row in self._rows(section, box):
                if row.contains(point):
                    return line
        return None

    def rows(self) -> tuple[tuple[Line, QRectF], ...]:
        """Every line and where it stands."""
        return tuple(row for section, box in self._boxes() for row in self._rows(section, box))

    # --- places ----------------------------------------------------------------------------------

    def _side_by_side(self, width: int) -> bool:
        return width >= len(self._sections) * _COLUMN + _BETWEEN

    def _boxes(self) -> list[tuple[Section, QRectF]]:
        """Where each section stands."""
        boxes = []
        left, top = float(_MARGIN), 2.0
        beside = self._side_by_side(self.width())
        count = len(self._sections) if beside else 1
        width = (self.width() - 2 * _MARGIN - (count - 1) * _BETWEEN) / max(count, 1)
        for section in self._sections:
            height = HEAD + ROW * len(section.lines)
            boxes.append((section, QRectF(left, top, width, height)))
            if beside:
                left += width + _BETWEEN
            else:
                top += height + GAP
        return boxes

    @staticmethod
    def _rows(section: Section, box: QRectF) -> list[tuple[Line, QRectF]]:
        return [
            (line, QRectF(box.left(), box.top() + HEAD + ROW * index, box.width(), ROW))
            for index, line in enumerate(section.lines)
        ]

    def heightForWidth(self, width: int) -> int:
        """As high as the sections are, side by side or stacked."""
        heights = [HEAD + ROW * len(section.lines) for section in self._sections]
        if not heights:
            return ROW
        if self._side_by_side(width):
            return max(heights) + 4
        return sum(heights) + GAP * (len(heights) - 1) + 4

    def sizeHint(self) -> QSize:
        """Room for all lines."""
        return QSize(2 * _COLUMN, self.heightForWidth(self.width()))

    def minimumSizeHint(self) -> QSize:
        """All lines: what does not fit is scrolled by what is around the bars."""
        return QSize(180, self.heightForWidth(self.width()))

    # --- Qt --------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Ask for another height where the sections now stand otherwise."""
        super().resizeEvent(event)
        self.updateGeometry()

    def event(self, event: QEvent) -> bool:
        """Explain the line under the mouse, with its bytes to the last digit."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            line = self.line_at(QPointF(event.pos()))
            if line is None:
                QToolTip.hideText()
            else:
                said = f"{line.bytes:,} bytes".replace(",", " ")
                text = f"<p style='margin:0'><b>{line.label}</b>: {said}<br>{line.about}</p>"
                QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw each section's title, lines, bars and numbers."""
        colours = theme.current()
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(colours.panel))
        for section, box in self._boxes():
            self._draw_head(painter, section, box)
            for line, row in self._rows(section, box):
                self._draw_line(painter, section, line, row)
        painter.end()

    def _draw_head(self, painter: QPainter, section: Section, box: QRectF) -> None:
        colours = theme.current()
        head = QRectF(box.left(), box.top(), box.width(), HEAD - 4)
        painter.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        painter.setPen(QColor(colours.muted))
        scale = f"full bar {amount(section.full)}"
        wide = painter.fontMetrics().horizontalAdvance(scale)
        painter.drawText(head, _LEVEL | Qt.AlignmentFlag.AlignRight, scale)
        head.setWidth(max(0.0, head.width() - wide - 8))
        title = painter.fontMetrics().elidedText(
            section.title, Qt.TextElideMode.ElideRight, int(head.width())
        )
        painter.drawText(head, _LEVEL | Qt.AlignmentFlag.AlignLeft, title)
        painter.setPen(QPen(QColor(colours.line), 1))
        under = box.top() + HEAD - 3.5
        painter.drawLine(QPointF(box.left(), under), QPointF(box.right(), under))

    def _draw_line(self, painter: QPainter, section: Section, line: Line, row: QRectF) -> None:
        colours = theme.current()
        words = theme.tabular(theme.ui_font(theme.SMALL, bold=line.kind == "sum"))
        metrics = QFontMetrics(theme.tabular(theme.ui_font(theme.SMALL, bold=True)))
        number = metrics.horizontalAdvance("888.8 MB") + 4
        widest = max(metrics.horizontalAdvance(one.label) for one in section.lines) + 8
        # Bars give way to words, down to a stub.
        label = min(widest, max(48, int(row.width()) - number - 40))
        painter.setFont(words)
        painter.setPen(QColor(colours.text if line.kind != "never" else colours.muted))
        text = painter.fontMetrics().elidedText(
            line.label, Qt.TextElideMode.ElideRight, int(label) - 4
        )
        painter.drawText(row, _LEVEL | Qt.AlignmentFlag.AlignLeft, text)
        painter.drawText(row, _LEVEL | Qt.AlignmentFlag.AlignRight, amount(line.bytes))
        room = row.width() - label - number - 4
        wide = max(1.5, room * min(1.0, line.bytes / section.full))
        bar = QRectF(row.left() + label, row.top() + 4, wide, ROW - 8)
        if room <= 0 or not line.bytes:
            return
        if line.kind == "never":
            draw_hatch(painter, bar, painter.device().devicePixelRatio())
        fill = QColor(theme.category(4 if colours.dark else 0))
        edge = QColor(colours.muted)
        if line.kind in ("held", "sum"):
            edge = fill
            painter.fillRect(bar, fill)
        painter.setPen(QPen(edge, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(bar.adjusted(0.5, 0.5, -0.5, -0.5))
