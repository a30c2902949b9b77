"""How long work will take still, from how far it has come lately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW = 30.0
"""Seconds looked back: what was kept goes by in moments, and says nothing of what follows."""


class TimeLeft:
    """Told how far work is, says about how many seconds are left.

    Parameters
    ----------
    clock : callable
        Seconds from some moment on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()

    def start(self) -> None:
        """Begin anew."""
        self._seen.clear()

    def note(self, fraction: float | None) -> None:
        """Take how much is done, 0 to 1."""
        if fraction is None:
            return
        now = self._clock()
        self._seen.append((now, fraction))
        while len(self._seen) > 2 and self._seen[0][0] < now - WINDOW:
            self._seen.popleft()

    @property
    def seconds(self) -> float | None:
        """Seconds left; None before that can be told."""
        if len(self._seen) < 2:
            return None
        (begun, before), (now, done) = self._seen[0], self._seen[-1]
        if now - begun < 1.0 or done <= before:
            return None
        return (1 - done) * (now - begun) / (done - before)

    def said(self) -> str:
        """The same in words; empty before it can be told."""
        return "" if self.seconds is None else f"about {duration(self.seconds)} left"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
