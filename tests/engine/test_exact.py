"""What is shown is what transformers' eager path gives, for each family, after any edits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


class Case:
    """One family's engine beside the same model as transformers runs it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        tinymodels.save_model(name, folder)
        self.engine: Engine = tinymodels.open_engine(folder)
        self.model = tinymodels.eager(folder, name)

    def ask(self, text: str, *queries: Query, target: str | None = None) -> Snapshot:
        return self.engine.answer(Request(1, self.engine.epoch, text, queries, target=target))

    def everything(self, text: str, target: str | None = None) -> Snapshot:
        assert self.engine.loaded is not None
        info = self.engine.loaded.info
        queries: list[Query] = []
        for stack in info.stacks:
            queries += [AttentionQuery(i, None, stack) for i in range(info.depth(stack))]
            if stack != "cross":
                queries += [
                    EmbeddingQuery(i, stack, picture=False) for i in range(info.depth(stack) + 1)
                ]
            queries.append(MosaicQuery(8, stack))
        if "next" in info.provides:
            queries.append(NextQuery(5))
        return self.ask(text, *queries, target=target)

    def truth(self, snapshot: Snapshot) -> Any:
        ids = torch.tensor([[token.id for token in snapshot.tokens]])
        more = {}
        if snapshot.target_tokens:
            more["decoder_input_ids"] = torch.tensor([[t.id for t in snapshot.target_tokens]])
        with torch.no_grad():
            return self.model(
                input_ids=ids,
                output_attentions=True,
                output_hidden_states=True,
                use_cache=False,
                **more,
            )

    def check(self, snapshot: Snapshot) -> None:
        """Compare all that is in a snapshot with a full eager pass of the same tokens."""
        assert not snapshot.refused
        truth = self.truth(snapshot)
        for query, result in snapshot.results.items():
            if isinstance(query, AttentionQuery):
                maps = _attentions(truth, query.stack)[query.layer][0].numpy()
                np.testing.assert_allclose(result.weights, maps, atol=CLOSE)
            elif isinstance(query, EmbeddingQuery):
                states = _states(truth, query.stack)
                # The last of transformers' hidden states is already normed in most families.
                if query.layer < len(states) - 1:
                    np.testing.assert_allclose(
                        result.values, states[query.layer][0].numpy(), atol=CLOSE, rtol=CLOSE
                    )
            elif isinstance(query, NextQuery):
                expected = truth.logits[0, -1].softmax(-1).numpy()
                np.testing.assert_allclose(
                    result.probabilities, expected[list(result.ids)], atol=CLOSE
                )
                _check_surprise(snapshot, result.surprise, truth.logits[0])
            elif isinstance(query, MosaicQuery):
                maps = torch.stack([m[0] for m in _attentions(truth, query.stack)])
                _check_mosaic(result, maps)


def _attentions(truth: Any, stack: Stack | None) -> Any:
    return {
        "encoder": lambda: truth.get("encoder_attentions", truth.get("attentions")),
        "decoder": lambda: truth.get("decoder_attentions", truth.get("attentions")),
        "cross": lambda: truth.get("cross_attentions"),
    }[stack or "decoder"]()


def _states(truth: Any, stack: Stack | None) -> Any:
    found = truth.get(f"{stack}_hidden_states")
    return truth.hidden_states if found is None else found


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


@pytest.mark.parametrize("case", tinymodels.CAUSAL, indirect=True)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_any_edits_give_what_a_full_pass_gives(case: Case, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(["", "The dog", tinymodels.TEXT[:60]]))
    pieces = st.sampled_from(
        ["d", " ", "og", "the park", " é", "🐕", "\n", "猫", tinymodels.TEXT[9:80]]
    )
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(text)))
        stop = min(len(text), start + data.draw(st.sampled_from([0, 0, 0, 1, 3, 20])))
        text = text[:start] + data.draw(pieces) + text[stop:]
        case.check(case.everything(text))


@pytest.mark.parametrize("case", tinymodels.ENCODERS, indirect=True)
def test_an_encoder_gives_what_a_full_pass_gives(case: Case) -> None:
    for text in ("a", "The dog is running", tinymodels.TEXT, "猫 and 🐕"):
        case.check(case.everything(text))


@pytest.mark.parametrize("case", tinymodels.BOTH, indirect=True)
def test_an_encoder_decoder_gives_what_a_full_pass_gives(case: Case) -> None:
    for text, target in (("The dog", None), (tinymodels.TEXT, "the park"), ("a", tinymodels.TEXT)):
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
