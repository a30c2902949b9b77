"""Rows times weights of four bits: the loops of every machine, and those by pairs of bytes."""

from __future__ import annotations

from collections.abc import Callable

import llvmlite.binding
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.models import kernels, pairs
from engine.models.kernels import BLOCK, TILE
from engine.models.pairs import LARGE, PLACES, SMALL, STEPS, in_digits

Floats = NDArray[np.float32]
Weight = tuple[NDArray[np.uint32], Floats, Floats]
Product = Callable[[Floats, NDArray[np.uint32], Floats, Floats, Floats], None]

PRODUCTS = pytest.mark.parametrize(
    "product", [kernels.product4, pairs.product4], ids=["loops", "chosen"]
)
SIZES = (0.0, 1e-44, 1e-36, 1e-30, 1e-6, 1.0, 300.0, 1e6, 1e25, 1e30)


def weight_of(tiles: int, blocks: int, seed: int) -> Weight:
    """Codes, scales and lows."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**32, (tiles, blocks, BLOCK // 8, TILE), dtype=np.uint32)
    scales = rng.uniform(0.01, 0.2, (tiles, blocks, TILE)).astype(np.float32)
    return words, scales, rng.uniform(-1, 1, scales.shape).astype(np.float32)


def parts_of(weight: Weight) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``scale · code`` and ``low`` of each weight (O, B, 32)."""
    words, scales, lows = weight
    shifts = [8 * (k % 4) + 4 * (k // 4) for k in range(8)]
    codes = np.stack([words >> np.uint32(shift) & 15 for shift in shifts], -1)  # (…, 4, 64, 8)
    codes = codes.transpose(0, 3, 1, 2, 4).reshape(-1, words.shape[1], BLOCK)
    of_output = [part.transpose(0, 2, 1).reshape(-1, words.shape[1], 1) for part in (scales, lows)]
    scale, low = (part.astype(np.float64) for part in of_output)
    return scale * codes, low + 0 * codes


def run(product: Product, rows: Floats, weight: Weight) -> Floats:
    out = np.full((len(rows), len(weight[0]) * TILE), np.float32(7))
    product(rows, *weight, out)
    return out


@PRODUCTS
@given(
    sizes=st.lists(
        st.lists(st.sampled_from(SIZES), min_size=3, max_size=3), min_size=1, max_size=4
    ),
    peak=st.sampled_from([1.0, 50.0, 1e5]),
    tiles=st.integers(1, 2),
    seed=st.integers(0, 1000),
)
def test_off_by_no_more_than_rounding(
    product: Product, sizes: list[list[float]], peak: float, tiles: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = weight_of(tiles, 3, seed)
    rows = np.array(sizes)[:, :, None] * rng.normal(size=(len(sizes), 3, BLOCK))
    rows[:, :, seed % BLOCK] *= peak  # one large among many small
    rows = rows.astype(np.float32)
    found = run(product, rows.reshape(len(rows), -1), weight)
    coded, low = parts_of(weight)
    exact = rows.astype(np.float64)
    wanted = np.einsum("nbi,obi->no", exact, coded + low)
    terms = np.einsum("nbi,obi->no", np.abs(exact), coded + np.abs(low))
    step = np.abs(exact).max(-1) / STEPS  # (n, B)
    of_steps = np.einsum("nb,obi->no", step, coded)
    of_least = 2.0**-126 * coded.sum((1, 2))  # of the smallest floats, which have fewer bits
    assert np.all(np.abs(found - wanted) <= of_steps + BLOCK * 2.0**-24 * terms + of_least)


@PRODUCTS
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 31, 40, 63])
def test_what_is_no_number_stays_none_in_its_row(product: Product, bad: float, at: int) -> None:
    weight = weight_of(2, 2, 0)
    rows = np.random.default_rng(1).normal(size=(3, 2 * BLOCK)).astype(np.float32)
    good = run(product, rows, weight)
    rows[1, at] = bad
    found = run(product, rows, weight)
    assert not np.isfinite(found[1]).any()
    np.testing.assert_array_equal(found[[0, 2]], good[[0, 2]])


@PRODUCTS
def test_rows_have_nothing_to_do_with_each_other(product: Product) -> None:
    weight = weight_of(3, 5, 2)
    rows = np.random.default_rng(3).normal(size=(4, 5 * BLOCK)).astype(np.float32)
    rows[2] *= np.float32(1e-35)  # which goes through other loops
    alone = [run(product, row[None], weight)[0] for row in rows]
    np.testing.assert_array_equal(run(product, rows, weight), alone)


def test_pairs_are_chosen_where_the_machine_has_them() -> None:
    has = llvmlite.binding.get_host_cpu_features().get("avx2", False)
    assert (pairs.product4 is not kernels.product4) == has


@given(
    size=st.sampled_from([2.0**-89, 1e-6, 1.0, 3.3, 1e9, 2.0**89]),
    seed=st.integers(0, 1000),
    alike=st.booleans(),
)
def test_digits_are_those_of_the_row(size: float, seed: int, alike: bool) -> None:
    rng = np.random.default_rng(seed)
    row = (rng.choice([-1.0, 1.0], 64) if alike else rng.uniform(-1, 1, 64)) * size
    row[32:] = 0
    row = row.astype(np.float32)
    digits, steps, sums = np.empty((2, 3, BLOCK), np.int8), *np.empty((2, 2), np.float32)
    assert in_digits(row, digits, steps, sums)
    back = np.einsum("k,bkj->bj", PLACES, digits.astype(np.float64)) * steps[:, None]
    largest = np.abs(row).max()
    assert STEPS / 2.02 <= largest / steps[0] <= STEPS
    assert np.abs(back.ravel() - row).max() <= steps[0] / 2
    assert steps[1] == 0
    np.testing.assert_allclose(sums, row.reshape(2, -1).sum(1), rtol=0, atol=1e-5 * largest)
    # What sums of sixteen and of 32 bits have room for.
    assert np.abs(digits.astype(int)).max() <= 128
    numbers = np.einsum("k,bkj->bj", PLACES, digits.astype(np.int64))
    assert 15 * np.abs(numbers).sum() < 2**31


@pytest.mark.parametrize("bad", [SMALL / 2, 1e-45, LARGE, 1e30, np.nan, np.inf, -np.inf])
def test_what_has_no_good_steps_is_told(bad: float) -> None:
    row = np.zeros(64, np.float32)
    digits, steps, sums = np.empty((2, 3, BLOCK), np.int8), *np.empty((2, 2), np.float32)
    assert in_digits(row, digits, steps, sums)
    row[:32], row[40] = 1, bad
    assert not in_digits(row, digits, steps, sums)
