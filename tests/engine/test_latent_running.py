"""Running on from a state put in place: exact, the live trace unchanged, nothing in vain."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tinymodels
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.engine import Engine
from engine.latent.running import (
    Unrunnable,
    check,
    first_row,
    log_probabilities,
    next_scores,
    run_on,
)
from engine.models.families.decoder import DecoderReader
from engine.trace import Trace

DECODERS = [
    name
    for name, family in {**tinymodels.CAUSAL, **tinymodels.OUTSIDE}.items()
    if family.auto == "AutoModelForCausalLM" and name != "xlnet"
]
CLOSE = 1e-4
EXAMPLES = int(os.environ.get("CONTEXTSCOPE_EXAMPLES", "3"))


class Case:
    """One family's reader, and the trace of a text."""

    def __init__(self, name: str, folder: Path) -> None:
        self.engine: Engine = tinymodels.open_engine(tinymodels.save_model(name, folder))
        assert self.engine.loaded is not None
        self.loaded = self.engine.loaded
        self.reader = check(self.loaded.reader, name)

    def read(self, text: str) -> Trace:
        ids = [token.id for token in self.loaded.reader_of_text.read(text)]
        with torch.inference_mode():
            trace, _ = self.reader.read(None, ids, [], lambda: False)
        return trace


@pytest.fixture(scope="module", params=DECODERS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case("llama", tmp_path_factory.mktemp("llama"))


def everything(trace: Trace) -> list[torch.Tensor]:
    """Copies of all tensors that a trace and its cache hold."""
    held = [arena.rows().clone() for arenas in trace.states.values() for arena in arenas]
    held.append(trace.final.rows().clone())
    for layer in getattr(trace.cache, "layers", ()):
        held += [layer.keys.clone(), layer.values.clone()]
    for layers in trace.attention.values():
        held += [layer.weights().clone() for layer in layers if layer.heads]
    return held


def straight(case: Case, trace: Trace, layer: int, position: int, state: torch.Tensor) -> Any:
    """The same by the book: all of the text through all blocks, the state exchanged on the way."""
    blocks = case.reader.blocks["decoder"]

    def changed(hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden.clone()
        hidden[:, position] = state
        return hidden

    def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (changed(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": changed(kwargs["hidden_states"])}

    def after(_: Any, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, torch.Tensor):
            return changed(output)
        return (changed(output[0]), *output[1:])

    handle = (
        blocks[layer].register_forward_pre_hook(before, with_kwargs=True)
        if layer < len(blocks)
        else blocks[-1].register_forward_hook(after)
    )
    own = Trace()
    try:
        # Through the reader where it records, so that each family runs as it always does.
        with torch.inference_mode():
            own, _ = case.reader.read(None, list(trace.ids), [], lambda: False)
            return log_probabilities(case.reader, own.final.rows()[-1:])[0]
    finally:
        handle.remove()


@contextmanager
def counting(reader: DecoderReader) -> Iterator[list[tuple[int, int, int]]]:
    """How many rows each block was really given: (depth, states, rows)."""
    seen: list[tuple[int, int, int]] = []
    handles = []
    for depth, block in enumerate(reader.blocks["decoder"]):
        attention = block.self_attn

        def hook(_: Any, args: Any, kwargs: Any, depth: int = depth) -> None:
            hidden = args[0] if args else kwargs["hidden_states"]
            seen.append((depth, *hidden.shape[:2]))

        handles.append(attention.register_forward_pre_hook(hook, with_kwargs=True))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


places = st.tuples(st.integers(0, 3), st.floats(0, 1), st.integers(1, 40))


@settings(max_examples=EXAMPLES, deadline=None)
@given(place=places)
def test_the_original_state_gives_the_models_own_prediction(
    case: Case, place: tuple[int, float, int]
) -> None:
    layer, share, length = place
    trace = case.read(tinymodels.TEXT[: 3 * length])
    position = round(share * (len(trace.ids) - 1))
    state = trace.states["decoder"][layer].rows()[position : position + 1].clone()
    before = everything(trace)
    found = next_scores(case.reader, trace, state.expand(2, -1), layer, position)
    own = log_probabilities(case.reader, trace.final.rows()[-1:])
    torch.testing.assert_close(found.exp(), own.exp().expand(2, -1), atol=CLOSE, rtol=0)
    for one, other in zip(before, everything(trace), strict=True):
        assert torch.equal(one, other)


@settings(max_examples=EXAMPLES, deadline=None)
@given(place=places, seed=st.integers(0, 99))
def test_any_state_gives_what_a_whole_pass_with_it_in_place_gives(
    case: Case, place: tuple[int, float, int], seed: int
) -> None:
    layer, share, length = place
    trace = case.read(tinymodels.TEXT[: 3 * length])
    position = round(share * (len(trace.ids) - 1))
    kept = trace.states["decoder"][layer].rows()
    noise = torch.randn(3, kept.shape[1], generator=torch.Generator().manual_seed(seed))
    states = noise * kept.std() + kept.mean()
    found = next_scores(case.reader, trace, states, layer, position)
    for row, state in zip(found, states, strict=True):
        truth = straight(case, trace, layer, position, state)
        torch.testing.assert_close(row.exp(), truth.exp(), atol=CLOSE, rtol=0)


def test_only_what_follows_is_run_once_and_only_the_blocks_above(llama: Case) -> None:
    trace = llama.read(tinymodels.TEXT)
    count = len(trace.ids)
    states = trace.states["decoder"][1].rows()[:5].clone()
    next_scores(llama.reader, trace, states[:1], 1, 0)  # finds out the model's habits
    with counting(llama.reader) as seen:
        next_scores(llama.reader, trace, states, 2, count - 1)
        assert seen == [(2, 5, 1)]
        seen.clear()
        next_scores(llama.reader, trace, states, 1, count - 4)
        assert seen == [(1, 5, 4), (2, 5, 4)]
        seen.clear()
        next_scores(llama.reader, trace, states, 3, count - 1)
        assert seen == []


def test_the_blocks_run_again_as_before(llama: Case) -> None:
    trace = llama.read("The dog is in the park")
    state = torch.zeros(1, 32)
    next_scores(llama.reader, trace, state, 2, 3)
    again = llama.read("The dog is in the park")
    for one, other in zip(everything(trace), everything(again), strict=True):
        assert torch.equal(one, other)


def test_a_prediction_can_be_that_after_an_earlier_token(llama: Case) -> None:
    trace = llama.read(tinymodels.TEXT)
    state = trace.states["decoder"][2].rows()[4:5].clone()
    found = next_scores(llama.reader, trace, state, 2, 4, stop=5)
    own = log_probabilities(llama.reader, trace.final.rows()[4:5])
    torch.testing.assert_close(found.exp(), own.exp(), atol=CLOSE, rtol=0)


def test_what_a_run_leaves_can_be_built_on(llama: Case) -> None:
    trace = llama.read(tinymodels.TEXT)
    count = len(trace.ids)
    assert first_row(trace, count - 2) == count - 2
    state = trace.states["decoder"][1].rows()[count - 2 : count - 1].clone()
    _, cache = run_on(llama.reader, trace, state, 1, count - 2, count)
    assert cache is not None
    assert [layer.get_seq_length() for layer in cache.layers] == [count - 2, count, count]


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_models_that_cannot_be_run_on_say_why(name: str, tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model(name, tmp_path))
    assert engine.loaded is not None
    with pytest.raises(Unrunnable, match="predicts"):
        check(engine.loaded.reader, name)
