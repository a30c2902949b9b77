"""The residual stream at one depth: its numbers, a map of its tokens, and what lies near one."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFocusEvent, QPalette, QResizeEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from engine.types import (
    EmbeddingQuery,
    EmbeddingResult,
    NeighboursQuery,
    NeighboursResult,
    Query,
    Snapshot,
    Stack,
)
from gui import theme
from gui.glossary import tip
from gui.session import Session
from gui.view import View, ViewSpec
from gui.widgets.bars import BarList, LengthColumn, length
from gui.widgets.heatmap import HeatMap
from gui.widgets.legend import number
from gui.widgets.scatter import ScatterMap
from gui.widgets.token_axis import Marks, TokenLabels, token_label

Pane = Literal["values", "map", "nearest"]

SHARE = 0.99
"""The share of values that the colours tell apart; the rest has the outermost colour."""

_ENOUGH = 65_536
_WIDE, _NARROW = 760, 400
_ASK = "Select a token to see which entries of the vocabulary lie nearest to its state."


def robust_level(values: NDArray[np.float32], share: float = SHARE) -> float:
    """Magnitude that `share` of the values do not exceed, up to two digits.

    A few dimensions of a residual stream are hundreds of times larger than the rest ("massive
    activations"); colours that reached to them would show nothing else. Rounding keeps the colours
    from changing a little with every letter typed.

    Parameters
    ----------
    values : (T, D)
        What is not finite is left out.
    """
    # Of a long context some of the tokens are enough, each with all of its dimensions.
    flat = np.abs(values[:: max(1, values.size // _ENOUGH)].ravel())
    if not np.isfinite(flat.max(initial=0.0)):
        flat = flat[np.isfinite(flat)]
    level = _quantile(flat, share) if flat.size else 0.0
    if level <= 0:
        level = float(flat.max(initial=0.0))
    if level <= 0:
        return 1.0
    unit = 10.0 ** (math.floor(math.log10(level)) - 1)
    return math.ceil(level / unit - 1e-6) * unit


def _quantile(flat: NDArray[np.float32], share: float) -> float:
    """What numpy's `quantile` says of finite numbers (N,), in a tenth of its time; sorts them."""
    place = share * (flat.size - 1)
    below = int(place)
    flat.partition(below)
    low = float(flat[below])
    high = float(flat[below + 1 :].min(initial=np.inf)) if place > below else low
    return low + (place - below) * (high - low)


class EmbeddingView(View):
    """Show the states of all tokens at the session's layer.

    Wide: values, map and nearest words side by side. Less wide: the values, and one of the others.
    Narrow: one of the three. A high and narrow panel has them one below the other.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._snapshot: Snapshot | None = None
        self._result: EmbeddingResult | None = None
        self._namer = TokenLabels()
        self._labels: list[str] = []
        # Tokens that only an encoder-decoder's decoder read have marks of their own: the session's
        # are on the tokens of the context.
        self._own_selected: int | None = None
        self._own_hovered: int | None = None
        self._room = 0

        self.heat = HeatMap()
        self.heat.setAccessibleName("Tokens by dimensions")
        self.heat.set_growing(rows=True, columns=False)
        self.heat.set_legend(f"{100 * SHARE:.0f} % of values", "not a number")
        self.heat.set_readout(self._read_cell)
        self.norms = LengthColumn(self.heat, "‖x‖₂")
        self.norms.setToolTip(tip("norm") + "<p>Bars are cut at three times the median.</p>")
        self.map = ScatterMap("Map of the tokens, principal components")
        self.map.set_readout(self._read_point)
        self.nearest = BarList("Nearest entries of the vocabulary")
        self.nearest.set_rows((), _ASK)
        self.nearest.setToolTip(
            tip("cosine similarity")
            + "<p>Compared are the token's state here and the input embeddings of the "
            "vocabulary.</p>"
        )
        self.head_line = QElidingLabel()
        self.head_line.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.head_line.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.head_line.setToolTip(tip("residual stream"))

        values = QWidget()
        row = QHBoxLayout(values)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.heat, 1)
        row.addWidget(self.norms)
        scroll = QScrollArea()
        scroll.setWidget(self.nearest)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setMinimumWidth(112)
        self.splitter = QSplitter()
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(4)
        self.panes: dict[Pane, QWidget] = {"values": values, "map": self.map, "nearest": scroll}
        for stretch, pane in zip((5, 4, 2), self.panes.values(), strict=True):
            self.splitter.addWidget(pane)
            self.splitter.setStretchFactor(self.splitter.count() - 1, stretch)
        self.buttons: dict[Pane, QToolButton] = {
            "values": self._switch("Values", tip("residual stream")),
            "map": self._switch("Map (PCA)", tip("PCA") + tip("explained variance")),
            "nearest": self._switch("Nearest", self.nearest.toolTip()),
        }
        self.note = QLabel("map: PCA of these tokens · list: nearest words")
        self.note.setFont(theme.ui_font(theme.SMALL))
        self.note.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.note.setContentsMargins(8, 4, 4, 4)
        self.note.setToolTip(tip("PCA") + tip("explained variance") + tip("cosine similarity"))
        self._group = QButtonGroup(self)
        head = QHBoxLayout()
        head.setContentsMargins(8, 0, 4, 0)
        head.setSpacing(0)
        head.addWidget(self.head_line, 1)
        head.addWidget(self.note)
        for button in self.buttons.values():
            self._group.addButton(button)
            head.addWidget(button)
        self.buttons["map"].setChecked(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addWidget(self.splitter, 1)

        self._group.buttonToggled.connect(self._lay_out)
        self.heat.cellHovered.connect(lambda row, _: self._hover(row))
        self.heat.cellClicked.connect(lambda row, _: self._select(row))
        self.heat.rowClicked.connect(self._select)
        self.map.pointHovered.connect(self._hover)
        self.map.pointClicked.connect(self._select)
        session.selectionChanged.connect(self._selection_changed)
        session.hoverChanged.connect(self._mark)
        session.pinsChanged.connect(self._mark)
        session.rangeChanged.connect(self._mark)

    def _switch(self, text: str, explanation: str) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setCheckable(True)
        button.setAutoRaise(True)
        button.setFont(theme.ui_font(theme.SMALL))
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setAccessibleName(f"Show {text}")
        button.setToolTip(explanation)
        return button

    # --- question, answer, name ------------------------------------------------------------------

    @property
    def stack(self) -> Stack | None:
        """The stack whose states are shown: cross-attention is between states of the decoder."""
        if self.session.model is None:
            return None
        shown = self.session.shown_stack
        return "decoder" if shown == "cross" else shown

    @property
    def selected(self) -> int | None:
        """The token whose neighbours are shown."""
        return self.session.selected if self._linked else self._own_selected

    @property
    def _linked(self) -> bool:
        """Whether the rows are the tokens of the context, which the session's marks are on."""
        model = self.session.model
        return model is None or model.kind != "encoder-decoder" or self.stack != "decoder"

    def queries(self) -> tuple[Query, ...]:
        """Ask for the states, and for the neighbours of the selected token if there is one."""
        model = self.session.model
        if model is not None and "embedding" not in model.provides:
            return ()
        layer, stack = self.session.layer, self.stack
        asked: tuple[Query, ...] = (EmbeddingQuery(layer, stack),)
        if self.selected is not None:
            asked += (NeighboursQuery(layer, self.selected, stack=stack),)
        return asked

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw the states that `snapshot` answers with; keep the last ones where it has none."""
        answers = [snapshot.results.get(query) for query in self.queries()]
        result = next((a for a in answers if isinstance(a, EmbeddingResult)), None)
        if result is None:
            return
        self._snapshot, self._result = snapshot, result
        tokens = snapshot.queries_for(result.stack)
        # A label for each row, even if the two should ever differ in number.
        count = len(result.values)
        self._labels = self._namer.of(tokens[:count])
        self._labels += [f"#{index}" for index in range(len(self._labels), count)]
        level = robust_level(result.values)
        self.heat.set_data(result.values, levels=(-level, level), signed=True)
        self.heat.set_labels(self._labels, None)
        self.norms.set_lengths(result.norms, self._labels)
        self._draw_map(result)
        self._draw_nearest(snapshot)
        self._mark()

    def _draw_map(self, result: EmbeddingResult) -> None:
        count = len(result.values)
        xy = result.xy if result.xy is not None else np.zeros((0, 2), np.float32)
        shares = [0.0, 0.0] if result.explained is None else [float(e) for e in result.explained]
        names = [
            f"PC {axis} ({100 * share:.0f} %)"
            if math.isfinite(share) and count > 1
            else f"PC {axis}"
            for axis, share in enumerate(shares, 1)
        ]
        self.map.set_axes(*names)
        self.map.set_points(xy, self._labels[: len(xy)])

    def _draw_nearest(self, snapshot: Snapshot) -> None:
        asked = [query for query in self.queries() if isinstance(query, NeighboursQuery)]
        if not asked:
            self.nearest.set_rows((), _ASK)
            return
        found = snapshot.results.get(asked[0])
        if isinstance(found, NeighboursResult):
            words = [token_label(text) for text in found.texts]
            self.nearest.set_rows(list(zip(words, map(float, found.similarity), strict=True)))
        elif asked[0] in snapshot.refused:
            self.nearest.set_rows((), snapshot.refused[asked[0]])

    def caption(self) -> str:
        """Depth, and how many tokens and dimensions are shown."""
        session = self.session
        place = f"layer {session.layer} of {session.depth}"
        if session.layer == 0:
            place = "input embeddings"
        elif session.layer == session.depth:
            place = f"last block, {place}"
        parts = [place]
        if self.session.model is not None and self.session.model.kind == "encoder-decoder":
            parts.append(str(self.stack))
        if self._result is not None:
            tokens, width = self._result.values.shape
            parts.append(f"{tokens} token{'s' * (tokens != 1)} × {width} dimensions")
        return " · ".join(parts)

    # --- read-outs -------------------------------------------------------------------------------

    def _read_cell(self, row: int, column: int) -> str:
        result = self._result
        if result is None or row >= len(self._labels) or column >= result.values.shape[1]:
            return ""
        value = float(result.values[row, column])
        beyond = abs(value) > self.heat.scale.high
        return (
            f"{self._labels[row]}, dimension {column}: {_said(value)}"
            + (" (beyond the colours)" if beyond else "")
            + f"\ntoken {row} · ‖x‖₂ = {length(float(result.norms[row]))}"
        )

    def _read_point(self, index: int) -> str:
        result = self._result
        if result is None or result.xy is None or index >= len(self._labels):
            return ""
        x, y = (_said(float(value)) for value in result.xy[index])
        return (
            f"{self._labels[index]}, token {index}\n"
            f"PC 1 {x} · PC 2 {y} · ‖x‖₂ = {length(float(result.norms[index]))}"
        )

    def _tell(self, marks: Marks) -> None:
        """Say in the head line what can be said of the token that is pointed at or selected."""
        index = marks.hovered if marks.hovered is not None else marks.selected
        result = self._result
        if result is None or index is None or not 0 <= index < len(self._labels):
            self.head_line.setText(_fit_note(result, self._labels))
            return
        row = np.nan_to_num(np.abs(result.values[index]))
        largest = int(np.argmax(row)) if row.size else 0
        self.head_line.setText(
            f"{self._labels[index]}: ‖x‖₂ = {length(float(result.norms[index]))}, "
            f"largest {_said(float(result.values[index, largest]))} in dimension {largest}"
            if row.size
            else ""
        )

    # --- marks -----------------------------------------------------------------------------------

    def _mark(self) -> None:
        session = self.session
        marks = (
            Marks(session.hovered, session.selected, session.pinned, session.range)
            if self._linked
            else Marks(self._own_hovered, self._own_selected)
        )
        self.heat.set_marks(rows=marks)
        self.norms.set_marks(marks)
        self.map.set_marks(marks)
        self._tell(marks)

    def _selection_changed(self) -> None:
        self._mark()
        if self._linked:
            if self.session.selected is None:
                self.nearest.set_rows((), _ASK)
            self.queriesChanged.emit()

    def _hover(self, index: int) -> None:
        token = index if index >= 0 else None
        if self._linked:
            self.session.hover(token)
        elif token != self._own_hovered:
            self._own_hovered = token
            self._mark()

    def _select(self, index: int) -> None:
        """Select a token, or none when it was selected already."""
        token = None if index == self.selected or index < 0 else index
        if self._linked:
            self.session.select(token)
            return
        self._own_selected = token
        if token is None:
            self.nearest.set_rows((), _ASK)
        self._mark()
        self.queriesChanged.emit()

    # --- layout ----------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show as many panes as there is room for."""
        super().resizeEvent(event)
        self._lay_out()

    def _lay_out(self) -> None:
        upright = self.height() > 1.1 * self.width()
        extent = self.height() if upright else self.width()
        room = 3 if extent >= _WIDE else 2 if extent >= _NARROW else 1
        self.splitter.setOrientation(
            Qt.Orientation.Vertical if upright else Qt.Orientation.Horizontal
        )
        if room == 2 and self.buttons["values"].isChecked():
            self.buttons["map"].setChecked(True)
        self.note.setVisible(room == 3)
        for name, pane in self.panes.items():
            kept = room == 3 or (room == 2 and name == "values")
            self.buttons[name].setVisible(room == 1 or (room == 2 and name != "values"))
            pane.setVisible(kept or self.buttons[name].isChecked())
        if room != self._room:
            self._room = room
            self.splitter.setSizes([extent * share // 11 for share in (5, 4, 2)])

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Hand the focus to a picture, which the keys are for."""
        shown = self.map if self.map.isVisible() else self.heat
        shown.setFocus(event.reason())

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(240, 160)


def _said(value: float) -> str:
    """A number as it is said; what is not finite is said in words."""
    return number(value) if math.isfinite(value) else "not a number"


def _fit_note(result: EmbeddingResult | None, labels: list[str]) -> str:
    """Which tokens the map's axes were not fitted to, if any."""
    if result is None or result.fitted is None:
        return ""
    left = [label for label, kept in zip(labels, result.fitted, strict=False) if not kept]
    if not left:
        return ""
    named = ", ".join(left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
    return f"map's axes fitted without {named} (massive)"


VIEW = ViewSpec(
    key="embedding",
    title="Embeddings",
    about=(
        "The state x of each token (row) after a number of layers: its values (columns, red and "
        "blue by sign), their length ‖x‖₂, the tokens' map in their own two principal components "
        "(PCA), and the vocabulary entries whose input embeddings have the largest cosine with the "
        "selected token's state. Colours end at the value that 99 % do not exceed; states over "
        "two median lengths (massive activations) are in the map but do not turn its axes."
    ),
    empty="Type a context to see the vectors that stand for its tokens.",
    needs=frozenset({"embedding"}),
    shortcut="Ctrl+2",
    area="left",
    order=1,
    create=EmbeddingView,
)
