"""The context: the text being typed, its tokens, how surprising each was and what comes next."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from PySide6.QtCore import QEvent, QRectF, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPalette,
    QShortcut,
)
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from engine.types import Floats, ModelInfo, NextQuery, NextResult, Query, Snapshot, Token
from gui import theme
from gui.figures.spec import FigureOptions
from gui.session import Session
from gui.view import View, ViewSpec
from gui.widgets import icons
from gui.widgets.editor import ContextEditor
from gui.widgets.nextbar import COUNT, NextBar
from gui.widgets.spans import carry_index, carry_shades, kept_tokens, shortened, visible
from gui.widgets.token_ribbon import TokenRibbon

_SHADES = len(theme.DARK.tokens)
_WITHOUT_MODEL = "Tokens appear here as soon as a model is loaded."
_WITHOUT_TEXT = "Each piece of text that the model reads as one becomes a token here."
_POINT = "Point at a token to see what it is; click it to select it in every view."


class TokensView(View):
    """The context editor with what the model makes of it on the spot."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._tokens: tuple[Token, ...] = ()
        self._shades: tuple[int, ...] = ()
        self._target_tokens: tuple[Token, ...] = ()
        self._target_shades: tuple[int, ...] = ()
        self._surprise: Floats | None = None
        self._model: ModelInfo | None = None
        self._placed: tuple[object, ...] = ()  # whose tokens the editor shows
        self._engine_notice = ""
        self._entry_notice = ""

        self.editor = ContextEditor()
        self.target_editor = ContextEditor(theme.LARGE, "the context itself")
        self.target_editor.setAccessibleName("What the decoder reads")
        line = QFontMetricsF(self.target_editor.font()).height() * 1.32
        self.target_editor.setFixedHeight(math.ceil(line) + 4 * theme.STEP)
        self.target = _Target(self.target_editor)
        self.notice = _Notice()
        self.info = _InfoLine()
        self.ribbon = TokenRibbon()
        self.nextbar = NextBar()

        below = QVBoxLayout()
        below.setContentsMargins(8, 4, 8, 4)
        below.setSpacing(theme.STEP)
        for widget in (self.target, self.notice, self.info, self.ribbon, self.nextbar):
            below.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.editor, 1)
        layout.addLayout(below)
        self.setFocusProxy(self.editor)
        self._connect()

        self.editor.set_text(session.text)
        self.target_editor.set_text(session.target)
        self._take_model(session.model)
        self._show_marks()
        self.editor.setFocus()

    def _connect(self) -> None:
        session = self.session
        for signal, slot in (
            (self.editor.textEdited, self._take_text),
            (self.editor.noticed, self._take_entry_notice),
            (self.target_editor.textEdited, session.set_target),
            (self.target_editor.noticed, self._take_entry_notice),
            (self.nextbar.chosen, self._write),
            (self.nextbar.temperatureChanged, self.queriesChanged),
            (session.textChanged, self._follow),
            (session.targetChanged, self._follow),
            (session.modelChanged, self._take_model),
            (session.selectionChanged, self._show_marks),
            (session.hoverChanged, self._show_marks),
            (session.pinsChanged, self._show_marks),
            (session.rangeChanged, self.ribbon.set_range),
            (self.ribbon.rangeExtended, session.extend_range),
            (self.ribbon.rangeLifted, partial(session.pin_range, None)),
        ):
            signal.connect(slot)
        for part in (self.editor, self.ribbon):
            part.tokenHovered.connect(session.hover)
            part.tokenClicked.connect(session.select)
            part.pinToggled.connect(session.toggle_pin)
        for rank in range(COUNT):
            shortcut = QShortcut(QKeySequence(f"Alt+{rank + 1}"), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(lambda rank=rank: self.nextbar.write(rank))

    # --- what the view asks and shows ------------------------------------------------------------

    def queries(self) -> tuple[Query, ...]:
        """The next tokens, from a model that predicts any."""
        model = self.session.model
        asked = NextQuery(COUNT, self.nextbar.temperature)
        return (asked,) if model and "next" in model.provides else ()

    def figure_options(self) -> FigureOptions:
        """The next tokens as they are shown."""
        return replace(super().figure_options(), temperature=self.nextbar.temperature)

    def caption(self) -> str:
        """How long the context is."""
        count = len(self.editor.text)
        said = f"{count:,} character" + ("s" if count != 1 else "")
        if self._model is None:
            return said
        count = len(self._tokens)
        return f"{said} · {count:,} token" + ("s" if count != 1 else "")

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw the tokens, moved to where the user's typing has brought them since."""
        result = next((r for r in snapshot.results.values() if isinstance(r, NextResult)), None)
        # An encoder-decoder predicts what its decoder reads, not the context.
        own = result is not None and snapshot.model.kind != "encoder-decoder"
        self._draw_tokens(snapshot, result.surprise if result is not None and own else None)
        self._render_next(snapshot, result)
        self.info.set_scale(_top_bits(snapshot) if self._surprise is not None else None)
        self._engine_notice = snapshot.notice
        self._show_notice()
        self._show_marks()

    def render_tokens(self, snapshot: Snapshot) -> None:
        """Draw the tokens, of which those behind the edit have no surprise yet."""
        known = self._surprise
        if self._model is None or self._model.name != snapshot.model.name:
            known = None
        if known is not None:
            known = known[: kept_tokens(self._tokens, snapshot.tokens)[0]]
        self._draw_tokens(snapshot, known)
        self._engine_notice = snapshot.notice
        self._show_notice()
        self.captionChanged.emit()

    def _draw_tokens(self, snapshot: Snapshot, surprise: Floats | None) -> None:
        request, tokens = snapshot.request, snapshot.tokens
        same_model = self._model is not None and self._model.name == snapshot.model.name
        old = self._tokens if same_model else ()
        old_shades = self._shades if same_model else ()
        if same_model:
            self._carry_marks(old, tokens)
        self._model = snapshot.model
        self._tokens = tokens
        self._shades = carry_shades(old, old_shades, tokens, _SHADES)
        self.session.clamp_to(len(tokens))
        self._surprise = surprise

        # Where not all was read, the notice says so.
        end = max((token.end for token in tokens), default=0) if snapshot.notice else 0
        cut = bool(snapshot.notice) and end < len(request.text.rstrip())
        placed = snapshot.model, request, tokens, self._shades
        if placed != self._placed:  # or else the editor has moved them since, as one typed on
            self._placed = placed
            self.editor.set_tokens(tokens, self._shades, request.text, end if cut else None)
        self.ribbon.set_tokens(tokens, self._shades, surprise, _top_bits(snapshot))
        self.ribbon.set_hint(_WITHOUT_TEXT)
        caret = self.editor.caret_token()
        if caret is not None and self.editor.hasFocus():
            self.ribbon.reveal(caret)
        self._render_target(snapshot)

    def _render_target(self, snapshot: Snapshot) -> None:
        read = snapshot.request.target or ""
        tokens = snapshot.target_tokens if read else ()
        self._target_shades = carry_shades(
            self._target_tokens, self._target_shades, tokens, _SHADES
        )
        self._target_tokens = tokens
        self.target_editor.set_tokens(tokens, self._target_shades, read)

    def _render_next(self, snapshot: Snapshot, result: NextResult | None) -> None:
        if result is not None:
            self.nextbar.set_result(result)
        elif "next" not in snapshot.model.provides:
            self.nextbar.refuse(_why_no_next(snapshot.model))
        elif snapshot.refused and snapshot.tokens:
            self.nextbar.refuse(next(iter(snapshot.refused.values())))
        else:
            self.nextbar.clear()

    def _carry_marks(self, old: tuple[Token, ...], new: tuple[Token, ...]) -> None:
        """Keep selection and pins on the tokens they were put on, wherever those stand now."""
        if kept_tokens(old, new) == (len(old), 0):
            return  # the usual case: something was typed at the end
        session = self.session
        if session.selected is not None and session.selected < len(old):
            session.select(carry_index(session.selected, old, new))
        moved = {carry_index(pin, old, new) for pin in session.pinned if pin < len(old)}
        for index in session.pinned ^ frozenset(index for index in moved if index is not None):
            session.toggle_pin(index)

    # --- what the user does ----------------------------------------------------------------------

    def _take_text(self, text: str) -> None:
        if self._entry_notice and "\ufffd" not in text + self.target_editor.text:
            self._entry_notice = ""
            self._show_notice()
        self.session.set_text(text)

    def _follow(self) -> None:
        # What the signals bring has passed through Qt, which drops lone surrogates in silence.
        self.editor.set_text(self.session.text)
        self.target_editor.set_text(self.session.target)

    def _take_entry_notice(self, sentence: str) -> None:
        self._entry_notice = sentence
        self._show_notice()

    def _show_notice(self) -> None:
        self.notice.say(" ".join(filter(None, (self._engine_notice, self._entry_notice))))

    def _write(self, text: str) -> None:
        """Write a chosen next token behind what was read."""
        model = self.session.model
        if model is None or model.kind != "encoder-decoder":
            self.editor.append(text)
            self.editor.setFocus()
            return
        if not self.target_editor.text:
            self.target_editor.set_text(self.editor.text)
        self.target_editor.append(text)
        self.target_editor.setFocus()

    def _take_model(self, model: ModelInfo | None) -> None:
        self.target.setVisible(model is not None and model.kind == "encoder-decoder")
        if model is None:
            self.ribbon.set_hint(_WITHOUT_MODEL)
            self.nextbar.clear()
        elif "next" not in model.provides:
            self.nextbar.refuse(_why_no_next(model))
        elif self._model is None or self._model.name != model.name:
            self.ribbon.set_hint("")
            self.nextbar.clear()

    def _show_marks(self, _: object = None) -> None:
        session = self.session
        marks = (session.selected, session.hovered, session.pinned)
        self.editor.set_marks(*marks)
        self.ribbon.set_marks(*marks)
        token = session.hovered if session.hovered is not None else session.selected
        if token is not None and token < len(self._tokens):
            self.info.say(self._describe(token), strong=True)
        else:
            self.info.say(_POINT if self._tokens else "")

    def _describe(self, index: int) -> str:
        token = self._tokens[index]
        parts = [shortened(visible(token.text), 32), f"token {index}", f"id {token.id}"]
        if token.special:
            parts.append("special")
        if self._surprise is not None and index < len(self._surprise):
            bits = float(self._surprise[index])
            if not math.isnan(bits):
                parts.append(f"surprise {bits:.1f} bits")
        return "   ".join(parts)


def _top_bits(snapshot: Snapshot) -> float:
    """The surprise of blind guessing, in bits."""
    return math.log2(max(2, snapshot.model.vocabulary))


def _why_no_next(model: ModelInfo) -> str:
    if model.kind == "encoder":
        return f"none: {model.title} reads in both directions and predicts no next token."
    return f"none: {model.title} has no head that predicts the next token."


class _Target(QWidget):
    """The decoder's own text, under a title."""

    def __init__(self, editor: ContextEditor) -> None:
        super().__init__()
        frame = _Frame()
        inside = QVBoxLayout(frame)
        inside.setContentsMargins(2, 2, 2, 2)
        inside.addWidget(editor)
        title = QLabel("What the decoder reads")
        title.setFont(theme.ui_font(theme.SMALL))
        title.setToolTip(
            "The text the decoder has before it when it predicts: p(token | context, this text). "
            "Left empty, it reads the context itself, shifted by one."
        )
        title.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        title.setBuddy(editor)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.STEP)
        layout.addWidget(title)
        layout.addWidget(frame)


