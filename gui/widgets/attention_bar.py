"""The line of controls that says which attention is shown, and how."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QHBoxLayout,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QWidget,
)
from superqt import QFlowLayout

from engine.types import Stack
from gui import theme
from gui.glossary import tip
from gui.session import Scaling, Session

Picture = Literal["map", "lines"]

_STACKS: dict[Stack, str] = {"encoder": "encoder", "decoder": "decoder", "cross": "cross"}
_SCALINGS: dict[Scaling, str] = {"linear": "linear", "log": "log", "row": "per row"}


_SWITCH = """
QToolButton { border: 1px solid palette(mid); border-radius: 4px; padding: 2px 4px; }
QToolButton:checked { background: palette(mid); }
QToolButton:focus { border-color: palette(highlight); }
"""
"""A border, so that a switch which is off still looks like one."""


class Stepper(QSpinBox):
    """A number with a name before it, stepped by keys, wheel or its arrows."""

    def __init__(self, name: str, explanation: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPrefix(f"{name} ")
        self.setAccessibleName(name)
        self.setToolTip(explanation)
        self.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.setKeyboardTracking(False)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Step, but leave keys with Alt to the view, which has a meaning for them."""
        if event.modifiers() & Qt.KeyboardModifier.AltModifier:
            event.ignore()
        else:
            super().keyPressEvent(event)


