"""What the laboratory trains, in the explorer: the same numbers as the model's own pass."""

from __future__ import annotations

import math
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from labruns import order, train
from tinymodels import open_engine

from engine.engine import Engine
from engine.lab import judging, models
from engine.lab.evaluation import evaluate
from engine.lab.judging import best_head, judge
from engine.lab.runs import Run
from engine.lab.settings import settings_for
from engine.lab.tasks.repeat import Options, Repeat
from engine.lab.tasks.spec import Rows, Task
from engine.types import (
    AttentionQuery,
    AttentionResult,
    EmbeddingQuery,
    EmbeddingResult,
    GatesQuery,
    GatesResult,
    MosaicQuery,
    NextQuery,
    NextResult,
    Query,
    Request,
    Snapshot,
)

TEXT = "12341 2345"
KINDS: dict[str, dict[str, Any]] = {
    "attention-rotary": {},
    "attention-learned": {"positions": "learned"},
    "mlp-rotary": {"inner": 24},
    "mlp-learned": {"inner": 24, "positions": "learned"},
    "lstm": {"arch": "lstm"},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    base = tmp_path_factory.mktemp("lab")

    @cache
    def made(kind: str) -> Run:
        return train(order(base / kind, steps=4, vocabulary=12, length=24, **KINDS[kind]))[0]

    return made


def ask(engine: Engine, text: str, *queries: Query) -> Snapshot:
    return engine.answer(Request(1, engine.epoch, text, queries))


@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_in_the_explorer_as_any_model(kind: str, folders: Any) -> None:
    folder = folders(kind).folder
    engine = open_engine(folder)
    assert engine.loaded is not None
    info = engine.loaded.info
    stock = models.load(folder)
    stock.set_attn_implementation("eager")
    assert (info.layers, info.width, info.kind) == (2, 16, "decoder")
    # Typed letter by letter, so that suffixes and single tokens are run too.
    for end in range(1, len(TEXT) + 1):
        snapshot = ask(
            engine,
            TEXT[:end],
            NextQuery(13),
            *(EmbeddingQuery(layer) for layer in range(3)),
            *(AttentionQuery(layer, None) for layer in range(2)),
        )
        ids = torch.tensor([[token.id for token in snapshot.tokens]])
        with torch.no_grad():
            output = stock(input_ids=ids, use_cache=False)
        expected = output.logits[0, -1].softmax(-1)
        found = snapshot.results[NextQuery(13)]
        assert isinstance(found, NextResult)
        assert np.allclose(found.probabilities, expected[list(found.ids)], atol=1e-4)
        if kind != "lstm":
            with torch.no_grad():
                maps = stock(input_ids=ids, use_cache=False, output_attentions=True).attentions
            for layer in range(2):
                shown = snapshot.results[AttentionQuery(layer, None)]
                assert isinstance(shown, AttentionResult)
                assert np.allclose(shown.weights, maps[layer][0].numpy(), atol=1e-4)
    assert [token.text for token in snapshot.tokens] == [
        "<unk>" if letter == " " else letter for letter in TEXT
    ]


def test_an_lstm_shows_all_but_attention_and_says_so(folders: Any) -> None:
    engine = open_engine(folders("lstm").folder)
    assert engine.loaded is not None
    info = engine.loaded.info
    assert info.heads == 0
    assert info.family == "contextscope-lstm"
    assert info.provides == {"embedding", "next", "gates"}
    snapshot = ask(engine, TEXT, AttentionQuery(0), MosaicQuery())
    assert all("provides no attention" in reason for reason in snapshot.refused.values())
    assert len(snapshot.refused) == 2


def test_gates_and_states_are_those_of_the_classic_equations(folders: Any) -> None:
    folder = folders("lstm").folder
    engine, stock = open_engine(folder), models.load(folder)
    asked = [EmbeddingQuery(0), EmbeddingQuery(1), EmbeddingQuery(2), GatesQuery(0), GatesQuery(1)]
    snapshot = ask(engine, TEXT, *asked)
    states: list[Any] = []
    for query in asked[:3]:
        result = snapshot.results[query]
        assert isinstance(result, EmbeddingResult)
        states.append(result.values)
    for layer in range(2):
        result = snapshot.results[GatesQuery(layer)]
        assert isinstance(result, GatesResult)
        cell = torch.nn.LSTMCell(16, 16)
        own = stock.model.layers[layer].lstm.state_dict()
        cell.load_state_dict({name.removesuffix("_l0"): own[name] for name in own})
        h = c = torch.zeros(1, 16)
        for t, x in enumerate(states[layer]):
            with torch.no_grad():
                h, c = cell(torch.from_numpy(x.copy())[None], (h, c))
            assert np.allclose(result.hidden[t], h[0], atol=1e-5)
            assert np.allclose(result.cell[t], c[0], atol=1e-5)
        assert np.array_equal(result.hidden, states[layer + 1])
        assert np.allclose(result.hidden, result.output * np.tanh(result.cell), atol=1e-5)
        before = np.vstack([np.zeros((1, 16)), result.cell[:-1]])
        now = result.forget * before + result.input * result.candidate
        assert np.allclose(result.cell, now, atol=1e-5)
    assert "layers 0 to 1, not 2" in ask(engine, TEXT, GatesQuery(2)).refused[GatesQuery(2)]


def test_what_has_no_gates_says_so(folders: Any) -> None:
    engine = open_engine(folders("attention-rotary").folder)
    refused = ask(engine, TEXT, GatesQuery(0)).refused
    assert "provides no gates" in refused[GatesQuery(0)]


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_attention_alone_is_a_model_whose_mlp_adds_nothing(positions: str) -> None:
    settings = settings_for("transformer", "repeat", width=16, positions=positions)
    model = models.build(settings, 9, 12)
    named = [name for name, _ in models.trained(model)]
    assert not [name for name in named if "fc" in name or "mlp" in name]
    assert [name for name in named if "attn" in name]
    block = (model.model.layers if positions == "rotary" else model.model.decoder.layers)[0]
    states = []
    norm = block.input_layernorm if positions == "rotary" else block.self_attn_layer_norm
    last = block.post_attention_layernorm if positions == "rotary" else block.final_layer_norm
    last.register_forward_pre_hook(lambda _, args: states.append(args[0]))
    block.register_forward_hook(
        lambda _, __, out: states.append(out if isinstance(out, torch.Tensor) else out[0])
    )
    model.eval()(input_ids=torch.arange(1, 9)[None])
    assert norm.weight.requires_grad
    assert torch.equal(states[0].view_as(states[1]), states[1])


def test_every_checkpoint_opens_too(folders: Any) -> None:
    run = folders("lstm")
    assert [step for step, _ in run.checkpoints] == [0, 1, 2, 4]
    engine = open_engine(run.checkpoints[1][1])
    assert ask(engine, "1212", NextQuery()).results


# --- measures ------------------------------------------------------------------------------------


class Told(torch.nn.Module):
    """A model that gives the scores it was made with, whatever it reads."""

    def __init__(self, scores: torch.Tensor) -> None:
        super().__init__()
        self.scores = scores
        self.config = SimpleNamespace()

    def forward(self, input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
        return SimpleNamespace(logits=self.scores[: len(input_ids), : input_ids.shape[1]])


def test_loss_accuracy_and_perplexity_of_a_case_worked_out_by_hand() -> None:
    chances = torch.tensor([[[0.5, 0.25, 0.25], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]]])
    rows = Rows(
        np.array([[0, 1, 1, 2]]),
        np.ones((1, 3), dtype=np.bool_),
        np.array([[True, False, True]]),
    )
    found = judge(Told(chances.log()), rows)
    assert found.by_position == pytest.approx([-math.log(0.25), -math.log(0.7), -math.log(0.8)])
    assert found.loss == pytest.approx((-math.log(0.25) - math.log(0.8)) / 2)
    assert found.perplexity == pytest.approx(math.sqrt(4 * 1.25))
    assert found.accuracy == 0.5  # of targets 1 and 2, the second is the likeliest
    assert found.tokens == 2
    assert found.in_context_score(0, 2) == pytest.approx(math.log(0.25) - math.log(0.8))
    nothing = judge(Told(chances.log()), Rows(rows.ids, rows.learnt, rows.judged & False))
    assert math.isnan(nothing.loss)
    assert math.isnan(nothing.accuracy)


def test_even_guessing_costs_the_logarithm_of_the_vocabulary() -> None:
    task: Task = Repeat(Options(vocabulary=8, length=12, shortest=3))
    found = judge(Told(torch.zeros(20, 12, 9)), task.held_out(20))
    assert found.loss == pytest.approx(math.log(9))
    assert found.perplexity == pytest.approx(9)
    assert found.in_context_score(task.early, task.late) == pytest.approx(0)


def test_the_best_head_is_the_one_with_the_highest_score() -> None:
    assert best_head(np.array([[0.1, 0.2], [0.7, 0.3]])) == (1, 0, 0.7)


def test_a_head_that_looks_a_fixed_way_back_is_no_induction_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = Repeat(Options(vocabulary=8, length=12, shortest=3))

    def maps(_: object, ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Head 0 looks where induction does for each span, head 1 always five tokens back."""
        count, length = ids.shape
        found = np.zeros((count, 1, 2, length, length), dtype=np.float32)
        for i in range(length):
            found[:, 0, 0, i, max(0, i - length // 2 + 1)] = 1
            found[:, 0, 1, i, max(0, i - 5)] = 1
        return found

    monkeypatch.setattr(judging, "attention_maps", maps)
    model = models.build(settings_for("transformer", "repeat", width=16), 9, 12)
    scores = judging.induction(model, task)
    assert scores is not None
    assert scores.tolist() == [[1.0, pytest.approx(1 / 3)]]  # right for the span of six alone


@pytest.mark.parametrize("kind", ["attention-rotary", "lstm"])
def test_evaluation_repeats_what_the_curves_end_with(kind: str, folders: Any) -> None:
    run = folders(kind)
    found, last = evaluate(run.folder), run.points[-1]
    # On more rows than a point is measured on.
    assert found.loss == pytest.approx(last.loss, abs=0.1)
    assert found.perplexity == pytest.approx(math.exp(found.loss))
    assert found.tokens == 512 * 23
    assert 0 <= found.accuracy <= 1
    assert found.second_half_accuracy is not None
    if kind == "lstm":
        assert found.induction_score is found.best_head is None
    else:
        assert last.best_head is not None
        assert (*found.best_head, found.induction_score) == pytest.approx(last.best_head, abs=1e-6)  # type: ignore[misc]
