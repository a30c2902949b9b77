"""Ties the pictures panel of a window to the engine's job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from engine.latent.pictured import PictureResult
from engine.types import Failure, JobDone, Progress
from gui.picturing import PictureChoice
from gui.views.pictures import PicturesView

if TYPE_CHECKING:
    from gui.window import MainWindow


class Picturer(QObject):
    """Starts what the panel asks for and tells it what happens.

    Parameters
    ----------
    window : MainWindow
        Whose panel and bridge they are.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._job = ""
        view = window.panels["pictures"].view
        assert isinstance(view, PicturesView)
        self._view = view
        view.drawRequested.connect(self._start)
        view.cancelRequested.connect(self._cancel)
        window.bridge.progressed.connect(self._on_progress)
        window.bridge.jobFinished.connect(self._on_finished)

    def owns(self, failure: Failure) -> bool:
        """Show `failure` in the panel if it is of this picture."""
        if not self._job or failure.job != self._job:
            return False
        self._job = ""
        self._view.fail(failure.sentence)
        return True

    def _start(self, choice: PictureChoice) -> None:
        self._job = self._window.bridge.draw_picture(choice)

    def _cancel(self) -> None:
        self._window.bridge.cancel_job(self._job)

    def _on_progress(self, progress: Progress) -> None:
        if self._job and progress.job == self._job:
            self._view.set_progress(progress.text, progress.fraction)

    def _on_finished(self, done: JobDone) -> None:
        if not self._job or done.job != self._job:
            return
        self._job = ""
        if isinstance(done.value, PictureResult):
            self._view.take(done.value)
        else:
            self._view.fail("Cancelled; nothing was drawn.")
