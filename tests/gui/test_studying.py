"""The job behind the panel of studies, on a model small enough to be made here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from test_commandline import save_model, save_tokenizer
from test_study_commands import SENTENCE, TASK

from engine.errors import UserError
from engine.studies.values import Heads, KShot, Measured, Placed, Positions, Scored
from engine.tasks.taskfile import read_task
from gui.headless.opening import opened
from gui.studying import StudyChoice, study_job

LOOKING = {"early": 10, "late": 100, "around": 0, "texts": 1}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, "llama")
    save_tokenizer(folder)
    return SimpleNamespace(loaded=opened(str(folder), "cpu"))


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    rows = "".join(
        f'    {{ input = "{word} {at}", output = "{("dog", "fox")[at % 2]}" }},\n'
        for at, word in enumerate(SENTENCE.split())
    )
    (tmp_path / "tiny.toml").write_text(TASK % rows, encoding="utf-8")
    return read_task(tmp_path / "tiny.toml")


def choice(engine, kind, settings, **changes):
    info = engine.loaded.info
    told = {"kind": kind, "model": info.name, "title": info.title, "settings": settings}
    return StudyChoice(**(told | {"fingerprint": info.fingerprint} | changes))


def driven(engine, wanted):
    steps, told = study_job(wanted)(engine), []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as stop:
            return stop.value, told


def test_a_curve_of_as_many_examples_as_fit(engine, tiny):
    settings = {"shots": (), "seeds": 1, "queries": 10, "instruction": True, "shuffled": False}
    study, told = driven(engine, choice(engine, "kshot", settings, task=tiny))
    assert isinstance(study, KShot)
    assert [point.k for point in study.points][:3] == [0, 1, 2]
    assert sum(isinstance(one, Measured) for one in told) == len(study.points)
    # Started again, what was measured comes at once, and nothing is run.
    again, _ = driven(engine, choice(engine, "kshot", settings, task=tiny))
    assert again == study


def test_losses_of_the_context(engine, tiny):
    wanted = choice(engine, "position", {}, looking=LOOKING, text=SENTENCE * 20)
    study, told = driven(engine, wanted)
    assert isinstance(study, Positions)
    assert study.names == ("context",)
    assert any(isinstance(one, Placed) for one in told)


@pytest.mark.parametrize("late", [100, 500])
def test_heads_with_the_score_where_the_model_reads_so_far(engine, tiny, late):
    settings = {"sequences": 1, "period": 12, "top": 1, "ablation": "zero", "seed": 0}
    looking = {**LOOKING, "late": late}
    wanted = choice(engine, "heads", settings, looking=looking, text=SENTENCE * 20)
    study, told = driven(engine, wanted)
    assert isinstance(study, Heads)
    assert any(isinstance(one, Scored) for one in told)
    assert (study.effects[0].icl_score is None) == (late == 500)


def test_another_model_ends_it(engine, tiny):
    settings = {"shots": (0, 1), "seeds": 2, "queries": 4}
    wanted = choice(engine, "kshot", settings, task=tiny)
    other = SimpleNamespace(loaded=engine.loaded)
    steps = study_job(wanted)(other)
    next(steps)
    other.loaded = None
    with pytest.raises(UserError, match="is no longer the model that is open"):
        next(steps)
    with pytest.raises(UserError, match="What was measured is kept"):
        next(study_job(wanted)(other))
