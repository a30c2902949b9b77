"""Where each token lies in a learned latent space, how sure that is, and the path it all makes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import (
    QFocusEvent,
    QKeySequence,
    QPalette,
    QResizeEvent,
    QShortcut,
)
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QSizePolicy,
    QSplitter,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel, QFlowLayout

from engine.types import LatentQuery, LatentResult, Pooling, Query, Snapshot
from gui import theme
from gui.figures.spec import FigureOptions
from gui.glossary import tip
from gui.planes import SENTENCES, axis_names, said
from gui.session import Session
from gui.view import View, ViewSpec
from gui.widgets.bending import Bending
from gui.widgets.cloud_search import CloudSearch
from gui.widgets.decoding import Decoding
from gui.widgets.group_line import GroupLine
from gui.widgets.label_legend import LabelLegend
from gui.widgets.lasso import Group
from gui.widgets.latent_plane import place_said, seen_as_plane
from gui.widgets.legend import number
from gui.widgets.plane_choice import PlaneChoice
from gui.widgets.sentence_desk import SentenceDesk
from gui.widgets.token_axis import Marks, TokenLabels
from gui.widgets.turning_map import TurningMap

_TALL = 400  # pixels; from this height on map and desk are shown together


def nearest_layer(layers: Sequence[int], layer: int) -> int | None:
    """The one of `layers` that is nearest to `layer`, the lower of two; None if there is none."""
    return min(layers, key=lambda one: (abs(one - layer), one), default=None)


def figures(card: Mapping[str, object], width: int) -> str:
    """Say in one line how good a space is; what its card does not tell is left out.

    Parameters
    ----------
    card : mapping
        Measured figures by name, see `engine.types.LatentResult`.
    width : int
        Z, where the card has none.
    """
    z = _number(card, "z") or width
    parts = [f"Z = {z:.0f}"]
    if (beta := _number(card, "beta")) is not None:
        parts.append(f"β = {number(beta)}")
    if (elbo := _number(card, "elbo")) is not None:
        parts.append(f"ELBO {number(elbo)} nat")
    if (active := _number(card, "active_units")) is not None:
        parts.append(f"{active:.0f} of {z:.0f} units active")
    costs = card.get("kl_per_dim")
    if isinstance(costs, Sequence | np.ndarray) and not isinstance(costs, str) and len(costs):
        each = [_finite(cost) for cost in costs]
        total = [cost for cost in each if cost is not None]
        if len(total) == len(each):
            parts.append(f"KL {number(sum(total))} nat")
    if (explained := _number(card, "explained_variance")) is not None:
        parts.append(f"explains {100 * explained:.1f} %")
    return " · ".join(parts)


def _number(card: Mapping[str, object], key: str) -> float | None:
    return _finite(card.get(key))


def _finite(value: object) -> float | None:
    if isinstance(value, int | float | np.integer | np.floating) and math.isfinite(value):
        return float(value)
    return None


class LatentView(View):
    """Show the posterior of each token's state, over the states the space was measured on."""

    groupChosen = Signal(object)
    """Another `Group` of reference states and tokens was chosen, by index; an empty one: none."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._result: LatentResult | None = None
        self._namer = TokenLabels()
        self._labels: list[str] = []
        self._only: int | None = None

        self.layers = QComboBox()
        self.layers.setFont(theme.ui_font(theme.SMALL))
        self.layers.setAccessibleName("Layer of the latent space")
        self.layers.setToolTip(
            "<p>Which layer's latent space is shown. A space is trained on the states of one "
            "layer; the first choice follows the layer that everything else shows. In a space of "
            "<b>sentences</b> a point is a sentence of the context: the mean of its tokens' states "
            "or the last one's, as they stand in the context. The dots behind are sentences that "
            "were read alone.</p>"
        )
        self._entries: list[tuple[str, int | None, Pooling]] = []
        self.colours = QCheckBox("colour by label")
        self.colours.setFont(theme.ui_font(theme.SMALL))
        self.colours.setAccessibleName("Colour the reference states by their label")
        self.colours.setToolTip(
            "<p>The dots behind are held-out states the space was measured on; each has a label, "
            "such as the book it is from.</p>"
        )
        self.plane = PlaneChoice()
        self.bending = Bending(self)
        self.map = TurningMap("Latent space, path of the context", joined=True)
        self.map.set_readout(self.read_out)
        self.map.set_cloud_readout(self.read_dot)
        self.map.lasso_button.show()
        self.decoding = Decoding(session, self.map, self)
        self.desk = SentenceDesk()
        self.desk_toggle = QCheckBox("sentences")
        self.desk_toggle.setFont(theme.ui_font(theme.SMALL))
        self.desk_toggle.setAccessibleName("Write sentences from points")
        self.desk_toggle.setToolTip(
            "<p>Let the model write short sentences from points of a space of sentences: between "
            "two of them, along a dimension, or at a − b + c.</p>"
        )
        self.legend = LabelLegend()
        self.note = QElidingLabel()
        self.note.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.note.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.note.setContentsMargins(8, 0, 8, 4)
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.note.setToolTip(tip("VAE") + tip("ELBO") + tip("KL") + tip("active units"))

        self.search = CloudSearch()
        self.chosen = GroupLine()
        self._head = QWidget()
        head = QFlowLayout(self._head)
        head.setContentsMargins(8, 0, 8, 2)
        head.setHorizontalSpacing(8)
        head.setVerticalSpacing(2)
        for control in (
            self.layers,
            self.plane,
            self.search,
            self.colours,
            self.decoding.way,
            self.decoding.toggle,
            self.desk_toggle,
        ):
            control.setMinimumHeight(24)  # what wraps stands in one line with what does not
            head.addWidget(control)
        self._middle = middle = QSplitter()
        middle.setChildrenCollapsible(False)
        middle.setHandleWidth(4)
        middle.addWidget(self.map)
        middle.addWidget(self.decoding.side)
        middle.setStretchFactor(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._head)
        layout.addWidget(self.bending.line)
        layout.addWidget(self.legend)
        layout.addWidget(middle, 1)
        layout.addWidget(self.decoding.foot)
        layout.addWidget(self.chosen)
        layout.addWidget(self.desk, 1)
        layout.addWidget(self.note)
        self.legend.hide()
        self.desk.hide()

        self.layers.activated.connect(lambda _: self.queriesChanged.emit())
        self.colours.toggled.connect(self._colour)
        self.plane.changed.connect(lambda: self.bending.choose(self.plane.plane))
        self.plane.changed.connect(self.queriesChanged)
        self.map.turned.connect(self._show_turned)
        self.decoding.changed.connect(self.queriesChanged)
        self.desk_toggle.toggled.connect(self._show_desk)
        self.legend.chosen.connect(self._show_only)
        self.search.changed.connect(lambda: self.map.set_found(self.search.found))
        self.search.taken.connect(self._choose_found)
        self.search.left.connect(self.map.setFocus)
        find = QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self)
        find.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        find.activated.connect(self.search.begin)
        self.map.groupChosen.connect(self._show_chosen)
        self.map.groupChosen.connect(self.groupChosen)
        self.map.groupChosen.connect(self._offer_group)
        self.chosen.letGo.connect(lambda: self.map.choose((), ()))
        self.map.pointHovered.connect(lambda row: session.hover(self._token(row)))
        self.map.pointClicked.connect(self._select)
        session.modelChanged.connect(self._refresh)
        session.layerChanged.connect(self._refresh)
        for signal in (session.selectionChanged, session.hoverChanged, session.pinsChanged):
            signal.connect(self._mark)
        self._refresh()

    # --- question, answer, name ------------------------------------------------------------------

    @property
    def layer(self) -> int | None:
        """The layer whose space is asked for; None leaves it to the engine."""
        _, chosen, _ = self._entry
        if chosen is not None:
            return chosen
        layers = self.session.model.latent_layers if self.session.model else ()
        return nearest_layer(layers, self.session.layer)

    @property
    def states(self) -> Pooling:
        """Whose states are shown: tokens', or those of sentences."""
        return self._entry[2]

    @property
    def _entry(self) -> tuple[str, int | None, Pooling]:
        index = self.layers.currentIndex()
        return self._entries[index] if 0 <= index < len(self._entries) else ("", None, "tokens")

    def queries(self) -> tuple[Query, ...]:
        """Ask for the space of the chosen layer or the session's nearest, and what is decoded."""
        model = self.session.model
        if model is not None and "latent" not in model.provides:
            return ()
        own = LatentQuery(self.layer, self.plane.plane, self.states)
        return (own, *self.decoding.queries())

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw the path that `snapshot` answers with; keep the last one where it has none."""
        result = next((snapshot.results.get(query) for query in self.queries()), None)
        self.decoding.take(snapshot)
        if not isinstance(result, LatentResult):
            return
        before, self._result = self._result, result
        count, width = len(result.xy), result.mu.shape[1] if result.mu.ndim == 2 else 0
        tokens = snapshot.tokens
        if len(tokens) != count and len(snapshot.target_tokens) == count:
            tokens = snapshot.target_tokens
        self._labels = self._namer.of(tokens[:count])
        self._labels += [f"#{index}" for index in range(len(self._labels), count)]
        if result.ranges is not None:
            self._labels = list(result.sentences)
        self.map.set_large(result.ranges is not None)
        self.map.set_axes(*axis_names(result))
        self.plane.set_result(result)
        self.bending.take(result, self.plane.plane, snapshot.model)
        if before is not None and _picture(before) != _picture(result):
            self.map.by_hand = False  # the part that was looked at was one of another picture
        if before is None or before.reference is not result.reference:
            self.map.set_cloud(result.reference, _categories(result))
        spread = result.covariance if result.plane != "umap" else None
        self.map.set_points(result.xy, self._labels, spread)
        if before is None or before.label_names != result.label_names:
            self._only = None
            self.legend.set_names(result.label_names)
        if before is None or before.labels is not result.labels:
            names, each = result.label_names, _categories(result)
            called = [names[label] for label in each.tolist()] if each is not None else []
            texts = result.texts if len(result.texts) == len(called) else ()
            self.map.choose((), ())
            self.search.set_reference(texts, called)
        self._decode(result)
        told = figures(result.card, width)
        self.note.setText(told)
        self.note.setAccessibleName(told)
        self._refresh()
        self._colour()
        self._mark()

    def figure_options(self) -> FigureOptions:
        """What is on the screen: the layer, the states and the plane that were chosen here."""
        return replace(
            super().figure_options(),
            layer=self.layer,
            plane=self.plane.plane,
            states=self.states,
            turn=self.map.turn,
            coloured=self.colours.isChecked(),
            only=self._only,
        )

    def caption(self) -> str:
        """Layer of the space, number of tokens, and how many coordinates it has."""
        if self._result is None:
            return f"layer {self.layer}" if self.layer is not None else ""
        count, width = self._result.mu.shape
        what = "token" if self._result.ranges is None else "sentence"
        what += "s" * (count != 1)
        if self._result.states != "tokens":
            what += SENTENCES[self._result.states].removeprefix("sentences")
        plane = ""
        if width > 2:
            plane = f", {said(self._result)} of {width} dimensions"
        return f"layer {self._result.layer} · path of {count} {what}{plane}"

    # --- what is drawn ---------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Offer the layers the model has a space for, keeping the choice where it still is one."""
        model = self.session.model
        layers = model.latent_layers if model is not None else ()
        sentences = model.sentence_spaces if model is not None else ()
        chosen = self._entry
        near = nearest_layer(layers, self.session.layer)
        entries: list[tuple[str, int | None, Pooling]] = []
        if layers or not sentences:
            entries = [(f"nearest: layer {near}", None, "tokens")]
        entries += [(f"layer {layer}", layer, "tokens") for layer in layers]
        entries += [(f"layer {layer} · {SENTENCES[how]}", layer, how) for layer, how in sentences]
        if entries != self._entries:
            self._entries = entries
            self.layers.clear()
            self.layers.addItems([text for text, *_ in entries])
            kept = [index for index, entry in enumerate(entries) if entry[1:] == chosen[1:]]
            self.layers.setCurrentIndex(kept[0] if kept else 0)
        labelled = self._result is not None and len(self._result.label_names) > 1
        self.layers.setVisible(len(layers) + len(sentences) > 1)
        self.colours.setVisible(labelled)
        self.desk_toggle.setVisible(model is not None and model.drafts)
        self._show_desk()

    def _show_desk(self) -> None:
        model = self.session.model
        able = model is not None and model.drafts
        shown = able and self.desk_toggle.isChecked()
        self.desk.setVisible(shown)
        # In a low panel there is room for one of the two.
        for one in (self._middle, self.note):
            one.setVisible(not shown or self.height() >= _TALL)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show the map above the desk where there is room for both."""
        super().resizeEvent(event)
        self._show_desk()

    def _colour(self) -> None:
        names = self._result.label_names if self._result is not None else ()
        shown = self.colours.isChecked() and len(names) > 1
        self.legend.setVisible(shown)
        self.map.set_cloud_colours(
            [
                theme.category(index) if self._only in (None, index) else None
                for index in range(len(names))
            ]
            if shown
            else None
        )

    def _show_only(self, index: int) -> None:
        self._only = index if index >= 0 else None
        self._colour()

    def read_out(self, index: int) -> str:
        """Say a token or sentence, its μ and its σ along each axis of the picture."""
        result = self._result
        if result is None or index >= len(self._labels):
            return ""
        what = "token" if result.ranges is None else "sentence"
        return f"{self._labels[index]}, {what} {index}\n{place_said(result, index)}"

    def read_dot(self, index: int) -> str:
        """Say what a reference state is from, and its label."""
        result = self._result
        if result is None or index >= len(result.labels):
            return ""
        said = [result.texts[index]] if index < len(result.texts) else []
        if len(result.label_names) > 1 or not said:
            said.append(result.label_names[result.labels[index]])
        return "\n".join(said)

    def _choose_found(self) -> None:
        if self.search.found is not None:
            self.map.choose(self.search.found, ())
            self.map.setFocus()

    def _offer_group(self, group: Group) -> None:
        if self._result is not None and self._result.ranges is None:
            self.decoding.add_group(group.tokens, group.cloud)

    def _show_chosen(self, group: Group) -> None:
        if self._result is not None:
            labels, names = self._result.labels, self._result.label_names
            noun = "token" if self._result.ranges is None else "sentence"
            self.chosen.show_group(group, labels, names, len(self._result.reference), noun)
            self.note.setVisible(not group)  # there is room for one line

    def _mark(self) -> None:
        session = self.session
        pinned = frozenset(row for row in map(self._row, session.pinned) if row is not None)
        marks = Marks(self._row(session.hovered), self._row(session.selected), pinned)
        self.map.set_marks(marks)

    def _row(self, token: int | None) -> int | None:
        """The point that stands for a token: its own, or that of its sentence."""
        ranges = self._result.ranges if self._result is not None else None
        if ranges is None or token is None:
            return token
        rows = np.flatnonzero((ranges[:, 0] <= token) & (token < ranges[:, 1]))
        return int(rows[0]) if len(rows) else None

    def _token(self, row: int) -> int | None:
        """The token a point stands for; of a sentence the first one."""
        ranges = self._result.ranges if self._result is not None else None
        if ranges is None:
            return row if row >= 0 else None
        return int(ranges[row, 0]) if 0 <= row < len(ranges) else None

    def _select(self, row: int) -> None:
        again = row == self._row(self.session.selected)
        self.session.select(None if again else self._token(row))

    def _decode(self, result: LatentResult) -> None:
        """Let points be decoded in a space of tokens: a sentence's state is put nowhere."""
        decoding, able = self.decoding, result.ranges is None
        if able:
            decoding.set_latent(self._as_plane(result))
        elif decoding.toggle.isChecked() or decoding.way.currentIndex():
            decoding.toggle.setChecked(False)
            decoding.way.setCurrentIndex(0)
            decoding.refresh()
        decoding.toggle.setVisible(able)
        decoding.way.setVisible(able)

    def _as_plane(self, result: LatentResult) -> LatentResult:
        """What is seen of an answer: of three directions the plane that they are turned to."""
        return seen_as_plane(result, self.map.turn, self.map.seen_places())

    def _show_turned(self) -> None:
        """What is marked on the map is turned with it."""
        if self._result is not None and self._result.ranges is None:
            self.decoding.set_latent(self._as_plane(self._result))

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Hand the focus to the map, which the keys are for."""
        self.map.setFocus(event.reason())

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(200, 140)


def _picture(result: LatentResult) -> tuple[object, ...]:
    """What tells one picture of a space from another."""
    return result.layer, result.plane, result.states


def _categories(result: LatentResult) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None:
    """The label of each reference state, if each has one."""
    return result.labels if len(result.labels) == len(result.reference) else None


VIEW = ViewSpec(
    key="latent",
    title="Latent space",
    about=(
        "Where a β-VAE trained on the states of one layer puts each token: its mean μ, with an "
        "ellipse at one σ, joined in reading order; the dots behind are held-out states. The VAE "
        "maximises the ELBO, E_q[log p(x|z)] − β·KL(q(z|x) ‖ N(0, I))."
    ),
    empty="Type a context to see the path it takes through the latent space.",
    needs=frozenset({"latent"}),
    shortcut="Ctrl+5",
    area="right",
    order=2,
    create=LatentView,
)
