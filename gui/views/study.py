"""Studies of the open model: k-shot curves, loss by position, the heads that look back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QPalette, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QScrollArea,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from engine.studies.values import Heads, KShot, Measured, Placed, Positions, Record, Scored
from engine.types import ModelInfo, Progress, Query, Snapshot
from gui import theme
from gui.figures.spec import FigureOptions
from gui.session import Session
from gui.studying import TITLES, Study, StudyChoice, StudyKind
from gui.timeleft import TimeLeft
from gui.view import View, ViewSpec
from gui.widgets import form
from gui.widgets.study_form import StudyForm
from gui.widgets.study_pages import HeadsPage, KShotPage, PositionPage

if TYPE_CHECKING:
    from gui.studies.spec import Sheet

_EMPTY = (
    "Measure how the open model learns from its context: choose a study and press Start. What is "
    "measured is drawn as it comes and kept, so that the same study goes on from there."
)
_OPENED = "The prompt stands in Context; undo brings your text back."


class StudyView(View):
    """Choose a study, watch it being measured, and open what lies behind its numbers."""

    startRequested = Signal(object)
    """A `StudyChoice`."""
    cancelRequested = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.choice: StudyChoice | None = None  # what is measured, or was measured last
        self.study: Study | None = None
        self.running = False
        self._of: ModelInfo | None = None
        self._records: list[Record] = []
        self._left = TimeLeft()

        self.kind = form.combo("Study", "What is measured of the open model.")
        for key, title in TITLES.items():
            self.kind.addItem(title, key)
        self.start = form.button("Start", "Measure this; typing stays live meanwhile.")
        self.cancel = form.button("Cancel", "Stop; what was measured is kept.")
        self.settings = form.button("Settings", "Choose what to measure next; what is drawn stays.")
        self.settings.setCheckable(True)
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.progress.setAccessibleName("Progress of the study")
        self.form = StudyForm(session)
        self.note = QElidingLabel()
        self.note.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.note.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.note.setContentsMargins(8, 0, 8, 4)
        self.kshot, self.position, self.heads = KShotPage(), PositionPage(), HeadsPage()
        self._pages: dict[StudyKind, QWidget] = {
            "kshot": self.kshot,
            "position": self.position,
            "heads": self.heads,
        }
        self._lay_out()
        for signal, slot in (
            (self.kind.currentIndexChanged, self._choose),
            (self.start.clicked, self._start),
            (self.cancel.clicked, self.cancelRequested),
            (self.settings.toggled, self._refresh),
            (self.form.told, self.say),
            (self.kshot.opened, self._open),
            (self.heads.headChosen, self._open_head),
            (session.layerChanged, self._mark),
            (session.headChanged, self._mark),
            (session.modelChanged, self._refresh),
        ):
            signal.connect(slot)
        self._refresh()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(8, 4, 8, 2)
        head.setSpacing(8)
        head.addWidget(self.kind)
        head.addWidget(self.start)
        head.addWidget(self.progress, 1)
        head.addWidget(self.cancel)
        head.addStretch(0)
        head.addWidget(self.settings)
        empty = QLabel(_EMPTY)
        empty.setWordWrap(True)
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        empty.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        empty.setContentsMargins(16, 8, 16, 8)
        choosing = QWidget()
        column = QVBoxLayout(choosing)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.form)
        column.addWidget(empty, 1)
        scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(choosing)
        for part in (scroll.viewport(), choosing):
            part.setAutoFillBackground(False)  # the panel's own colour shows
        self._stack = QStackedLayout()
        self._stack.addWidget(scroll)
        for page in self._pages.values():
            self._stack.addWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addLayout(self._stack, 1)
        layout.addWidget(self.note)

    # --- question, answer, name ------------------------------------------------------------------

    def queries(self) -> tuple[Query, ...]:
        """Nothing: what it shows comes from a job."""
        return ()

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw nothing of a snapshot."""

    def caption(self) -> str:
        """Which study of which model is shown."""
        if self.choice is None or self._stack.currentIndex() == 0:
            return ""
        what = TITLES[self.choice.kind]
        task = f" · {self.choice.task.title}" if self.choice.task is not None else ""
        return f"{what}{task} · {self.choice.title}"

    def figure_options(self) -> FigureOptions:
        """What was measured, as far as it is."""
        return replace(super().figure_options(), sheet=self.sheet())

    def sheet(self) -> Sheet[Any] | None:
        """What can be saved: the study, or the curve so far of one that goes on."""
        study = self.study or self._so_far()
        if study is None or self.choice is None:
            return None
        from gui.studies import heads, kshot, position
        from gui.studies.spec import sheet

        specs: dict[StudyKind, Any] = {
            "kshot": kshot.STUDY,
            "position": position.STUDY,
            "heads": heads.STUDY,
        }
        model = self._of
        made: dict[str, object] = {"model": study.model, "model_title": study.title}
        if model is not None:
            made |= {
                "model_source": model.source,
                "model_sha256": model.fingerprint,
                "device": model.device,
                "dtype": model.dtype,
            }
        choice = self.choice
        made |= {key: str(value) for key, value in {**choice.settings, **choice.looking}.items()}
        if choice.kind != "kshot":
            made["texts"] = ", ".join(path.name for path in choice.corpus) or "the context"
        return sheet(specs[choice.kind], study, made)

    # --- what happens ----------------------------------------------------------------------------

    def take(self, progress: Progress) -> None:
        """Take a step of the job: draw what is new."""
        if not self.running:
            return
        self._left.note(progress.fraction)
        said = ", ".join(filter(None, (progress.text, self._left.said())))
        self.say(f"{said}.")
        self.progress.setValue(round(1000 * (progress.fraction or 0.0)))
        if isinstance(progress, Measured):
            self._records += progress.records
            self.kshot.set_points(progress.points)
            self.kshot.add_records(progress.records)
        elif isinstance(progress, Placed) and progress.curve is not None:
            looking = self.choice.looking if self.choice is not None else {}
            marks = [float(looking[name]) for name in ("early", "late") if name in looking]
            self.position.set_curve(progress.curve, marks)
        elif isinstance(progress, Scored) and progress.induction is not None:
            assert progress.prefix_matching is not None
            self.heads.set_scores(progress.induction, progress.prefix_matching)
            self._mark()

    def finish(self, study: Study) -> None:
        """Take the whole."""
        self.study, self.running = study, False
        if isinstance(study, KShot):
            self.kshot.set_points(study.points)
            saved = f"; prompt by prompt it would have been {study.alone:,}" if study.tokens else ""
            said = f"{len(study.records):,} queries, {study.tokens:,} tokens were run{saved}."
        elif isinstance(study, Positions):
            self.position.set_study(study)
            said = f"{len(study.losses)} texts of {study.losses.shape[1]:,} tokens."
        else:
            self.heads.set_study(study)
            said = _highest(study)
        self._refresh()
        self.say(said)

    def stop(self, sentence: str) -> None:
        """Say why it ended before its end; what is drawn stays."""
        self.running = False
        self._refresh()
        self.say(sentence)

    def say(self, sentence: str) -> None:
        """Tell the user something below the picture."""
        self.note.setText(sentence)
        self.note.setToolTip(f"<p>{sentence}</p>" if sentence else "")
        self.note.setAccessibleName(sentence)
        self.note.setVisible(bool(sentence))

    # --- inside ----------------------------------------------------------------------------------

    def _so_far(self) -> Study | None:
        choice, points = self.choice, self.kshot.points
        if choice is None or choice.task is None or not points or not self._records:
            return None
        task = choice.task
        return KShot(
            model=choice.model,
            title=choice.title,
            task=task.key,
            task_title=task.title,
            scoring=task.scoring,
            instruction=bool(choice.settings["instruction"]) and bool(task.instruction),
            chance=self.kshot.chance,
            points=points,
            records=tuple(self._records),
        )

    def _choose(self, _index: int) -> None:
        self.form.choose(self.kind.currentData())
        self.settings.setChecked(True)
        self.say("")
        self._refresh()

    def _start(self) -> None:
        problem, choice = self.form.problem(), self.form.choice()
        if problem or choice is None:
            self.say(problem)
            return
        self.choice, self.study, self.running = choice, None, True
        self._of = self.session.model
        self._records = []
        self._left.start()
        labels = choice.task.labels if choice.task is not None else ()
        if choice.kind == "kshot":
            self.kshot.clear(1 / len(labels) if labels else None)
        elif choice.kind == "position":
            self.position.clear()
        else:
            self.heads.clear()
        self.progress.setValue(0)
        self.settings.setChecked(False)
        self._refresh()
        self.say("Starting …")
        self.startRequested.emit(choice)

    def _refresh(self, *_: object) -> None:
        there = self.choice is not None and self.choice.kind == self.kind.currentData()
        choosing = not there or self.settings.isChecked()
        index = 0
        if not choosing and self.choice is not None:
            index = 1 + list(self._pages).index(self.choice.kind)
        self._stack.setCurrentIndex(index)
        self.kind.setEnabled(not self.running)
        self.form.setEnabled(not self.running)
        self.settings.setVisible(there)
        self.settings.setText("Back" if self.settings.isChecked() else "Settings")
        self.start.setVisible(not self.running)
        self.start.setEnabled(self.session.model is not None)
        self.progress.setVisible(self.running)
        self.cancel.setVisible(self.running)
        self.note.setVisible(bool(self.note.text()))
        self._fit_form()
        self.captionChanged.emit()

    def _open(self, record: Record) -> None:
        """Put a query's prompt into the context, as a change that can be undone."""
        self.session.select(None)
        self.session.set_text(record.prompt)
        chats = " The chat template is on, which the study did not use." * self.session.chats
        self.say(_OPENED + chats)

    def _open_head(self, layer: int, head: int) -> None:
        if layer < 0 or head < 0:
            return
        model, choice = self.session.model, self.choice
        if model is None or choice is None or not choice.is_of(model):
            self.say("These heads are of another model than the one that is open.")
            return
        self.session.set_layer(layer)
        self.session.set_head(head)
        self._mark()

    def _mark(self, *_: object) -> None:
        self.heads.mark(self.session.block, self.session.head)

    def showEvent(self, event: QShowEvent) -> None:
        """Read the tasks when they are wanted first."""
        self.form.fill()
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
        return QSize(240, 160)


def _highest(study: Heads) -> str:
    """The heads that score highest, in a sentence."""
    import numpy as np

    flat = np.nan_to_num(study.induction.ravel(), nan=-1.0)
    best: Sequence[int] = np.argsort(-flat, kind="stable")[:3].tolist()
    heads = study.induction.shape[1]
    told = [f"L{at // heads}H{at % heads} {flat[at]:.2f}" for at in best if flat[at] >= 0]
    return f"Highest induction scores: {', '.join(told)}."


VIEW = ViewSpec(
    key="study",
    title="Study",
    about=(
        "Measures the open model. k-shot: accuracy, macro-F1 and log p(right answer | prompt) "
        "after k examples. Loss by position: −log p(token | what stands before it) over long "
        "texts. Heads: induction and prefix-matching scores of all heads, and what switching the "
        "highest off does. Intervals are 95 % bootstrap intervals."
    ),
    empty=_EMPTY,
    needs=frozenset(),
    shortcut="Ctrl+Shift+K",
    area="left",
    order=4,
    create=StudyView,
    tab="embedding",
    shown=False,
)
