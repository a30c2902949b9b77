"""The same text under two contexts, or in two models, side by side: what each makes of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, cast

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import (
    QHBoxLayout,
    QSizePolicy,
    QSplitter,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from engine.comparison import CompareQuery, CompareResult, identity
from engine.types import ModelInfo, Query, Snapshot
from gui import comparing, theme
from gui.comparing import EXAMPLE, NAMES, UNITS, Measure, Slot
from gui.figures.spec import FigureOptions
from gui.glossary import tip
from gui.session import Session
from gui.view import View, ViewSpec
from gui.widgets import form
from gui.widgets.coding import ColourScale
from gui.widgets.colour_legend import ColourLegend
from gui.widgets.context_fields import ContextFields
from gui.widgets.differences import Differences
from gui.widgets.second_model import SecondModel
from gui.widgets.token_axis import Marks, token_label
from gui.widgets.twin_panes import Facing, TwinPanes

_BUSY = "Comparing …"
_EMPTY = (
    "Write in B what comes before the text, and see what it changes: how surprising each token is, "
    "how far each state moves, where heads look now. Or press Example, or let another model read B."
)


class CompareView(View):
    """Two panes of the text's tokens, and below them pictures of the difference."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.found: CompareResult | None = None
        self.slots: tuple[Slot, ...] = ()
        self._places: dict[int, int] = {}  # token of the text, and its slot
        self._labels: list[str] = []  # of the slots
        self._pairs: list[int] = []  # the slot of each shared token
        self._pointed: int | None = None

        self.fields = ContextFields()
        self.fields.set_contexts(*session.contexts)
        self.example = form.button(
            "Example", "Write a text and a context that turns it; undo brings your text back."
        )
        self.second = SecondModel()
        self.colour = form.combo(
            "Colour of the tokens",
            "What colours the tokens of both sides. Surprise: how badly each side expected the "
            "token. P-CXMI: how much likelier it is in B than in A. KL divergence: how far the two "
            "predictions of it lie apart. Shift: the cosine distance of its states at the layer "
            "shown.",
        )
        self.legend = ColourLegend()
        self.heads = (QElidingLabel(), QElidingLabel())
        self.panes = TwinPanes()
        self.info = QElidingLabel()
        self.differences = Differences()
        self._lay_out()
        self._connect()
        self._offer(session.model)
        self._clear()

    def _lay_out(self) -> None:
        small = theme.tabular(theme.ui_font(theme.SMALL))
        controls = QHBoxLayout()
        controls.setContentsMargins(8, 0, 8, 0)
        controls.setSpacing(8)
        controls.addWidget(form.named("Colour", self.colour))
        controls.addWidget(self.legend, 1)
        controls.addWidget(form.named("B read by", self.second))
        controls.addWidget(self.example)
        heads = QHBoxLayout()
        heads.setContentsMargins(8, 0, 8, 0)
        heads.setSpacing(12)
        for head in self.heads:
            head.setFont(small)
            head.setForegroundRole(QPalette.ColorRole.PlaceholderText)
            head.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            heads.addWidget(head, 1)
        self.info.setFont(theme.tabular(theme.token_font(theme.SMALL)))
        self.info.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.info.setContentsMargins(8, 0, 8, 0)
        self.info.setToolTip(tip("P-CXMI") + tip("KL divergence") + tip("cosine distance"))
        upper = QWidget()
        above = QVBoxLayout(upper)
        above.setContentsMargins(0, 0, 0, 0)
        above.setSpacing(2)
        above.addLayout(heads)
        above.addWidget(self.panes, 1)
        above.addWidget(self.info)

        self._halves = QSplitter(Qt.Orientation.Vertical)
        self._halves.setChildrenCollapsible(False)
        self._halves.addWidget(upper)
        self._halves.addWidget(self.differences)
        self._halves.setStretchFactor(0, 2)
        self._halves.setStretchFactor(1, 3)
        self._halves.setSizes([430, 570])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.fields)
        layout.addLayout(controls)
        layout.addWidget(self.second.line)
        layout.addWidget(self._halves, 1)

    def _connect(self) -> None:
        session = self.session
        for signal, slot in (
            (self.fields.changed, session.set_contexts),
            (session.contextsChanged, self._follow),
            (session.modelChanged, self._offer),
            (session.secondChanged, self._change_model),
            (self.example.clicked, self._show_example),
            (self.fields.swap.clicked, lambda: session.set_contexts(*reversed(session.contexts))),
            (self.colour.currentIndexChanged, self._paint_tokens),
            (session.layerChanged, self._paint_tokens),
            (session.selectionChanged, self._mark),
            (session.hoverChanged, self._mark),
            (session.pinsChanged, self._mark),
            (self.panes.placeHovered, self._hover),
            (self.panes.placeClicked, self._click),
            (self.differences.pageChanged, self.queriesChanged),
            (self.differences.pairHovered, self._hover_pair),
            (self.differences.pairClicked, self._click_pair),
            (self.differences.layerChosen, session.set_layer),
            (self.differences.headChosen, self._open_head),
        ):
            signal.connect(slot)

    # --- question, answer, name ------------------------------------------------------------------

    @property
    def measure(self) -> Measure:
        """What colours the tokens."""
        return cast(Measure, self.colour.currentData() or "shift")

    def contexts(self) -> tuple[str, str]:
        """What is put before the text on either side, with the line break between them."""
        text = self.session.text
        one, other = (comparing.joined(context, text) for context in self.session.contexts)
        return one, other

    def queries(self) -> tuple[Query, ...]:
        """The comparison, of what is shown; nothing where both sides are the same text alone."""
        session, (one, other) = self.session, self.contexts()
        model, second = session.model, session.second
        if model is None or not (one or other or second):
            return ()
        layers = model.latent_layers if self.differences.shown == "paths" else ()
        space = min(layers, key=lambda at: (abs(at - session.layer), at), default=None)
        head: int | Literal["mean"] = "mean" if session.head is None else session.head
        shown = self.differences.shown == "attention"
        # What is not shown must not be asked anew when another head is chosen.
        return (
            CompareQuery(
                one,
                other,
                layer=session.block if shown else 0,
                head=head if shown else "mean",
                space=space,
                attention=shown,
                model=identity(second) if second is not None else "",
            ),
        )

    @property
    def says_why(self) -> bool:
        """Whether the reason stands in place of the panes."""
        return self.found is None

    def figure_options(self) -> FigureOptions:
        """The contexts as they are read, and the model that reads the other."""
        options = super().figure_options()
        return replace(options, contexts=self.contexts(), second=self.session.second)

    def caption(self) -> str:
        """How many tokens are shared, and what the context brings in all."""
        return comparing.summary(self.found) if self.found is not None else ""

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw the comparison that `snapshot` answers with; keep the last one where it has none."""
        asked = self.queries()
        if not asked or not snapshot.tokens:
            self._clear()
            self.panes.set_hint(_EMPTY)
            return
        found = snapshot.results.get(asked[0])
        if not isinstance(found, CompareResult):
            self.panes.set_hint(snapshot.refused.get(asked[0], _BUSY))
            return
        self.found = found
        self.slots = comparing.slots(found)
        self._places = {slot.own: at for at, slot in enumerate(self.slots) if slot.own >= 0}
        self._pairs = [at for at, slot in enumerate(self.slots) if slot.pair >= 0]
        self._labels = [token_label(self._text(slot)) for slot in self.slots]
        shared = [self._labels[at] for at in self._pairs]
        for index, (name, side) in enumerate((("A", found.one), ("B", found.other))):
            says = comparing.title(name, side, model=bool(found.second))
            next_ = comparing.expected(side)
            self.heads[index].setText(f"{says} · next: {next_}" if next_ else says)
            self.heads[index].setToolTip(f"<p>{says}</p><p>next: {next_ or 'not predicted'}</p>")
        self.differences.set_found(found, shared, snapshot.model.title)
        self._paint_tokens()

    def _text(self, slot: Slot) -> str:
        assert self.found is not None
        side, at = (self.found.other, slot.other) if slot.one < 0 else (self.found.one, slot.one)
        return side.tokens[at].text

    # --- what is drawn ---------------------------------------------------------------------------

    def _clear(self) -> None:
        """Show that nothing is compared."""
        self.found, self.slots, self._places, self._pairs = None, (), {}, []
        self.panes.set_places((), 1.0, False)
        self.panes.set_hint(_BUSY if self.queries() else _EMPTY)
        self.legend.set_scale(None, "")
        for head in self.heads:
            head.setText("")
        self.info.setText("")
        for part in (*self.heads, self.info, self.differences):
            part.setVisible(False)
        # Where there is something to compare, what the colours mean has more need of the room.
        self.example.setVisible(not self.queries())

    def _paint_tokens(self, *_: object) -> None:
        """Colour the tokens, and rank them by what colours them."""
        found, model = self.found, self.session.model
        if found is None or model is None:
            return
        for part in (*self.heads, self.info, self.differences):
            part.setVisible(True)
        self.example.hide()
        measure, depth = self.measure, self.session.layer
        bits = math.log2(max(2, model.vocabulary))
        colours = comparing.colours(found, measure, depth, bits)
        places = [
            Facing(
                found.one.tokens[slot.one].text if slot.one >= 0 else None,
                found.other.tokens[slot.other].text if slot.other >= 0 else None,
                (
                    float(colours.one[slot.one]) if slot.one >= 0 else math.nan,
                    float(colours.other[slot.other]) if slot.other >= 0 else math.nan,
                ),
                tip=comparing.told(found, slot, depth, label),
                breaks="\n" in self._text(slot),
                chosen=slot.own >= 0,
            )
            for slot, label in zip(self.slots, self._labels, strict=True)
        ]
        self.panes.set_places(places, colours.high, colours.signed)
        low = -colours.high if colours.signed else 0.0
        name = f"{NAMES[measure]}, layer {depth}" if measure == "shift" else NAMES[measure]
        unit = f" in {UNITS[measure]}" if UNITS[measure] else ""
        scale = ColourScale(low, colours.high, signed=colours.signed)
        offered = self.colour.count() > 0
        self.legend.set_scale(scale if offered else None, name + unit if offered else "")
        self.differences.rank(measure, depth)
        self._mark()

    def _mark(self, *_: object) -> None:
        """Show the program's marks on whatever stands for the same token."""
        session = self.session
        at = {index: self._places.get(index) for index in session.pinned}
        chosen = None if session.selected is None else self._places.get(session.selected)
        hovered = None if session.hovered is None else self._places.get(session.hovered)
        pinned = frozenset(place for place in at.values() if place is not None)
        hovered = hovered if hovered is not None else self._pointed
        self.panes.set_marks(chosen, hovered, pinned)
        pairs = {place: index for index, place in enumerate(self._pairs)}
        marks = Marks(
            hovered=None if hovered is None else pairs.get(hovered),
            selected=None if chosen is None else pairs.get(chosen),
            pinned=frozenset(pairs[place] for place in pinned if place in pairs),
        )
        self.differences.set_marks(marks, session.layer, (session.block, session.head))
        told = hovered if hovered is not None else chosen
        if self.found is not None and told is not None and told < len(self.slots):
            label = self._labels[told]
            said = comparing.told(self.found, self.slots[told], session.layer, label)
            self.info.setText(said)
        else:
            self.info.setText("Point at a token, or click one." if self.found else "")

    # --- what the user does ----------------------------------------------------------------------

    def _follow(self) -> None:
        self.fields.set_contexts(*self.session.contexts)
        self.queriesChanged.emit()
        if not self.queries() or self.found is None:
            self._clear()

    def _change_model(self, second: ModelInfo | None) -> None:
        self.second.set_chosen(second.title if second is not None else "")
        self._offer(self.session.model)
        self.queriesChanged.emit()

    def _offer(self, model: ModelInfo | None) -> None:
        """Offer the colours that can be told of the model, or of both."""
        second = self.session.second
        offered = comparing.measures(model, second) if model is not None else tuple(NAMES)
        before = self.colour.currentData()
        self.colour.blockSignals(True)
        self.colour.clear()
        for measure in offered:
            self.colour.addItem(NAMES[measure], measure)
        self.colour.setCurrentIndex(max(0, self.colour.findData(before)))
        self.colour.blockSignals(False)
        self._clear()

    def _show_example(self) -> None:
        context, text = EXAMPLE
        self.session.set_contexts("", context.rstrip("\n"))
        self.session.set_text(text)

    def _hover(self, place: int | None) -> None:
        self._pointed = place
        own = -1 if place is None or place >= len(self.slots) else self.slots[place].own
        self.session.hover(own if own >= 0 else None)
        self._mark()

    def _click(self, place: int | None) -> None:
        own = -1 if place is None or place >= len(self.slots) else self.slots[place].own
        self.session.select(own if own >= 0 and own != self.session.selected else None)

    def _hover_pair(self, pair: int | None) -> None:
        known = pair is not None and 0 <= pair < len(self._pairs)
        self._hover(self._pairs[pair] if known and pair is not None else None)

    def _click_pair(self, pair: int | None) -> None:
        known = pair is not None and 0 <= pair < len(self._pairs)
        self._click(self._pairs[pair] if known and pair is not None else None)

    def _open_head(self, layer: int, head: int) -> None:
        self.session.set_layer(layer)
        self.session.set_head(head)

    # --- what happens to a widget ----------------------------------------------------------------

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(240, 160)


VIEW = ViewSpec(
    key="compare",
    title="Compare",
    about=(
        "The same text behind context A and behind context B, or as two models read it, token by "
        "token: surprise "
        "−log₂ p on either side, P-CXMI = log p_B − log p_A, KL(p_B ‖ p_A), the shift 1 − cos of "
        "each state by layer, and the difference of attention, B less A, on the tokens that both "
        "sides share. Tokens face each other where they stand for the same characters."
    ),
    empty=_EMPTY,
    needs=frozenset(),
    shortcut="Ctrl+9",
    area="left",
    order=2,
    create=CompareView,
    tab="embedding",
    shown=False,
)
