"""The two largest eigenvalues, held against all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import krylov
from engine.krylov import largest_two


def rows_of(count: int, width: int, seed: int, fall: float) -> krylov.Floats:
    """Rows whose spread falls by a factor from one direction to the next, turned at random."""
    dice = np.random.default_rng(seed)
    turn = np.linalg.qr(dice.normal(size=(width, width)))[0]
    spread = dice.normal(size=(count, width)) * fall ** np.arange(width)
    found: krylov.Floats = (spread @ turn).astype(np.float32)
    return found


@given(
    count=st.integers(3, 150),
    width=st.integers(3, 120),
    seed=st.integers(0, 10_000),
    fall=st.sampled_from([0.5, 0.9, 0.98]),
    size=st.sampled_from([1e-6, 1.0, 1e6]),
)
@settings(deadline=None, max_examples=80)
def test_they_are_those_of_a_whole_decomposition(
    count: int, width: int, seed: int, fall: float, size: float
) -> None:
    rows = rows_of(count, width, seed, fall) * np.float32(size)
    whole = rows.astype(np.float64)
    wanted, vectors = np.linalg.eigh(whole.T @ whole)
    wanted, vectors = wanted[::-1][:2], vectors[:, ::-1][:, :2]
    start = (whole**2).sum(axis=0)
    for matrix, by_rows in ((rows, True), ((whole.T @ whole).astype(np.float32), False)):
        values, found = largest_two(matrix, start, by_rows)
        np.testing.assert_allclose(values, wanted, atol=5e-6 * wanted[0])
        np.testing.assert_allclose(found.T @ found, np.eye(2), atol=1e-5)
        # What is seen along them, which does not tell nearly even directions apart.
        seen = np.linalg.norm(whole @ found, axis=0) ** 2
        np.testing.assert_allclose(seen, wanted, atol=2e-5 * wanted[0])


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("count", [2, 200])
def test_rows_that_lie_on_a_line_or_in_a_plane(rank: int, count: int) -> None:
    dice = np.random.default_rng(rank)
    rows = (dice.normal(size=(count, rank)) @ dice.normal(size=(rank, 50))).astype(np.float32)
    values, found = largest_two(rows, (rows.astype(np.float64) ** 2).sum(axis=0), by_rows=True)
    wanted = np.linalg.svd(rows.astype(np.float64), compute_uv=False)[:2] ** 2
    np.testing.assert_allclose(values, wanted, atol=2e-6 * wanted[0])
    assert np.isfinite(found).all()


def test_a_direction_at_right_angles_to_the_first_vector_is_found() -> None:
    # Two even variances that go together: one direction is their sum, the other their difference.
    rows = np.zeros((4, 6), np.float32)
    rows[0, :2], rows[1, :2] = (3, 3), (-3, -3)
    rows[2, :2], rows[3, :2] = (1, -1), (-1, 1)
    values, found = largest_two(rows, (rows.astype(np.float64) ** 2).sum(axis=0), by_rows=True)
    np.testing.assert_allclose(values, [36, 4], rtol=1e-6)
    np.testing.assert_allclose(np.abs(found[:2]), np.sqrt(0.5), rtol=1e-5)


def test_what_is_hard_to_tell_apart_is_found_with_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = rows_of(300, 100, 3, 0.999)
    monkeypatch.setattr(krylov, "_MOST", 15)
    asked: list[bool] = []
    every = krylov._all
    monkeypatch.setattr(krylov, "_all", lambda *given: (asked.append(True), every(*given))[1])
    values, _ = largest_two(rows, np.ones(100), by_rows=True)
    wanted = np.linalg.svd(rows.astype(np.float64), compute_uv=False)[:2] ** 2
    np.testing.assert_allclose(values, wanted, rtol=1e-6)
    assert asked
