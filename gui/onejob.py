"""What ties a part of the window to a job of the engine's; one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from engine.types import Failure, JobDone, Progress

if TYPE_CHECKING:
    from gui.window import MainWindow


class OneJob(QObject):
    """Hears of the job that it holds, and of no other.

    Who inherits starts it, keeping its name in `job`, and says what comes of it.

    Parameters
    ----------
    window : MainWindow
        Whose bridge runs the job.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.job = ""
        window.bridge.progressed.connect(self._on_progress)
        window.bridge.jobFinished.connect(self._on_finished)

    def take(self, progress: Progress) -> None:
        """Show how far the job is."""

    def finish(self, done: JobDone) -> None:
        """Show what the job made, or that it was cancelled; it is no longer held."""
        raise NotImplementedError

    def fail(self, sentence: str) -> None:
        """Say what the job failed for; it is no longer held."""
        raise NotImplementedError

    def owns(self, failure: Failure) -> bool:
        """Let `fail` tell of a failure of this job; whether it is one."""
        if not self._drop(failure.job):
            return False
        self.fail(failure.sentence)
        return True

    def cancel(self) -> None:
        """Ask for the job's end, of which `finish` will tell."""
        self._window.bridge.cancel_job(self.job)

    def let_go(self) -> bool:
        """End the job and hear no more of it; whether there was one."""
        job, self.job = self.job, ""
        if job:
            self._window.bridge.cancel_job(job)
        return bool(job)

    def _drop(self, job: str | None) -> bool:
        if not self.job or job != self.job:
            return False
        self.job = ""
        return True

    def _on_progress(self, progress: Progress) -> None:
        if self.job and progress.job == self.job:
            self.take(progress)

    def _on_finished(self, done: JobDone) -> None:
        if self._drop(done.job):
            self.finish(done)
