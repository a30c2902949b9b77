"""A field that finds words in what the dots of a cloud are from, and says how many it found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QAction, QKeyEvent, QPalette
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QWidget

from gui import theme
from gui.widgets.icons import icon

_MARKS = str.maketrans("", "", "‹›")
_ABOUT = (
    "<p>Find reference states: those whose text or label has all the words that are written here "
    "stand out. Enter chooses them as a group, Escape clears the field.</p>"
)
_NO_TEXTS = (
    "<p>This space's file does not say what its reference states are from, so only their labels "
    "are searched. <tt>python main.py latent refresh</tt> collects them again with a few words of "
    "each, and a space that is trained now keeps these.</p>"
)


def searched(texts: Sequence[str], labels: Sequence[str]) -> list[str]:
    """What is looked through for each dot: its text, without the marks round a token, and label."""
    told = texts or [""] * len(labels)
    return [
        f"{text.translate(_MARKS)}\n{label}".casefold()
        for text, label in zip(told, labels, strict=True)
    ]


def matches(within: Sequence[str], wanted: str) -> NDArray[np.int64]:
    """Which of these have all the words of `wanted`, in upper or lower case."""
    words = wanted.casefold().split()
    rows = [row for row, text in enumerate(within) if all(word in text for word in words)]
    return np.array(rows, dtype=np.int64)


class CloudSearch(QWidget):
    """The field and the number beside it.

    Attributes
    ----------
    found : indices or None
        What was found; None while nothing is searched for.
    """

    changed = Signal()
    """Something else is found."""

    taken = Signal()
    """What was found is to be chosen."""

    left = Signal()
    """The field is done with, so the focus may go back to where it came from."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.found: NDArray[np.int64] | None = None
        self._reference: tuple[Sequence[str], Sequence[str]] = (), ()
        self._within: list[str] | None = None  # made when something is searched for
        self.field = QLineEdit()
        self.field.setFont(theme.ui_font(theme.SMALL))
        self.field.setPlaceholderText("find states")
        self.field.setAccessibleName("Find reference states by their text or label")
        self.field.setClearButtonEnabled(True)
        self.field.setFixedWidth(120)
        self._glass = QAction(icon("search"), "", self)
        self.field.addAction(self._glass, QLineEdit.ActionPosition.LeadingPosition)
        self.number = QLabel()
        self.number.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.number.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.number.hide()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.field)
        row.addWidget(self.number)
        self.setToolTip(_ABOUT)
        self.field.textChanged.connect(self._find)
        self.field.installEventFilter(self)

    def set_reference(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        """Look through other dots: N texts, or none where they are not known, and N labels."""
        self._reference, self._within = (texts, labels), None
        self.setToolTip(_ABOUT if texts else _ABOUT + _NO_TEXTS)
        self._find()

    def begin(self) -> None:
        """Let the user write."""
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.field.selectAll()

    def _find(self) -> None:
        wanted = self.field.text()
        self.found, said = None, ""
        if wanted.split():
            if self._within is None:
                self._within = searched(*self._reference)
            self.found = matches(self._within, wanted)
            said = f"{len(self.found):,} of {len(self._within):,}"
        self.number.setText(said)
        self.number.setVisible(bool(said))
        self.field.setAccessibleDescription(said and f"{said} found")
        self.changed.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Clear on Escape, and leave; choose on Enter."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Escape:
                self.field.clear()
                self.left.emit()
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.taken.emit()
                return True
        return False

    def changeEvent(self, event: QEvent) -> None:
        """Redraw the glass when the theme has changed."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_glass"):
            self._glass.setIcon(icon("search"))
