"""Rows that grow and shrink at the end without being copied each time.

A keystroke appends a row or two to hundreds of tensors. Growing each with ``cat`` copies all that
stood there; an arena has room for some more rows and otherwise only writes the new ones. The room
is a sixteenth: doubling would copy less often, but hold up to twice of what is needed, and what a
long text needs is most of what the program holds beside the weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SPARE = 64
"""Rows of room at least."""

SPARE_SHARE = 16
"""Where that is more: one row of room for so many rows."""

_SHRINK = 4
"""A buffer so many times larger than need be is given back."""


def capacity(rows: int) -> int:
    """How many rows there is room for, once there were more than there was room for."""
    return rows + max(SPARE, rows // SPARE_SHARE)


class Arena:
    """A tensor of rows, (..., n, width), with room to grow along its last but one dimension.

    Views handed out by `rows` see later writes to the same rows: take what you keep.
    """

    def __init__(self) -> None:
        self._buffer: Tensor | None = None
        self._array: NDArray[np.float32] | None = None  # the buffer again
        self._count = 0
        self._nbytes = 0  # asked of hundreds of arenas with each key

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes held, room to grow included."""
        return self._nbytes

    def append(self, rows: Tensor) -> Tensor:
        """Write `rows` (..., m, width) after the last one and return all n + m.

        Where there is no memory for them, nothing has changed.

        Raises
        ------
        RuntimeError
            If `rows` does not have the shape and type of those before it.
        """
        needed = self._count + rows.shape[-2]
        buffer = self._roomy(rows if self._buffer is None else self._buffer, needed)
        # `narrow` costs a third of what an index with an ellipsis does, hundreds of times a step.
        buffer.narrow(-2, self._count, rows.shape[-2]).copy_(rows)
        self._buffer, self._count = buffer, needed
        return self.rows()

    def extend(self, count: int) -> NDArray[np.float32]:
        """Grow by `count` rows, which are yet to be written.

        For an arena on the CPU, in float32, that was written to before.

        Returns
        -------
        ndarray
            (..., C, width): all there is room for, of which the last `count` of ``len(self)`` are
            to be written.
        """
        if self._buffer is None:
            raise RuntimeError("nothing was written to this arena yet")
        needed = self._count + count
        buffer = self._roomy(self._buffer, needed)
        if self._array is None:
            self._array = buffer.numpy()
        self._buffer, self._count = buffer, needed
        return self._array

    def rows(self, start: int = 0) -> Tensor:
        """Rows from `start` on, (..., n − start, width), as a view."""
        if self._buffer is None:
            raise RuntimeError("nothing was written to this arena yet")
        start = min(start, self._count)
        return self._buffer.narrow(-2, start, self._count - start)

    def keep(self, count: int) -> None:
        """Forget all rows from `count` on."""
        self._count = min(self._count, count)

    def trim(self) -> None:
        """Give back all room but that of an arena that has just grown to this length."""
        if self._buffer is not None and capacity(self._count) < self._buffer.shape[-2]:
            self._buffer = self._moved(self._buffer, capacity(self._count))

    def _roomy(self, like: Tensor, needed: int) -> Tensor:
        """The buffer, or one in its place, with room for `needed` rows."""
        held = 0 if self._buffer is None else self._buffer.shape[-2]
        # What a long text took is given back once a short one has taken its place.
        if needed > held or _SHRINK * capacity(needed) < held:
            return self._moved(like, capacity(needed))
        return like

    def _moved(self, like: Tensor, room: int) -> Tensor:
        """The rows there are, in a new buffer with room for `room` of them."""
        buffer = like.new_empty((*like.shape[:-2], room, like.shape[-1]))
        if self._count:
            buffer[..., : self._count, :] = self.rows()
        self._array, self._nbytes = None, buffer.nbytes
        return buffer
