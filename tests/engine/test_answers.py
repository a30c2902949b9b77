"""How likely answers are, and what was attended to, against an eager pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch

from engine.engine import Engine
from engine.tasks.answers import AnswersQuery, AnswersResult
from engine.types import Request, Snapshot

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
