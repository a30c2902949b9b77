"""Pictures of a cloud of states by projections of one's choice, with the context placed in them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QPalette, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QProgressBar,
    QScrollArea,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from engine.latent.pictured import PictureResult
from engine.latent.values import PlaceQuery, PlaceResult
from engine.types import Query, Snapshot
from gui import theme
from gui.figures.spec import FigureOptions
from gui.picturing import PictureChoice
from gui.qualities import STATES, columns
from gui.session import Session
from gui.view import View, ViewSpec
from gui.widgets import form
from gui.widgets.cloud_map import CloudMap
from gui.widgets.label_legend import LabelLegend
from gui.widgets.legend import number
from gui.widgets.picture_form import PictureForm
from gui.widgets.quality_table import QualityTable
from gui.widgets.token_axis import Marks, token_label

SIDE = 290
"""Pixels that the numbers take at least."""

KEPT = 8
"""Pictures that are kept; the oldest goes first."""

_EMPTY = "Choose texts and a projection and press Draw; the context is placed there as you type."
_POOLED = " A token is placed by its own state, in a picture of sentences."


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A picture and the model it is of."""

    drawn: PictureResult
    model: str
    fingerprint: str

    @property
    def title(self) -> str:
        """What it is called in the list."""
        drawn = self.drawn
        return f"{drawn.title} · layer {drawn.layer} · {STATES[drawn.states]}"


