"""All heads of all layers at a glance."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QVBoxLayout, QWidget

from engine.types import MosaicQuery, MosaicResult, Query, Snapshot
from gui.session import Session
from gui.view import View, ViewSpec
from gui.widgets.attention_stats import causal_mask
from gui.widgets.mosaic import Mosaic

SIZES = (8, 16, 24, 32, 48, 64)
"""Cells a side to ask for. Few steps: each new size has the engine shrink all maps anew."""


class MosaicView(View):
    """Show every attention map small; a click opens one in the attention view."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.mosaic = Mosaic()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.mosaic)
        self.setFocusProxy(self.mosaic)
        self._asked = self._size()
        self.mosaic.mapClicked.connect(self._open)
        self.mosaic.sideChanged.connect(self._side_changed)
        session.modelChanged.connect(self._take_shape)
        session.stackChanged.connect(self._take_shape)
        session.layerChanged.connect(self._show_current)
        session.headChanged.connect(self._show_current)
        self._take_shape()

    def queries(self) -> tuple[Query, ...]:
        """Ask for all maps, as fine as they can be seen."""
        session = self.session
        stack = session.shown_stack if session.model is not None else None
        return (MosaicQuery(self._size(), stack),)

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw the maps that `snapshot` answers with; keep the last ones where it has none."""
        result = snapshot.results.get(self.queries()[0])
        if isinstance(result, MosaicResult):
            causal = result.stack == "decoder"
            # Blocks are square and start at the same tokens on both axes, so that a block above the
            # diagonal holds nothing but masked weights.
            self.mosaic.set_maps(
                result.maps, masked=causal_mask(*result.maps.shape[2:]) if causal else None
            )
            self._show_current()

    def caption(self) -> str:
        """How many layers and heads there are, and which is open."""
        session = self.session
        if session.model is None:
            return ""
        head = "mean" if session.head is None else f"H{session.head}"
        text = f"{session.depth} layers × {session.heads} heads · L{session.block} {head} open"
        return text if len(session.model.stacks) == 1 else f"{text} · {session.shown_stack}"

    def _size(self) -> int:
        """The least size asked for that is no coarser than the screen."""
        return next((size for size in SIZES if size >= self.mosaic.side), SIZES[-1])

    def _side_changed(self) -> None:
        if self._size() != self._asked:
            self._asked = self._size()
            self.queriesChanged.emit()

    def _take_shape(self) -> None:
        if self.session.model is not None:
            self.mosaic.set_shape(self.session.depth, self.session.heads)
            self._show_current()

    def _show_current(self) -> None:
        self.mosaic.set_current(self.session.block, self.session.head)

    def _open(self, layer: int, head: int) -> None:
        """Open a head; opening the one that is open goes back to the mean over heads."""
        session = self.session
        if (layer, head) == (session.block, session.head):
            session.set_head(None)
            return
        session.set_layer(layer)
        session.set_head(head)

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(160, 120)


VIEW = ViewSpec(
    key="mosaic",
    title="All heads",
    about=(
        "The attention maps of all heads of all layers, each shrunk by the largest weight of each "
        "block, max A[i, j], and coloured up to its own largest weight. A click opens a head; a "
        "second one goes back to the mean over heads."
    ),
    empty="Type a context to see the attention of all heads at a glance, and click one to open it.",
    needs=frozenset({"attention"}),
    shortcut="Ctrl+4",
    area="right",
    order=1,
    create=MosaicView,
)
