"""Decoding points in place of a token's state: the probe, rows of points, writing on, fidelity."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch

from engine.engine import Engine
from engine.errors import UserError
from engine.latent import paths
from engine.latent.card import Card
from engine.latent.continuation import (
    READ,
    Continuation,
    Writing,
    continue_steps,
    write_steps,
)
from engine.latent.corpus_sentences import of_tokens
from engine.latent.pca import Pca
from engine.latent.space import Space, make
from engine.latent.vae import VAE
from engine.latent.values import DecodeQuery, DecodeResult
from engine.probes.decode import Decodes
from engine.types import Query, Request, Snapshot

TEXT = "The quick brown fox jumps over the lazy dog."
LAYER = 2
Z = 31


def space_of(engine: Engine, latent: int = Z, layer: int = LAYER) -> Space:
    """A space that has learned nothing yet but PCA of a text's states."""
    assert engine.loaded is not None
    info, reader = engine.loaded.info, engine.loaded.reader
    ids = [token.id for token in engine.loaded.reader_of_text.read(6 * tinymodels.TEXT)][:200]
    with torch.inference_mode():
        trace, _ = reader.read(None, ids, [0], lambda: False)
        states = trace.states[info.stacks[0]][layer].rows().clone()
    states = torch.tensor(states.numpy())
    torch.manual_seed(0)
    vae = VAE(info.width, latent, 8)
    vae.start_from(states)
    card = Card(
        model=info.name,
        title=info.title,
        fingerprint=info.fingerprint,
        layer=layer,
        width=info.width,
        latent=latent,
        hidden=8,
        settings={},
        data={},
        label_names=("text",),
        passages=1,
        passage_length=1,
        train_states=len(states),
        choose_states=0,
        plane="first two dimensions of μ",
        epochs=0,
        best_epoch=0,
        seconds=0,
        seed=0,
        date="",
        command="",
        torch="",
        device="cpu",
    )
    labels = np.zeros(len(states), dtype=np.int64)
    return make(vae, Pca.of(vae.standard(states), latent), states, labels, card)


def with_space(name: str, folder: Path) -> Engine:
    engine = tinymodels.open_engine(tinymodels.save_model(name, folder))
    assert engine.loaded is not None
    engine.loaded.spaces[LAYER] = space_of(engine)
    object.__setattr__(engine.loaded.info, "provides", engine.loaded.info.provides | {"latent"})
    return engine


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return with_space("llama", tmp_path_factory.mktemp("llama"))


def ask(engine: Engine, *queries: Query, text: str = TEXT) -> Snapshot:
    return engine.answer(Request(1, engine.epoch, text, queries))


def decoded(engine: Engine, query: DecodeQuery, text: str = TEXT) -> DecodeResult:
    result = ask(engine, query, text=text).results[query]
    assert isinstance(result, DecodeResult)
    return result


def mu_of(engine: Engine, position: int) -> tuple[float, ...]:
    assert engine.loaded is not None
    ask(engine)
    assert engine._trace is not None
    state = engine._trace.states["decoder"][LAYER].rows()[[position]]
    mu, _ = engine.loaded.spaces[LAYER].encode(state)
    return tuple(mu[0].tolist())


