"""Tasks in the context: examples and a query are written there, and the answer is watched live."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPalette, QShowEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QLabel,
    QScrollArea,
    QSplitter,
    QVBoxLayout,
    QWidget,
)
from superqt import QFlowLayout

from engine.errors import UserError
from engine.tasks.answers import AnswersResult
from engine.tasks.taskfile import Task, read_task, tasks
from engine.types import Query, Snapshot
from gui import prompting, theme
from gui.figures.spec import FigureOptions
from gui.glossary import tip
from gui.prompting import Choice, Prompt
from gui.session import Session
from gui.view import View, ViewSpec
from gui.widgets import form
from gui.widgets.ranking import Ranking

_OWN = "own file …"
_FIRST = "sentiment"  # what is offered first: it has labels, which are easily understood
_EMPTY = (
    "Choose a task and press Fill: k examples and a query are written into the context. What the "
    "model makes of the query is shown here as the text or the examples change."
)
_CHANGED = "The text was changed since; Fill writes the prompt anew, and undo brings yours back."


class TaskView(View):
    """Choose a task, write its prompt, and see each answer's probability and what was looked at."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.prompt: Prompt | None = None  # as it was filled, moved along with the edits
        self._filled = ""
        self._tasks: list[Task] = []  # read when the panel is shown first
        self._at = 0
        self._found: AnswersResult | None = None
        self._told: Prompt | None = None  # what that is the answer to

        self.task = form.combo(
            "Task", "What the model is to do, told by examples. A task is a TOML file; your own "
            "can be opened, see resources/tasks/README.md.",
        )  # fmt: skip
        self.k = form.spin("k", 4, 0, 64, "How many examples stand before the query.")
        self.seed = form.spin(
            "Seed", 0, 0, 9999, "Which examples: 0 takes the first of the file, others draw.",
        )  # fmt: skip
        self.query = form.spin("Query", 1, 1, 64, "Which example of the file is asked.")
        self.instruction = form.check("instruction", "Begin with a sentence that says what to do.")
        self.instruction.setChecked(True)
        self.shuffled = form.check(
            "shuffle answers",
            "Give each example the answer of another one: what is left is what the form of the "
            "answers brings (Min et al. 2022, 2202.12837).",
        )
        self.fill = form.button("Fill", "Write the prompt into the context; undo brings it back.")
        self.next = form.button("Next query", "Ask the next example of the file.")
        self.says = QLabel()
        self.says.setFont(theme.ui_font(theme.SMALL))
        self.says.setWordWrap(True)
        self.says.setTextFormat(Qt.TextFormat.PlainText)
        self.says.setContentsMargins(8, 0, 8, 4)
        self.says.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.says.setAccessibleName("What came of the task")
        self.answers = Ranking(
            "Answers, p(answer | text)",
            "How likely each answer is right after the text: p(first token | text), of all tokens "
            "there are; of answers that begin alike, p of so many tokens as tell them apart. Tasks "
            "without labels hold the right answer against those of the examples.",
            whole=True,
        )
        self.parts = Ranking(
            "Attention",
            "What the text's last token, from which the answer is predicted, gives to each part of "
            f"the prompt: Σ A[last, j] over its tokens. A click pins the part.{tip('attention')}",
            whole=True,
        )
        self.heads = form.combo("Heads", "Whose attention is added up for each part.")
        self.heads.addItem("mean of all heads", "all")
        self.heads.addItem("the head shown", "shown")
        self._lay_out()
        for signal, slot in (
            (self.task.activated, self._choose),
            (self.k.valueChanged, self._refill),
            (self.seed.valueChanged, self._refill),
            (self.query.valueChanged, self._refill),
            (self.instruction.toggled, self._refill),
            (self.shuffled.toggled, self._refill),
            (self.fill.clicked, self._fill),
            (self.next.clicked, self._step),
            (self.heads.currentIndexChanged, self._show),
            (self.parts.chosen, self._pin),
            (session.textChanged, self._follow),
            (session.layerChanged, self._show),
            (session.headChanged, self._show),
        ):
            signal.connect(slot)
        self._clear(_EMPTY)

    def _lay_out(self) -> None:
        controls = QWidget()
        flow = QFlowLayout(controls)
        flow.setContentsMargins(8, 4, 8, 4)
        flow.setHorizontalSpacing(8)
        flow.setVerticalSpacing(4)
        for name, field in (
            ("task", self.task),
            ("k", self.k),
            ("seed", self.seed),
            ("query", self.query),
        ):
            flow.addWidget(form.named(name, field))
        for part in (self.instruction, self.shuffled, self.fill, self.next):
            part.setMinimumHeight(self.k.sizeHint().height())  # in line with the fields
            flow.addWidget(part)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(form.named("attention of", self.heads), 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(_scrolling(self.parts), 1)
        self._lists = QSplitter(Qt.Orientation.Horizontal)
        self._lists.setChildrenCollapsible(False)
        self._lists.addWidget(_scrolling(self.answers))
        self._lists.addWidget(right)
        self._lists.setSizes([400, 600])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(controls)
        layout.addWidget(self.says)
        layout.addWidget(self._lists, 1)

    # --- question, answer, name ------------------------------------------------------------------

    @property
    def chosen(self) -> Task | None:
        """The task that is chosen; None before there are any."""
        return self._tasks[self._at] if self._at < len(self._tasks) else None

    def choice(self) -> Choice:
        """What the prompt is to be made of."""
        return Choice(
            k=self.k.value(),
            seed=self.seed.value(),
            query=self.query.value() - 1,
            instruction=self.instruction.isChecked(),
            shuffled=self.shuffled.isChecked(),
        )

    def queries(self) -> tuple[Query, ...]:
        """The answers of the prompt that was filled, wherever its parts stand now."""
        return (self.prompt.asked,) if self.prompt is not None else ()

    def figure_options(self) -> FigureOptions:
        """The prompt's answers and parts."""
        options = super().figure_options()
        return options if self.prompt is None else replace(options, prompt=self.prompt)

    def caption(self) -> str:
        """The task, and how many examples are shown."""
        if self.prompt is None or self.chosen is None:
            return ""
        count = sum(part.kind == "example" for part in self.prompt.parts)
        return f"{self.chosen.title} · {count} example" + ("s" if count != 1 else "")

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Show what the model makes of the query."""
        prompt, model = self.prompt, snapshot.model
        if prompt is None:
            self._clear(_EMPTY)
            return
        found = snapshot.results.get(prompt.asked)
        if not isinstance(found, AnswersResult):
            reason = snapshot.refused.get(prompt.asked, "")
            self._clear(f"{model.title} cannot be asked: {reason}." if reason else _EMPTY)
            return
        text = snapshot.request.text
        end = max((token.end for token in snapshot.tokens), default=0)
        if snapshot.notice and end < len(text.rstrip()):
            count = sum(part.kind == "example" for part in prompt.parts)
            self._clear(
                f"{count} examples do not fit: the end of the prompt, with the query, is left out. "
                "Choose a smaller k, or raise Edit ▸ Token limit."
            )
            return
        self._found, self._told = found, prompt
        self._show()

    # --- what is drawn ---------------------------------------------------------------------------

    def _clear(self, sentence: str) -> None:
        self._found = None
        self._say(sentence)
        self.answers.set_rows(())
        self.parts.set_rows(())
        self._lists.setVisible(False)

    def _say(self, sentence: str) -> None:
        self.says.setText(sentence)
        self.says.setAccessibleDescription(sentence)

    def _show(self, *_: object) -> None:
        """Show the answers and the attention that were told last."""
        found, prompt, session = self._found, self._told, self.session
        if found is None or prompt is None:
            return
        self._lists.setVisible(True)
        rows = []
        for index, (text, value) in enumerate(
            zip(prompt.answers, found.probabilities.tolist(), strict=True)
        ):
            right = "✓ " if index == prompt.right else "   "
            rows.append((right + text.strip(), value))
        self.answers.set_rows(rows, "This task has no answers to score; see the next tokens above.")
        place = (session.block, session.head) if self.heads.currentData() == "shown" else None
        shares = prompting.mass(found, place)
        self.parts.set_title(f"Attention of the last token, {self._whose(place)}")
        if shares is None:
            self.parts.set_rows((), "No attention can be seen in this model.")
        else:
            names = [part.name for part in prompt.parts]
            rest = max(0.0, 1.0 - float(shares.sum()))
            lines = [*zip(names, shares.tolist(), strict=True), ("anything else", rest)]
            self.parts.set_rows(lines)
        said = prompting.verdict(found, prompt)
        changed = session.text != self._filled
        self._say(" ".join(filter(None, (said, _CHANGED if changed else ""))))

    def _whose(self, place: tuple[int, int | None] | None) -> str:
        if place is None:
            return "mean of all layers and heads"
        layer, head = place
        return f"layer {layer}, " + ("mean of heads" if head is None else f"head {head}")

    # --- what the user does ----------------------------------------------------------------------

    def _offer(self, index: int) -> None:
        """List the tasks, choosing the one at `index`."""
        self.task.blockSignals(True)
        self.task.clear()
        for task in self._tasks:
            self.task.addItem(task.title)
            self.task.setItemData(self.task.count() - 1, task.about, Qt.ItemDataRole.ToolTipRole)
        self.task.addItem(_OWN)
        self.task.setCurrentIndex(index)
        self.task.blockSignals(False)
        self._at = index
        self._bound()

    def _bound(self) -> None:
        """Bring what can be chosen into what the task has."""
        task = self.chosen
        if task is None:
            return
        for field, low, high in (
            (self.query, 1, len(task.examples)),
            (self.k, 0, prompting.most_examples(task, self.query.value() - 1)),
        ):
            field.blockSignals(True)
            field.setRange(low, high)
            field.blockSignals(False)
        self.instruction.setEnabled(bool(task.instruction))

    def _choose(self, index: int) -> None:
        if index < len(self._tasks):
            self._at = index
            self._bound()
            self._refill()
            return
        self.task.setCurrentIndex(self._at)
        dialog = QFileDialog(self, "Open a task")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilter("Tasks (*.toml)")
        dialog.fileSelected.connect(self.open_file)
        dialog.open()

    def open_file(self, name: str) -> None:
        """Offer the task of a file beside those there are; what is wrong with it is said."""
        try:
            task = read_task(Path(name))
        except UserError as error:
            self._say(error.sentence)
            return
        # The same file read again takes its own place.
        self._tasks = [one for one in self._tasks if one.title != task.title] + [task]
        self._offer(len(self._tasks) - 1)
        self._refill()

    def _refill(self, *_: object) -> None:
        """Write the prompt anew if the text is still the one that was filled."""
        self._bound()
        if self.prompt is not None and self.session.text == self._filled:
            self._fill()
        elif self.prompt is not None:
            self._say(_CHANGED)

    def _fill(self, *_: object) -> None:
        if self.chosen is None:
            return
        prompt = prompting.write(self.chosen, self.choice())
        self.prompt, self._filled = prompt, prompt.text
        self.session.select(None)
        self.session.set_text(prompt.text)
        self.queriesChanged.emit()

    def _step(self, *_: object) -> None:
        """Ask the next example; after the last comes the first."""
        at = self.query.value()
        self.query.setValue(at + 1 if at < self.query.maximum() else 1)
        if self.prompt is None:
            self._fill()

    def _follow(self, text: str) -> None:
        """Let the prompt's parts go along with what is typed; without a text there are none."""
        if self.prompt is None or text == self.prompt.text:
            return
        self.prompt = self.prompt.moved(text) if text.strip() else None
        self.queriesChanged.emit()

    def _pin(self, line: int) -> None:
        """Pin the tokens of a part, which every view then marks."""
        found = self._found
        if found is not None and line < len(found.tokens):
            first, after = found.tokens[line].tolist()
            self.session.pin_range((first, after))

    def showEvent(self, event: QShowEvent) -> None:
        """Read the tasks when they are wanted first."""
        if not self._tasks:
            try:
                self._tasks = list(tasks())
            except UserError as error:
                self._say(error.sentence)
            keys = [task.key for task in self._tasks]
            self._offer(keys.index(_FIRST) if _FIRST in keys else 0)
        super().showEvent(event)

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(240, 140)


def _scrolling(content: QWidget) -> QScrollArea:
    """A frame whose content may be higher than itself."""
    made = QScrollArea()
    made.setFrameShape(QFrame.Shape.NoFrame)
    made.setWidgetResizable(True)
    made.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.setWidget(content)
    return made


VIEW = ViewSpec(
    key="task",
    title="Task",
    about=(
        "k examples of a task and a query in the context: in-context learning. Each answer's bar "
        "is p(its first token | text), or of as many as tell it from the others. Below it the "
        "attention of the last token, from which the answer is predicted, Σ A[last, j] over the "
        "tokens j of each example."
    ),
    empty=_EMPTY,
    needs=frozenset(),
    shortcut="Ctrl+0",
    area="left",
    order=3,
    create=TaskView,
    tab="embedding",
    shown=False,
)
