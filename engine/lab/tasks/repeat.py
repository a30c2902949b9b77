"""Repeated random tokens: the task that induction heads solve.

A row is a span of random tokens repeated until it is full. How long the span is differs from row to
row: were it always the same, a head that looks a fixed way back would do, and one layer with it.
Shape letters: B rows, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.errors import UserError
from engine.lab.tasks.spec import (
    HELD_OUT_SEED,
    Ids,
    Mask,
    Rows,
    Task,
    TaskSpec,
    characters,
    letters,
    made,
)

KEY = "repeat"


@dataclass(frozen=True, slots=True)
class Options:
    """Its choices.

    Parameters
    ----------
    vocabulary : int
        Different tokens.
    length : int
        T.
    shortest : int
        Tokens of the shortest span; the longest is half a row.
    """

    vocabulary: int = 64
    length: int = 48
    shortest: int = 12


class Repeat(Task):
    """All targets are learnt and judged: those of the first span cost ln V, whoever predicts them.

    Raises
    ------
    UserError
        If the vocabulary or the row cannot be.
    """

    def __init__(self, options: Options) -> None:
        what = "Cannot make rows that repeat"
        if not 2 <= options.shortest <= options.length // 2:
            raise UserError(
                what,
                f"spans of {options.shortest} tokens do not lie twice in a row of {options.length}",
                "Choose a longer row or a shorter span",
            )
        self.tokenizer = characters(letters(options.vocabulary, what))
        self.length = options.length
        self.shortest = options.shortest
        # One is in the first span of every row, the other in no row's.
        self.early, self.late = options.shortest // 2, options.length - 2

    def spans(self) -> tuple[int, ...]:
        """The spans at which a head's induction score is measured: shortest, middle and longest."""
        longest = self.length // 2
        return tuple(sorted({self.shortest, (self.shortest + longest) // 2, longest}))

    def rows(self, rng: np.random.Generator, count: int) -> Rows:
        """See `Task.rows`."""
        ids = np.empty((count, self.length), dtype=np.int64)
        for row in ids:
            span = rng.integers(1, self.vocabulary, rng.integers(self.shortest, self._end))
            row[:] = np.resize(span, self.length)
        every = np.ones((count, self.length - 1), dtype=np.bool_)
        return Rows(ids, every, every)

    @property
    def _end(self) -> int:
        return self.length // 2 + 1

    def held_out(self, most: int) -> Rows:
        """See `Task.held_out`; two rows alike are as good as impossible."""
        return self.rows(np.random.default_rng(HELD_OUT_SEED), most)


def repeated(ids: Ids) -> Mask:
    """Which targets (B, T − 1) of rows `ids` (B, T) repeat something: the second half.

    The first repeated token is left out: nothing says that the repetition begins there.
    """
    found = np.zeros((len(ids), ids.shape[1] - 1), dtype=np.bool_)
    for row, mask in zip(ids, found, strict=True):
        mask[period(row) :] = True  # target t is token t + 1
    return found


def period(row: Ids) -> int:
    """After how many tokens `row` (T,) begins again: the least n with row[i] = row[i − n]."""
    return next(n for n in range(1, len(row) + 1) if np.array_equal(row[n:], row[:-n]))


_make, _again = made(Repeat, KEY)
TASK = TaskSpec(
    key=KEY,
    says="Random tokens that repeat: what followed this token the last time follows again.",
    options=Options,
    make=_make,
    again=_again,
    defaults={"lstm": {"layers": 1, "width": 128, "rate": 5e-3}},
)
