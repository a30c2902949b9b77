"""Ties the desk below the latent map, where sentences are written from points, to its job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.latent.draft_values import SentencesWritten
from engine.types import JobDone
from gui.onejob import OneJob
from gui.views.latent import LatentView

if TYPE_CHECKING:
    from gui.window import MainWindow


class Drafter(OneJob):
    """Starts the writing that is asked for and shows what comes of it; one at a time.

    Parameters
    ----------
    window : MainWindow
        Whose latent space and bridge they are.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        view = window.panels["latent"].view
        assert isinstance(view, LatentView)
        self._desk = view.desk
        self._desk.startRequested.connect(self._start)
        self._desk.stopRequested.connect(lambda: self._stop("Stopped."))
        window.session.modelChanged.connect(self._forget)

    def fail(self, sentence: str) -> None:
        """Say it at the desk."""
        self._desk.end(sentence)

    def _start(self) -> None:
        self._stop("")
        self._desk.begin()
        self.job = self._window.bridge.write_sentences(self._desk.wish)

    def _stop(self, sentence: str) -> None:
        if self.let_go():
            self._desk.end(sentence)

    def _forget(self) -> None:
        self._stop("")
        self._desk.forget()

    def finish(self, done: JobDone) -> None:
        """Show what came of it."""
        if isinstance(done.value, SentencesWritten):
            self._desk.show_lines(done.value.lines, done.value.note, done.value.figures)
        else:
            self._desk.end("Stopped." if done.cancelled else "")
