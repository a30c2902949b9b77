"""Two small fields side by side: what stands before the text on either side of a comparison."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QWidget

from gui import theme
from gui.widgets import form
from gui.widgets.icons import IconButton
from gui.widgets.spans import without_lone_surrogates

LINES = 2
"""Lines of a field that are seen; more are scrolled."""


class ContextFields(QWidget):
    """Context A and context B; empty is the text alone."""

    changed = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        about = (
            "What stands before the text on this side; empty for the text alone. Unless it ends in "
            "a space or a line break, a line break is put between the two. Only what changes is "
            "run again."
        )
        self.one = _Field("Context A", about, "nothing before the text")
        self.other = _Field("Context B", about, "write what comes before the text")
        self.swap = IconButton(
            "swap",
            "Swap the contexts",
            "Let the two contexts change places; each side keeps its model.",
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 2)
        layout.setSpacing(8)
        for name, field in (("A", self.one), ("B", self.other)):
            layout.addWidget(form.named(name, field), 1)
            field.textChanged.connect(self._tell)
        layout.insertWidget(1, self.swap)

    def contexts(self) -> tuple[str, str]:
        """What is written."""
        return self.one.text, self.other.text

    def set_contexts(self, one: str, other: str) -> None:
        """Write both; a field that holds its text already keeps its caret."""
        for field, text in ((self.one, one), (self.other, other)):
            if field.text != text:
                field.selectAll()
                field.insertPlainText(text)  # so that it can be undone

    def _tell(self) -> None:
        self.changed.emit(*self.contexts())


class _Field(QPlainTextEdit):
    def __init__(self, name: str, about: str, hint: str) -> None:
        super().__init__()
        self.setObjectName("field")
        form.dressed(self, name, about)
        self.setFont(theme.ui_font(theme.NORMAL))
        self.setPlaceholderText(hint)
        self.setTabChangesFocus(True)
        self.document().setDocumentMargin(3)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFixedHeight(LINES * self.fontMetrics().lineSpacing() + 10)

    @property
    def text(self) -> str:
        """What is written, with lone surrogates replaced."""
        return without_lone_surrogates(self.toPlainText())[0]

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave keys with Alt to the window, whose shortcuts they are."""
        if event.modifiers() & Qt.KeyboardModifier.AltModifier and not event.text().isprintable():
            event.ignore()
        else:
            super().keyPressEvent(event)

    def sizeHint(self) -> QSize:
        """Two lines."""
        return QSize(160, self.height())

    def minimumSizeHint(self) -> QSize:
        """May become narrow."""
        return QSize(80, self.height())