def drain(steps: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def test_a_state_encoded_and_decoded_says_nearly_what_the_model_says(llama: Engine) -> None:
    # Z is one less than the width and the space is PCA: next to nothing is lost.
    point = mu_of(llama, -1)
    far = tuple(4 - value for value in point)
    found = decoded(llama, DecodeQuery((point, far), LAYER, count=5))
    assert found.kind == "next"
    assert found.ids.shape == found.scores.shape == (2, 5)
    assert found.divergence[0] < 0.05 < found.divergence[1]
    assert found.norms[0] == pytest.approx(found.norm, rel=0.1)
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_a_point_asked_again_is_not_run_again_until_the_text_changes(llama: Engine) -> None:
    one, other = mu_of(llama, -1), mu_of(llama, 3)
    text = TEXT + " She"
    first = decoded(llama, DecodeQuery((one,), LAYER), text)
    passes = llama.passes
    second = decoded(llama, DecodeQuery((other, one, other), LAYER), text)
    assert llama._trace is not None
    memo = llama._trace.memos["decode"]
    assert isinstance(memo, Decodes)
    assert memo.ran == 2
    assert llama.passes == passes
    np.testing.assert_array_equal(first.ids[0], second.ids[1])
    np.testing.assert_array_equal(second.scores[0], second.scores[2])
    longer = decoded(llama, DecodeQuery((one,), LAYER), text + " sells")
    shorter = decoded(llama, DecodeQuery((one,), LAYER), TEXT)
    assert longer.position > first.position > shorter.position
    fresh = decoded(llama, DecodeQuery((one,), LAYER), text)
    np.testing.assert_allclose(fresh.scores, first.scores, atol=1e-5)


def test_what_follows_the_token_itself_can_be_told(llama: Engine) -> None:
    point = tuple(4 - value for value in mu_of(llama, 3))
    there = DecodeQuery((point,), LAYER, position=3, stop=4)
    at_end = DecodeQuery((point,), LAYER, position=3)
    snapshot = ask(llama, there, at_end)
    short, long = snapshot.results[there], snapshot.results[at_end]
    assert isinstance(short, DecodeResult)
    assert isinstance(long, DecodeResult)
    text = TEXT[: snapshot.tokens[3].end]
    alone = decoded(llama, DecodeQuery((point,), LAYER), text)
    assert alone.position == 3
    np.testing.assert_array_equal(short.ids, alone.ids)
    np.testing.assert_allclose(short.scores, alone.scores, atol=1e-5)
    np.testing.assert_allclose(short.divergence, alone.divergence, atol=1e-4)
    assert abs(float(long.divergence[0]) - float(short.divergence[0])) > 1e-3
    assert not np.allclose(short.scores, long.scores, atol=1e-4)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (DecodeQuery(((0.0,),), LAYER), "31 numbers"),
        (DecodeQuery(((float("nan"),) * Z,), LAYER), "not a number"),
        (DecodeQuery(((0.0,) * Z,), LAYER, position=999), "no longer in the text"),
        (DecodeQuery(((0.0,) * Z,), LAYER, position=3, stop=3), "no longer in the text"),
        (DecodeQuery(((0.0,) * Z,), LAYER, position=3, stop=999), "no longer in the text"),
        (DecodeQuery((), LAYER), "at once"),
        (DecodeQuery(((0.0,) * Z,), 1), "for layer 2, not for 1"),
    ],
)
def test_what_cannot_be_decoded_is_refused(llama: Engine, query: DecodeQuery, why: str) -> None:
    assert why in ask(llama, query).refused[query]


def test_an_encoder_gives_the_nearest_words_and_says_why(tmp_path: Path) -> None:
    engine = with_space("bert", tmp_path)
    found = decoded(engine, DecodeQuery(((0.0,) * Z, (1.0,) * Z), LAYER, count=3))
    assert found.kind == "vocabulary"
    assert "predicts no next token" in found.reason
    assert found.scores.shape == (2, 3)
    assert np.abs(found.scores).max() <= 1
    assert np.isnan(found.divergence).all()


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "openai_gpt", "mamba", "bloom"])
def test_with_no_state_exchanged_it_writes_what_the_model_writes(name: str, tmp_path: Path) -> None:
    engine = with_space(name, tmp_path)
    assert engine.loaded is not None
    loaded = engine.loaded
    told: Continuation = drain(continue_steps(loaded, TEXT, LAYER, None, 2, Writing(6)))
    ids = [token.id for token in loaded.reader_of_text.read(TEXT)]
    for chosen, probability in zip(told.ids, told.probabilities, strict=True):
        with torch.inference_mode():
            trace, _ = loaded.reader.read(None, ids, [], lambda: False)
            own = loaded.reader.logits(trace.final.rows()[-1:]).softmax(dim=-1)[0]
        assert float(own[chosen]) == pytest.approx(probability, abs=1e-4)
        assert float(own.max()) == pytest.approx(probability, abs=1e-4)
        ids.append(chosen)


def test_writing_on_leaves_the_live_context_alone_and_can_be_repeated(llama: Engine) -> None:
    assert llama.loaded is not None
    point = tuple(3.0 for _ in range(Z))
    ask(llama)
    trace = llama._trace
    assert trace is not None
    before = [arena.rows().clone() for arena in trace.states["decoder"]]
    writing = Writing(8, temperature=1.5, seed=3)
    steps = continue_steps(llama.loaded, TEXT, LAYER, point, 1, writing)
    said = [progress.text for progress in (next(steps) for _ in range(4))]
    assert said[0] == ""
    assert said[3].startswith(said[2])
    steps.close()
    one = drain(continue_steps(llama.loaded, TEXT, LAYER, point, 1, writing))
    assert one == drain(continue_steps(llama.loaded, TEXT, LAYER, point, 1, writing))
    assert llama._trace is trace
    for kept, arena in zip(before, trace.states["decoder"], strict=True):
        assert torch.equal(kept, arena.rows())
    with pytest.raises(UserError, match="no such token"):
        drain(continue_steps(llama.loaded, TEXT, LAYER, point, 99))
    with pytest.raises(UserError, match="31 dimensions"):
        drain(continue_steps(llama.loaded, TEXT, LAYER, (0.0,)))