class PicturesView(View):
    """Choose what to draw, watch it being drawn, and compare what was drawn."""

    drawRequested = Signal(object)
    """A `PictureChoice`."""
    cancelRequested = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.kept: list[Kept] = []
        self._count = 0
        self._asked: PictureChoice | None = None  # what is being drawn
        self._labels: list[str] = []
        self._only = -1

        self.form = PictureForm(session)
        self.chooser = form.combo(
            "Picture", f"The pictures drawn so far; the last {KEPT} are kept, to be compared."
        )
        self.chooser.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.chooser.setMinimumWidth(80)  # it gives way where the panel is narrow
        self.new = form.button("New …", "Choose what to draw next; what was drawn stays.")
        self.new.setCheckable(True)
        self.held = form.check(
            "held out only",
            "Colour only the points that took no part in fitting: they were placed afterwards, as "
            "the tokens of the context are.",
        )
        self.draw = form.button("Draw", "Collect these states and draw them; typing stays live.")
        self.cancel = form.button("Cancel", "End it at once; what was drawn before stays.")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setAccessibleName("Progress of the picture")
        self.map = CloudMap("Picture of states, with the context's tokens")
        self.legend = LabelLegend()
        self.table = QualityTable()
        self.note = QElidingLabel()
        self.note.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.note.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.note.setContentsMargins(8, 0, 8, 4)
        self._lay_out()

        self.draw.clicked.connect(self._draw)
        self.cancel.clicked.connect(self.cancelRequested)
        self.new.toggled.connect(lambda _: self._refresh())
        self.chooser.activated.connect(lambda _: self._show())
        self.held.toggled.connect(lambda _: self._colour())
        self.legend.chosen.connect(self._show_only)
        self.map.pointHovered.connect(lambda i: session.hover(i if i >= 0 else None))
        self.map.pointClicked.connect(
            lambda i: session.select(i if i != session.selected else None)
        )
        self.map.set_readout(self._read_out)
        session.modelChanged.connect(self._on_model)
        for signal in (session.selectionChanged, session.hoverChanged, session.pinsChanged):
            signal.connect(self._mark)
        self._refresh()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(8, 2, 8, 2)
        head.setSpacing(8)
        for field in (self.chooser, self.held, self.draw, self.progress, self.cancel):
            head.addWidget(field, int(field is self.progress))
        head.addWidget(self.form.says, 1)
        head.addStretch(0)
        head.addWidget(self.new)
        scroll, labels = _scrolling(self.form), _scrolling(self.legend)
        labels.setMinimumHeight(24)
        self._side = QWidget()
        side = QVBoxLayout(self._side)
        side.setContentsMargins(0, 0, 0, 0)
        side.setSpacing(0)
        side.addWidget(self.table)
        side.addWidget(labels, 1)
        picture = QWidget()
        self._body = QBoxLayout(QBoxLayout.Direction.TopToBottom, picture)
        self._body.setContentsMargins(0, 0, 0, 0)
        self._body.setSpacing(4)
        self._body.addWidget(self.map, 1)
        self._body.addWidget(self._side)
        self._stack = QStackedLayout()
        self._stack.addWidget(scroll)
        self._stack.addWidget(picture)
        for part in (scroll, picture):
            part.setParent(self)  # before the line above them, for who gets the focus first
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addLayout(self._stack, 1)
        layout.addWidget(self.note)

    # --- question, answer, name ------------------------------------------------------------------

    @property
    def shown(self) -> Kept | None:
        """The picture that is shown, or would be if the form did not lie before it."""
        index = self.chooser.currentIndex()
        return self.kept[index] if 0 <= index < len(self.kept) else None

    @property
    def busy(self) -> bool:
        """Whether a picture is being drawn."""
        return self._asked is not None

    def queries(self) -> tuple[Query, ...]:
        """Ask where the context's tokens lie, in a picture of the model that is open."""
        shown, model = self.shown, self.session.model
        if shown is None or model is None or model.fingerprint != shown.fingerprint:
            return ()
        return (PlaceQuery(shown.drawn.name),)

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Place the context's tokens; none where they have no place in this picture."""
        found = next((snapshot.results.get(query) for query in self.queries()), None)
        if not isinstance(found, PlaceResult):
            self._labels = []
            self.map.set_points(np.empty((0, 2)), ())
            return
        self._labels = [token_label(token.text) for token in snapshot.tokens[: len(found.xy)]]
        self.map.set_points(found.xy, self._labels)
        self._mark()

    def figure_options(self) -> FigureOptions:
        """What is on the screen: the picture that is chosen."""
        shown, options = self.shown, super().figure_options()
        if shown is None:
            return options
        return replace(options, layer=shown.drawn.layer, drawn=shown.drawn.name)

    def caption(self) -> str:
        """Projection, layer, and how many states are drawn of how many."""
        shown = self.shown
        if shown is None or self.new.isChecked():
            return ""
        drawn = shown.drawn
        return f"{shown.title} · {len(drawn.xy):,} of {drawn.of:,} states"

    # --- what happens ----------------------------------------------------------------------------

    def set_progress(self, text: str, fraction: float | None) -> None:
        """Take a step of the job: what it does, and how far it is where that is known."""
        if self.busy:
            self._say(text)
            self.progress.setRange(0, 0 if fraction is None else 1000)
            self.progress.setValue(round(1000 * (fraction or 0.0)))

    def take(self, drawn: PictureResult) -> None:
        """Show a picture that was drawn, and keep it beside those before."""
        asked, self._asked = self._asked, None
        if asked is None:
            return
        self.kept = [*self.kept, Kept(drawn, asked.model, asked.fingerprint)]
        self.kept = self.kept[-KEPT:]
        self.chooser.clear()
        first = self._count - len(self.kept) + 1
        for index, one in enumerate(self.kept):
            self.chooser.addItem(f"{first + index}: {one.title}")
        self.chooser.setCurrentIndex(len(self.kept) - 1)
        self.form.settings.set_labels(drawn.label_names)
        self.new.setChecked(False)
        self._show()

    def fail(self, sentence: str) -> None:
        """Say why nothing was drawn; the form and what was drawn before stay."""
        self._asked = None
        self._count = max(0, self._count - 1)
        self._refresh()
        self._say(sentence)

    def _draw(self) -> None:
        problem = self.form.problem()
        forget = tuple(one.drawn.name for one in self.kept[: len(self.kept) + 1 - KEPT])
        choice = self.form.choice(f"picture {self._count + 1}", forget)
        if problem or choice is None:
            self._say(problem)
            return
        self._count += 1
        self._asked = choice
        self._refresh()
        self.set_progress("Starting …", 0.0)
        self.drawRequested.emit(choice)

    def _on_model(self) -> None:
        self.map.set_points(np.empty((0, 2)), ())
        self._labels = []
        self._refresh()

    # --- what is drawn ---------------------------------------------------------------------------

    def _show(self) -> None:
        """Show the chosen picture, and ask where the context lies in it."""
        shown = self.shown
        if shown is not None:
            drawn = shown.drawn
            self._only = -1
            self.map.set_axes(*drawn.axes)
            self.map.set_dots(drawn.xy, 2 * drawn.labels + drawn.held_out, self._name_dot)
            self.legend.set_names(drawn.label_names)
            self.table.set_columns(columns(drawn))
            self._colour()
        self._refresh()
        self.queriesChanged.emit()

    def _refresh(self) -> None:
        shown, busy = self.shown, self.busy
        picture = shown is not None and not self.new.isChecked()
        self._stack.setCurrentIndex(int(picture))
        self.form.setEnabled(not busy)
        self.chooser.setVisible(picture)
        self.held.setVisible(picture)
        self.held.setEnabled(shown is not None and bool(shown.drawn.held_out.any()))
        self.new.setVisible(shown is not None)
        self.new.setText("Back" if self.new.isChecked() else "New …")
        self.draw.setVisible(not picture and not busy)
        self.form.says.setVisible(not picture and not busy)
        self.draw.setEnabled(self.session.model is not None)
        self.progress.setVisible(busy)
        self.cancel.setVisible(busy)
        about = self._about(shown) if shown is not None and picture else ""
        self._say(about if shown is not None else _EMPTY)
        self.captionChanged.emit()

    def _about(self, shown: Kept) -> str:
        drawn, model = shown.drawn, self.session.model
        parts = []
        if model is not None and model.fingerprint != shown.fingerprint:
            parts.append(f"of {shown.model}, so that the context has no place in it")
        parts += [
            drawn.source,
            f"drawn {len(drawn.xy):,} of {drawn.of:,}",
            f"{int(drawn.held_out.sum()):,} held out",
            f"seed {drawn.settings.seed}",
            f"{number(drawn.seconds)} s",
        ]
        return " · ".join(part for part in parts if part)

    def _say(self, sentence: str) -> None:
        shown = self.shown
        self.note.setText(sentence)
        self.note.setAccessibleName(sentence)
        placing = ""
        if shown is not None and self._stack.currentIndex() and not self.busy:
            pooled = _POOLED if shown.drawn.states != "tokens" else ""
            placing = f"<p>{shown.drawn.placing}{pooled}</p>"
        self.note.setToolTip(f"<p>{sentence}</p>{placing}" if sentence else "")
        self.note.setVisible(bool(sentence))

    def _colour(self) -> None:
        shown = self.shown
        if shown is None:
            return
        held = self.held.isChecked() and self.held.isEnabled()
        self.map.set_cloud_colours(
            [
                theme.category(index) if self._only in (-1, index) and out >= held else None
                for index in range(len(shown.drawn.label_names))
                for out in (False, True)
            ]
        )

    def _show_only(self, index: int) -> None:
        self._only = index
        self._colour()

    def _name_dot(self, index: int) -> str:
        shown = self.shown
        if shown is None:
            return ""
        drawn = shown.drawn
        label = drawn.label_names[int(drawn.labels[index])]
        fitted = "held out" if drawn.held_out[index] else "fitted"
        text = " ".join(drawn.texts[index].split()) if drawn.texts else ""
        return "\n".join(part for part in (text, f"{label}, {fitted}") if part)

    def _read_out(self, index: int) -> str:
        if index >= len(self._labels):
            return ""
        return f"{self._labels[index]}, token {index} of the context"

    def _mark(self) -> None:
        session = self.session
        self.map.set_marks(Marks(session.hovered, session.selected, session.pinned))

    # --- what happens to a widget ----------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """Look for the projections when they are wanted first."""
        self.form.fill()
        super().showEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the numbers below the picture, or beside it where it is wide and low."""
        super().resizeEvent(event)
        wide = event.size().width() > 1.5 * event.size().height()
        way = QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom
        self._side.setMinimumWidth(min(SIDE, event.size().width() // 2) if wide else 0)
        if way != self._body.direction():
            self._body.setDirection(way)
            self._body.activate()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Hand the focus to what the keys are for."""
        first = self.map if self._stack.currentIndex() else self.form.projection
        first.setFocus(event.reason())

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(200, 140)


def _scrolling(content: QWidget) -> QScrollArea:
    """A frame whose content may be higher than itself."""
    made = QScrollArea()
    made.setFrameShape(QFrame.Shape.NoFrame)
    made.setWidgetResizable(True)
    made.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.setWidget(content)
    for part in (made.viewport(), content):
        part.setAutoFillBackground(False)  # the panel's own colour is behind
    return made


VIEW = ViewSpec(
    key="pictures",
    title="Pictures",
    about=(
        "States x of one layer on a plane, by PCA, UMAP, t-SNE, two dimensions or two directions: "
        "y = f(x). The fit never sees the held-out points or the context; they are placed by the "
        "f that stands, and the numbers say how far neighbours and labels survive it."
    ),
    empty=_EMPTY,
    needs=frozenset(),
    shortcut="Ctrl+8",
    area="right",
    order=5,
    create=PicturesView,
    tab="latent",
    shown=False,
)
