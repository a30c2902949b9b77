"""The same text under two contexts equals two eager passes; a key costs its own tokens only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
from test_chat import TEMPLATE

from engine import beside, memory
from engine.alignment import aligned
from engine.beside import MEMO
from engine.comparison import CompareQuery, CompareResult
from engine.contrast import Compared
from engine.engine import Engine
from engine.models.catalogue import resolve
from engine.models.store import fetch, open_spec
from engine.types import (
    AttentionQuery,
    LatentQuery,
    LatentResult,
    NextQuery,
    Query,
    Request,
    Snapshot,
    Token,
)

CLOSE = 1e-4
TEXT = "The dog is in the park."
CONTEXT = "She sells sea shells.\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinymodels.save_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture
def engine(folder: Path) -> Engine:
    return tinymodels.open_engine(folder)


def ask(engine: Engine, text: str, *queries: Query, **how: Any) -> Snapshot:
    return engine.answer(Request(1, engine.epoch, text, queries, **how))


def compare(engine: Engine, text: str, query: CompareQuery) -> CompareResult:
    snapshot = ask(engine, text, query)
    assert not snapshot.refused
    found = snapshot.results[query]
    assert isinstance(found, CompareResult)
    return found


class Truth:
    """What transformers' eager path gives of one text, all on its own."""

    def __init__(self, model: Any, engine: Engine, text: str, encoder: bool) -> None:
        assert engine.loaded is not None
        self.ids = [token.id for token in engine.loaded.reader_of_text.read(text)]
        part = model.get_encoder() if encoder else model
        with torch.no_grad():
            output = part(
                input_ids=torch.tensor([self.ids]),
                output_hidden_states=True,
                output_attentions=True,
                **({} if encoder or "bert" in type(model).__name__.lower() else {"use_cache": 0}),
            )
        # The last of them is normed; the depths below it are the states.
        self.states = torch.stack([state[0] for state in output.hidden_states])
        self.maps = torch.stack([maps[0] for maps in output.attentions])
        logits = getattr(output, "logits", None)
        self.logged = None if logits is None else logits[0].log_softmax(-1)


def check(found: CompareResult, one: Truth, other: Truth, head: int | None) -> None:
    places = [side.places[found.pairs[:, k]] for k, side in enumerate((found.one, found.other))]
    a, b = (torch.from_numpy(place.copy()) for place in places)
    depth = len(one.states) - 1
    cosine = torch.cosine_similarity(one.states[:, a], other.states[:, b], dim=-1)
    np.testing.assert_allclose(found.shift[:, :depth], 1 - cosine.T[:, :depth], atol=CLOSE)
    assert found.shift.shape == (len(a), depth + 1)
    mine, theirs = one.maps[:, :, a][..., a], other.maps[:, :, b][..., b]
    assert found.attention is not None
    assert found.elsewhere is not None
    assert found.heads is not None
    shown = (theirs - mine)[found.layer]
    shown = shown.mean(0) if head is None else shown[head]
    np.testing.assert_allclose(found.attention, shown, atol=CLOSE)
    rest = [1 - maps[found.layer].sum(-1) for maps in (mine, theirs)]
    rest = [maps.mean(0) if head is None else maps[head] for maps in rest]
    np.testing.assert_allclose(found.elsewhere, torch.stack(rest), atol=CLOSE)
    # The first token of all is the same key on either side, whatever it is.
    inner = ((a > 0) & (b > 0)).nonzero()[:, 0]
    sinks = [one.maps[:, :, a, 0], other.maps[:, :, b, 0]]
    inside = [mine[..., inner], theirs[..., inner]]
    rests = [1 - sink - part.sum(-1) for sink, part in zip(sinks, inside, strict=True)]
    apart = (inside[1] - inside[0]).abs().sum(-1) + (sinks[1] - sinks[0]).abs()
    apart = apart + (rests[1] - rests[0]).abs()
    np.testing.assert_allclose(found.heads, apart.mean(-1) / 2, atol=CLOSE)
    if one.logged is None or other.logged is None:
        assert found.kl is None
        return
    check_predictions(found, one, other, places)


def check_predictions(found: CompareResult, one: Truth, other: Truth, places: Any) -> None:
    assert found.kl is not None
    assert found.pcxmi is not None
    assert one.logged is not None
    assert other.logged is not None
    for row, (a, b) in enumerate(zip(*(place.tolist() for place in places), strict=True)):
        if a == 0 or b == 0 or one.ids[a] != other.ids[b]:
            assert np.isnan(found.kl[row])
            assert np.isnan(found.pcxmi[row])
            continue
        p, q = other.logged[b - 1], one.logged[a - 1]
        assert found.kl[row] == pytest.approx(float((p.exp() * (p - q)).sum()), abs=CLOSE)
        gained = float(p[other.ids[b]] - q[one.ids[a]])
        assert found.pcxmi[row] == pytest.approx(gained, abs=CLOSE)
        bits = found.other.surprise[found.pairs[row, 1]] * np.log(2)
        assert bits == pytest.approx(-float(p[other.ids[b]]), abs=CLOSE)
    p, q = other.logged[-1], one.logged[-1]
    assert found.next_kl == pytest.approx(float((p.exp() * (p - q)).sum()), abs=CLOSE)
    assert found.other.next_ids == tuple(p.topk(5).indices.tolist())
    np.testing.assert_allclose(found.other.next_probabilities, p.topk(5).values.exp(), atol=CLOSE)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "bert", "t5", "mamba"])
