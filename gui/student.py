"""Ties the panel of studies of a window to the engine's jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.studies.values import Heads, KShot, Positions
from engine.types import JobDone, Progress
from gui.onejob import OneJob
from gui.studying import StudyChoice
from gui.views.study import StudyView

if TYPE_CHECKING:
    from gui.window import MainWindow


class Student(OneJob):
    """Starts the study that is asked for and shows it as it is measured; one at a time.

    Parameters
    ----------
    window : MainWindow
        Whose panel and bridge they are.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        view = window.panels["study"].view
        assert isinstance(view, StudyView)
        self._view = view
        view.startRequested.connect(self._start)
        view.cancelRequested.connect(self.cancel)

    def fail(self, sentence: str) -> None:
        """Say it in the panel."""
        self._view.stop(sentence)

    def _start(self, choice: StudyChoice) -> None:
        self.job = self._window.bridge.study(choice)

    def take(self, progress: Progress) -> None:
        """Show how far it is."""
        self._view.take(progress)

    def finish(self, done: JobDone) -> None:
        """Show what came of it."""
        if isinstance(done.value, KShot | Positions | Heads):
            self._view.finish(done.value)
        else:
            self._view.stop("Cancelled; the same study goes on from here when it is started again.")
