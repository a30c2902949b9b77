"""Labels along an axis of cells: thinned out as they get crowded, elided, marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen

from engine.types import Token
from gui import theme
from gui.widgets.spans import same_start, visible

_PAD = 4
# The closest labels stand nearer than a line is high; letters below the line must not be cut.
_ACROSS = Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextDontClip
# To join flags takes Python as long as to write a label.
_RIGHT, _LEFT = _ACROSS | Qt.AlignmentFlag.AlignRight, _ACROSS | Qt.AlignmentFlag.AlignLeft


@dataclass(frozen=True, slots=True)
class Marks:
    """What is marked along one axis: hover an outline, selection filled, pins a dot, range a line.

    `range` has its first cell and the one after its last.
    """

    hovered: int | None = None
    selected: int | None = None
    pinned: frozenset[int] = frozenset()
    range: tuple[int, int] | None = None

    def shown(self, count: int) -> tuple[int, ...]:
        """The marked indices below `count`, the selected one last so that it lies on top."""
        marked = [*sorted(self.pinned), self.hovered, self.selected]
        kept = dict.fromkeys(i for i in marked if i is not None and 0 <= i < count)
        if self.selected in kept:
            kept[self.selected] = kept.pop(self.selected)
        return tuple(kept)


NO_MARKS = Marks()


@lru_cache(maxsize=1 << 10)
def token_label(text: str) -> str:
    """Make a token's text fit for an axis: without blanks around it, other marks made visible."""
    shown = visible(text)
    return shown.strip("·") or shown or "∅"


class TokenLabels:
    """Labels of one context's tokens after another's: those at the beginning stay as they are."""

    def __init__(self) -> None:
        self._tokens: Sequence[Token] = ()
        self._labels: list[str] = []

    def of(self, tokens: Sequence[Token]) -> list[str]:
        """The label of each token, see `token_label`, as a list of one's own."""
        kept = same_start(self._tokens, tokens)
        self._labels[kept:] = [token_label(token.text) for token in tokens[kept:]]
        self._tokens = tokens
        return self._labels.copy()


@lru_cache(maxsize=1 << 10)
def elided(text: str, width: int, font: QFont) -> str:
    """`text`, cut with an ellipsis where it takes more than `width` pixels."""
    return QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, width)


def step_for(cell: float, needed: float) -> int:
    """Every how many cells of `cell` pixels a label of `needed` pixels has room."""
    if cell <= 0:
        return 1
    least = max(1, math.ceil(needed / cell))
    # Steps of 1, 2, 5, 10, … keep labels in place while the panel grows, mostly.
    magnitude = int(10 ** int(math.log10(least)))
    return next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= least)


def longest_width(labels: Sequence[str], font: QFont) -> int:
    """Width in pixels of the longest label; by its length, since the face is monospaced."""
    return QFontMetrics(font).horizontalAdvance(max(labels, key=len, default=""))


def _line_height() -> int:
    """Pixels from one label to the next below it, at the closest."""
    return theme.SMALL + 1


