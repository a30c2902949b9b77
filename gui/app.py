"""From the command line to a window that lives: what is started when, and how it ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from datetime import datetime
from pathlib import Path
from types import FrameType, TracebackType

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QApplication

from engine.paths import config_dir
from engine.types import Dtype, Failure, ModelInfo
from gui import theme
from gui.bench.timeline import keep_timeline
from gui.bridge import Bridge
from gui.session import Session
from gui.settings import Settings, SettingsFile
from gui.widgets.icons import application_icon
from gui.window import MainWindow

BUILTIN = "builtin"

ENGINE_THREAD = "contextscope-engine"

LARGEST_LOG = 1_000_000
"""A log of more bytes than this is begun anew."""

log = logging.getLogger(__name__)


def run(
    model: str | None = None,
    text: str | None = None,
    device: str | None = None,
    dtype: Dtype | None = None,
    chat: bool | None = None,
) -> int:
    """Show the window until it is closed.

    Parameters
    ----------
    model : str, optional
        What to open instead of the model that was open last.
    text : str, optional
        The context, instead of the last one.
    device : {"auto", "cpu", "cuda", "mps"}, optional
        Where models run, instead of where they ran last.
    dtype : {"auto", "float32", "bfloat16", "float16"}, optional
        What they compute in, instead of what they did last.
    chat : bool, optional
        Whether the context is wrapped in the model's chat template, instead of as it was last.

    Returns
    -------
    int
        The exit code.
    """
    app = make_application()
    store = SettingsFile()
    settings, complaint = store.load()
    if text is not None:
        settings.text = text
    if chat is not None:
        settings.chat = chat
    theme.apply(app, settings.theme)
    session = Session(settings.text)
    bridge = Bridge()
    window = MainWindow(session, bridge, settings, store)
    reporter = Reporter(window)
    reporter.install()
    app.styleHints().colorSchemeChanged.connect(lambda _scheme: follow_system(app, settings))
    keep_timeline(window)  # before the engine begins to import what it needs
    launch = Launch(
        window, model or settings.model, device or settings.device, dtype or settings.dtype
    )
    waker = close_on_interrupt(window)
    if complaint:
        window.say(complaint)
    window.show()
    try:
        code = app.exec()
    finally:
        reporter.remove()
        waker.stop()
        launch.deleteLater()
        bridge.close()
    leave_if_importing(code)
    return code


def make_application() -> QApplication:
    """The Qt application, or the one that exists, with the program's name, face and icon."""
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    app.setApplicationName("contextscope")
    app.setApplicationDisplayName("Contextscope")
    app.setDesktopFileName("contextscope")
    app.setWindowIcon(application_icon())
    app.setStyle("Fusion")
    app.setFont(theme.ui_font())
    return app


def follow_system(app: QApplication, settings: Settings) -> None:
    """Go from dark to light with the system, unless the user chose one of them."""
    if settings.theme == "system":
        theme.apply(app, "system")


class Launch(QObject):
    """The order of a start: the window on the screen, then the engine, then models.

    The built-in model answers within moments, on whatever device there is. The wanted one follows
    when that is there, so that a download or its failure never leaves the window without a model.

    Parameters
    ----------
    window : MainWindow
        What is started.
    wanted, device : str
        Which model shall answer in the end, and where.
    dtype : Dtype
        What it shall compute in.
    """

    def __init__(self, window: MainWindow, wanted: str, device: str, dtype: Dtype = "auto") -> None:
        super().__init__(window)
        self._window = window
        self._wanted = wanted
        self._device = device
        self._dtype = dtype
        self._settled = False
        window.firstPainted.connect(self._start)

    def _start(self) -> None:
        window = self._window
        window.bridge.start()
        window.bridge.modelLoaded.connect(self._on_loaded)
        window.bridge.failed.connect(self._on_failed)
        window.open_model(BUILTIN, remember=False, device="auto", dtype=self._dtype)

    def _on_loaded(self, info: ModelInfo) -> None:
        if info.name == BUILTIN and not self._settled:
            # Its first answer goes before: loading another model would end that pass, and leave
            # the window without a picture for as long as loading takes.
            self._window.controller.rendered.connect(self._go_on)

    def _on_failed(self, _failure: Failure) -> None:
        self._go_on()

    def _go_on(self) -> None:
        if not self._settled:
            self._settled = True
            # Next turn, so that the window has heard of it first.
            QTimer.singleShot(0, self, self._open_wanted)

    def _open_wanted(self) -> None:
        model = self._window.session.model
        here = self._device in ("auto", getattr(model, "device", ""))
        # The first opening is not remembered, and so would leave the choice of precision behind.
        here = here and self._dtype == self._window.settings.dtype
        # The user may have chosen another model in the meantime, which then stands.
        untouched = model is None or model.name == BUILTIN
        if self._window.opening not in ("", BUILTIN) or not untouched:
            return
        if self._wanted != BUILTIN or not here:
            self._window.open_model(self._wanted, device=self._device, dtype=self._dtype)


class Reporter:
    """Says an unforeseen error in one sentence, and writes its traceback to a log file."""

    def __init__(self, window: MainWindow, path: Path | None = None) -> None:
        self._window = window
        self.path = path or config_dir() / "errors.log"
        self._former = sys.excepthook
        self._handler: logging.Handler | None = None

    def install(self) -> None:
        """Take unforeseen errors from now on, and what the program logs as errors."""
        sys.excepthook = self.report
        self._handler = _ToReporter(self)
        logging.getLogger().addHandler(self._handler)

    def remove(self) -> None:
        """Leave errors to whoever took them before."""
        sys.excepthook = self._former
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._handler = None

    def report(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """Say that something went wrong, and keep the traceback."""
        if issubclass(kind, KeyboardInterrupt):
            self._window.close()
            return
        kept = self.write("".join(traceback.format_exception(kind, error, trace)))
        where = f" The details are in {self.path}." if kept else ""
        brief = " ".join(str(error).split())[:160] or kind.__name__
        self._window.say(
            f"Something in the program went wrong: {brief}. You can go on; what is shown may be "
            f"older than the text.{where}"
        )

    def write(self, text: str) -> bool:
        """Add `text` to the log; False where that is not possible."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            large = self.path.exists() and self.path.stat().st_size > LARGEST_LOG
            with self.path.open("w" if large else "a", encoding="utf-8", errors="replace") as file:
                file.write(f"--- {datetime.now().isoformat(timespec='seconds')}\n{text.rstrip()}\n")
        except OSError:
            return False
        return True


class _ToReporter(logging.Handler):
    """Keeps what other threads log as errors; their sentences come to the window on their own."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(logging.ERROR)
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        self._reporter.write(self.format(record))


def leave_if_importing(code: int) -> None:
    """End the process at once where the engine's thread is still importing torch.

    Everything is written and closed by now. An import cannot be ended from outside, and the
    interpreter must not be torn down beneath one.
    """
    if any(thread.name == ENGINE_THREAD for thread in threading.enumerate()):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def close_on_interrupt(window: MainWindow) -> QTimer:
    """Let Ctrl+C in the terminal close the window.

    Python handles signals between its own instructions only, so a timer gives it the turn while Qt
    waits for events.
    """

    def close(_signal: int, _frame: FrameType | None) -> None:
        window.close()

    signal.signal(signal.SIGINT, close)
    signal.signal(signal.SIGTERM, close)
    waker = QTimer(window)
    waker.setInterval(200)
    waker.timeout.connect(lambda: None)
    waker.start()
    return waker
