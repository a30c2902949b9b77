"""What the gates of an LSTM let through at each token, and what its cells hold."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget
from superqt import QElidingLabel

from engine.types import GatesQuery, GatesResult, Query, Snapshot
from gui import theme
from gui.session import Session
from gui.view import View, ViewSpec
from gui.widgets.heatmap import HeatMap
from gui.widgets.legend import number
from gui.widgets.token_axis import Marks, TokenLabels

PARTS: tuple[tuple[str, str, str], ...] = (
    ("input", "Input gate", "How much of what is new enters each cell, 0 (shut) to 1 (open)."),
    ("forget", "Forget gate", "How much each cell keeps of what it held, 0 (nothing) to 1 (all)."),
    ("output", "Output gate", "How much each cell shows of what it holds, 0 (shut) to 1 (open)."),
    ("cell", "Cell", "What each cell holds: cell = forget ⊙ cell before + input ⊙ candidate."),
    ("hidden", "Hidden state", "What the layer hands on: hidden = output ⊙ tanh(cell)."),
    ("candidate", "Candidate", "What could enter each cell, −1 to 1."),
)
"""Fields of `GatesResult`, the first three of them between 0 and 1."""

SAYS = (
    "An LSTM has no attention: what it knows of earlier tokens lies in the cells it carries along."
)


class GatesView(View):
    """Maps, tokens by units: three gates, the cells, the hidden state and the candidate."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._found: GatesResult | None = None
        self._labels: list[str] = []
        self._namer = TokenLabels()
        self.says = QElidingLabel(SAYS)
        self.says.setFont(theme.ui_font(theme.SMALL))
        self.says.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.says.setContentsMargins(8, 2, 8, 2)
        self.says.setToolTip(f"<p>{SAYS}</p>")
        self.says.setAccessibleName(SAYS)
        self.maps: dict[str, HeatMap] = {}
        grid = QGridLayout()
        grid.setContentsMargins(4, 0, 4, 4)
        grid.setSpacing(4)
        for at, (key, title, about) in enumerate(PARTS):
            shown = HeatMap()
            shown.setMinimumSize(80, 60)
            shown.setAccessibleName(title)
            shown.set_growing(rows=True, columns=False)
            shown.set_legend("unit →")
            shown.set_readout(self._reader(key))
            shown.cellHovered.connect(lambda row, _: self._hover(row))
            shown.cellClicked.connect(lambda row, _: self._select(row))
            self.maps[key] = shown
            name = QLabel(title)
            name.setFont(theme.ui_font(theme.SMALL))
            name.setToolTip(f"<p>{about}</p>")
            column = QVBoxLayout()
            column.setSpacing(0)
            column.addWidget(name)
            column.addWidget(shown, 1)
            grid.addLayout(column, at // 3, at % 3)
        for place in range(3):
            grid.setColumnStretch(place, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.says)
        layout.addLayout(grid, 1)
        for signal in (session.selectionChanged, session.hoverChanged, session.pinsChanged):
            signal.connect(self._mark)

    # --- question, answer, name ------------------------------------------------------------------

    def queries(self) -> tuple[Query, ...]:
        """Ask for the gates of the layer that reads the state at the shown depth."""
        return (GatesQuery(self.session.block),)

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw the maps; keep the last ones where there is no answer."""
        found = snapshot.results.get(self.queries()[0])
        if not isinstance(found, GatesResult):
            return
        self._found = found
        self._labels = self._namer.of(snapshot.tokens)
        for key, shown in self.maps.items():
            values = getattr(found, key)
            if key in ("input", "forget", "output"):
                shown.set_data(values, levels=(0.0, 1.0))
            else:
                shown.set_data(values, signed=True)
            shown.set_labels(self._labels, None)
        self._mark()

    def caption(self) -> str:
        """The layer, and how many units it has."""
        found = self._found
        return "" if found is None else f"layer {found.layer} · {found.cell.shape[1]} units"

    # --- inside ----------------------------------------------------------------------------------

    def _reader(self, key: str) -> Callable[[int, int], str]:
        def told(row: int, unit: int) -> str:
            values = getattr(self._found, key, None)
            if values is None or row >= len(values) or unit >= values.shape[1]:
                return ""
            return f"{self._labels[row]}, unit {unit}: {number(float(values[row, unit]))}"

        return told

    def _hover(self, row: int) -> None:
        self.session.hover(row if row >= 0 else None)

    def _select(self, row: int) -> None:
        if row >= 0:
            self.session.select(row if row != self.session.selected else None)

    def _mark(self, *_: object) -> None:
        session = self.session
        marks = Marks(session.hovered, session.selected, session.pinned)
        for shown in self.maps.values():
            shown.set_marks(rows=marks)

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(240, 160)


VIEW = ViewSpec(
    key="gates",
    title="Gates",
    about=(
        "One layer of an LSTM, tokens × units. Gates lie between 0 (shut) and 1 (open): cell = "
        "forget ⊙ cell before + input ⊙ candidate; hidden = output ⊙ tanh(cell). It has no "
        "attention."
    ),
    empty="Type a context to see what an LSTM's gates let through at each token.",
    needs=frozenset({"gates"}),
    shortcut="Ctrl+Shift+G",
    area="right",
    order=5,
    create=GatesView,
    tab="attention",
    shown=False,
)