class AttentionBar(QWidget):
    """Pickers for layer, head, stack and scaling, bound to a session; and the picture's switch.

    Parameters
    ----------
    session : Session
        What the pickers show and set.
    """

    pictureChanged = Signal(str)
    """``"map"`` or ``"lines"``."""

    zoomChanged = Signal()
    """Which axes are zoomed to the pinned range."""

    firstKeyChanged = Signal(bool)
    """Whether the first key is left out of the colour scale."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.layer = Stepper("layer", tip("layer") + "<p>Alt+Up and Alt+Down step it.</p>")
        self.head = Stepper(
            "head", tip("head") + tip("mean over heads") + "<p>Alt+Left and Alt+Right step it.</p>"
        )
        self.head.setMinimum(-1)
        self.head.setSpecialValueText("head mean")
        self.scaling = self._choice("Colour scale", tip("row scaling") + tip("log scaling"))
        for scaling, text in _SCALINGS.items():
            self.scaling.addItem(text, scaling)
        self.stack = self._choice("Stack", tip("cross-attention"))
        self.map_button = self._switch("Map", "Queries downwards, keys across, weights as colours.")
        self.lines_button = self._switch(
            "Lines", "Queries at the left, keys at the right, weights as the lines' opacity."
        )
        self.map_button.setChecked(True)
        self._pictures = QButtonGroup(self)
        pair = QWidget()
        pair_layout = QHBoxLayout(pair)
        pair_layout.setContentsMargins(0, 0, 0, 0)
        pair_layout.setSpacing(0)
        for button in (self.map_button, self.lines_button):
            self._pictures.addButton(button)
            pair_layout.addWidget(button)
        self.first_key = self._switch(
            "first key off scale",
            tip("first-token sink") + "<p>Leave the first key out of the colour scale. Its column "
            "stays, and no number changes: only the range of colours is that of the others.</p>",
        )
        self.first_key.setAccessibleName("Leave the first key out of the colour scale")
        self.zoom_queries = self._switch(
            "range: queries", "Zoom the rows to the pinned range of tokens; off shows all queries."
        )
        self.zoom_keys = self._switch(
            "keys", "Zoom the columns to the pinned range of tokens; off shows all keys."
        )
        self.unpin = self._switch("unpin", "Lift the pinned range in every view (Alt+Shift+R).")
        self.unpin.setCheckable(False)
        self._range_buttons = (self.zoom_queries, self.zoom_keys, self.unpin)
        for button, name in zip(
            self._range_buttons,
            ("Zoom queries to the range", "Zoom keys to the range", "Unpin range"),
            strict=True,
        ):
            button.setAccessibleName(name)
            button.setChecked(True)
            button.toggled.connect(self.zoomChanged)
            button.hide()
        self.unpin.clicked.connect(lambda: session.pin_range(None))
        # A line that breaks where a narrow panel ends.
        self._flow = QFlowLayout(self)
        self._flow.setContentsMargins(8, 4, 8, 4)
        self._flow.setHorizontalSpacing(8)
        self._flow.setVerticalSpacing(4)
        for widget in (self.layer, self.head, pair, self.scaling, self.first_key):
            self._flow.addWidget(widget)

        self.layer.valueChanged.connect(session.set_layer)
        self.head.valueChanged.connect(lambda head: session.set_head(head if head >= 0 else None))
        self.scaling.activated.connect(lambda _: session.set_scaling(self.scaling.currentData()))
        self.stack.activated.connect(lambda _: session.set_stack(self.stack.currentData()))
        self._pictures.buttonToggled.connect(self._picture_toggled)
        self.first_key.toggled.connect(self.firstKeyChanged)
        for signal in (
            session.modelChanged,
            session.layerChanged,
            session.headChanged,
            session.stackChanged,
            session.scalingChanged,
            session.rangeChanged,
        ):
            signal.connect(self.refresh)
        self.refresh()

    @property
    def picture(self) -> Picture:
        """Which picture is chosen."""
        return "lines" if self.lines_button.isChecked() else "map"

    def refresh(self) -> None:
        """Show what the session says, without setting anything."""
        session = self.session
        for stepper, least, most, value in (
            (self.layer, 0, max(0, session.depth - 1), session.block),
            (
                self.head,
                -1,
                max(-1, session.heads - 1),
                -1 if session.head is None else session.head,
            ),
        ):
            blocked = stepper.blockSignals(True)
            if (stepper.minimum(), stepper.maximum()) != (least, most):
                stepper.setRange(least, most)  # Qt lays the panel out again whatever is set
            stepper.setValue(value)
            stepper.blockSignals(blocked)
        self.scaling.setCurrentIndex(self.scaling.findData(session.scaling))
        stacks = session.model.stacks if session.model else ()
        if [self.stack.itemData(i) for i in range(self.stack.count())] != list(stacks):
            self.stack.clear()
            for stack in stacks:
                self.stack.addItem(_STACKS[stack], stack)
        self.stack.setCurrentIndex(self.stack.findData(session.shown_stack))
        # A hidden widget would keep its gap in a flow layout.
        self._offer(self.stack, len(stacks) > 1)
        for button in self._range_buttons:
            self._offer(button, session.range is not None)

    def _offer(self, control: QWidget, there: bool) -> None:
        placed = self._flow.indexOf(control) >= 0
        if there and not placed:
            self._flow.addWidget(control)
        elif placed and not there:
            self._flow.removeWidget(control)
        control.setVisible(there)

    def _picture_toggled(self, _button: QToolButton, on: bool) -> None:
        if on:
            self.pictureChanged.emit(self.picture)

    def _choice(self, name: str, explanation: str) -> QComboBox:
        made = QComboBox(self)
        made.setAccessibleName(name)
        made.setToolTip(explanation)
        made.setFont(theme.ui_font(theme.SMALL))
        made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        return made

    def _switch(self, text: str, explanation: str) -> QToolButton:
        made = QToolButton(self)
        made.setText(text)
        made.setCheckable(True)
        made.setFont(theme.ui_font(theme.SMALL))
        made.setAccessibleName(f"Attention as {text.lower()}")
        made.setToolTip(explanation)
        made.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        made.setStyleSheet(_SWITCH)
        return made

    def minimumSizeHint(self) -> QSize:
        """Ask for the width of the widest control only; the rest breaks into lines."""
        return QSize(self._flow.minimumSize().width(), 24)
