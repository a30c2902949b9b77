"""What to measure: the fields of each study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QFileDialog, QWidget
from superqt import QFlowLayout

from engine.errors import UserError
from engine.tasks.taskfile import Task, read_task, tasks
from gui.session import Session
from gui.studying import StudyChoice, StudyKind
from gui.widgets import form
from gui.widgets.corpus_choice import CorpusChoice

FIT = "0, 1, 2, 4 … as many as fit"
_SHOTS = ("0, 1, 2, 4, 8", FIT)
_OWN = "own file …"
_FIRST = "capitals"
_TEXTS = {"position": 32, "heads": 8}


class StudyForm(QWidget):
    """Fields, of which those of the chosen study are shown.

    Signals
    -------
    told(str)
        Why a file cannot be used, in a sentence.
    """

    told = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.kind: StudyKind = "kshot"
        self._tasks: list[Task] = []
        self._at = 0
        self.task = form.combo(
            "Task", "What the model is to do, told by examples. A task is a TOML file; your own "
            "can be opened, see resources/tasks/README.md.",
        )  # fmt: skip
        self.shots = form.combo(
            "Numbers of examples",
            "How many examples stand before each query: numbers from 0 with commas between. As "
            "many as fit: doubled while the prompt fits what the model reads.",
            editable=True,
        )
        self.shots.addItems(list(_SHOTS))
        self.seeds = form.spin("Draws", 3, 1, 50, "Draws of examples and queries; intervals widen "
                               "or narrow with them.")  # fmt: skip
        self.queries = form.spin(
            "Queries", 0, 0, 4096, "Asked in each draw; by default half of the task's examples, at "
            "most 64.", "half",
        )  # fmt: skip
        self.instruction = form.check("instruction", "Begin with a sentence that says what to do.")
        self.shuffled = form.check(
            "shuffled control",
            "The same queries after examples whose answers were drawn by chance: what is left is "
            "what the form of the answers brings (Min et al. 2022, 2202.12837).",
        )
        self.texts = CorpusChoice()
        self.early = form.spin("Early", 50, 1, 100_000, "First position of the in-context learning "
                               "score: loss at the late one less loss at this.")  # fmt: skip
        self.late = form.spin("Late", 500, 2, 100_000, "Second position of the in-context learning "
                              "score; texts must reach it.")  # fmt: skip
        self.around = form.spin(
            "Around", 0, 0, 1000, "Take the mean over as many positions on either side too, which "
            "steadies the score.",
        )  # fmt: skip
        self.most = {
            kind: form.spin("Passages", count, 1, 4096, "Most passages that are read, spread "
                            "evenly over the texts.")
            for kind, count in _TEXTS.items()
        }  # fmt: skip
        self.sequences = form.spin("Sequences", 8, 1, 256, "How many random texts are read.")
        self.period = form.spin(
            "Period", 50, 2, 4096, "Tokens after which the random text of the induction score "
            "repeats itself.",
        )  # fmt: skip
        self.top = form.spin(
            "Heads off", 5, 0, 4096, "How many of the heads that score highest are switched off, "
            "at most half of all; beside them as many others drawn by chance.", "none",
        )  # fmt: skip
        self.ablation = form.combo("Switched off to", "What a head that is off hands on instead.")
        self.ablation.addItem("zero", "zero")
        self.ablation.addItem("its mean", "mean")
        self.seed = form.spin("Seed", 0, 0, 2**31 - 1, "Of the random tokens.")
        self.fresh = form.check(
            "measure anew",
            "Forget what was measured before by these settings. Without it, that is shown at once "
            "and only what is missing is measured.",
        )
        self.instruction.setChecked(True)
        self.shuffled.setChecked(True)
        self._lay_out()
        self.task.activated.connect(self._choose)
        self.choose("kshot")

    def _lay_out(self) -> None:
        flow = self._flow = QFlowLayout(self)
        flow.setContentsMargins(8, 4, 8, 4)
        flow.setHorizontalSpacing(8)
        flow.setVerticalSpacing(4)
        height = self.seeds.sizeHint().height()
        named: tuple[tuple[str, QWidget, str], ...] = (
            ("task", self.task, "kshot"),
            ("k", self.shots, "kshot"),
            ("draws", self.seeds, "kshot"),
            ("queries", self.queries, "kshot"),
            ("", self.instruction, "kshot"),
            ("", self.shuffled, "kshot"),
            ("texts", self.texts, "position heads"),
            ("passages", self.most["position"], "position"),
            ("passages", self.most["heads"], "heads"),
            ("early", self.early, "position heads"),
            ("late", self.late, "position heads"),
            ("around", self.around, "position heads"),
            ("random texts", self.sequences, "heads"),
            ("period", self.period, "heads"),
            ("seed", self.seed, "heads"),
            ("heads off", self.top, "heads"),
            ("set to", self.ablation, "heads"),
            ("", self.fresh, "kshot position heads"),
        )
        self._pairs: list[tuple[QWidget, tuple[str, ...]]] = []
        for name, field, kinds in named:
            pair = form.named(name, field) if name else field
            pair.setMinimumHeight(height)
            pair.setParent(self)
            self._pairs.append((pair, tuple(kinds.split())))

    def choose(self, kind: StudyKind) -> None:
        """Show the fields of a study."""
        self.kind = kind
        for pair, kinds in self._pairs:
            self._flow.removeWidget(pair)  # what is hidden would leave a gap
            if kind in kinds:
                self._flow.addWidget(pair)
            pair.setVisible(kind in kinds)
        self.updateGeometry()

    def fill(self) -> None:
        """Read the tasks; once, when they are wanted first."""
        if self._tasks:
            return
        try:
            self._tasks = list(tasks())
        except UserError as error:
            self.told.emit(error.sentence)
        keys = [task.key for task in self._tasks]
        self._offer(keys.index(_FIRST) if _FIRST in keys else 0)

    @property
    def chosen_task(self) -> Task | None:
        """The task that is chosen; None before they were read."""
        return self._tasks[self._at] if self._at < len(self._tasks) else None

    def open_file(self, name: str) -> None:
        """Offer the task of a file beside those there are."""
        try:
            task = read_task(Path(name))
        except UserError as error:
            self.told.emit(error.sentence)
            return
        self._tasks = [one for one in self._tasks if one.title != task.title] + [task]
        self._offer(len(self._tasks) - 1)

    def problem(self) -> str:
        """Why this cannot be measured, as far as it can be told without trying; one sentence."""
        if self.session.model is None:
            return "No model is loaded yet. Wait a moment."
        if self.kind == "kshot":
            if self.chosen_task is None:
                return "There is no task to study. Open a file of your own."
            if self.numbers() is None:
                return (
                    f"Cannot study “{self.shots.currentText().strip()}”: these are no numbers of "
                    "examples. Write numbers from 0 with commas between, such as 0, 1, 2, 4."
                )
        elif not self.texts.paths and not self.session.text.strip():
            return "Cannot measure the context: it is empty. Type a text, or choose other texts."
        return ""

    def numbers(self) -> tuple[int, ...] | None:
        """The numbers of examples; none where as many as fit are meant, None where there are none.

        They are sorted, each once.
        """
        text = self.shots.currentText().strip()
        if not text or text == FIT:
            return ()
        parts = text.replace(",", " ").replace(";", " ").split()
        if not parts or not all(part.isascii() and part.isdigit() for part in parts):
            return None
        found = tuple(sorted({int(part) for part in parts}))
        return found if found[-1] < 100_000 else None

    def choice(self) -> StudyChoice | None:
        """What is chosen now; None where that cannot be measured."""
        model = self.session.model
        if model is None or self.problem():
            return None
        settings: dict[str, Any] = {}
        looking: dict[str, int] = {}
        task = None
        corpus: tuple[Path, ...] = ()
        if self.kind == "kshot":
            task = self.chosen_task
            settings = {
                "shots": self.numbers(),
                "seeds": self.seeds.value(),
                "queries": self.queries.value() or None,
                "instruction": self.instruction.isChecked(),
                "shuffled": self.shuffled.isChecked(),
            }
        else:
            corpus = self.texts.paths
            looking = {
                "early": self.early.value(),
                "late": self.late.value(),
                "around": self.around.value(),
                "texts": self.most[self.kind].value(),
            }
        if self.kind == "heads":
            settings = {
                "sequences": self.sequences.value(),
                "period": self.period.value(),
                "top": self.top.value(),
                "ablation": self.ablation.currentData(),
                "seed": self.seed.value(),
            }
        return StudyChoice(
            kind=self.kind,
            model=model.name,
            title=model.title,
            fingerprint=model.fingerprint,
            settings=settings,
            task=task,
            corpus=corpus,
            text="" if corpus or self.kind == "kshot" else self.session.text,
            looking=looking,
            fresh=self.fresh.isChecked(),
        )

    def _offer(self, index: int) -> None:
        self.task.clear()
        for task in self._tasks:
            self.task.addItem(task.title)
            self.task.setItemData(self.task.count() - 1, task.about, Qt.ItemDataRole.ToolTipRole)
        self.task.addItem(_OWN)
        self.task.setCurrentIndex(index)
        self._at = index

    def _choose(self, index: int) -> None:
        if index < len(self._tasks):
            self._at = index
            return
        self.task.setCurrentIndex(self._at)
        dialog = QFileDialog(self, "Open a task")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilter("Tasks (*.toml)")
        dialog.fileSelected.connect(self.open_file)
        dialog.open()

    def minimumSizeHint(self) -> QSize:
        """As narrow as a crowded window asks."""
        return QSize(160, 40)
