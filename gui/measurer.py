"""Ties the precision of the model at hand to the engine's job that measures it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from engine.types import Failure, JobDone, Precision
from gui.precision import sentence

if TYPE_CHECKING:
    from gui.window import MainWindow


class Measurer(QObject):
    """Compares the model with itself in float32 and says what came of it; one at a time.

    Parameters
    ----------
    window : MainWindow
        Whose session, status line and bridge they are.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._job = ""
        self._unasked = False
        window.bridge.jobFinished.connect(self._on_finished)

    def start(self, unasked: bool = False) -> None:
        """Measure; what fails `unasked` is not complained of."""
        self.stop()
        self._job, self._unasked = self._window.bridge.measure_precision(), unasked

    def stop(self) -> None:
        """End what is measured: the model is about to change."""
        job, self._job = self._job, ""
        if job:
            self._window.bridge.cancel_job(job)

    def owns(self, failure: Failure) -> bool:
        """Say why nothing was measured, if `failure` is of this and it was asked for."""
        if not self._job or failure.job != self._job:
            return False
        self._job = ""
        if not self._unasked:
            self._window.say(failure.sentence)
        return True

    def _on_finished(self, done: JobDone) -> None:
        if not self._job or done.job != self._job:
            return
        self._job = ""
        window, found = self._window, done.value
        model = window.session.model
        if isinstance(found, Precision) and model is not None:
            window.session.model = replace(model, precision=found)
            window.status.set_model(window.session.model)
            if not self._unasked:
                window.remark(sentence(window.session.model))
