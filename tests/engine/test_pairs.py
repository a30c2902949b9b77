"""Rows times weights of four bits: the loops of every machine, and those by pairs of bytes."""

from __future__ import annotations

from collections.abc import Callable

import llvmlite.binding
import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.models import kernels, pairs
from engine.models.kernels import BLOCK, TILE
from engine.models.pairs import LEAST, MIDDLE, PLACES, STEPS, in_digits

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


def parts_of(weight: Weight) -> list[NDArray[np.float64]]:
    """``scale · code``, ``low`` and ``scale`` of each weight (O, B, 32)."""
    words, scales, lows = weight
    shifts = [8 * (k % 4) + 4 * (k // 4) for k in range(8)]
    codes = np.stack([words >> np.uint32(shift) & 15 for shift in shifts], -1)  # (…, 4, 64, 8)
    codes = codes.transpose(0, 3, 1, 2, 4).reshape(-1, words.shape[1], BLOCK)
    of_output = [part.transpose(0, 2, 1).reshape(-1, words.shape[1], 1) for part in (scales, lows)]
    scale, low = (part.astype(np.float64) for part in of_output)
    return [scale * codes, low + 0 * codes, scale + 0 * codes]


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
    coded, low, scale = parts_of(weight)
    exact = rows.astype(np.float64)
    wanted = np.einsum("nbi,obi->no", exact, coded + low)
    terms = np.einsum("nbi,obi->no", np.abs(exact), coded + np.abs(low))
    step = np.abs(exact).max(-1) / STEPS  # (n, B)
    of_steps = np.einsum("nb,obi->no", step, np.abs(coded - MIDDLE * scale))
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
    alone = [run(product, row[None], weight)[0] for row in rows]
    np.testing.assert_array_equal(run(product, rows, weight), alone)


@pytest.mark.skipif(bool(numba.config.CPU_NAME), reason="compiled for another machine")
def test_pairs_are_chosen_where_the_machine_has_them() -> None:
    has = llvmlite.binding.get_host_cpu_features().get("avx2", False)
    assert (pairs.product4 is not kernels.product4) == has


@given(
    size=st.sampled_from([1e-30, 1e-6, 1.0, 3.3, 1e9, 1e36]),
    seed=st.integers(0, 1000),
    alike=st.booleans(),
)
def test_digits_are_those_of_the_row(size: float, seed: int, alike: bool) -> None:
    rng = np.random.default_rng(seed)
    row = (rng.choice([-1.0, 1.0], 64) if alike else rng.uniform(-1, 1, 64)) * size
    row[32:] = 0
    row = row.astype(np.float32)
    digits, wholes = np.empty((2, 3, BLOCK), np.int8), np.empty(2, np.int32)
    of_blocks = np.empty((2, 2), np.float32)
    in_digits(row, digits, wholes, of_blocks)
    steps, sums = of_blocks
    back = np.einsum("k,bkj->bj", PLACES, digits.astype(np.float64)) * steps[:, None]
    largest = np.abs(row).max()
    assert STEPS / 2 <= largest / steps[0] <= STEPS
    assert np.abs(back.ravel() - row).max() <= steps[0] / 2
    assert not digits[1].any()
    np.testing.assert_allclose(sums, row.reshape(2, -1).sum(1), rtol=0, atol=1e-5 * largest)
    numbers = np.einsum("k,bkj->bj", PLACES, digits.astype(np.int64))
    np.testing.assert_array_equal(wholes, MIDDLE * numbers.sum(1))
    assert MIDDLE * np.abs(numbers).sum(1).max() < 2**31  # what sums of 32 bits have room for


@pytest.mark.parametrize("size", [1e-37, 1e-40, 1e-45])
def test_steps_are_no_smaller_than_floats(size: float) -> None:
    row = np.full(BLOCK, size, np.float32)
    digits, wholes = np.empty((1, 3, BLOCK), np.int8), np.empty(1, np.int32)
    of_blocks = np.empty((2, 1), np.float32)
    in_digits(row, digits, wholes, of_blocks)
    assert of_blocks[0, 0] == 2.0**LEAST
    np.testing.assert_array_equal(wholes, MIDDLE * BLOCK * round(size / 2.0**LEAST))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_block_of_no_number_has_no_digits_but_no_sum(bad: float) -> None:
    row = np.ones(2 * BLOCK, np.float32)
    row[BLOCK + 3] = bad
    digits, wholes = np.empty((2, 3, BLOCK), np.int8), np.empty(2, np.int32)
    of_blocks = np.empty((2, 2), np.float32)
    in_digits(row, digits, wholes, of_blocks)
    assert digits[0].any()
    assert not digits[1].any()
    assert wholes[1] == of_blocks[0, 1] == 0
    assert of_blocks[1, 0] == BLOCK
    assert not np.isfinite(of_blocks[1, 1])
