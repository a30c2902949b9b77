"""The few numbers that are read off an attention map while it is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.types import Floats

SINK_SHARE = 0.25
"""From this share of the attention on, and twice what even attention would give, it is a sink."""


def entropy_bits(row: Floats) -> float:
    """Entropy −Σ_j A log2 A of one query's attention (S,), in bits; NaN and zeros add nothing."""
    weights = row[row > 0].astype(np.float64)
    return abs(float(np.sum(weights * np.log2(weights))))


def rank(row: Floats, key: int) -> int:
    """Place of `key` among the keys of one query (S,), 1 for the largest weight; ties share it."""
    return 1 + int(np.count_nonzero(row > row[key]))


def causal_mask(queries: int, keys: int) -> NDArray[np.bool_]:
    """Which cells (T, S) a causal model may not attend to: True for keys after the query."""
    return np.triu(np.ones((queries, keys), np.bool_), 1)


@dataclass(frozen=True, slots=True)
class FirstKey:
    """How much attention rests on the first key.

    `share` is the mean weight on it over the queries that could look elsewhere, and `even` what
    the same queries would give it if each spread its attention evenly.
    """

    share: float
    even: float

    @property
    def is_sink(self) -> bool:
        """Whether it draws so much that its meaning cannot be the reason."""
        return self.share >= max(SINK_SHARE, 2 * self.even)


def first_key(weights: Floats, causal: bool) -> FirstKey | None:
    """Measure the attention on the first key of a map (T, S); None where no query has a choice.

    A causal model's first query can attend to nothing but itself and is left out.
    """
    queries, keys = weights.shape
    choosing = weights[1:] if causal else weights
    if keys < 2 or not len(choosing):
        return None
    firsts = choosing[:, 0].astype(np.float64)
    share = float(np.mean(np.where(np.isfinite(firsts), firsts, 0)))
    seen = np.minimum(np.arange(2, queries + 1), keys) if causal else np.array([keys])
    return FirstKey(share, float(np.mean(1 / seen)))
