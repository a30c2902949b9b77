"""How late the event loop is."""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, Qt, QTimer

INTERVAL_MS = 4


class Lateness:
    """A timer that should fire every 4 ms, and by how much it did not.

    `samples` are milliseconds. What keeps the loop from turning makes one sample, however long it
    took; so does what still kept it at `stop`.
    """

    def __init__(self, parent: QObject) -> None:
        self.samples: list[float] = []
        self._last = 0.0
        self._timer = QTimer(parent)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self._note)

    def start(self) -> None:
        """Begin; the first turn is due in 4 ms."""
        self._last = time.perf_counter()
        self._timer.start()

    def stop(self) -> None:
        """End."""
        self._timer.stop()
        if (time.perf_counter() - self._last) * 1e3 > INTERVAL_MS:
            self._note()

    def _note(self) -> None:
        now = time.perf_counter()
        self.samples.append(max(0.0, (now - self._last) * 1e3 - INTERVAL_MS))
        self._last = now
