"""The legend of a picture's colours as a widget of its own, one line high."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, QSize
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.widgets.coding import ColourScale
from gui.widgets.legend import draw_legend
from gui.widgets.raster import colour_table

HEIGHT = 18


class ColourLegend(QWidget):
    """Name, bar and both its ends."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scale: ColourScale | None = None
        self._quantity = ""
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("What the colours mean")

    def set_scale(self, scale: ColourScale | None, quantity: str) -> None:
        """Draw the legend of `scale`; None where nothing is coloured."""
        if (scale, quantity) != (self._scale, self._quantity):
            self._scale, self._quantity = scale, quantity
            said = f"{quantity} from {scale.low:.3g} to {scale.high:.3g}" if scale else ""
            self.setAccessibleDescription(said)
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw it."""
        if self._scale is not None:
            painter = QPainter(self)
            table = colour_table(theme.current().dark, self._scale.signed)
            draw_legend(painter, QRectF(self.rect()), self._scale, table, quantity=self._quantity)
            painter.end()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self.update()

    def sizeHint(self) -> QSize:
        """One line."""
        return QSize(220, HEIGHT)

    def minimumSizeHint(self) -> QSize:
        """May become narrow: what does not fit is left out."""
        return QSize(80, HEIGHT)
