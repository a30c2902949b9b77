"""The fields of a form: small, named, explained by a tooltip."""

from __future__ import annotations

from PySide6.QtGui import QPalette
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QWidget,
)

from gui import theme


def named(name: str, field: QWidget) -> QWidget:
    """A field with its name before it."""
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


def dressed(field: QWidget, name: str, about: str) -> None:
    """Give a field the small face, a name for those who hear it, and a tooltip."""
    field.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
    field.setAccessibleName(name)
    field.setToolTip(f"<p>{about}</p>")


def spin(name: str, value: int, low: int, high: int, about: str, least: str = "") -> QSpinBox:
    """A whole number; where it is at its lowest, `least` is written if given."""
    field = QSpinBox()
    field.setRange(low, high)
    field.setSpecialValueText(least)
    field.setGroupSeparatorShown(True)
    field.setValue(value)
    dressed(field, name, about)
    return field


def decimal(name: str, value: float, low: float, high: float, about: str) -> QDoubleSpinBox:
    """A number with two digits after the point."""
    field = QDoubleSpinBox()
    field.setRange(low, high)
    field.setSingleStep(0.05 if high <= 1 else 1.0)
    field.setValue(value)
    dressed(field, name, about)
    return field


def combo(name: str, about: str, editable: bool = False) -> QComboBox:
    """One of several words; where it is `editable`, any other too."""
    field = QComboBox()
    field.setEditable(editable)
    if editable:
        field.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
    dressed(field, name, about)
    line = field.lineEdit()
    if line is not None:
        line.setFont(field.font())  # the style sheet keeps the list's face from it
    return field


def check(text: str, about: str) -> QCheckBox:
    """A thing to have or not."""
    field = QCheckBox(text)
    dressed(field, text, about)
    return field


def button(text: str, about: str) -> QPushButton:
    """A button."""
    made = QPushButton(text)
    dressed(made, text, about)
    return made
