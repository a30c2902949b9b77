"""The two directions of most variance, held against all of them in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import krylov
from engine.krylov import Doubles, Floats, largest_two, seen_along_two
from engine.principal import plane_of

CLOSE = 1e-9
"""Of shares of the variance."""


def rows_of(count: int, spectrum: Doubles, seed: int, far: float = 0.0) -> Floats:
    """Rows of those singular values but for rounding, as many as there are, in any directions.

    `far` is how many of their largest deviations their mean is away.
    """
    dice = np.random.default_rng(seed)
    width = len(spectrum)
    many = min(count - 1, width)
    turned = np.linalg.qr(dice.normal(size=(width, width)))[0]
    ones = np.concatenate([np.ones((count, 1)), dice.normal(size=(count, many))], axis=1)
    placed = np.linalg.qr(ones)[0][:, 1 : many + 1] * spectrum[:many]  # their mean is zero
    mean = far * spectrum.max() / np.sqrt(count) * dice.normal(size=width)
    found: Floats = (placed @ turned[:many] + mean).astype(np.float32)
    return found


def whole(rows: Floats, taken: np.ndarray) -> tuple[Doubles, Doubles, Doubles, float]:
    """Mean, all values and vectors, and the total, by a decomposition of all in doubles."""
    wide = rows.astype(np.float64)
    mean = wide[taken].mean(axis=0)
    _, values, vectors = np.linalg.svd(wide[taken] - mean, full_matrices=False)
    return mean, values**2, vectors.T, float((values**2).sum())


def hold(rows: Floats, taken: np.ndarray, close: float = CLOSE) -> krylov.Spread:
    """Values, and what is seen along the vectors, are those of all of them."""
    spread = largest_two(rows, taken)
    mean, values, vectors, total = whole(rows, taken)
    wanted = np.zeros(2)
    wanted[: len(values)] = values[:2]
    np.testing.assert_allclose(spread.mean, mean, atol=1e-12 * np.abs(rows[taken]).max())
    np.testing.assert_allclose(spread.total, total, rtol=close)
    np.testing.assert_allclose(spread.values / total, wanted / total, atol=close)
    seen = (rows[taken].astype(np.float64) - mean) @ spread.vectors
    # Which does not tell nearly even directions apart.
    np.testing.assert_allclose(seen.T @ seen / total, np.diag(wanted) / total, atol=close)
    apart = -np.diff(values[:3]) / values[0]
    if len(apart) == 2 and apart.min() > 1e-4:
        signs = np.sign((spread.vectors * vectors[:, :2]).sum(axis=0))
        np.testing.assert_allclose(spread.vectors * signs, vectors[:, :2], atol=1e-7)
    return spread


def some_of(count: int, seed: int, share: float) -> np.ndarray:
    taken: np.ndarray = np.random.default_rng(seed).random(count) < share
    taken[:2] = True
    return taken


@given(
    count=st.integers(2, 150),
    width=st.integers(3, 120),
    seed=st.integers(0, 10_000),
    fall=st.sampled_from([0.5, 0.9, 0.98, 1.0]),
    size=st.sampled_from([1e-6, 1.0, 1e6]),
    far=st.sampled_from([0, 1, 100]),
    share=st.sampled_from([0.5, 0.95, 1]),
)
@settings(deadline=None, max_examples=120)
def test_they_are_those_of_a_whole_decomposition(
    count: int, width: int, seed: int, fall: float, size: float, far: float, share: float
) -> None:
    rows = rows_of(count, size * fall ** np.arange(width), seed, far)
    hold(rows, some_of(count, seed, share))


@given(
    spectrum=st.lists(st.floats(0, 1), min_size=3, max_size=60),
    more=st.integers(-20, 40),
    seed=st.integers(0, 10_000),
)
@settings(deadline=None, max_examples=120)
def test_they_are_of_any_spectrum(spectrum: list[float], more: int, seed: int) -> None:
    count = max(3, len(spectrum) + more)
    rows = rows_of(count, np.array([1.0, *spectrum]), seed)
    hold(rows, np.ones(count, np.bool_))


@pytest.mark.parametrize("tie", [0, 1e-9, 1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize("first", [1, 2, 30])
def test_near_ties_are_told_apart(tie: float, first: int) -> None:
    # The two, or the second and a third, and many others below them.
    spectrum = np.concatenate([[first, 1, 1 - tie], 0.9 * 0.97 ** np.arange(90)])
    hold(rows_of(200, spectrum, 7), np.ones(200, np.bool_))


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("count", [3, 200])
def test_rows_that_lie_on_a_line_or_in_a_plane(rank: int, count: int) -> None:
    dice = np.random.default_rng(rank)
    rows = (dice.normal(size=(count, rank)) @ dice.normal(size=(rank, 50))).astype(np.float32)
    hold(rows, np.ones(count, np.bool_))


@pytest.mark.parametrize("count", [3, 4, 40])
def test_of_directions_that_all_tie_two_are_found(count: int) -> None:
    # No product leads out of the first vector: there is one value.
    rows = np.eye(count, 50, dtype=np.float32)
    spread = hold(rows, np.ones(count, np.bool_))
    np.testing.assert_allclose(spread.values, 1)
    hold(5 * rows, np.ones(count, np.bool_))


def test_what_ties_below_the_first_is_found() -> None:
    rows = np.zeros((8, 6), np.float32)
    for i, by in enumerate((3, 2, 2, 1)):
        rows[2 * i, i], rows[2 * i + 1, i] = by, -by
    spread = hold(rows, np.ones(8, np.bool_))
    np.testing.assert_allclose(spread.values, [18, 8])
    np.testing.assert_allclose(np.abs(spread.vectors[0]), [1, 0], atol=1e-12)
    both = hold(rows[2:], np.ones(6, np.bool_))  # the two themselves
    np.testing.assert_allclose(both.values, [8, 8])


def test_a_direction_at_right_angles_to_the_first_vector_is_found() -> None:
    # Two even variances that go together: one direction is their sum, the other their difference.
    rows = np.zeros((4, 6), np.float32)
    rows[0, :2], rows[1, :2] = (3, 3), (-3, -3)
    rows[2, :2], rows[3, :2] = (1, -1), (-1, 1)
    spread = largest_two(rows, np.ones(4, np.bool_))
    np.testing.assert_allclose(spread.values, [36, 4], rtol=1e-12)
    np.testing.assert_allclose(np.abs(spread.vectors[:2]), np.sqrt(0.5), rtol=1e-12)


@pytest.mark.parametrize("taken", [True, False])
def test_a_row_a_thousand_times_longer(taken: bool) -> None:
    rows = rows_of(160, 0.95 ** np.arange(100), 4, far=1)
    rows[0] *= 1000
    some = np.ones(160, np.bool_)
    some[0] = taken
    spread = hold(rows, some)
    # Beside it, the second's own variance is small; it is right for itself.
    _, values, _, _ = whole(rows, some)
    np.testing.assert_allclose(spread.values, values[:2], rtol=1e-9)


def test_a_mean_ten_thousand_deviations_away() -> None:
    hold(rows_of(120, 0.9 ** np.arange(40), 5, far=1e4), np.ones(120, np.bool_))


@pytest.mark.parametrize("size", [1e-20, 1e-9, 1e18, 1e30])
def test_squares_that_single_precision_does_not_hold(size: float) -> None:
    hold(rows_of(60, size * 0.9 ** np.arange(40), 6), np.ones(60, np.bool_))


@pytest.mark.parametrize("value", [0, 0.1, -7e20])
def test_of_rows_that_are_all_the_same_nothing_is_left(value: float) -> None:
    rows = np.full((31, 9), value, np.float32)
    spread = largest_two(rows, np.arange(31) > 2)
    assert spread.total == 0
    assert not spread.values.any()
    np.testing.assert_array_equal(spread.mean, rows[0])
    one = rows_of(5, 0.5 ** np.arange(4), 1)
    assert largest_two(one, np.arange(5) == 3).total == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_only_rows_that_take_part_are_looked_at(bad: float) -> None:
    rows = rows_of(50, 0.8 ** np.arange(20), 2)
    rows[[0, 17]] = bad
    taken = np.isfinite(rows).all(axis=1)
    rows.setflags(write=False)
    hold(rows, taken)
    taken = np.ones(50, np.bool_)
    spread = largest_two(rows, taken)
    assert not np.isfinite(spread.total)
    assert not spread.vectors.any()


@pytest.mark.parametrize("count", [60, 300])
def test_what_is_hard_to_tell_apart_is_found_with_all_others(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(count, 0.999 ** np.arange(100), 3, far=2)
    monkeypatch.setattr(krylov, "_MOST", 15)
    asked: list[bool] = []
    every = krylov._all
    monkeypatch.setattr(krylov, "_all", lambda given: (asked.append(True), every(given))[1])
    hold(rows, some_of(count, 3, 0.9))
    assert asked


@given(
    count=st.integers(3, 120),
    width=st.integers(3, 100),
    seed=st.integers(0, 10_000),
    fall=st.sampled_from([0.6, 0.9, 0.97]),
)
@settings(deadline=None, max_examples=60)
def test_the_plane_is_that_of_a_whole_decomposition(
    count: int, width: int, seed: int, fall: float
) -> None:
    rows, taken = rows_of(count, fall ** np.arange(width), seed, far=1), some_of(count, seed, 0.9)
    if taken.sum() < 4:
        taken[:] = True
    xy, explained = plane_of(rows, taken)
    mean, values, vectors, total = whole(rows, taken)
    np.testing.assert_allclose(explained, values[:2] / total, atol=CLOSE)
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)[0]
    if np.diff(np.sort(np.abs(vectors[:, :2]), axis=0)[-2:], axis=0).min() < 1e-6:
        return  # either way round
    anew = (rows - mean) @ (vectors * np.sign(largest))[:, :2]
    if min(-np.diff(values[:3])) > 1e-5 * values[0]:
        np.testing.assert_allclose(xy, anew, atol=1e-7 * np.ptp(anew, axis=0).max())


def test_where_rows_are_seen() -> None:
    rows = rows_of(41, 0.9 ** np.arange(37), 8, far=3)
    mean, _, vectors, _ = whole(rows, np.ones(41, np.bool_))
    found = seen_along_two(rows, mean, vectors[:, :2])
    np.testing.assert_allclose(found, (rows - mean) @ vectors[:, :2], atol=1e-13)
