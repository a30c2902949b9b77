"""Ties the desk below the latent map, where sentences are written from points, to its job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from engine.latent.draft_values import SentencesWritten
from engine.types import Failure, JobDone
from gui.views.latent import LatentView

if TYPE_CHECKING:
    from gui.window import MainWindow


class Drafter(QObject):
    """Starts the writing that is asked for and shows what comes of it; one at a time.

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
        self._desk = view.desk
        self._desk.startRequested.connect(self._start)
        self._desk.stopRequested.connect(lambda: self._stop("Stopped."))
        window.bridge.jobFinished.connect(self._on_finished)
        window.session.modelChanged.connect(self._forget)

    def owns(self, failure: Failure) -> bool:
        """Show `failure` at the desk if it is of this writing."""
        if not self._job or failure.job != self._job:
            return False
        self._job = ""
        self._desk.end(failure.sentence)
        return True

    def _start(self) -> None:
        self._stop("")
        self._desk.begin()
        self._job = self._window.bridge.write_sentences(self._desk.wish)

    def _stop(self, sentence: str) -> None:
        job, self._job = self._job, ""
        if job:
            self._window.bridge.cancel_job(job)
            self._desk.end(sentence)

    def _forget(self) -> None:
        self._stop("")
        self._desk.forget()

    def _on_finished(self, done: JobDone) -> None:
        if not self._job or done.job != self._job:
            return
        self._job = ""
        if isinstance(done.value, SentencesWritten):
            self._desk.show_lines(done.value.lines, done.value.note, done.value.figures)
        else:
            self._desk.end("Stopped." if done.cancelled else "")
