"""The window that asks which model to open; it leaves the rest of the program usable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from gui import theme

NAME = "open model"
"""By which the window finds the dialog for its own model."""


@dataclass(frozen=True, slots=True)
class ModelOffer:
    """A model one can open: what to ask the engine for, and what to tell the user.

    `size` is what is to be fetched in bytes, 0 where nothing is or nobody knows.
    """

    spec: str
    title: str
    about: str = ""
    family: str = ""
    licence: str = ""
    size: int = 0
    at_hand: bool = False


class OpenModel(QDialog):
    """A list of models by name, and a line for anything else.

    Parameters
    ----------
    offers : sequence of ModelOffer
        What stands in the list.
    current : str
        The spec of the model that is open now; its line is selected.
    question : str
        What is asked above the list.
    """

    chosen = Signal(str)
    """The spec of the model to open."""

    def __init__(
        self,
        offers: Sequence[ModelOffer],
        current: str = "",
        parent: QWidget | None = None,
        question: str = "Which model shall read the context?",
    ) -> None:
        super().__init__(parent)
        self.setObjectName(NAME)
        self.setWindowTitle("Open model")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(920, 520)
        heading = QLabel(question)
        heading.setFont(theme.ui_font(theme.LARGE))
        self._list = self._make_list(offers, current)
        hint = QLabel(
            "Or anything else: an id on the Hugging Face hub, a folder with config.json and "
            "model.safetensors, a .gguf file, or word vectors (.vec, .bin, .txt). Nothing is ever "
            "run from a model's own code, and no pickle is read."
        )
        hint.setWordWrap(True)
        hint.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self._line = QLineEdit()
        self._line.setPlaceholderText("owner/name, /path/to/folder or model.gguf")
        self._line.setAccessibleName("Hub id, folder or file")
        self._line.setClearButtonEnabled(True)
        self._open = QPushButton("&Open")
        self._open.setDefault(True)
        self._open.clicked.connect(self._accept_choice)
        self._line.textChanged.connect(self._refresh)
        self._list.itemSelectionChanged.connect(self._refresh)
        self._list.itemActivated.connect(lambda _item, _column: self._accept_choice())
        folder = QPushButton("&Folder …")
        folder.clicked.connect(self._ask_folder)
        file = QPushButton("F&ile …")
        file.clicked.connect(self._ask_file)
        closing = QPushButton("&Close")
        closing.clicked.connect(self.close)

        other = QHBoxLayout()
        other.setSpacing(8)
        for widget in (self._line, folder, file):
            other.addWidget(widget)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addStretch(1)
        buttons.addWidget(closing)
        buttons.addWidget(self._open)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 16, 16, 16)
        layout.setSpacing(8)
        layout.addWidget(heading)
        layout.addWidget(self._list, 1)
        layout.addWidget(hint)
        layout.addLayout(other)
        layout.addSpacing(4)
        layout.addLayout(buttons)
        self._refresh()

    @property
    def choice(self) -> str:
        """What is written in the line, else what is selected in the list."""
        written = self._line.text().strip()
        if written:
            return written
        picked = self._list.selectedItems()
        return str(picked[0].data(0, Qt.ItemDataRole.UserRole)) if picked else ""

    def _make_list(self, offers: Sequence[ModelOffer], current: str) -> QTreeWidget:
        made = QTreeWidget()
        made.setHeaderLabels(["Model", "Family", "To fetch", "Licence", "What it is"])
        made.setRootIsDecorated(False)
        made.setUniformRowHeights(True)
        made.setAllColumnsShowFocus(True)
        made.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        made.setAccessibleName("Models")
        for offer in offers:
            line = QTreeWidgetItem(
                [offer.title, offer.family, _to_fetch(offer), offer.licence, offer.about]
            )
            line.setData(0, Qt.ItemDataRole.UserRole, offer.spec)
            line.setToolTip(4, offer.about)
            line.setTextAlignment(2, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            made.addTopLevelItem(line)
            if offer.spec == current:
                made.setCurrentItem(line)
        header = made.header()
        header.setStretchLastSection(True)
        for column in range(4):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        return made

    def _refresh(self) -> None:
        self._open.setEnabled(bool(self.choice))

    def _accept_choice(self) -> None:
        if choice := self.choice:
            self.close()
            self.chosen.emit(choice)

    def _ask_folder(self) -> None:
        self._ask(QFileDialog.FileMode.Directory, "Folder of a model", "")

    def _ask_file(self) -> None:
        self._ask(
            QFileDialog.FileMode.ExistingFile,
            "File of a model",
            "Models and vectors (*.gguf *.safetensors *.vec *.bin *.txt);;All files (*)",
        )

    def _ask(self, mode: QFileDialog.FileMode, title: str, kinds: str) -> None:
        dialog = QFileDialog(self, title)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(mode)
        if kinds:
            dialog.setNameFilter(kinds)
        dialog.fileSelected.connect(self._line.setText)
        dialog.open()


def _to_fetch(offer: ModelOffer) -> str:
    if offer.at_hand:
        return "at hand"
    if not offer.size:
        return "?"
    megabytes = offer.size / 1e6
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
