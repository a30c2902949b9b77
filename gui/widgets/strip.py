"""A sentence across a panel or the window: what went wrong, to be read, copied and closed."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QToolBar,
    QVBoxLayout,
    QWidget,
)

from gui.widgets.icons import IconButton

MOST_WARNINGS = 3
NARROWEST = 120
"""A strip of less than this has not been laid out yet, and its height means nothing."""

REMARK_MS = 6000
"""How long a remark stays that nobody closes."""


class Strip(QFrame):
    """A line of text that wraps, can be selected and closed, and is hidden while it has none.

    Parameters
    ----------
    quiet : bool
        Whether this is a remark rather than a warning.
    """

    closed = Signal()

    def __init__(self, quiet: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("strip")
        self.setProperty("quiet", quiet)
        self._made_quiet = quiet
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._label = QLabel(self)
        self._label.setWordWrap(True)
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self._label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self._label.setContentsMargins(0, 3, 0, 3)
        self._label.setAccessibleName("Message")
        button = IconButton("close", "Close message", "Close this message.")
        button.clicked.connect(self.dismiss)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 4, 4, 4)
        layout.setSpacing(8)
        layout.addWidget(self._label, 1)
        layout.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        self._going = QTimer(self)
        self._going.setSingleShot(True)
        self._going.setInterval(REMARK_MS)
        self._going.timeout.connect(self.dismiss)
        self.quiet = quiet
        self.setFixedHeight(32)
        self.hide()

    @property
    def text(self) -> str:
        """What stands in the strip; empty while it is hidden."""
        return self._label.text()

    def say(self, sentence: str, quiet: bool | None = None) -> None:
        """Show `sentence`; an empty one hides the strip.

        With `quiet` it is a remark that goes by itself, without (False) a warning that stays; by
        default it is what the strip was made for, and stays.
        """
        self._going.stop()
        if quiet:
            self._going.start()
        self._dress(bool(self._made_quiet if quiet is None else quiet))
        self._label.setText(sentence)
        self.setVisible(bool(sentence))
        self._fit()

    def dismiss(self) -> None:
        """Hide the strip, as its button does."""
        self.say("")
        self.closed.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Take the height that the wrapped text needs at the new width."""
        super().resizeEvent(event)
        self._fit()

    def _dress(self, quiet: bool) -> None:
        if quiet != self.quiet:
            self.quiet = quiet
            self.setProperty("quiet", quiet)
            self.style().unpolish(self)
            self.style().polish(self)

    def _fit(self) -> None:
        # A tool bar asks no widget for its height at a given width, so the strip fixes its own.
        if self._label.width() >= NARROWEST:
            self.setFixedHeight(max(24, self._label.heightForWidth(self._label.width())) + 8)


class MessageBar(QToolBar):
    """The window's own strip, below its controls; warnings gather in it until it is closed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Messages", parent)
        self.setObjectName("messages")
        self.setMovable(False)
        self.toggleViewAction().setVisible(False)
        self._strip = Strip()
        # A tool bar shows and hides what is put into it as it likes, so the strip has a holder.
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 4)
        column.addWidget(self._strip)
        self.addWidget(holder)
        self._strip.closed.connect(self.hide)
        self.hide()

    @property
    def text(self) -> str:
        """What it says."""
        return self._strip.text

    def warn(self, sentence: str) -> None:
        """Add a sentence; the last few stay until they are closed."""
        lines = [] if self._strip.quiet else self.text.splitlines()
        kept = [line for line in lines if line != sentence]
        self._strip.say("\n".join([*kept, sentence][-MOST_WARNINGS:]), quiet=False)
        self.refresh()

    def remark(self, sentence: str) -> None:
        """Say something that goes by itself, unless a warning stands there."""
        if self._strip.quiet or not self.text:
            self._strip.say(sentence, quiet=True)
            self.refresh()

    def dismiss(self) -> None:
        """Close it, as its button does."""
        self._strip.dismiss()

    def refresh(self) -> None:
        """Be there if there is something to say."""
        self.setVisible(bool(self.text))
