"""The dock around a view: its title line, and what it shows when there is no picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QColor, QFocusEvent, QFont, QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import (
    QDockWidget,
    QHBoxLayout,
    QLabel,
    QMenu,
    QSizePolicy,
    QStackedLayout,
    QToolButton,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from engine.types import ModelInfo, Snapshot
from gui import theme
from gui.view import View, ViewSpec
from gui.widgets.icons import IconButton
from gui.widgets.strip import Strip

State = Literal["empty", "loading", "unfit", "failed", "picture"]

LOADING_AFTER_MS = 200
"""An answer that comes sooner than this needs no busy mark, which would only flicker."""

COMPUTING = "Computing …"

LACKS = {
    "embedding": "{} does not let its hidden states be read.",
    "attention": "{} has no attention weights that can be read.",
    "cross-attention": "{} has no decoder that attends to an encoder.",
    "next": "{} does not predict a next token.",
    "gates": "{} is no LSTM, whose gates this shows.",
    "latent": "No VAE has been trained on the states of {} yet.",
}
"""Why a model does not give what a view needs, in words."""

NO_ATTENTION = (
    "An LSTM has no attention: it carries a state from token to token. What its gates let through "
    "is shown in the panel Gates."
)


@dataclass(frozen=True, slots=True)
class ExportChoice:
    """One line of a panel's export menu: what it does is the window's business."""

    id: str
    text: str
    tip: str


class Panel(QDockWidget):
    """A view in its dock.

    Parameters
    ----------
    spec : ViewSpec
        The view's record.
    view : View
        The view itself; the panel owns it from now on.
    exports : sequence of ExportChoice
        What the export menu offers.

    Notes
    -----
    The last good picture stays: once a view has drawn something, a later failure is told in a
    strip below it. A view that needs nothing of the model (the context editor) is always shown.
    """

    exportRequested = Signal(str, str)
    """The view's key and the id of the chosen export."""

    def __init__(
        self,
        spec: ViewSpec,
        view: View,
        exports: Sequence[ExportChoice] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(spec.title, parent)
        self.spec = spec
        self.view = view
        self._model: ModelInfo | None = None
        self.setObjectName(f"panel-{spec.key}")
        self.setAccessibleName(spec.title)
        self.setTitleBarWidget(self._make_header(exports))

        self._notice = _Notice()
        self._strip = Strip(quiet=True)
        body = QWidget()
        body.setObjectName("panelBody")
        self._stack = QStackedLayout()
        self._stack.addWidget(view)
        self._stack.addWidget(self._notice)
        layout = QVBoxLayout(body)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(self._stack, 1)
        layout.addWidget(self._strip)
        self.setWidget(body)

        view.captionChanged.connect(self.refresh_caption)
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(LOADING_AFTER_MS)
        self._patience.timeout.connect(self._lose_patience)
        self.state: State = "picture"
        self._drawn = False
        self._rest()

    # --- what the window tells it ---------------------------------------------------------------

    @property
    def applicable(self) -> bool:
        """Whether the model gives what the view needs; so it is held until a model is there."""
        return self._model is None or self.spec.needs <= self._model.provides

    @property
    def message(self) -> str:
        """What the panel says: instead of the picture, or below it; empty if nothing."""
        return self._strip.text if self.state == "picture" else self._notice.words

    def set_model(self, model: ModelInfo) -> None:
        """Take the model that answers from now on."""
        self._model = model
        self._strip.say("")
        if not self.applicable:
            self._patience.stop()
            self._drawn = False
            self._show("unfit", *self._why_unfit(model))
        elif self.state in ("unfit", "failed"):
            self._show("loading", "", COMPUTING)

    def expect(self) -> None:
        """An answer is on its way. Only a panel with no picture will say so, and not at once."""
        if self.applicable and self.state not in ("picture", "loading"):
            self._patience.start()

    def take(self, snapshot: Snapshot) -> None:
        """The view has drawn `snapshot`, or could not; show which."""
        self._patience.stop()
        if not self.applicable:
            return
        queries = self.view.queries()
        reasons = [snapshot.refused[query] for query in queries if query in snapshot.refused]
        if self.spec.needs and not snapshot.tokens:
            self._drawn = False
            self._rest()
        elif reasons and self.spec.needs and not any(q in snapshot.results for q in queries):
            # Not a failure: the old picture would stand under a layer it is not of.
            self._drawn = False
            self._show("failed", f"{self.spec.title}: nothing to show here", reasons[0])
        else:
            self._drawn = True
            self._strip.say(reasons[0] if reasons and not self.view.says_why else "")
            self._show("picture")
        self.refresh_caption()

    def fail(self, sentence: str) -> None:
        """Say why there is no new picture, below the old one where there is one."""
        self._patience.stop()
        if self._drawn or not self.spec.needs:
            self._strip.say(sentence)
        elif self.applicable:
            self._show("failed", f"{self.spec.title} could not be drawn", sentence)

    def refresh_caption(self) -> None:
        """Show what the view says of itself now."""
        self._caption.set_text(self.view.caption() if self.state == "picture" else "")

    def focus_view(self) -> None:
        """Give the focus to the view, or to the first part of it that takes one."""
        parts = [self.view, *self.view.findChildren(QWidget)]
        for part in parts:
            seen = part.isEnabled() and part.isVisibleTo(self)
            if part.focusPolicy() & Qt.FocusPolicy.TabFocus and seen:
                part.setFocus(Qt.FocusReason.ShortcutFocusReason)
                return

    # --- parts ----------------------------------------------------------------------------------

    def _make_header(self, exports: Sequence[ExportChoice]) -> QWidget:
        spec = self.spec
        header = QWidget()
        header.setObjectName("panelHeader")
        title = QLabel(spec.title.upper())
        font = theme.ui_font(theme.SMALL, bold=True)
        font.setLetterSpacing(QFont.SpacingType.AbsoluteSpacing, 0.8)
        title.setFont(font)
        title.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        title.setAccessibleName(spec.title)
        self._caption = _Caption()
        info = _InfoButton(spec)
        layout = QHBoxLayout(header)
        layout.setContentsMargins(8, 2, 4, 2)
        layout.setSpacing(0)
        layout.addWidget(title)
        layout.addSpacing(8)
        layout.addWidget(self._caption, 1)
        layout.addWidget(info)
        if exports:
            layout.addWidget(self._make_export_button(exports))
        layout.addWidget(self._make_more_button())
        return header

    def _make_export_button(self, exports: Sequence[ExportChoice]) -> QToolButton:
        title = self.spec.title
        button = IconButton(
            "export", f"Save {title}", f"Save {title} as a picture or as the numbers behind it."
        )
        menu = QMenu(button)
        menu.setToolTipsVisible(True)
        for choice in exports:
            action = menu.addAction(choice.text)
            action.setToolTip(choice.tip)
            action.triggered.connect(
                lambda _checked=False, id=choice.id: self.exportRequested.emit(self.spec.key, id)
            )
        button.setMenu(menu)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        return button

    def _make_more_button(self) -> QToolButton:
        button = IconButton(
            "more", f"{self.spec.title}: panel menu", "Tear this panel off, dock it or close it."
        )
        menu = QMenu(button)
        floating = menu.addAction("&Float")
        floating.triggered.connect(lambda: self.setFloating(not self.isFloating()))
        self.topLevelChanged.connect(
            lambda afloat: floating.setText("&Dock" if afloat else "&Float")
        )
        closing = QAction("&Close", menu)
        closing.triggered.connect(self.close)
        menu.addAction(closing)
        button.setMenu(menu)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        return button

    # --- states ---------------------------------------------------------------------------------

    def _rest(self) -> None:
        if self.spec.needs and self._model is None:
            self._show("loading", "", "Waiting for a model …")
        elif self.spec.needs:
            self._show("empty", "", self.spec.empty)
        else:
            self._show("picture")

    def _lose_patience(self) -> None:
        if self.state != "picture":
            self._show("loading", "", COMPUTING)

    def _show(self, state: State, heading: str = "", text: str = "") -> None:
        self.state = state
        if state == "picture":
            self._stack.setCurrentWidget(self.view)
        else:
            self._notice.say(heading, text, busy=state == "loading")
            self._stack.setCurrentWidget(self._notice)
            self._strip.say("")
            self._caption.set_text("")

    def _why_unfit(self, model: ModelInfo) -> tuple[str, str]:
        missing = sorted(self.spec.needs - model.provides)
        if "gates" in model.provides and "attention" in missing:
            # It is not that it could not be read.
            return f"Not available for {model.title}", NO_ATTENTION
        reasons = [LACKS.get(need, "{} has no " + need + ".") for need in missing]
        heading = f"Not available for {model.title}"
        return heading, " ".join(reason.format(model.title) for reason in reasons)


class _Notice(QWidget):
    """What a panel says instead of a picture: a heading, a sentence, a still busy mark."""

    def __init__(self) -> None:
        super().__init__()
        self._mark = QLabel("● ● ●")
        self._mark.setForegroundRole(QPalette.ColorRole.Highlight)
        self._mark.setFont(theme.ui_font(theme.SMALL))
        self._mark.setAccessibleName("Busy")
        self._heading = QLabel()
        self._heading.setFont(theme.ui_font(theme.LARGE))
        self._text = QLabel()
        self._text.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 8, 16, 8)
        layout.setSpacing(4)
        layout.addStretch(1)
        for label in (self._mark, self._heading, self._text):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            layout.addWidget(label)
        layout.addStretch(1)

    def say(self, heading: str, text: str, busy: bool) -> None:
        """Show a heading (if any) and a sentence; with `busy` also the mark."""
        self._mark.setVisible(busy)
        self._heading.setText(heading)
        self._heading.setVisible(bool(heading))
        self._text.setText(text)

    @property
    def words(self) -> str:
        """The heading and the sentence."""
        return " ".join(filter(None, (self._heading.text(), self._text.text())))

    def minimumSizeHint(self) -> QSize:
        """Ask for nothing, so that words never push a panel apart."""
        return QSize(0, 0)


