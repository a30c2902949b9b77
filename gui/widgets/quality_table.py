"""How good a picture is, in a small table beside the same of PCA."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from gui import theme
from gui.glossary import tip
from gui.qualities import MEASURES, Column


class QualityTable(QWidget):
    """A row for each measure, and columns in pairs of a picture's fitted and held-out points."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Quality of the picture")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(8, 0, 8, 4)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(0)
        self._shown: list[QLabel] = []
        self.columns: tuple[Column, ...] = ()

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show these, left to right; neighbours of one picture share its name above them."""
        for label in self._shown:
            self._grid.removeWidget(label)
            label.hide()
            label.deleteLater()
        self.columns, self._shown = tuple(columns), []
        for row, name in enumerate(MEASURES, start=2):
            self._put(name, row, 0, tip(name), muted=True)
        for at, column in enumerate(self.columns, start=1):
            first = at == 1 or self.columns[at - 2].picture != column.picture
            if first:
                wide = sum(one.picture == column.picture for one in self.columns)
                self._put(column.picture, 0, at, "", muted=False, wide=wide)
            self._put(column.points, 1, at, f"<p>{column.about}</p>", muted=True)
            for row, name in enumerate(MEASURES):
                about = f"{tip(name)}<p>{column.about}</p>"
                self._put(column.said(row), row + 2, at, about, muted=False)
        self.setAccessibleDescription(
            "; ".join(
                f"{column.picture}, {column.points}: "
                + ", ".join(f"{name} {column.said(row)}" for row, name in enumerate(MEASURES))
                for column in self.columns
            )
        )
        self.adjustSize()

    def cell(self, row: int, column: int) -> str:
        """What is written in a row (0 and 1 are the heads) and column (0 has the names)."""
        item = self._grid.itemAtPosition(row, column)
        label = item.widget() if item is not None else None
        return label.text() if isinstance(label, QLabel) else ""

    def _put(
        self, text: str, row: int, column: int, about: str, *, muted: bool, wide: int = 1
    ) -> None:
        label = QLabel(text)
        label.setFont(theme.tabular(theme.ui_font(theme.SMALL, bold=row == 0)))
        if muted:
            label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        label.setToolTip(about)
        level = Qt.AlignmentFlag.AlignLeft if not column else Qt.AlignmentFlag.AlignRight
        if wide > 1:
            level = Qt.AlignmentFlag.AlignHCenter
        self._grid.addWidget(label, row, column, 1, wide, level)
        self._shown.append(label)
