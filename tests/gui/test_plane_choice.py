"""Choosing the plane of a latent space: what is offered, what is asked, how the axes are called."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import model_info
from test_latent_view import TEXT, answer

from engine.types import LatentQuery
from gui.session import Session
from gui.views.latent import VIEW

PLAIN = {"plane": "first two dimensions of μ"}
TURNED = {"plane": "first two principal components of μ"}
WIDE = np.zeros((8, 5), np.float32)


@pytest.fixture(autouse=True)
def still(monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")


@pytest.fixture
def view(qtbot):
    session = Session(TEXT)
    session.set_model(model_info())
    made = VIEW.create(session)
    qtbot.addWidget(made)
    made.show()
    return made


def choose(combo, index):
    combo.setCurrentIndex(index)
    combo.activated.emit(index)


def offered(view):
    model = view.plane.which.model()
    return [model.item(row).isEnabled() for row in range(3)]


def told(view, **changes):
    return answer(view, TEXT, **{"mu": WIDE, "logvar": WIDE, "card": PLAIN, **changes})


def test_what_is_chosen_is_asked_for(view, qtbot):
    told(view, planes=True)
    assert view.queries() == (LatentQuery(4, "own"),)
    assert view.plane.which.itemText(0) == "as trained: z₁, z₂"
    assert not view.plane.across.isVisible()
    with qtbot.waitSignal(view.queriesChanged):
        choose(view.plane.which, 1)
    assert view.queries() == (LatentQuery(4, "components"),)
    choose(view.plane.which, 2)
    assert view.plane.across.isVisible()
    choose(view.plane.across, 3)
    choose(view.plane.up, 1)
    assert view.queries() == (LatentQuery(4, (3, 1)),)
    assert view.figure_options().plane == (3, 1)
    told(view, planes=True, plane=(3, 1))
    assert view.map.axis_names == ("z₄", "z₂")
    assert "z₄ and z₂ of 5 dimensions" in view.caption()


def test_across_and_up_are_never_the_same(view):
    told(view, planes=True)
    choose(view.plane.which, 2)
    for index in range(5):
        choose(view.plane.across, index)
        across, up = view.plane.plane
        assert across == index != up
        choose(view.plane.up, index)
        assert len(set(view.plane.plane)) == 2


def test_a_space_without_its_references_mu_says_why_there_is_no_other_plane(view):
    told(view, planes=False)
    assert offered(view) == [True, False, False]
    assert "keeps its reference states in the trained plane only" in view.plane.which.toolTip()


def test_the_components_are_not_offered_twice(view):
    told(view, planes=True, card=TURNED)
    assert offered(view) == [True, False, True]
    assert view.plane.which.itemText(0) == "as trained: PC 1, 2 of μ"


def test_a_choice_that_the_next_space_lacks_is_taken_back(view, qtbot):
    told(view, planes=True)
    choose(view.plane.which, 2)
    choose(view.plane.across, 4)
    narrow = np.zeros((8, 3), np.float32)
    with qtbot.waitSignal(view.queriesChanged):
        told(view, mu=narrow, logvar=narrow, planes=True, plane="own")
    across, up = view.plane.plane
    assert max(across, up) < 3
    assert across != up
    told(view, planes=False)
    assert view.queries() == (LatentQuery(4, "own"),)


def test_a_space_of_two_dimensions_has_no_choice(view):
    answer(view, planes=True)
    assert not view.plane.isVisible()
    told(view, planes=True)
    assert view.plane.isVisible()


def test_another_plane_is_shown_whole(view):
    dice = np.random.default_rng(0)
    cloud = dice.normal(size=(300, 2)).astype(np.float32)
    told(view, planes=True, reference=cloud, labels=np.zeros(300, np.int64))
    view.map.zoom(8)
    assert view.map.by_hand
    told(view, planes=True, plane=(2, 3), reference=cloud * 3, labels=np.zeros(300, np.int64))
    assert not view.map.by_hand
    assert view.map.range == view.map.fitted()
