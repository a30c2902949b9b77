"""Which arrays begin with the rows of another one, so that nobody need compare them.

What is handed to the window never changes: where rows are replaced, those before them are copied
into another buffer. Whoever draws both would have to look at all numbers again to find that out.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Buffer = NDArray[Any]
_origins: dict[int, tuple[weakref.ref[_Buffer], weakref.ref[_Buffer], int]] = {}


def note(made: _Buffer, origin: _Buffer, count: int) -> None:
    """Remember that `made` begins with the first `count` rows of `origin`.

    Neither may be written to there as long as both live.
    """
    place = id(made)
    gone = weakref.ref(made, lambda _: _origins.pop(place, None))
    _origins[place] = gone, weakref.ref(origin), count


def shared_rows(old: _Buffer, new: _Buffer) -> int | None:
    """How many of the first rows are the same in two views; None if that is not known.

    Only what is common to the rows in length is meant.
    """
    base, before = new.base, old.base
    if not isinstance(base, np.ndarray) or not isinstance(before, np.ndarray):
        return None
    found = _origins.get(id(base))
    if found is None or found[0]() is not base or found[1]() is not before:
        return None
    # Both must begin where their buffers do.
    if new.ctypes.data != base.ctypes.data or old.ctypes.data != before.ctypes.data:
        return None
    return min(found[2], len(old), len(new))
