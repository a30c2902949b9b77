"""Rows on the host that grow at the end and are shown as they lie, without being copied.

What is handed to the window must never change. Copying all rows at each keystroke keeps that
promise and costs as much as working them out; here later rows are written behind those that were
shown, and only what takes the place of shown rows goes into a buffer of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from engine import lineage
from engine.arena import capacity


class FrozenRows:
    """An array of rows (n, …) with room to grow, whose views keep what they show.

    Parameters
    ----------
    shape : tuple of int
        Of one row.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> None:
        self._buffer: NDArray[Any] = np.empty((0, *shape), dtype)
        self._count = 0
        self._written = 0  # rows of the buffer that a view may show
        self.moved = 0  # how often all rows were copied

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes held, room to grow included."""
        return self._buffer.nbytes

    def keep(self, count: int) -> None:
        """Forget rows from `count` on; views go on showing them."""
        self._count = min(self._count, count)

    def append(self, rows: NDArray[Any]) -> None:
        """Write `rows` (m, …) behind the last one."""
        needed = self._count + len(rows)
        if needed > len(self._buffer) or self._count < self._written:
            buffer = np.empty((capacity(needed), *self._buffer.shape[1:]), self._buffer.dtype)
            buffer[: self._count] = self._buffer[: self._count]
            lineage.note(buffer, self._buffer, self._count)
            self._buffer = buffer
            self.moved += 1
        self._buffer[self._count : needed] = rows
        self._count = self._written = needed

    def rows(self) -> NDArray[Any]:
        """All rows (n, …), read-only."""
        view = self._buffer[: self._count]
        view.setflags(write=False)
        return view


class FrozenSquare:
    """A square (n, n) with zeros above its diagonal that grows by rows, likewise.

    A new row adds a column too, in which all rows before it are zero: so they already lie there.
    """

    def __init__(self) -> None:
        self._buffer: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._count = 0
        self._written = 0
        self.moved = 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes held, room to grow included."""
        return self._buffer.nbytes

    def keep(self, count: int) -> None:
        """Forget rows and columns from `count` on; views go on showing them."""
        self._count = min(self._count, count)

    def append(self, rows: NDArray[np.float32]) -> None:
        """Write `rows` (m, n + m) below the last one."""
        count, needed = self._count, rows.shape[1]
        if needed > len(self._buffer) or count < self._written:
            room = capacity(needed)
            buffer = np.zeros((room, room), np.float32)
            buffer[:count, :count] = self._buffer[:count, :count]
            lineage.note(buffer, self._buffer, count)
            self._buffer = buffer
            self.moved += 1
        self._buffer[count:needed, :needed] = rows
        self._count = self._written = needed

    def rows(self) -> NDArray[np.float32]:
        """The square (n, n), read-only; its rows do not lie in line."""
        view = self._buffer[: self._count, : self._count]
        view.setflags(write=False)
        return view
