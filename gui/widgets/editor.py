"""The text of the context, with its tokens drawn behind it while it is typed.

Backgrounds are painted for the visible lines only, and a keystroke moves the spans of the tokens it
did not touch at once, so that colours neither wait for the model nor cost more in a long text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, QRect, QRectF, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QBrush,
    QColor,
    QContextMenuEvent,
    QFontMetricsF,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QTextBlock,
    QTextCursor,
    QTextDocument,
    QTextDocumentFragment,
    QTextLine,
)
from PySide6.QtWidgets import QApplication, QFrame, QPlainTextEdit, QTextEdit, QToolTip, QWidget

from engine.types import Token
from gui import theme
from gui.widgets.roomy import (
    Piece,
    PieceKeeper,
    RoomyLayout,
    first_line_to,
    runs_backwards,
)
from gui.widgets.slim_bar import SlimBar
from gui.widgets.spans import (
    SpanIndex,
    Spans,
    Units,
    common_ends,
    first_change,
    shortened,
    token_tip,
    visible,
    without_lone_surrogates,
)

_LONE = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")
_NAVIGATION = frozenset(
    Qt.Key[f"Key_{name}"]
    for name in ("Left", "Right", "Up", "Down", "Home", "End", "PageUp", "PageDown")
)


class ContextEditor(QPlainTextEdit):
    """Plain text in which every token has its own shade.

    Parameters
    ----------
    size : int
        Height of the type in pixels.
    placeholder : str
        Stands in the empty editor.
    """

    textEdited = Signal(str)
    """The text is now this, for whatever reason. Sent with each change, at once."""
    tokenHovered = Signal(object)
    tokenClicked = Signal(object)
    pinToggled = Signal(int)
    noticed = Signal(str)
    """Something was done to what was entered; the sentence says what and why."""

    def __init__(
        self,
        size: int = theme.HEADING,
        placeholder: str = "Type a context…",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.placeholder = placeholder
        self._text = ""
        self._units = Units("")
        self._mixed = False
        self._tokens: tuple[Token, ...] = ()
        self._shades: tuple[int, ...] = ()
        self._read = self._spans = Spans()  # in the text that was read, and in that of now
        self._index = SpanIndex(Spans())
        self._placed_shades: tuple[int, ...] = ()  # of the tokens in the index
        self._selected: int | None = None
        self._hovered: int | None = None
        self._pinned: frozenset[int] = frozenset()
        self._unread = Spans()
        self._keeper = PieceKeeper()
        self._pressed: QPoint | None = None
        self._pointed: int | None = None
        document = QTextDocument(self)
        document.setDefaultFont(theme.ui_font(size))
        document.setDocumentMargin(2 * theme.STEP)
        document.setDocumentLayout(RoomyLayout(document))
        option = document.defaultTextOption()
        option.setTextDirection(Qt.LayoutDirection.LayoutDirectionAuto)
        document.setDefaultTextOption(option)
        self.setDocument(document)
        self.setFont(theme.ui_font(size))
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBar(SlimBar(Qt.Orientation.Vertical))
        self.setCursorWidth(2)
        # Tab leads on to the next control: whoever uses no mouse must get out of here again.
        self.setTabChangesFocus(True)
        self.viewport().setMouseTracking(True)
        self.setAccessibleName("Context")
        self.setAccessibleDescription(placeholder)
        self.textChanged.connect(self._take_change)
        self._restyle()

    # --- text ------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The text as it is now. Unlike Qt's own, it keeps no-break spaces."""
        return self._text

    def set_text(self, text: str) -> None:
        """Make `text` the text by replacing what differs; undo brings the old text back."""
        text = self._clean(text)
        if text == self._text:
            return
        prefix, suffix = common_ends(self._text, text)
        start = self._units.unit(prefix)
        end = self._units.unit(len(self._text) - suffix)
        self._replace(start, end, text[prefix : len(text) - suffix])

    def append(self, text: str) -> None:
        """Write `text` at the end, as one step of undo, and put the caret behind it."""
        end = self.document().characterCount() - 1
        self._replace(end, end, self._clean(text))
        self.moveCursor(QTextCursor.MoveOperation.End)

    def _replace(self, start: int, end: int, text: str) -> None:
        cursor = QTextCursor(self.document())
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        cursor.beginEditBlock()
        if text:
            # Qt merges what is typed next into the same step, unless the last thing was a deletion.
            cursor.insertText(text + ".")
            cursor.deletePreviousChar()
        else:
            cursor.removeSelectedText()
        cursor.endEditBlock()

    def _clean(self, text: str) -> str:
        # Qt ends a block at each of these; the two noncharacters are its marks for frames.
        for end in ("\r\n", "\r", "\u2029", "\ufdd0", "\ufdd1"):
            text = text.replace(end, "\n")
        text, count = without_lone_surrogates(text)
        if count:
            self._say_replaced(count)
        return text

    def _say_replaced(self, count: int) -> None:
        what = "one broken character" if count == 1 else f"{count} broken characters"
        self.noticed.emit(
            f"Replaced {what} by \ufffd: half of a UTF-16 surrogate pair stands for no character, "
            "so no tokenizer can read it."
        )

    def insertFromMimeData(self, source: QMimeData) -> None:
        """Paste or drop as plain text, whatever it came as."""
        if not source.hasText() and source.hasHtml():
            plain = QTextDocumentFragment.fromHtml(source.html()).toPlainText()
            self.textCursor().insertText(plain)
            self.ensureCursorVisible()
            return
        super().insertFromMimeData(source)

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        """Whether there is text in `source`."""
        return source.hasText() or source.hasHtml()

    def _take_change(self) -> None:
        text = self.document().toRawText().replace("\u2029", "\n")
        units = Units(text)
        if len(text) + units.extra != self.document().characterCount() - 1:
            # Lone surrogates came in by a way of Qt's own; Python never sees them.
            self._replace_lone_surrogates()
            return
        if text == self._text:
            return
        self._spans = self._spans.moved(self._text, text)
        self._unread = self._unread.moved(self._text, text)
        self._text, self._units, self._mixed = text, units, runs_backwards(text)
        self.textEdited.emit(text)  # first, so that it is read while the rest is done here
        self._place_tokens()
        self._point_at(None)  # whoever types does not point

    def _replace_lone_surrogates(self) -> None:
        document = self.document()
        units = "".join(document.characterAt(at) for at in range(document.characterCount() - 1))
        lone = [match.start() for match in _LONE.finditer(units)]
        cursor = QTextCursor(document)
        cursor.joinPreviousEditBlock()
        for place in reversed(lone):
            cursor.setPosition(place)
            cursor.setPosition(place + 1, QTextCursor.MoveMode.KeepAnchor)
            cursor.insertText("\ufffd")
        cursor.endEditBlock()
        self._say_replaced(len(lone))

    # --- tokens ----------------------------------------------------------------------------------

    def set_tokens(
        self,
        tokens: Sequence[Token],
        shades: Sequence[int],
        text: str,
        read: int | None = None,
    ) -> None:
        """Show `tokens`, the tokens of `text`, which the user may have edited since.

        Parameters
        ----------
        tokens : sequence of Token
            With spans in characters of `text`.
        shades : sequence of int
            One for each token: which of the theme's shades it has.
        text : str
            What was read.
        read : int, optional
            Only so many characters of `text` were read; the rest is dimmed.
        """
        self._read = Spans.of(tokens, (self._tokens, self._read))
        self._tokens, self._shades = tuple(tokens), tuple(shades)
        self._spans = self._read.moved(text, self._text)
        rest = Spans() if read is None else Spans(np.array([read]), np.array([len(text)]))
        self._unread = rest.moved(text, self._text)
        self._place_tokens()

    def set_marks(self, selected: int | None, hovered: int | None, pinned: frozenset[int]) -> None:
        """Fill one token, outline one, and put a dot on some."""
        if (selected, hovered, pinned) != (self._selected, self._hovered, self._pinned):
            self._selected, self._hovered, self._pinned = selected, hovered, pinned
            self._set_foregrounds()
            self.viewport().update()

    def token_at(self, point: QPointF) -> int | None:
        """The token drawn at `point`, in the viewport's pixels."""
        for block, line, corner in self._lines(point.y(), point.y()):
            for piece in reversed(self._pieces(block, line, corner)):
                if piece.box.contains(point):
                    return piece.token
        return None

    def boxes_of(self, token: int) -> list[QRectF]:
        """Where on the viewport a token is drawn: none if it is out of sight, many if it wraps."""
        return [
            piece.box
            for block, line, corner in self._lines(0.0, float(self.viewport().height()))
            for piece in self._pieces(block, line, corner)
            if piece.token == token
        ]

    def caret_token(self) -> int | None:
        """The token that the caret stands in, or behind."""
        caret = self.textCursor().position()
        for start in (caret, caret - 1):
            if found := self._index.between(start, start + 1):
                return found[0].token
        return None

    def _place_tokens(self) -> None:
        before, shades = self._index, self._placed_shades
        self._index = SpanIndex(self._spans.in_units(self._units))
        self._placed_shades = self._shades
        self._set_foregrounds()
        changed = first_change(before, shades, self._index, self._shades)
        if changed is not None:
            self._update_from(changed)

    def _update_from(self, unit: int) -> None:
        """Paint anew from the line before a position on; lines that move are Qt's to paint anew."""
        height = self.viewport().height()
        for block, line, corner in self._lines(0.0, float(height)):
            if block.position() + line.textStart() + line.textLength() >= unit:
                top = int(corner.y() + line.y() - line.height())
                self.viewport().update(0, top, self.viewport().width(), height - top)
                return

    def _set_foregrounds(self) -> None:
        made = []
        spans = self._spans
        if len(self._unread.starts):
            start, end = int(self._unread.starts[0]), int(self._unread.ends[0])
            made.append(self._foreground(start, end, theme.current().muted))
        if self._selected is not None and self._selected < len(spans.starts):
            start, end = int(spans.starts[self._selected]), int(spans.ends[self._selected])
            made.append(self._foreground(start, end, theme.current().on_accent))
        if made or self.extraSelections():
            self.setExtraSelections(made)

    def _foreground(self, start: int, end: int, colour: str) -> QTextEdit.ExtraSelection:
        made = QTextEdit.ExtraSelection()
        cursor = QTextCursor(self.document())
        cursor.setPosition(self._units.unit(start))
        cursor.setPosition(self._units.unit(end), QTextCursor.MoveMode.KeepAnchor)
        made.cursor = cursor
        made.format.setForeground(QColor(colour))
        return made

    # --- painting --------------------------------------------------------------------------------

    def _lines(self, top: float, bottom: float) -> Iterator[tuple[QTextBlock, QTextLine, QPointF]]:
        """Lines that meet the viewport's rows `top` to `bottom`, with their block's corner."""
        block = self.firstVisibleBlock()
        offset = self.contentOffset()
        while block.isValid():
            box = self.blockBoundingGeometry(block).translated(offset)
            if box.top() > bottom:
                return
            if box.bottom() >= top:
                layout = block.layout()
                for number in range(first_line_to(layout, top - box.top()), layout.lineCount()):
                    line = layout.lineAt(number)
                    if box.top() + line.y() > bottom:
                        break
                    yield block, line, box.topLeft()
            block = block.next()

    def _pieces(self, block: QTextBlock, line: QTextLine, corner: QPointF) -> list[Piece]:
        metrics = QFontMetricsF(self.font())
        return self._keeper.pieces(block, line, corner, self._index, metrics, self._mixed)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the tokens' shades, then the text over them."""
        look = theme.current()
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        shades = [QBrush(QColor(shade)) for shade in look.tokens]
        accent = QBrush(QColor(look.accent))
        rows = event.rect()
        for block, line, corner in self._lines(float(rows.top()), float(rows.bottom())):
            for piece in self._pieces(block, line, corner):
                box = piece.box.adjusted(0.5, 0, -0.5, 0)
                painter.setPen(Qt.PenStyle.NoPen)
                chosen = piece.token == self._selected
                painter.setBrush(accent if chosen else shades[self._shades[piece.token]])
                painter.drawRoundedRect(box, 4, 4)
                if piece.token in self._pinned:
                    painter.setBrush(QColor(look.on_accent if chosen else look.accent))
                    painter.drawEllipse(QPointF(box.center().x(), box.top() + 3), 2, 2)
                if piece.token == self._hovered:
                    painter.setBrush(Qt.BrushStyle.NoBrush)
                    painter.setPen(QPen(QColor(look.hover), 1.5))
                    painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        first = self.document().firstBlock()
        if not self._text and not first.layout().preeditAreaText():
            self._paint_placeholder(painter, first)
        painter.end()
        super().paintEvent(event)

    def _paint_placeholder(self, painter: QPainter, block: QTextBlock) -> None:
        # Qt would write its own where the line would stand if lines were not moved apart.
        box = self.blockBoundingGeometry(block).translated(self.contentOffset())
        line = block.layout().lineAt(0)
        painter.setFont(self.font())
        painter.setPen(QColor(theme.current().muted))
        start = QPointF(box.left() + self.document().documentMargin(), box.top())
        painter.drawText(start + QPointF(0, line.y() + line.ascent()), self.placeholder)

    def _restyle(self) -> None:
        look = theme.current()
        palette = self.palette()
        # The accent marks the selected token, so selected text is marked by something fainter.
        faint = QColor(look.accent)
        faint.setAlphaF(0.35)
        palette.setColor(QPalette.ColorRole.Highlight, faint)
        palette.setColor(QPalette.ColorRole.HighlightedText, QColor(look.text))
        if palette != self.palette():
            self.setPalette(palette)
        self._set_foregrounds()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._restyle()

    # --- pointer and keys ------------------------------------------------------------------------

    def _point_at(self, token: int | None) -> None:
        if token != self._pointed:
            self._pointed = token
            self.tokenHovered.emit(token)

    def _on_a_line(self, event: QMouseEvent) -> QMouseEvent:
        """The event on the nearest line: Qt takes a click between lines for one at a line's end."""
        place = event.position()
        pitch = QFontMetricsF(self.font()).height()
        best, shortest = place.y(), pitch
        for _, line, corner in self._lines(place.y() - pitch, place.y() + pitch):
            top = corner.y() + line.y()
            inside = min(max(place.y(), top + 1), top + line.height() - 1)
            if abs(inside - place.y()) < shortest:
                best, shortest = inside, abs(inside - place.y())
        return QMouseEvent(
            event.type(),
            QPointF(place.x(), best),
            event.globalPosition(),
            event.button(),
            event.buttons(),
            event.modifiers(),
            event.pointingDevice(),
        )

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Place the caret."""
        self._pressed = event.position().toPoint()
        super().mousePressEvent(self._on_a_line(event))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Select a word of the text."""
        self._pressed = None
        super().mouseDoubleClickEvent(self._on_a_line(event))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Outline the token under the pointer, or extend the selection of text."""
        if event.buttons() == Qt.MouseButton.NoButton:
            self._point_at(self.token_at(event.position()))
        super().mouseMoveEvent(self._on_a_line(event))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Select the token that was clicked; beside the text, none."""
        super().mouseReleaseEvent(self._on_a_line(event))
        pressed, self._pressed = self._pressed, None
        if (
            pressed is not None
            and event.button() == Qt.MouseButton.LeftButton
            and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            and not self.textCursor().hasSelection()
            and (event.position().toPoint() - pressed).manhattanLength()
            < QApplication.startDragDistance()
        ):
            self.tokenClicked.emit(self.token_at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """Outline nothing."""
        super().leaveEvent(event)
        self._point_at(None)

    def viewportEvent(self, event: QEvent) -> bool:
        """Explain the token under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            token = self.token_at(QPointF(event.pos()))
            if token is None:
                QToolTip.hideText()
            else:
                boxes = self.boxes_of(token)
                area = boxes[0].toAlignedRect() if boxes else QRect()
                tip = token_tip(token, self._tokens[token])
                QToolTip.showText(event.globalPos(), tip, self.viewport(), area)
            return True
        return super().viewportEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Type. A selected token follows the caret when that is moved; Escape lets it go."""
        if event.key() == Qt.Key.Key_Escape and self._selected is not None:
            self.tokenClicked.emit(None)
            return
        super().keyPressEvent(event)
        moved = event.key() in _NAVIGATION and not (
            event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        )
        if moved and self._selected is not None:
            token = self.caret_token()
            if token is not None:
                self.tokenClicked.emit(token)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer to pin the token under the pointer beside what every editor offers."""
        menu = self.createStandardContextMenu(event.pos())
        token = self.token_at(QPointF(event.pos()))
        if token is not None:
            name = shortened(visible(self._tokens[token].text), 24)
            word = "Unpin" if token in self._pinned else "Pin"
            action = QAction(f"{word} token {name}", menu)
            action.triggered.connect(lambda: self.pinToggled.emit(token))
            menu.insertAction(menu.actions()[0], action)
            menu.insertSeparator(menu.actions()[1])
        menu.exec(event.globalPos())
        menu.deleteLater()
