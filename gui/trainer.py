"""Ties the training panel of a window to the engine's job."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from engine.types import JobDone, Progress
from gui.onejob import OneJob
from gui.training import EpochLike, SpaceMade, TrainingChoice
from gui.views.training import TrainingView

if TYPE_CHECKING:
    from gui.window import MainWindow


class Trainer(OneJob):
    """Starts what the panel asks for and tells it what happens; opens the space that was made.

    Parameters
    ----------
    window : MainWindow
        Whose panel and bridge they are.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        view = window.panels["training"].view
        assert isinstance(view, TrainingView)
        self._view = view
        view.startRequested.connect(self._start)
        view.pauseRequested.connect(self._pause)
        view.cancelRequested.connect(self.cancel)

    def fail(self, sentence: str) -> None:
        """Say it in the panel."""
        self._end("failed", sentence)

    def _start(self, choice: TrainingChoice) -> None:
        self.job = self._window.bridge.train_space(choice)
        self._caption()

    def _pause(self, rests: bool) -> None:
        bridge = self._window.bridge
        (bridge.pause_job if rests else bridge.resume_job)(self.job)
        self._caption()

    def take(self, progress: Progress) -> None:
        """Show how far it is."""
        epoch = cast("EpochLike | None", getattr(progress, "epoch", None))
        self._view.set_progress(progress.text, progress.fraction, epoch)
        if epoch is not None:
            self._caption()

    def finish(self, done: JobDone) -> None:
        """Show what came of it."""
        made = done.value
        if isinstance(made, SpaceMade):
            self._open(made)
            self._end("done", f"Saved as {made.path.name}.")
        else:
            self._end("idle" if not self._view.epochs else "done", "Cancelled; Go on resumes it.")

    def _open(self, made: SpaceMade) -> None:
        """Let the window know what the model provides now, and ask for it."""
        window = self._window
        before = window.session.model
        if before is None or before.fingerprint != made.model.fingerprint:
            return
        window.take_provided(made.model)

    def _end(self, stage: str, sentence: str) -> None:
        self._view.end(stage, sentence)  # type: ignore[arg-type]
        self._caption()

    def _caption(self) -> None:
        self._window.panels["training"].refresh_caption()