@pytest.mark.parametrize("name", ["llama", "openai_gpt"])
def test_two_write_on_in_turns_as_each_would_alone(name: str, tmp_path: Path) -> None:
    engine = with_space(name, tmp_path)
    assert engine.loaded is not None
    loaded, writing = engine.loaded, Writing(5, temperature=0.8, seed=2)
    point = tuple(3.0 for _ in range(Z))
    ids = [token.id for token in loaded.reader_of_text.read(TEXT)]
    steps = write_steps(loaded, ids, LAYER, (point, None), 1, writing)
    said: dict[int, str] = {}
    turns, fractions = [], []
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            both = stop.value
            break
        if step.written:
            assert step.written.startswith(said.get(step.which, ""))
            said[step.which] = step.written
            turns.append(step.which)
            fractions.append(step.fraction)
    assert turns[:4] == [0, 1, 0, 1]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    for which, alone in enumerate((point, None)):
        expected = drain(continue_steps(loaded, TEXT, LAYER, alone, 1, writing))
        assert both[which] == expected
        assert said[which] == expected.text


def test_a_long_context_is_read_in_parts_and_a_full_one_is_refused(llama: Engine) -> None:
    assert llama.loaded is not None
    loaded = llama.loaded
    most = loaded.info.max_tokens
    ids = [token.id for token in loaded.reader_of_text.read(TEXT)]
    long = (ids * most)[: min(most - 4, 2 * READ + 9)]
    steps = write_steps(loaded, long, LAYER, (None,), None, Writing(3))
    reading = 0
    while not (step := next(steps)).written:
        reading += 1
    assert reading == -(-len(long) // READ)
    with torch.inference_mode():
        trace, _ = loaded.reader.read(None, long, [], lambda: False)
        likeliest = int(loaded.reader.logits(trace.final.rows()[-1:]).argmax())
    (told,) = drain(write_steps(loaded, long, LAYER, (None,), None, Writing(1)))
    assert told.ids == (likeliest,)
    assert step.which == 0
    with pytest.raises(UserError, match="Shorten the text"):
        drain(write_steps(loaded, (ids * most)[:most], LAYER, (None,)))


def test_where_the_model_ends_the_text_nothing_more_is_written(
    llama: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert llama.loaded is not None
    own = drain(continue_steps(llama.loaded, TEXT, LAYER, None, None, Writing(4)))
    end = own.ids[0]
    monkeypatch.setattr(llama.loaded.reader.model.generation_config, "eos_token_id", end)
    ids = [token.id for token in llama.loaded.reader_of_text.read(TEXT)]
    last = list(write_steps(llama.loaded, ids, LAYER, (None,), None, Writing(4)))[-1]
    assert (last.ended, last.written, last.fraction) == (True, "", 1)


def test_the_tokens_of_each_sentence(llama: Engine) -> None:
    text = "  The quick brown fox jumps.  The lazy dog sleeps all day.\n\nA third one stands here."
    tokens = llama.read(Request(1, llama.epoch, text))
    found = of_tokens(text, tokens)
    said = [text[start:end] for (start, end), _ in found]
    assert said == [
        "The quick brown fox jumps.",
        "The lazy dog sleeps all day.",
        "A third one stands here.",
    ]
    indices = [index for _, inside in found for index in inside]
    assert indices == sorted(set(indices))
    for (start, end), inside in found:
        assert tokens[inside[0]].start <= start < tokens[inside[0]].end
        assert tokens[inside[-1]].end >= end
    assert [span for span, _ in of_tokens(text, tokens[:2])] == [found[0][0]]
    assert of_tokens("", ()) == []


def test_rows_of_points() -> None:
    assert paths.traversal((1, 2, 3), 1, (-1, 0)) == ((1, -1, 3), (1, 0, 3))
    straight = paths.between((0, 0), (2, 4), 3)
    assert straight == ((0, 0), (1, 2), (2, 4))
    around = paths.between((2, 0), (0, 4), 3, spherical=True)
    assert around[1] == pytest.approx((3 / 2**0.5, 3 / 2**0.5))
    assert (around[0], around[2]) == ((2, 0), (0, 4))
    assert paths.between((1, 0), (-1, 0), 3, spherical=True)[1] == (0, 0)
    with pytest.raises(ValueError, match="two steps"):
        paths.between((0,), (1,), 1)
    assert paths.prior(3, 5, 1) == paths.prior(3, 5, 1) != paths.prior(3, 5, 2)
    mu = np.array([[0, 0], [3, 4], [1, 0]], dtype=np.float32)
    assert paths.centre(mu, [0, 1]) == (1.5, 2)
    rows, apart = paths.nearest(mu, (0, 0), 2)
    assert rows.tolist() == [0, 2]
    assert apart.tolist() == [0, 1]
    assert paths.nearest(mu[:0], (0, 0), 2)[0].size == 0
