"""Training a latent space: what on and how, the curves as it learns, and how to stop it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QPalette, QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel, QFlowLayout

from engine.types import Query, Snapshot
from gui import theme
from gui.glossary import tip
from gui.session import Session
from gui.training import SAMPLES, EpochLike, Pooling, TrainingChoice
from gui.view import View, ViewSpec
from gui.widgets.curves import Curve, CurvePlot

Stage = Literal["idle", "running", "paused", "done", "failed"]

FOLLOW = -1
"""The layer that everything else shows."""

_STATES: tuple[tuple[str, Pooling], ...] = (
    ("of tokens", "tokens"),
    ("of sentences, mean", "mean"),
    ("of sentences, last token", "last"),
)
_OWN: dict[Pooling, tuple[int, int]] = {"tokens": (8, 40), "mean": (2, 80), "last": (2, 80)}
# Z and epochs unless told otherwise, as `engine.latent.training.settings_for` has them.

_EMPTY = (
    "Train a map of meaning on texts: choose them and press Train. Curves of what it learns "
    "appear here, and the space opens in Latent space."
)


class TrainingView(View):
    """Choose what to train on, start, pause and cancel it, and watch its curves."""

    startRequested = Signal(object)
    """A `TrainingChoice`."""
    pauseRequested = Signal(bool)
    """Whether it shall rest, or go on."""
    cancelRequested = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.stage: Stage = "idle"
        self.epochs: list[EpochLike] = []
        self._corpus: tuple[Path, ...] = (SAMPLES,)

        self.layer = _spin("Layer", FOLLOW, FOLLOW, 0, "Whose states; by default the one shown.")
        self.layer.setSpecialValueText("shown")
        self.states = _combo("States", "One state a token, or one a sentence.")
        for text, kind in _STATES:
            self.states.addItem(text, kind)
        self.latent = _spin(
            "Z",
            _OWN["tokens"][0],
            1,
            256,
            "Latent dimensions. Of sentences, two tell them apart best in the picture.",
        )
        self.beta = _decimal("β", 1.0, 20.0, "Weight of the KL term; 1 is the evidence bound.")
        self.warm_up = _decimal(
            "warm-up", 0.1, 1.0, "Share of all steps over which β grows from 0."
        )
        self.free_bits = _decimal(
            "free bits", 0.5, 10.0, "Nats a unit below which KL is not pressed."
        )
        self.hidden = _spin("width", 256, 8, 4096, "Width of the perceptrons' hidden layers.")
        self.epoch_count = _spin("epochs", _OWN["tokens"][1], 1, 10_000, "Passes over the states.")
        self._kind: Pooling = "tokens"
        self.states.currentIndexChanged.connect(lambda _: self._show_own())
        self.seed = _spin("seed", 20911, 0, 2**31 - 1, "The same seed gives the same weights.")
        self.corpus = _combo("Texts", "What to train on; the label is the file's or folder's name.")
        self._offer_corpus("the program's samples")
        self.corpus.activated.connect(self._choose_corpus)

        self._form = QWidget()
        flow = QFlowLayout(self._form)
        flow.setContentsMargins(8, 4, 8, 4)
        flow.setHorizontalSpacing(8)
        flow.setVerticalSpacing(4)
        for name, field in (
            ("texts", self.corpus),
            ("layer", self.layer),
            ("states", self.states),
            ("Z", self.latent),
            ("β", self.beta),
            ("warm-up", self.warm_up),
            ("free bits", self.free_bits),
            ("width", self.hidden),
            ("epochs", self.epoch_count),
            ("seed", self.seed),
        ):
            flow.addWidget(_named(name, field))

        self.start = _button("Train", "Collect states of these texts and train on them.")
        self.resume = _button("Go on", "Go on from the last epoch that was kept on disk.")
        self.pause = _button("Pause", "Let it rest; typing is live either way.")
        self.cancel = _button("Cancel", "End it; its last epoch stays on disk.")
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.progress.setAccessibleName("Progress of the training")
        buttons = QHBoxLayout()
        buttons.setContentsMargins(8, 0, 8, 4)
        buttons.setSpacing(4)
        for button in (self.start, self.resume, self.pause, self.cancel):
            buttons.addWidget(button)
        buttons.addWidget(self.progress, 100)
        buttons.addStretch(1)
        self.note = QElidingLabel()
        self.note.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.note.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.note.setContentsMargins(8, 0, 8, 4)

        both = "held out in the accent, trained on in grey; nats a state"
        self.plots = {
            "elbo": CurvePlot("ELBO", f"{tip('ELBO')}: {both}."),
            "reconstruction": CurvePlot("Reconstruction", f"E[ln p(x|z)]: {both}."),
            "kl": CurvePlot("KL, total", f"{tip('KL')}: {both}."),
            "each": CurvePlot("KL per dimension", "One colour a latent dimension; nats, held out."),
            "active": CurvePlot("Active units", tip("active units")),
            "information": CurvePlot("Mutual information", "I(x; z) in nats, on held-out states."),
        }
        curves = QWidget()
        # They have the form's room once they are shown; before, they must not take it.
        curves.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        grid = QGridLayout(curves)
        grid.setContentsMargins(4, 0, 4, 4)
        grid.setSpacing(4)
        for index, plot in enumerate(self.plots.values()):
            grid.addWidget(plot, index // 3, index % 3)
        empty = QLabel(_EMPTY)
        empty.setWordWrap(True)
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        empty.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        empty.setContentsMargins(16, 8, 16, 8)
        self._stack = QStackedLayout()
        self._stack.addWidget(empty)
        self._stack.addWidget(curves)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._form)
        layout.addLayout(buttons)
        layout.addWidget(self.note)
        layout.addLayout(self._stack, 1)

        self.start.clicked.connect(lambda: self._start(False))
        self.resume.clicked.connect(lambda: self._start(True))
        self.pause.clicked.connect(self._toggle_pause)
        self.cancel.clicked.connect(self.cancelRequested)
        session.modelChanged.connect(self._refresh)
        self._refresh()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the form the height that its lines take at this width."""
        super().resizeEvent(event)
        self._fit_form()

    def event(self, event: QEvent) -> bool:
        """Do the same when fields have become wider: another font, or a model of more layers."""
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._fit_form()
        return done

    def _fit_form(self) -> None:
        flow = self._form.layout()
        if flow is not None:
            self._form.setMinimumHeight(flow.heightForWidth(self.width()))

    # --- what the window tells it ---------------------------------------------------------------

    def queries(self) -> tuple[Query, ...]:
        """Nothing: what it shows comes from a job."""
        return ()

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw nothing of a snapshot."""

    def caption(self) -> str:
        """The stage, and the last epoch."""
        if self.stage == "idle":
            return ""
        return f"{self.stage} · epoch {self.epochs[-1].number if self.epochs else 0}"

    def set_progress(self, text: str, fraction: float | None, epoch: EpochLike | None) -> None:
        """Take a step of the job: what it does, how far it is, and a point of each curve."""
        if self.stage not in ("running", "paused"):
            return
        self.note.setText(text)
        self.progress.setValue(round(1000 * (fraction or 0.0)))
        if epoch is not None:
            self.epochs.append(epoch)
            self._draw()

    def end(self, stage: Stage, sentence: str) -> None:
        """Take how it ended, in a sentence."""
        self.stage = stage
        self.note.setText(sentence)
        self.note.setToolTip(sentence)
        self._refresh()

    def choice(self, resume: bool = False) -> TrainingChoice | None:
        """What is chosen now; None where no model is there."""
        model = self.session.model
        if model is None:
            return None
        layer = self.layer.value()
        return TrainingChoice(
            model=model.name,
            layer=self.session.layer if layer == FOLLOW else layer,
            states=self.states.currentData(),
            corpus=self._corpus,
            settings={
                "latent": self.latent.value(),
                "beta": self.beta.value(),
                "warm_up": self.warm_up.value(),
                "free_bits": self.free_bits.value(),
                "hidden": self.hidden.value(),
                "epochs": self.epoch_count.value(),
                "seed": self.seed.value(),
            },
            resume=resume,
        )

    def set_corpus(self, paths: Sequence[Path]) -> None:
        """Train on these files or folders."""
        if paths:
            self._corpus = tuple(paths)
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            self._offer_corpus(f"{paths[0].name}{more}")

    # --- inside ---------------------------------------------------------------------------------

    def _show_own(self) -> None:
        """Fit what nobody has changed to the kind of states."""
        before, self._kind = self._kind, self.states.currentData()
        fields = (self.latent, self.epoch_count)
        for field, old, new in zip(fields, _OWN[before], _OWN[self._kind], strict=True):
            if field.value() == old:
                field.setValue(new)

    def _start(self, resume: bool) -> None:
        choice = self.choice(resume)
        if choice is None:
            return
        self.epochs = []
        self._draw()
        self.stage = "running"
        self.note.setText("Starting …")
        self.progress.setValue(0)
        self._refresh()
        self.startRequested.emit(choice)

    def _toggle_pause(self) -> None:
        rests = self.stage == "running"
        self.stage = "paused" if rests else "running"
        self._refresh()
        self.pauseRequested.emit(rests)

    def _refresh(self) -> None:
        busy = self.stage in ("running", "paused")
        model = self.session.model
        self.layer.setMaximum(model.layers if model is not None else 0)
        self._form.setEnabled(not busy)
        self._form.setVisible(not busy)  # its room is the curves' now
        self.start.setVisible(not busy)
        self.start.setEnabled(model is not None)
        self.resume.setVisible(not busy)
        self.resume.setEnabled(model is not None)
        self.pause.setVisible(busy)
        self.pause.setText("Resume" if self.stage == "paused" else "Pause")
        self.cancel.setVisible(busy)
        self.progress.setVisible(busy)
        self.note.setVisible(self.stage != "idle")
        self._stack.setCurrentIndex(int(self.stage != "idle"))

    def _draw(self) -> None:
        epochs = self.epochs
        for key in ("elbo", "reconstruction", "kl"):
            both = (
                Curve("trained", "train", tuple(getattr(e.train, key) for e in epochs)),
                Curve("held out", "held", tuple(getattr(e.choose, key) for e in epochs)),
            )
            self.plots[key].set_curves(both)
        width = len(epochs[0].kl_per_dimension) if epochs else 0
        self.plots["each"].set_curves(
            [
                Curve(f"z{d + 1}", d, tuple(e.kl_per_dimension[d] for e in epochs))
                for d in range(width)
            ]
        )
        active = tuple(float(e.active_units) for e in epochs)
        self.plots["active"].set_curves([Curve("held out", "held", active)])
        shared = tuple(e.mutual_information for e in epochs)
        self.plots["information"].set_curves([Curve("held out", "held", shared)])

    def _offer_corpus(self, shown: str) -> None:
        self.corpus.clear()
        self.corpus.addItem(shown, "shown")
        if self._corpus != (SAMPLES,):
            self.corpus.addItem("the program's samples", "samples")
        self.corpus.addItem("files …", "files")
        self.corpus.addItem("a folder …", "folder")

    def _choose_corpus(self) -> None:
        what = self.corpus.currentData()
        self.corpus.setCurrentIndex(0)
        if what == "samples":
            self._corpus = (SAMPLES,)
            self._offer_corpus("the program's samples")
        elif what in ("files", "folder"):
            dialog = QFileDialog(self, "Train on")
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            files = what == "files"
            mode = QFileDialog.FileMode
            dialog.setFileMode(mode.ExistingFiles if files else mode.Directory)
            if files:
                dialog.setNameFilter("Texts and tables (*.txt *.md *.csv *.tsv *.jsonl)")
            dialog.filesSelected.connect(lambda names: self.set_corpus([Path(n) for n in names]))
            dialog.open()

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(200, 140)


def _named(name: str, field: QWidget) -> QWidget:
    pair = QWidget()
    label = QLabel(name)
    label.setFont(theme.ui_font(theme.SMALL))
    label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
    label.setBuddy(field)
    layout = QHBoxLayout(pair)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    layout.addWidget(label)
    layout.addWidget(field)
    return pair


def _dressed(field: QWidget, name: str, about: str) -> None:
    field.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
    field.setAccessibleName(name)
    field.setToolTip(f"<p>{about}</p>")


def _spin(name: str, value: int, low: int, high: int, about: str) -> QSpinBox:
    field = QSpinBox()
    field.setRange(low, high)
    field.setValue(value)
    _dressed(field, name, about)
    return field


def _decimal(name: str, value: float, high: float, about: str) -> QDoubleSpinBox:
    field = QDoubleSpinBox()
    field.setRange(0.0, high)
    field.setSingleStep(0.1)
    field.setValue(value)
    _dressed(field, name, about)
    return field


def _combo(name: str, about: str) -> QComboBox:
    field = QComboBox()
    _dressed(field, name, about)
    return field


def _button(text: str, about: str) -> QPushButton:
    button = QPushButton(text)
    button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    _dressed(button, text, about)
    return button


VIEW = ViewSpec(
    key="training",
    title="Training",
    about=(
        "Trains a β-VAE on the states of one layer: it maximises E_q[ln p(x|z)] − "
        "β·KL(q(z|x) ‖ N(0, I)). Curves are in nats a standardised state, an epoch a point."
    ),
    empty=_EMPTY,
    needs=frozenset(),
    shortcut="Ctrl+7",
    area="right",
    order=4,
    create=TrainingView,
    tab="latent",
    shown=False,
)
