"""The step written out for Llama's make, and the linear layers that are quick for a few rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tinymodels
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tinyfamilies import GROUPED
from torch import nn
from transformers.pytorch_utils import Conv1D

from engine.engine import Engine, never
from engine.models.fewrows import FEW, FewRowsLinear, quicken
from engine.models.lean import LONGEST, LeanStep, lean_step
from engine.trace import LayerAttention, Trace

CLOSE = 5e-5
EXACT = 1e-4  # what is promised of states; the modules' own are off by half of it here
LEAN = ("llama", "qwen2", "qwen3")
NOT_LEAN = ("gpt2", "mistral", "gemma2", "gpt_neox", "granite")


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    made = {}
    for name in (*LEAN, *NOT_LEAN):
        folder: Path = tmp_path_factory.mktemp(name)
        made[name] = tinymodels.open_engine(tinymodels.save_model(name, folder))
    return made


def reader_of(engine: Engine) -> Any:
    assert engine.loaded is not None
    return engine.loaded.reader


def traces(engine: Engine, ids: list[int], cut: int) -> tuple[Trace, Trace]:
    """A trace whose last tokens the lean step ran, and one that transformers' modules ran."""
    reader = reader_of(engine)
    lean, reader._lean = reader._lean, None
    try:
        begun, _ = reader.read(None, ids[:cut], [], never)
        plain, _ = reader.read(None, ids, [], never)
    finally:
        reader._lean = lean
    return reader.read(begun, ids, [], never)[0], plain


@pytest.mark.parametrize("name", LEAN)
@settings(deadline=None)
@given(data=st.data())
@torch.inference_mode()
def test_the_lean_step_leaves_what_the_modules_leave(
    name: str, engines: dict[str, Engine], data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.integers(3, 300), min_size=2, max_size=40))
    cut = data.draw(st.integers(max(1, len(ids) - LONGEST), len(ids) - 1))
    ours, plain = traces(engines[name], ids, cut)
    assert ours.ids == plain.ids
    for mine, theirs in zip(ours.states["decoder"], plain.states["decoder"], strict=True):
        torch.testing.assert_close(mine.rows(), theirs.rows(), atol=EXACT, rtol=CLOSE)
    torch.testing.assert_close(ours.final.rows(), plain.final.rows(), atol=CLOSE, rtol=CLOSE)
    for one, other in zip(ours.attention["decoder"], plain.attention["decoder"], strict=True):
        torch.testing.assert_close(one.weights(), other.weights(), atol=CLOSE, rtol=CLOSE)
        assert isinstance(one, LayerAttention)
        assert len(one.segments) == 1


def calls(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the rows that each of transformers' passes runs."""
    seen: list[int] = []
    run = model.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["input_ids"].shape[1])
        return run(*args, **kwargs)

    monkeypatch.setattr(model, "forward", counted)
    return seen


@pytest.mark.parametrize("name", LEAN)
def test_few_tokens_go_through_the_lean_step_and_many_do_not(
    name: str, engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = reader_of(engines[name])
    seen = calls(reader.base, monkeypatch)
    ids = list(range(10, 40))
    with torch.inference_mode():
        trace, _ = reader.read(None, ids[:9], [], never)
        trace, ran = reader.read(trace, ids[: 9 + LONGEST], [], never)
        assert (ran.passes, ran.suffix, ran.reused) == (1, LONGEST, 9)
        assert seen == [9]
        reader.read(trace, ids, [], never)
    assert seen == [9, len(ids) - 9 - LONGEST]


@pytest.mark.parametrize("name", NOT_LEAN)
def test_what_differs_from_llama_goes_through_its_own_modules(
    name: str, engines: dict[str, Engine]
) -> None:
    assert reader_of(engines[name])._lean is None


def llama(**more: Any) -> Any:
    return transformers.AutoModelForCausalLM.from_config(
        transformers.LlamaConfig(**GROUPED, **more)
    ).requires_grad_(False)


def test_only_what_it_was_written_for_is_taken() -> None:
    assert isinstance(lean_step(llama()), LeanStep)
    assert lean_step(llama(hidden_act="gelu")) is None
    assert lean_step(llama().to(torch.bfloat16)) is None
    dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert lean_step(llama(rope_parameters=dynamic)) is None


@pytest.mark.parametrize("kind", ["linear", "linear without bias", "conv1d"])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (2,), (1, 3), (2, 2), (FEW,), (FEW + 1,), (0,)])
def test_a_quick_layer_gives_what_the_plain_one_gives(kind: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(len(shape))
    layer: nn.Module = (
        Conv1D(7, 5) if kind == "conv1d" else nn.Linear(5, 7, bias=not kind.endswith("bias"))
    )
    layer.requires_grad_(False)
    rows = torch.randn(*shape, 5)
    plain = layer(rows)
    quicken(layer)
    quick = layer(rows)
    assert type(layer).__name__.startswith("FewRows")
    assert quick.shape == plain.shape
    torch.testing.assert_close(quick, plain, atol=1e-6, rtol=1e-5)


def test_a_layer_that_learns_is_left_alone() -> None:
    layer = nn.Linear(3, 3)
    quicken(layer)
    assert type(layer) is nn.Linear
    layer.requires_grad_(False)
    quicken(layer)
    assert isinstance(layer, FewRowsLinear)
    rows = torch.randn(1, 3, requires_grad=True)
    layer(rows).sum().backward()  # what reads a gradient through it goes the plain way
    assert rows.grad is not None


def test_a_layer_of_half_precision_is_left_alone() -> None:
    layer = nn.Linear(3, 3, dtype=torch.bfloat16).requires_grad_(False)
    quicken(layer)
    assert type(layer) is nn.Linear


def test_joined_products_hold_nothing_twice() -> None:
    model = llama(attention_bias=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step = lean_step(model)
    assert step is not None
    attend = model.model.layers[0].self_attn
    joined = step.blocks[0].query_key_value
    parts = (attend.q_proj, attend.k_proj, attend.v_proj)
    assert {part.weight.untyped_storage().data_ptr() for part in parts} == {
        joined.weight.untyped_storage().data_ptr()
    }
    assert joined.bias is not None
    assert len(joined.bias) == len(joined.weight) == sum(len(part.weight) for part in parts)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
