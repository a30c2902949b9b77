"""In-context recall: pairs of a key and a value are listed, then the keys are asked for.

A row of three pairs reads ``aQcXbF bFaQcX`` without the space: each value is drawn anew for each
row, so that only the context can tell it. Shape letters: B rows, T tokens.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np

from engine.errors import UserError
from engine.lab.tasks.spec import HELD_OUT_SEED, Rows, Task, TaskSpec, characters, made

KEY = "recall"
KEYS, VALUES = string.ascii_lowercase, string.ascii_uppercase


@dataclass(frozen=True, slots=True)
class Options:
    """Its choices: `pairs` listed in a row, of keys that are all different."""

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
        """See `Task.rows`."""
        half = 2 * self.pairs
        ids = np.empty((count, self.length), dtype=np.int64)
        for row in ids:
            keys = 1 + rng.permutation(len(KEYS))[: self.pairs]
            values = 1 + len(KEYS) + rng.integers(0, len(VALUES), self.pairs)
            row[0:half:2], row[1:half:2] = keys, values
            asked = rng.permutation(self.pairs)
            row[half::2], row[half + 1 :: 2] = keys[asked], values[asked]
        learnt = np.zeros((count, self.length - 1), dtype=np.bool_)
        learnt[:, ::2] = True  # target t is token t + 1, and values stand at odd places
        judged = learnt.copy()
        judged[:, :half] = False
        return Rows(ids, learnt, judged)

    def held_out(self, most: int) -> Rows:
        """See `Task.held_out`; two rows alike are as good as impossible."""
        return self.rows(np.random.default_rng(HELD_OUT_SEED), most)


_make, _again = made(Recall, KEY)
TASK = TaskSpec(
    key=KEY,
    says="Pairs of a key and a value, then the keys again: each value stands in the context.",
    options=Options,
    make=_make,
    again=_again,
    defaults={"transformer": {}, "lstm": {}},
)
