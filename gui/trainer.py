"""Ties the training panel of a window to the engine's job."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QObject

from engine.types import Failure, JobDone, Progress
from gui.training import EpochLike, SpaceMade, TrainingChoice
from gui.views.training import TrainingView

if TYPE_CHECKING:
    from gui.window import MainWindow


class Trainer(QObject):
    """Starts what the panel asks for and tells it what happens; opens the space that was made.

    Parameters
    ----------
    window : MainWindow
        Whose panel and bridge they are.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._job = ""
        view = window.panels["training"].view
        assert isinstance(view, TrainingView)
        self._view = view
        view.startRequested.connect(self._start)
        view.pauseRequested.connect(self._pause)
        view.cancelRequested.connect(self._cancel)
        window.bridge.progressed.connect(self._on_progress)
        window.bridge.jobFinished.connect(self._on_finished)

    def owns(self, failure: Failure) -> bool:
        """Show `failure` in the panel if it is of this training."""
        if not self._job or failure.job != self._job:
            return False
        self._job = ""
        self._end("failed", failure.sentence)
        return True

    def _start(self, choice: TrainingChoice) -> None:
        self._job = self._window.bridge.train_space(choice)
        self._caption()

    def _pause(self, rests: bool) -> None:
        bridge = self._window.bridge
        (bridge.pause_job if rests else bridge.resume_job)(self._job)
        self._caption()

    def _cancel(self) -> None:
        self._window.bridge.cancel_job(self._job)

    def _on_progress(self, progress: Progress) -> None:
        if self._job and progress.job == self._job:
            epoch = cast("EpochLike | None", getattr(progress, "epoch", None))
            self._view.set_progress(progress.text, progress.fraction, epoch)
            if epoch is not None:
                self._caption()

    def _on_finished(self, done: JobDone) -> None:
        if not self._job or done.job != self._job:
            return
        self._job = ""
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
