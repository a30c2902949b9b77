"""What small model to train, and on what."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QSpinBox, QWidget
from superqt import QFlowLayout

from engine.errors import UserError
from gui.laboratory import DEFAULTS, SIZES, TASKS, Arch, LabChoice, texts_for
from gui.session import Session
from gui.widgets import form
from gui.widgets.corpus_choice import CorpusChoice


class LabForm(QWidget):
    """The fields; those that nobody has changed follow the task and the architecture."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.arch = form.combo("Architecture", "What the model is made of: attention, or an LSTM.")
        self.arch.addItem("transformer", "transformer")
        self.arch.addItem("LSTM", "lstm")
        self.task = form.combo("Task", "What it is to learn.")
        for key, (title, about) in TASKS.items():
            self.task.addItem(title, key)
            self.task.setItemData(self.task.count() - 1, about, 3)  # Qt.ItemDataRole.ToolTipRole
        self.sizes = {
            key: form.spin(size.title.capitalize(), size.value, size.low, size.high, size.about)
            for key, size in SIZES.items()
        }
        self.fields: dict[str, QSpinBox] = {
            "layers": form.spin("Layers", 2, 1, 12, "Blocks, or layers of the LSTM."),
            "heads": form.spin("Heads", 4, 1, 32, "Attention heads of each block."),
            "width": form.spin("Width", 64, 2, 1024, "Dimensions of a state; heads share it."),
            "mlp": form.spin(
                "MLP", 0, 0, 4096, "Width of the hidden layer of each block's MLP; none leaves "
                "attention alone.", "none",
            ),
            "steps": form.spin("Steps", 800, 1, 1_000_000, "Updates of the weights."),
            "seed": form.spin("Seed", 0, 0, 2**31 - 1, "The same seed gives the same weights."),
        }  # fmt: skip
        self.texts = CorpusChoice()
        self.says = ""
        self._before: tuple[Arch, str] = ("transformer", "repeat")
        self._flow = QFlowLayout(self)
        self._flow.setContentsMargins(8, 4, 8, 4)
        self._flow.setHorizontalSpacing(8)
        self._flow.setVerticalSpacing(4)
        self._pairs = {
            "arch": form.named("model", self.arch),
            "task": form.named("task", self.task),
            "texts": form.named("texts", self.texts),
            **{f"size-{key}": form.named(SIZES[key].title, one) for key, one in self.sizes.items()},
            **{name: form.named(name, one) for name, one in self.fields.items()},
        }
        for pair in self._pairs.values():
            pair.setParent(self)
        self.arch.currentIndexChanged.connect(lambda _: self._follow())
        self.task.currentIndexChanged.connect(lambda _: self._follow())
        self._follow()

    @property
    def chosen(self) -> tuple[Arch, str]:
        """Architecture and task."""
        return self.arch.currentData(), self.task.currentData()

    def choice(self) -> LabChoice:
        """What is chosen now.

        Raises
        ------
        UserError
            If there is nothing to train on, or heads cannot share the width.
        """
        arch, task = self.chosen
        numbers = {name: one.value() for name, one in self.fields.items() if self._has(name)}
        numbers[SIZES[task].word] = self.sizes[task].value()
        heads, width = numbers.get("heads", 1), numbers["width"]
        if arch == "transformer" and width % (2 * heads):
            raise UserError(
                "Cannot train this model",
                f"a width of {width} cannot be shared out among {heads} heads of even width",
                "Choose a width that twice the number of heads divides",
            )
        corpus = texts_for(self.texts.paths, self.session.text) if task == "text" else ()
        return LabChoice(arch=arch, task=task, numbers=numbers, corpus=corpus)

    def _has(self, name: str) -> bool:
        return self.chosen[0] == "transformer" or name not in ("heads", "mlp")

    def _follow(self) -> None:
        """Fit what nobody has changed to what was chosen, and show the fields that apply."""
        before, self._before = DEFAULTS[self._before], self.chosen
        for name, value in DEFAULTS[self.chosen].items():
            if self.fields[name].value() == before.get(name, self.fields[name].value()):
                self.fields[name].setValue(value)
        _, task = self.chosen
        for key, pair in self._pairs.items():
            shown = self._has(key)
            if key.startswith("size-"):
                shown = key == f"size-{task}"
            elif key == "texts":
                shown = task == "text"
            self._flow.removeWidget(pair)  # what is hidden would leave a gap
            if shown:
                self._flow.addWidget(pair)
            pair.setVisible(shown)
        self.updateGeometry()

    def minimumSizeHint(self) -> QSize:
        """As narrow as a crowded window asks."""
        return QSize(160, 40)
