"""How likely answers are, and what was attended to, against an eager pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch

from engine.continuations import told_apart
from engine.engine import Engine
from engine.errors import Cancelled
from engine.tasks.answers import AnswersQuery, AnswersResult
from engine.types import AttentionQuery, Request, Snapshot

TEXT = "The dog: lazy\nThe fox: quick\nThe dog:"
RANGES = ((0, 14), (14, 29), (29, 37))
ANSWERS = (" lazy", " quick", " sea")


def ask(engine: Engine, text: str, query: AnswersQuery, **how: Any) -> Snapshot:
    return engine.answer(Request(1, engine.epoch, text, (query,), **how))


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_answers_and_attention_equal_an_eager_pass(name: str, tmp_path: Path) -> None:
    model = tinymodels.make(name)
    engine = tinymodels.open_engine(tinymodels.save_model(name, tmp_path))
    query = AnswersQuery(ANSWERS, RANGES)
    ask(engine, TEXT[:-3], query)  # typed on: what was kept is built upon
    snapshot = ask(engine, TEXT, query)
    found = snapshot.results[query]
    assert isinstance(found, AnswersResult)
    assert engine.loaded is not None
    ids = engine.loaded.reader_of_text.ids(TEXT)
    with torch.no_grad():
        output = model(input_ids=torch.tensor([ids]), output_attentions=True, use_cache=False)
    p = output.logits[0, -1].softmax(-1)
    firsts = [engine.loaded.reader_of_text.ids(TEXT + one)[len(ids)] for one in ANSWERS]
    assert found.ids.tolist() == firsts
    np.testing.assert_allclose(found.probabilities, p[firsts], atol=1e-5)
    np.testing.assert_allclose(found.shares.sum(), 1, atol=1e-5)
    assert found.ranks.tolist() == [int((p > p[first]).sum()) for first in firsts]
    maps = torch.stack([one[0, :, -1] for one in output.attentions])  # (L, H, S)
    assert found.mass is not None
    for part, (first, after) in enumerate(RANGES):
        inside = [i for i, token in enumerate(snapshot.tokens) if first <= token.start < after]
        assert found.tokens[part].tolist() == [inside[0], inside[-1] + 1]
        np.testing.assert_allclose(found.mass[:, :, part], maps[:, :, inside].sum(-1), atol=1e-5)


def test_an_answer_that_would_merge_into_the_text_has_no_probability(tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model("llama", tmp_path))
    query = AnswersQuery((" lazy", "og"), ((0, 3), (90, 95)))
    found = ask(engine, "The d", query).results[query]
    assert isinstance(found, AnswersResult)
    assert found.ids[0] >= 0
    assert found.ids[1] == found.ranks[1] == -1
    assert np.isnan(found.probabilities[1])
    assert found.shares[0] == 1
    # A part that no token begins in has no tokens and takes no weight.
    assert found.tokens[1].tolist() == [0, 0]
    assert found.mass is not None
    assert not found.mass[:, :, 1].any()
    none = AnswersQuery()
    assert len(ask(engine, "The d", none).results[none].ids) == 0  # type: ignore[attr-defined]


def test_what_cannot_answer_says_so(tmp_path: Path) -> None:
    for name, says in (("bert", "provides no next"), ("t5", "a decoder of its own")):
        engine = tinymodels.open_engine(tinymodels.save_model(name, tmp_path / name))
        query = AnswersQuery((" lazy",))
        assert says in ask(engine, "The dog", query).refused[query]


# --- answers that begin alike ---------------------------------------------------------------------


def tokens_behind(engine: Engine, text: str, answer: str) -> list[int]:
    assert engine.loaded is not None
    reader = engine.loaded.reader_of_text
    return list(reader.ids(text + answer)[len(reader.ids(text)) :])


@pytest.mark.parametrize("name", ["llama", "gpt2", "mamba"])
def test_answers_that_begin_alike_are_told_apart_by_what_follows(name: str, tmp_path: Path) -> None:
    model = tinymodels.make(name)
    engine = tinymodels.open_engine(tinymodels.save_model(name, tmp_path))
    answers = (" lazy fox", " lazy dog", " quick")
    tails = [tokens_behind(engine, TEXT, one) for one in answers]
    alike = next(at for at, (a, b) in enumerate(zip(*tails[:2], strict=False)) if a != b)
    assert alike >= 1
    assert tails[2][0] != tails[0][0]
    query = AnswersQuery(answers)
    snapshot = ask(engine, TEXT, query)
    found = snapshot.results[query]
    assert isinstance(found, AnswersResult)
    assert found.counted.tolist() == [alike + 1, alike + 1, 1]
    assert engine.loaded is not None
    ids = engine.loaded.reader_of_text.ids(TEXT)
    for tail, counted, p in zip(tails, found.counted, found.probabilities, strict=True):
        with torch.no_grad():
            scores = model(input_ids=torch.tensor([[*ids, *tail]]), use_cache=False).logits[0]
        logs = scores.log_softmax(-1)
        wanted = sum(float(logs[len(ids) - 1 + n, tail[n]]) for n in range(counted))
        np.testing.assert_allclose(p, np.exp(wanted), rtol=2e-4)
    np.testing.assert_allclose(found.shares.sum(), 1, atol=1e-5)
    # The text stands as before, and is not run for them again.
    passes = engine.passes
    after = ask(engine, TEXT, query, target=None)
    assert engine.passes == passes
    np.testing.assert_array_equal(after.results[query].probabilities, found.probabilities)
    assert engine._trace is not None
    assert engine._trace.ids == ids
    longer = ask(engine, TEXT + " a", AttentionQuery(0, 0)) if name != "mamba" else None
    if longer is not None:
        engine._trace = None
        anew = ask(engine, TEXT + " a", AttentionQuery(0, 0))
        np.testing.assert_allclose(
            longer.results[AttentionQuery(0, 0)].weights,
            anew.results[AttentionQuery(0, 0)].weights,
            atol=1e-5,
        )


def test_a_text_is_whole_again_where_a_continuation_is_cancelled(tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model("gpt2", tmp_path))
    query, plain = AnswersQuery((" lazy fox", " lazy dog")), AttentionQuery(0, 0)
    before = ask(engine, TEXT, plain).results[plain].weights
    request = Request(1, engine.epoch, TEXT, (query,))
    with pytest.raises(Cancelled):
        engine.answer(request, lambda: True)
    after = ask(engine, TEXT, plain).results[plain].weights
    np.testing.assert_array_equal(before, after)
    assert engine._trace is not None
    assert len(engine._trace.ids) == len(engine._trace.final)


def test_what_tells_answers_apart() -> None:
    assert told_apart([(1, 2), (1, 3), (4,)]) == [2, 2, 1]
    assert told_apart([(1,), (1, 2, 3), (1, 2, 4)]) == [1, 3, 3]
    assert told_apart([(1, 2), (1, 2)]) == [1, 1]
    assert told_apart([(), (1,)]) == [0, 1]
