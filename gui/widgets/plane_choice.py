"""Which picture of a latent space a map shows: a plane, UMAP, or three directions to be turned.

Dimensions are written as people count them, from z₁ on; the engine counts from 0.
"""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from engine.types import LatentPlane, LatentResult
from gui import theme
from gui.planes import dimension, own_is_plain

_OWN, _COMPONENTS, _TWO, _UMAP, _THREE_COMPONENTS, _THREE = range(6)

_ABOUT = (
    "<p>Which picture of the latent space is drawn. <b>as trained</b> is the plane the space was "
    "made with, (z − o)·A; <b>PC 1, 2 of μ</b> are the two directions in which the reference "
    "states' μ differ most; <b>two dimensions</b> lets you choose z_i and z_j.</p>"
    "<p><b>UMAP of μ</b> keeps each point near its nearest and bends the space for it; distances "
    "between far groups mean little. It is fitted once, to all reference states with 15 neighbours "
    "each, and kept; tokens are placed in it and never change it.</p>"
    "<p><b>3-D</b> shows three directions. Drag the map or press the arrow keys to turn it; what "
    "is near lies over what is far.</p>"
)
_OLD = (
    "<p>This space's file keeps its reference states in the trained plane only, so there is no "
    "other to show. <tt>python main.py latent refresh</tt> collects them again with their μ, and a "
    "space that is trained now keeps it.</p>"
)


class PlaneChoice(QWidget):
    """A list of the pictures there are, and of the dimensions where those are to be chosen."""

    changed = Signal()
    """Another picture is wanted."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._told: tuple[object, ...] = ()
        self.which = QComboBox()
        self.which.setAccessibleName("Plane of the latent space")
        self.which.setToolTip(_ABOUT)
        self.across, self.up, self.third = QComboBox(), QComboBox(), QComboBox()
        for combo, name, says in (
            (self.across, "across", "drawn across; in 3-D along the first axis"),
            (self.up, "up", "drawn up; in 3-D along the second axis"),
            (self.third, "third", "drawn along the third axis, which points up at first"),
        ):
            combo.setAccessibleName(f"Dimension {name}")
            combo.setToolTip(f"<p>The dimension of the latent space that is {says}.</p>")
            combo.setMinimumContentsLength(2)
        self.which.addItems(
            [
                "as trained",
                "PC 1, 2 of μ",
                "two dimensions",
                "UMAP of μ",
                "3-D: PC 1, 2, 3 of μ",
                "3-D: three dimensions",
            ]
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self.which.setFont(theme.ui_font(theme.SMALL))
        self.which.activated.connect(self._choose)
        row.addWidget(self.which)
        for combo in self._dimensions:
            combo.setFont(theme.ui_font(theme.SMALL))
            combo.activated.connect(lambda _, chosen=combo: self._choose_dimension(chosen))
            row.addWidget(combo)
        self._show_dimensions()

    @property
    def _dimensions(self) -> tuple[QComboBox, QComboBox, QComboBox]:
        return self.across, self.up, self.third

    @property
    def plane(self) -> LatentPlane:
        """What is wanted."""
        which = self.which.currentIndex()
        across, up, third = (combo.currentIndex() for combo in self._dimensions)
        if which == _TWO and self.across.count() > 1:
            return across, up
        if which == _THREE and self.across.count() > 2:
            return across, up, third
        if which == _UMAP:
            return "umap"
        if which == _THREE_COMPONENTS:
            return "three components"
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
        offered = dict.fromkeys(range(self.which.count()), result.planes)
        offered[_OWN] = True
        # Where the space's own plane is that of the components, it is not offered twice.
        offered[_COMPONENTS] = result.planes and plain
        items = self.which.model()
        assert isinstance(items, QStandardItemModel)
        for index, there in offered.items():
            items.item(index).setEnabled(there)
            items.item(index).setToolTip("" if there else _OLD if not result.planes else "")
        self.which.setToolTip(_ABOUT if result.planes else _ABOUT + _OLD)
        if not offered[self.which.currentIndex()]:
            self.which.setCurrentIndex(_OWN)
        for first, combo in enumerate(self._dimensions):
            chosen = combo.currentIndex()
            combo.clear()
            combo.addItems([dimension(index) for index in range(width)])
            combo.setCurrentIndex(chosen if 0 <= chosen < width else min(first, width - 1))
        self._part(self.across)
        self.setVisible(width > 2)
        self._show_dimensions()
        if self.plane != wanted:
            self.changed.emit()

    def _part(self, kept: QComboBox) -> None:
        """Let the dimensions differ; the one that was just chosen stays."""
        taken = {kept.currentIndex()}
        for combo in self._dimensions:
            if combo is kept:
                continue
            index, count = combo.currentIndex(), max(combo.count(), 1)
            if index in taken:
                free = [(index + step) % count for step in range(1, count)]
                index = next((one for one in free if one not in taken), index)
                combo.setCurrentIndex(index)
            taken.add(index)

    def _choose_dimension(self, combo: QComboBox) -> None:
        # What lies beyond two is not seen then, and gives way.
        self._part(combo)
        self.changed.emit()

    def _choose(self) -> None:
        self._show_dimensions()
        self.changed.emit()

    def _show_dimensions(self) -> None:
        shown = {_TWO: 2, _THREE: 3}.get(self.which.currentIndex(), 0)
        for index, combo in enumerate(self._dimensions):
            combo.setVisible(index < shown)