class _Frame(QWidget):
    """A thin line round a field."""

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(theme.current().line))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)


class _Notice(QFrame):
    """One quiet sentence with an icon; takes no room while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._icon = QLabel()
        self._label = QLabel()
        self._label.setFont(theme.ui_font(theme.SMALL))
        self._label.setWordWrap(True)
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._label.setAccessibleName("Notice")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(8)
        layout.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self._label, 1)
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.AlternateBase)
        self._draw_icon()
        self.hide()

    @property
    def text(self) -> str:
        """The sentence; empty while hidden."""
        return self._label.text()

    def say(self, sentence: str) -> None:
        """Show `sentence`, or nothing."""
        if sentence != self._label.text():
            self._label.setText(sentence)
        self.setVisible(bool(sentence))

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_icon"):
            self._draw_icon()

    def _draw_icon(self) -> None:
        ratio = self.devicePixelRatioF()
        self._icon.setPixmap(icons.pixmap("info", theme.current().accent, 14, ratio))


class _InfoLine(QWidget):
    """What the token in question is, and what the colours of the surprise strip mean."""

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self._strong = False
        self._top_bits: float | None = None
        self.setFixedHeight(4 * theme.STEP)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Token in question")
        self.setToolTip(
            "Surprise is −log₂ p(token | context before it), in bits: how badly the model expected "
            "the token. The scale ends at log₂ of the vocabulary's size, that of blind guessing."
        )

    @property
    def text(self) -> str:
        """What is said."""
        return self._text

    def say(self, text: str, strong: bool = False) -> None:
        """Say `text`, in full colour where it is about a token."""
        if (text, strong) != (self._text, self._strong):
            self._text, self._strong = text, strong
            self.setAccessibleDescription(text)
            self.update()

    def set_scale(self, top_bits: float | None) -> None:
        """Draw the legend up to `top_bits`; None where there is no surprise to show."""
        if top_bits != self._top_bits:
            self._top_bits = top_bits
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Write the line and draw the legend."""
        look = theme.current()
        painter = QPainter(self)
        area = QRectF(self.rect())
        middle = Qt.AlignmentFlag.AlignVCenter
        if self._top_bits is not None:
            painter.setFont(theme.ui_font(theme.SMALL))
            painter.setPen(QColor(look.muted))
            high = f"{self._top_bits:.1f} bits"
            painter.drawText(area, middle | Qt.AlignmentFlag.AlignRight, high)
            area.setRight(area.right() - painter.fontMetrics().horizontalAdvance(high) - 6)
            table = theme.sequential(look.dark)
            for step in range(64):
                colour = QColor(*(int(part) for part in table[step * 4]))
                bar = QRectF(area.right() - 64 + step, area.center().y() - 3, 1, 6)
                painter.fillRect(bar, colour)
            area.setRight(area.right() - 70)
            painter.drawText(area, middle | Qt.AlignmentFlag.AlignRight, "surprise 0")
            area.setRight(area.right() - painter.fontMetrics().horizontalAdvance("surprise 0") - 12)
        painter.setFont((theme.token_font if self._strong else theme.ui_font)(theme.SMALL))
        painter.setPen(QColor(look.text if self._strong else look.muted))
        shown = painter.fontMetrics().elidedText(
            self._text, Qt.TextElideMode.ElideRight, int(area.width())
        )
        painter.drawText(area, middle | Qt.AlignmentFlag.AlignLeft, shown)


VIEW = ViewSpec(
    key="tokens",
    title="Context",
    about=(
        "The text, cut into the tokens the model reads; each has its own shade. The strip below a "
        "token is its surprise, −log₂ p(token | context before it) in bits. The row at the bottom "
        "is the softmax of the scores at the last token: what the model expects next."
    ),
    empty="Type a context: its tokens, their surprise and the likeliest next tokens appear here.",
    needs=frozenset(),
    shortcut="Ctrl+1",
    area="left",
    order=0,
    create=TokensView,
)
