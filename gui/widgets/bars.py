"""Bars: a short list of words with their numbers, and a column of lengths beside the rows of a map.

Both write the number as well, so that no length has to be measured by eye.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from gui import theme
from gui.widgets.heatmap import HeatMap
from gui.widgets.legend import number
from gui.widgets.primitives import draw_rects
from gui.widgets.token_axis import NO_MARKS, Marks

ROW = 18
"""Height of a word of a list in pixels."""

OUTLIER = 3.0
"""Lengths beyond so many medians are cut."""


def length(value: float) -> str:
    """A length to three digits, written out as long as that is short."""
    if not np.isfinite(value):
        return "not a number"
    if 0.001 <= value < 99_999:
        return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"
    return number(float(value))


class BarList(QWidget):
    """Words one below the other, each with a bar and its number.

    Parameters
    ----------
    name : str
        What the list shows, for those who hear it.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        self._rows: tuple[tuple[str, float], ...] = ()
        self._message = ""

    @property
    def rows(self) -> tuple[tuple[str, float], ...]:
        """What is listed."""
        return self._rows

    def set_rows(self, rows: Sequence[tuple[str, float]], message: str = "") -> None:
        """List words with values from −1 to 1; where there are none, say `message`."""
        self._rows, self._message = tuple(rows), message
        said = ", ".join(f"{text.strip()} {value:.2f}" for text, value in self._rows)
        self.setAccessibleDescription(said or message)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Room for all words, or for the message."""
        return QSize(168, max(len(self._rows), 3) * ROW + 8)

    def minimumSizeHint(self) -> QSize:
        """All words: what does not fit is scrolled by what is around the list."""
        return QSize(104, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Write the words at the left, the numbers at the right, the bars behind."""
        colours = theme.current()
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(colours.panel))
        if not self._rows:
            painter.setFont(theme.ui_font(theme.SMALL))
            painter.setPen(QColor(colours.muted))
            flags = Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(8, 8, -8, -4), flags, self._message)
            painter.end()
            return
        words = theme.token_font(theme.SMALL)
        numbers = theme.tabular(theme.ui_font(theme.SMALL))
        figure = QFontMetrics(numbers).horizontalAdvance("−0.00") + 8
        widest = max(QFontMetrics(words).horizontalAdvance(text) for text, _ in self._rows)
        # Bars give way to words, down to a stub.
        word = min(widest + 12, max(40, self.width() - figure - 16 - 24))
        bar = max(0, self.width() - 8 - word - figure - 8)
        level = Qt.AlignmentFlag.AlignVCenter
        for index, (text, value) in enumerate(self._rows):
            top = 4 + index * ROW
            painter.setFont(words)
            painter.setPen(QColor(colours.text))
            shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, word - 8)
            painter.drawText(QRectF(8, top, word, ROW), level | Qt.AlignmentFlag.AlignLeft, shown)
            if np.isfinite(value):
                wide = bar * min(abs(value), 1.0)
                # A negative value's bar is hollow: a colour alone would not say it.
                fill = QColor(colours.muted if value >= 0 else colours.panel)
                painter.setPen(QColor(colours.muted))
                painter.setBrush(fill)
                painter.drawRect(QRectF(8 + word + 0.5, top + 5.5, max(wide, 1), ROW - 11))
            painter.setFont(numbers)
            painter.setPen(QColor(colours.text))
            box = QRectF(self.width() - figure - 4, top, figure, ROW)
            said = f"{value:.2f}".replace("-", "−") if np.isfinite(value) else "–"
            painter.drawText(box, level | Qt.AlignmentFlag.AlignRight, said)
        painter.end()


