"""Ties the laboratory's panel of a window to the process that trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from gui.lab_process import LabProcess
from gui.views.laboratory import LaboratoryView

if TYPE_CHECKING:
    from gui.window import MainWindow

_DONE = "Trained to the last step; open it in the explorer."
_STOPPED = "Cancelled; Go on resumes it from its last point."


class Laborant(QObject):
    """Starts and ends trainings, and opens what they made.

    Parameters
    ----------
    window : MainWindow
        Whose panel it is, and where models are opened.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.process = LabProcess(self)
        view = window.panels["laboratory"].view
        assert isinstance(view, LaboratoryView)
        self._view = view
        for signal, slot in (
            (view.startRequested, self._start),
            (view.pauseRequested, self.process.pause),
            (view.stopRequested, self.process.stop),
            (view.openRequested, self._open),
            (self.process.pointed, self._take),
            (self.process.told, view.say),
            (self.process.ended, self._end),
        ):
            signal.connect(slot)

    def close(self) -> None:
        """End the training with the window; it goes on from its last point another time."""
        self.process.close()

    def _start(self, words: Sequence[str], _folder: Path) -> None:
        self.process.start(words)

    def _open(self, folder: Path) -> None:
        self._window.open_model(str(folder))

    def _take(self, line: bytes) -> None:
        import msgspec

        from engine.lab.runs import Point

        try:
            point = msgspec.json.decode(line, type=Point)
        except msgspec.DecodeError:
            return  # what a library printed
        self._view.take(point)

    def _end(self, how: str, sentence: str) -> None:
        self._view.end({"done": _DONE, "stopped": _STOPPED}.get(how, sentence))
