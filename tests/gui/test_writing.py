"""What the model says next from a latent point: the panel, the job's keeper, and the job itself."""

from __future__ import annotations

import pytest
from fakes import FakeBridge, model_info
from test_latent_decoding import choose_way
from windows import make_window, settle

from engine.latent.paths import prior
from engine.latent.values import Written
from engine.types import Failure, JobDone
from gui.bridge import Bridge
from gui.settings import Settings
from gui.widgets.walks import STEPS
from gui.widgets.writing import WIDE, WritingPanel
from gui.writing import COUNT, OWN, POINT, WritingChoice

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")


class WritingBridge(FakeBridge):
    def __init__(self) -> None:
        super().__init__()
        self.choices: list[WritingChoice] = []

    def write_on(self, choice):
        self.choices.append(choice)
        job = f"write {len(self.choices)}"
        self._jobs.append(job)
        return job

    def step(self, which, text, job="", ended=False):
        job = job or f"write {len(self.choices)}"
        self.progressed.emit(Written("Writing", 0.5, job, which, text, ended))


@pytest.fixture
def window(qtbot):
    made = make_window(qtbot, bridge=WritingBridge())
    made.panels["latent"].show()
    made.panels["latent"].raise_()
    settle(made, qtbot)
    decoding = made.panels["latent"].view.decoding
    choose_way(made.panels["latent"].view, "prior")
    settle(made, qtbot)
    decoding.strip.clicked.emit(4)
    return made


def panel_of(window):
    return window.panels["latent"].view.decoding.writing


def shown(panel):
    return panel.text.toPlainText()


def test_asks_for_the_point_that_is_chosen(window):
    panel = panel_of(window)
    assert "draw 5" in shown(panel)
    panel.temperature.setValue(0.7)
    panel.seed.setValue(9)
    window.session.select(2)
    window.panels["latent"].view.decoding.strip.clicked.emit(4)
    panel.go.click()
    (choice,) = window.bridge.choices
    assert choice.point == prior(STEPS, 2, 0)[4]
    assert (choice.position, choice.layer) == (2, 4)
    assert (choice.temperature, choice.seed, choice.count) == (0.7, 9, COUNT)
    assert choice.request.text == window.session.text
    assert choice.request.chat is False


def test_the_texts_grow_beside_each_other_and_end(window):
    panel, bridge = panel_of(window), window.bridge
    panel.go.click()
    assert panel.go.text() == "Stop"
    bridge.step(POINT, " a cat")
    bridge.step(OWN, " <b>a dog", ended=True)
    assert panel.written == [" a cat", " <b>a dog"]
    assert "a cat" in shown(panel)
    assert "<b>a dog ∎" in shown(panel)
    assert "by itself" in shown(panel)
    assert "a cat" in panel.text.accessibleDescription()
    bridge.step(POINT, " another job's", job="write 7")
    assert panel.written[POINT] == " a cat"
    bridge.jobFinished.emit(JobDone("write 1"))
    assert panel.go.text() == "Write"
    assert not panel.busy


def test_one_at_a_time_and_stopped_by_hand(window):
    panel, bridge = panel_of(window), window.bridge
    panel.go.click()
    bridge.step(POINT, " old")
    panel.go.click()
    assert bridge.cancelled == ["write 1"]
    assert "Stopped." in shown(panel)
    panel.go.click()
    assert "old" not in shown(panel)
    bridge.step(POINT, " late", job="write 1")
    bridge.step(POINT, " new")
    assert panel.written[POINT] == " new"


@pytest.mark.parametrize("what", ["text", "chat", "model"])
def test_another_text_or_model_ends_it_and_says_so(window, what):
    panel = panel_of(window)
    panel.go.click()
    window.bridge.step(POINT, " a cat")
    if what == "text":
        window.session.set_text("Another")
    elif what == "chat":
        window.session.set_chat(True)
    else:
        window.controller.set_model(model_info("smollm2-135m-instruct"))
    assert window.bridge.cancelled == ["write 1"]
    assert not panel.busy
    assert "a cat" in shown(panel)
    assert "before the last change" in shown(panel)


def test_a_failure_is_told_beside_the_map_alone(window):
    panel = panel_of(window)
    panel.go.click()
    sentence = "Cannot write on from this point: memory is full. Shorten the text."
    window.bridge.failed.emit(Failure(0, sentence, job="write 1"))
    assert sentence in shown(panel)
    assert window.message == ""
    assert panel.go.text() == "Write"


def test_a_model_that_predicts_nothing_is_not_asked(window):
    info = model_info("encoder", provides=frozenset({"embedding", "latent"}))
    window.session.set_model(info)
    panel = panel_of(window)
    assert not panel.go.isEnabled()
    assert "predicts no next token" in shown(panel)


def test_texts_stand_below_each_other_where_it_is_narrow(qtbot):
    panel = WritingPanel()
    qtbot.addWidget(panel)
    panel.resize(WIDE + 60, 120)
    panel.show()
    panel.begin("the sliders", "It rains and rains and rains on the roof. ")
    panel.take(Written("", 0.5, "", POINT, " a cat"))
    assert "<table" in panel.text.toHtml()
    assert "…the roof.  a cat" in shown(panel).replace("\n", "")
    panel.resize(WIDE - 30, 120)
    assert "<table" not in panel.text.toHtml()
    assert "a cat" in shown(panel)
    assert not panel.seed.isEnabled()
    panel.temperature.setValue(1)
    assert panel.seed.isEnabled()


def test_the_built_in_model_writes_on_while_one_types(qtbot):
    bridge = Bridge()
    settings = Settings(model="builtin", text="The dog is running in the park. She")
    window = make_window(qtbot, model=None, settings=settings, bridge=bridge)
    try:
        bridge.start()
        window.open_model("builtin")
        view = window.panels["latent"].view
        window.panels["latent"].show()
        window.panels["latent"].raise_()
        qtbot.waitUntil(lambda: view.map.count > 0, timeout=60_000)
        choose_way(view, "prior")
        qtbot.waitUntil(lambda: len(view.decoding.strip.cells) == STEPS, timeout=60_000)
        view.decoding.strip.clicked.emit(0)
        panel = panel_of(window)
        panel.go.click()
        qtbot.waitUntil(lambda: not panel.busy, timeout=60_000)
        point, own = panel.written
        assert len(own.split()) > 5
        assert point != own
        panel.go.click()
        qtbot.waitUntil(lambda: bool(panel.written[POINT]), timeout=60_000)
        qtbot.waitUntil(lambda: not panel.busy, timeout=60_000)
        view.session.select(1)
        panel.go.click()
        qtbot.waitUntil(lambda: not panel.busy, timeout=60_000)
        assert "The dog" in shown(panel)  # it goes on behind the selected token
        assert panel.written[OWN] != own
        panel.go.click()
        count = view.map.count
        window.session.set_text(settings.text + " looked at him")
        assert not panel.busy
        qtbot.waitUntil(lambda: view.map.count > count, timeout=60_000)
        # The job may still be on its way out: it is asked between two steps, by another thread.
        qtbot.waitUntil(
            lambda: not [job for job in bridge.jobs() if job.startswith("write")], timeout=60_000
        )
    finally:
        window.close()
        bridge.close()
