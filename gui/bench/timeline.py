"""When what stood on the screen for the first time, for ``main.py bench start``.

With ``CONTEXTSCOPE_TIMELINE=FILE`` the program adds a line of JSON to the file for each event:
``{"event": …, "ms": …, "imported": […]}``, in milliseconds since ``CONTEXTSCOPE_STARTED``, the
time (seconds since 1970) at which whoever started the process did so.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

if TYPE_CHECKING:
    from gui.window import MainWindow

FILE = "CONTEXTSCOPE_TIMELINE"
STARTED = "CONTEXTSCOPE_STARTED"
FIRST_PAINT = "first-paint"
LIVE = "live"

HEAVY = ("torch", "transformers", "matplotlib", "sklearn", "scipy", "pandas")
"""Modules that the first picture must not wait for."""


class Timeline(QObject):
    """Writes down a window's first picture and the first one of each model."""

    def __init__(self, window: MainWindow, file: Path, started: float) -> None:
        super().__init__(window)
        self._window = window
        self._file = file
        self._started = started
        self._told: set[str] = set()
        window.firstPainted.connect(lambda: self._tell(FIRST_PAINT))
        window.controller.painted.connect(self._on_painted)

    def _on_painted(self) -> None:
        latest = self._window.controller.latest
        if latest is not None:
            self._tell(f"{LIVE} {latest.model.name}")

    def _tell(self, event: str) -> None:
        if event in self._told:
            return
        self._told.add(event)
        line = {
            "event": event,
            "ms": round((time.time() - self._started) * 1e3, 1),
            "imported": [name for name in HEAVY if name in sys.modules],
        }
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def keep_timeline(window: MainWindow) -> None:
    """Keep a timeline where the environment asks for one. Call it before the engine is started."""
    file = os.environ.get(FILE)
    if file:
        Timeline(window, Path(file), float(os.environ.get(STARTED) or time.time()))
