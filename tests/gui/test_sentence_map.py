"""The latent map of a context's sentences: how it is chosen, what is asked, how it is linked."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import model_info
from PySide6.QtCore import QPoint, Qt
from test_latent_view import TEXT, answer, pixels_of

from engine.types import LatentQuery
from gui.figures.latent import queries as figure_queries
from gui.figures.spec import FigureOptions
from gui.session import Session
from gui.views.latent import VIEW

RANGES = np.array([[0, 4], [4, 7]])
SENTENCES = ("The dog is running", "in the park.")
XY = np.array([[-1.0, 0.0], [1.0, 0.5]], np.float32)


@pytest.fixture(autouse=True)
def still(monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")


@pytest.fixture
def session():
    made = Session(TEXT)
    made.set_model(model_info(sentence_spaces=((2, "last"), (4, "mean"))))
    return made


@pytest.fixture
def view(qtbot, session):
    made = VIEW.create(session)
    qtbot.addWidget(made)
    made.resize(640, 320)
    made.show()
    return made


def choose(view, index):
    view.layers.setCurrentIndex(index)
    view.layers.activated.emit(index)


def told(view, **changes):
    given = {
        "mu": XY,
        "xy": XY,
        "logvar": XY,
        "covariance": np.tile(np.eye(2, dtype=np.float32) * 0.01, (2, 1, 1)),
        "ranges": RANGES,
        "sentences": SENTENCES,
        "states": "mean",
    }
    return answer(view, TEXT, **{**given, **changes})


def test_spaces_of_sentences_are_further_choices(view, qtbot):
    assert [view.layers.itemText(i) for i in range(view.layers.count())] == [
        "nearest: layer 4",
        "layer 4",
        "layer 2 · sentences (last token)",
        "layer 4 · sentences (mean)",
    ]
    assert view.layers.isVisible()
    with qtbot.waitSignal(view.queriesChanged):
        choose(view, 3)
    assert view.queries() == (LatentQuery(4, states="mean"),)
    assert view.figure_options().states == "mean"
    view.session.set_layer(1)
    assert view.queries() == (LatentQuery(4, states="mean"),)
    choose(view, 1)
    assert view.queries() == (LatentQuery(4),)


def test_a_model_with_no_other_space_shows_it_unasked(view, session):
    session.set_model(model_info(latent_layers=(), sentence_spaces=((6, "mean"),)))
    assert view.queries() == (LatentQuery(6, states="mean"),)
    assert not view.layers.isVisible()
    options = FigureOptions(layer=3)
    assert figure_queries(options, session.model) == (LatentQuery(6, states="mean"),)
    # And the choice is no longer there for a model that has none.
    session.set_model(model_info())
    assert view.queries() == (LatentQuery(4),)


def test_points_are_sentences_and_larger(view):
    answer(view, TEXT, xy=np.repeat(XY, 4, axis=0))
    small = pixels_of(view.map)
    choose(view, 3)
    told(view)
    assert view.map.count == 2
    assert view.map._labels == SENTENCES
    assert view.caption() == "layer 4 · path of 2 sentences (mean)"
    assert view.read_out(1).startswith("in the park., sentence 1\n")
    assert view.map._large
    assert (pixels_of(view.map) != small).any()
    choose(view, 0)
    answer(view)
    assert not view.map._large
    assert "8 tokens" in view.caption()


def test_a_token_chosen_elsewhere_marks_its_sentence(view, session):
    choose(view, 3)
    told(view)
    session.select(5)
    session.hover(2)
    session.toggle_pin(1)
    marks = view.map._marks
    assert (marks.selected, marks.hovered, marks.pinned) == (1, 0, frozenset({0}))
    session.select(7)  # the stop belongs to none
    assert view.map._marks.selected is None


def test_a_sentence_chosen_here_is_its_first_token_elsewhere(view, session, qtbot):
    choose(view, 3)
    told(view)
    at = view.map.position_of(1).toPoint()
    qtbot.mouseMove(view.map, at)
    assert session.hovered == 4
    qtbot.mouseClick(view.map, Qt.MouseButton.LeftButton, pos=at)
    assert session.selected == 4
    session.select(6)
    qtbot.mouseClick(view.map, Qt.MouseButton.LeftButton, pos=at)
    assert session.selected is None
    qtbot.mouseMove(view.map, QPoint(3, 200))
    assert session.hovered is None


def test_nothing_is_decoded_in_place_of_a_sentence(view):
    answer(view)
    view.decoding.toggle.setChecked(True)
    view.decoding.way.setCurrentIndex(1)
    view.decoding.refresh()
    assert len(view.queries()) == 3  # the path, the held point and the walk
    choose(view, 3)
    told(view)
    assert view.queries() == (LatentQuery(4, states="mean"),)
    assert not view.decoding.toggle.isVisible()
    assert not view.decoding.way.isVisible()
    assert not view.decoding.side.isVisible()
    choose(view, 0)
    answer(view)
    assert view.decoding.toggle.isVisible()


def test_sentences_are_drawn_round_too(view):
    choose(view, 3)
    told(view)
    view.map.choose([], [0, 1])
    assert view.chosen.label.text() == "Chosen: 2 sentences"
