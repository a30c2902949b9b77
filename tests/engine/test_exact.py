"""What is shown is what transformers' eager path gives, for each family, after any edits.

CONTEXTSCOPE_EXAMPLES raises the number of editing sessions tried with each family.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from engine.engine import Engine
from engine.types import (
    AttentionQuery,
    EmbeddingQuery,
    MosaicQuery,
    NextQuery,
    Query,
    Request,
    Snapshot,
    Stack,
)

CLOSE = 1e-4
EXAMPLES = int(os.environ.get("CONTEXTSCOPE_EXAMPLES", "4"))


class Case:
    """One family's engine beside the same model as transformers runs it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.family = tinymodels.FAMILIES[name]
        self.model = tinymodels.make(name)
        self.model.save_pretrained(folder)
        tinymodels.save_tokenizer(folder)
        self.engine: Engine = tinymodels.open_engine(folder)
        self._last: dict[str, torch.Tensor] = {}
        for path in self.family.blocks:
            block = self.model.get_submodule(path)[-1]
            block.register_forward_hook(self._keep(path))

    def _keep(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            # A block that stands for several is called several times; the last call counts.
            self._last[path] = output if isinstance(output, torch.Tensor) else output[0]

        return hook

    def ask(self, text: str, *queries: Query, target: str | None = None) -> Snapshot:
        return self.engine.answer(Request(1, self.engine.epoch, text, queries, target=target))

    def everything(self, text: str, target: str | None = None) -> Snapshot:
        assert self.engine.loaded is not None
        info = self.engine.loaded.info
        queries: list[Query] = []
        for stack in info.stacks:
            attending = self.attending(info.depth(stack))
            queries += [AttentionQuery(i, None, stack) for i in attending]
            if attending:
                queries.append(MosaicQuery(8, stack))
            if stack != "cross":
                queries += [
                    EmbeddingQuery(i, stack, picture=False) for i in range(info.depth(stack) + 1)
                ]
        if "next" in info.provides:
            queries.append(NextQuery(5))
        return self.ask(text, *queries, target=target)

    def attending(self, depth: int) -> tuple[int, ...]:
        found = self.family.attending
        return tuple(range(depth)) if found is None else found

    def truth(self, snapshot: Snapshot) -> Any:
        ids = torch.tensor([[token.id for token in snapshot.tokens]])
        self._ids = ids
        more: dict[str, Any] = {}
        if snapshot.target_tokens:
            more["decoder_input_ids"] = torch.tensor([[t.id for t in snapshot.target_tokens]])
        if snapshot.model.kind != "encoder":
            more["use_cache"] = False
        with torch.no_grad():
            return self.model(
                input_ids=ids, output_attentions=True, output_hidden_states=True, **more
            )

    def check(self, snapshot: Snapshot) -> None:
        """Compare all that is in a snapshot with a full eager pass of the same tokens."""
        assert not snapshot.refused
        if not snapshot.tokens:
            return
        truth = self.truth(snapshot)
        for query, result in snapshot.results.items():
            if isinstance(query, AttentionQuery):
                maps = self._maps(truth, query.stack)
                np.testing.assert_allclose(result.weights, maps[query.layer].numpy(), atol=CLOSE)
            elif isinstance(query, EmbeddingQuery):
                states = self._state(truth, query)
                np.testing.assert_allclose(result.values, states, atol=CLOSE, rtol=CLOSE)
            elif isinstance(query, NextQuery):
                told = truth.logits[0].softmax(-1)
                np.testing.assert_allclose(
                    result.probabilities, told[-1, list(result.ids)].numpy(), atol=CLOSE
                )
                _check_surprise(snapshot, result.surprise, truth.logits[0])
            elif isinstance(query, MosaicQuery):
                _check_mosaic(result, self._maps(truth, query.stack))

    def _maps(self, truth: Any, stack: Stack | None) -> torch.Tensor:
        """All maps of a stack (L, H, T, S), zero for layers that do not attend."""
        found = torch.stack([maps[0] for maps in _attentions(truth, stack)])
        if self.family.attending is None:
            return found
        assert self.engine.loaded is not None
        every = found.new_zeros(self.engine.loaded.info.layers, *found.shape[1:])
        every[list(self.family.attending)] = found
        return every

    def _state(self, truth: Any, query: EmbeddingQuery) -> Any:
        """The residual stream that `query` asks for, as the stock model has it."""
        found = truth.get(f"{query.stack}_hidden_states")
        states = truth.hidden_states if found is None else found
        index = query.layer - self.family.begins
        if index < 0:
            return self.model.get_input_embeddings()(self._ids)[0].numpy()
        if query.layer < self._depth(query.stack):
            return states[index][0].numpy()
        # The last of transformers' hidden states is already normed in most families.
        path = self.family.blocks[1 if found is not None and query.stack == "decoder" else 0]
        last = self._last[path]
        return last.reshape(-1, last.shape[-1]).numpy()  # XLNet has (T, 1, D)

    def _depth(self, stack: Stack | None) -> int:
        assert self.engine.loaded is not None
        info = self.engine.loaded.info
        return info.depth(stack or info.stacks[0])


def _attentions(truth: Any, stack: Stack | None) -> Any:
    return {
        "encoder": lambda: truth.get("encoder_attentions", truth.get("attentions")),
        "decoder": lambda: truth.get("decoder_attentions", truth.get("attentions")),
        "cross": lambda: truth.get("cross_attentions"),
    }[stack or "decoder"]()


def _check_surprise(snapshot: Snapshot, surprise: Any, logits: torch.Tensor) -> None:
    tokens = snapshot.target_tokens or snapshot.tokens
    assert len(surprise) == len(tokens)
    assert np.isnan(surprise[0])
    told = logits.log_softmax(-1)
    expected = [-told[i, tokens[i + 1].id].item() / np.log(2) for i in range(len(tokens) - 1)]
    np.testing.assert_allclose(surprise[1:], expected, atol=1e-3)


def _check_mosaic(result: Any, maps: torch.Tensor) -> None:
    rows, columns = maps.shape[-2:]
    assert (result.rows, result.columns) == (rows, columns)
    block = 1
    while max(rows, columns) > block * 8:
        block *= 2
    assert result.maps.shape[-2:] == (-(-rows // block), -(-columns // block))
    for i in range(result.maps.shape[2]):
        for j in range(result.maps.shape[3]):
            square = maps[..., i * block : (i + 1) * block, j * block : (j + 1) * block]
            np.testing.assert_allclose(
                result.maps[..., i, j], square.amax((-2, -1)).numpy(), atol=CLOSE
            )


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return {}


@pytest.fixture(scope="module")
def case(
    request: pytest.FixtureRequest,
    cases: dict[str, Case],
    tmp_path_factory: pytest.TempPathFactory,
) -> Case:
    name: str = request.param
    if name not in cases:
        cases[name] = Case(name, tmp_path_factory.mktemp(name.replace("_", "-")))
    return cases[name]


PIECES = [
    "d",
    " ",
    "og",
    "the park",
    " é",
    "🐕",
    "\n",
    "猫",
    "<pad>",
    "</s>",
    tinymodels.TEXT[9:80],
]


WITHOUT_TARGET = [*tinymodels.CAUSAL, *tinymodels.ENCODERS, *tinymodels.OUTSIDE]


@st.composite
def editing(draw: st.DrawFn) -> list[str]:
    """The texts of an editing session: inserts, deletions, pastes and replacements anywhere."""
    texts = [draw(st.sampled_from([" d", "The dog", tinymodels.TEXT[:60]]))]
    for _ in range(draw(st.integers(1, 4))):
        text = texts[-1]
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.sampled_from([0, 0, 0, 1, 3, 20])))
        new = draw(st.sampled_from(["", *PIECES]))
        texts.append(text[:start] + new + text[stop:])
    return texts


@pytest.mark.parametrize("case", WITHOUT_TARGET, indirect=True)
@settings(max_examples=EXAMPLES, deadline=None)
@given(texts=editing())
def test_any_edits_give_what_a_full_pass_gives(case: Case, texts: list[str]) -> None:
    for text in texts:
        case.check(case.everything(text))


@pytest.mark.parametrize("case", tinymodels.BOTH, indirect=True)
@settings(max_examples=EXAMPLES, deadline=None)
@given(texts=editing(), targets=editing())
def test_any_edits_of_text_and_target_give_what_a_full_pass_gives(
    case: Case, texts: list[str], targets: list[str]
) -> None:
    case.check(case.everything(texts[0], None))
    for index in range(max(len(texts), len(targets))):
        text, target = texts[min(index, len(texts) - 1)], targets[min(index, len(targets) - 1)]
        snapshot = case.everything(text, target)
        case.check(snapshot)
        assert snapshot.keys_for("cross") == snapshot.tokens
        assert snapshot.queries_for("cross") == snapshot.target_tokens


@pytest.mark.parametrize("case", ["llama", "mistral"], indirect=True)
def test_only_the_changed_suffix_runs(case: Case) -> None:
    text = tinymodels.TEXT
    case.ask(text)
    again = case.ask(text).stats
    assert (again.passes, again.suffix, again.reused) == (0, 0, len(case.ask(text).tokens))
    longer = case.ask(text + "z").stats
    assert longer.passes == 1
    assert longer.suffix <= 2
    shorter = case.ask(text).stats
    assert shorter.suffix <= 1


@pytest.mark.parametrize("case", ["llama"], indirect=True)
def test_another_layer_or_head_runs_nothing(case: Case) -> None:
    case.ask(tinymodels.TEXT)
    before = case.engine.passes
    for layer in range(3):
        for head in (None, "mean", 0, 3):
            case.ask(tinymodels.TEXT, AttentionQuery(layer, head), EmbeddingQuery(layer))
    assert case.engine.passes == before


@pytest.mark.parametrize("case", ["llama"], indirect=True)
def test_heads_and_their_mean_agree(case: Case) -> None:
    answer = case.ask(
        tinymodels.TEXT, AttentionQuery(1, None), AttentionQuery(1, 2), AttentionQuery(1, "mean")
    ).results
    all_heads = answer[AttentionQuery(1, None)].weights
    np.testing.assert_allclose(answer[AttentionQuery(1, 2)].weights, all_heads[2], atol=1e-6)
    np.testing.assert_allclose(
        answer[AttentionQuery(1, "mean")].weights, all_heads.mean(0), atol=1e-6
    )
    np.testing.assert_allclose(all_heads.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("case", ["llama"], indirect=True)
def test_no_position_goes_through_the_output_embedding_twice(case: Case) -> None:
    case.ask("")
    case.ask("x", NextQuery())  # whatever was kept of other texts is gone but for its first token
    judged = 0
    for end in range(1, len(tinymodels.TEXT), 7):
        before = _judged(case)
        snapshot = case.ask(tinymodels.TEXT[:end], NextQuery())
        case.check(snapshot)
        assert _judged(case) - before <= snapshot.stats.suffix + 1
        judged = _judged(case)
    case.ask(tinymodels.TEXT[:end], NextQuery(3), AttentionQuery(2))
    assert _judged(case) == judged


@pytest.mark.parametrize("case", ["llama"], indirect=True)
def test_in_place_of_the_last_token_only_another_is_judged(case: Case) -> None:
    case.ask(tinymodels.TEXT + "x", NextQuery())
    for letter in "abab":  # as where a letter joins the last token
        before = _judged(case)
        snapshot = case.ask(tinymodels.TEXT + letter, NextQuery())
        case.check(snapshot)
        assert snapshot.stats.reused == len(snapshot.tokens) - 1
        assert _judged(case) - before == snapshot.stats.suffix == 1


@pytest.mark.parametrize("case", ["llama"], indirect=True)
def test_another_temperature_is_the_softmax_of_the_scores_over_it_and_runs_nothing(
    case: Case,
) -> None:
    case.ask(tinymodels.TEXT, NextQuery())
    judged = _judged(case)
    for temperature in (0.1, 0.7, 1.0, 2.0):
        query = NextQuery(5, temperature)
        snapshot = case.ask(tinymodels.TEXT, query)
        told = (case.truth(snapshot).logits[0] / temperature).softmax(-1)
        result = snapshot.results[query]
        np.testing.assert_allclose(
            result.probabilities, told[-1, list(result.ids)].numpy(), atol=CLOSE
        )
        assert result.temperature == temperature
        assert snapshot.stats.passes == snapshot.stats.suffix == 0
    assert _judged(case) == judged
    cold = case.ask(tinymodels.TEXT, NextQuery(5, 0.0))
    assert "above 0" in cold.refused[NextQuery(5, 0.0)]


def _judged(case: Case) -> int:
    trace = case.engine._trace
    memo = trace.memos.get("surprise") if trace else None
    return getattr(memo, "judged", 0)
