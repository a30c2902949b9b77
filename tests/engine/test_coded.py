"""Weights of few values, multiplied by their codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tinyquantised import quantised, stored
from torch import nn

from engine import memory
from engine.engine import never
from engine.models import kernels
from engine.models.coded import BLOCK, coded
from engine.models.families.decoder import DecoderReader
from engine.models.lean import LeanStep, lean_step

KINDS = ("Q4_0", "Q4_1", "Q4_K", "Q8_0")


@pytest.mark.parametrize("kind", KINDS)
@given(
    count=st.integers(1, 4),
    outputs=st.sampled_from([1, 5, 64, 65, 192]),
    blocks=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_codes_give_what_the_weights_give(
    kind: str, count: int, outputs: int, blocks: int, seed: int
) -> None:
    weight = stored(kind, outputs, BLOCK * blocks, seed)
    codes = coded(weight)
    assert codes is not None
    assert (codes.lows is None) == (kind == "Q8_0")
    rows = np.random.default_rng(seed).normal(size=(count, BLOCK * blocks)).astype(np.float32)
    wanted = rows.astype(np.float64) @ weight.numpy().astype(np.float64).T
    found = codes(rows)
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, wanted, atol=2e-5 * max(1.0, np.abs(wanted).max()))


def test_codes_take_a_fraction_of_the_weights() -> None:
    four, eight = coded(stored("Q4_1", 128, 64)), coded(stored("Q8_0", 128, 64))
    assert four is not None
    assert eight is not None
    assert four.nbytes < 128 * 64 * 4 / 4
    assert eight.nbytes < 128 * 64 * 4 / 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_of_few_values_has_no_codes(bad: float) -> None:
    assert coded(torch.randn(64, 64)) is None
    assert coded(stored("Q4_1", 64, 32)[:, :31].contiguous()) is None
    for kind in KINDS:
        weight = stored(kind, 64, 64)
        weight[63, 63] = bad
        assert coded(weight) is None
        weight[63, 63] = 0.123456
        assert coded(weight) is None


def test_a_weight_of_one_value_is_coded() -> None:
    for value in (0.0, 0.75, -0.1):
        codes = coded(torch.full((3, 32), value))
        assert codes is not None
        rows = np.ones((1, 32), np.float32)
        np.testing.assert_allclose(codes(rows), np.full((1, 3), 32 * value), rtol=1e-6)


@torch.inference_mode()
def test_a_step_by_codes_leaves_what_the_modules_leave() -> None:
    reader = DecoderReader(quantised())
    step = reader._lean
    assert isinstance(step, LeanStep)
    for block in step.blocks:
        for product in (block.query_key_value, block.output, block.gate_up, block.down):
            assert product.codes is not None
            assert product.codes.lows is not None
    assert step.head.codes is not None
    assert reader.extra_bytes == step.nbytes > 0
    ids = [5, 9, 30, 200, 7, 7, 12, 13, 14]
    begun, _ = reader.read(None, ids[:4], [], never)
    trace, _ = reader.read(begun, ids, [], never)
    reader._lean = None
    plain, _ = reader.read(None, ids, [], never)
    for mine, theirs in zip(trace.states["decoder"], plain.states["decoder"], strict=True):
        torch.testing.assert_close(mine.rows(), theirs.rows(), atol=5e-5, rtol=5e-5)
    final = plain.final.rows()[-2:]
    torch.testing.assert_close(step.scores(final), reader.logits(final), atol=5e-5, rtol=5e-5)


def test_where_memory_is_short_there_are_no_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "room", lambda _device: memory.Room(1000, 1 << 30, "a test"))
    step = lean_step(quantised())
    assert step is not None
    assert step.nbytes == 0


def test_norm_and_gate_are_those_of_torch() -> None:
    rows, both = torch.randn(3, 20), torch.randn(3, 14) * 20
    weight, out = torch.randn(20), np.empty((3, 20), np.float32)
    kernels.norm(rows.numpy(), weight.numpy(), 1e-5, out)
    wanted = nn.functional.rms_norm(rows, (20,), weight, 1e-5)
    np.testing.assert_allclose(out, wanted.numpy(), atol=1e-5)
    found = np.empty((3, 7), np.float32)
    kernels.gated(both.numpy(), found)
    wanted = nn.functional.silu(both[:, :7]) * both[:, 7:]
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4, rtol=1e-5)


def test_what_is_no_number_stays_none() -> None:
    rows: NDArray[np.float32] = np.array([[np.nan, 1.0], [1.0, 2.0]], np.float32)
    out = np.empty((2, 2), np.float32)
    kernels.norm(rows, np.ones(2, np.float32), 1e-5, out)
    assert np.isnan(out[0]).all()
    assert np.isfinite(out[1]).all()