def test_a_comparison_equals_two_eager_passes_after_edits(name: str, tmp_path: Path) -> None:
    model = tinymodels.make(name)
    engine = tinymodels.open_engine(tinymodels.save_model(name, tmp_path))
    assert engine.loaded is not None
    attends, encoder = engine.loaded.info.heads > 0, name == "t5"
    # Typed, more typed, a context that grows, one on either side, a change in the middle.
    for text, one, other, head in (
        ("The dog", "", CONTEXT, None),
        (TEXT, "", CONTEXT, 1),
        (TEXT, "", CONTEXT + "The fox jumps.\n", 1),
        (TEXT, "again, and ", CONTEXT, None),
        ("The fox is in the park.", "again, and ", CONTEXT, 2),
    ):
        query = CompareQuery(one, other, layer=1, head="mean" if head is None else head)
        found = compare(engine, text, query)
        if not attends:
            assert found.attention is found.heads is None
            assert np.isfinite(found.shift).all()
            continue
        sides = [Truth(model, engine, context + text, encoder) for context in (one, other)]
        check(found, *sides, head)


def test_the_same_text_twice_differs_in_nothing(engine: Engine) -> None:
    found = compare(engine, TEXT, CompareQuery(CONTEXT, CONTEXT))
    assert found.kl is not None
    assert found.pcxmi is not None
    assert found.attention is not None
    assert found.heads is not None
    assert len(found.pairs) == len(found.one.tokens) == len(found.other.tokens)
    for numbers in (found.kl, found.pcxmi, found.attention, found.heads, found.shift):
        assert np.abs(numbers).max() <= 1e-6
    assert found.next_kl == pytest.approx(0, abs=1e-6)


# --- what a key costs -----------------------------------------------------------------------------


def kept(engine: Engine) -> Compared:
    assert engine._trace is not None
    memo = engine._trace.memos["compare"]
    assert isinstance(memo, Compared)
    return memo


def test_a_key_at_the_end_runs_its_token_once_in_each_trace(engine: Engine) -> None:
    query = CompareQuery("", CONTEXT)
    first = ask(engine, TEXT, query)
    count = len(first.tokens)
    assert first.stats.passes == 2
    longer = ask(engine, TEXT + "!", query)
    assert (longer.stats.passes, longer.stats.suffix) == (2, 2)
    assert len(longer.tokens) == count + 1
    assert kept(engine).ran == count + 1
    # Another head is a question, and no pass.
    again = ask(engine, TEXT + "!", replace(query, head=2))
    assert (again.stats.passes, again.stats.suffix) == (0, 0)
    assert kept(engine).ran == count + 1
    # What was kept is what a new engine says.
    assert engine.passes == 4


def test_what_was_kept_equals_what_is_worked_out_anew(engine: Engine, folder: Path) -> None:
    query = CompareQuery("", CONTEXT, head=1)
    for text in ("The", TEXT, "The dog is", "The dog is lazy; and again", "A dog is lazy"):
        found = compare(engine, text, query)
    fresh = compare(tinymodels.open_engine(folder), "A dog is lazy", query)
    for name in ("shift", "kl", "pcxmi", "attention", "elsewhere", "heads", "pairs"):
        np.testing.assert_allclose(getattr(found, name), getattr(fresh, name), atol=1e-5)


def test_a_longer_context_runs_what_is_new_of_it_and_the_text(engine: Engine) -> None:
    ask(engine, TEXT, CompareQuery("", CONTEXT))
    snapshot = ask(engine, TEXT, CompareQuery("", CONTEXT + CONTEXT))
    assert snapshot.stats.passes == 1
    assert engine.loaded is not None
    read = engine.loaded.reader_of_text.read
    assert snapshot.stats.suffix <= len(read(CONTEXT + TEXT))


def test_nothing_is_run_or_kept_once_nobody_asks(engine: Engine) -> None:
    ask(engine, TEXT, CompareQuery("", CONTEXT))
    assert engine._trace is not None
    both = engine._trace.nbytes
    alone = ask(engine, TEXT + "!", NextQuery())
    assert (alone.stats.passes, alone.stats.suffix) == (1, 1)
    assert MEMO not in engine._trace.memos
    assert engine._trace.nbytes < both * 0.75


