"""What the engine does at its edges: no text, too much text, wrong questions, no memory."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import tinymodels
import torch

from engine import comparison, types
from engine.engine import Engine
from engine.errors import Cancelled, UserError
from engine.latent import values
from engine.principal import principal_plane
from engine.probes.embedding import typical
from engine.probes.spec import probe_specs
from engine.tasks import answers
from engine.types import (
    AttentionQuery,
    EmbeddingQuery,
    EmbeddingResult,
    NeighboursQuery,
    NeighboursResult,
    NextQuery,
    Query,
    Request,
    Snapshot,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinymodels.save_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinymodels.save_model("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture
def engine(folder: Path) -> Engine:
    return tinymodels.open_engine(folder)


def ask(engine: Engine, text: str, *queries: Query, limit: int | None = None) -> Snapshot:
    return engine.answer(Request(1, engine.epoch, text, queries, limit=limit))


ALL = (EmbeddingQuery(1), AttentionQuery(0), NextQuery(3), NeighboursQuery(0, 0))


def test_empty_text_has_no_tokens_and_no_pass(engine: Engine) -> None:
    snapshot = ask(engine, "", *ALL)
    assert snapshot.tokens == ()
    assert not snapshot.results
    assert engine.passes == 0


def test_one_character(engine: Engine) -> None:
    snapshot = ask(engine, "a", *ALL)
    assert set(snapshot.results) == set(ALL)
    assert snapshot.results[AttentionQuery(0)].weights.tolist() == [[1.0]]


def test_results_are_read_only(engine: Engine) -> None:
    result = ask(engine, "The dog", EmbeddingQuery(0)).results[EmbeddingQuery(0)]
    assert isinstance(result, EmbeddingResult)
    with pytest.raises(ValueError, match="read-only"):
        result.values[0, 0] = 1


def test_the_length_guard_says_what_it_cut_and_why(engine: Engine) -> None:
    text = tinymodels.TEXT * 40
    by_model = ask(engine, text)
    assert len(by_model.tokens) == 256
    assert "reads at most 256" in by_model.notice
    by_user = ask(engine, text, limit=20)
    assert len(by_user.tokens) == 20
    assert "token limit is 20" in by_user.notice
    assert not ask(engine, "The dog").notice


def test_two_hundred_thousand_characters(engine: Engine) -> None:
    snapshot = ask(engine, "x y " * 50_000, AttentionQuery(0))
    assert len(snapshot.tokens) == 256
    assert snapshot.stats.suffix <= 256
    assert snapshot.notice


def test_an_encoder_keeps_its_closing_token(bert_folder: Path) -> None:
    engine = tinymodels.open_engine(bert_folder)
    snapshot = ask(engine, tinymodels.TEXT * 40, AttentionQuery(0))
    assert len(snapshot.tokens) == 256
    assert AttentionQuery(0) in snapshot.results


def test_lone_surrogates_are_told(engine: Engine) -> None:
    assert "surrogates" in ask(engine, "a\ud800b").notice


def test_right_to_left_and_combining_text(engine: Engine) -> None:
    for text in ("שלום עולם", "e\u0301a\u0308", "👩‍👩‍👧", "\u202etxet"):
        snapshot = ask(engine, text, *ALL)
        assert b"".join(token.data for token in snapshot.tokens) == text.encode()


@pytest.mark.parametrize(
    "query",
    [
        EmbeddingQuery(99),
        EmbeddingQuery(-1),
        AttentionQuery(3),
        AttentionQuery(0, 99),
        AttentionQuery(0, stack="cross"),
        NeighboursQuery(0, 5000),
    ],
)
def test_a_question_without_an_answer_is_refused_with_the_reason(
    engine: Engine, query: Query
) -> None:
    snapshot = ask(engine, "The dog", query, EmbeddingQuery(0))
    assert query not in snapshot.results
    assert len(snapshot.refused[query]) > 10
    assert EmbeddingQuery(0) in snapshot.results


def test_an_encoder_provides_no_next_token(bert_folder: Path) -> None:
    engine = tinymodels.open_engine(bert_folder)
    assert "provides no next" in ask(engine, "dog", NextQuery()).refused[NextQuery()]


def test_cancelling_ends_between_blocks_and_loses_nothing(engine: Engine) -> None:
    ask(engine, "The dog")
    asked = iter((False, False, True))
    with pytest.raises(Cancelled):
        engine.answer(Request(2, 1, "A cat is running"), lambda: next(asked))
    fresh = ask(engine, "The dog is", AttentionQuery(2)).results[AttentionQuery(2)]
    other = Engine()
    other.loaded = engine.loaded
    again = ask(other, "The dog is", AttentionQuery(2)).results[AttentionQuery(2)]
    np.testing.assert_allclose(fresh.weights, again.weights, atol=1e-6)


def test_out_of_memory_is_a_sentence_and_the_next_answer_is_right(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.loaded is not None
    reader = engine.loaded.reader
    with monkeypatch.context() as patch:
        patch.setattr(
            type(reader), "read", lambda *_: (_ for _ in ()).throw(MemoryError("no room"))
        )
        with pytest.raises(UserError, match="memory of cpu is full"):
            ask(engine, "The dog")
    assert ask(engine, "The dog", NextQuery()).results


def test_without_a_model() -> None:
    with pytest.raises(UserError, match="no model is loaded"):
        Engine().answer(Request(1, 0, "a"))


def test_a_device_that_is_not_there(folder: Path) -> None:
    from engine.models.loader import pick_device

    assert pick_device("cpu") == torch.device("cpu")
    for device in ("cuda", "mps"):
        if not getattr(torch.backends if device == "mps" else torch, device).is_available():
            with pytest.raises(UserError, match=device):
                pick_device(device)


def test_neighbours_of_an_input_embedding_begin_with_itself(engine: Engine) -> None:
    snapshot = ask(engine, "The dog", NeighboursQuery(0, 1, 5))
    result = snapshot.results[NeighboursQuery(0, 1, 5)]
    assert isinstance(result, NeighboursResult)
    assert result.ids[0] == snapshot.tokens[1].id
    assert result.similarity[0] == pytest.approx(1, abs=1e-5)
    assert list(result.similarity) == sorted(result.similarity, reverse=True)


@pytest.mark.parametrize("shape", [(1, 5), (2, 5), (40, 6), (6, 40), (150, 120), (120, 150)])
def test_the_principal_plane_is_scikit_learns(shape: tuple[int, int]) -> None:
    from sklearn.decomposition import PCA

    states = torch.from_numpy(
        np.random.default_rng(3).normal(size=shape) * np.arange(1, shape[1] + 1)
    )
    xy, explained = principal_plane(states)
    assert xy.shape == (shape[0], 2)
    if min(shape) > 2:
        theirs = PCA(2).fit(states.numpy())
        np.testing.assert_allclose(
            np.abs(xy.numpy()), np.abs(theirs.transform(states.numpy())), atol=1e-8
        )
        np.testing.assert_allclose(explained.numpy(), theirs.explained_variance_ratio_, atol=1e-8)
    else:
        assert torch.isfinite(xy).all()
        assert xy[:, 1].abs().max() < 1e-6


def test_massive_states_do_not_turn_the_picture() -> None:
    generator = torch.Generator().manual_seed(4)
    states = torch.randn(20, 8, generator=generator)
    states[0] = 100
    chosen = typical(states.norm(dim=-1))
    assert chosen.tolist() == [False] + [True] * 19
    xy, explained = principal_plane(states, chosen)
    alone, share = principal_plane(states[1:])
    np.testing.assert_allclose(xy[1:].numpy(), alone.numpy(), atol=1e-9)
    np.testing.assert_allclose(explained.numpy(), share.numpy(), atol=1e-12)
    assert torch.isfinite(xy).all()
    assert typical(torch.tensor([100.0, 1.0, 1.0])).all()


def test_every_probe_answers_a_query_of_its_own() -> None:
    known = {
        value
        for module in (answers, comparison, types, values)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Query) and value is not Query
    }
    assert set(probe_specs()) == known


def test_the_engine_works_on_any_thread(folder: Path) -> None:
    answers: list[Snapshot] = []

    def work() -> None:
        answers.append(ask(tinymodels.open_engine(folder), "The dog", EmbeddingQuery(0)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers[0].results
