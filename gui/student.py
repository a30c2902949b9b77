"""Ties the panel of studies of a window to the engine's jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from engine.studies.values import Heads, KShot, Positions
from engine.types import Failure, JobDone, Progress
from gui.studying import StudyChoice
from gui.views.study import StudyView

if TYPE_CHECKING:
    from gui.window import MainWindow


class Student(QObject):
    """Starts the study that is asked for and shows it as it is measured; one at a time.

    Parameters
    ----------
    window : MainWindow
        Whose panel and bridge they are.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._job = ""
        view = window.panels["study"].view
        assert isinstance(view, StudyView)
        self._view = view
        view.startRequested.connect(self._start)
        view.cancelRequested.connect(self._cancel)
        window.bridge.progressed.connect(self._on_progress)
        window.bridge.jobFinished.connect(self._on_finished)

    def owns(self, failure: Failure) -> bool:
        """Show `failure` in the panel if it is of this study."""
        if not self._job or failure.job != self._job:
            return False
        self._job = ""
        self._view.stop(failure.sentence)
        return True

    def _start(self, choice: StudyChoice) -> None:
        self._job = self._window.bridge.study(choice)

    def _cancel(self) -> None:
        self._window.bridge.cancel_job(self._job)

    def _on_progress(self, progress: Progress) -> None:
        if self._job and progress.job == self._job:
            self._view.take(progress)

    def _on_finished(self, done: JobDone) -> None:
        if not self._job or done.job != self._job:
            return
        self._job = ""
        if isinstance(done.value, KShot | Positions | Heads):
            self._view.finish(done.value)
        else:
            self._view.stop("Cancelled; the same study goes on from here when it is started again.")
