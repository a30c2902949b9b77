"""Which texts: those that come along, the context, or files and folders of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QWidget

from gui.training import SAMPLES
from gui.widgets import form

_ABOUT = (
    "Which texts the states are of. Plain texts are labelled with the name of their file or "
    "subfolder, rows of a table (CSV, TSV, JSONL) by a column."
)


class CorpusChoice(QComboBox):
    """Texts to choose from, by a list of which the last two open a dialog.

    Attributes
    ----------
    paths : tuple of Path
        Files and folders; empty for the context.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        form.dressed(self, "Texts", _ABOUT)
        self.paths: tuple[Path, ...] = (SAMPLES,)
        self._own: tuple[Path, ...] = ()
        self._offer()
        self.activated.connect(lambda _: self._choose(self.currentData()))

    def set_paths(self, paths: Sequence[Path]) -> None:
        """Choose these files or folders; none is the context."""
        self.paths = tuple(paths)
        if self.paths not in ((), (SAMPLES,)):
            self._own = self.paths
        self._offer()
        self.changed.emit()

    def _offer(self) -> None:
        self.clear()
        self.addItem("the program's samples", "samples")
        self.addItem("the context", "context")
        if self._own:
            more = f" and {len(self._own) - 1} more" if len(self._own) > 1 else ""
            self.addItem(f"{self._own[0].name}{more}", "own")
        self.addItem("files …", "files")
        self.addItem("a folder …", "folder")
        self._point()

    def _point(self) -> None:
        """Let the list show what is chosen, which a dialog may not have changed."""
        kind = {(): "context", (SAMPLES,): "samples"}.get(self.paths, "own")
        self.setCurrentIndex(self.findData(kind))

    def _choose(self, what: str) -> None:
        if what == "samples":
            self.set_paths((SAMPLES,))
        elif what == "context":
            self.set_paths(())
        elif what == "own":
            self.set_paths(self._own)
        else:
            self._point()
            self._ask(files=what == "files")

    def _ask(self, files: bool) -> None:
        dialog = QFileDialog(self, "States of")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        mode = QFileDialog.FileMode
        dialog.setFileMode(mode.ExistingFiles if files else mode.Directory)
        if files:
            dialog.setNameFilter("Texts and tables (*.txt *.md *.csv *.tsv *.jsonl)")
        dialog.filesSelected.connect(lambda names: self.set_paths([Path(n) for n in names]))
        dialog.open()