class LabelAxis:
    """Draws one axis' labels into a strip.

    Parameters
    ----------
    labels : sequence of str
        One for each cell.
    upright : bool
        Labels one below the other, at the left of rows; else side by side, above columns.
    """

    def __init__(self, labels: Sequence[str] = (), upright: bool = True) -> None:
        self.upright = upright
        self.labels: Sequence[str] = ()
        self._font: QFont | None = None
        self._longest = 0
        self.set_labels(labels)

    def set_labels(self, labels: Sequence[str]) -> None:
        """Take other labels, one for each cell."""
        font = theme.token_font(theme.SMALL)
        if (labels, font) != (self.labels, self._font):
            self._longest = longest_width(labels, font)
        self.labels, self._font = labels, font

    def strip(self, cell: float, limit: float) -> float:
        """How many pixels deep the strip must be, at most `limit`, for cells of `cell` pixels."""
        if not self.labels:
            return 0.0
        if not self.upright and self._level(cell):
            return float(_line_height() + 2 + _PAD)
        wanted = self._longest + 2 * _PAD
        # In steps, so that the picture does not shift with every letter typed.
        return float(min(limit, math.ceil(wanted / 16) * 16))

    def _level(self, cell: float) -> bool:
        """Whether the labels above columns have room to be written horizontally."""
        return self._longest + _PAD <= cell

    def draw(
        self,
        painter: QPainter,
        strip: QRectF,
        start: float,
        cell: float,
        within: QRectF | None = None,
    ) -> None:
        """Write the labels into `strip`, whose near end is the cell coordinate `start`.

        Those that are not seen `within` need not be written.
        """
        if not self.labels or cell <= 0:
            return
        length = strip.height() if self.upright else strip.width()
        shown = self.labelled(start, length, cell)
        if within is not None:
            shown = self._within(within, shown, strip, start, cell)
        if not shown:
            return
        painter.setFont(theme.token_font(theme.SMALL))
        painter.setPen(QColor(theme.current().muted))
        for index in shown:
            self._write(painter, strip, start, cell, index)

    def _within(
        self, part: QRectF, shown: range, strip: QRectF, start: float, cell: float
    ) -> range:
        """Those of the labels `shown` of which something may be seen in a part of the widget."""
        if self.upright:
            beside, near, far = part.left() - strip.right(), part.top(), part.bottom()
            near, far = near - strip.top(), far - strip.top()
        else:
            beside, near, far = part.top() - strip.bottom(), part.left(), part.right()
            near, far = near - strip.left(), far - strip.left()
        if beside > _PAD:
            return range(0)
        reach = max(cell, _line_height() + _PAD) / 2 + _PAD
        first = math.floor((start + (near - reach) / cell - shown.start) / shown.step)
        after = math.ceil((start + (far + reach) / cell - shown.start) / shown.step) + 1
        return shown[max(0, first) : max(0, after)]

    def labelled(self, start: float, length: float, cell: float) -> range:
        """Which cells have a label on `length` pixels from the cell coordinate `start` on.

        The same ones wherever the axis is moved to: every so many, counted from the first cell.
        """
        level = not self.upright and self._level(cell)
        step = 1 if level else step_for(cell, _line_height())
        first = math.ceil(max(0.0, start - 0.5) / step) * step
        after = math.ceil(start + length / cell - 1e-6)
        return range(first, min(len(self.labels), after), step)

    def written(self, strip: QRectF, start: float, cell: float) -> dict[int, str]:
        """The labels that `draw` writes there, by their cells."""
        if cell <= 0:
            return {}
        length = strip.height() if self.upright else strip.width()
        return {index: self.labels[index] for index in self.labelled(start, length, cell)}

    def place(self, strip: QRectF, start: float, cell: float, index: int) -> QRectF:
        """Where something of the label `index` may be seen; its letters leave their line a bit."""
        return self._box(strip, start, cell, index).adjusted(-_PAD, -_PAD, _PAD, _PAD)

    def draw_marks(
        self, painter: QPainter, strip: QRectF, start: float, cell: float, marks: Marks
    ) -> None:
        """Write the marked labels over the others, so that they show however crowded it is."""
        colours = theme.current()
        font = theme.token_font(theme.SMALL)
        painter.setFont(font)
        for index in marks.shown(len(self.labels)):
            box = self._box(strip, start, cell, index)
            if not strip.adjusted(-1, -1, 1, 1).contains(box.center()):
                continue
            selected, hovered = index == marks.selected, index == marks.hovered
            painter.setPen(QPen(QColor(colours.hover), 1) if hovered else Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.accent if selected else colours.raised))
            painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)
            painter.setPen(QColor(colours.on_accent if selected else colours.text))
            self._write(painter, strip, start, cell, index)
            if index in marks.pinned:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(colours.on_accent if selected else colours.accent))
                # At the far end from the cells, where the shorter labels leave room.
                x = box.left() + 2 if self.upright else box.center().x() - 2
                y = box.center().y() - 2 if self.upright else box.top() + 2
                painter.drawEllipse(QRectF(x, y, 4, 4))

    def _box(self, strip: QRectF, start: float, cell: float, index: int) -> QRectF:
        """Where the label `index` stands; at least as thick as its letters."""
        middle = (index + 0.5 - start) * cell
        needed = _line_height()
        thick = max(needed, min(cell, needed + _PAD))
        if self.upright:
            return QRectF(strip.left(), strip.top() + middle - thick / 2, strip.width(), thick)
        if self._level(cell):
            return QRectF(strip.left() + middle - cell / 2, strip.top(), cell, strip.height())
        return QRectF(strip.left() + middle - thick / 2, strip.top(), thick, strip.height())

    def _write(
        self,
        painter: QPainter,
        strip: QRectF,
        start: float,
        cell: float,
        index: int,
    ) -> None:
        box = self._box(strip, start, cell, index)
        if self.upright:
            text = elided(self.labels[index], int(box.width()) - 2 * _PAD, painter.font())
            inner = box.adjusted(_PAD, 0, -_PAD, 0)
            painter.drawText(inner, _RIGHT, text)
        elif self._level(cell):
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self.labels[index])
        else:
            text = elided(self.labels[index], int(box.height()) - 2 * _PAD, painter.font())
            painter.save()
            painter.translate(box.center().x(), box.bottom() - _PAD)
            painter.rotate(-90)
            side = QRectF(0, -box.width() / 2, box.height() - _PAD, box.width())
            painter.drawText(side, _LEFT, text)
            painter.restore()
