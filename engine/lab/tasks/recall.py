"""In-context recall: pairs of a key and a value are listed, then the keys are asked for.

A row of three pairs reads ``aQcXbF bFaQcX`` without the space: each value is drawn anew for each
row, so that only the context can tell it. Shape letters: B rows, T tokens.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np

from engine.errors import UserError
from engine.lab.tasks.spec import HELD_OUT_SEED, Ids, Rows, Task, TaskSpec, characters, made

KEY = "recall"
KEYS, VALUES = string.ascii_lowercase, string.ascii_uppercase


@dataclass(frozen=True, slots=True)
class Options:
    """Its choices: at most `pairs` are listed in a row, of keys that are all different."""

    pairs: int = 8


class Recall(Task):
    """The values are learnt; those asked for are judged.

    Raises
    ------
    UserError
        If there are not so many keys.
    """

    def __init__(self, options: Options) -> None:
        if not 1 <= options.pairs <= len(KEYS):
            raise UserError(
                "Cannot make rows to recall from",
                f"{options.pairs} pairs are asked for, and there are {len(KEYS)} keys",
                f"Choose from 1 to {len(KEYS)}",
            )
        self.tokenizer = characters(KEYS + VALUES)
        self.pairs = options.pairs
        self.length = 4 * options.pairs
        # The first value listed and the last one asked for.
        self.early, self.late = 0, self.length - 2

    def rows(self, rng: np.random.Generator, count: int) -> Rows:
        """Rows that list from two pairs to all, and ask until they are full.

        With eight pairs in every row, nothing was learnt in 800 steps but which values there are:
        which of two it is shows sooner.
        """
        least = min(2, self.pairs)
        return self._rows(rng, rng.integers(least, self.pairs + 1, count))

    def held_out(self, most: int) -> Rows:
        """Rows that list all pairs and ask for each once; two alike are as good as impossible."""
        return self._rows(np.random.default_rng(HELD_OUT_SEED), np.full(most, self.pairs))

    def _rows(self, rng: np.random.Generator, pairs: Ids) -> Rows:
        """A row for each of `pairs` (B,), the numbers of pairs that are listed."""
        ids = np.empty((len(pairs), self.length), dtype=np.int64)
        learnt = np.zeros((len(pairs), self.length - 1), dtype=np.bool_)
        learnt[:, ::2] = True  # target t is token t + 1, and values stand at odd places
        judged = learnt.copy()
        for row, mask, n in zip(ids, judged, pairs.tolist(), strict=True):
            keys = 1 + rng.permutation(len(KEYS))[:n]
            values = 1 + len(KEYS) + rng.integers(0, len(VALUES), n)
            left = self.length // 2 - n
            asked = np.concatenate([rng.permutation(n) for _ in range(-(-left // n))])[:left]
            order = np.concatenate([np.arange(n), asked])
            row[::2], row[1::2] = keys[order], values[order]
            mask[: 2 * n] = False
        return Rows(ids, learnt, judged)


_make, _again = made(Recall, KEY)
TASK = TaskSpec(
    key=KEY,
    says="Pairs of a key and a value, then the keys again: each value stands in the context.",
    options=Options,
    make=_make,
    again=_again,
    defaults={"transformer": {}, "lstm": {}},
)
