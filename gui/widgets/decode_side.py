"""The column beside the latent map: what a point decodes to, its nearest texts, what it says on."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QTabBar, QVBoxLayout, QWidget

from gui import theme
from gui.widgets.decode_bars import DecodeBars
from gui.widgets.faders import Faders
from gui.widgets.nearest_texts import NearestTexts
from gui.widgets.writing import WritingPanel

ROOMY = 260
"""From this height on the nearest texts stand under the tokens, without a page of their own."""

WIDTH = 264
TOKENS, TEXTS, WRITING = 0, 1, 2


class DecodeSide(QWidget):
    """Pages under tabs, and the sliders below them.

    Attributes
    ----------
    tabs : QTabBar
        Chooses among `TOKENS`, `TEXTS` (where the space has reference texts) and `WRITING`.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._with_faders = self._with_texts = False
        self.setMinimumWidth(152)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored)
        self.tabs = QTabBar()
        self.tabs.setFont(theme.ui_font(theme.SMALL))
        self.tabs.setAccessibleName("What is told of the latent point")
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.setStyleSheet("QTabBar::tab { padding: 2px 8px; }")
        for name, about in (
            ("Next", "The tokens the decoded point makes likeliest."),
            ("Texts", "Reference texts whose states lie nearest to the point."),
            ("Says", "What the model writes on with the decoded state in place: what next?"),
        ):
            self.tabs.setTabToolTip(self.tabs.addTab(name), f"<p>{about}</p>")
        self.bars = DecodeBars("Tokens the latent point decodes to")
        self.texts = NearestTexts("Texts nearest to the latent point")
        self.writing = WritingPanel()
        self.faders = Faders("Coordinates of the latent point")
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 4, 0)
        column.setSpacing(4)
        column.addWidget(self.tabs)
        column.addWidget(self.bars, 3)
        column.addWidget(self.texts, 2)
        column.addWidget(self.writing, 3)
        column.addWidget(self.faders)
        self.tabs.currentChanged.connect(self._arrange)
        self._arrange()

    def set_parts(self, *, faders: bool, texts: bool) -> None:
        """Say whether there are sliders, and whether there are reference texts."""
        self._with_faders, self._with_texts = faders, texts
        self._arrange()

    def _arrange(self) -> None:
        roomy = self.height() >= ROOMY
        self.tabs.setTabVisible(TEXTS, self._with_texts and not roomy)
        page = self.tabs.currentIndex()
        self.bars.setVisible(page == TOKENS)
        self.texts.setVisible(self._with_texts and (page == TEXTS or (roomy and page == TOKENS)))
        self.writing.setVisible(page == WRITING)
        self.faders.setVisible(self._with_faders and (roomy or page != WRITING))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Make use of the height there is."""
        super().resizeEvent(event)
        if (event.size().height() >= ROOMY) != (event.oldSize().height() >= ROOMY):
            self._arrange()

    def sizeHint(self) -> QSize:
        """Less than half of a panel in the first layout, where the map is flat."""
        return QSize(WIDTH, 200)
