"""Every query of a k-shot study in a table; a click opens its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QTableView, QWidget

from engine.studies.values import Record
from gui import theme
from gui.widgets.legend import number
from gui.widgets.spans import shortened

Index = QModelIndex | QPersistentModelIndex

_ROW = 20
_QUERY = 90  # characters of a query that are shown

_COLUMNS: tuple[tuple[str, str], ...] = (
    ("", "Whether the answer was right: ✓, or ✗."),
    ("k", "How many examples stood before the query."),
    ("query", "The end of the prompt: what was asked. A click opens the whole prompt."),
    ("right answer", "What the task's file gives as the answer."),
    ("answered", "The likeliest label, or what the model wrote."),
    ("log p", "log p(right answer | prompt) in nats, all of its tokens together."),
    ("draw", "Which draw of examples and queries it belongs to."),
    ("answers", "Whether the examples had their own answers, or ones drawn by chance."),
)
_WIDTHS = (22, 28, 130, 84, 84, 48, 38, 70)
_ASKED = 2
_NOTHING = QModelIndex()


class _Rows(QAbstractTableModel):
    """The records, a row each."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []

    def clear(self) -> None:
        self.beginResetModel()
        self.records = []
        self.endResetModel()

    def add(self, records: Sequence[Record]) -> None:
        if not records:
            return
        count = len(self.records)
        self.beginInsertRows(_NOTHING, count, count + len(records) - 1)
        self.records += records
        self.endInsertRows()

    def rowCount(self, parent: Index = _NOTHING) -> int:
        return 0 if parent.isValid() else len(self.records)

    def columnCount(self, parent: Index = _NOTHING) -> int:
        return 0 if parent.isValid() else len(_COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return _COLUMNS[section][0]
            if role == Qt.ItemDataRole.ToolTipRole:
                return f"<p>{_COLUMNS[section][1]}</p>"
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        one, column = self.records[index.row()], index.column()
        if role == Qt.ItemDataRole.UserRole:  # what is sorted by
            values = (one.right, one.k, asked(one), one.gold, one.predicted, one.gold_logprob)
            return (*values, one.seed, one.shuffled)[column]
        if role == Qt.ItemDataRole.DisplayRole:
            shown = (
                *("✓" if one.right else "✗", str(one.k), shortened(asked(one), _QUERY)),
                *(one.gold, one.predicted, number(one.gold_logprob)),
                *(str(one.seed + 1), "by chance" if one.shuffled else "own"),
            )
            return " ".join(shown[column].split())
        if role == Qt.ItemDataRole.ForegroundRole and column == 0 and not one.right:
            return QColor(theme.current().warn)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (1, 5, 6):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ToolTipRole:
            return _told(one)
        return None


class _Chosen(QSortFilterProxyModel):
    """Those with one k, or wrong ones only."""

    def __init__(self) -> None:
        super().__init__()
        self.k: int | None = None
        self.wrong = False
        self.setSortRole(Qt.ItemDataRole.UserRole)

    def choose(self, k: int | None, wrong: bool) -> None:
        self.beginResetModel()
        self.k, self.wrong = k, wrong
        self.endResetModel()

    def filterAcceptsRow(self, row: int, _parent: Index) -> bool:
        model = self.sourceModel()
        assert isinstance(model, _Rows)
        one = model.records[row]
        return (self.k is None or one.k == self.k) and not (self.wrong and one.right)


class RecordsTable(QTableView):
    """Queries and answers; headers sort, a click or Return opens a prompt."""

    opened = Signal(object)
    """The `Record` that was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows, self._chosen = _Rows(), _Chosen()
        self._rows.setParent(self)
        self._chosen.setParent(self)
        self._chosen.setSourceModel(self._rows)
        self.setModel(self._chosen)
        self.setAccessibleName("Queries of the study")
        self.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.setFrameShape(QTableView.Shape.NoFrame)
        self.setShowGrid(False)
        self.setAlternatingRowColors(True)
        self.setWordWrap(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        header = self.horizontalHeader()
        header.setFont(self.font())
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setMinimumSectionSize(20)
        # The application's sheet gives headers a larger face, and more room.
        header.setStyleSheet(
            f"QHeaderView::section {{ padding: 2px 4px; font-size: {theme.SMALL}px; }}"
        )
        for column, width in enumerate(_WIDTHS):
            header.resizeSection(column, width)
        # In the order of the study until a header is clicked.
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.clicked.connect(self._open)
        self.activated.connect(self._open)

    def clear(self) -> None:
        """Show no queries."""
        self._rows.clear()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the queries what room the other columns leave."""
        super().resizeEvent(event)
        others = sum(_WIDTHS) - _WIDTHS[_ASKED]
        width = max(_WIDTHS[_ASKED], self.viewport().width() - others)
        self.horizontalHeader().resizeSection(_ASKED, width)

    def add(self, records: Sequence[Record]) -> None:
        """Show more queries."""
        self._rows.add(records)

    def choose(self, k: int | None, wrong: bool) -> None:
        """Show those after `k` examples, or after any; with `wrong` only what was not right."""
        self._chosen.choose(k, wrong)

    @property
    def shown(self) -> list[Record]:
        """What is listed, from the top."""
        rows = range(self._chosen.rowCount())
        return [self._record(self._chosen.index(row, 0)) for row in rows]

    def _record(self, index: Index) -> Record:
        return self._rows.records[self._chosen.mapToSource(index).row()]

    def _open(self, index: QModelIndex) -> None:
        if index.isValid():
            self.opened.emit(self._record(index))


def asked(one: Record) -> str:
    """The end of a prompt, where the query stands."""
    return " ".join(one.prompt.rstrip().rsplit("\n\n", 1)[-1].split())


def _told(one: Record) -> str:
    """How likely each answer is, the likeliest first, and what a click does."""
    rows = sorted(one.logprobs, key=lambda entry: -entry[1])[:8]
    lines = [f"log p({answer}) = {number(value)}" for answer, value in rows]
    return "\n".join([shortened(asked(one), 200), *lines, "A click opens the prompt in Context."])
