"""Causal maps worked out in one compiled call are what softmax(q·kᵀ·scale) under a mask is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.causal import ROWS, mean_rows

Floats = NDArray[np.float32]


def _made(seed: int, heads: int, key_heads: int, count: int, width: int) -> tuple[Floats, Floats]:
    """Queries and keys with room behind them, which holds what must not be looked at."""
    random = np.random.default_rng(seed)
    queries = np.full((heads, count + 5, width), np.nan, np.float32)
    keys = np.full((key_heads, count + 3, width), np.nan, np.float32)
    queries[:, :count] = random.normal(0, 2, (heads, count, width))
    keys[:, :count] = random.normal(0, 2, (key_heads, count, width))
    return queries, keys


def _exact(queries: Floats, keys: Floats, scale: float, count: int) -> NDArray[np.float64]:
    """All maps (H, T, T) in double precision."""
    group = len(queries) // len(keys)
    wide = np.repeat(keys[:, :count], group, axis=0).astype(np.float64)
    scores = queries[:, :count].astype(np.float64) @ wide.transpose(0, 2, 1) * scale
    scores[:, ~np.tri(count, dtype=bool)] = -np.inf
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    found: NDArray[np.float64] = shares / shares.sum(axis=-1, keepdims=True)
    return found


def _rows(
    queries: Floats, keys: Floats, scale: float, heads: tuple[int, int], start: int, count: int
) -> Floats:
    out = np.full((count - start, count), np.nan, np.float32)
    mean_rows(queries, keys, scale, *heads, start, out)
    return out


@given(data=st.data(), seed=st.integers(0, 1 << 16))
def test_rows_are_the_mean_of_the_heads(data: st.DataObject, seed: int) -> None:
    key_heads, group = data.draw(st.sampled_from([(1, 1), (1, 3), (2, 2), (3, 3), (4, 1)]))
    heads, width = key_heads * group, data.draw(st.sampled_from([3, 8, 64]))
    count = data.draw(st.integers(1, 3 * ROWS + 2))
    start = data.draw(st.integers(0, count - 1))
    first = data.draw(st.integers(0, heads - 1))
    last = data.draw(st.integers(first + 1, heads))
    queries, keys = _made(seed, heads, key_heads, count, width)
    found = _rows(queries, keys, width**-0.5, (first, last), start, count)
    wanted = _exact(queries, keys, width**-0.5, count)[first:last, start:].mean(axis=0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
    assert not found[~np.tri(count, dtype=bool)[start:]].any()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_rows_do_not_depend_on_where_one_begins() -> None:
    count = 2 * ROWS + 7
    queries, keys = _made(0, 4, 2, count, 16)
    whole = _rows(queries, keys, 0.25, (0, 4), 0, count)
    for start in (1, ROWS - 1, ROWS, count - 1):
        np.testing.assert_allclose(
            _rows(queries, keys, 0.25, (0, 4), start, count), whole[start:], rtol=0, atol=5e-7
        )


@pytest.mark.parametrize("apart", [10.0, 86.0, 88.0, 104.0, 3e4])
def test_scores_far_below_the_largest_have_no_share(apart: float) -> None:
    queries, keys = np.ones((1, 2, 1), np.float32), np.zeros((1, 2, 1), np.float32)
    keys[0, 1] = -apart
    found = _rows(queries, keys, 1.0, (0, 1), 0, 2)
    wanted = np.exp(-np.float64(apart)) / (1 + np.exp(-np.float64(apart)))
    assert found[1, 1] == pytest.approx(wanted, rel=1e-6, abs=1e-37)
    assert found[1].sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [0, 40])
def test_a_key_that_overflowed_spoils_the_rows_that_see_it_and_no_others(
    bad: float, at: int
) -> None:
    count = 2 * ROWS
    queries, keys = _made(1, 2, 1, count, 8)
    keys[0, at] = bad
    found = _rows(queries, keys, 0.5, (0, 2), 0, count)
    assert np.isfinite(found[:at]).all()
    assert np.isnan(found[at:, : at + 1]).any(axis=1).all()
