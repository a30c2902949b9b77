"""The pictures panel: what it asks for, what it shows, and pictures of the built-in model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import FakeBridge, model_info
from made_snapshots import picture_result
from PySide6.QtCore import QPoint, QPointF
from PySide6.QtWidgets import QFileDialog
from windows import asked, make_window, settle

from engine.errors import UserError
from engine.latent.projections.directions import Directions
from engine.latent.projections.spec import choices
from engine.latent.quality import Quality
from engine.latent.values import PlaceQuery
from engine.types import Failure, JobDone, Progress
from gui import theme
from gui.bridge import Bridge
from gui.figures import colour
from gui.picturing import PictureChoice, picture_job
from gui.qualities import columns
from gui.session import Session
from gui.settings import Settings
from gui.training import SAMPLES
from gui.views.pictures import KEPT, PicturesView
from gui.widgets.corpus_choice import CorpusChoice
from gui.widgets.settings_form import SettingsForm

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")


class PictureBridge(FakeBridge):
    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[PictureChoice] = []

    def draw_picture(self, choice):
        self.drawn.append(choice)
        self._jobs.append(f"picture {len(self.drawn)}")
        return self._jobs[-1]

    def finish(self, **changes):
        """End the job with a picture of the name that was asked for."""
        job = self._jobs.pop()
        self.jobFinished.emit(JobDone(job, picture_result(self.drawn[-1].name, **changes)))


@pytest.fixture
def window(qtbot):
    made = make_window(qtbot, bridge=PictureBridge())
    made.commands.actions["view.show.pictures"].trigger()
    return made


@pytest.fixture
def view(window):
    return window.panels["pictures"].view


def choose(view, key):
    view.form.projection.setCurrentIndex(view.form.projection.findData(key))


def test_is_hidden_at_first_and_says_what_it_is_for(qtbot):
    made = make_window(qtbot, bridge=PictureBridge())
    panel = made.panels["pictures"]
    assert panel.isHidden()
    made.commands.actions["view.show.pictures"].trigger()
    assert panel.isVisible()
    assert panel.view.note.text().startswith("Choose texts and a projection")
    assert panel.view.queries() == ()
    assert panel.view.form.projection.hasFocus()


def test_asks_for_what_is_chosen(window, view):
    window.session.set_layer(3)
    choose(view, "umap")
    view.form.settings.fields["neighbours"].setValue(7)
    view.form.settings.fields["points"].setValue(500)
    view.form.states.setCurrentIndex(1)
    view.form.label.setCurrentText("language")
    view.draw.click()
    (choice,) = window.bridge.drawn
    assert (choice.projection, choice.layer, choice.states) == ("umap", 3, "mean")
    assert (choice.corpus, choice.label, choice.most) == ((SAMPLES,), "language", 8_000)
    assert (choice.settings["neighbours"], choice.settings["points"]) == (7, 500)
    assert choice.settings["metric"] == "euclidean"
    assert choice.fingerprint == window.session.model.fingerprint
    assert not view.form.isEnabled()
    assert view.cancel.isVisible()


def test_the_context_can_be_drawn_and_an_empty_one_is_refused(window, view):
    view.form.texts.set_paths(())
    view.draw.click()
    (choice,) = window.bridge.drawn
    assert (choice.corpus, choice.text) == ((), window.session.text)
    view.cancel.click()
    assert view.note.text() == "Cancelled; nothing was drawn."
    window.session.set_text("  ")
    view.draw.click()
    assert "the context is empty" in view.note.text()
    assert len(window.bridge.drawn) == 1


def test_what_takes_a_space_is_refused_where_there_is_none(window, view):
    choose(view, "vae")
    window.session.set_layer(3)
    view.draw.click()
    assert view.note.text().startswith("Cannot draw VAE: there is no latent space for layer 3")
    assert window.bridge.drawn == []
    window.session.set_layer(4)
    view.draw.click()
    assert [choice.layer for choice in window.bridge.drawn] == [4]


def test_shows_the_picture_and_places_the_context(window, view, qtbot):
    view.draw.click()
    window.bridge.progressed.emit(Progress("UMAP: step 3 of 9", 0.5, "picture 1"))
    assert view.note.text() == "UMAP: step 3 of 9"
    assert view.progress.value() == 500
    window.bridge.finish()
    query = PlaceQuery("picture 1")
    assert view.queries() == (query,)
    qtbot.waitUntil(lambda: view.map.count > 0)
    settle(window, qtbot)
    assert "PlaceQuery" in asked(window)
    assert view.map.count == window.token_count
    assert view.legend.names == ("Emma", "Ulysses")
    assert view.map.axis_names == ("UMAP 1", "UMAP 2")
    assert "books, all 90 sentences · drawn 60 of 120 · 10 held out · seed 7" in view.note.text()
    assert view.caption() == "UMAP · layer 3 · tokens · 60 of 120 states"
    assert view.figure_options().drawn == "picture 1"
    window.session.set_text("A new text of words")
    settle(window, qtbot)
    assert view.map.count == 5
    view.map.pointClicked.emit(2)
    assert window.session.selected == 2


def test_the_numbers_stand_beside_those_of_pca(window, view):
    view.draw.click()
    window.bridge.finish()
    cells = [[view.table.cell(row, column) for column in range(5)] for row in range(5)]
    assert cells[0] == ["", "UMAP", "UMAP", "PCA", "PCA"]
    assert cells[1] == ["", "fitted", "held out", "fitted", "held out"]
    assert cells[2] == ["trustworthiness", "0.910", "0.880", "0.710", "0.700"]
    assert cells[3] == ["continuity", "0.930", "0.900", "0.800", "0.790"]
    assert cells[4] == ["label accuracy", "0.800", "0.750", "0.500", "0.450"]


def test_a_number_that_does_not_exist_is_a_word():
    nan = float("nan")
    few = Quality(nan, nan, nan, 2, 2, 0, 0)
    one = picture_result(
        labels=np.zeros(60, np.int64), fitted_quality=few, held_out_quality=None, projection="pca"
    )
    fitted, held = columns(one)
    assert [fitted.said(row) for row in range(3)] == ["too few", "too few", "one label"]
    assert [held.said(row) for row in range(3)] == ["none", "none", "none"]


def test_pictures_are_kept_and_chosen_from(window, view):
    for _ in range(KEPT + 1):
        view.new.setChecked(True)
        view.draw.click()
        window.bridge.finish()
    assert view.chooser.count() == KEPT
    assert view.chooser.itemText(0).startswith("2: UMAP")
    assert window.bridge.drawn[KEPT].forget == ("picture 1",)
    assert window.bridge.drawn[KEPT - 1].forget == ()
    view.chooser.setCurrentIndex(0)
    view.chooser.activated.emit(0)
    assert view.queries() == (PlaceQuery("picture 2"),)


def test_labels_and_held_out_points_are_told_apart(window, view):
    view.draw.click()
    window.bridge.finish()
    blue, orange = theme.category(0), theme.category(1)
    assert view.map.cloud.palette == (blue, blue, orange, orange)
    view.held.click()
    assert view.map.cloud.palette == (None, blue, None, orange)
    view.legend.buttons[1].click()
    assert view.map.cloud.palette == (None, None, None, orange)


def test_a_dot_says_what_it_is(window, view):
    view.draw.click()
    window.bridge.finish()
    dots = view.map._dots
    at = view.map.seen.to_pixels(dots, view.map.width(), view.map.height())
    lonely = next(
        i
        for i in range(len(dots))
        if np.sort(((at - at[i]) ** 2).sum(axis=1))[1] > 4 and (at[i] > 8).all()
    )
    view.map.set_points(np.empty((0, 2)), ())
    view.map.hover_at(QPointF(*at[lonely]))
    assert view.map._dot == lonely
    said = view._name_dot(lonely)
    assert said.startswith(f"… the [word{lonely}] …\n{'Emma' if lonely % 2 == 0 else 'Ulysses'}, ")
    before = view.map.grab().toImage()
    view.map.hover_at(QPointF(-50, -50))
    assert view.map._dot == -1
    assert view.map.grab().toImage() != before


def test_a_token_far_off_does_not_shrink_the_cloud(window, view):
    view.draw.click()
    window.bridge.finish()
    near = view.map.content()
    view.map.set_points([(0.0, 0.0), (900.0, -900.0)], ("a", "b"))
    assert view.map.content() == near


def test_a_failure_is_told_in_the_panel_alone(window, view):
    view.draw.click()
    window.bridge.finish()
    view.new.click()
    view.draw.click()
    sentence = "Cannot draw UMAP: 12 points have no 15 neighbours each. Choose fewer."
    window.bridge.failed.emit(Failure(0, sentence, job="picture 2"))
    assert view.note.text() == sentence
    assert view.form.isEnabled()
    assert window.message == ""
    view.new.click()
    assert view.chooser.count() == 1
    assert view._stack.currentIndex() == 1


def test_another_model_leaves_the_picture_without_the_context(window, view, qtbot):
    view.draw.click()
    window.bridge.finish()
    settle(window, qtbot)
    window.bridge.models["other"] = model_info("other", fingerprint="1" * 64)
    window.open_model("other")
    qtbot.waitUntil(lambda: window.session.model.name == "other")
    settle(window, qtbot)
    assert view.queries() == ()
    assert view.map.count == 0
    assert len(view.map._dots) == 60
    assert view.note.text().startswith("of Builtin, so that the context has no place in it")


def test_settings_describe_themselves_to_the_form(window, view):
    titles = {}
    for key in view.form.specs:
        choose(view, key)
        titles[key] = set(view.form.settings.fields)
    assert {"neighbours", "spread_least", "metric", "keep"} <= titles["umap"]
    assert {"first", "second"} <= titles["identity"]
    assert {"left", "right", "bottom", "top"} <= titles["directions"]
    assert all({"points", "held_out", "seed"} <= names for names in titles.values())


def test_the_form_keeps_what_was_set_and_offers_labels(qtbot):
    made = SettingsForm()
    qtbot.addWidget(made)
    made.set_labels(("verse", "prose"))
    made.set_choices(choices(Directions))
    made.fields["left"].setCurrentText("prose")
    made.fields["seed"].setValue(5)
    made.set_choices(choices(Directions)[2:])
    made.set_choices(choices(Directions))
    assert made.values()["left"] == "prose"
    assert made.values()["seed"] == 5
    assert made.fields["top"].itemText(0) == "verse"
    assert made.fields["points"].text() == "all"


def test_texts_are_chosen_from_files(qtbot):
    made = CorpusChoice()
    qtbot.addWidget(made)
    made.activated.emit(made.findData("context"))
    made.setCurrentIndex(made.findData("files"))
    made.activated.emit(made.currentIndex())
    dialog = made.findChild(QFileDialog)
    dialog.filesSelected.emit(["a.txt", "b.txt"])
    dialog.close()
    assert made.paths == (Path("a.txt"), Path("b.txt"))
    assert made.currentText() == "a.txt and 1 more"
    made.set_paths(())
    made.setCurrentIndex(made.findData("own"))
    made.activated.emit(made.currentIndex())
    assert made.paths == (Path("a.txt"), Path("b.txt"))


def test_draws_in_any_size(qtbot):
    session = Session("A dog.")
    view = PicturesView(session)
    qtbot.addWidget(view)
    view.show()
    assert not view.draw.isEnabled()
    session.set_model(model_info())
    view.draw.click()
    view.take(picture_result())
    for width, height in ((200, 140), (900, 300), (300, 700)):
        view.resize(width, height)
        assert not view.grab().isNull()
    table, chart = view.table.mapTo(view, QPoint()), view.map.mapTo(view, QPoint())
    assert table.y() > chart.y() + view.map.height() - 1
    view.resize(900, 300)
    view.grab()
    assert view.table.mapTo(view, QPoint()).x() > view.map.width() - 1


def test_the_figure_has_the_colours_of_the_screen():
    assert colour.CATEGORIES == theme.OKABE_ITO


@pytest.fixture
def live(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    bridge = Bridge()
    made = make_window(qtbot, None, Settings(model="builtin", text="The dog runs."), bridge)
    bridge.start()
    made.open_model("builtin")
    qtbot.waitUntil(lambda: made.controller.latest is not None, timeout=120_000)
    made.commands.actions["view.show.pictures"].trigger()
    yield made
    made.close()
    bridge.close()


def test_draws_states_of_the_built_in_model(qtbot, live, tmp_path):
    words = "The dog runs in the park. A bird sits on the wall. It rains in the morning. "
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(words * 40, encoding="utf-8")
    view = live.panels["pictures"].view
    view.form.texts.set_paths((tmp_path / "one.txt", tmp_path / "two.txt"))
    view.draw.click()
    live.session.set_text("The dog runs. A bird")  # typing is answered meanwhile
    qtbot.waitUntil(lambda: not view.busy, timeout=120_000)
    shown = view.shown
    assert shown is not None, view.note.text()
    assert shown.drawn.label_names == ("one", "two")
    qtbot.waitUntil(lambda: view.map.count == live.token_count > 0)
    out = tmp_path / "picture.npz"
    live.saving.save("pictures", out)
    qtbot.waitUntil(lambda: str(out) in live.message, timeout=60_000)
    with np.load(out, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["xy"], shown.drawn.xy)
        assert file["token_xy"].shape == (live.token_count, 2)

    # What was chosen for another model is refused, in one sentence.
    view.new.click()
    view.draw.click()
    live.bridge.cancel_job(live._picturer.job)
    qtbot.waitUntil(lambda: not view.busy)
    assert view.note.text() == "Cancelled; nothing was drawn."
    view._asked = replace(view.form.choice("late"), fingerprint="another")
    live._picturer._start(view._asked)
    qtbot.waitUntil(lambda: not view.busy)
    assert "is no longer the model that is open" in view.note.text()
    assert view.chooser.count() == 1


def test_a_model_that_changes_meanwhile_ends_it(monkeypatch):
    from engine.latent import drawing

    ended = []

    def steps(loaded, order):
        try:
            yield Progress("one")
            yield Progress("two")
        finally:
            ended.append(order.name)

    monkeypatch.setattr(drawing, "drawing_job", steps)
    info = model_info()
    engine = SimpleNamespace(loaded=SimpleNamespace(info=info))
    choice = PictureChoice(info.title, info.fingerprint, "PCA", "p", "pca", 1, "tokens", ())
    job = picture_job(choice)(engine)
    assert next(job).text == "one"
    engine.loaded = None
    with pytest.raises(UserError, match="Cannot draw PCA: Builtin is no longer the model"):
        next(job)
    assert ended == ["p"]
