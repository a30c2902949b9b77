"""Ties the UMAP picture of the latent map to the engine's job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.types import JobDone, Progress
from gui.mapping import MapChoice, MapMade
from gui.onejob import OneJob
from gui.views.latent import LatentView

if TYPE_CHECKING:
    from gui.window import MainWindow


class Mapper(OneJob):
    """Starts the fitting that the map asks for and tells it what happens; one at a time.

    Parameters
    ----------
    window : MainWindow
        Whose latent space and bridge they are.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        view = window.panels["latent"].view
        assert isinstance(view, LatentView)
        self._bending = view.bending
        self._bending.wanted.connect(self._start)
        self._bending.unwanted.connect(self._stop)

    def fail(self, sentence: str) -> None:
        """Say it above the map."""
        self._bending.fail(sentence)

    def _start(self, choice: MapChoice) -> None:
        self._stop()
        self.job = self._window.bridge.fit_map(choice)

    def _stop(self) -> None:
        self.let_go()

    def take(self, progress: Progress) -> None:
        """Show how far it is."""
        self._bending.line.set_progress(progress.text, progress.fraction)

    def finish(self, done: JobDone) -> None:
        """Show what came of it."""
        if not isinstance(done.value, MapMade):
            self._bending.fail("Cancelled; the map shows the plane the space was trained with.")
            return
        if done.value.remark:
            self._window.say(f"{done.value.remark} The picture is shown until the program ends.")
        self._bending.fitted()
        self._window.controller.ask_again()
