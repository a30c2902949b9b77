"""Intervals are held to what they should cover, macro-F1 to scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from engine.studies import bootstrap


def test_an_interval_of_one_group_is_that_of_its_mean():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found = bootstrap.mean(values, bootstrap.resamples(1, 400))
    assert found.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / np.sqrt(400)
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


def test_groups_that_differ_widen_the_interval():
    values = np.repeat([[0.0], [1.0], [2.0], [3.0]], 50, axis=1)  # alike within, not between
    grouped = bootstrap.mean(values, bootstrap.resamples(4, 50))
    pooled = bootstrap.mean(values, bootstrap.resamples(1, 200))
    assert grouped.high - grouped.low > 4 * (pooled.high - pooled.low)


def test_resamples_keep_to_their_groups():
    drawn = bootstrap.resamples(3, 5, count=50)
    assert drawn.shape == (50, 15)
    assert (np.diff(drawn.reshape(50, 3, 5) // 5, axis=2) == 0).all()
    assert drawn.max() == 14


def test_means_of_columns_are_those_of_each():
    rows = np.random.default_rng(0).normal(size=(30, 4))
    drawn = bootstrap.resamples(1, 30)
    middle, low, high = bootstrap.means(rows, drawn)
    for column in range(4):
        one = bootstrap.mean(rows[:, column], drawn)
        assert (middle[column], low[column], high[column]) == pytest.approx(
            (one.value, one.low, one.high)
        )


def test_macro_f1_is_scikit_learns():
    rng = np.random.default_rng(0)
    gold, said = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    drawn = bootstrap.resamples(1, 60, count=200)
    found = bootstrap.macro_f1(gold, said, 5, drawn)  # two classes never come up
    assert found.value == pytest.approx(f1_score(gold, said, average="macro"))
    each = [f1_score(gold[at], said[at], average="macro", zero_division=0) for at in drawn]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(each, (2.5, 97.5))))
    perfect = bootstrap.macro_f1(gold, gold, 3, drawn)
    assert (perfect.value, perfect.low, perfect.high) == (1.0, 1.0, 1.0)
