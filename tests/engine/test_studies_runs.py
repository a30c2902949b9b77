"""Rows run together over a shared beginning say what each says by itself, and cost less."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tinyfamilies import CAUSAL, OUTSIDE
from tinymodels import open_engine, save_model

from engine.errors import UserError
from engine.studies.answering import Writing, answer_steps, common_beginning
from engine.studies.prompts import Ask
from engine.studies.runs import Pace, Runs

DECODERS = [*CAUSAL, *(name for name in OUTSIDE if name not in ("xlnet", "mpnet", "deberta_v2"))]
NOTHING_SHARED = {"openai_gpt", "mamba", "rwkv", "lfm2"}


def finish(steps):
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def alone(loaded, ids):
    """Log-probabilities (T, V) as the engine works them out of one text by itself."""
    with torch.inference_mode():
        trace, _ = loaded.reader.read(None, list(ids), [], lambda: False)
        return loaded.reader.logits(trace.final.rows()).float().log_softmax(-1).numpy()


def asks(rng):
    """Prompts of three lengths that begin alike, two of them the same; answers of 1 to 3 tokens."""
    begin = tuple(rng.integers(3, 320, 9).tolist())
    made = []
    for length in (2, 4, 4, 2, 7, 4):
        ids = begin + tuple(rng.integers(3, 320, length).tolist())
        answers = tuple(tuple(rng.integers(3, 320, n).tolist()) for n in (1, 2, 3, 1))
        made.append(Ask("", ids, ids, answers))
    made.append(Ask("", made[0].ids, made[0].ids, made[1].answers))
    # One whose last token is another together with its answer.
    made.append(Ask("", made[4].ids, made[4].ids[:-1], made[4].answers))
    return made


@pytest.mark.parametrize("family", DECODERS)
def test_answers_are_what_each_prompt_says_by_itself(family, tmp_path):
    loaded = open_engine(save_model(family, tmp_path)).loaded
    runs = Runs(loaded, "Cannot try")
    given = asks(np.random.default_rng(1))
    writing = Writing(3, frozenset(), lambda ids: len(ids) == 2)
    told = finish(answer_steps(runs, given, writing))
    assert runs.shares == (family not in NOTHING_SHARED)
    for one, said in zip(given, told, strict=True):
        for which, answer in enumerate(one.answers):
            scores = alone(loaded, one.context + answer)
            start = len(one.context) - 1
            expected = sum(scores[start + at, token] for at, token in enumerate(answer))
            assert said.logprobs[which] == pytest.approx(expected, abs=1e-4)
        ids = one.ids
        for token in said.written:
            # Of two that are equally likely, either will do.
            scores = alone(loaded, ids)[-1]
            assert scores[token] == pytest.approx(scores.max(), abs=1e-4)
            ids += (token,)
        assert len(said.written) == 2


def test_a_beginning_grows_and_is_cut_back(tmp_path):
    loaded = open_engine(save_model("llama", tmp_path)).loaded
    runs = Runs(loaded, "Cannot try")
    ids = np.random.default_rng(0).integers(3, 320, 30).tolist()
    finish(runs.begin(ids[:10]))
    before = runs.tokens
    final = finish(runs.begin(ids[:25]))
    assert runs.tokens - before == 15
    np.testing.assert_allclose(runs.scores(final), alone(loaded, ids[:25])[10:], atol=1e-4)
    other = ids[:5] + ids[20:]
    before = runs.tokens
    finish(runs.begin(other))
    assert runs.tokens - before == len(other) - 5
    branch = runs.follow([[7, 8], [9, 10]])
    expected = alone(loaded, [*other, 9, 10])[-2:]
    np.testing.assert_allclose(runs.scores(branch.final[1]), expected, atol=1e-4)
    assert finish(runs.begin(other)) is None


def test_nothing_has_to_be_shared(tmp_path):
    loaded = open_engine(save_model("gpt2", tmp_path)).loaded
    given = [Ask("", (5, 6), (5, 6), ((7,), (8, 9))), Ask("", (10,), (10,), ((7,), (8, 9)))]
    told = finish(answer_steps(Runs(loaded, "Cannot try"), given, None))
    for one, said in zip(given, told, strict=True):
        scores = alone(loaded, (*one.ids, 8))
        assert said.logprobs[0] == pytest.approx(scores[-2, 7], abs=1e-4)
        assert said.logprobs[1] == pytest.approx(scores[-2, 8] + scores[-1, 9], abs=1e-4)


def test_common_beginning():
    assert common_beginning([(1, 2, 3), (1, 2, 4, 5)]) == (1, 2)
    assert common_beginning([(1, 2), (1, 2, 3)]) == (1,)
    assert common_beginning([(1, 2)]) == (1,)
    assert common_beginning([(1,), (2, 3)]) == ()


def test_a_step_lasts_about_as_long_as_there_is_patience():
    pace = Pace(0.03)
    assert pace.tokens == 16
    for _ in range(9):
        pace.note(pace.tokens, pace.tokens / 10_000)
    assert pace.tokens == 300
    pace.note(300, 3.0)
    assert pace.tokens == 16
    assert Pace(0.5).tokens == 128


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_other_kinds_of_models_are_refused_in_a_sentence(family, tmp_path):
    loaded = open_engine(save_model(family, tmp_path)).loaded
    with pytest.raises(UserError, match=r"Cannot try: .* token by token\. Open a causal model"):
        Runs(loaded, "Cannot try")
