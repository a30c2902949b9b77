"""Two panes of tokens side by side, line by line alike, so that they scroll as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetricsF,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QToolTip, QWidget

from gui import theme
from gui.widgets.focus import by_keyboard, draw_focus
from gui.widgets.hatch import draw_hatch
from gui.widgets.slim_bar import SlimBar
from gui.widgets.spans import shortened, visible

CHIP, PITCH, GUTTER, EDGE = 20, 24, 12, 8
"""Pixels: a chip's height, from line to line, between the panes, at the sides."""

_PAD, _GAP, _LEAST, _LONGEST = 4, 2, 14, 28


@dataclass(frozen=True, slots=True)
class Facing:
    """What stands at one place: the text on either side, None for none, and the two values.

    `tip` explains it; `breaks` says that the line ends after it, and `chosen` that it can be
    selected by key.
    """

    one: str | None
    other: str | None
    values: tuple[float, float]
    tip: str = ""
    breaks: bool = False
    chosen: bool = True


class TwinPanes(QAbstractScrollArea):
    """Chips of two texts, coloured by a value each; what faces each other stands at one height.

    A value that is no number is hatched; what only one side has leaves a gap on the other. The
    arrow keys, Home and End move the selection, Escape lets go.
    """

    placeHovered = Signal(object)
    placeClicked = Signal(object)
    """The place pointed at or chosen, None for none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._places: tuple[Facing, ...] = ()
        self._labels: list[tuple[str, str]] = []
        self._boxes: list[QRectF] = []  # within a pane, from the top of the text
        self._high, self._signed = 1.0, False
        self._selected: int | None = None
        self._hovered: int | None = None
        self._pinned: frozenset[int] = frozenset()
        self._pointed: int | None = None
        self._hint = ""
        self._font = theme.token_font(theme.SMALL)
        self._keyed = False
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBar(SlimBar(Qt.Orientation.Vertical))
        self.verticalScrollBar().setSingleStep(PITCH)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setMouseTracking(True)
        self.setAccessibleName("The text under both contexts")

    # --- what is shown ---------------------------------------------------------------------------

    def set_places(self, places: Sequence[Facing], high: float, signed: bool) -> None:
        """Show these; colours go from 0, or from −`high` where they are `signed`, to `high`."""
        words = [(place.one, place.other, place.breaks) for place in self._places]
        self._places, self._high, self._signed = tuple(places), high or 1.0, signed
        if words != [(place.one, place.other, place.breaks) for place in places]:
            self._labels = [(_label(place.one), _label(place.other)) for place in places]
            self._lay_out()
        self._describe()
        self.viewport().update()

    def set_hint(self, hint: str) -> None:
        """Say this while there is nothing to show."""
        self._hint = hint
        self._describe()
        self.viewport().update()

    def set_marks(
        self, selected: int | None, hovered: int | None, pinned: frozenset[int] = frozenset()
    ) -> None:
        """Fill one place, outline one, put a dot on some; on both sides."""
        moved = selected != self._selected
        self._selected, self._hovered, self._pinned = selected, hovered, pinned
        if moved and selected is not None:
            self.reveal(selected)
        self._describe()
        self.viewport().update()

    def reveal(self, place: int) -> None:
        """Scroll as little as is needed to see a place."""
        if 0 <= place < len(self._boxes):
            bar, box = self.verticalScrollBar(), self._boxes[place]
            low, high = int(box.top()) - _GAP, math.ceil(box.bottom()) + _GAP
            if high > bar.value() + self.viewport().height():
                bar.setValue(high - self.viewport().height())
            if low < bar.value():
                bar.setValue(low)

    def _describe(self) -> None:
        """Say what is selected to those who hear the screen."""
        at = self._selected
        said = self._places[at].tip if at is not None and at < len(self._places) else self._hint
        if said != self.accessibleDescription():
            self.setAccessibleDescription(said)

    # --- where things are ------------------------------------------------------------------------

    @property
    def pane_width(self) -> float:
        """Pixels of one pane."""
        return max(40.0, (self.viewport().width() - GUTTER - 2 * EDGE) / 2)

    def box_of(self, place: int, side: int) -> QRectF:
        """Where a place stands in the pane `side` (0 or 1) of the viewport, out of sight or not."""
        left = EDGE + side * (self.pane_width + GUTTER)
        return self._boxes[place].translated(left, -self.verticalScrollBar().value())

    def place_at(self, point: QPointF) -> int | None:
        """The place at `point` of the viewport, in either pane."""
        y = point.y() + self.verticalScrollBar().value()
        x = point.x() - EDGE
        if x > self.pane_width + GUTTER / 2:
            x -= self.pane_width + GUTTER
        for place, box in enumerate(self._boxes):
            if box.top() - _GAP <= y <= box.bottom() + _GAP and box.left() <= x <= box.right():
                return place
        return None

    def _lay_out(self) -> None:
        """Break lines where the wider of both sides would not fit, so that both break alike."""
        metrics, room = QFontMetricsF(self._font), self.pane_width
        widths: dict[str, float] = {}
        x = y = 0.0
        self._boxes = []
        for place, pair in zip(self._places, self._labels, strict=True):
            for label in pair:
                if label not in widths:
                    widths[label] = math.ceil(metrics.horizontalAdvance(label)) + 2 * _PAD
            wide = min(room, max(_LEAST, *(widths[label] for label in pair)))
            if x and x + wide > room:
                x, y = 0.0, y + PITCH
            self._boxes.append(QRectF(x, y + _GAP, wide, CHIP))
            x += wide + _GAP
            if place.breaks:
                x, y = 0.0, y + PITCH
        self._fit_bar()

    def _fit_bar(self) -> None:
        bar, height = self.verticalScrollBar(), self.viewport().height()
        whole = math.ceil(self._boxes[-1].bottom()) + _GAP if self._boxes else 0
        bar.setPageStep(height)
        bar.setRange(0, max(0, whole - height))

    # --- painting --------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the chips in sight, in both panes."""
        look = theme.current()
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._places:
            painter.setFont(theme.ui_font(theme.NORMAL))
            painter.setPen(QColor(look.muted))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.viewport().rect().adjusted(16, 4, -16, -4), flags, self._hint)
            return
        middle = EDGE + self.pane_width + GUTTER / 2
        painter.setPen(QPen(QColor(look.line), 1))
        painter.drawLine(QPointF(middle, 0), QPointF(middle, self.viewport().height()))
        table = (theme.diverging if self._signed else theme.sequential)(look.dark)
        painter.setFont(self._font)
        for place in range(len(self._places)):
            box = self.box_of(place, 0)
            if box.bottom() < event.rect().top() or box.top() > event.rect().bottom():
                continue
            for side in (0, 1):
                self._paint_chip(painter, place, side, table, look)
        if self._keyed and self.hasFocus():
            draw_focus(painter, self.viewport().rect())

    def _paint_chip(
        self, painter: QPainter, place: int, side: int, table: np.ndarray, look: theme.Theme
    ) -> None:
        box, label = self.box_of(place, side), self._labels[place][side]
        there = (self._places[place].one, self._places[place].other)[side] is not None
        value = self._places[place].values[side]
        chosen = place == self._selected
        written = QColor(look.text)
        painter.setPen(Qt.PenStyle.NoPen)
        if not there:
            painter.setPen(QPen(QColor(look.line), 1, Qt.PenStyle.DashLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)
        elif math.isnan(value):
            painter.setBrush(QColor(look.raised))
            painter.drawRoundedRect(box, 3, 3)
            draw_hatch(painter, box.adjusted(1, 1, -1, -1), self.devicePixelRatioF())
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        else:
            fill = _colour(table, value / self._high, self._signed)
            painter.setBrush(fill)
            painter.drawRoundedRect(box, 3, 3)
            written = QColor("#000000" if _luminance(fill) > 0.35 else "#ffffff")
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if there:
            painter.setPen(written)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, label)
        if chosen:
            # The fill is the value; so the selection is a frame, in the colour of every view.
            painter.setPen(QPen(QColor(look.panel), 4))
            painter.drawRoundedRect(box, 4, 4)
            painter.setPen(QPen(QColor(look.accent), 2.5))
            painter.drawRoundedRect(box, 4, 4)
        elif place == self._hovered:
            painter.setPen(QPen(QColor(look.hover), 1.5))
            painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)
        if place in self._pinned:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(look.accent))
            painter.drawEllipse(QPointF(box.center().x(), box.top() + 2), 2, 2)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Break the lines anew."""
        super().resizeEvent(event)
        self._lay_out()

    def changeEvent(self, event: QEvent) -> None:
        """Measure anew in another face."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange and hasattr(self, "_font"):
            self._lay_out()

    def sizeHint(self) -> QSize:
        """A few lines."""
        return QSize(480, 4 * PITCH)

    def minimumSizeHint(self) -> QSize:
        """One line: the rest is scrolled to."""
        return QSize(160, PITCH + 4)

    # --- pointer and keys ------------------------------------------------------------------------

    def _point_at(self, place: int | None) -> None:
        if place != self._pointed:
            self._pointed = place
            self.placeHovered.emit(place)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Outline what is under the pointer."""
        self._point_at(self.place_at(event.position()))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Select what is under the pointer; beside the chips, nothing."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.placeClicked.emit(self.place_at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """Outline nothing."""
        super().leaveEvent(event)
        self._point_at(None)

    def viewportEvent(self, event: QEvent) -> bool:
        """Explain what is under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            place = self.place_at(QPointF(event.pos()))
            if place is None:
                QToolTip.hideText()
            else:
                said = f"<p>{escape(self._places[place].tip)}</p>"
                QToolTip.showText(event.globalPos(), said, self.viewport())
            return True
        return super().viewportEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show a frame where the focus came by a key."""
        self._keyed = by_keyboard(event)
        super().focusInEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the selection, or let go."""
        at = self._selected
        there = [index for index, place in enumerate(self._places) if place.chosen]
        later = [index for index in there if at is None or index > at]
        earlier = [index for index in there if at is None or index < at]
        steps = {
            int(Qt.Key.Key_Right): later[:1],
            int(Qt.Key.Key_Left): earlier[-1:],
            int(Qt.Key.Key_Home): there[:1],
            int(Qt.Key.Key_End): there[-1:],
        }
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if plain and event.key() in steps and there:
            step = steps[event.key()]
            if step and step[0] != at:
                self.placeClicked.emit(step[0])
        elif plain and event.key() == Qt.Key.Key_Escape and at is not None:
            self.placeClicked.emit(None)
        else:
            super().keyPressEvent(event)


def _label(text: str | None) -> str:
    return "" if text is None else shortened(visible(text), _LONGEST) or "∅"


def _colour(table: np.ndarray, share: float, signed: bool) -> QColor:
    level = (share + 1) / 2 if signed else share
    red, green, blue, _ = table[int(min(max(level, 0.0), 1.0) * 255)].tolist()
    return QColor(red, green, blue)


def _luminance(colour: QColor) -> float:
    """Relative luminance, 0 to 1, as far as is needed to choose what to write in."""
    red, green, blue = colour.redF(), colour.greenF(), colour.blueF()
    return float(0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2)
