"""A form for settings that describe themselves: a field for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QSpinBox, QWidget
from superqt import QFlowLayout

from gui.widgets import form

_EVERY = "0 for all"
"""What the sentence of a number says whose 0 means all there are."""


class ChoiceLike(Protocol):
    """What is read of `engine.latent.projections.spec.Choice`."""

    @property
    def name(self) -> str:
        """The setting's own name."""

    @property
    def title(self) -> str:
        """What it is called."""

    @property
    def says(self) -> str:
        """What it does, in a sentence."""

    @property
    def default(self) -> Any:
        """A number, a word, or a tuple where a label is wanted."""

    @property
    def least(self) -> float | None:
        """The lowest number."""

    @property
    def most(self) -> float | None:
        """The highest number."""

    @property
    def options(self) -> tuple[str, ...]:
        """The words to choose from."""


class SettingsForm(QWidget):
    """Fields for settings, in lines as long as there is room.

    Attributes
    ----------
    fields : dict of str to QWidget
        The field of each setting, by its name.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fields: dict[str, QWidget] = {}
        self._labels: tuple[str, ...] = ()
        self._kept: dict[str, float | int | str] = {}
        self._flow = QFlowLayout(self)
        self._flow.setContentsMargins(0, 0, 0, 0)
        self._flow.setHorizontalSpacing(8)
        self._flow.setVerticalSpacing(4)
        self._pairs: list[QWidget] = []

    def set_choices(self, choices: Sequence[ChoiceLike]) -> None:
        """Show these; a setting that was shown before by the same name keeps its value."""
        self._kept |= self.values()
        for pair in self._pairs:
            self._flow.removeWidget(pair)
            pair.hide()
            pair.deleteLater()
        self.fields = {one.name: self._field(one) for one in choices}
        self._pairs = [
            form.named(one.title[:1].lower() + one.title[1:], self.fields[one.name])
            for one in choices
        ]
        for pair in self._pairs:
            self._flow.addWidget(pair)
        self.updateGeometry()

    def set_labels(self, labels: Sequence[str]) -> None:
        """Offer these where a label is wanted."""
        self._labels = tuple(labels)
        for field in self.fields.values():
            if isinstance(field, QComboBox) and field.isEditable():
                self._offer(field, field.currentText())

    def values(self) -> dict[str, float | int | str]:
        """What is chosen now, by name."""
        found: dict[str, float | int | str] = {}
        for name, field in self.fields.items():
            if isinstance(field, QSpinBox | QDoubleSpinBox):
                found[name] = field.value()
            elif isinstance(field, QComboBox):
                found[name] = field.currentText()
        return found

    def _field(self, one: ChoiceLike) -> QWidget:
        value = self._kept.get(one.name, one.default)
        if isinstance(one.default, tuple):
            made = form.combo(one.title, f"{one.says} A label of the texts.", editable=True)
            self._offer(made, value if isinstance(value, str) else "")
            return made
        if one.options:
            made = form.combo(one.title, one.says)
            made.addItems(list(one.options))
            made.setCurrentText(str(value))
            return made
        if isinstance(one.default, int):
            low, high = int(one.least or 0), int(one.most if one.most is not None else 2**31 - 1)
            every = "all" if _EVERY in one.says else ""
            return form.spin(one.title, int(value), low, high, one.says, every)
        top = one.most if one.most is not None else 1e9
        return form.decimal(one.title, float(value), one.least or 0.0, top, one.says)

    def _offer(self, field: QComboBox, text: str) -> None:
        field.clear()
        field.addItems(list(self._labels))
        field.setCurrentText(text)
