"""The row of controls below the menus: model, device, layer, head, theme."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPalette, QWheelEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QToolBar,
    QWidget,
)

from gui import glossary, theme
from gui.widgets.goto import GoTo, Target
from gui.widgets.icons import IconButton

OPEN_OTHER = "Open model …"


def devices() -> tuple[str, ...]:
    """What a model can be asked to run on, on this kind of system; the engine knows the rest."""
    return ("auto", "cpu", "mps") if sys.platform == "darwin" else ("auto", "cpu", "cuda")


class Picker(QComboBox):
    """A list to choose from where a stray wheel or arrow key chooses nothing.

    Choosing a model may mean a download, so it takes an open list and a decision.
    """

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave the choice as it is."""
        event.ignore()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Open the list on an arrow key."""
        if event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self.showPopup()
        else:
            super().keyPressEvent(event)


class Stepper(QWidget):
    """A number with an arrow to each side: ``Layer ◂ 10 ▸``.

    Parameters
    ----------
    name : str
        What stands before it.
    tip : str
        What the number means, as rich text.
    all_text : str
        What stands for `None`, one step below 0; empty where there must be a number.
    """

    chosen = Signal(object)
    """The number that the user chose, or None."""

    def __init__(self, name: str, tip: str, all_text: str = "") -> None:
        super().__init__()
        self._lowest = -1 if all_text else 0
        label = QLabel(name)
        label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        label.setToolTip(tip)
        self._box = QSpinBox()
        self._box.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        self._box.setFrame(False)
        self._box.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._box.setFont(theme.tabular(theme.ui_font(theme.NORMAL)))
        self._box.setFixedWidth(48)
        self._box.setSpecialValueText(all_text)
        self._box.setMinimum(self._lowest)
        self._box.setAccessibleName(name)
        self._box.setToolTip(tip)
        label.setBuddy(self._box)
        self._down = IconButton("left", f"{name} down", f"One {name.lower()} down.")
        self._up = IconButton("right", f"{name} up", f"One {name.lower()} up.")
        for button, step in ((self._down, -1), (self._up, 1)):
            button.setAutoRepeat(True)
            button.clicked.connect(lambda _checked=False, step=step: self._box.stepBy(step))
        self._box.valueChanged.connect(self._tell)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.setSpacing(0)
        layout.addWidget(label)
        layout.addSpacing(4)
        layout.addWidget(self._down)
        layout.addWidget(self._box)
        layout.addWidget(self._up)
        self.set_range(self._lowest)

    @property
    def words(self) -> str:
        """What the number reads now."""
        return self._box.text()

    def set_range(self, largest: int) -> None:
        """Let the number go up to `largest`."""
        largest = max(self._lowest, largest)
        if largest == self._box.maximum():
            return  # Qt would lay the whole window out again
        with QSignalBlocker(self._box):
            self._box.setMaximum(largest)
        self._refresh()

    def set_value(self, value: int | None) -> None:
        """Show `value` without telling anyone."""
        with QSignalBlocker(self._box):
            self._box.setValue(self._lowest if value is None else value)
        self._refresh()

    def _tell(self, value: int) -> None:
        self._refresh()
        self.chosen.emit(None if value < 0 else value)

    def _refresh(self) -> None:
        value = self._box.value()
        self._down.setEnabled(value > self._box.minimum())
        self._up.setEnabled(value < self._box.maximum())


class TopBar(QToolBar):
    """Model, device, layer and head, the go-to field, and the switch between dark and light.

    Parameters
    ----------
    targets : callable
        What the go-to field can go to.
    """

    modelChosen = Signal(str)
    openRequested = Signal()
    deviceChosen = Signal(str)
    layerChosen = Signal(object)
    headChosen = Signal(object)
    themeToggled = Signal()

    def __init__(
        self, targets: Callable[[], Sequence[Target]], parent: QWidget | None = None
    ) -> None:
        super().__init__("Controls", parent)
        self.setObjectName("controls")
        self.setMovable(False)
        self.setFloatable(False)
        self.toggleViewAction().setVisible(False)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self._current = ("", "")

        self._model = Picker()
        self._model.setAccessibleName("Model")
        self._model.setToolTip("The model that reads the context; changing it keeps the text.")
        self._model.setMinimumWidth(200)
        self._model.activated.connect(self._pick_model)
        self._device = Picker()
        self._device.setAccessibleName("Device")
        self._device.setToolTip(
            "Where the model runs: auto takes a graphics processor where there is one, else the "
            "processor; changing it keeps the text."
        )
        for device in devices():
            self._device.addItem(device)
        self._device.activated.connect(
            lambda index: self.deviceChosen.emit(self._device.itemText(index))
        )
        self._layer = Stepper("Layer", glossary.tip("layer"))
        self._layer.chosen.connect(self.layerChosen)
        self._head = Stepper(
            "Head", glossary.tip("head") + glossary.tip("mean over heads"), all_text="all"
        )
        self._head.chosen.connect(self.headChosen)
        gap = QWidget()
        gap.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        toggle = IconButton("theme", "Dark or light", "Switch between dark and light colours.")
        toggle.clicked.connect(self.themeToggled)
        self.goto = GoTo(targets)
        controls = (self._model, self._device, self._layer, self._head)
        for widget in (*controls, gap, self.goto, toggle):
            self.addWidget(widget)

    @property
    def layer(self) -> Stepper:
        """The layer's stepper."""
        return self._layer

    @property
    def head(self) -> Stepper:
        """The head's stepper."""
        return self._head

    def set_models(self, models: Sequence[tuple[str, str, str]]) -> None:
        """Offer models, each as (spec, title, one line of text)."""
        self._model.clear()
        for spec, title, text in models:
            self._model.addItem(title, spec)
            self._model.setItemData(self._model.count() - 1, text, Qt.ItemDataRole.ToolTipRole)
        self._model.insertSeparator(self._model.count())
        self._model.addItem(OPEN_OTHER, "")
        self.set_model(*self._current)

    def set_model(self, spec: str, title: str) -> None:
        """Show which model is at work, or which is on its way."""
        self._current = (spec, title)
        if not spec:
            self._model.setCurrentIndex(-1)
            self._model.setPlaceholderText("starting …")
            return
        index = self._model.findData(spec)
        if index < 0:
            self._model.insertItem(0, title, spec)
            index = 0
        self._model.setCurrentIndex(index)

    def set_device(self, device: str) -> None:
        """Show which device was asked for."""
        if self._device.findText(device) < 0:
            self._device.addItem(device)
        self._device.setCurrentText(device)

    def _pick_model(self, index: int) -> None:
        spec = str(self._model.itemData(index) or "")
        self.set_model(*self._current)
        if not spec:
            self.openRequested.emit()
        else:
            self.modelChosen.emit(spec)
