"""Addition of two numbers of n digits, the sum written from its last digit on.

``47+85=231`` says 47 + 85 = 132: written so, a digit depends on what stands before it and on a
carry, as one adds on paper; the other way round the first digit would depend on all the others.
Sums in which 0 ≤ a, b < 10ⁿ are split once and for all: a tenth is held out and never trained on.
Shape letters: B rows, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.lab.tasks.spec import HELD_OUT_SEED, Ids, Rows, Task, TaskSpec, characters, made

KEY = "addition"
ALPHABET = "0123456789+="
MOST_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Options:
    """Its choices: `digits` of each number."""

    digits: int = 3


class Addition(Task):
    """The sum's digits are learnt and judged.

    Raises
    ------
    UserError
        If the numbers are too long.
    """

    def __init__(self, options: Options) -> None:
        if not 1 <= options.digits <= MOST_DIGITS:
            raise UserError(
                "Cannot make sums",
                f"numbers of {options.digits} digits are asked for",
                f"Choose from 1 to {MOST_DIGITS}",
            )
        self.tokenizer = characters(ALPHABET)
        self.digits = options.digits
        self.length = 3 * options.digits + 3
        # The last digit of the sum, which comes first, and its first.
        self.early, self.late = 2 * options.digits + 1, self.length - 2

    def rows(self, rng: np.random.Generator, count: int) -> Rows:
        """See `Task.rows`."""
        return self._rows(rng, count, held_out=False)

    def held_out(self, most: int) -> Rows:
        """See `Task.held_out`."""
        return self._rows(np.random.default_rng(HELD_OUT_SEED), most, held_out=True)

    def _rows(self, rng: np.random.Generator, count: int, held_out: bool) -> Rows:
        pairs = np.empty((0, 2), dtype=np.int64)
        while len(pairs) < count:
            drawn = rng.integers(0, 10**self.digits, (count + 16, 2))
            pairs = np.concatenate([pairs, drawn[is_held_out(drawn) == held_out]])
        pairs = pairs[:count]
        ids = self._written(pairs[:, 0], pairs[:, 1])
        learnt = np.zeros((count, self.length - 1), dtype=np.bool_)
        learnt[:, self.early :] = True
        return Rows(ids, learnt, learnt)

    def _written(self, a: Ids, b: Ids) -> Ids:
        """Numbers (B,) each → the rows (B, T)."""
        n = self.digits
        ids = np.empty((len(a), self.length), dtype=np.int64)
        plus, equals = 1 + ALPHABET.index("+"), 1 + ALPHABET.index("=")
        ids[:, n], ids[:, 2 * n + 1] = plus, equals
        for place in range(n):
            ids[:, n - 1 - place] = 1 + a // 10**place % 10
            ids[:, 2 * n - place] = 1 + b // 10**place % 10
        for place in range(n + 1):
            ids[:, 2 * n + 2 + place] = 1 + (a + b) // 10**place % 10
        return ids


def is_held_out(pairs: Ids) -> NDArray[np.bool_]:
    """Which sums (n, 2) are never trained on: a tenth, by a hash of the two numbers."""
    mixed = pairs[:, 0].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= pairs[:, 1].astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    found: NDArray[np.bool_] = (mixed >> np.uint64(32)) % np.uint64(10) == 0
    return found


_make, _again = made(Addition, KEY)
TASK = TaskSpec(
    key=KEY,
    says="Sums of two numbers; the answer is written from its last digit on.",
    options=Options,
    make=_make,
    again=_again,
    defaults={
        "transformer": {"inner": 256, "rate": 3e-3, "steps": 1200, "batch": 64},
        "lstm": {"layers": 1, "width": 128, "rate": 5e-3, "steps": 1200, "batch": 64},
    },
)
