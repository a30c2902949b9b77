"""Searching the latent map's reference states, pointing at one, and the group that is chosen."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import model_info
from PySide6.QtCore import QPoint, Qt
from test_latent_view import TEXT, answer

from gui.session import Session
from gui.views.latent import VIEW
from gui.widgets.cloud_search import CloudSearch, matches, searched
from gui.widgets.group_line import described, shares
from gui.widgets.lasso import Group

NAMES = ("prose", "verse", "drama")
LABELS = np.array([0, 1, 0, 2])
TEXTS = ("the ‹dog› runs", "a run‹ning› brook", "Dogs bark", "exit, pursued by a ‹bear›")


@pytest.fixture(autouse=True)
def still(monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")


@pytest.fixture
def view(qtbot):
    session = Session(TEXT)
    session.set_model(model_info())
    made = VIEW.create(session)
    qtbot.addWidget(made)
    made.resize(640, 400)
    made.show()
    return made


def told(view, **changes):
    reference = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    given = {"reference": reference, "labels": LABELS, "label_names": NAMES, "texts": TEXTS}
    return answer(view, TEXT, **{**given, **changes})


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ("dog", [0, 2]),
        ("DOG prose", [0, 2]),
        ("running", [1]),  # though its mark stands within the word
        ("verse", [1]),
        ("dog verse", []),
        ("  bear  exit ", [3]),
        ("", [0, 1, 2, 3]),
    ],
)
def test_all_words_are_found_in_text_or_label(words, rows):
    within = searched(TEXTS, [NAMES[label] for label in LABELS])
    assert matches(within, words).tolist() == rows


def test_searching_says_how_many_and_lets_them_stand_out(view, qtbot):
    told(view)
    qtbot.keyClicks(view.search.field, "dog")
    assert view.search.number.text() == "2 of 4"
    assert view.map.cloud.found.tolist() == [0, 2]
    qtbot.keyClicks(view.search.field, " bear")
    assert view.search.number.text() == "0 of 4"
    assert view.map.cloud.found.tolist() == []
    qtbot.keyClick(view.search.field, Qt.Key.Key_Escape)
    assert view.search.field.text() == ""
    assert not view.search.number.isVisible()
    assert view.map.cloud.found is None


def test_ctrl_f_leads_to_the_field_and_escape_back_to_the_map(view, qtbot):
    told(view)
    view.activateWindow()
    view.setFocus()
    qtbot.waitUntil(view.map.hasFocus)
    qtbot.keyClick(view.map, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert view.search.field.hasFocus()
    qtbot.keyClick(view.search.field, Qt.Key.Key_Escape)
    assert view.map.hasFocus()


def test_enter_chooses_what_was_found(view, qtbot):
    told(view)
    qtbot.keyClicks(view.search.field, "dog")
    with qtbot.waitSignal(view.groupChosen) as chosen:
        qtbot.keyClick(view.search.field, Qt.Key.Key_Return)
    assert chosen.args[0].cloud.tolist() == [0, 2]
    assert view.chosen.label.text() == "Chosen: 2 of 4 reference states · prose 100 %"
    assert not view.note.isVisible()
    qtbot.mouseClick(view.chosen.button, Qt.MouseButton.LeftButton)
    assert not view.chosen.isVisible()
    assert view.note.isVisible()


def test_without_texts_labels_are_searched_and_the_field_says_why(view, qtbot):
    told(view, texts=())
    qtbot.keyClicks(view.search.field, "prose")
    assert view.search.number.text() == "2 of 4"
    assert "only their labels" in view.search.toolTip()
    told(view, labels=LABELS.copy())  # another space
    assert "only their labels" not in view.search.toolTip()


def test_pointing_at_a_reference_state_says_what_it_is_from(view, qtbot):
    told(view)
    assert view.read_dot(3) == "exit, pursued by a ‹bear›\ndrama"
    assert view.read_dot(9) == ""
    told(view, texts=())
    assert view.read_dot(1) == "verse"
    told(view, label_names=("all",), labels=np.zeros(4, np.int64))
    assert view.read_dot(2) == "Dogs bark"


def test_another_space_lets_go_of_the_group(view):
    told(view)
    view.map.choose([0], [1])
    assert view.chosen.isVisible()
    told(view, labels=LABELS)  # the same states in another plane
    assert view.map.group
    told(view, labels=LABELS.copy())
    assert not view.map.group
    assert not view.chosen.isVisible()


def test_what_is_chosen_is_described_by_its_labels():
    group = Group(np.array([0, 1, 2]), np.array([4]))
    assert described(group, LABELS, NAMES, 4000) == (
        "Chosen: 3 of 4,000 reference states and 1 token · prose 67 % · verse 33 %"
    )
    assert shares(group, LABELS, NAMES) == [("prose", 2, 2 / 3), ("verse", 1, 1 / 3)]
    only = Group(tokens=np.array([1, 2]))
    assert described(only, LABELS, NAMES, 4) == "Chosen: 2 tokens"
    assert described(group, np.empty(0, np.int64), (), 9).endswith("1 token")


def test_the_group_is_there_for_whoever_wants_to_use_it(view, qtbot):
    told(view, xy=np.tile([[0.0, 0.0]], (8, 1)).astype(np.float32))
    size = view.map.width(), view.map.height()
    corners = np.array([[-0.2, -1.3], [1.3, -1.3], [1.3, 1.3], [-0.2, 1.3]])
    at = [QPoint(*xy) for xy in view.map.seen.to_pixels(corners, *size).astype(int).tolist()]
    shift, left = Qt.KeyboardModifier.ShiftModifier, Qt.MouseButton.LeftButton
    with qtbot.waitSignal(view.groupChosen) as chosen:
        qtbot.mousePress(view.map, left, shift, at[0])
        for place in at[1:]:
            qtbot.mouseMove(view.map, place)
        qtbot.mouseRelease(view.map, left, shift, at[-1])
    assert chosen.args[0].cloud.tolist() == [1, 2]
    assert chosen.args[0].tokens.tolist() == list(range(8))
    assert "8 tokens" in view.chosen.label.text()


def test_what_is_new_has_a_name_and_an_explanation(view):
    told(view)
    view.map.choose([0], [])
    for control in (view.search.field, view.chosen.button, view.map.lasso_button):
        assert control.accessibleName()
    for control in (view.search, view.chosen.button, view.chosen.label, view.map.lasso_button):
        assert control.toolTip()


def test_texts_are_made_ready_only_when_something_is_searched_for(qtbot):
    search = CloudSearch()
    qtbot.addWidget(search)
    search.set_reference(["‹the› dog", "a cat"], ["animals", "animals"])
    assert search._within is None
    search.field.setText("THE")
    assert search.found is not None
    assert search.found.tolist() == [0]
    search.set_reference(["a dog", "the cat"], ["animals", "animals"])
    assert search.found.tolist() == [1]
    search.field.clear()
    search.set_reference(["the"], ["x"])
    assert search._within is None
    assert search.found is None