class _Caption(QWidget):
    """One line that is cut with an ellipsis where the room ends."""

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)

    def set_text(self, text: str) -> None:
        """Show `text`."""
        if text != self._text:
            self._text = text
            self.setAccessibleName(text)
            self.setToolTip(text)
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the line in the theme's colour."""
        painter = QPainter(self)
        painter.setPen(QColor(theme.current().text))
        line = self.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(
            self.rect(), int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), line
        )
        painter.end()


class _InfoButton(IconButton):
    """The ⓘ: explains the picture on hover, on a click, and when the keyboard reaches it."""

    def __init__(self, spec: ViewSpec) -> None:
        about = f"<p style='margin:0'><b>{spec.title}</b><br>{spec.about}</p>"
        super().__init__("info", f"About {spec.title}", about)
        self.setAccessibleDescription(spec.about)
        self.clicked.connect(self._explain)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Explain when the tab key brought the focus here."""
        super().focusInEvent(event)
        if event.reason() in (
            Qt.FocusReason.TabFocusReason,
            Qt.FocusReason.BacktabFocusReason,
        ):
            self._explain()

    def _explain(self) -> None:
        where = self.mapToGlobal(QPoint(0, self.height()))
        QToolTip.showText(where, self.toolTip(), self, self.rect(), 30_000)
