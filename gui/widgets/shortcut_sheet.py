"""The sheet of all shortcuts, made from the table of actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QKeySequence, QPalette
from PySide6.QtWidgets import (
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from gui import theme


class ShortcutSheet(QDialog):
    """All shortcuts by menu, in two columns; it may stay open while one works.

    Parameters
    ----------
    groups : mapping of str to sequence of (str, str)
        By menu: pairs of a key sequence and what it does.
    """

    def __init__(
        self, groups: Mapping[str, Sequence[tuple[str, str]]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        sheet = QWidget()
        columns = QHBoxLayout(sheet)
        columns.setContentsMargins(24, 16, 24, 24)
        columns.setSpacing(48)
        total = sum(len(lines) + 2 for lines in groups.values())
        column, filled = _column(columns), 0
        for name, lines in groups.items():
            if filled and filled + len(lines) / 2 > total / 2:
                column.addStretch(1)
                column, filled = _column(columns), 0
            column.addWidget(_group(name, lines))
            filled += len(lines) + 2
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setWidget(sheet)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)
        wanted = sheet.sizeHint()
        self.resize(min(wanted.width() + 16, 960), min(wanted.height() + 8, 720))


def _column(columns: QHBoxLayout) -> QVBoxLayout:
    made = QVBoxLayout()
    made.setSpacing(16)
    columns.addLayout(made)
    return made


def _group(name: str, lines: Sequence[tuple[str, str]]) -> QWidget:
    group = QWidget()
    grid = QGridLayout(group)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(16)
    grid.setVerticalSpacing(4)
    title = QLabel(name.upper())
    font = theme.ui_font(theme.SMALL, bold=True)
    font.setLetterSpacing(QFont.SpacingType.AbsoluteSpacing, 0.8)
    title.setFont(font)
    title.setForegroundRole(QPalette.ColorRole.PlaceholderText)
    grid.addWidget(title, 0, 0, 1, 2)
    for row, (keys, text) in enumerate(lines, start=1):
        shown = QLabel(QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText))
        shown.setFont(theme.token_font(theme.NORMAL))
        shown.setMinimumWidth(112)
        grid.addWidget(shown, row, 0)
        grid.addWidget(QLabel(text), row, 1)
    grid.setColumnStretch(1, 1)
    return group
