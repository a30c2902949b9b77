"""Which plane of a latent space a map shows: as trained, principal components, two dimensions.

Dimensions are written as people count them, from z₁ on; the engine counts from 0.
"""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from engine.types import LatentPlane, LatentResult
from gui import theme
from gui.planes import dimension, own_is_plain

_OWN, _COMPONENTS, _TWO = range(3)

_ABOUT = (
    "<p>Which plane of the latent space is drawn, (z − o)·A. <b>as trained</b> is the plane the "
    "space was made with; <b>PC 1, 2 of μ</b> are the two directions in which the reference "
    "states' μ differ most; <b>two dimensions</b> lets you choose z_i and z_j.</p>"
)
_OLD = (
    "<p>This space's file keeps its reference states in the trained plane only, so there is no "
    "other to show. <tt>python main.py latent refresh</tt> collects them again with their μ, and a "
    "space that is trained now keeps it.</p>"
)


class PlaneChoice(QWidget):
    """A list of the planes there are, and two of the dimensions where those are to be chosen."""

    changed = Signal()
    """Another plane is wanted."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._told: tuple[object, ...] = ()
        self.which = QComboBox()
        self.which.setAccessibleName("Plane of the latent space")
        self.which.setToolTip(_ABOUT)
        self.across, self.up = QComboBox(), QComboBox()
        for combo, name in ((self.across, "across"), (self.up, "up")):
            combo.setAccessibleName(f"Dimension {name}")
            combo.setToolTip(f"<p>The dimension of the latent space that is drawn {name}.</p>")
            combo.setMinimumContentsLength(2)
        self.which.addItems(["as trained", "PC 1, 2 of μ", "two dimensions"])
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for combo in (self.which, self.across, self.up):
            combo.setFont(theme.ui_font(theme.SMALL))
            combo.activated.connect(self._choose)
            row.addWidget(combo)
        self._show_dimensions()

    @property
    def plane(self) -> LatentPlane:
        """What is wanted."""
        which = self.which.currentIndex()
        if which == _TWO and self.across.count() > 1:
            return self.across.currentIndex(), self.up.currentIndex()
        return "components" if which == _COMPONENTS else "own"

    def set_result(self, result: LatentResult) -> None:
        """Offer what the space of an answer has, keeping the choice where it still is one."""
        width, plain = int(result.mu.shape[-1]), own_is_plain(result)
        told = (width, plain, result.planes)
        if told == self._told:
            return
        wanted, self._told = self.plane, told
        own = f"{dimension(0)}, {dimension(1)}" if plain else "PC 1, 2 of μ"
        self.which.setItemText(_OWN, f"as trained: {own}")
        # Where the space's own plane is that of the components, it is not offered twice.
        offered = {_OWN: True, _COMPONENTS: result.planes and plain, _TWO: result.planes}
        items = self.which.model()
        assert isinstance(items, QStandardItemModel)
        for index, there in offered.items():
            items.item(index).setEnabled(there)
            items.item(index).setToolTip("" if there else _OLD if not result.planes else "")
        self.which.setToolTip(_ABOUT if result.planes else _ABOUT + _OLD)
        if not offered[self.which.currentIndex()]:
            self.which.setCurrentIndex(_OWN)
        before = self.across.currentIndex(), self.up.currentIndex()
        for combo, chosen, first in zip((self.across, self.up), before, (0, 1), strict=True):
            combo.clear()
            combo.addItems([dimension(index) for index in range(width)])
            combo.setCurrentIndex(chosen if 0 <= chosen < width else min(first, width - 1))
        self._part()
        self.setVisible(width > 2)
        self._show_dimensions()
        if self.plane != wanted:
            self.changed.emit()

    def _part(self) -> None:
        """Let across and up differ."""
        if self.across.currentIndex() == self.up.currentIndex() and self.up.count() > 1:
            self.up.setCurrentIndex((self.across.currentIndex() + 1) % self.up.count())

    def _choose(self) -> None:
        self._part()
        self._show_dimensions()
        self.changed.emit()

    def _show_dimensions(self) -> None:
        for combo in (self.across, self.up):
            combo.setVisible(self.which.currentIndex() == _TWO)
