"""A live window on a bridge without an engine, for the tests of the window and its commands."""

from __future__ import annotations

import time

from fakes import FakeBridge
from PySide6.QtWidgets import QApplication

from gui.session import Session
from gui.settings import Settings, SettingsFile
from gui.window import MainWindow


def make_window(
    qtbot=None, model: str | None = "builtin", settings: Settings | None = None, bridge=None
) -> MainWindow:
    """Show a window; with `model`, wait until it has drawn its first answer.

    It is closed after the test that `qtbot` belongs to; without one that is the caller's task.
    """
    settings = settings or Settings(model=model or "builtin")
    session = Session(settings.text)
    window = MainWindow(session, bridge or FakeBridge(), settings, SettingsFile())
    window.bridge.setParent(window)
    session.setParent(window)
    if qtbot is not None:
        qtbot.addWidget(window)
    # The offscreen platform's screen is narrower than any that the program is made for.
    if not settings.geometry:
        window.resize(1280, 800)
    window.show()
    window.activateWindow()  # the one before may still be the active one
    if model is not None:
        window.open_model(model)
        deadline = time.monotonic() + 60
        while window.controller.latest is None and time.monotonic() < deadline:
            QApplication.processEvents()
        assert window.controller.latest is not None
    QApplication.processEvents()
    return window


def settle(window, qtbot):
    """Wait until what was asked last is drawn."""
    qtbot.waitUntil(
        lambda: (
            bool(window.bridge.requests)
            and window.controller.latest is not None
            and window.controller.latest.request is window.bridge.requests[-1]
        )
    )


def asked(window):
    """The kinds of query in the last request."""
    return {type(query).__name__ for query in window.bridge.requests[-1].queries}