class LengthColumn(QWidget):
    """Bars that stand beside the rows of a heat map and follow it when it is magnified.

    One length may exceed the others a hundredfold, as the norm of a first token does; a bar longer
    than `OUTLIER` medians is cut, and its end is open. The numbers are written where rows are high
    enough, and always said on hover.

    Parameters
    ----------
    beside : HeatMap
        The map whose rows they belong to.
    quantity : str
        What the bars measure; stands below them.
    """

    WIDTH = 48

    def __init__(self, beside: HeatMap, quantity: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._beside, self._quantity = beside, quantity
        self._values = np.zeros(0)
        self._labels: tuple[str, ...] = ()
        self._marks = NO_MARKS
        self._place = (0.0, 0.0, 0.0, 0.0)
        self._cap = 1.0
        self.setFixedWidth(self.WIDTH)
        self.setMouseTracking(True)
        self.setAccessibleName(quantity)
        beside.installEventFilter(self)

    def set_lengths(self, values: ArrayLike, labels: Sequence[str]) -> None:
        """Show (R,) lengths, and the names of the rows for the hover."""
        before, cap, place = self._values, self._cap, self._place
        self._values, self._labels = np.array(values, np.float64), tuple(labels)
        finite = self._values[np.isfinite(self._values)]
        largest = float(finite.max(initial=0.0))
        self._cap = min(largest, OUTLIER * float(np.median(finite))) if len(finite) else 1.0
        self._cap = self._cap or largest or 1.0
        # The map may have its new rows by now: then its painting is no news.
        self._place = self._rows_now()
        self._update_changed(before if (cap, place) == (self._cap, self._place) else np.zeros(0))

    def _update_changed(self, before: NDArray[np.float64]) -> None:
        """Have the bars painted that are others than those of the lengths `before`."""
        now = self._values
        if len(before) != len(now):
            self.update()
            return
        changed = np.flatnonzero((before != now) & ~(np.isnan(before) & np.isnan(now)))
        if len(changed):
            top, _, start, high = self._place
            above, below = start + changed[[0, -1]] * high
            # A bar may be thicker than its row, and begin on the dot before.
            band = QRectF(0, max(top, above) - 1, self.width(), below - above + high + 3)
            self.update(band.toAlignedRect())

    def set_marks(self, marks: Marks) -> None:
        """Give the selected row's bar the accent."""
        if marks != self._marks:
            self._marks = marks
            self.update()

    def row_at(self, y: float) -> int:
        """The row at a height, −1 where there is none."""
        row, _ = self._beside.cell_at(QPointF(self._beside.plot_rect().left() + 1, y))
        return row if row < len(self._values) else -1

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the map: it says by painting that its rows have moved."""
        painted = watched is self._beside and event.type() == QEvent.Type.Paint
        if painted and self._rows_now() != self._place:
            self.update()
        return False

    def _rows_now(self) -> tuple[float, float, float, float]:
        """Top and height of the map's picture, then of its first row."""
        plot, cell = self._beside.plot_rect(), self._beside.cell_rect(0, 0)
        return plot.top(), plot.height(), cell.top(), cell.height()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the number under the mouse."""
        row = self.row_at(event.position().y())
        if row >= 0:
            text = f"{self._labels[row]}: {self._quantity} = {length(self._values[row])}"
            QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bars of the rows in view."""
        colours = theme.current()
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(colours.panel))
        painter.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self._place = self._rows_now()
        top, height, start, high = self._place
        painter.setPen(QColor(colours.muted))
        foot = QRectF(0, self.height() - 24, self.width(), 24)
        if len(self._values):
            painter.drawText(foot, Qt.AlignmentFlag.AlignCenter, self._quantity)
        painter.setClipRect(QRectF(0, top, self.width(), height))
        tops = start + high * np.arange(len(self._values), dtype=np.float64)  # (R,)
        first = max(top, event.rect().top() - 3.0)
        last = min(top + height, event.rect().bottom() + 3.0)
        seen = np.isfinite(self._values) & (tops + high >= first) & (tops <= last)
        self._paint_bars(painter, np.flatnonzero(seen), tops, high)
        if high >= 13:
            painter.setPen(QColor(colours.text))
            level = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
            for row in np.flatnonzero(seen):
                inner = QRectF(7, tops[row], self.width() - 8, high)
                painter.drawText(inner, level, length(self._values[row]))
        painter.end()

    def _paint_bars(
        self, painter: QPainter, rows: NDArray[np.intp], tops: NDArray[np.float64], high: float
    ) -> None:
        """Draw the bars of `rows`; `tops` (R,) says where each of all rows begins."""
        colours = theme.current()
        room = self.width() - 8.0
        values = self._values[rows]
        wide = np.maximum(room * np.minimum(values / self._cap, 1.0), 1.0)
        gap = 1.0 if high >= 4 else 0.0
        thick = max(high - 2 * gap, 1.0)
        faint = QColor(colours.muted)
        faint.setAlpha(60)
        painter.setPen(Qt.PenStyle.NoPen)
        bars = np.full((len(rows), 4), (4.0, 0.0, 0.0, thick))  # left, top, width, height
        bars[:, 1], bars[:, 2] = tops[rows] + gap, wide
        shown = (self._marks.selected, self._marks.hovered)
        marked = np.isin(rows, [row for row in shown if row is not None])
        for row, bar in zip(rows[marked].tolist(), bars[marked].tolist(), strict=True):
            fill = QColor(colours.accent if row == self._marks.selected else colours.muted)
            # Faint enough for the number that is written over it.
            fill.setAlpha(130)
            painter.fillRect(QRectF(*bar), fill)
        painter.setBrush(faint)
        draw_rects(painter, bars[~marked])
        # Two gaps near the end, as a broken axis has them.
        painter.setBrush(QColor(colours.panel))
        cut = (tops[rows][values > self._cap * (1 + 1e-9)] + gap).tolist()
        painter.drawRects([QRectF(x, y, 2, thick) for y in cut for x in (room - 6, room - 2)])
