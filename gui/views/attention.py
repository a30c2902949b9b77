"""The attention of one head, or of a layer's mean head: as a map and as lines."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal, cast

import numpy as np
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget
from superqt import QElidingLabel

from engine.types import AttentionQuery, AttentionResult, Query, Snapshot, Stack
from gui import theme
from gui.figures.spec import FigureOptions
from gui.glossary import tip
from gui.session import Session
from gui.view import View, ViewSpec
from gui.widgets.arcs import AttentionLines
from gui.widgets.attention_bar import AttentionBar
from gui.widgets.attention_stats import causal_mask, entropy_bits, first_key, rank
from gui.widgets.heatmap import HeatMap
from gui.widgets.legend import number
from gui.widgets.range_stats import RangeStats, range_stats
from gui.widgets.token_axis import Marks, TokenLabels

Side = Literal["row", "column"]


class AttentionView(View):
    """Show which token (row, query) attends to which (column, key)."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._result: AttentionResult | None = None
        self._range_waits = session.range is not None
        self._measured: tuple[object, ...] = ()
        self._of_range: RangeStats | None = None
        self._snapshot: Snapshot | None = None
        self._row_namer, self._column_namer = TokenLabels(), TokenLabels()
        self._row_labels: list[str] = []
        self._column_labels: list[str] = []
        self.bar = AttentionBar(session)
        self.map = HeatMap()
        self.map.setAccessibleName("Attention map")
        self.map.set_readout(self.read_out)
        self.map.set_legend("weight", "after the query")
        self.lines = AttentionLines()
        self._pictures = QStackedWidget()
        self._pictures.addWidget(self.map)
        self._pictures.addWidget(self.lines)
        self.setFocusProxy(self.map)
        self.note = QElidingLabel()
        self.note.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.note.setToolTip(tip("first-token sink"))
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.bar)
        layout.addWidget(self._pictures, 1)
        foot = QHBoxLayout()
        foot.setContentsMargins(8, 0, 8, 4)
        foot.addWidget(self.note)
        layout.addLayout(foot)

        self.bar.pictureChanged.connect(self._switch)
        self.bar.firstKeyChanged.connect(self._colour)
        self.map.cellHovered.connect(self._cell_hovered)
        self.map.cellClicked.connect(self._cell_clicked)
        self.map.rowClicked.connect(partial(self._toggle, "row"))
        self.map.columnClicked.connect(partial(self._toggle, "column"))
        self.lines.placeHovered.connect(self._place_hovered)
        self.lines.placeClicked.connect(self._toggle)
        session.scalingChanged.connect(self._colour)
        session.rangeChanged.connect(self._take_range)
        self.bar.zoomChanged.connect(self._zoom)
        for signal in (session.selectionChanged, session.hoverChanged, session.pinsChanged):
            signal.connect(self._mark)

    # --- question, answer, name ------------------------------------------------------------------

    def queries(self) -> tuple[Query, ...]:
        """Ask for the map of the chosen block, head and stack."""
        session = self.session
        head: int | Literal["mean"] = "mean" if session.head is None else session.head
        stack = session.shown_stack if session.model is not None else None
        return (AttentionQuery(session.block, head, stack),)

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw the map that `snapshot` answers with; keep the last one where it has none."""
        result = snapshot.results.get(self.queries()[0])
        if not isinstance(result, AttentionResult):
            return
        self._snapshot, self._result = snapshot, result
        rows = self._row_namer.of(snapshot.queries_for(result.stack))
        columns = self._column_namer.of(snapshot.keys_for(result.stack))
        self._row_labels, self._column_labels = rows, columns
        self.map.set_labels(rows, columns)
        self.lines.set_labels(rows, columns)
        self._colour()
        if self._range_waits:
            self._take_range()
        self._mark()
        self._say_first_key()

    def figure_options(self) -> FigureOptions:
        """What is on the screen, map or lines."""
        return replace(super().figure_options(), picture=self.bar.picture)

    def caption(self) -> str:
        """Layer, head and, where there are several, the stack."""
        session = self.session
        head = f"head {session.head}" if session.head is not None else "mean"
        if session.head is None and session.heads:
            head = f"mean of {session.heads} heads"
        parts = [f"layer {session.block}", head]
        if session.model is not None and len(session.model.stacks) > 1:
            parts.append(session.shown_stack)
        return " · ".join(parts)

    # --- what is drawn ---------------------------------------------------------------------------

    @property
    def causal(self) -> bool:
        """Whether the shown map is that of a stack that cannot look ahead."""
        return self._result is not None and self._result.stack == "decoder"

    def _colour(self) -> None:
        """Give the shown picture its colours; the hidden one gets them when it is shown."""
        if self._result is None:
            return
        weights = self._result.weights
        scaling = self.session.scaling
        unscaled = (0,) if self.bar.first_key.isChecked() and weights.shape[1] > 1 else ()
        if self.bar.picture == "map":
            self.map.set_data(weights, scaling=scaling, causal=self.causal, unscaled=unscaled)
        else:
            masked = causal_mask(*weights.shape) if self.causal else None
            self.lines.set_data(weights, scaling=scaling, masked=masked, unscaled=unscaled)

    def _switch(self, picture: str) -> None:
        shown = self.map if picture == "map" else self.lines
        self._pictures.setCurrentWidget(shown)
        self.setFocusProxy(shown)
        self._colour()
        self._mark()

    # --- the pinned range ------------------------------------------------------------------------

    def _take_range(self) -> None:
        self._range_waits = self._result is None
        self._zoom()
        self._mark()
        self._say_first_key()

    def _zoom(self) -> None:
        """Zoom the map's axes to the range, as far as they are those of its tokens."""
        held = self.session.range
        self.map.zoom_to(
            held if self.bar.zoom_queries.isChecked() and self._linked("row") else None,
            held if self.bar.zoom_keys.isChecked() and self._linked("column") else None,
        )

    def range_stats(self) -> RangeStats | None:
        """What the shown map says of the pinned range; None without either."""
        held, result = self.session.range, self._result
        if held is None or result is None:
            return None
        asked = (held, result.weights)
        if (
            len(self._measured) != 2
            or self._measured[0] != held
            or (self._measured[1] is not result.weights)
        ):
            self._measured = asked
            self._of_range = range_stats(
                result.weights,
                held,
                self.causal,
                queries=self._linked("row"),
                keys=self._linked("column"),
            )
        return self._of_range

    def _say_range(self, stats: RangeStats) -> str:
        first, after = self.session.range or (0, 0)
        parts = [f"range, tokens {first}–{after - 1}"]
        if stats.share is not None and stats.even is not None:
            who = "later queries" if self.causal else "other queries"
            parts.append(
                f"{who} give it {stats.share * 100:.0f} % (even: {stats.even * 100:.0f} %)"
            )
        if stats.inside is not None:
            parts.append(f"its own give it {stats.inside * 100:.0f} %")
        return " · ".join(parts)

    def _say_first_key(self) -> None:
        stats = self.range_stats()
        if stats is not None:
            text = self._say_range(stats)
            self.note.setText(text)
            self.note.setAccessibleName(text)
            self.note.setToolTip(f"<p>{text}</p>{tip('pinned range')}")
            return
        found = first_key(self._result.weights, self.causal) if self._result else None
        text = ""
        if found is not None:
            first = self._column_labels[0]
            share, even = (f"{part * 100:.0f} %" for part in (found.share, found.even))
            text = f"{share} of attention rests on the first token, “{first}”"
            if found.is_sink:
                text += f", a sink: heads look there when nothing else calls them (even: {even})"
            else:
                text += f" (even attention would give it {even})"
        self.note.setText(text)
        self.note.setAccessibleName(text)
        self.note.setToolTip(f"<p>{text}</p>{tip('first-token sink')}")

    def read_out(self, row: int, column: int) -> str:
        """Say a cell's tokens and weight, its rank in the row, and the row's entropy."""
        if self._result is None or not (
            row < len(self._row_labels) and column < len(self._column_labels)
        ):
            return ""
        weights = self._result.weights[row]
        pair = f"{self._row_labels[row]} → {self._column_labels[column]}"
        if self.causal and column > row:
            return f"{pair}: masked\na token cannot attend to what comes after it"
        keys = min(row + 1, len(weights)) if self.causal else len(weights)
        weight = float(weights[column])
        if not np.isfinite(weight):
            return f"{pair}: not a number"
        said = (
            f"{pair}: {_weight(weight)}\n"
            f"token {row} → token {column} · rank {rank(weights, column)} of {keys} · "
            f"row entropy {entropy_bits(weights):.2f} bit"
        )
        stats = self.range_stats()
        if stats is not None and row < len(stats.paid):
            said += f"\nto the range: {_weight(float(stats.paid[row]))} of this query"
        if stats is not None and column < len(stats.taken):
            said += (
                f"\nfrom the range: {_weight(float(stats.taken[column]))} to this key on average"
            )
        return said

    # --- marks -----------------------------------------------------------------------------------

    def _linked(self, side: Side) -> bool:
        """Whether the tokens of a side are those of the text, which the session's marks are on."""
        model = self.session.model
        if model is None or model.kind != "encoder-decoder":
            return True
        stack: Stack = self._result.stack if self._result else self.session.shown_stack
        return stack == "encoder" or (stack == "cross" and side == "column")

    def _mark(self) -> None:
        """Show the session's marks; what is pointed at here is outlined on both sides."""
        session = self.session
        local = self.map.cursor_cell
        if self.bar.picture == "lines":
            pointed = self.lines.pointed
            local = (-1, -1)
            if pointed is not None:
                local = (pointed[1], -1) if pointed[0] == "row" else (-1, pointed[1])
        sides = []
        for side, here in (("row", local[0]), ("column", local[1])):
            linked = self._linked(cast(Side, side))
            hovered = session.hovered if linked and max(local) < 0 else None
            sides.append(
                Marks(
                    hovered=here if here >= 0 else hovered,
                    selected=session.selected if linked else None,
                    pinned=session.pinned if linked else frozenset(),
                    range=session.range if linked else None,
                )
            )
        (self.map if self.bar.picture == "map" else self.lines).set_marks(*sides)

    def _cell_hovered(self, row: int, column: int) -> None:
        self._hover(row if self._linked("row") and row >= 0 else -1, column)

    def _place_hovered(self, side: str, index: int) -> None:
        row = index if side == "row" and self._linked("row") else -1
        self._hover(row, index if side == "column" else -1)

    def _hover(self, row: int, column: int) -> None:
        """Tell the session: the query is what is pointed at, or the key where there is none."""
        if row < 0 and self._linked("column"):
            row = column
        self.session.hover(row if row >= 0 else None)
        self._mark()

    def _cell_clicked(self, row: int, column: int) -> None:
        if self._linked("row"):
            self.session.select(row)
        elif self._linked("column"):
            self.session.select(column)

    def _toggle(self, side: str, index: int) -> None:
        if self._linked(cast(Side, side)):
            self.session.select(None if self.session.selected == index else index)

    # --- keys ------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Step the layer (Alt+Up, Alt+Down) or the head (Alt+Left, Alt+Right; mean comes first)."""
        session = self.session
        key = event.key()
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if modifiers != Qt.KeyboardModifier.AltModifier:
            super().keyPressEvent(event)
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            step = 1 if key == Qt.Key.Key_Up else -1
            session.set_layer(max(0, min(session.block + step, session.depth - 1)))
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            head = -1 if session.head is None else session.head
            head += 1 if key == Qt.Key.Key_Right else -1
            session.set_head(head if head >= 0 else None)
        else:
            super().keyPressEvent(event)

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(240, 160)


def _weight(value: float) -> str:
    """A weight with two digits that mean something."""
    if value == 0 or value >= 0.095:
        return f"{value:.2f}"
    return number(float(f"{value:.2g}"))


VIEW = ViewSpec(
    key="attention",
    title="Attention",
    about=(
        "How much each token (row, the query) takes from each token (column, the key): "
        "A = softmax(Q·Kᵀ/√d_h + mask), so that a row sums to one. Hatched cells lie after the "
        "query and are masked."
    ),
    empty="Type a context to see which tokens attend to which.",
    needs=frozenset({"attention"}),
    shortcut="Ctrl+3",
    area="right",
    order=0,
    create=AttentionView,
)
