"""The desk below the latent map, where sentences are written from points, and its job's keeper."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import FakeBridge, model_info
from windows import make_window, settle

from engine.errors import UserError
from engine.latent.draft_values import Line, SentencesWritten, Wish
from engine.types import Failure, JobDone
from gui.drafting import drafting_job
from gui.widgets.sentence_desk import WAYS, SentenceDesk

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")
LINES = (Line("0 %", "The <b>dog</b> ran."), Line("100 %", "She ate."))


class DraftingBridge(FakeBridge):
    def __init__(self) -> None:
        super().__init__()
        self.wishes: list[Wish] = []

    def write_sentences(self, wish):
        self.wishes.append(wish)
        job = f"sentences {len(self.wishes)}"
        self._jobs.append(job)
        return job


@pytest.fixture
def window(qtbot):
    made = make_window(qtbot, bridge=DraftingBridge())
    made.panels["latent"].show()
    made.panels["latent"].raise_()
    made.controller.set_model(replace(made.session.model, drafts=True))
    settle(made, qtbot)
    made.panels["latent"].view.desk_toggle.setChecked(True)
    return made


def desk_of(window):
    return window.panels["latent"].view.desk


def shown(desk):
    return desk.text.toPlainText()


@pytest.mark.parametrize(("index", "count"), [(i, way[2]) for i, way in enumerate(WAYS)])
def test_each_way_takes_its_sentences(qtbot, index, count):
    desk = SentenceDesk()
    qtbot.addWidget(desk)
    desk.way.setCurrentIndex(index)
    desk.dimension.setValue(3)
    desk.seed.setValue(8)
    texts = tuple(field.text() for field in desk.fields)
    assert desk.wish == Wish(WAYS[index][1], texts[:count], 3, 8)
    assert desk.dimension.isHidden() == (WAYS[index][1] != "dimension")
    assert desk.seed.isHidden() == (WAYS[index][1] != "prior")


def test_is_offered_where_the_model_has_a_space(window):
    view = window.panels["latent"].view
    assert desk_of(window).isVisible()
    window.controller.set_model(replace(window.session.model, drafts=False))
    assert view.desk_toggle.isHidden()
    assert view.desk.isHidden()


def test_stands_in_place_of_the_map_where_there_is_no_room_for_both(window):
    view = window.panels["latent"].view
    view.resize(600, 200)
    assert desk_of(window).isVisible()
    assert not view.map.isVisible()
    view.resize(600, 500)
    assert view.map.isVisible()
    view.resize(600, 200)
    view.desk_toggle.setChecked(False)
    assert view.map.isVisible()
    assert not desk_of(window).isVisible()


def test_what_is_written_is_shown_and_one_at_a_time(window):
    desk, bridge = desk_of(window), window.bridge
    desk.fields[0].setText("The dog ran.")
    desk.go.click()
    assert desk.go.text() == "Stop"
    assert bridge.wishes[0].sentences[0] == "The dog ran."
    value = SentencesWritten("Written", lines=LINES, note="Not met.", figures="71–76 %")
    bridge.jobFinished.emit(JobDone("sentences 9", value))
    assert desk.busy
    bridge.jobFinished.emit(JobDone("sentences 1", value))
    assert not desk.busy
    assert "The <b>dog</b> ran." in shown(desk)
    assert "Not met." in shown(desk)
    assert desk.figures.text() == "71–76 %"
    assert "100 %: She ate." in desk.text.accessibleDescription()
    desk.fields[1].returnPressed.emit()
    assert len(bridge.wishes) == 2
    desk.go.click()
    assert bridge.cancelled == ["sentences 2"]
    assert "Stopped." in shown(desk)
    assert "She ate." in shown(desk)


def test_a_failure_is_said_at_the_desk_and_loses_nothing(window):
    desk, bridge = desk_of(window), window.bridge
    desk.show_lines(LINES, "")
    desk.fields[0].setText("")
    desk.go.click()
    bridge.failed.emit(Failure(0, "Cannot write sentences: it takes 2.", job="sentences 1"))
    assert not desk.busy
    assert "it takes 2" in shown(desk)
    assert "She ate." in shown(desk)
    assert desk.go.text() == "Write"


def test_another_model_ends_it(window):
    desk = desk_of(window)
    desk.show_lines(LINES, "")
    desk.go.click()
    window.controller.set_model(model_info("smollm2-135m-instruct"))
    assert window.bridge.cancelled == ["sentences 1"]
    assert not desk.busy
    assert "She ate." not in shown(desk)
    assert not desk.figures.text()


def test_the_job_says_where_there_is_no_space():
    class Empty:
        loaded = None

    with pytest.raises(UserError, match="no sentence space"):
        next(drafting_job(Wish("prior", ()))(Empty()))
