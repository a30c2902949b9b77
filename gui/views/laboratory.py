"""Small models trained here: what to train, the curves as it learns, and all runs compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QPalette, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QStackedLayout,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from engine.errors import UserError
from engine.types import Query, Snapshot
from gui import theme
from gui.figures.spec import FigureOptions
from gui.laboratory import again, found_runs, joined, pace
from gui.session import Session
from gui.timeleft import duration
from gui.view import View, ViewSpec
from gui.widgets import form
from gui.widgets.lab_form import LabForm
from gui.widgets.lab_page import LabPage
from gui.widgets.runs_list import RunsList

if TYPE_CHECKING:
    from engine.lab.runs import Point, Run
    from gui.studies.spec import Sheet

Stage = Literal["idle", "running", "paused"]

_EMPTY = (
    "Train a small transformer or LSTM on this machine: choose a task and press Train. Its curves "
    "are drawn as it learns, and the model opens in the explorer like any other."
)


class LaboratoryView(View):
    """Choose what to train, pause and stop it, watch it, and hold runs against each other."""

    startRequested = Signal(object, object)
    """Words of the command line, and the run's folder."""
    pauseRequested = Signal(bool)
    """Whether it shall rest, or go on."""
    stopRequested = Signal()
    openRequested = Signal(object)
    """The folder of a model that is to be opened."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.stage: Stage = "idle"
        self.runs: tuple[Run, ...] = ()
        self.training: Path | None = None  # the folder of the run that is trained

        self.form = LabForm(session)
        self.list = RunsList()
        self.page = LabPage()
        self.start = form.button(
            "Train", "Train this, in a process of its own: typing stays live. A run of the same "
            "settings is gone on with.",
        )  # fmt: skip
        self.resume = form.button("Go on", "Go on with the selected run from its last point.")
        self.pause = form.button("Pause", "Let it rest; it goes on where it is.")
        self.stop = form.button("Cancel", "End it; its last point stays on disk, to go on from.")
        self.open = form.button("Open in the explorer", "Open the selected run's model.")
        self.checkpoint = form.combo(
            "Checkpoint", "Which model of the selected run is opened: the last one, or as it was "
            "after so many steps, each a power of two.",
        )  # fmt: skip
        self.curves = form.button("Curves", "Show the curves of the runs that are ticked.")
        self.curves.setCheckable(True)
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.progress.setAccessibleName("Progress of the training")
        self.note = QElidingLabel()
        self.note.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.note.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.note.setContentsMargins(8, 0, 8, 4)
        self._lay_out()
        for signal, slot in (
            (self.start.clicked, self._start),
            (self.resume.clicked, self._go_on),
            (self.pause.clicked, self._toggle_pause),
            (self.stop.clicked, self.stopRequested),
            (self.open.clicked, self._open),
            (self.curves.toggled, self._refresh),
            (self.list.picked, self._draw),
            (self.list.opened, self.openRequested),
        ):
            signal.connect(slot)
        self.say("")
        self._refresh()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(8, 4, 8, 2)
        head.setSpacing(8)
        for part in (self.start, self.resume, self.pause, self.stop):
            head.addWidget(part)
        head.addWidget(self.progress, 1)
        head.addStretch(0)
        head.addWidget(self.checkpoint)
        head.addWidget(self.open)
        head.addWidget(self.curves)
        choosing = QWidget()
        column = QVBoxLayout(choosing)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.form)
        empty = QLabel(_EMPTY)
        empty.setWordWrap(True)
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        empty.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        empty.setContentsMargins(16, 8, 16, 8)
        self._listed = QStackedWidget()
        self._listed.addWidget(empty)
        self._listed.addWidget(self.list)
        column.addWidget(self._listed, 1)
        self._stack = QStackedLayout()
        self._stack.addWidget(choosing)
        self._stack.addWidget(self.page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addLayout(self._stack, 1)
        layout.addWidget(self.note)

    # --- question, answer, name ------------------------------------------------------------------

    def queries(self) -> tuple[Query, ...]:
        """Nothing: what it shows comes from a training."""
        return ()

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw nothing of a snapshot."""

    @property
    def current(self) -> Run | None:
        """The run that is looked into."""
        folder = self.list.current
        return next((run for run in self.runs if run.folder == folder), None)

    @property
    def drawn(self) -> tuple[Run, ...]:
        """The runs whose curves are drawn: those ticked, else the one that is looked into."""
        by_folder = {run.folder: run for run in self.runs}
        ticked = tuple(by_folder[one] for one in self.list.ticked if one in by_folder)
        current = self.current
        return ticked or ((current,) if current is not None else ())

    def caption(self) -> str:
        """The run that is looked into, or how many are drawn."""
        if not self.curves.isChecked():
            return ""
        runs = self.drawn
        return f"{len(runs)} runs" if len(runs) > 1 else runs[0].title if runs else ""

    def figure_options(self) -> FigureOptions:
        """The curves that are drawn."""
        return replace(super().figure_options(), sheet=self.sheet())

    def sheet(self) -> Sheet[Any] | None:
        """The curves as they can be saved; None before there are any."""
        runs = tuple(run for run in self.drawn if run.points)
        if not runs:
            return None
        from gui.studies.lab import STUDY, made_of
        from gui.studies.spec import sheet

        return sheet(STUDY, runs, made_of(runs))

    # --- what happens ----------------------------------------------------------------------------

    def take(self, point: Point) -> None:
        """Take a point of the run that is trained."""
        run = next((one for one in self.runs if one.folder == self.training), None)
        if run is None:
            self._read()  # its folder is there since its first point
            run = next((one for one in self.runs if one.folder == self.training), None)
            if run is None:
                return
            if self.training is not None:
                self.list.pick(self.training)
        grown = replace(run, points=joined(run.points, point))
        self.runs = tuple(grown if one is run else one for one in self.runs)
        self.list.set_runs(self.runs, self.training)
        steps = grown.card.settings.steps
        self.progress.setValue(round(1000 * point.step / steps))
        said = f"Step {point.step:,} of {steps:,}, held-out loss {point.loss:.3f}, accuracy "
        said += f"{100 * point.accuracy:.0f} %"
        going = pace(grown.points, steps)
        if going is not None and point.step < steps:
            said += f", {going[0]:,.0f} tokens/s, about {duration(going[1])} left"
        self.say(f"{said}.")
        self._draw()

    def end(self, sentence: str) -> None:
        """Take how the training ended."""
        self.stage = "idle"
        self.training = None
        self._read()
        self._draw()
        self.say(sentence)

    def say(self, sentence: str) -> None:
        """Tell the user something below the picture."""
        self.note.setText(sentence)
        self.note.setToolTip(f"<p>{sentence}</p>" if sentence else "")
        self.note.setAccessibleName(sentence)
        self.note.setVisible(bool(sentence))

    # --- inside ----------------------------------------------------------------------------------

    def _start(self) -> None:
        try:
            choice = self.form.choice()
        except UserError as error:
            self.say(error.sentence)
            return
        self._train(choice.words(), choice.folder)

    def _go_on(self) -> None:
        run = self.current
        if run is not None:
            self._train(again(run), run.folder)

    def _train(self, words: Sequence[str], folder: Path) -> None:
        self.stage, self.training = "running", folder
        self.progress.setValue(0)
        self._read()
        self.list.pick(folder)
        self.curves.setChecked(True)
        self._draw()
        self.say("Starting the training …")
        self.startRequested.emit(list(words), folder)

    def _toggle_pause(self) -> None:
        rests = self.stage == "running"
        self.stage = "paused" if rests else "running"
        self.say("Paused; it goes on where it is." if rests else "Going on.")
        self._refresh()
        self.pauseRequested.emit(rests)

    def _open(self) -> None:
        folder: str | None = self.checkpoint.currentData()
        if folder:
            self.openRequested.emit(Path(folder))

    def _read(self) -> None:
        """Look which runs there are."""
        before = {run.folder: run for run in self.runs}
        found = found_runs()
        # Of the run that is trained, what came through the pipe may be ahead of what was read.
        self.runs = tuple(
            before[run.folder]
            if run.folder == self.training
            and len(before.get(run.folder, run).points) > len(run.points)
            else run
            for run in found
        )
        self.list.set_runs(self.runs, self.training)
        first = self.list.topLevelItem(0)
        if self.list.current is None and first is not None:
            self.list.setCurrentItem(first)

    def _draw(self) -> None:
        """Draw the runs that are ticked, and look into the one that is selected."""
        if self.curves.isChecked():
            from engine.lab.runs import read_probe

            self.page.set_runs(self.drawn)
            run = self.current
            self.page.look_into(run, read_probe(run.folder) if run is not None else None)
        self._refresh()

    def _refresh(self, checked: bool | None = None) -> None:
        if checked:
            self._draw()
            return
        busy, run = self.stage != "idle", self.current
        shown = self.curves.isChecked()
        self._stack.setCurrentIndex(int(shown))
        self._listed.setCurrentIndex(int(bool(self.runs)))
        self.start.setVisible(not busy and not shown)
        self.resume.setVisible(not busy)
        self.resume.setEnabled(run is not None and not run.card.ended)
        self.pause.setVisible(busy)
        self.pause.setText("Resume" if self.stage == "paused" else "Pause")
        self.stop.setVisible(busy)
        self.progress.setVisible(busy)
        self._offer(run)
        self.curves.setText("Runs" if shown else "Curves")
        self.curves.setEnabled(bool(self.runs) or shown)
        self._fit_form()
        self.captionChanged.emit()

    def _offer(self, run: Run | None) -> None:
        """List the models of a run that can be opened; which is chosen stays as far as it can."""
        chosen = self.checkpoint.currentData()
        self.checkpoint.clear()
        if run is not None and (run.folder / "config.json").is_file():
            self.checkpoint.addItem("last model", str(run.folder))
            for step, folder in run.checkpoints:
                self.checkpoint.addItem(f"step {step:,}", str(folder))
        self.checkpoint.setCurrentIndex(max(0, self.checkpoint.findData(chosen)))
        self.checkpoint.setVisible(self.checkpoint.count() > 1)
        self.open.setEnabled(self.checkpoint.count() > 0)

    def showEvent(self, event: QShowEvent) -> None:
        """Look which runs there are."""
        self._read()
        self._draw()
        super().showEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the form the height that its lines take at this width."""
        super().resizeEvent(event)
        self._fit_form()

    def event(self, event: QEvent) -> bool:
        """Do the same when fields have become wider."""
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._fit_form()
        return done

    def _fit_form(self) -> None:
        flow = self.form.layout()
        if flow is not None:
            self.form.setFixedHeight(max(40, flow.heightForWidth(self.width())))

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(240, 180)


VIEW = ViewSpec(
    key="laboratory",
    title="Laboratory",
    about=(
        "Trains small transformers and LSTMs on this machine. Loss is the mean −log p of the "
        "judged tokens of held-out rows; the in-context score is the loss at a late token less "
        "that at an early one; the induction score of a head is the mean of A[i, i − N + 1] "
        "where random tokens repeat with period N."
    ),
    empty=_EMPTY,
    needs=frozenset(),
    shortcut="Ctrl+Shift+L",
    area="left",
    order=5,
    create=LaboratoryView,
    tab="embedding",
    shown=False,
)
