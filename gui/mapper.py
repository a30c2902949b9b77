"""Ties the UMAP picture of the latent map to the engine's job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from engine.types import Failure, JobDone, Progress
from gui.mapping import MapChoice, MapMade
from gui.views.latent import LatentView

if TYPE_CHECKING:
    from gui.window import MainWindow


class Mapper(QObject):
    """Starts the fitting that the map asks for and tells it what happens; one at a time.

    Parameters
    ----------
    window : MainWindow
        Whose latent space and bridge they are.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._job = ""
        view = window.panels["latent"].view
        assert isinstance(view, LatentView)
        self._bending = view.bending
        self._bending.wanted.connect(self._start)
        self._bending.unwanted.connect(self._stop)
        window.bridge.progressed.connect(self._on_progress)
        window.bridge.jobFinished.connect(self._on_finished)

    def owns(self, failure: Failure) -> bool:
        """Show `failure` above the map if it is of this fitting."""
        if not self._job or failure.job != self._job:
            return False
        self._job = ""
        self._bending.fail(failure.sentence)
        return True

    def _start(self, choice: MapChoice) -> None:
        self._stop()
        self._job = self._window.bridge.fit_map(choice)

    def _stop(self) -> None:
        job, self._job = self._job, ""
        if job:
            self._window.bridge.cancel_job(job)

    def _on_progress(self, progress: Progress) -> None:
        if self._job and progress.job == self._job:
            self._bending.line.set_progress(progress.text, progress.fraction)

    def _on_finished(self, done: JobDone) -> None:
        if not self._job or done.job != self._job:
            return
        self._job = ""
        if not isinstance(done.value, MapMade):
            self._bending.fail("Cancelled; the map shows the plane the space was trained with.")
            return
        if done.value.remark:
            self._window.say(f"{done.value.remark} The picture is shown until the program ends.")
        self._bending.fitted()
        self._window.controller.ask_again()
