"""The real window with the real engine, and one edit after another timed in it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import (
    QCoreApplication,
    QEvent,
    QEventLoop,
    QMessageLogContext,
    QObject,
    Qt,
    QTimer,
    QtMsgType,
    qInstallMessageHandler,
)
from PySide6.QtWidgets import QPlainTextEdit

from engine.errors import UserError
from engine.heap import REST
from engine.runner import Event, Job, Runner
from engine.types import Failure, JobDone, ModelInfo, Request, Snapshot
from gui import theme
from gui.app import make_application
from gui.bench.lateness import Lateness
from gui.bench.memory import PeakMemory
from gui.bridge import Bridge
from gui.session import Session
from gui.settings import Settings, SettingsFile
from gui.window import MainWindow

if TYPE_CHECKING:
    from engine.engine import Engine

SIZE = (1280, 800)
PATIENCE_MS = 900_000
"""How long one picture may take before the benchmark gives up."""

QUIET_MS = 40
"""The window is at rest when it has painted nothing for so long."""

_OWN = "bench"

T = TypeVar("T")


@dataclass(slots=True)
class Measured:
    """What one edit, or one floor, cost.

    `passes` and `suffix` are forward passes and tokens run in them, `late` how late the event loop
    was while it lasted, in ms, `peak` and `before` bytes of resident memory.
    """

    ms: float
    passes: int
    suffix: int
    late: list[float] = field(default_factory=list)
    peak: int | None = None
    before: int | None = None


class CountingRunner(Runner):
    """A runner that counts what is asked and run, and keeps the benchmark's jobs from the window.

    What tells the window of a job would make it paint while something else is measured.
    """

    def __init__(self) -> None:
        super().__init__(self._route)
        self.bridge: Bridge | None = None
        self.asked = 0
        self.answers = 0
        self.passes = 0
        self.suffix = 0
        self._own: SimpleQueue[JobDone | Failure] = SimpleQueue()

    def submit(self, request: Request) -> None:
        """Note which request is the newest, and take it."""
        self.asked = request.seq
        super().submit(request)

    def call(self, work: Callable[[Engine], T]) -> T:
        """Do `work` on the engine's thread, and wait.

        Raises
        ------
        UserError
            If it failed.
        """

        def job(engine: Engine) -> Job:
            yield from ()
            return work(engine)

        self.start_job(_OWN, job)
        done = self._own.get()
        if isinstance(done, Failure):
            raise UserError("Cannot go on measuring", done.sentence, "Try fewer tokens")
        value: T = done.value  # type: ignore[assignment]
        return value

    def _route(self, event: Event) -> None:
        if isinstance(event, JobDone | Failure) and event.job == _OWN:
            self._own.put(event)
            return
        if isinstance(event, Snapshot) and not event.more:
            self.answers += 1
            self.passes += event.stats.passes
            self.suffix += event.stats.suffix
        if self.bridge is not None:
            self.bridge.deliver(event)


class Stage(QObject):
    """The window at 1280 × 800, and hands to type with.

    Parameters
    ----------
    spec : str
        The model to open.
    device : str
        Where it runs.
    folder : Path
        Where the window may keep its settings.
    """

    def __init__(self, spec: str, device: str, folder: Path) -> None:
        super().__init__()
        self.runner = CountingRunner()
        bridge = Bridge(runner=self.runner)
        self.runner.bridge = bridge
        settings = Settings(model=spec, device=device, text="", theme="dark")
        self.window = MainWindow(
            Session(""), bridge, settings, SettingsFile(folder / "settings.json")
        )
        bridge.setParent(self.window)
        self.window.session.setParent(self.window)
        self.window.resize(*SIZE)
        self.memory = PeakMemory()
        self._loop = QEventLoop(self)
        self._patience = QTimer(self, singleShot=True, interval=PATIENCE_MS)
        self._patience.timeout.connect(self._loop.quit)
        self._quiet = QTimer(self, singleShot=True, interval=QUIET_MS)
        self._quiet.timeout.connect(self._loop.quit)
        self._failure = ""
        self._painted_at = 0.0
        bridge.failed.connect(self._on_failed)
        bridge.modelLoaded.connect(self._check)
        self.window.controller.painted.connect(self._on_painted)
        self.window.controller.rendered.connect(self._on_rendered)
        self.window.installEventFilter(self)
        self._wanted: Callable[[], bool] = lambda: False
        self._catching_up = False

    # --- life ------------------------------------------------------------------------------------

    def open(self) -> ModelInfo:
        """Show the window and wait until the model answers.

        Raises
        ------
        UserError
            If the model cannot be opened.
        """
        self.window.show()
        self.window.bridge.start()
        self.window.open_model(self.window.settings.model, remember=False)
        self._until(lambda: self.window.session.model is not None)
        model = self.window.session.model
        assert model is not None
        self.window.controller.set_limit(model.max_tokens)
        self.settle()
        return model

    def close(self) -> None:
        """End the engine's thread and take the window away."""
        self._quiet.stop()
        self._patience.stop()
        self.window.close()
        self.window.bridge.close()
        self.window.deleteLater()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)

    # --- what there is ---------------------------------------------------------------------------

    @property
    def editor(self) -> QPlainTextEdit:
        """The field that is typed into."""
        editor = self.window.editor
        if editor is None:
            raise UserError("Cannot type", "the window has no editor", "Restore gui/views")
        return editor

    @property
    def latest(self) -> Snapshot:
        """The answer that is shown."""
        latest = self.window.controller.latest
        assert latest is not None
        return latest

    @property
    def ids(self) -> tuple[int, ...]:
        """The tokens of the context, as the model reads them."""
        return tuple(token.id for token in self.latest.tokens)

    # --- measuring -------------------------------------------------------------------------------

    def show_text(self, text: str) -> Measured:
        """Make `text` the context, and wait until it is painted."""
        return self.timed(lambda: self.window.session.set_text(text))

    def timed(self, edit: Callable[[], None]) -> Measured:
        """Do `edit` in the window at rest, and wait until all visible views have painted it."""
        self.settle()
        runner, late = self.runner, Lateness(self)
        asked, passes, suffix = runner.asked, runner.passes, runner.suffix
        self.memory.begin()
        late.start()
        begun = time.perf_counter()
        edit()
        try:
            self._until(lambda: runner.asked > asked and self._shown())
        finally:
            late.stop()
        return Measured(
            ms=(self._painted_at - begun) * 1e3,
            passes=runner.passes - passes,
            suffix=runner.suffix - suffix,
            late=late.samples,
            peak=self.memory.peak(),
            before=self.memory.before,
        )

    def catch_up(self) -> None:
        """Wait until the newest answer is drawn, painted or not.

        Raises
        ------
        UserError
            If there is none: the request failed, or took too long.
        """
        QCoreApplication.processEvents()  # choices that change together are asked for a turn later
        if self._shown():
            return
        self._catching_up = True
        try:
            self._until(lambda: False)
        finally:
            self._catching_up = False

    def settle(self) -> None:
        """Let the window come to rest: nothing is asked, no motion, nothing left to paint."""
        self._patience.start(20 * QUIET_MS)  # a caret blinks for ever
        self._quiet.start()
        self._loop.exec()
        self._quiet.stop()
        self._patience.stop()

    def rest(self) -> None:
        """Let the window come to rest, and the engine give back the memory it does not need."""
        self.settle()
        QTimer.singleShot(int((REST + 0.3) * 1e3), self._loop.quit)
        self._loop.exec()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Note that the window paints."""
        if event.type() == QEvent.Type.UpdateRequest and self._quiet.isActive():
            self._quiet.start()
        return False

    def _shown(self) -> bool:
        """Whether the newest request is what the window shows."""
        latest = self.window.controller.latest
        return latest is not None and latest.request.seq == self.runner.asked

    def _until(self, done: Callable[[], bool]) -> None:
        self._failure = ""
        self._wanted = done
        self._patience.start(PATIENCE_MS)
        self._loop.exec()
        in_time = self._patience.isActive()
        self._patience.stop()
        self._wanted = lambda: False
        if self._failure:
            raise UserError("Cannot go on measuring", self._failure, "Try fewer tokens")
        if not in_time:
            raise UserError(
                "Cannot go on measuring",
                f"no picture came within {PATIENCE_MS // 60_000} minutes",
                "Try fewer tokens",
            )

    def _on_painted(self, _ms: float) -> None:
        self._painted_at = time.perf_counter()
        self._check()

    def _on_rendered(self, _snapshot: Snapshot) -> None:
        if self._catching_up and self._shown():
            self._loop.quit()

    def _on_failed(self, failure: Failure) -> None:
        self._failure = failure.sentence
        self._loop.quit()

    def _check(self) -> None:
        if self._wanted():
            self._loop.quit()


@contextmanager
def application() -> Iterator[None]:
    """Have the application that a stage needs, with the program's own face.

    Qt is not heard where it complains that no window manager can be told sizes, which is so without
    a screen, or that a font has not every script.
    """
    theme.apply(make_application(), "dark")

    def pass_on(kind: QtMsgType, context: QMessageLogContext, message: str) -> None:
        if "propagateSizeHints" in message or "OpenType support missing" in message:
            return
        if callable(before):
            before(kind, context, message)
        else:
            print(message, file=sys.stderr)

    before = qInstallMessageHandler(pass_on)
    try:
        yield
    finally:
        qInstallMessageHandler(before)


def put_caret(editor: QPlainTextEdit, place: int | None) -> None:
    """Put the caret to `place`, in characters as Qt counts them; None puts it to the end."""
    cursor = editor.textCursor()
    cursor.setPosition(
        editor.document().characterCount() - 1 if place is None else place,
        cursor.MoveMode.MoveAnchor,
    )
    editor.setTextCursor(cursor)
    editor.setFocus(Qt.FocusReason.OtherFocusReason)
