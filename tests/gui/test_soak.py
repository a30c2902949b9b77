"""The soak: what it does, that it sees what piles up, and that it sees a stale picture."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import main as program
from engine.models.store import open_spec
from engine.types import AttentionResult, EmbeddingResult, frozen
from gui.bench.edits import RandomEdits
from gui.bench.shown import Drawn, check, distance, other_points
from gui.bench.soak import Outcome, flat, in_words, ratio, tenths
from gui.bench.stage import Stage

EDITS = 100

pytestmark = [
    pytest.mark.usefixtures("own_theme"),
    # What the offscreen platform says of every window that is told its size, and of fonts.
    pytest.mark.qt_log_ignore("This plugin does not support", "OpenType support missing"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    sys.path.append(str(Path(program.__file__).parent / "tests" / "engine"))
    import tinymodels

    return tinymodels.save_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture
def stage(qapp, folder, tmp_path):
    made = Stage(str(folder), "cpu", tmp_path)
    made.open()
    yield made
    made.close()


def source(folder):
    from engine.models.catalogue import resolve
    from engine.models.store import acquire
    from gui.headless.console import finish

    entry = resolve(str(folder))
    return open_spec(entry, finish(acquire(entry)))


def test_random_edits_leave_nothing_behind_and_no_stale_picture(qapp, capsys, folder):
    code = program.main(
        ["bench", "soak", "--model", str(folder), "--edits", str(EDITS), "--seed", "3", "--json"]
    )
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["stale"] == {}
    assert found["apart"] < 1e-4
    assert sum(found["kinds"].values()) == found["edits"] == EDITS
    assert len(found["kinds"]) > 10
    assert found["longest"] == 256  # as many as the model reads, of the long text
    assert 0 < found["passes"] <= found["answers"] < found["requests"]
    assert all(len(found[course]) == 10 for course in ("memory_mb", "objects", "widgets"))
    # So few edits do not warm up what is allocated once; the window's own parts do not grow.
    assert abs(found["widgets_ratio"] - 1) <= 0.02
    assert code == (0 if found["flat"] else 1)
    assert f"{EDITS} of {EDITS} edits" in said.err


def test_the_same_seed_makes_the_same_edits(stage):
    found = []
    for hurry in (True, False):
        stage.show_text("x")
        stage.editor.document().clearUndoRedoStacks()
        edits, texts = RandomEdits(stage, 5), []
        for turn in range(40):
            edits.one(burst=turn == 20)
            texts.append(stage.window.session.text)
            if not hurry:
                stage.catch_up()
        stage.catch_up()
        found.append((texts, edits.done))
        for panel in stage.window.panels.values():
            panel.show()
    assert found[0] == found[1]


def test_a_view_that_missed_an_answer_is_found(stage, folder, monkeypatch):
    drawn = Drawn(stage)
    stage.show_text("The dog is running.")
    view = stage.window.panels["attention"].view
    with monkeypatch.context() as deaf:
        deaf.setattr(view, "render_snapshot", lambda _snapshot: None)
        stage.window.session.set_text("A cat sits and looks at the bird.")
        stage.catch_up()
    stage.settle()
    stale, apart = check(stage, source(folder), drawn)
    assert set(stale) == {"attention"}
    assert "picture" in stale["attention"]
    assert apart < 1e-4


def test_a_view_that_was_passed_over_is_found(stage, folder):
    drawn = Drawn(stage)
    stage.show_text("The dog is running.")
    stage.window.controller._shown.discard("mosaic")
    stage.window.session.set_text("A cat sits.")
    stage.catch_up()
    stage.settle()
    stale, _ = check(stage, source(folder), drawn)
    assert set(stale) == {"mosaic"}
    assert "the newest is" in stale["mosaic"]


def test_an_answer_with_wrong_numbers_is_found(stage, folder):
    drawn = Drawn(stage)
    stage.show_text("The dog is running.")
    controller = stage.window.controller
    latest = controller.latest
    wrong = {
        query: replace(result, weights=frozen(result.weights * 0.99))
        if isinstance(result, AttentionResult)
        else result
        for query, result in latest.results.items()
    }
    controller.take(replace(latest, results=wrong))
    stage.settle()
    stale, apart = check(stage, source(folder), drawn)
    assert set(stale) == {"attention"}
    assert apart > 1e-4


def states(values, xy):
    zeros = np.zeros(len(values), np.float32)
    return EmbeddingResult(1, "decoder", np.float32(values), zeros, np.float32(xy), None)


def test_how_far_answers_lie_apart():
    one = states([[1.0, 100.0]], [[50.0, 0.0]])
    assert distance(one, one) == 0
    assert distance(one, None) == float("inf")
    assert distance(None, None) == 0
    assert distance(one, states([[1.0, 101.01]], [[50, 0]])) == pytest.approx(0.0099, abs=1e-4)
    assert distance(one, states([[1.0, np.nan]], [[50, 0]])) == float("inf")
    assert distance(one, states([[1.0, 100.0]] * 2, [[50, 0]] * 2)) == float("inf")
    # A place in a picture is held against the picture's extent.
    assert distance(one, states([[1.0, 100.0]], [[50, 0.051]])) == pytest.approx(1e-3, rel=1e-3)


def test_other_points_are_counted():
    one = np.zeros((4, 5, 4), np.uint8)
    other = one.copy()
    other[0, 0] = 5  # rounding
    other[1, 1] = 90
    assert other_points(one, other) == 1 / 20
    assert other_points(one, other[:3]) == 1


def test_tenths_and_their_ratio():
    dice = random.Random(1)
    level = [400 + dice.uniform(-1, 1) for _ in range(100)]
    assert len(tenths(level)) == 10
    assert abs(ratio(tenths(level)) - 1) < 0.01
    growing = [400 + step / 4 for step in range(100)]
    assert ratio(tenths(growing)) > 1.02
    assert tenths([3.0, 5.0]) == (3.0, 5.0)
    assert ratio((3.0, 5.0)) is None
    assert ratio((1.0, 0.0, 1.0)) is None
    assert flat((1.0199, None, 0.9801))
    assert not flat((1.0, 1.021, 1.0))


def test_the_outcome_in_words():
    outcome = Outcome(
        "soak", "m", "cpu", "float32", 0, 1000, {"key": 1000}, 900, 700, 600, 5000, 1024, 61.5,
        (400.0, 410.0, 411.0), 1.0024, (10.0, 10.0, 10.0), 1.0, (5.0, 5.0, 9.0), 1.8,
        False, {"latent": "drew answer 3, the newest is 4"}, 2e-6,
    )  # fmt: skip
    said = in_words(outcome)
    assert "1,000 edits" in said
    assert "× 1.002" in said
    assert "SOMETHING PILED UP" in said
    assert "STALE latent: drew answer 3" in said
    fine = in_words(replace(outcome, flat=True, stale={}))
    assert "nothing piled up" in fine
    assert "every view shows the final text, to 2e-06" in fine
