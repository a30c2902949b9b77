"""Ties "what does it say next?" beside the latent map to the engine's job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.latent.values import Written
from engine.types import JobDone, Progress
from gui.onejob import OneJob
from gui.views.latent import LatentView
from gui.writing import WritingChoice

if TYPE_CHECKING:
    from gui.window import MainWindow


class Writer(OneJob):
    """Starts the writing that is asked for and shows it as it grows; one at a time.

    What changes the text that is read, or the model, ends it.

    Parameters
    ----------
    window : MainWindow
        Whose latent space and bridge they are.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        view = window.panels["latent"].view
        assert isinstance(view, LatentView)
        self._decoding, self._panel = view.decoding, view.decoding.writing
        self._panel.startRequested.connect(self._start)
        self._panel.stopRequested.connect(lambda: self._stop("Stopped."))
        session = window.session
        for signal in (
            session.textChanged,
            session.targetChanged,
            session.chatChanged,
            session.modelChanged,
        ):
            signal.connect(self._outdate)

    def fail(self, sentence: str) -> None:
        """Say it beside the map."""
        self._panel.end(sentence)

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
        self.job = self._window.bridge.write_on(choice)

    def _stop(self, sentence: str) -> None:
        if self.let_go():
            self._panel.end(sentence)

    def _outdate(self) -> None:
        self._stop("")
        self._panel.outdate()

    def take(self, progress: Progress) -> None:
        """Show how far it is."""
        if isinstance(progress, Written):
            self._panel.take(progress)

    def finish(self, done: JobDone) -> None:
        """Show what came of it."""
        self._panel.end("Stopped." if done.cancelled else "")
