"""Which part of an axis of cells is seen."""

from __future__ import annotations


class Zoom:
    """The visible part of an axis of `count` cells, from `start`, `span` cells long.

    As long as all is seen, all stays seen when the number of cells changes; once a part was
    chosen, that part is kept as far as it still exists.
    """

    def __init__(self, count: int = 0) -> None:
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
            self.start = anchor - (anchor - self.start) * span / self.span
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
