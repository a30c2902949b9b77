"""The field that goes to a token, a head or a command by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QAction, QFocusEvent, QKeyEvent, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QCompleter, QLineEdit, QListView, QWidget

from gui.widgets.icons import icon

MOST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Target:
    """A place to go to: what is written for it, and the way there."""

    text: str
    tip: str
    go: Callable[[], None]


class GoTo(QLineEdit):
    """A line with a list of what matches; Enter takes the first or the one that is picked.

    Parameters
    ----------
    targets : callable
        Says what there is to go to, each time the field is entered.
    """

    left = Signal()
    """The field is done with, so the focus may go back to where it came from."""

    def __init__(
        self, targets: Callable[[], Sequence[Target]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._find = targets
        self._targets: Sequence[Target] = ()
        self._offers = QStandardItemModel(self)
        self._matcher = QCompleter(self._offers, self)
        self._matcher.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._matcher.setFilterMode(Qt.MatchFlag.MatchContains)
        self._matcher.setMaxVisibleItems(MOST_SHOWN)
        self._matcher.activated.connect(self._take)
        self._list = QListView()
        self._matcher.setPopup(self._list)
        self.setCompleter(self._matcher)
        self._list.installEventFilter(self)
        self._glass = QAction(icon("search"), "", self)
        self.addAction(self._glass, QLineEdit.ActionPosition.LeadingPosition)
        self.setPlaceholderText("token, head (L7H3), command")
        self.setAccessibleName("Go to")
        self.setToolTip(
            "Go to a token of the context, to a head (L7H3 is head 3 of layer 7), or run a command."
        )
        self.setMinimumWidth(96)
        self.setMaximumWidth(240)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Learn what there is to go to now."""
        super().focusInEvent(event)
        if event.reason() != Qt.FocusReason.PopupFocusReason:
            self._refill()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave on Escape; go on Enter."""
        if event.key() == Qt.Key.Key_Escape:
            self._leave()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._take_first()
        else:
            super().keyPressEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let Enter take the first match where none is picked in the list."""
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
            and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
            and watched is self._list
            and not self._list.currentIndex().isValid()
        ):
            self._list.hide()
            self._take_first()
            return True
        return super().eventFilter(watched, event)

    def changeEvent(self, event: QEvent) -> None:
        """Redraw the glass when the theme has changed."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_glass"):
            self._glass.setIcon(icon("search"))

    def _refill(self) -> None:
        self._targets = self._find()
        self._offers.clear()
        for target in self._targets:
            item = QStandardItem(target.text)
            item.setToolTip(target.tip)
            self._offers.appendRow(item)

    def _take_first(self) -> None:
        written = self.text().strip()
        if not written:
            self._leave()
            return
        exact = [t for t in self._targets if t.text.lower() == written.lower()]
        matches = exact or [t for t in self._targets if written.lower() in t.text.lower()]
        if matches:
            self._go(matches[0])
        else:
            self.selectAll()

    def _take(self, text: str) -> None:
        for target in self._targets:
            if target.text == text:
                self._go(target)
                return

    def _go(self, target: Target) -> None:
        self._leave()
        target.go()

    def _leave(self) -> None:
        self._list.hide()
        # The completer writes the picked text once its signal has been dealt with.
        self.setText("")
        self.left.emit()
