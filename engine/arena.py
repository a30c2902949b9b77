"""Rows that grow and shrink at the end without being copied each time.

A keystroke appends a row or two to hundreds of tensors. Growing each with ``cat`` copies all that
stood there; an arena doubles its buffer when it is full and otherwise only writes the new rows.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Arena:
    """A tensor of rows, (..., n, width), with room to grow along its last but one dimension.

    Views handed out by `rows` see later writes to the same rows: take what you keep.
    """

    def __init__(self) -> None:
        self._buffer: Tensor | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes held, room to grow included."""
        return 0 if self._buffer is None else self._buffer.nbytes

    def append(self, rows: Tensor) -> Tensor:
        """Write `rows` (..., m, width) after the last one and return all n + m.

        Raises
        ------
        RuntimeError
            If `rows` does not have the shape and type of those before it.
        """
        new = rows.shape[-2]
        needed = self._count + new
        if self._buffer is None:
            self._buffer = rows.new_empty(self._shape(rows, max(64, needed)))
        elif needed > self._buffer.shape[-2]:
            grown = rows.new_empty(self._shape(rows, max(2 * self._buffer.shape[-2], needed)))
            grown[..., : self._count, :] = self.rows()
            self._buffer = grown
        self._buffer[..., self._count : needed, :] = rows
        self._count = needed
        return self.rows()

    def rows(self, start: int = 0) -> Tensor:
        """Rows from `start` on, (..., n − start, width), as a view."""
        if self._buffer is None:
            raise RuntimeError("nothing was written to this arena yet")
        return self._buffer[..., start : self._count, :]

    def keep(self, count: int) -> None:
        """Forget all rows from `count` on."""
        self._count = min(self._count, count)

    @staticmethod
    def _shape(rows: Tensor, capacity: int) -> torch.Size:
        return torch.Size((*rows.shape[:-2], capacity, rows.shape[-1]))
