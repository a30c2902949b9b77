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
    """The values asked for are learnt and judged.

    Were those listed learnt too, which are noise, a model that tells all after 200 steps told a
    quarter of them after 500.

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
        # The first value asked for, and the last: nothing foretells those that are listed.
        self.early, self.late = 2 * options.pairs, self.length - 2

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
        asked_for = np.zeros((count, self.length - 1), dtype=np.bool_)
        asked_for[:, half::2] = True  # target t is token t + 1, and values stand at odd places
        return Rows(ids, asked_for, asked_for)

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
    defaults={
        "transformer": {"rate": 3e-3, "steps": 400, "batch": 64},
        "lstm": {"layers": 1, "width": 128, "rate": 5e-3, "steps": 400, "batch": 64},
    },
)
