"""The choice of a second model for a comparison, and the line that tells how its loading goes."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from gui import theme
from gui.widgets import form

SAME, OTHER = "the same model", "another model …"
_HERE = "here"


class SecondModel(QComboBox):
    """Which model reads side B: the same, the one that was opened beside it, or yet another.

    Attributes
    ----------
    line : LoadingLine
        Tells of the loading; it stands where the panel has room for it.
    """

    wanted = Signal()
    """The user wants to choose another model."""

    dropped = Signal()
    """The user wants the same model on both sides."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        form.dressed(
            self,
            "Model of B",
            "Which model reads the text on side B: the same one, or another one beside it, which "
            "must cut texts into the same tokens. It takes memory until you choose the same model "
            "again.",
        )
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(len(SAME))
        self.line = LoadingLine()
        self.set_chosen("")
        self.activated.connect(self._act)

    def set_chosen(self, title: str) -> None:
        """Show the model that reads side B; empty for the same."""
        self.clear()
        self.addItem(SAME, "")
        if title:
            self.addItem(title, _HERE)
        self.addItem(OTHER, None)
        self.setCurrentIndex(1 if title else 0)
        for index in range(self.count()):
            self.setItemData(index, self.itemText(index), Qt.ItemDataRole.ToolTipRole)

    def _act(self, index: int) -> None:
        choice = self.itemData(index)
        # It shows what is, not what is wished for: that may come to nothing.
        self.setCurrentIndex(max(0, self.findData(_HERE)))
        if choice is None:
            self.wanted.emit()
        elif choice == "":
            self.dropped.emit()


class LoadingLine(QWidget):
    """One line: how far a model is, with a way to end it, or why it did not come; else hidden.

    Attributes
    ----------
    busy : bool
        Whether a model is on its way.
    """

    cancelled = Signal()
    """The user wants the loading to end."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.busy = False
        self.label = QLabel()
        self.label.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        self.bar.setFixedWidth(90)
        self.bar.setAccessibleName("Progress of opening the second model")
        self.button = QPushButton()
        self.button.setFont(theme.ui_font(theme.SMALL))
        self.button.clicked.connect(self._press)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 0, 8, 2)
        row.setSpacing(8)
        row.addWidget(self.label, 1)
        row.addWidget(self.bar)
        row.addWidget(self.button)
        self.hide()

    def set_progress(self, text: str, fraction: float | None) -> None:
        """Say what is done, and how far it is, 0..1, where that is known."""
        self.busy = True
        self._show(text, "Cancel", "End the loading; the comparison stays as it is.")
        self.bar.setRange(0, 0 if fraction is None else 1000)
        self.bar.setValue(round(1000 * (fraction or 0.0)))

    def fail(self, sentence: str) -> None:
        """Say why there is no other model than before."""
        self.busy = False
        self._show(sentence, "Close", "Put this message away.")

    def end(self) -> None:
        """There is nothing to say any more."""
        self.busy = False
        self.hide()

    def _show(self, sentence: str, button: str, about: str) -> None:
        self.label.setText(sentence)
        self.label.setAccessibleName(sentence)
        self.button.setText(button)
        self.button.setAccessibleName(about)
        self.button.setToolTip(about)
        self.bar.setVisible(self.busy)
        self.show()

    def _press(self) -> None:
        if self.busy:
            self.cancelled.emit()
        else:
            self.end()
