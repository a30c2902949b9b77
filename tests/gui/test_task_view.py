"""The task panel: prompts whose parts are known, and the answer as it is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import make_snapshot, model_info, request
from hypothesis import given
from hypothesis import strategies as st
from windows import asked, make_window, settle

from engine.tasks.answers import AnswersResult
from engine.tasks.taskfile import tasks
from engine.types import frozen
from gui import prompting
from gui.prompting import Choice, write
from gui.session import Session
from gui.views.task import TaskView
from gui.widgets.spans import shortened

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")

TASKS = {task.key: task for task in tasks()}
SENTIMENT = TASKS["sentiment"]

OWN = """
key = "colours"
title = "Colours"
about = "The colour of a thing."
input = "{input} is"
output = " {output}"
separator = "\\n"
scoring = "labels"
labels = ["red", "blue"]
examples = [
    { input = "blood", output = "red" },
    { input = "the sea", output = "blue" },
    { input = "a cherry", output = "red" },
]
"""


@pytest.fixture
def view(qtbot):
    session = Session()
    session.set_model(model_info())
    view = TaskView(session)
    qtbot.addWidget(view)
    view.resize(640, 360)
    view.show()
    return view


def answer(view, **changes):
    session = view.session
    snapshot = make_snapshot(request(session.text, *view.queries()), session.model)
    view.render_snapshot(replace(snapshot, **changes))


# --- prompts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(TASKS))
@pytest.mark.parametrize("instruction", [True, False])
def test_the_parts_make_up_the_prompt(key, instruction):
    task = TASKS[key]
    choice = Choice(k=3, seed=5, query=2, instruction=instruction)
    prompt = write(task, choice)
    assert "".join(prompt.text[part.start : part.end] for part in prompt.parts) == prompt.text
    kinds = [part.kind for part in prompt.parts]
    assert kinds == ["instruction"] * (instruction and bool(task.instruction)) + [
        *["example"] * 3,
        "query",
    ]
    for part in prompt.parts[-4:-1]:
        assert part.name.rpartition(" → ")[2] in prompt.text[part.start : part.end]
    query = task.examples[2]
    assert all(value in prompt.text[prompt.parts[-1].start :] for _, value in query.fields)
    assert write(task, choice) == prompt
    if prompt.right >= 0:
        assert prompt.answers[prompt.right] == task.answer(query.output)
    assert (task.scoring == "none") == (not prompt.answers)


def test_seeds_draw_and_the_query_is_never_an_example():
    first = write(SENTIMENT, Choice(k=6))
    assert [part.name for part in first.parts[1:-1]] == [
        f"{n}: {shortened(one.fields[0][1], prompting.NAME)} → {one.output}"
        for n, one in enumerate(SENTIMENT.examples[1:7], 1)
    ]
    assert write(SENTIMENT, Choice(k=6, seed=1)).text != write(SENTIMENT, Choice(k=6, seed=2)).text
    everything = write(SENTIMENT, Choice(k=99, query=4))
    most = prompting.most_examples(SENTIMENT, 4)
    assert len(everything.parts) == most + 2 == len(SENTIMENT.examples) + 1
    assert everything.text.count(SENTIMENT.examples[4].fields[0][1]) == 1


def test_shuffled_answers_are_the_same_answers_at_other_places():
    plain, mixed = (write(SENTIMENT, Choice(k=8, seed=3, shuffled=on)) for on in (False, True))
    told = [[part.name.rpartition(" → ") for part in one.parts[1:-1]] for one in (plain, mixed)]
    assert [one[0] for one in told[0]] == [one[0] for one in told[1]]
    outputs = [[one[2] for one in part] for part in told]
    assert sorted(outputs[0]) == sorted(outputs[1])
    assert outputs[0] != outputs[1]


@given(at=st.integers(0, 400), insert=st.text(max_size=5))
def test_parts_follow_what_is_typed(at, insert):
    prompt = write(SENTIMENT, Choice(k=2))
    at = min(at, len(prompt.text))
    moved = prompt.moved(prompt.text[:at] + insert + prompt.text[at:])
    assert moved.parts[-1].end == len(moved.text)
    for before, after in zip(prompt.parts, moved.parts, strict=True):
        assert (before.kind, before.name) == (after.kind, after.name)
        assert 0 <= after.start <= after.end <= len(moved.text)
        if before.end < at:
            assert (after.start, after.end) == (before.start, before.end)


def result(probabilities, ids=None, ranks=None, mass=None, counted=None):
    count = len(probabilities)
    values = np.array(probabilities, np.float32)
    return AnswersResult(
        ids=np.arange(count) if ids is None else np.array(ids),
        counted=np.ones(count, np.int64) if counted is None else np.array(counted),
        probabilities=frozen(values),
        shares=values,
        ranks=np.zeros(count, np.int64) if ranks is None else np.array(ranks),
        mass=mass,
        tokens=np.zeros((0, 2), np.int64),
    )


def test_the_verdict_says_what_is_likeliest_and_what_cannot_be_told_apart():
    prompt = write(SENTIMENT, Choice())
    assert prompt.right == 0
    assert prompting.verdict(result([0.4, 0.1]), prompt).endswith("and right.")
    wrong = prompting.verdict(result([0.1, 0.2], ranks=[9, 3]), prompt)
    assert "“negative”" in wrong
    assert wrong.endswith("and wrong; 3 other tokens are likelier.")
    alike = prompting.verdict(result([0.2, 0.2], [7, 7]), prompt)
    assert alike.endswith("begin with the same token here, so p is that of what they share.")
    apart = prompting.verdict(result([0.2, 0.1], [7, 7], counted=[2, 3]), prompt)
    assert apart.endswith("begin with the same token here, so p is that of up to 3 tokens.")
    assert "None" in prompting.verdict(result([np.nan, np.nan], [-1, -1]), prompt)


def test_attention_is_that_of_all_heads_of_a_layer_or_of_one():
    mass = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    found = result([1.0], mass=mass)
    np.testing.assert_allclose(prompting.mass(found, None), mass.mean(axis=(0, 1)))
    np.testing.assert_allclose(prompting.mass(found, (1, None)), mass[1].mean(axis=0))
    np.testing.assert_allclose(prompting.mass(found, (1, 2)), mass[1, 2])
    assert prompting.mass(found, (9, 0)) is None
    assert prompting.mass(result([1.0]), None) is None


# --- the view -------------------------------------------------------------------------------------


def test_filling_writes_the_prompt_and_asks_for_its_answers(view):
    assert view.queries() == ()
    assert "press Fill" in view.says.text()
    assert view.chosen is SENTIMENT
    view.fill.click()
    assert view.session.text == write(SENTIMENT, Choice()).text
    (query,) = view.queries()
    assert query.answers == (" positive", " negative")
    answer(view)
    assert [text for text, _ in view.answers.rows] == ["✓ positive", "   negative"]
    assert len(view.parts.rows) == len(query.ranges) + 1
    assert sum(value for _, value in view.parts.rows) == pytest.approx(1, abs=1e-3)
    assert "and right" in view.says.text()
    assert view.caption() == "Sentiment · 4 examples"
    view.grab()


def test_what_is_chosen_is_written_at_once_unless_the_text_was_changed(view):
    view.fill.click()
    view.k.setValue(2)
    view.next.click()
    choice = Choice(k=2, query=1)
    assert view.session.text == write(SENTIMENT, choice).text
    view.shuffled.click()
    view.instruction.click()
    view.seed.setValue(3)
    wanted = replace(choice, instruction=False, shuffled=True, seed=3)
    assert view.session.text == write(SENTIMENT, wanted).text
    mine = view.session.text + " positive"
    view.session.set_text(mine)
    view.k.setValue(5)
    assert view.session.text == mine
    assert "was changed" in view.says.text()
    # The parts go along, and the answers are asked of the text as it stands.
    (query,) = view.queries()
    assert query.ranges[-1][1] == len(mine)
    answer(view)
    assert "was changed" in view.says.text()
    view.fill.click()
    assert view.session.text == write(SENTIMENT, replace(wanted, k=5)).text
    view.session.set_text("")
    assert view.queries() == ()


def test_the_last_query_is_followed_by_the_first(view):
    view.query.setValue(view.query.maximum())
    view.next.click()
    assert view.query.value() == 1
    assert view.session.text


def test_a_head_and_a_part_can_be_looked_at(view):
    view.fill.click()
    answer(view)
    view.session.set_layer(2)
    view.session.set_head(1)
    view.heads.setCurrentIndex(1)
    mass = view._found.mass[2, 1]
    assert [value for _, value in view.parts.rows][:-1] == pytest.approx(mass.tolist())
    view.parts.chosen.emit(1)
    assert view.session.range == tuple(view._found.tokens[1].tolist())
    view.parts.chosen.emit(99)


def test_an_own_file_is_offered_and_a_bad_one_is_said(view, tmp_path):
    path = tmp_path / "colours.toml"
    path.write_text(OWN, encoding="utf-8")
    before = view.task.count()
    for _ in range(2):
        view.open_file(str(path))
        assert view.task.count() == before + 1
    assert view.chosen.title == "Colours"
    assert view.k.maximum() == 2
    view.fill.click()
    assert view.session.text == "the sea is blue\na cherry is red\nblood is"
    bad = tmp_path / "bad.toml"
    bad.write_text(OWN.replace('labels = ["red", "blue"]', ""), encoding="utf-8")
    view.open_file(str(bad))
    assert "needs at least two labels" in view.says.text()
    assert view.chosen.title == "Colours"


def test_what_does_not_fit_or_cannot_be_asked_is_said(view):
    view.fill.click()
    (query,) = view.queries()
    answer(view, results={}, refused={query: "Tiny provides no next"})
    assert "cannot be asked: Tiny provides no next." in view.says.text()
    snapshot = make_snapshot(request(view.session.text, query), view.session.model)
    cut = replace(snapshot, tokens=snapshot.tokens[:10], notice="The last 60 tokens are left out.")
    view.render_snapshot(cut)
    assert "do not fit" in view.says.text()
    assert view.answers.rows == ()


def test_undo_brings_the_text_back_and_a_hidden_panel_asks_nothing(qtbot):
    window = make_window(qtbot)
    window.session.set_text("My own text.")
    settle(window, qtbot)
    panel = window.panels["task"]
    assert not panel.isVisible()
    window.commands.actions["view.show.task"].trigger()
    panel.view.fill.click()
    settle(window, qtbot)
    assert "AnswersQuery" in asked(window)
    assert panel.view.answers.rows
    panel.hide()
    window.session.set_text(window.session.text + " ")
    settle(window, qtbot)
    assert "AnswersQuery" not in asked(window)
    for _ in range(2):
        window.editor.undo()
    assert window.session.text == "My own text."
