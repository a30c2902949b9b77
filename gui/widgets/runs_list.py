"""The runs there are: which are drawn together, which one is looked into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from gui import theme
from gui.widgets.legend import number

if TYPE_CHECKING:
    from engine.lab.runs import Run

MOST = 8
"""Runs that are drawn together, as many as there are colours to tell apart."""

_FOLDER = Qt.ItemDataRole.UserRole
_COLUMNS = ("run", "steps", "held-out loss", "accuracy")


class RunsList(QTreeWidget):
    """A line for each run; a tick draws its curves beside the others'.

    Signals
    -------
    picked()
        Another run is looked into, or others are ticked.
    opened(Path)
        A run was double-clicked.
    """

    picked = Signal()
    opened = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Runs")
        self.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.setColumnCount(len(_COLUMNS))
        self.setHeaderLabels(list(_COLUMNS))
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setStyleSheet(
            f"QHeaderView::section {{ padding: 2px 4px; font-size: {theme.SMALL}px; }}"
            "QTreeView { border: none; } QTreeView::item { padding: 1px; }"
        )
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, width in ((1, 130), (2, 86), (3, 66)):
            header.resizeSection(column, width)
        self.setToolTip(
            "<p>Tick runs to draw their curves over each other; select one to look into its heads. "
            "A double click opens its model in the explorer.</p>"
        )
        self.itemChanged.connect(lambda _item, column: self._changed(column))
        self.currentItemChanged.connect(lambda *_: self.picked.emit())
        self.itemDoubleClicked.connect(self._open)

    @property
    def current(self) -> Path | None:
        """The folder of the run that is looked into."""
        item = self.currentItem()
        return item.data(0, _FOLDER) if item is not None else None

    @property
    def ticked(self) -> tuple[Path, ...]:
        """The folders of the runs that are drawn, the first `MOST` of them."""
        items = (self.topLevelItem(row) for row in range(self.topLevelItemCount()))
        return tuple(
            item.data(0, _FOLDER)
            for item in items
            if item is not None and item.checkState(0) == Qt.CheckState.Checked
        )[:MOST]

    def set_runs(self, runs: Sequence[Run], training: Path | None) -> None:
        """List these; ticks and the current run stay where those runs are still there."""
        ticked, current = set(self.ticked), self.current
        self.blockSignals(True)
        self.clear()
        for run in runs:
            item = QTreeWidgetItem(self)
            item.setData(0, _FOLDER, run.folder)
            item.setToolTip(0, str(run.folder))
            on = run.folder in ticked
            item.setCheckState(0, Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
            for column in (1, 2, 3):
                level = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                item.setTextAlignment(column, level)
            _fill(item, run, run.folder == training)
            if run.folder == current:
                self.setCurrentItem(item)
        self._show_colours()
        self.blockSignals(False)

    def pick(self, folder: Path) -> None:
        """Look into a run, and draw it."""
        for row in range(self.topLevelItemCount()):
            item = self.topLevelItem(row)
            if item is not None and item.data(0, _FOLDER) == folder:
                self.blockSignals(True)
                item.setCheckState(0, Qt.CheckState.Checked)
                self.setCurrentItem(item)
                self._show_colours()
                self.blockSignals(False)
                self.picked.emit()
                return

    def _changed(self, column: int) -> None:
        if column == 0:
            self.blockSignals(True)
            self._show_colours()
            self.blockSignals(False)
            self.picked.emit()

    def _show_colours(self) -> None:
        """Give each run that is drawn the colour of its curve, where there are several."""
        ticked = self.ticked
        for row in range(self.topLevelItemCount()):
            item = self.topLevelItem(row)
            if item is None:
                continue
            folder = item.data(0, _FOLDER)
            icon = QIcon()
            if len(ticked) > 1 and folder in ticked:
                square = QPixmap(10, 10)
                square.fill(QColor(theme.category(ticked.index(folder))))
                icon = QIcon(square)
            item.setIcon(0, icon)

    def _open(self, item: QTreeWidgetItem) -> None:
        self.opened.emit(item.data(0, _FOLDER))


def _fill(item: QTreeWidgetItem, run: Run, training: bool) -> None:
    steps = run.card.settings.steps
    last = run.points[-1] if run.points else None
    done = last.step if last is not None else 0
    state = f"{done:,} of {steps:,}"
    if run.card.ended == "diverged":
        state = f"diverged at {done:,}"
    elif training:
        state += ", training"
    elif run.card.ended != "done":
        state = f"stopped at {state}"
    told = [run.title, state]
    if last is not None:
        told += [number(last.loss), f"{100 * last.accuracy:.0f} %"]
    for column, text in enumerate(told):
        item.setText(column, text)
