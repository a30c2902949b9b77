"""What takes how much memory, and how much is left."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from engine.types import MemoryQuery, MemoryResult, Query, Snapshot
from gui.accounting import amount, sections
from gui.session import Session
from gui.view import View, ViewSpec
from gui.widgets.byte_bars import ByteBars


class MemoryView(View):
    """Show bars of what the last pass left, beside what it did not keep, and of the machine."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.bars = ByteBars()
        self._caption = ""
        scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setWidget(self.bars)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)
        self.setFocusProxy(self.bars)

    def queries(self) -> tuple[Query, ...]:
        """Ask for the bytes."""
        return (MemoryQuery(),)

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw the bytes that `snapshot` answers with."""
        found = snapshot.results.get(MemoryQuery())
        if isinstance(found, MemoryResult):
            self.bars.set_sections(sections(found))
            left, free = amount(found.trace), amount(found.free)
            count = len(snapshot.tokens)
            said = f"{count:,} token{'' if count == 1 else 's'}"
            self._caption = f"{left} left by {said} · {free} free · {snapshot.model.device}"

    def caption(self) -> str:
        """How much the pass left, and how much is free."""
        return self._caption

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(200, 100)


VIEW = ViewSpec(
    key="memory",
    title="Memory",
    about=(
        "What the last pass left on the device, so that any picture of it can be drawn without "
        "another pass; hatched what all L·H·T² attention weights would take, which are never "
        "held; and what the model, this program and the rest of the machine take."
    ),
    empty="Type a context to see what it takes: keys and values, states, queries, what is drawn.",
    # Every model leaves states; a text must be there for it.
    needs=frozenset({"embedding"}),
    shortcut="Ctrl+6",
    area="right",
    order=3,
    create=MemoryView,
    tab="latent",
    shown=False,
)
