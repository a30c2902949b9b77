"""How much attention goes to a pinned range of tokens, and what its own tokens attend to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.types import Floats
from gui.session import Range


@dataclass(frozen=True, slots=True, eq=False)
class RangeStats:
    """What a map (T, S) says of the tokens a to b − 1.

    `paid` (T,) is what each query gives to the range, Σ_{a≤j<b} A[i, j]; empty where the range is
    not on the key axis. `taken` (S,) is what each key gets from the range, the mean of A[i, j] over
    the range's queries; empty where the range is not on the query axis. `share` is the mean of
    `paid` over the queries that can see the whole range and are not in it, `even` what they would
    give it if each spread its attention evenly; None without such queries. `inside` is what the
    range's queries give to the range itself, on average.
    """

    paid: Floats
    taken: Floats
    share: float | None
    even: float | None
    inside: float | None


def range_stats(
    weights: Floats, range_: Range, causal: bool, *, queries: bool = True, keys: bool = True
) -> RangeStats:
    """Measure a range on a map (T, S). Weights that are not finite count as zero.

    Parameters
    ----------
    weights : float32 (T, S)
        Attention of each query; rows sum to one.
    range_ : (int, int)
        First token, and the one after the last; cut to what there is.
    causal : bool
        Whether query i sees keys up to i only.
    queries, keys : bool
        Whether the range's tokens are those of that axis.
    """
    count, width = weights.shape
    none = np.zeros(0, np.float32)
    paid = taken = none
    share = even = inside = None
    first, after = range_
    if keys:
        a, b = min(first, width), min(after, width)
        paid = _finite(weights[:, a:b]).sum(axis=1)
        if queries and b > a:
            inside = float(paid[a : min(b, count)].mean()) if a < count else None
        # Those outside; of a causal model those before see nothing of it.
        outside = np.ones(count, np.bool_)
        if queries:
            outside[: b if causal else 0] = False
            outside[a:b] = False
        if outside.any() and b > a:
            seen = np.minimum(np.arange(1, count + 1), width) if causal else np.full(count, width)
            share = float(paid[outside].mean())
            even = float(((b - a) / seen[outside]).mean())
    if queries and first < count:
        taken = _finite(weights[first:after]).mean(axis=0)
    return RangeStats(paid, taken, share, even, inside)


def _finite(weights: Floats) -> Floats:
    found: Floats = np.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0)
    return found
