"""Which part of an axis of cells is seen."""

from __future__ import annotations

CROWDED = 128
"""From so many cells on, an axis that grows keeps room for a few more.

In the panels of the default window a cell has at most five pixels then, and what is spared, at most
a 32nd of the axis, is less than four cells.
"""


def roomy(count: int) -> int:
    """`count` rounded up, by at most a 32nd, so that one token more seldom changes it.

    In steps of a 32nd of the power of two below it: what models are wide (576, 768, 4096, …) stays
    as it is. It tells nothing of how the count was come to, so that what is typed and deleted looks
    as it did before.
    """
    if count < CROWDED:
        return count
    step = 1 << (count - 1).bit_length() - 6
    return -(-count // step) * step


class Zoom:
    """The visible part of an axis of `count` cells, from `start`, `span` cells long.

    As long as all is seen, all stays seen when the number of cells changes; once a part was
    chosen, that part is kept as far as it still exists.

    Attributes
    ----------
    grows : bool
        Whether cells come and go at the end: then they keep their size for a while, see `roomy`.
    """

    def __init__(self, count: int = 0) -> None:
        self.grows = True
        self.count = count
        self.start = 0.0
        self.span = float(count)

    @property
    def fitted(self) -> bool:
        """Whether all cells are seen."""
        return self.span >= self.count

    @property
    def visible(self) -> tuple[float, float]:
        """First and last visible cell coordinate."""
        return self.start, self.start + self.span

    @property
    def room(self) -> float:
        """How many cells share the length of the axis: those that are seen, or a few more."""
        return float(roomy(self.count)) if self.fitted and self.grows else self.span

    def set_count(self, count: int) -> None:
        """Take a new number of cells."""
        fitted = self.fitted
        self.count = count
        self.span = float(count) if fitted else min(self.span, float(count))
        self._settle()

    def fit(self) -> None:
        """See all."""
        self.start, self.span = 0.0, float(self.count)

    def magnify(self, factor: float, anchor: float, least: float) -> None:
        """Magnify by `factor` so that the cell coordinate `anchor` stays, down to `least` cells."""
        span = max(min(least, self.span), min(float(self.count), self.span / factor))
        if span and self.span:
            self.start = anchor - (anchor - self.start) * span / self.room
        self.span = span
        self._settle()

    def move(self, cells: float) -> None:
        """Move what is seen by so many cells."""
        self.start += cells
        self._settle()

    def show(self, first: float, after: float) -> None:
        """See just the cells from `first` to the one before `after`."""
        self.span = max(1.0, min(float(self.count), after - first)) if self.count else 0.0
        self.start = first
        self._settle()

    def reveal(self, cell: int) -> None:
        """Move as little as needed for `cell` to be seen whole."""
        self.start = max(min(self.start, float(cell)), cell + 1 - self.span)
        self._settle()

    def _settle(self) -> None:
        self.start = max(0.0, min(self.start, self.count - self.span))
