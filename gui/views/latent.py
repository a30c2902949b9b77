"""Where each token lies in a learned latent space, how sure that is, and the path it all makes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QIcon,
    QKeySequence,
    QPainter,
    QPalette,
    QPixmap,
    QShortcut,
)
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel, QFlowLayout

from engine.types import LatentQuery, LatentResult, Query, Snapshot
from gui import theme
from gui.figures.spec import FigureOptions
from gui.glossary import tip
from gui.planes import axis_names, said
from gui.session import Session
from gui.view import View, ViewSpec
from gui.widgets.cloud_search import CloudSearch
from gui.widgets.decoding import Decoding
from gui.widgets.group_line import GroupLine
from gui.widgets.lasso import Group
from gui.widgets.legend import number
from gui.widgets.plane_choice import PlaneChoice
from gui.widgets.scatter import ScatterMap
from gui.widgets.token_axis import Marks, token_label


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
        self._labels: list[str] = []
        self._only: int | None = None

        self.layers = QComboBox()
        self.layers.setFont(theme.ui_font(theme.SMALL))
        self.layers.setAccessibleName("Layer of the latent space")
        self.layers.setToolTip(
            "<p>Which layer's latent space is shown. A space is trained on the states of one "
            "layer; the first choice follows the layer that everything else shows.</p>"
        )
        self.colours = QCheckBox("colour by label")
        self.colours.setFont(theme.ui_font(theme.SMALL))
        self.colours.setAccessibleName("Colour the reference states by their label")
        self.colours.setToolTip(
            "<p>The dots behind are held-out states the space was measured on; each has a label, "
            "such as the book it is from.</p>"
        )
        self.plane = PlaneChoice()
        self.map = ScatterMap("Latent space, path of the context", joined=True)
        self.map.set_readout(self.read_out)
        self.map.set_cloud_readout(self.read_dot)
        self.map.lasso_button.show()
        self.decoding = Decoding(session, self.map, self)
        self.legend = _Legend()
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
        ):
            control.setMinimumHeight(24)  # what wraps stands in one line with what does not
            head.addWidget(control)
        middle = QHBoxLayout()
        middle.setSpacing(0)
        middle.addWidget(self.map, 1)
        middle.addWidget(self.decoding.side)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._head)
        layout.addWidget(self.legend)
        layout.addLayout(middle, 1)
        layout.addWidget(self.decoding.strip)
        layout.addWidget(self.chosen)
        layout.addWidget(self.note)
        self.legend.hide()

        self.layers.activated.connect(lambda _: self.queriesChanged.emit())
        self.colours.toggled.connect(self._colour)
        self.plane.changed.connect(self.queriesChanged)
        self.decoding.changed.connect(self.queriesChanged)
        self.legend.chosen.connect(self._show_only)
        self.search.changed.connect(lambda: self.map.set_found(self.search.found))
        self.search.taken.connect(self._choose_found)
        self.search.left.connect(self.map.setFocus)
        find = QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self)
        find.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        find.activated.connect(self.search.begin)
        self.map.groupChosen.connect(self._show_chosen)
        self.map.groupChosen.connect(self.groupChosen)
        self.chosen.letGo.connect(lambda: self.map.choose((), ()))
        self.map.pointHovered.connect(lambda i: session.hover(i if i >= 0 else None))
        self.map.pointClicked.connect(
            lambda i: session.select(i if i != session.selected else None)
        )
        session.modelChanged.connect(self._refresh)
        session.layerChanged.connect(self._refresh)
        for signal in (session.selectionChanged, session.hoverChanged, session.pinsChanged):
            signal.connect(self._mark)
        self._refresh()

    # --- question, answer, name ------------------------------------------------------------------

    @property
    def layer(self) -> int | None:
        """The layer whose space is asked for; None leaves it to the engine."""
        chosen = self.layers.currentData()
        if isinstance(chosen, int):
            return chosen
        layers = self.session.model.latent_layers if self.session.model else ()
        return nearest_layer(layers, self.session.layer)

    def queries(self) -> tuple[Query, ...]:
        """Ask for the space of the chosen layer or the session's nearest, and what is decoded."""
        model = self.session.model
        if model is not None and "latent" not in model.provides:
            return ()
        return (LatentQuery(self.layer, self.plane.plane), *self.decoding.queries())

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
        self._labels = [token_label(token.text) for token in tokens[:count]]
        self._labels += [f"#{index}" for index in range(len(self._labels), count)]
        self.map.set_axes(*axis_names(result))
        self.plane.set_result(result)
        if before is not None and (before.layer, before.plane) != (result.layer, result.plane):
            self.map.by_hand = False  # the part that was looked at was one of another picture
        if before is None or before.reference is not result.reference:
            self.map.set_cloud(result.reference, _categories(result))
        self.map.set_points(result.xy, self._labels, result.covariance)
        if before is None or before.label_names != result.label_names:
            self._only = None
            self.legend.set_names(result.label_names)
        if before is None or before.labels is not result.labels:
            names, each = result.label_names, _categories(result)
            called = [names[label] for label in each.tolist()] if each is not None else []
            texts = result.texts if len(result.texts) == len(called) else ()
            self.map.choose((), ())
            self.search.set_reference(texts, called)
        self.decoding.set_latent(result)
        told = figures(result.card, width)
        self.note.setText(told)
        self.note.setAccessibleName(told)
        self._refresh()
        self._colour()
        self._mark()

    def figure_options(self) -> FigureOptions:
        """What is on the screen: the layer and the plane that were chosen here."""
        return replace(super().figure_options(), layer=self.layer, plane=self.plane.plane)

    def caption(self) -> str:
        """Layer of the space, number of tokens, and how many coordinates it has."""
        if self._result is None:
            return f"layer {self.layer}" if self.layer is not None else ""
        tokens, width = self._result.mu.shape
        plural = "s" * (tokens != 1)
        plane = ""
        if width > 2:
            plane = f", {said(self._result)} of {width} dimensions"
        return f"layer {self._result.layer} · path of {tokens} token{plural}{plane}"

    # --- what is drawn ---------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Offer the layers the model has a space for, keeping the choice where it still is one."""
        model = self.session.model
        layers = model.latent_layers if model is not None else ()
        chosen = self.layers.currentData()
        near = nearest_layer(layers, self.session.layer)
        entries: list[tuple[str, int | None]] = [(f"nearest: layer {near}", None)]
        entries += [(f"layer {layer}", layer) for layer in layers]
        if entries != [
            (self.layers.itemText(i), self.layers.itemData(i)) for i in range(self.layers.count())
        ]:
            self.layers.clear()
            for text, layer in entries:
                self.layers.addItem(text, layer)
            self.layers.setCurrentIndex(max(0, self.layers.findData(chosen)))
        several = len(layers) > 1
        labelled = self._result is not None and len(self._result.label_names) > 1
        self.layers.setVisible(several)
        self.colours.setVisible(labelled)

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
        """Say a token, its μ and its σ along each axis of the picture."""
        result = self._result
        if result is None or index >= len(self._labels):
            return ""
        x, y = (number(float(value)) for value in result.xy[index])
        with np.errstate(invalid="ignore"):
            spread = np.sqrt(np.diagonal(result.covariance[index]))
        across, up = (number(float(value)) for value in spread)
        return f"{self._labels[index]}, token {index}\nμ = ({x}, {y})\nσ = ({across}, {up})"

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

    def _show_chosen(self, group: Group) -> None:
        if self._result is not None:
            labels, names = self._result.labels, self._result.label_names
            self.chosen.show_group(group, labels, names, len(self._result.reference))
            self.note.setVisible(not group)  # there is room for one line

    def _mark(self) -> None:
        session = self.session
        self.map.set_marks(Marks(session.hovered, session.selected, session.pinned))

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Hand the focus to the map, which the keys are for."""
        self.map.setFocus(event.reason())

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(200, 140)


def _categories(result: LatentResult) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None:
    """The label of each reference state, if each has one."""
    return result.labels if len(result.labels) == len(result.reference) else None


class _Legend(QWidget):
    """The labels with their colours; choosing one leaves the others grey."""

    chosen = Signal(int)
    """The label that alone is coloured, −1 for all of them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Labels of the reference states")
        self._flow = QFlowLayout(self)
        self._flow.setContentsMargins(8, 0, 8, 4)
        self._flow.setHorizontalSpacing(4)
        self._flow.setVerticalSpacing(0)
        self.buttons: list[QToolButton] = []

    def set_names(self, names: Sequence[str]) -> None:
        """Show these labels, none of them chosen."""
        for button in self.buttons:
            self._flow.removeWidget(button)
            button.deleteLater()
        self.buttons = []
        for index, name in enumerate(names):
            button = QToolButton()
            button.setText(name)
            button.setIcon(_dot(theme.category(index)))
            button.setIconSize(QSize(12, 12))
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.setFont(theme.ui_font(theme.SMALL))
            button.setAutoRaise(True)
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setAccessibleName(f"Colour only {name}")
            button.setToolTip(f"Colour only the states of {name}; once more for all labels.")
            button.clicked.connect(lambda on, index=index: self._choose(index if on else -1))
            self._flow.addWidget(button)
            self.buttons.append(button)

    def _choose(self, index: int) -> None:
        for at, button in enumerate(self.buttons):
            button.setChecked(at == index)
        self.chosen.emit(index)


def _dot(colour: str) -> QIcon:
    """A filled circle, sharp at two device pixels a pixel."""
    picture = QPixmap(24, 24)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawEllipse(4, 4, 16, 16)
    painter.end()
    picture.setDevicePixelRatio(2)
    return QIcon(picture)


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
