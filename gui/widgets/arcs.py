"""Attention as lines: queries at the left, keys at the right, a line's opacity is its weight.

Opacity comes from the same colour codes as the heat map's colours, so that linear, logarithmic and
per-row scaling mean the same in both pictures. A long context scrolls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QLineF, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QWidget

from gui import theme
from gui.widgets.coding import Codes, ColourScale, Scaling, encode
from gui.widgets.focus import by_keyboard, draw_focus
from gui.widgets.legend import ends
from gui.widgets.token_axis import NO_MARKS, Marks, longest_width

LINE = 20
"""Least height of one token in pixels; few tokens stand further apart, up to `WIDEST_LINE`."""

WIDEST_LINE = 32

MOST_LINES = 400
"""No picture has more lines than this: more cannot be told apart and would make typing stutter."""

FAINTEST = 12
"""Codes up to this one (of 255) are too faint to be seen as lines."""

_FOOT = 20
_ALPHAS = 24
_PAD = 4
_NOTED = 5

Place = tuple[str, int]
"""A side (``"row"``, ``"column"``) and the index of a token there."""


class AttentionLines(QAbstractScrollArea):
    """Draw attention (T, S) as lines from T queries to S keys.

    Pointing at a token shows its lines alone, with the largest weights as numbers. The arrow keys
    move from token to token and from side to side, Return clicks.
    """

    placeHovered = Signal(str, int)
    """Side (``"row"`` or ``"column"``) and index of the token pointed at; index −1 for none."""

    placeClicked = Signal(str, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QAbstractScrollArea.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.viewport().setMouseTracking(True)
        self.setAccessibleName("Attention as lines")
        self._weights = np.zeros((0, 0), np.float32)
        self._codes: Codes = np.zeros((0, 0), np.uint8)
        self._scale = ColourScale(0.0, 1.0)
        self._rows: Sequence[str] = ()
        self._columns: Sequence[str] = ()
        self._row_marks, self._column_marks = NO_MARKS, NO_MARKS
        self._pointed: Place | None = None
        self._line = LINE
        self._wanted = 0
        self._keyed = False
        self._chosen: tuple[object, NDArray[np.int64], NDArray[np.int64], int] | None = None

    # --- what is shown ---------------------------------------------------------------------------

    def set_data(
        self,
        weights: NDArray[np.float32],
        *,
        scaling: Scaling = "linear",
        masked: NDArray[np.bool_] | None = None,
        unscaled: Sequence[int] = (),
    ) -> None:
        """Show `weights` (T, S); scaling as for the heat map."""
        self._weights = weights
        self._codes, self._scale = encode(
            weights, scaling=scaling, masked=masked, unscaled=unscaled
        )
        if self._pointed is not None:
            side, index = self._pointed
            if index >= weights.shape[0 if side == "row" else 1]:
                self._pointed = None
        self._chosen = None
        self._arrange()
        self.viewport().update()

    def set_labels(self, rows: Sequence[str], columns: Sequence[str]) -> None:
        """Name the queries and the keys."""
        self._rows, self._columns = rows, columns
        font = theme.token_font(theme.SMALL)
        widest = max(longest_width(rows, font), longest_width(columns, font))
        # Room for a weight beside each token: "0.42".
        self._wanted = widest + QFontMetrics(font).horizontalAdvance("0.00") + 7 * _PAD
        self.viewport().update()

    def set_marks(self, rows: Marks = NO_MARKS, columns: Marks = NO_MARKS) -> None:
        """Mark what is hovered, selected and pinned on each side."""
        if (rows, columns) != (self._row_marks, self._column_marks):
            chosen = rows.selected if rows.selected is not None else columns.selected
            before = self._row_marks.selected, self._column_marks.selected
            self._row_marks, self._column_marks = rows, columns
            # What was chosen elsewhere is brought into view; what was chosen here is in view.
            if chosen is not None and chosen not in before and self._pointed is None:
                self._reveal(chosen)
            self.viewport().update()

    @property
    def pointed(self) -> Place | None:
        """The token under the mouse or the keyboard's cursor."""
        return self._pointed

    def focus_of_lines(self) -> Place | None:
        """The token whose lines are shown alone: pointed at here or elsewhere; None for all."""
        if self._pointed is not None:
            return self._pointed
        if self._row_marks.hovered is not None:
            return "row", self._row_marks.hovered
        if self._column_marks.hovered is not None:
            return "column", self._column_marks.hovered
        return None

    def lines(self) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Choose the lines to draw, the faintest first.

        Returns
        -------
        rows, columns : int64 (n,)
            Ends of each line.
        left_out : int
            How many lines in view that are not too faint were left out, there being too many.
        """
        focus = self.focus_of_lines()
        first, last = self._in_view()
        wanted = (focus, first, last)
        if self._chosen is None or self._chosen[0] != wanted:
            self._chosen = (wanted, *self._choose(focus, first, last))
        return self._chosen[1:]

    def _choose(
        self, focus: Place | None, first: int, last: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        codes = self._codes
        if focus is not None:
            side, index = focus
            rows = np.array([], np.int64)
            columns = rows
            if side == "row" and index < len(codes):
                columns = np.flatnonzero(codes[index] > 1)
                rows = np.full(len(columns), index, np.int64)
            elif side == "column" and index < codes.shape[1]:
                rows = np.flatnonzero(codes[:, index] > 1)
                columns = np.full(len(rows), index, np.int64)
        else:
            # Lines with an end in view: all of the rows in view, and others' to the keys in view.
            rows, columns = np.nonzero(codes[first:last] > FAINTEST)
            rows = rows + first
            for start, stop in ((0, first), (last, len(codes))):
                more, ends_at = np.nonzero(codes[start:stop, first:last] > FAINTEST)
                rows = np.concatenate([rows, more + start])
                columns = np.concatenate([columns, ends_at + first])
        order = np.argsort(codes[rows, columns], kind="stable")
        kept = order[-MOST_LINES:]
        return rows[kept], columns[kept], len(order) - len(kept)

    # --- where things are ------------------------------------------------------------------------

    def _arrange(self) -> None:
        page = max(LINE, self.viewport().height() - _FOOT)
        count = max(self._weights.shape, default=0)
        self._line = max(LINE, min(WIDEST_LINE, (page - _PAD) // max(1, count)))
        bar = self.verticalScrollBar()
        bar.setPageStep(page)
        bar.setSingleStep(self._line)
        bar.setRange(0, max(0, count * self._line + _PAD - page))

    def _body(self) -> QRectF:
        return QRectF(0, 0, self.viewport().width(), self.viewport().height() - _FOOT)

    def _in_view(self) -> tuple[int, int]:
        top = self.verticalScrollBar().value()
        page = self.viewport().height() - _FOOT
        return max(0, (top - _PAD) // self._line), max(0, -(-(top + page) // self._line))

    def _side_width(self) -> float:
        return min(float(self._wanted), self.viewport().width() * 0.36)

    def place_rect(self, side: str, index: int) -> QRectF:
        """Where a token's label is, in the viewport's pixels."""
        wide = self._side_width()
        y = _PAD + index * self._line - self.verticalScrollBar().value()
        x = 0.0 if side == "row" else self.viewport().width() - wide
        return QRectF(x, y, wide, self._line)

    def place_at(self, position: QPointF) -> Place | None:
        """The token at a place of the viewport: its label, or its end of the lines."""
        if position.y() >= self.viewport().height() - _FOOT:
            return None
        y = position.y() - _PAD + self.verticalScrollBar().value()
        side = "row" if position.x() < self.viewport().width() / 2 else "column"
        index = int(y // self._line)
        count = self._weights.shape[0 if side == "row" else 1]
        near = self._side_width() * 1.25
        across = position.x() if side == "row" else self.viewport().width() - position.x()
        return (side, index) if 0 <= index < count and across <= near else None

    def sizeHint(self) -> QSize:
        """Room for a dozen tokens."""
        return QSize(400, 300)

    # --- painting --------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw lines, then labels, then what the opacity stands for."""
        colours = theme.current()
        painter = QPainter(self.viewport())
        painter.fillRect(self.viewport().rect(), QColor(colours.panel))
        if self._weights.size:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.save()
            painter.setClipRect(self._body())
            rows, columns, left_out = self.lines()
            self._paint_lines(painter, rows, columns)
            self._paint_labels(painter, "row", self._rows, self._row_marks)
            self._paint_labels(painter, "column", self._columns, self._column_marks)
            painter.restore()
            self._paint_foot(painter, len(rows), left_out)
        if self._keyed and self.hasFocus():
            draw_focus(painter, self.viewport().rect())
        painter.end()

    def _paint_lines(
        self, painter: QPainter, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> None:
        colours = theme.current()
        left = self._side_width()
        right = self.viewport().width() - left
        offset = _PAD + self._line / 2 - self.verticalScrollBar().value()
        codes = self._codes[rows, columns].astype(np.int64)
        selected = self._row_marks.selected
        alone = self.focus_of_lines() is not None
        base = QColor(theme.category(4 if colours.dark else 0))
        accent = QColor(colours.accent)
        ends_at = _clip(
            offset + rows * self._line, offset + columns * self._line, left, right, self._body()
        )
        # One call for all lines of one opacity: changing the pen is what costs.
        shades = codes * _ALPHAS // 256
        own = rows == (-1 if selected is None else selected)
        for shade in np.unique(shades):
            strength = (int(shade) + 1) / _ALPHAS
            for mine, ink in ((False, base), (True, accent)):
                chosen = (shades == shade) & (own == mine)
                pen = QColor(ink)
                faded = selected is not None and not mine and not alone
                pen.setAlphaF(strength * (0.35 if faded else 1.0))
                # A hairline is several times cheaper to paint than any other width.
                thick = mine or (alone and strength > 0.25)
                painter.setPen(QPen(pen, 2.0 if thick else 1.0))
                painter.drawLines([QLineF(*line) for line in ends_at[chosen].tolist()])

    def _paint_labels(
        self, painter: QPainter, side: str, labels: Sequence[str], marks: Marks
    ) -> None:
        colours = theme.current()
        painter.setFont(theme.token_font(theme.SMALL))
        metrics = painter.fontMetrics()
        numbers = self._numbers(side)
        focus = self.focus_of_lines()
        room = metrics.horizontalAdvance("0.00") + 2 * _PAD if numbers else 0
        outward = Qt.AlignmentFlag.AlignRight if side == "row" else Qt.AlignmentFlag.AlignLeft
        inward = Qt.AlignmentFlag.AlignLeft if side == "row" else Qt.AlignmentFlag.AlignRight
        first, last = self._in_view()
        for index in range(first, min(last, len(labels))):
            box = self.place_rect(side, index)
            selected = index == marks.selected
            outlined = focus == (side, index) or index == marks.hovered
            if selected or outlined:
                painter.setPen(QPen(QColor(colours.hover), 1) if outlined else Qt.PenStyle.NoPen)
                fill = QColor(colours.accent if selected else colours.raised)
                # The key column carries the selection lightly: it is the query that was chosen.
                fill.setAlphaF(1.0 if side == "row" or not selected else 0.45)
                painter.setBrush(fill)
                painter.drawRoundedRect(box.adjusted(2, 1, -2, -1), 2, 2)
            ink = colours.text
            if selected and side == "row":
                ink = colours.on_accent
            if index in marks.pinned:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(colours.on_accent if selected else colours.accent))
                x = box.left() + 6 if side == "row" else box.right() - 10
                painter.drawEllipse(QRectF(x, box.center().y() - 2, 4, 4))
            inner = box.adjusted(2 * _PAD, 0, -2 * _PAD, 0)
            vertical = Qt.AlignmentFlag.AlignVCenter
            text = metrics.elidedText(
                labels[index], Qt.TextElideMode.ElideRight, int(inner.width()) - room
            )
            painter.setPen(QColor(ink))
            painter.drawText(inner, vertical | outward, text)
            if index in numbers:
                painter.setPen(QColor(ink if selected and side == "row" else colours.muted))
                painter.drawText(inner, vertical | inward, numbers[index])

    def _numbers(self, side: str) -> dict[int, str]:
        """The largest weights of the token pointed at, to be written on the other side."""
        focus = self.focus_of_lines()
        if focus is None or focus[0] == side:
            return {}
        rows, columns, _ = self.lines()
        at = (rows if side == "row" else columns)[-_NOTED:]
        weights = self._weights[rows, columns][-_NOTED:]
        return {
            int(index): f"{weight:.2f}"
            for index, weight in zip(at, weights, strict=True)
            if weight >= 0.005  # else it would read 0.00
        }

    def _paint_foot(self, painter: QPainter, drawn: int, left_out: int) -> None:
        painter.setFont(theme.ui_font(theme.SMALL))
        painter.setPen(QColor(theme.current().muted))
        foot = QRectF(
            2 * _PAD,
            self.viewport().height() - _FOOT,
            self.viewport().width() - 4 * _PAD,
            _FOOT,
        )
        text = painter.fontMetrics().elidedText(
            self.account(drawn, left_out), Qt.TextElideMode.ElideRight, int(foot.width())
        )
        painter.drawText(foot, Qt.AlignmentFlag.AlignVCenter, text)

    def account(self, drawn: int, left_out: int) -> str:
        """Say what opacity means and what was left out."""
        low, high = ends(self._scale)
        notes = {"linear": "", "log": " (logarithmic)", "row": ""}
        text = f"opacity {low} … {high}{notes[self._scale.scaling]} · {drawn:,} lines"
        if left_out:
            return f"{text}, the strongest; {left_out:,} weaker ones left out"
        if self.focus_of_lines() is None:
            return f"{text}; fainter than {FAINTEST / 255 * 100:.0f} % left out"
        return text

    # --- mouse and keys --------------------------------------------------------------------------

    def _point_at(self, place: Place | None) -> None:
        if place != self._pointed:
            self._pointed = place
            if place is not None:
                self.setAccessibleDescription(self._spoken(place))
            self.placeHovered.emit(*(place or ("", -1)))
            self.viewport().update()

    def _spoken(self, place: Place) -> str:
        side, index = place
        labels, others = (
            (self._rows, self._columns) if side == "row" else (self._columns, self._rows)
        )
        numbers = self._numbers("column" if side == "row" else "row")
        verb = "attends to" if side == "row" else "is attended to by"
        parts = [f"{others[other]} {number}" for other, number in reversed(numbers.items())]
        return f"{labels[index]} {verb} {', '.join(parts) or 'nothing'}"

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show the lines of the token pointed at."""
        self._point_at(self.place_at(event.position()))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Click the token pointed at."""
        place = self.place_at(event.position())
        if place is not None and event.button() == Qt.MouseButton.LeftButton:
            self.placeClicked.emit(*place)

    def viewportEvent(self, event: QEvent) -> bool:
        """Forget what was pointed at when the mouse leaves."""
        if event.type() == QEvent.Type.Leave:
            self._point_at(None)
        return super().viewportEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move from token to token, click; leave keys with modifiers to the view."""
        key = cast(Qt.Key, event.key())
        modified = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        side, index = self._pointed or ("row", -1)
        moves = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1, Qt.Key.Key_Left: 0, Qt.Key.Key_Right: 0}
        if modified or not self._weights.size:
            event.ignore()
        elif key in moves:
            if key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
                side = "row" if key == Qt.Key.Key_Left else "column"
            count = self._weights.shape[0 if side == "row" else 1]
            index = max(0, min(index + moves[key], count - 1))
            self._reveal(index)
            self._point_at((side, index))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self._pointed:
            self.placeClicked.emit(*self._pointed)
        elif key == Qt.Key.Key_Escape and self._pointed:
            self._point_at(None)
        else:
            super().keyPressEvent(event)

    def _reveal(self, index: int) -> None:
        bar = self.verticalScrollBar()
        page = self.viewport().height() - _FOOT
        top = index * self._line
        bar.setValue(max(min(bar.value(), top), top + self._line + _PAD - page))

    # --- what else happens to a widget -----------------------------------------------------------

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show a frame where the focus came by a key."""
        self._keyed = by_keyboard(event)
        self.viewport().update()
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Hide the frame."""
        self.viewport().update()
        super().focusOutEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Paint anew in another theme."""
        if event.type() == QEvent.Type.PaletteChange:
            self.viewport().update()
        super().changeEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Scroll as far as the new size needs."""
        self._arrange()
        super().resizeEvent(event)


def _clip(
    starts: NDArray[np.floating],
    stops: NDArray[np.floating],
    left: float,
    right: float,
    body: QRectF,
) -> NDArray[np.floating]:
    """Cut lines from (left, starts) to (right, stops) to a body's height: (n, 4) as x, y, x, y.

    A line to a token far below would else be painted all the way there.
    """
    rise = stops - starts
    with np.errstate(divide="ignore", invalid="ignore"):
        at = (np.array([[body.top()], [body.bottom()]]) - starts) / rise  # (2, n)
    level = rise == 0
    low = np.where(level, 0, np.clip(at.min(axis=0), 0, 1))
    high = np.where(level, 1, np.clip(at.max(axis=0), 0, 1))
    wide = right - left
    return np.stack(
        [left + low * wide, starts + low * rise, left + high * wide, starts + high * rise], axis=1
    )
