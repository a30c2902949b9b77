"""How much memory the process holds, now and at most while something runs."""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class PeakMemory:
    """The highest resident set since `begin`, in bytes; None where the system does not say.

    Where the system keeps one mark for the whole life of a process (macOS), that is what one gets.
    """

    def __init__(self) -> None:
        self.before: int | None = None

    def begin(self) -> None:
        """Start a new peak, and note what is held now."""
        try:
            _RESET.write_text("5", encoding="ascii")
        except OSError:
            self.before = None
        else:
            self.before = _field("VmRSS")

    def peak(self) -> int | None:
        """The highest since `begin`."""
        marked = _field("VmHWM")
        return marked if marked is not None else _highest_ever()


def resident() -> int | None:
    """Bytes of the process that lie in memory now; None where the system does not say."""
    return _field("VmRSS")


def _field(name: str) -> int | None:
    try:
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _highest_ever() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    marked = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return marked if sys.platform == "darwin" else marked * 1024
