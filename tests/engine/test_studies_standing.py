"""Models and revisions measured one after the other, the ladder among them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from labruns import order as lab_order
from labruns import train
from tinymodels import save_model

from engine.errors import UserError
from engine.lab import models
from engine.lab.judging import judge, looking_back
from engine.lab.tasks.spec import Rows, task_specs
from engine.models.catalogue import resolve
from engine.models.store import fetch, open_spec
from engine.studies import standing
from engine.studies.emergence import read_table
from engine.studies.kshot import Settings
from engine.studies.ladder import TABLE, Rung, between, ladder_job, rungs
from engine.studies.outputs import of_rows, places_of
from engine.studies.standing import Order, Stood, emergence_job, line_of

TASK = """
key = "tiny"
title = "Tiny"
about = "Made for a test."
input = "A {input}\\n"
output = "B: {output}"
scoring = "%s"
%s
examples = [
%s]
"""


def run(steps):
    told = []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as stop:
            return stop.value, told


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return train(lab_order(folder / "recall", "recall"))[0]


def test_outputs_are_what_the_model_says_of_its_answers(trained):
    model = models.load(trained.folder)
    spec = task_specs()["recall"]
    rows = spec.make(spec.options(pairs=3), ()).held_out(20)
    found, judged = of_rows(model, rows), judge(model, rows)
    places = places_of(rows.judged)
    assert places.shape == (20, 3)
    hits = np.take_along_axis(judged.hits, places, axis=1)
    losses = np.take_along_axis(judged.losses, places, axis=1)
    np.testing.assert_array_equal(found.exact, hits.all(axis=1))
    assert (found.edits <= 3 - hits.sum(axis=1)).all()
    assert ((found.edits == 0) == hits.all(axis=1)).all()
    np.testing.assert_allclose(found.logprob, -losses.mean(axis=1), atol=1e-5)
    with torch.no_grad():
        p = model(torch.from_numpy(rows.ids)).logits.softmax(-1).numpy()
    at = np.take_along_axis(p, places[..., None], axis=1)
    gold = np.eye(p.shape[-1])[np.take_along_axis(rows.ids, places + 1, axis=1)]
    np.testing.assert_allclose(found.brier, ((at - gold) ** 2).sum(-1).mean(-1), atol=1e-5)


def test_looking_back_counts_attention_to_what_followed(trained, monkeypatch):
    model = models.load(trained.folder)
    # Row 1 2 3 1 2: of target 4 (asked at place 3, a 1) the copy at 0 was followed by place 1.
    ids = np.array([[1, 2, 3, 1, 2]])
    judged = np.array([[False, False, False, True]])
    maps = np.zeros((1, 2, 2, 4, 4), np.float32)
    maps[0, 1, 0, 3] = (0.1, 0.7, 0.2, 0.0)
    monkeypatch.setattr("engine.lab.judging.attention_maps", lambda *_: maps)
    assert looking_back(model, Rows(ids, judged, judged)) == pytest.approx(
        np.array([[0, 0], [0.7, 0]])
    )


def test_a_run_is_measured_at_all_its_checkpoints_and_once(trained, monkeypatch):
    asked = Order((str(trained.folder),), rows=16)
    study, told = run(emergence_job(asked))
    assert [row.step for row in study.rows] == [0, 1, 2, 4, 8]
    assert [row.tokens for row in study.rows] == [0, 48, 96, 192, 384]
    assert {(row.task, row.family, row.answers, row.length) for row in study.rows} == {
        ("recall", "transformer, 2 layers", 16, 3.0)
    }
    assert all(row.parameters == trained.card.parameters for row in study.rows)
    assert all(0 <= row.induction <= 1 and 0 <= row.prefix_matching <= 1 for row in study.rows)
    rows = [step.row for step in told if isinstance(step, Stood)]
    assert tuple(rows) == study.rows
    last = study.rows[-1]
    assert last.exact_match.low <= last.exact_match.value <= last.exact_match.high

    # What was measured is not measured again, not even loaded.
    monkeypatch.setattr(standing.lab_models, "load", lambda _folder: pytest.fail("loaded"))
    again, _ = run(emergence_job(asked))
    assert again.rows == study.rows
    one, _ = run(emergence_job(Order((str(trained.checkpoints[2][1]),), rows=16)))
    assert one.rows == study.rows[2:3]


def test_a_study_that_was_stopped_goes_on(trained, monkeypatch):
    asked = Order((str(trained.folder),), rows=12)
    steps = emergence_job(asked)
    for step in steps:
        if isinstance(step, Stood) and step.row.step == 1:
            break
    steps.close()
    loads, load = [], standing.lab_models.load
    monkeypatch.setattr(standing.lab_models, "load", lambda f: loads.append(f) or load(f))
    study, _ = run(emergence_job(asked))
    assert len(study.rows) == 5
    assert len(loads) == 3


def test_revisions_are_one_line_and_one_is_in_memory_at_a_time(tmp_path, monkeypatch):
    for step in (1, 2):
        save_model("llama", tmp_path / "pico" / f"step{step}", seed=step)
    alive, load = [], standing.load_steps

    def counting(*given):
        loaded = yield from load(*given)
        # `isinstance` would follow proxies of what is gone, which another test may have left.
        alive.append(sum(type(x) is type(loaded) for x in gc_objects()))
        return loaded

    monkeypatch.setattr(standing, "load_steps", counting)
    names = tuple(str(tmp_path / "pico" / f"step{step}") for step in (2, 1))
    study, _ = run(emergence_job(Order((*names, str(tmp_path / "none")), rows=6, device="cpu")))
    assert [(row.model, row.step, row.task) for row in study.rows] == [
        ("pico", 2, "repeat"),
        ("pico", 1, "repeat"),
    ]
    assert alive[1] <= alive[0]
    assert len(study.refused) == 1
    assert "none" in study.refused[0]
    assert study.rows[0].length == 8
    assert study.rows[0].induction is not None
    assert study.rows[0].logprob != study.rows[1].logprob
    (curve,) = study.curves("exact_match")
    assert curve.x.tolist() == [1, 2]

    def never(*_):
        pytest.fail("loaded")

    monkeypatch.setattr(standing, "load_steps", never)
    again, _ = run(emergence_job(Order(names, rows=6, device="cpu")))
    assert again.rows == study.rows


def gc_objects():
    import gc

    gc.collect()
    return gc.get_objects()


@pytest.mark.parametrize("scoring", ["labels", "exact"])
def test_a_task_of_a_file_is_told_by_both_kinds_of_metric(tmp_path, scoring):
    save_model("llama", tmp_path / "model")
    words = [chr(0x61 + at) for at in range(12)]
    rows = "".join(
        f'    {{ input = "{word} {at}", output = "{("dog", "fox")[at % 2]}" }},\n'
        for at, word in enumerate(words)
    )
    labels = 'labels = ["dog", "fox"]' if scoring == "labels" else ""
    (tmp_path / "tiny.toml").write_text(TASK % (scoring, labels, rows), encoding="utf-8")
    settings = Settings((1,), 2, 4, shuffled=False)
    names = (str(tmp_path / "model"),)
    asked = Order(names, str(tmp_path / "tiny.toml"), settings, device="cpu")
    study, _ = run(emergence_job(asked))
    (row,) = study.rows
    assert (row.task, row.answers, row.step) == ("tiny", 8, None)
    assert 0 <= row.brier.value <= 2
    assert row.logprob.value < 0
    assert (row.edit_distance.value == 0) == (row.exact_match.value == 1)


def test_nothing_that_can_be_measured_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        run(emergence_job(Order((str(tmp_path / "none"),))))
    with pytest.raises(UserError, match="Cannot compare these models"):
        run(emergence_job(Order((str(tmp_path / "none"), str(tmp_path / "nor")))))


def test_names_of_revisions(tmp_path):
    save_model("llama", tmp_path / "checkpoint-0500")
    source = open_spec(resolve("builtin"), fetch(resolve("builtin")))
    assert line_of("builtin", source) == (source.title, None)
    assert line_of("EleutherAI/pythia-70m@step1000", source) == ("pythia-70m", 1000)
    assert line_of("org/model@main", source) == ("model", None)
    assert line_of(str(tmp_path / "checkpoint-0500"), source) == (tmp_path.name, 500)


def test_the_ladder_is_trained_measured_and_gone_on_with(tmp_path):
    models_ = [Rung("recall", "transformer", 2, 8), Rung("addition", "lstm", 1, 8)]
    rows, told = run(ladder_job(tmp_path / "l", models_, steps=4, rows=8))
    assert {row.model for row in rows} == {
        "transformer, 2 layers, width 8",
        "LSTM, 1 layer, width 8",
    }
    assert [row.step for row in rows if row.task == "recall"] == [0, 1, 2, 3, 4]
    assert all(row.induction is None for row in rows if row.task == "addition")
    written = read_table(tmp_path / "l" / TABLE)
    assert [row.step for row in written] == [row.step for row in rows]
    assert all(b.fraction >= a.fraction - 1e-9 for a, b in pairwise(told) if b.fraction)
    again, _ = run(ladder_job(tmp_path / "l", models_, steps=4, rows=8))
    assert again == rows
    with pytest.raises(UserError, match="steps 4, not 5"):
        run(ladder_job(tmp_path / "l", models_, steps=5, rows=8))


def test_the_ladder_has_what_was_promised():
    for task in ("recall", "addition"):
        own = [rung for rung in rungs() if rung.task == task]
        deep = {rung.layers for rung in own if rung.arch == "transformer"}
        assert deep == {1, 2}
        assert all(
            len({rung.width for rung in own if rung.layers == n and rung.arch == "transformer"})
            >= 6
            for n in deep
        )
        assert sum(rung.arch == "lstm" for rung in own) >= 6
    assert {3, 6, 12, 24} <= between(100)
    assert max(between(100)) < 100
    order = rungs()[0].order(Path("x"))
    assert order.settings.check_every == order.settings.steps
