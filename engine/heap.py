"""Giving freed memory back to the system.

The states and maps of a context come and go in pieces of many sizes, and between them lie small
things that stay. glibc returns what was freed only from the end of each of its heaps, so the holes
stay with the process: in 10,000 random edits nothing was leaked (the bytes in use were the same),
yet the process grew by 7 %. `malloc_trim` returns the holes as well. A fixed threshold for mapping
large pieces (``MALLOC_MMAP_THRESHOLD_``) left two thirds of them.

Of the heaps there are eight for each core, one for each thread that comes by. What one thread has
freed another cannot use, and pages that are in use by halves cannot be returned: still the process
grew by 2 to 4 %. In a single heap it held after 3,000 edits what it had held with as many bytes in
use after 800; what it still grew by was oneDNN's, see main.py. Threads keep small pieces for
themselves, so they do not queue for it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

REST = 1.0
"""Seconds without work after which memory is returned. That takes some milliseconds, and whoever
types on soon wants it again: so not between two keys."""


_ARENA_MAX = -8
"""What glibc's `mallopt` calls the most heaps, ``M_ARENA_MAX``."""


def share_one_heap() -> bool:
    """Let all threads to come take their memory from one heap; whether that can be asked for."""
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(_ARENA_MAX, 1))


class Heap:
    """Returns freed memory once nothing was done for a while.

    Parameters
    ----------
    trim : callable, optional
        Returns it; by default the C library's own, where it has one.
    """

    def __init__(self, trim: Callable[[], object] | None = None) -> None:
        self._trim = trim or _trim()
        self._used = False

    @property
    def patience(self) -> float | None:
        """How many seconds of rest to wait for before `tidy`; None where there is no need of it."""
        return REST if self._used and self._trim is not None else None

    def use(self) -> None:
        """Note that something was run, which took memory and freed it."""
        self._used = True

    def tidy(self) -> None:
        """Return what is free."""
        if self._trim is not None:
            self._trim()
        self._used = False


def _trim() -> Callable[[], object] | None:
    """Find glibc's `malloc_trim`."""
    trim = _glibc("malloc_trim")
    if trim is None:
        return None
    trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    return lambda: trim(0)


def _glibc(name: str) -> Any:
    """A function of glibc; None where there is another C library, which has its own ways."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):  # musl has none
        return None
