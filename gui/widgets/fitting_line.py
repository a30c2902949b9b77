"""The line that says that a picture is being fitted, how far it is, or that it is to be."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QSizePolicy, QWidget
from superqt import QElidingLabel

from gui import theme


class FittingLine(QWidget):
    """Offers to fit a picture, then shows the progress with a way to end it; hidden at first.

    Attributes
    ----------
    busy : bool
        Whether it is being fitted.
    """

    started = Signal()
    """The user wants it fitted."""

    cancelled = Signal()
    """The user wants the fitting to end."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.busy = False
        self.label = QElidingLabel()
        self.label.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        self.bar.setFixedWidth(90)
        self.bar.setAccessibleName("Progress of fitting UMAP")
        self.button = QPushButton()
        self.button.setFont(theme.ui_font(theme.SMALL))
        self.button.setFixedHeight(22)  # the map needs the room
        self.button.clicked.connect(self._press)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 0, 8, 2)
        row.setSpacing(8)
        row.addWidget(self.label, 1)
        row.addWidget(self.bar)
        row.addWidget(self.button)
        self.hide()

    def offer(self, sentence: str) -> None:
        """Say why there is no picture, and offer to fit it."""
        self.busy = False
        self._show(sentence, "Fit", "Fit this picture now; typing stays live, and it is kept.")

    def begin(self) -> None:
        """It is being fitted from now on."""
        self.busy = True
        self._show("UMAP of μ", "Cancel", "End the fitting at once; nothing is changed.")
        self.set_progress("UMAP of μ: starting", None)

    def set_progress(self, text: str, fraction: float | None) -> None:
        """Say what is done, and how far it is, 0..1, where that is known."""
        self._say(text)
        self.bar.setRange(0, 0 if fraction is None else 1000)
        self.bar.setValue(round(1000 * (fraction or 0.0)))

    def end(self) -> None:
        """There is nothing to say any more."""
        self.busy = False
        self.hide()

    def _show(self, sentence: str, button: str, explained: str) -> None:
        self._say(sentence)
        self.button.setText(button)
        self.button.setAccessibleName(f"{button} the UMAP picture")
        self.button.setToolTip(explained)
        self.bar.setVisible(self.busy)
        self.show()

    def _say(self, sentence: str) -> None:
        self.label.setText(sentence)
        self.label.setToolTip(sentence)
        self.label.setAccessibleName(sentence)

    def _press(self) -> None:
        (self.cancelled if self.busy else self.started).emit()
