"""Pictures of what another context changes: states by layer, attention, paths, what moved most."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, cast

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPalette, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from engine.comparison import CompareResult
from gui import comparing, theme
from gui.comparing import SHORT, Measure, Ranked
from gui.glossary import tip
from gui.widgets import form
from gui.widgets.heatmap import HeatMap
from gui.widgets.legend import number
from gui.widgets.ranking import Ranking
from gui.widgets.token_axis import Marks
from gui.widgets.twin_paths import TwinPaths

Page = Literal["most", "attention", "paths"]
PAGES: dict[Page, str] = {
    "most": "What changed most",
    "attention": "Attention, B less A",
    "paths": "Paths in latent space",
}

MOST = 24
"""Lines of each list; as many are shown as have room."""

NARROW = 460
"""Pixels below which the pictures stand one below the other."""


class Differences(QWidget):
    """The shift of states as a map, and beside it one of three pictures.

    All places are those of the tokens that both sides share, the *pairs*.
    """

    pageChanged = Signal()
    """Another picture is shown, which may want other numbers."""

    pairHovered = Signal(object)
    pairClicked = Signal(object)
    layerChosen = Signal(int)
    headChosen = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._found: CompareResult | None = None
        self._labels: tuple[str, ...] = ()
        self._lines: tuple[list[Ranked], ...] = ([], [], [])
        self.shift = HeatMap()
        self.shift.setAccessibleName("Shift of each token's state by layer")
        self.shift.set_legend("1 − cos", "not a number")
        self.shift.set_readout(self._read_shift)
        self.page = form.combo("Picture", "Which picture of the difference is shown here.")
        for key, name in PAGES.items():
            self.page.addItem(name, key)
        about = tip("KL divergence") + tip("P-CXMI") + tip("cosine distance")
        self.rankings = (
            Ranking("Tokens", f"The tokens that changed most, by the colour chosen.{about}"),
            Ranking(
                "Layers · shift",
                "The depths at which the tokens' states moved most, by the mean over the tokens "
                f"that both sides share.{tip('cosine distance')}",
            ),
            Ranking(
                "Heads · shift",
                "The heads whose rows moved most, by the mean over the tokens that both sides "
                f"share. A click opens one.{tip('total variation')}",
            ),
        )
        self.attention = HeatMap()
        self.attention.setAccessibleName("Difference of attention, B less A")
        self.attention.set_legend("B less A", "after the query")
        self.attention.set_readout(self._read_attention)
        self.paths = TwinPaths()
        self._lay_out()
        self.page.currentIndexChanged.connect(self._turn)
        self.shift.cellHovered.connect(lambda _row, column: self._hover(column))
        self.shift.cellClicked.connect(self._click_shift)
        self.shift.rowClicked.connect(self.layerChosen)
        self.attention.cellHovered.connect(lambda row, _column: self._hover(row))
        self.attention.cellClicked.connect(lambda row, _column: self.pairClicked.emit(row))
        for clicked in (
            self.shift.columnClicked,
            self.attention.rowClicked,
            self.attention.columnClicked,
        ):
            clicked.connect(self.pairClicked.emit)
        self.paths.pointHovered.connect(self.pairHovered)
        self.paths.pointClicked.connect(self.pairClicked)
        for which, ranking in enumerate(self.rankings):
            ranking.chosen.connect(partial(self._go, which))

    def _lay_out(self) -> None:
        most = QWidget()
        row = QHBoxLayout(most)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for ranking, share in zip(self.rankings, (4, 3, 3), strict=True):
            row.addWidget(ranking, share)
        self._pages = QStackedWidget()
        self._nothing = QLabel("There is no such attention to compare at this layer and head.")
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._nothing.setWordWrap(True)
        self._nothing.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        for picture in (most, self.attention, self.paths, self._nothing):
            self._pages.addWidget(picture)
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        self._splitter.setChildrenCollapsible(False)
        self._moved = _titled(QLabel("Shift of state by layer"), self.shift)
        self._splitter.addWidget(self._moved)
        self._splitter.addWidget(_titled(self.page, self._pages))
        self._splitter.setSizes([1000, 1000])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._splitter)

    # --- what is shown ---------------------------------------------------------------------------

    @property
    def shown(self) -> Page:
        """Which picture stands beside the shift of states."""
        return cast(Page, self.page.currentData())

    def set_found(self, found: CompareResult, labels: Sequence[str], model: str) -> None:
        """Draw a comparison of the tokens `labels`, made with `model`."""
        self._found, self._labels = found, tuple(labels)
        depths = found.shift.shape[1]
        self.shift.set_labels([f"L{depth}" for depth in range(depths)], labels)
        high = float(np.nanmax(found.shift, initial=0.0)) or 1.0
        self._moved.setVisible(not _empty(found))
        self.shift.set_data(found.shift.T, levels=(0.0, high))
        self._turn_to_page()
        if found.attention is not None:
            self.attention.set_labels(labels, labels)
            causal = found.stack == "decoder"
            level = comparing.level(found.attention)
            self.attention.set_data(
                found.attention, levels=(-level, level), signed=True, causal=causal
            )
        if self.shown != "paths":
            return
        if found.paths is None or found.reference is None:
            said = f"There is no latent space of {model}'s tokens yet."
            if found.second and _empty(found):
                said = "States of different widths have no place in one latent space."
            self.paths.set_message(said)
            return
        self.paths.set_paths(found.paths, found.reference, labels)
        self.paths.setToolTip(
            f"<p>Where the text's tokens lie in the latent space of layer {found.space}, on the "
            "grey states it was measured on; A is the filled path, B the hollow one.</p>"
        )

    def rank(self, measure: Measure, depth: int) -> None:
        """List what changed most, tokens by `measure`; states are those at `depth`."""
        found = self._found
        if found is None:
            return
        self._lines = (
            comparing.top_tokens(found, measure, depth, self._labels, MOST),
            comparing.top_layers(found, MOST),
            comparing.top_heads(found, MOST),
        )
        by = SHORT["kl" if measure == "surprise" and found.kl is not None else measure]
        self.rankings[0].set_title(f"Tokens · {by}")
        missing = ["nothing to compare yet", "", "no attention to be seen in this model"]
        if found.second:
            missing[1:] = ["states of different widths", "heads that are not as many"]
        for ranking, lines, message in zip(self.rankings, self._lines, missing, strict=True):
            ranking.set_rows([(line.text, line.value) for line in lines], message)

    def set_marks(self, marks: Marks, layer: int, head: tuple[int, int | None]) -> None:
        """Mark pairs, the layer shown, and the head shown by its block and number."""
        self.shift.set_marks(Marks(selected=layer), marks)
        self.attention.set_marks(marks, marks)
        self.paths.set_marks(marks.selected, marks.hovered)
        places = ((marks.selected,), (layer,), head)
        for ranking, lines, place in zip(self.rankings, self._lines, places, strict=True):
            marked = frozenset(index for index, line in enumerate(lines) if line.at == place)
            ranking.set_marked(marked)

    def _read_shift(self, row: int, column: int) -> str:
        found = self._found
        if found is None or row >= found.shift.shape[1] or column >= len(self._labels):
            return ""
        value = number(float(found.shift[column, row]))
        return f"{self._labels[column]}: {value}\n1 − cos of its states in A and B at layer {row}"

    def _read_attention(self, row: int, column: int) -> str:
        found = self._found
        if found is None or found.attention is None or found.elsewhere is None:
            return ""
        if max(row, column) >= len(found.attention):
            return ""
        query, key = self._labels[row], self._labels[column]
        if found.stack == "decoder" and column > row:
            return f"{query} → {key}: masked"
        change = comparing.signed(float(found.attention[row, column]))
        rest = found.elsewhere[:, row].tolist()
        return (
            f"{query} → {key}: {change} from A to B\n"
            f"to tokens that are not shared: {rest[0]:.2f} in A, {rest[1]:.2f} in B"
        )

    # --- what the user does ----------------------------------------------------------------------

    def _turn(self) -> None:
        self._pages.setCurrentIndex(self.page.currentIndex())
        self.pageChanged.emit()

    def _turn_to_page(self) -> None:
        """Show the picture chosen, or that there is none: an old map would be taken for this."""
        found = self._found
        if self.shown == "attention" and found is not None and found.attention is None:
            self._pages.setCurrentWidget(self._nothing)
        else:
            self._pages.setCurrentIndex(self.page.currentIndex())

    def _hover(self, pair: int) -> None:
        self.pairHovered.emit(pair if pair >= 0 else None)

    def _click_shift(self, layer: int, pair: int) -> None:
        self.layerChosen.emit(layer)
        self.pairClicked.emit(pair)

    def _go(self, which: int, line: int) -> None:
        """Go where a line of the lists leads."""
        at = self._lines[which][line].at
        if which == 0:
            self.pairClicked.emit(at[0])
        elif which == 1:
            self.layerChosen.emit(at[0])
        else:
            self.headChosen.emit(at[0], at[1])
            self.page.setCurrentIndex(self.page.findData("attention"))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the pictures one below the other where there is little room beside."""
        super().resizeEvent(event)
        narrow = event.size().width() < min(NARROW, event.size().height() * 1.5)
        way = Qt.Orientation.Vertical if narrow else Qt.Orientation.Horizontal
        if way != self._splitter.orientation():
            self._splitter.setOrientation(way)


def _empty(found: CompareResult) -> bool:
    """Whether no state of one side can be compared with one of the other."""
    return bool(len(found.pairs)) and not np.isfinite(found.shift).any()


def _titled(title: QWidget, picture: QWidget) -> QWidget:
    """A picture with what it is above it."""
    made = QWidget()
    title.setFont(theme.ui_font(theme.SMALL))
    head = QHBoxLayout()
    head.setContentsMargins(8, 0, 4, 0)
    head.addWidget(title)
    head.addStretch(1)
    layout = QVBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(2)
    layout.addLayout(head)
    layout.addWidget(picture, 1)
    return made
