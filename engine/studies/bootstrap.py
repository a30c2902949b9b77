"""Percentile bootstrap intervals of means, of groups of observations, and of macro-F1.

Shape letters: B resamples, G groups, N observations a group, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.studies.values import Interval

RESAMPLES = 2000
_TAILS = (2.5, 97.5)

Floats64 = NDArray[np.float64]
Ints = NDArray[np.int64]


def resamples(groups: int, each: int, seed: int = 0, count: int = RESAMPLES) -> Ints:
    """Draw observations as they might have come out: groups first, then what is in each.

    Queries of one seed share their examples, so that the seed is what was drawn; of one group only
    what is in it is drawn anew.

    Returns
    -------
    (B, G·N) int64
        Into the observations (G, N), flattened.
    """
    rng = np.random.default_rng(seed)
    which = rng.integers(groups, size=(count, groups, 1))
    within = rng.integers(each, size=(count, groups, each))
    flat: Ints = (which * each + within).reshape(count, -1)
    return flat


def mean(values: ArrayLike, drawn: Ints) -> Interval:
    """Mean of observations (G, N) and its 95 % interval over the resamples `drawn`."""
    flat = np.asarray(values, np.float64).ravel()
    low, high = np.percentile(flat[drawn].mean(axis=1), _TAILS)
    return Interval(float(flat.mean()), float(low), float(high))


def means(values: ArrayLike, drawn: Ints) -> tuple[Floats64, Floats64, Floats64]:
    """Means over observations (N, M), and their intervals: three arrays (M,)."""
    rows = np.asarray(values, np.float64)
    # As weights: one product instead of B copies of the rows.
    counts = np.zeros((len(drawn), len(rows)))
    np.add.at(counts, (np.arange(len(drawn))[:, None], drawn), 1.0)
    low, high = np.percentile(counts @ rows / drawn.shape[1], _TAILS, axis=0)
    return rows.mean(axis=0), low, high


def macro_f1(gold: ArrayLike, predicted: ArrayLike, classes: int, drawn: Ints) -> Interval:
    """Macro-F1 of classes 0 to C − 1 (G, N) and its 95 % interval over the resamples `drawn`.

    The mean of F1 over the classes that come up, as gold or as predicted.
    """
    code = (np.asarray(gold, np.int64) * classes + np.asarray(predicted, np.int64)).ravel()
    low, high = np.percentile(_f1(code[drawn], classes), _TAILS)
    return Interval(float(_f1(code[None], classes)[0]), float(low), float(high))


def _f1(codes: Ints, classes: int) -> Floats64:
    """Macro-F1 (B,) of codes gold·C + predicted (B, N)."""
    shifted = codes + np.arange(len(codes))[:, None] * classes**2
    counts = np.bincount(shifted.ravel(), minlength=len(codes) * classes**2)
    tables = counts.reshape(len(codes), classes, classes).astype(np.float64)  # gold by predicted
    hits = np.diagonal(tables, axis1=1, axis2=2)  # (B, C)
    both = tables.sum(axis=1) + tables.sum(axis=2)  # 2 TP + FP + FN
    there = both > 0
    each = np.divide(2 * hits, both, out=np.zeros_like(hits), where=there)
    found: Floats64 = each.sum(axis=1) / there.sum(axis=1)
    return found
