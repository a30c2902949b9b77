"""The training panel: what it asks for, what it shows, and a space made of the built-in model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes import FakeBridge, model_info
from windows import make_window

from engine.latent.training import settings_for
from engine.types import Failure, JobDone, Progress
from gui.bridge import Bridge
from gui.session import Session
from gui.settings import Settings
from gui.training import SAMPLES, SpaceMade, TrainingChoice
from gui.views.training import TrainingView

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")


@dataclass(frozen=True)
class Step(Progress):
    epoch: object = None


def epoch(number: int):
    bound = lambda at: SimpleNamespace(elbo=-9.0 + at, reconstruction=-5.0 + at, kl=4.0)  # noqa: E731
    return SimpleNamespace(
        number=number,
        train=bound(number),
        choose=bound(number / 2),
        kl_per_dimension=(1.0 + number, 3.0),
        active_units=2,
        mutual_information=1.5,
    )


class TrainingBridge(FakeBridge):
    def __init__(self) -> None:
        super().__init__()
        self.trained: list[TrainingChoice] = []
        self.rests: list[tuple[str, bool]] = []

    def train_space(self, choice):
        self.trained.append(choice)
        self._jobs.append("train 1")
        return "train 1"

    def pause_job(self, name):
        self.rests.append((name, True))

    def resume_job(self, name):
        self.rests.append((name, False))


@pytest.fixture
def window(qtbot):
    made = make_window(qtbot, bridge=TrainingBridge())
    made.panels["training"].show()
    made.panels["training"].raise_()
    return made


def test_nothing_of_the_form_lies_under_the_buttons(window, qapp):
    window.commands.actions["view.show.training"].trigger()
    qapp.processEvents()
    view = window.panels["training"].view
    form = view._form.geometry()
    assert view.start.geometry().top() > form.bottom()
    for at in range(view._form.layout().count()):
        field = view._form.layout().itemAt(at).widget()
        assert view._form.rect().contains(field.geometry())


def test_is_hidden_at_first_and_says_what_it_is_for(qtbot):
    made = make_window(qtbot, bridge=TrainingBridge())
    assert made.panels["training"].isHidden()
    made.panels["training"].show()
    view = made.panels["training"].view
    assert view._stack.currentIndex() == 0
    assert made.panels["training"].state == "picture"


def test_asks_for_what_is_chosen(window):
    view = window.panels["training"].view
    window.session.set_layer(3)
    view.latent.setValue(4)
    view.beta.setValue(0.5)
    view.states.setCurrentIndex(1)
    view.set_corpus([Path("a.txt"), Path("b.txt")])
    view.start.click()
    (choice,) = window.bridge.trained
    assert (choice.model, choice.layer, choice.states) == ("builtin", 3, "mean")
    assert choice.corpus == (Path("a.txt"), Path("b.txt"))
    assert choice.settings["latent"] == 4
    assert choice.settings["beta"] == 0.5
    assert choice.out.name == "builtin-3-mean.safetensors"
    assert not view._form.isEnabled()


def test_the_form_has_the_engines_defaults_for_each_kind_of_states(window):
    view = window.panels["training"].view
    for index, kind in enumerate(("tokens", "mean", "last", "tokens")):
        view.states.setCurrentIndex(index % 3)
        asked = view.choice()
        assert asked.states == kind
        own = settings_for(kind)
        assert {name: getattr(own, name) for name in asked.settings} == asked.settings
    view.latent.setValue(5)  # what was chosen stays
    view.states.setCurrentIndex(1)
    assert view.latent.value() == 5
    assert view.epoch_count.value() == settings_for("mean").epochs


def test_draws_a_point_an_epoch_and_lets_it_rest(window):
    view, bridge = window.panels["training"].view, window.bridge
    view.start.click()
    for number in range(3):
        bridge.progressed.emit(Step(f"Epoch {number}", number / 4, "train 1", epoch(number)))
    trained, held = view.plots["elbo"].curves
    assert trained.values == (-9.0, -8.0, -7.0)
    assert held.values == (-9.0, -8.5, -8.0)
    assert [curve.values for curve in view.plots["each"].curves] == [(1, 2, 3), (3, 3, 3)]
    assert view.progress.value() == 500
    view.pause.click()
    view.pause.click()
    assert bridge.rests == [("train 1", True), ("train 1", False)]
    view.cancel.click()
    assert bridge.cancelled == ["train 1"]
    assert view.stage == "done"
    assert view.start.isEnabled()


def test_a_failure_is_told_in_the_panel_alone(window):
    view = window.panels["training"].view
    view.start.click()
    sentence = "Cannot train a latent space: the texts are too few. Add texts."
    window.bridge.failed.emit(Failure(0, sentence, job="train 1"))
    assert view.note.text() == sentence
    assert view.stage == "failed"
    assert window.message == ""


def test_a_layer_that_has_a_space_now_is_offered(window):
    view = window.panels["training"].view
    view.start.click()
    info = model_info(latent_layers=(2, 4))
    before = len(window.bridge.requests)
    made = SpaceMade(Path("x.safetensors"), 2, "tokens", info)
    window.bridge.jobFinished.emit(JobDone("train 1", made))
    assert window.session.model.latent_layers == (2, 4)
    assert len(window.bridge.requests) > before
    assert view.stage == "done"


def test_draws_in_any_size(qtbot):
    view = TrainingView(Session())
    qtbot.addWidget(view)
    assert not view.start.isEnabled()
    assert view.choice() is None
    assert view._corpus == (SAMPLES,)
    view.stage = "running"
    view.set_progress("", None, epoch(0))
    view._refresh()
    for width, height in ((200, 140), (600, 400)):
        view.resize(width, height)
        assert not view.grab().isNull()


def test_trains_the_built_in_model_and_opens_the_space(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    words = "The dog runs in the park. A bird sits on the wall. It rains in the morning. "
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(words * 60, encoding="utf-8")
    bridge = Bridge()
    window = make_window(qtbot, None, Settings(model="builtin", text="The dog runs."), bridge)
    try:
        bridge.start()
        window.open_model("builtin")
        qtbot.waitUntil(lambda: window.controller.latest is not None, timeout=120_000)
        window.panels["training"].show()
        view = window.panels["training"].view
        window.session.set_layer(1)
        view.set_corpus([tmp_path / "one.txt", tmp_path / "two.txt"])
        view.latent.setValue(2)
        view.hidden.setValue(16)
        view.epoch_count.setValue(2)
        view.start.click()
        window.session.set_text("The dog runs. A bird")  # typing is answered meanwhile
        qtbot.waitUntil(lambda: view.stage in ("done", "failed"), timeout=120_000)
        assert view.note.text().startswith("Saved as"), view.note.text()
        assert [one.number for one in view.epochs] == [0, 1, 2]
        assert (tmp_path / "cache/latent/builtin-1-tokens.safetensors").is_file()
        assert 1 in window.session.model.latent_layers
        assert window.controller.latest is not None
    finally:
        window.close()
        bridge.close()
