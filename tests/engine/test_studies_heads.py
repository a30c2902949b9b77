"""Scores of heads, and switching them off, held to the stock model and to weights made zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tinyfamilies import CAUSAL
from tinymodels import TEXT, make, open_engine, save_model
from transformers import AttentionInterface

from engine.errors import UserError
from engine.lab.measures import attention_maps, induction_scores
from engine.latent.corpus_texts import Text
from engine.latent.running import Unrunnable
from engine.models import recorder
from engine.studies.heads import (
    Order,
    first_tokens,
    heads_job,
    ordinary_tokens,
    prefix_matching_scores,
)
from engine.studies.position import Looking
from engine.studies.switching import Averages, Projections, heads_by
from engine.studies.values import Heads, Scored

ATTENDING = [*CAUSAL, "bloom", "falcon", "gpt_neo", "gptj", "mpt", "openai_gpt"]
IDS = [5, 9, 30, 77, 5, 100, 9, 30]


def run(loaded, order):
    told = []
    steps = heads_job(loaded, order)
    while True:
        try:
            told.append(next(steps))
        except StopIteration as stop:
            return stop.value, told


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model("gpt2", tmp_path_factory.mktemp("gpt2"))


@pytest.fixture
def loaded(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    return open_engine(folder).loaded


def final(loaded, ids=IDS):
    with torch.inference_mode():
        trace, _ = loaded.reader.read(None, list(ids), [], lambda: False)
        return trace.final.rows().clone().numpy()


@pytest.mark.parametrize("family", ATTENDING)
def test_a_head_that_is_off_hands_nothing_on(family, tmp_path):
    """As though the rows of the output projection that read it were zero."""
    loaded = open_engine(save_model(family, tmp_path)).loaded
    projections = Projections(loaded.reader, family)
    assert len(projections.layers) == len(loaded.reader.blocks["decoder"])
    assert all(module is not None for module in projections.layers)
    before = final(loaded)
    with projections.off([(1, 2), (1, 0)]):
        without = final(loaded)
    assert np.abs(without - before).max() > 1e-3
    np.testing.assert_array_equal(final(loaded), before)

    weight = projections.layers[1].weight
    reads = 1 if isinstance(projections.layers[1], torch.nn.Linear) else 0
    each = weight.shape[reads] // projections.heads
    for head in (2, 0):
        weight.data.narrow(reads, head * each, each).zero_()
    np.testing.assert_allclose(final(loaded), without, atol=1e-4)


# Soft caps and sinks are worked out by hand, past the registry; the projection reads the same.
@pytest.mark.parametrize("family", sorted({*CAUSAL} - {"gemma2", "gpt_oss"}))
def test_heads_lie_side_by_side_in_what_the_projection_reads(family, tmp_path):
    """As though the head's output had been zero where transformers' registry hands it on."""
    loaded = open_engine(save_model(family, tmp_path)).loaded
    projections = Projections(loaded.reader, family)
    with projections.off([(0, 1), (1, 1), (2, 1)]):
        without = final(loaded)

    def one_less(*args, **kwargs):
        output, maps = recorder._attention(*args, **kwargs)  # (1, t, H, d_h)
        output = output.clone()
        output[:, :, 1] = 0
        return output, maps

    AttentionInterface.register(recorder.NAME, one_less)
    try:
        np.testing.assert_allclose(final(loaded), without, atol=1e-4)
    finally:
        AttentionInterface.register(recorder.NAME, recorder._attention)


def test_the_mean_of_a_head_over_one_token_is_what_it_hands_on(loaded):
    projections = Projections(loaded.reader, "tiny")
    noted = Averages(3)
    with projections.noting(noted):
        before = final(loaded, [7])
    with projections.off([(0, 1), (2, 3)], noted.means()):
        np.testing.assert_allclose(final(loaded, [7]), before, atol=1e-5)
    with projections.off([(0, 1), (2, 3)]):
        assert np.abs(final(loaded, [7]) - before).max() > 1e-3


@pytest.mark.parametrize("family", ["mamba", "rwkv"])
def test_a_model_without_heads_has_none_to_switch_off(family, tmp_path):
    loaded = open_engine(save_model(family, tmp_path)).loaded
    with pytest.raises(Unrunnable, match="is not known"):
        Projections(loaded.reader, family)
    with pytest.raises(UserError, match="has no attention that can be seen"):
        run(loaded, Order())


def test_prefix_matching_scores():
    block, times, begins = 5, 4, 1
    count = begins + block * times
    perfect = np.zeros((2, count, count))
    even = np.tril(np.ones((count, count)))
    even /= even.sum(axis=1, keepdims=True)
    for row in range(begins + block, count):
        # To the copy before, less one; or by halves to two copies, where there are two.
        perfect[0, row, row - block + 1] = 1.0
        far = row - 2 * block + 1
        perfect[1, row, row - block + 1] = 1.0 if far <= begins else 0.5
        if far > begins:
            perfect[1, row, far] = 0.5
    assert prefix_matching_scores(perfect, block, begins) == pytest.approx([1.0, 1.0])
    expected = []
    tokens = [-1] * begins + list(range(block)) * times
    for row in range(begins + block, count):
        follow = [j for j in range(1, row) if tokens[j - 1] == tokens[row]]
        expected.append(len(follow) / (row + 1))
    assert prefix_matching_scores(even, block, begins) == pytest.approx(np.mean(expected))


def test_scores_are_those_of_the_stock_models_maps(loaded):
    found, told = run(loaded, Order(sequences=2, period=20, top=0))
    assert isinstance(found, Heads)
    assert found.induction.shape == found.prefix_matching.shape == (3, 4)
    assert not found.effects
    known, rng = ordinary_tokens(loaded), np.random.default_rng(0)
    assert 0 not in known
    model, each = make("gpt2"), []
    for _ in range(2):
        ids = np.array([rng.choice(known, 20).tolist() * 2])
        each.append(induction_scores(attention_maps(model, ids), 20)[0])
        rng.choice(known, 25)
    np.testing.assert_allclose(found.induction, np.mean(each, axis=0), atol=1e-5)
    scored = [one for one in told if isinstance(one, Scored)]
    assert len(scored) == 2
    np.testing.assert_array_equal(scored[-1].prefix_matching, found.prefix_matching)
    assert first_tokens(loaded) == [0]


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_what_switching_off_does_is_measured_and_kept(loaded, ablation):
    texts = (Text("a", TEXT * 3), Text("b", TEXT[20:] * 3))
    looking = Looking(early=5, late=30, texts=2)
    order = Order(texts, looking, sequences=2, period=12, top=2, ablation=ablation)
    found, _ = run(loaded, order)
    assert [one.off for one in found.effects] == ["none", "top", "random"]
    none, top, chance = found.effects
    scores = dict(np.ndenumerate(found.induction))
    assert top.heads == heads_by(scores, 2)
    assert len(chance.heads) == 2
    assert not set(chance.heads) & set(top.heads)
    assert none.induction == pytest.approx(found.induction.max())
    assert top.loss.value != none.loss.value
    assert top.icl_score.value != none.icl_score.value
    assert 0 <= none.accuracy.low <= none.accuracy.high <= 1

    seen = []
    table = loaded.reader.model.get_input_embeddings()
    table.register_forward_pre_hook(lambda _, args: seen.append(args[0].numel()))
    again, _ = run(loaded, order)
    assert again.effects == found.effects
    assert not seen
    # Another number of heads needs no new scores.
    run(loaded, Order(texts, looking, sequences=2, period=12, top=0))
    assert not seen


def test_what_is_typed_meanwhile_is_answered_with_all_heads(loaded):
    before = final(loaded)
    order = Order((Text("a", TEXT * 3),), Looking(5, 30, texts=1), 1, 12, top=6)
    for _ in heads_job(loaded, order):
        np.testing.assert_array_equal(final(loaded), before)


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (Order(period=200), r"it takes 400 tokens, and gpt2\d reads 256"),
        (Order(sequences=0), "it takes a sequence at least"),
        (Order((Text("a", "The dog."),)), r"beyond the 256 tokens gpt2\d reads"),
        (Order((Text("a", "The dog."),), Looking(5, 30)), "the longest text has 3 tokens"),
    ],
)
def test_what_cannot_be_scored_is_a_sentence(loaded, order, says):
    with pytest.raises(UserError, match=says):
        run(loaded, order)
