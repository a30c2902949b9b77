"""Ties "what does it say next?" beside the latent map to the engine's job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from engine.latent.values import Written
from engine.types import Failure, JobDone, Progress
from gui.views.latent import LatentView
from gui.writing import WritingChoice

if TYPE_CHECKING:
    from gui.window import MainWindow


class Writer(QObject):
    """Starts the writing that is asked for and shows it as it grows; one at a time.

    What changes the text that is read, or the model, ends it.

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
        self._decoding, self._panel = view.decoding, view.decoding.writing
        self._panel.startRequested.connect(self._start)
        self._panel.stopRequested.connect(lambda: self._stop("Stopped."))
        window.bridge.progressed.connect(self._on_progress)
        window.bridge.jobFinished.connect(self._on_finished)
        session = window.session
        for signal in (
            session.textChanged,
            session.targetChanged,
            session.chatChanged,
            session.modelChanged,
        ):
            signal.connect(self._outdate)

    def owns(self, failure: Failure) -> bool:
        """Show `failure` beside the map if it is of this writing."""
        if not self._job or failure.job != self._job:
            return False
        self._job = ""
        self._panel.end(failure.sentence)
        return True

    def _start(self) -> None:
        self._stop("")
        source = self._decoding.source
        if source is None:
            return
        choice = WritingChoice(
            request=self._window.controller.request(()),
            layer=source.layer,
            point=source.point,
            position=source.position,
            temperature=self._panel.temperature.value(),
            seed=self._panel.seed.value(),
        )
        self._panel.begin(source.where, source.before)
        self._job = self._window.bridge.write_on(choice)

    def _stop(self, sentence: str) -> None:
        job, self._job = self._job, ""
        if job:
            self._window.bridge.cancel_job(job)
            self._panel.end(sentence)

    def _outdate(self) -> None:
        self._stop("")
        self._panel.outdate()

    def _on_progress(self, progress: Progress) -> None:
        if self._job and progress.job == self._job and isinstance(progress, Written):
            self._panel.take(progress)

    def _on_finished(self, done: JobDone) -> None:
        if self._job and done.job == self._job:
            self._job = ""
            self._panel.end("Stopped." if done.cancelled else "")
