"""Tokens as chips in reading order, with how surprising each was: what the text itself hides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QContextMenuEvent,
    QFontMetricsF,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QMenu, QSizePolicy, QToolTip, QWidget

from engine.types import Floats, Token
from gui import theme
from gui.widgets.slim_bar import THICKNESS, SlimBar
from gui.widgets.spans import same_start, shortened, token_tip, visible

CHIP = 24
"""Height of a chip in pixels; `STRIP` that of the surprise below it."""
STRIP = 6
_TOP = 4
_GAP = 2
_PAD = 6
_LONGEST = 28
_WORDS_KEPT = 20_000


class TokenRibbon(QAbstractScrollArea):
    """One row of chips that scrolls sideways; only chips in sight are painted.

    The arrow keys, Home and End move the selection, P pins, Escape selects nothing. With Shift, a
    click or those keys pin a range from the selected token on, and Escape then lifts it.
    """

    tokenHovered = Signal(object)
    tokenClicked = Signal(object)
    pinToggled = Signal(int)
    rangeExtended = Signal(int)
    """The range shall reach to this token: Shift with a click, a drag, or an arrow key."""
    rangeLifted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tokens: tuple[Token, ...] = ()
        self._labels: list[str] = []
        self._shades: tuple[int, ...] = ()
        self._surprise: Floats | None = None
        self._top_bits = 16.0
        self._edges = np.zeros(1)
        self._words: dict[str, tuple[str, float]] = {}
        self._font = theme.token_font(theme.NORMAL)
        self._selected: int | None = None
        self._hovered: int | None = None
        self._pinned: frozenset[int] = frozenset()
        self._range: tuple[int, int] | None = None
        self._reach: int | None = None
        self._pointed: int | None = None
        self._hint = ""
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBar(SlimBar(Qt.Orientation.Horizontal))
        self.horizontalScrollBar().setSingleStep(24)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        # Room for the scroll bar is always kept, so that nothing jumps when it is needed.
        self.setFixedHeight(_TOP + CHIP + _GAP + STRIP + _TOP + THICKNESS)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setMouseTracking(True)
        self.setAccessibleName("Tokens")
        self.setAccessibleDescription(
            "The tokens of the context. Arrow keys select one, P pins it, Escape lets go. "
            "Shift with a click or an arrow key pins a range."
        )

    # --- what is shown ---------------------------------------------------------------------------

    def set_tokens(
        self,
        tokens: Sequence[Token],
        shades: Sequence[int],
        surprise: Floats | None = None,
        top_bits: float = 16.0,
    ) -> None:
        """Show T tokens.

        Parameters
        ----------
        tokens, shades : sequences
            The tokens, and which of the theme's shades each has.
        surprise : array (t,), optional
            −log2 p of the first t ≤ T tokens in bits; NaN where no prediction was made. What the
            others' is, or with None any's, is not known yet.
        top_bits : float
            Where the colours end; log2 of the vocabulary's size is the surprise of blind guessing.
        """
        if surprise is not None and len(surprise) > len(tokens):
            surprise = None
        # Those of a context that was typed on have their words and places already.
        kept = same_start(self._tokens, tokens)
        changed = min(
            kept if top_bits == self._top_bits else 0,
            same_start(self._shades, shades),
            _first_other(self._surprise, surprise, len(tokens)),
        )
        same = kept == len(tokens) == len(self._tokens)
        self._tokens, self._shades = tuple(tokens), tuple(shades)
        self._surprise, self._top_bits = surprise, top_bits
        if same and changed >= kept:
            return
        if len(self._words) > _WORDS_KEPT:
            self._words.clear()
        pairs = [self._word(token.text) for token in tokens[kept:]]
        self._labels[kept:] = [label for label, _ in pairs]
        widths = [width + _GAP for _, width in pairs]
        edges = np.cumsum([self._edges[kept], *widths])
        self._edges = np.concatenate([self._edges[:kept], edges])
        self._fit_bar()
        # Chips begin at whole pixels, so that those before need not be painted again.
        left = int(self._edges[changed]) - self.horizontalScrollBar().value()
        seen = self.viewport().rect()
        self.viewport().update(seen.adjusted(max(0, left), 0, 0, 0) if changed else seen)

    def set_hint(self, hint: str) -> None:
        """Say this where there are no tokens."""
        if hint != self._hint:
            self._hint = hint
            self.viewport().update()

    def set_marks(self, selected: int | None, hovered: int | None, pinned: frozenset[int]) -> None:
        """Fill one token, outline one, and put a dot on some."""
        if (selected, hovered, pinned) == (self._selected, self._hovered, self._pinned):
            return
        moved = selected != self._selected
        self._selected, self._hovered, self._pinned = selected, hovered, pinned
        if moved and selected is not None:
            self.reveal(selected)
        self.viewport().update()

    def set_range(self, range_: tuple[int, int] | None) -> None:
        """Draw a line over the tokens from the first to the one before the last number."""
        self._range = range_
        if range_ is None:
            self._reach = None
        self.viewport().update()

    def reveal(self, token: int) -> None:
        """Scroll as little as is needed to see a token and something of its neighbours."""
        if not 0 <= token < len(self._tokens):
            return
        bar, width = self.horizontalScrollBar(), self.viewport().width()
        left, right = self._edges[token], self._edges[token + 1]
        if right + 24 > bar.value() + width:
            bar.setValue(int(right + 24 - width))
        if left - 24 < bar.value():
            bar.setValue(int(left - 24))

    def _word(self, text: str) -> tuple[str, float]:
        """A token's label and the width of its chip."""
        if text not in self._words:
            label = shortened(visible(text), _LONGEST) or "∅"
            width = QFontMetricsF(self._font).horizontalAdvance(label)
            self._words[text] = label, max(18.0, np.ceil(width) + 2 * _PAD)
        return self._words[text]

    def _fit_bar(self) -> None:
        bar, width = self.horizontalScrollBar(), self.viewport().width()
        bar.setPageStep(width)
        bar.setRange(0, max(0, int(np.ceil(self._edges[-1])) - width))

    # --- geometry and painting -------------------------------------------------------------------

    def box_of(self, token: int) -> QRectF:
        """Where a chip stands on the viewport, out of sight or not."""
        left = float(self._edges[token]) - self.horizontalScrollBar().value()
        width = float(self._edges[token + 1] - self._edges[token]) - _GAP
        return QRectF(left, _TOP, width, CHIP)

    def token_at(self, point: QPointF) -> int | None:
        """The token whose chip, or the strip below it, is at `point` of the viewport."""
        place = point.x() + self.horizontalScrollBar().value()
        token = int(np.searchsorted(self._edges, place, "right")) - 1
        return token if 0 <= token < len(self._tokens) else None

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the chips in sight."""
        look = theme.current()
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._tokens:
            painter.setFont(theme.ui_font(theme.SMALL))
            painter.setPen(QColor(look.muted))
            area = QRectF(0, _TOP, self.viewport().width(), CHIP)
            painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, self._hint)
            return
        scroll = self.horizontalScrollBar().value()
        first = int(np.searchsorted(self._edges, scroll + event.rect().left(), "right")) - 1
        last = int(np.searchsorted(self._edges, scroll + event.rect().right() + 1, "left"))
        table = theme.sequential(look.dark)
        for token in range(max(0, first), min(last, len(self._tokens))):
            self._paint_chip(painter, token, look)
            if self._surprise is not None and token < len(self._surprise):
                self._paint_surprise(painter, token, float(self._surprise[token]), table, look)
        self._paint_range(painter, look)

    def _paint_range(self, painter: QPainter, look: theme.Theme) -> None:
        """A pin's dot drawn out to a line."""
        first, after = self._range or (0, 0)
        after = min(after, len(self._tokens))
        if first < after:
            left, right = self.box_of(first).left(), self.box_of(after - 1).right()
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(look.accent))
            painter.drawRoundedRect(QRectF(left, _TOP - 3, right - left, 2), 1, 1)

    def _paint_chip(self, painter: QPainter, token: int, look: theme.Theme) -> None:
        box = self.box_of(token)
        chosen, special = token == self._selected, self._tokens[token].special
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(look.tokens[self._shades[token]]))
        if chosen:
            painter.setBrush(QColor(look.accent))
        elif special:
            painter.setPen(QPen(QColor(look.muted), 1, Qt.PenStyle.DashLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        if chosen or not special:
            painter.drawRoundedRect(box, 4, 4)
        if token == self._hovered:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.hover), 1.5))
            painter.drawRoundedRect(box.adjusted(0.75, 0.75, -0.75, -0.75), 4, 4)
        if token in self._pinned:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(look.on_accent if chosen else look.accent))
            painter.drawEllipse(QPointF(box.center().x(), box.top() + 3), 2, 2)
        painter.setFont(self._font)
        painter.setPen(QColor(look.on_accent if chosen else look.muted if special else look.text))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self._labels[token])
        if chosen and self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.text), 1.5))
            painter.drawRoundedRect(box.adjusted(0.75, 0.75, -0.75, -0.75), 4, 4)

    def _paint_surprise(
        self, painter: QPainter, token: int, bits: float, table: np.ndarray, look: theme.Theme
    ) -> None:
        chip = self.box_of(token)
        box = QRectF(chip.left(), chip.bottom() + _GAP, chip.width(), STRIP)
        painter.setPen(Qt.PenStyle.NoPen)
        if math.isnan(bits):
            painter.setBrush(QBrush(QColor(look.muted), Qt.BrushStyle.BDiagPattern))
        else:
            level = int(min(max(bits / self._top_bits * 255, 0), 255))
            painter.setBrush(QColor(*table[level].tolist()))
        painter.drawRoundedRect(box, 2, 2)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Let the scroll bar know the new width."""
        super().resizeEvent(event)
        self._fit_bar()

    def sizeHint(self) -> QSize:
        """One row high, as wide as there is room."""
        return QSize(400, self.height())

    def minimumSizeHint(self) -> QSize:
        """May become narrow: it scrolls."""
        return QSize(80, self.height())

    # --- pointer and keys ------------------------------------------------------------------------

    def tip(self, token: int) -> str:
        """What the tooltip says of a token, in rich text."""
        made = token_tip(token, self._tokens[token])
        if self._surprise is None or token >= len(self._surprise):
            return made
        bits = float(self._surprise[token])
        if math.isnan(bits):
            return made + "surprise: none, for the first token is not predicted"
        return made + f"surprise −log₂ p(token | context before it) = <b>{bits:.1f} bits</b>"

    def _point_at(self, token: int | None) -> None:
        if token != self._pointed:
            self._pointed = token
            self.tokenHovered.emit(token)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Outline the token under the pointer; with Shift and the button down, pin up to it."""
        token = self.token_at(event.position())
        self._point_at(token)
        held = event.buttons() & Qt.MouseButton.LeftButton
        if held and event.modifiers() & Qt.KeyboardModifier.ShiftModifier and token is not None:
            self._extend(token)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Select the token under the pointer; beside the chips, none."""
        token = self.token_at(event.position())
        if event.button() != Qt.MouseButton.LeftButton:
            return
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier and token is not None:
            self._extend(token)
        else:
            self.tokenClicked.emit(token)

    def _extend(self, token: int) -> None:
        if token != self._reach or self._range is None:
            self._reach = token
            self.reveal(token)
            self.rangeExtended.emit(token)

    def leaveEvent(self, event: QEvent) -> None:
        """Outline nothing."""
        super().leaveEvent(event)
        self._point_at(None)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll sideways, whichever way the wheel turns."""
        turn = event.pixelDelta() if not event.pixelDelta().isNull() else event.angleDelta()
        bar = self.horizontalScrollBar()
        bar.setValue(bar.value() - (turn.x() or turn.y()))
        event.accept()

    def viewportEvent(self, event: QEvent) -> bool:
        """Explain the token under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            token = self.token_at(QPointF(event.pos()))
            if token is None:
                QToolTip.hideText()
            else:
                area = self.box_of(token).toAlignedRect()
                QToolTip.showText(event.globalPos(), self.tip(token), self.viewport(), area)
            return True
        return super().viewportEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the selection, pin, or let go."""
        last = len(self._tokens) - 1
        at = self._selected
        moves = {
            Qt.Key.Key_Right: 0 if at is None else min(at + 1, last),
            Qt.Key.Key_Left: last if at is None else max(at - 1, 0),
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }
        key = Qt.Key(event.key())
        if key in moves and last >= 0 and event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            reach = self._reach if self._reach is not None and self._range else at
            ends = {Qt.Key.Key_Home: 0, Qt.Key.Key_End: last}
            step = 1 if key == Qt.Key.Key_Right else -1
            self._extend(ends.get(key, max(0, min((reach or 0) + step, last))))
        elif key in moves and last >= 0:
            self._reach = None
            self.tokenClicked.emit(moves[key])
        elif key == Qt.Key.Key_P and at is not None and not event.modifiers():
            self.pinToggled.emit(at)
        elif key == Qt.Key.Key_Escape and at is not None:
            self.tokenClicked.emit(None)
        elif key == Qt.Key.Key_Escape and self._range is not None:
            self.rangeLifted.emit()
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer to pin the token under the pointer, or the selected one."""
        token = self._selected
        place = event.globalPos()
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            token = self.token_at(QPointF(event.pos()))
        elif token is not None:
            place = self.viewport().mapToGlobal(self.box_of(token).bottomLeft().toPoint())
        if token is not None and token < len(self._tokens):
            self.menu_for(token).popup(QPoint(place))

    def menu_for(self, token: int) -> QMenu:
        """The context menu of a token; it deletes itself when it closes."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        word = "Unpin" if token in self._pinned else "Pin"
        pin = menu.addAction(f"{word} token {self._labels[token]}")
        pin.triggered.connect(lambda: self.pinToggled.emit(token))
        reach = menu.addAction("Pin range up to here")
        reach.triggered.connect(lambda: self.rangeExtended.emit(token))
        if self._range is not None:
            menu.addAction("Unpin range").triggered.connect(self.rangeLifted)
        return menu


def _first_other(old: Floats | None, new: Floats | None, count: int) -> int:
    """The first of `count` tokens whose surprise is another, or known of one side only."""
    if old is None or new is None:
        return count if old is new else 0
    most = min(len(old), len(new))
    same = (old[:most] == new[:most]) | (np.isnan(old[:most]) & np.isnan(new[:most]))
    if not same.all():
        return int(np.argmin(same))
    return count if len(old) == len(new) else most
