"""When the UMAP of a latent space is to be fitted, and what the line above the map says of it.

The engine shows a space's own plane while there is no UMAP of it. Choosing UMAP has it fitted; on
the way to another space it is only offered, so that looking through layers fits nothing.
"""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from engine.types import LatentResult, ModelInfo
from gui.mapping import MapChoice
from gui.widgets.fitting_line import FittingLine

_NONE_YET = (
    "There is no UMAP of this space yet; the map shows the plane the space was trained with."
)


class Bending(QObject):
    """Follows which space is shown and whether UMAP is wanted.

    Attributes
    ----------
    line : FittingLine
        For above the map.
    """

    wanted = Signal(object)
    """A `MapChoice` is to be fitted."""

    unwanted = Signal()
    """Whatever is being fitted is not needed any more."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.line = FittingLine()
        self._shown: MapChoice | None = None
        self._at_once = False
        self._fitting: MapChoice | None = None
        self._said = ""
        self.line.started.connect(self._start)
        self.line.cancelled.connect(self._cancel)

    def choose(self, plane: object) -> None:
        """The user has chosen a plane."""
        self._at_once = plane == "umap"
        self._said = ""
        if not self._at_once:
            self._leave()

    def take(self, result: LatentResult, plane: object, model: ModelInfo) -> None:
        """Take an answer to the wish for a `plane`."""
        at = MapChoice(model.title or model.name, model.fingerprint, result.layer, result.states)
        if at != self._shown:
            self._shown, self._said = at, ""
            self._leave()
        if plane != "umap" or result.plane == "umap" or not result.planes:
            self._at_once = False
            self._leave()
        elif self._fitting is None and self._at_once:
            self._start()
        elif self._fitting is None:
            self.line.offer(self._said or _NONE_YET)

    def fitted(self) -> None:
        """It is there; the next answer shows it."""
        self._fitting = None
        self.line.end()

    def fail(self, sentence: str) -> None:
        """Say why it is not there, and offer it again."""
        self._fitting, self._said = None, sentence
        self.line.offer(sentence)

    def _start(self) -> None:
        if self._shown is not None:
            self._at_once, self._fitting, self._said = False, self._shown, ""
            self.line.begin()
            self.wanted.emit(self._shown)

    def _cancel(self) -> None:
        self.unwanted.emit()
        self.fail("Cancelled; the map shows the plane the space was trained with.")

    def _leave(self) -> None:
        if self._fitting is not None:
            self._fitting = None
            self.unwanted.emit()
        self.line.end()
