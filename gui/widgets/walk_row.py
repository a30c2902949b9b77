"""The decoded points of a walk, with what draws other ones where the walk is drawn."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QSpinBox, QWidget

from gui import theme
from gui.widgets.decode_bars import DecodeStrip


class WalkRow(QWidget):
    """A strip, and beside it a seed and a button that draws again.

    Attributes
    ----------
    strip : DecodeStrip
        The points.
    seed : QSpinBox
        Of the draws; the same seed draws the same points.
    again : QPushButton
        Takes the next seed.
    """

    drawn = Signal()
    """There is another seed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.strip = DecodeStrip("Tokens along the walk")
        self.seed = QSpinBox()
        self.seed.setRange(0, 9999)
        self.seed.setPrefix("seed ")
        self.seed.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.seed.setAccessibleName("Seed of the draws from the prior")
        self.seed.setToolTip("<p>The same seed draws the same points z ~ N(0, I).</p>")
        self.again = QPushButton("Draw again")
        self.again.setFont(theme.ui_font(theme.SMALL))
        self.again.setToolTip("<p>Draw other points from the prior: with the next seed.</p>")
        self.again.setAccessibleName("Draw again from the prior")
        self.again.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 4, 0)
        layout.setSpacing(4)
        layout.addWidget(self.strip, 1)
        layout.addWidget(self.seed)
        layout.addWidget(self.again)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.seed.valueChanged.connect(self.drawn)
        self.again.clicked.connect(self._draw)
        self.set_drawing(False)

    def _draw(self) -> None:
        # Not a step of the spin box, which would mark its digits.
        self.seed.setValue((self.seed.value() + 1) % (self.seed.maximum() + 1))

    def set_drawing(self, drawing: bool) -> None:
        """Show the seed and the button, or not."""
        self.seed.setVisible(drawing)
        self.again.setVisible(drawing)