def test_views_beside_it_are_answered_as_ever(engine: Engine) -> None:
    queries = (NextQuery(), AttentionQuery(0, 1))
    alone = ask(engine, TEXT, *queries)
    both = ask(engine, TEXT, *queries, CompareQuery("", CONTEXT, 0, 1))
    for query in queries:
        mine, theirs = alone.results[query], both.results[query]
        name = "surprise" if isinstance(query, NextQuery) else "weights"
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


def test_in_a_conversation_the_turn_holds_the_context_too(folder: Path) -> None:
    engine = tinymodels.open_engine(folder)
    assert engine.loaded is not None
    engine.loaded.reader_of_text.tokenizer.chat_template = TEMPLATE  # type: ignore[attr-defined]
    query = CompareQuery("", CONTEXT)
    snapshot = ask(engine, TEXT, query, chat=True)
    found = snapshot.results[query]
    assert isinstance(found, CompareResult)
    own = [index for index, token in enumerate(snapshot.tokens) if token.start < token.end]
    assert found.one.own.tolist() == own
    # The template stands before the text, so its first token is predicted on both sides.
    assert found.pcxmi is not None
    assert np.isfinite(found.pcxmi).all()
    whole = ask(engine, CONTEXT + TEXT, NextQuery(), chat=True)
    told = whole.results[NextQuery()].surprise  # type: ignore[attr-defined]
    places = found.other.places[found.pairs[:, 1]]
    np.testing.assert_allclose(found.other.surprise[found.pairs[:, 1]], told[places], atol=1e-4)


def test_the_paths_are_those_of_the_two_texts_in_the_latent_space() -> None:
    entry = resolve("builtin")
    engine = Engine()
    info = engine.load(open_spec(entry, fetch(entry)))
    space = info.latent_layers[0]
    query = CompareQuery("", CONTEXT, space=space)
    found = compare(engine, TEXT, query)
    assert found.paths is not None
    assert found.reference is not None
    assert found.space == space
    for index, (context, side) in enumerate((("", found.one), (CONTEXT, found.other))):
        latent = LatentQuery(space)
        alone = ask(engine, context + TEXT, latent).results[latent]
        assert isinstance(alone, LatentResult)
        places = side.places[found.pairs[:, index]]
        np.testing.assert_allclose(found.paths[index], alone.xy[places], atol=1e-4)
    # A layer without a space has no paths, and everything else.
    without = compare(engine, TEXT, replace(query, space=0))
    assert without.paths is None
    assert len(without.shift)


# --- alignment ------------------------------------------------------------------------------------


def token(start: int, end: int, id_: int = 1) -> Token:
    return Token(id_, "x" * max(0, end - start), b"", start, end)


def test_tokens_are_aligned_by_the_characters_they_stand_for() -> None:
    one = [token(0, 3), token(3, 5), token(5, 6), token(5, 6), token(6, 9)]
    other = [token(-1, 3), token(3, 5), token(5, 6), token(5, 6), token(6, 8), token(8, 9)]
    assert aligned(one, other).tolist() == [[1, 1], [2, 2], [3, 3]]
    assert aligned([], other).shape == (0, 2)
    # As many tokens to a character, or none of them.
    assert aligned([token(0, 1)], [token(0, 1), token(0, 1)]).tolist() == []


def test_a_merge_across_the_boundary_has_no_counterpart(engine: Engine) -> None:
    found = compare(engine, "dog is in the park.", CompareQuery("", "The lazy "))
    assert found.other.tokens[0].start == -1
    assert found.other.own[0] == -1
    assert found.one.own.tolist() == list(range(len(found.one.tokens)))
    assert found.unshared == (len(found.one.tokens) - len(found.pairs), 1)
    assert np.isnan(found.other.surprise[0])
    assert len(found.pairs) >= 5


# --- what cannot be answered ----------------------------------------------------------------------


def test_what_is_too_long_together_is_said_and_the_text_is_answered(engine: Engine) -> None:
    query = CompareQuery("", CONTEXT * 3)
    snapshot = ask(engine, TEXT, query, NextQuery(), limit=20)
    assert "Context and text are" in snapshot.refused[query]
    assert "the token limit is 20" in snapshot.refused[query]
    assert NextQuery() in snapshot.results
    assert ask(engine, TEXT, query).results


def test_what_does_not_fit_is_said_before_it_is_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "SMALL", 0)
    monkeypatch.setattr(memory, "room", lambda _device: memory.Room(10, 1000, "this machine"))
    query = CompareQuery("", CONTEXT)
    snapshot = ask(engine, TEXT, query)
    assert "does not fit beside the text" in snapshot.refused[query]
    assert snapshot.stats.passes == 1


def test_lone_surrogates_and_no_text(engine: Engine) -> None:
    query = CompareQuery("", "\ud83d oh ")
    assert ask(engine, "dog", query).results
    assert not ask(engine, "", query).results
