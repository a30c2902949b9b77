"""The sentences of a context in a space of sentence states."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tinymodels
import torch
from test_latent_decode import LAYER, space_of

from engine.engine import Engine
from engine.latent.context_sentences import Sentence, pooled_states, sentences_of
from engine.latent.corpus import pooled, pooled_over
from engine.latent.corpus_sentences import sentences
from engine.latent.space import Space
from engine.probes.latent import SentencePosteriors
from engine.types import LatentQuery, LatentResult, Pooling, Request, Snapshot, Token

TEXT = (
    "The dog is running in the park. She sells sea shells,  by the shore! Is the fox lazy at all?"
)


def of_sentences(space: Space, pooling: Pooling, length: int = 128) -> Space:
    card = msgspec.structs.replace(
        space.card, states="sentences", pooling=pooling, passage_length=length
    )
    return dataclasses.replace(space, card=card)


def with_spaces(name: str, folder: Path) -> Engine:
    engine = tinymodels.open_engine(tinymodels.save_model(name, folder))
    assert engine.loaded is not None
    space = space_of(engine, 4)
    mean, last = of_sentences(space, "mean"), of_sentences(space, "last")
    engine.loaded.sentence_spaces.update({(LAYER, "mean"): mean, (LAYER, "last"): last})
    info = engine.loaded.info
    object.__setattr__(info, "provides", info.provides | {"latent"})
    object.__setattr__(info, "sentence_spaces", ((LAYER, "last"), (LAYER, "mean")))
    return engine


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return with_spaces("llama", tmp_path_factory.mktemp("llama"))


def ask(engine: Engine, text: str, pooling: Pooling) -> tuple[Snapshot, LatentResult]:
    query = LatentQuery(LAYER, states=pooling)
    snapshot = engine.answer(Request(1, engine.epoch, text, (query,)))
    result = snapshot.results[query]
    assert isinstance(result, LatentResult)
    return snapshot, result


def rows_of(engine: Engine, stack: str = "decoder") -> torch.Tensor:
    assert engine._trace is not None
    return engine._trace.states[stack][LAYER].rows()  # type: ignore[index]


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_point_is_the_pooled_states_of_a_sentence(llama: Engine, pooling: Pooling) -> None:
    snapshot, result = ask(llama, TEXT, pooling)
    assert result.sentences == tuple(sentences(TEXT))
    assert result.states == pooling
    assert result.ranges is not None
    assert result.ranges.shape == (3, 2)
    assert llama.loaded is not None
    space = llama.loaded.sentence_spaces[LAYER, pooling]
    rows = rows_of(llama)
    for index, (start, stop) in enumerate(result.ranges.tolist()):
        written = "".join(token.text for token in snapshot.tokens[start:stop])
        assert " ".join(written.split()) == result.sentences[index]
        # What the corpus takes of a sentence: all but the first place of a text.
        body = pooled_over(range(start, stop), "decoder")
        mu, logvar = space.encode(pooled(rows[list(body)], pooling))
        np.testing.assert_allclose(result.mu[index], mu[0].numpy(), atol=1e-5)
        np.testing.assert_allclose(result.logvar[index], logvar[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(
        result.xy, space.project(torch.from_numpy(np.array(result.mu))).numpy(), atol=1e-5
    )


def test_an_encoders_special_tokens_are_of_no_sentence(tmp_path: Path) -> None:
    engine = with_spaces("bert", tmp_path)
    snapshot, result = ask(engine, TEXT, "mean")
    assert result.ranges is not None
    for start, stop in result.ranges.tolist():
        assert not any(token.special for token in snapshot.tokens[start:stop])
    assert engine.loaded is not None
    space = engine.loaded.sentence_spaces[LAYER, "mean"]
    start, stop = result.ranges[0].tolist()
    mu, _ = space.encode(rows_of(engine, "encoder")[start:stop].mean(dim=0, keepdim=True))
    np.testing.assert_allclose(result.mu[0], mu[0].numpy(), atol=1e-5)


def test_what_is_typed_last_is_a_sentence_too(llama: Engine) -> None:
    for text, count in (
        ("The", 1),
        ("The dog", 1),
        (TEXT + " And", 3),
        (TEXT + " And then it is in the park", 4),
    ):
        _, result = ask(llama, text, "mean")
        # What is short joins the sentence before it, as in the corpus.
        assert len(result.mu) == count == len(sentences(text))


def test_typing_encodes_only_the_sentences_that_changed(llama: Engine) -> None:
    ask(llama, TEXT, "mean")
    assert llama._trace is not None
    for text, new in (
        (TEXT + " And then it", 1),  # which is short and joins the sentence before it
        (TEXT + " And then it is in the park", 2),  # and now it stands alone
        (TEXT.replace("shore", "sea"), 2),  # the second sentence and what follows it
        (TEXT[:40], 1),
    ):
        kept = llama._trace.memos[f"latent {LAYER} mean"]
        assert isinstance(kept, SentencePosteriors)
        encoded = kept.encoded
        _, result = ask(llama, text, "mean")
        kept = llama._trace.memos[f"latent {LAYER} mean"]
        assert isinstance(kept, SentencePosteriors)
        assert kept.encoded - encoded == new
        assert len(kept.known) == len(result.mu)
        llama._trace = None
        _, whole = ask(llama, text, "mean")  # the same text, run afresh
        np.testing.assert_allclose(result.mu, whole.mu, atol=1e-4)
        assert result.ranges is not None
        assert whole.ranges is not None
        assert result.ranges.tolist() == whole.ranges.tolist()


def test_a_text_without_a_sentence_is_told_of(llama: Engine) -> None:
    query = LatentQuery(LAYER, states="mean")
    snapshot = llama.answer(Request(1, llama.epoch, "... !", (query,)))
    assert snapshot.refused[query].startswith("There is no sentence in the text yet")


def test_a_pooling_or_layer_without_a_space_is_told_of(llama: Engine) -> None:
    queries = (LatentQuery(1, states="mean"), LatentQuery(None))
    snapshot = llama.answer(Request(1, llama.epoch, TEXT, queries))
    assert snapshot.refused[queries[0]].endswith(
        "has no latent space of sentences (mean) for layer 1"
    )
    assert "are of sentences, not of tokens" in snapshot.refused[queries[1]]
    unasked = LatentQuery(None, states="last")
    found = llama.answer(Request(1, llama.epoch, TEXT, (unasked,))).results[unasked]
    assert isinstance(found, LatentResult)
    assert found.layer == LAYER


def test_of_a_long_sentence_the_beginning_counts() -> None:
    rows = torch.arange(20.0)[:, None]
    whole = [Sentence("a", 0, 10), Sentence("b", 10, 20)]
    found = pooled_states(rows, whole, "mean", "decoder", 4)
    assert found[:, 0].tolist() == [2.0, 11.5]
    assert pooled_states(rows, whole, "last", "decoder", 128)[:, 0].tolist() == [9.0, 19.0]
    assert pooled_states(rows, whole[:1], "mean", "encoder", 4)[0, 0] == 1.5
    only = pooled_states(rows, [Sentence("a", 0, 1)], "mean", "decoder", 4)
    assert only[0, 0] == 0  # it has no other place


def test_a_token_belongs_to_one_sentence() -> None:
    text = "She sells sea shells. The 🦊 is what the dog has seen today."
    # One token has the end of the first sentence and the beginning of the next.
    places = [(0, 9), (9, 20), (20, 24), (24, 26), (26, 27), (26, 27), (27, len(text))]
    tokens = [Token(0, text[a:b], b"", a, b) for a, b in places]
    tokens.append(Token(1, "</s>", b"", len(text), len(text), special=True))
    found = sentences_of(text, tokens)
    assert [(one.start, one.stop) for one in found] == [(0, 3), (3, 7)]
    # Sentences that the model's limit cut off have no point.
    assert [(one.start, one.stop) for one in sentences_of(text, tokens[:2])] == [(0, 2)]


def test_a_new_space_of_sentences_is_opened_at_once(llama: Engine, tmp_path: Path) -> None:
    assert llama.loaded is not None
    before = llama.loaded
    made = of_sentences(before.sentence_spaces[LAYER, "mean"], "mean")
    other = dataclasses.replace(made, card=msgspec.structs.replace(made.card, layer=1))
    other.save(tmp_path / "x.safetensors")
    try:
        info = llama.take_space(tmp_path / "x.safetensors")
        assert info is not None
        assert info.sentence_spaces == ((1, "mean"), (LAYER, "last"), (LAYER, "mean"))
        assert info.latent_layers == ()
        assert "latent" in info.provides
        query = LatentQuery(1, states="mean")
        assert query in llama.answer(Request(1, llama.epoch, TEXT, (query,))).results
    finally:
        llama.loaded = before


def test_they_are_found_with_the_model(
    llama: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    assert llama.loaded is not None
    space = llama.loaded.sentence_spaces[LAYER, "mean"]
    folder = tinymodels.save_model("llama", tmp_path / "model")
    bare = tinymodels.open_engine(folder)
    assert bare.loaded is not None
    info = bare.loaded.info
    card = msgspec.structs.replace(space.card, model=info.name, fingerprint=info.fingerprint)
    dataclasses.replace(space, card=card).save(tmp_path / "cache" / "latent" / "mine.safetensors")
    engine = tinymodels.open_engine(folder)
    assert engine.loaded is not None
    assert engine.loaded.info.sentence_spaces == ((LAYER, "mean"),)
    assert "latent" in engine.loaded.info.provides
    _, result = ask(engine, TEXT, "mean")
    assert len(result.mu) == 3
