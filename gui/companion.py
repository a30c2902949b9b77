"""Ties the choice of a second model in the compare panel to the engine's job that loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from engine.comparison import SecondLoaded
from engine.types import Failure, JobDone, ModelInfo, Progress
from gui.commands import offers
from gui.views.compare import CompareView
from gui.widgets.open_model import OpenModel

if TYPE_CHECKING:
    from gui.window import MainWindow

DIALOG = "open second model"


class Companion(QObject):
    """Opens the model that reads side B and lets it go again; one at a time.

    It computes where and in what the first model does, and is loaded again where that changes.

    Parameters
    ----------
    window : MainWindow
        Whose panel, session and bridge they are.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._job = ""
        self._asked = ("", "auto")  # spec and type of what is on its way
        self._open = ("", "auto")  # and of what is there
        view = window.panels["compare"].view
        assert isinstance(view, CompareView)
        self._choice = view.second
        self._choice.wanted.connect(self._ask)
        self._choice.dropped.connect(self.drop)
        self._choice.line.cancelled.connect(self._cancel)
        window.bridge.progressed.connect(self._on_progress)
        window.bridge.jobFinished.connect(self._on_finished)
        window.session.modelChanged.connect(self._follow)

    def owns(self, failure: Failure) -> bool:
        """Show `failure` in the panel if it is of this loading."""
        if not self._job or failure.job != self._job:
            return False
        self._job = ""
        second = self._window.session.second
        stays = f"{second.title} stays" if second is not None else "The same model stays"
        self._choice.line.fail(f"{failure.sentence} {stays} on side B.")
        return True

    def open(self, spec: str) -> None:
        """Bring the model `spec` to side B; the one there stays until then."""
        self._cancel()
        self._asked = spec, self._window.dtype
        self._choice.line.set_progress(f"Opening {spec}", None)
        self._job = self._window.bridge.open_second(spec, self._window.dtype)

    def drop(self) -> None:
        """Let the same model read both sides."""
        self._cancel()
        self._choice.line.end()
        if self._window.session.second is not None:
            self._open = ("", "auto")
            self._window.session.set_second(None)
            self._window.bridge.close_second()

    def _ask(self) -> None:
        window = self._window
        shown = window.findChild(OpenModel, DIALOG)
        if shown is None:
            question = "Which other model shall read the text on side B?"
            shown = OpenModel(offers(), self._open[0], window, question=question)
            shown.setObjectName(DIALOG)
            shown.chosen.connect(self.open)
        shown.show()
        shown.raise_()
        shown.activateWindow()

    def _cancel(self) -> None:
        job, self._job = self._job, ""
        if job:
            self._choice.line.end()
            self._window.bridge.cancel_job(job)

    def _follow(self, model: ModelInfo) -> None:
        """Load the second model anew where the first computes elsewhere, or in another type."""
        second = self._window.session.second
        moved = second is not None and second.device != model.device
        if second is not None and (moved or self._open[1] != self._window.dtype):
            self.open(self._open[0])

    def _on_progress(self, progress: Progress) -> None:
        if self._job and progress.job == self._job:
            self._choice.line.set_progress(progress.text, progress.fraction)

    def _on_finished(self, done: JobDone) -> None:
        if not self._job or done.job != self._job:
            return
        self._job = ""
        self._choice.line.end()
        if isinstance(done.value, SecondLoaded):
            self._open = self._asked
            self._window.session.set_second(done.value.info)
            # What was asked before is asked of the model that is there now.
            self._window.controller.ask_again()
