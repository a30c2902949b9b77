"""Ties the pictures panel of a window to the engine's job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.latent.pictured import PictureResult
from engine.types import JobDone, Progress
from gui.onejob import OneJob
from gui.picturing import PictureChoice
from gui.views.pictures import PicturesView

if TYPE_CHECKING:
    from gui.window import MainWindow


class Picturer(OneJob):
    """Starts what the panel asks for and tells it what happens.

    Parameters
    ----------
    window : MainWindow
        Whose panel and bridge they are.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        view = window.panels["pictures"].view
        assert isinstance(view, PicturesView)
        self._view = view
        view.drawRequested.connect(self._start)
        view.cancelRequested.connect(self.cancel)

    def fail(self, sentence: str) -> None:
        """Say it in the panel."""
        self._view.fail(sentence)

    def _start(self, choice: PictureChoice) -> None:
        self.job = self._window.bridge.draw_picture(choice)

    def take(self, progress: Progress) -> None:
        """Show how far it is."""
        self._view.set_progress(progress.text, progress.fraction)

    def finish(self, done: JobDone) -> None:
        """Show what came of it."""
        if isinstance(done.value, PictureResult):
            self._view.take(done.value)
        else:
            self._view.fail("Cancelled; nothing was drawn.")
