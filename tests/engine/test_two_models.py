"""The same text read by two models equals two eager passes; a key costs its token in each."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
import transformers
from test_compare import CLOSE, CONTEXT, TEXT, Truth, ask, check, check_predictions, compare
from tinyfamilies import GROUPED

from engine import memory
from engine.beside import MEMO, Beside
from engine.comparison import CompareQuery, CompareResult, identity
from engine.engine import Engine
from engine.errors import UserError
from engine.models import loader
from engine.models.catalogue import resolve
from engine.models.store import ModelSource, fetch, open_spec
from engine.types import EmbeddingQuery, NextQuery, Request

Made = tuple[Any, Path]


def source(folder: Path) -> ModelSource:
    entry = resolve(str(folder))
    return open_spec(entry, fetch(entry))


def open_second(engine: Engine, folder: Path, dtype: str = "float32") -> str:
    """Load a second model without the steps; gives its identity."""
    for _ in engine.load_second_steps(source(folder), dtype=dtype):
        pass
    assert engine.second is not None
    return identity(engine.second.info)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """Makes a llama with other settings, or a model of another family, once each."""
    made: dict[tuple[object, ...], Made] = {}

    def of(name: str = "llama", seed: int = 0, **changes: Any) -> Made:
        key = (name, seed, *sorted(changes.items()))
        if key not in made:
            model = tinymodels.make(name, seed)
            if changes:
                torch.manual_seed(seed)
                config = transformers.LlamaConfig(**{**GROUPED, **changes})
                model = transformers.AutoModelForCausalLM.from_config(
                    config, attn_implementation="eager"
                ).eval()
                for parameter in model.parameters():
                    if parameter.ndim > 1:
                        parameter.data.normal_(0, 0.3)
            folder = tmp_path_factory.mktemp("model") / f"{name}-{len(made)}"
            model.save_pretrained(folder)
            tinymodels.save_tokenizer(folder)
            made[key] = model, folder
        return made[key]

    return of


def both(make: Callable[..., Made], **second: Any) -> tuple[Engine, str, Any, Any]:
    """An engine with a llama, a second model beside it, and both as transformers runs them."""
    (model, folder), (other, beside) = make(), make(**second)
    engine = tinymodels.open_engine(folder)
    return engine, open_second(engine, beside), model, other


# --- the numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [{"seed": 1}, {"name": "gpt2"}], ids=str)
def test_two_models_equal_two_eager_passes_after_edits(
    make: Callable[..., Made], second: dict[str, Any]
) -> None:
    engine, key, model, other = both(make, **second)
    for text, one, behind, head in (
        ("The dog", "", "", None),
        (TEXT, "", CONTEXT, 1),
        (TEXT, "", "", 1),
        ("The fox is in the park.", "again, and ", CONTEXT, None),
        ("The fox is in the park, again", "again, and ", CONTEXT, 2),
    ):
        query = CompareQuery(one, behind, 1, "mean" if head is None else head, model=key)
        found = compare(engine, text, query)
        check(
            found,
            Truth(model, engine, one + text, False),
            Truth(other, engine, behind + text, False),
            head,
        )
        assert found.second == key
        assert engine.second is not None
        assert found.other.model == engine.second.info.title != found.one.model
    fresh, *_ = both(make, **second)
    anew = compare(fresh, text, query)
    for name in ("shift", "kl", "pcxmi", "attention", "elsewhere", "heads", "pairs"):
        np.testing.assert_allclose(getattr(found, name), getattr(anew, name), atol=1e-5)


@pytest.mark.parametrize("text", ["The dog", TEXT])
def test_a_model_beside_itself_differs_in_nothing(make: Callable[..., Made], text: str) -> None:
    engine, key, *_ = both(make)
    found = compare(engine, text, CompareQuery(model=key))
    for numbers in (found.kl, found.pcxmi, found.attention, found.heads, found.shift):
        assert numbers is not None
        assert np.nanmax(np.abs(numbers)) <= 1e-5
    assert found.next_kl == pytest.approx(0, abs=1e-6)
    assert found.one.next_ids == found.other.next_ids


def test_a_shallower_model_is_compared_as_deep_as_it_goes(make: Callable[..., Made]) -> None:
    engine, key, model, other = both(make, num_hidden_layers=2)
    found = compare(engine, TEXT, CompareQuery(layer=2, model=key))
    sides = [Truth(one, engine, TEXT, False) for one in (model, other)]
    assert found.shift.shape[1] == 4
    assert np.isnan(found.shift[:, 3]).all()
    cosine = torch.cosine_similarity(sides[0].states[:2], sides[1].states[:2], dim=-1)
    np.testing.assert_allclose(found.shift[:, :2], 1 - cosine.T, atol=CLOSE)
    assert np.isfinite(found.shift[:, 2]).all()
    # Block 2 is none of the other's, and its heads are not as many.
    assert found.attention is found.heads is None
    check_predictions(found, *sides, [side.places for side in (found.one, found.other)])
    shown = compare(engine, TEXT, CompareQuery(layer=1, model=key)).attention
    np.testing.assert_allclose(shown, (sides[1].maps[1] - sides[0].maps[1]).mean(0), atol=CLOSE)


def test_a_wider_model_is_compared_by_what_it_expects(make: Callable[..., Made]) -> None:
    engine, key, model, other = both(make, hidden_size=48, num_attention_heads=6)
    found = compare(engine, TEXT, CompareQuery(head="mean", space=1, model=key))
    sides = [Truth(one, engine, TEXT, False) for one in (model, other)]
    assert np.isnan(found.shift).all()
    assert found.heads is found.paths is None
    assert found.attention is not None
    check_predictions(found, *sides, [side.places for side in (found.one, found.other)])


@pytest.mark.parametrize("padded", [0, 1])
def test_a_padded_vocabulary_is_compared_over_what_both_have(
    make: Callable[..., Made], padded: int
) -> None:
    pair = [make(vocab_size=384), make(seed=1)]
    (one, first), (other, beside) = pair if padded == 0 else reversed(pair)
    engine = tinymodels.open_engine(first)
    found = compare(engine, TEXT, CompareQuery(model=open_second(engine, beside)))
    sides = [Truth(model, engine, TEXT, False) for model in (one, other)]
    for side in sides:
        assert side.logged is not None
        side.logged = side.logged[:, :320].log_softmax(-1)
    check_predictions(found, *sides, [side.places for side in (found.one, found.other)])


def test_both_paths_lie_in_the_space_of_the_first_model(make: Callable[..., Made]) -> None:
    entry = resolve("builtin")
    builtin = open_spec(entry, fetch(entry))
    engine = Engine()
    layer = engine.load(builtin).latent_layers[0]
    key = open_second(engine, builtin.folder)
    found = compare(engine, TEXT, CompareQuery("", CONTEXT, space=layer, model=key))
    alone = compare(engine, TEXT, CompareQuery("", CONTEXT, space=layer))
    assert found.paths is not None
    assert alone.paths is not None
    np.testing.assert_allclose(found.paths, alone.paths, atol=1e-4)


def test_random_edits_leave_what_a_new_engine_says(make: Callable[..., Made]) -> None:
    engine, key, *_ = both(make, seed=1)
    dice = random.Random(7)
    parts = ["The dog", "", CONTEXT]  # the text, and what stands before it on either side
    for step in range(24):
        which = dice.choices((0, 1, 2), (6, 1, 1))[0]
        at = dice.randrange(len(parts[which]) + 1)
        word = dice.choice(("", " lazy", "a", ".\n", "犬", " the park"))
        rest = parts[which][at + dice.randrange(4) :]
        parts[which] = parts[which][:at] + word + rest or "x"
        query = CompareQuery(*parts[1:], 1, dice.choice(("mean", 0, 3)), model=key)
        found = compare(engine, parts[0], query)
        if step % 8 == 7:
            fresh, same, *_ = both(make, seed=1)
            assert same == key
            anew = compare(fresh, parts[0], query)
            for name in ("shift", "kl", "pcxmi", "attention", "elsewhere", "heads", "pairs"):
                np.testing.assert_allclose(getattr(found, name), getattr(anew, name), atol=CLOSE)


# --- what a key costs -----------------------------------------------------------------------------


def test_a_key_runs_its_token_once_in_each_model(make: Callable[..., Made]) -> None:
    engine, key, *_ = both(make, seed=1)
    query = CompareQuery(model=key)
    first = ask(engine, TEXT, query)
    assert first.stats.passes == 2
    longer = ask(engine, TEXT + "!", query)
    assert (longer.stats.passes, longer.stats.suffix) == (2, 2)
    again = ask(engine, TEXT + "!", replace(query, head=2))
    assert (again.stats.passes, again.stats.suffix) == (0, 0)
    assert engine.loaded is not None
    assert engine.second is not None
    assert again.stats.weight_bytes == engine.loaded.weight_bytes + engine.second.weight_bytes


def test_what_was_known_of_one_pair_is_not_taken_for_another(make: Callable[..., Made]) -> None:
    engine, key, model, other = both(make, seed=1)
    alone = CompareQuery("", CONTEXT)
    for query in (alone, replace(alone, model=key), alone, replace(alone, model=key)):
        found = compare(engine, TEXT, query)
        reads = other if query.model else model
        sides = Truth(model, engine, TEXT, False), Truth(reads, engine, CONTEXT + TEXT, False)
        check(found, *sides, None)
        assert engine._trace is not None
        beside = engine._trace.memos[MEMO]
        assert isinstance(beside, Beside)
        assert len(beside.traces) == 1
    # Another second model forgets what the last one read.
    _, third = make(seed=2)
    key = open_second(engine, third)
    sides = (Truth(model, engine, TEXT, False), Truth(make(seed=2)[0], engine, TEXT, False))
    check(compare(engine, TEXT, CompareQuery(model=key)), *sides, None)


def test_the_same_model_in_another_type_is_not_taken_for_itself(make: Callable[..., Made]) -> None:
    engine = tinymodels.open_engine(make()[1])
    key = open_second(engine, make()[1], "bfloat16")
    query = CompareQuery("", CONTEXT)
    exact = compare(engine, TEXT, query)
    rounded = compare(engine, TEXT, replace(query, model=key))
    assert np.abs(exact.shift - rounded.shift).max() > 1e-5
    np.testing.assert_allclose(rounded.shift, exact.shift, atol=0.1)
    np.testing.assert_allclose(compare(engine, TEXT, query).shift, exact.shift, atol=1e-5)
    open_second(engine, make()[1])
    np.testing.assert_allclose(
        compare(engine, TEXT, replace(query, model=key)).shift, exact.shift, atol=1e-5
    )


def test_views_beside_it_are_answered_by_the_first_model(make: Callable[..., Made]) -> None:
    engine, key, *_ = both(make, seed=1)
    queries = (NextQuery(), EmbeddingQuery(2))
    alone, with_it = (
        ask(engine, TEXT, *queries),
        ask(engine, TEXT, *queries, CompareQuery(model=key)),
    )
    for query, name in zip(queries, ("surprise", "values"), strict=True):
        mine, theirs = (getattr(one.results[query], name) for one in (alone, with_it))
        np.testing.assert_array_equal(mine, theirs)
    assert with_it.model.name == alone.model.name


# --- what cannot be compared ----------------------------------------------------------------------


def refusal(engine: Engine, query: CompareQuery, text: str = TEXT, **how: Any) -> str:
    snapshot = ask(engine, text, query, NextQuery(), **how)
    assert NextQuery() in snapshot.results  # nothing else is lost
    return snapshot.refused[query]


def test_another_tokenizer_is_told_in_a_sentence(make: Callable[..., Made], tmp_path: Path) -> None:
    engine, *_ = both(make, seed=1)
    tinymodels.make("gpt2").save_pretrained(tmp_path / "gpt")
    tinymodels.save_tokenizer(tmp_path / "gpt", ("<s>", "</s>", "<pad>", "dog", "park"))
    key = open_second(engine, tmp_path / "gpt")
    said = refusal(engine, CompareQuery(model=key))
    assert "cut texts into different tokens" in said
    assert engine.loaded is not None
    assert all(name in said for name in ("gpt", engine.loaded.info.title, "same tokenizer"))
    # The text and the same model under a context go on as ever.
    assert compare(engine, TEXT, CompareQuery("", CONTEXT)).second == ""


def test_an_added_mark_is_no_other_tokenizer(make: Callable[..., Made], tmp_path: Path) -> None:
    _, folder = make()
    model, _ = make(seed=1)
    model.save_pretrained(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    tokenizer.save_pretrained(tmp_path)
    engine = tinymodels.open_engine(folder)
    assert compare(engine, TEXT, CompareQuery(model=open_second(engine, tmp_path))).second


def test_what_is_not_there_or_of_another_kind_is_told(make: Callable[..., Made]) -> None:
    engine = tinymodels.open_engine(make()[1])
    query = CompareQuery(model="nothing")
    assert "is not open" in refusal(engine, query)
    key = open_second(engine, make("bert")[1])
    assert "is not open" in refusal(engine, query)
    said = refusal(engine, CompareQuery(model=key))
    assert "is a decoder and" in said
    assert "an encoder" in said
    engine.close_second()
    assert engine.second is None
    assert "is not open" in refusal(engine, CompareQuery(model=key))


def test_a_text_too_long_for_the_second_is_told(make: Callable[..., Made]) -> None:
    engine, key, *_ = both(make, name="llama", max_position_embeddings=16)
    said = refusal(engine, CompareQuery(model=key), TEXT * 3)
    assert "The text is" in said
    assert "reads at most 16: shorten it" in said
    assert "Context and text" in refusal(engine, CompareQuery("", CONTEXT * 3, model=key))
    # A text that is cut for both is compared as far as it is read.
    found = ask(engine, TEXT * 3, CompareQuery(model=key), limit=10).results[
        CompareQuery(model=key)
    ]
    assert isinstance(found, CompareResult)
    assert len(found.pairs) == 10


def test_no_template_is_told(make: Callable[..., Made]) -> None:
    engine, key, *_ = both(make, seed=1)
    from test_chat import TEMPLATE

    assert engine.loaded is not None
    engine.loaded.reader_of_text.tokenizer.chat_template = TEMPLATE  # type: ignore[attr-defined]
    said = refusal(engine, CompareQuery(model=key), chat=True)
    assert "without a template" in said


# --- loading and closing --------------------------------------------------------------------------


def test_the_second_stays_or_is_closed_when_another_first_is_opened(
    make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, key, *_ = both(make, seed=1)
    model, folder = make(seed=2)
    engine.load(source(folder), dtype="float32")
    sides = (Truth(model, engine, TEXT, False), Truth(make(seed=1)[0], engine, TEXT, False))
    check(compare(engine, TEXT, CompareQuery(model=key)), *sides, None)
    # Where both do not fit, the one that was asked for last is the one that is there.
    real = memory.room

    def room(device: torch.device) -> memory.Room:
        return real(device) if engine.second is None else memory.Room(10, 1000, "this machine")

    monkeypatch.setattr(loader.memory, "room", room)
    engine.load(source(make()[1]), dtype="float32")
    said = refusal(engine, CompareQuery(model=key))
    assert "was closed to make room for" in said
    assert said.endswith("choose it again beside context B")


def test_what_does_not_fit_beside_is_told_and_the_second_before_stays(
    make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, key, *_ = both(make, seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(loader.memory, "room", lambda _: memory.Room(10, 1000, "this machine"))
        with pytest.raises(UserError, match="Cannot open"):
            open_second(engine, make(seed=2)[1])
    assert compare(engine, TEXT, CompareQuery(model=key)).second == key


def test_a_load_that_is_given_up_leaves_what_was_there(make: Callable[..., Made]) -> None:
    engine, key, *_ = both(make, seed=1)
    steps = engine.load_second_steps(source(make(seed=2)[1]))
    for _ in range(3):  # all but the last step
        next(steps)
    # A text is answered between two steps, as the runner does it.
    assert compare(engine, TEXT, CompareQuery(model=key)).second == key
    steps.close()
    assert compare(engine, TEXT + "!", CompareQuery(model=key)).second == key


def test_no_text_is_no_comparison(make: Callable[..., Made]) -> None:
    engine, key, *_ = both(make, seed=1)
    snapshot = engine.answer(Request(1, engine.epoch, "", (CompareQuery(model=key),)))
    assert not snapshot.results
    assert not snapshot.refused
