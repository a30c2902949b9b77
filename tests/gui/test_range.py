"""The pinned range of tokens: pinning it, keeping it in place, zooming to it, measuring it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from engine.types import AttentionQuery
from gui.ranges import RangeKeeper, carry_range
from gui.session import Session
from gui.views import attention
from gui.widgets.range_stats import range_stats
from gui.widgets.token_ribbon import CHIP, TokenRibbon
from tests.gui.fakes import make_snapshot, model_info, request, tokens_of

LETTERS = st.lists(st.sampled_from("abcdef"), max_size=12).map(" ".join)


def kept(text: str, held: tuple[int, int], *later: str) -> Session:
    session = Session(text)
    keeper = RangeKeeper(session)
    keeper.take(make_snapshot(request(text)))
    session.pin_range(held)
    for changed in later:
        keeper.take(make_snapshot(request(changed)))
    return session


def words(session: Session, text: str) -> str:
    first, after = session.range or (0, 0)
    return "".join(token.text for token in tokens_of(text)[first:after]).strip()


@pytest.mark.parametrize(
    ("after", "left"),
    [
        ("zero one two three four five", "two three"),  # before it
        ("one two and a half three four five", "two and a half three"),  # inside it
        ("one two three and four five", "two three"),  # just behind it
        ("one and two three four five", "two three"),  # just before it
        ("one three four five", "three"),  # a part of it is gone
        ("one twos three four five", "twos three"),
    ],
)
def test_the_range_stays_on_its_tokens_through_edits(after, left):
    session = kept("one two three four five", (1, 3), after)
    assert words(session, after) == left


def test_a_range_of_which_nothing_is_left_is_lifted():
    assert kept("one two three four", (1, 3), "one four").range is None
    assert kept("one two three four", (1, 3), "").range is None


@settings(max_examples=200, deadline=None)
@given(old=LETTERS, new=LETTERS, ends=st.tuples(st.integers(0, 11), st.integers(1, 12)))
def test_a_carried_range_is_always_one_of_the_tokens_there_are(old, new, ends):
    before, after = tokens_of(old), tokens_of(new)
    if not ends[0] < ends[1] <= len(before):
        return
    moved = carry_range(ends, before, after)
    assert moved is None or 0 <= moved[0] < moved[1] <= len(after)
    assert carry_range(ends, before, before) == ends


def test_another_model_gets_the_range_by_its_characters_and_so_does_the_next_start():
    text = "one two three four"
    session = Session(text)
    keeper = RangeKeeper(session)
    keeper.take(make_snapshot(request(text)))
    session.pin_range((1, 3))
    assert keeper.characters() == (3, 13)
    letters = tuple(
        type(token)(token.id + i, c, b"", token.start + i, token.start + i + 1)
        for token in tokens_of(text)
        for i, c in enumerate(token.text)
    )
    keeper.take(make_snapshot(request(text), model_info("letters"), letters))
    assert session.range == (3, 13)

    fresh = Session(text)
    again = RangeKeeper(fresh)
    again.restore((3, 13))
    assert again.characters() == (3, 13)  # a program closed before a model came forgets nothing
    again.take(make_snapshot(request(text)))
    assert fresh.range == (1, 3)


def test_an_empty_range_lifts_it_and_nothing_is_told_twice(qtbot):
    session, heard = Session(), []
    session.rangeChanged.connect(heard.append)
    session.pin_range((2, 4))
    session.pin_range((2, 4))
    session.pin_range((4, 4))
    assert heard == [(2, 4), None]


def test_extending_reaches_from_the_selected_token_either_way():
    session = Session()
    session.select(5)
    session.extend_range(7)
    assert session.range == (5, 8)
    session.extend_range(2)
    assert session.range == (2, 6)
    session.select(None)
    session.extend_range(4)
    assert session.range == (2, 5)


# --- measuring -----------------------------------------------------------------------------------


def test_a_range_is_measured_on_a_causal_map():
    weights = np.array(
        [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.2, 0.3, 0.5, 0], [0.1, 0.2, 0.3, 0.4]], np.float32
    )
    found = range_stats(weights, (1, 3), causal=True)
    assert found.paid == pytest.approx([0, 0.5, 0.8, 0.5])
    assert found.taken == pytest.approx([0.35, 0.4, 0.25, 0])
    assert found.share == pytest.approx(0.5)  # the one query behind it
    assert found.even == pytest.approx(0.5)
    assert found.inside == pytest.approx(0.65)


def test_a_range_beyond_the_map_or_a_map_of_no_numbers_is_measured_too():
    weights = np.full((3, 3), np.nan, np.float32)
    assert range_stats(weights, (1, 9), causal=False).share == 0
    gone = range_stats(weights, (5, 9), causal=True)
    assert gone.share is None
    assert not len(gone.taken)


@given(count=st.integers(1, 12), ends=st.tuples(st.integers(0, 11), st.integers(1, 12)))
def test_even_attention_gives_a_range_its_even_share(count, ends):
    first, after = min(ends), max(ends) + 1
    weights = np.tril(np.ones((count, count), np.float32))
    weights /= weights.sum(axis=1, keepdims=True)
    found = range_stats(weights, (first, after), causal=True)
    if found.share is not None:
        assert found.share == pytest.approx(found.even, abs=1e-5)


# --- the views -----------------------------------------------------------------------------------


def ribbon(qtbot: QtBot, session: Session) -> TokenRibbon:
    made = TokenRibbon()
    qtbot.addWidget(made)
    made.resize(900, made.height())
    tokens = tokens_of("one two three four five six")
    made.set_tokens(tokens, [0, 1, 2, 3, 4, 5])
    made.rangeExtended.connect(session.extend_range)
    made.rangeLifted.connect(lambda: session.pin_range(None))
    made.tokenClicked.connect(session.select)
    session.rangeChanged.connect(made.set_range)
    session.selectionChanged.connect(lambda at: made.set_marks(at, None, frozenset()))
    made.show()
    return made


def middle(made: TokenRibbon, token: int) -> QPoint:
    return made.box_of(token).center().toPoint()


def test_shift_with_a_click_or_a_drag_pins_a_range_in_the_ribbon(qtbot):
    session = Session()
    made = ribbon(qtbot, session)
    left, shift = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier
    qtbot.mousePress(made.viewport(), left, pos=middle(made, 1))
    before = made.viewport().grab().toImage()
    qtbot.mousePress(made.viewport(), left, shift, middle(made, 3))
    assert session.range == (1, 4)
    assert session.selected == 1
    assert made.viewport().grab().toImage() != before  # it is marked
    assert made.box_of(0).height() == CHIP  # and nothing moved


def test_keys_pin_and_lift_a_range_in_the_ribbon(qtbot):
    session = Session()
    made = ribbon(qtbot, session)
    shift = Qt.KeyboardModifier.ShiftModifier
    session.select(2)
    qtbot.keyClick(made, Qt.Key.Key_Right, shift)
    qtbot.keyClick(made, Qt.Key.Key_Right, shift)
    assert session.range == (2, 5)
    qtbot.keyClick(made, Qt.Key.Key_Left, shift)
    assert session.range == (2, 4)
    qtbot.keyClick(made, Qt.Key.Key_Home, shift)
    assert session.range == (0, 3)
    qtbot.keyClick(made, Qt.Key.Key_Escape)  # first the selection, then the range
    assert (session.selected, session.range) == (None, (0, 3))
    qtbot.keyClick(made, Qt.Key.Key_Escape)
    assert session.range is None


def attention_of(qtbot: QtBot, text: str) -> attention.AttentionView:
    session = Session(text)
    session.set_model(model_info())
    view = attention.AttentionView(session)
    qtbot.addWidget(view)
    view.resize(500, 400)
    view.show()
    asked = view.queries()[0]
    assert isinstance(asked, AttentionQuery)
    view.render_snapshot(make_snapshot(request(text, asked)))
    return view


def test_the_map_zooms_to_the_range_and_back(qtbot):
    view = attention_of(qtbot, " ".join("word" for _ in range(60)))
    seen = lambda: (view.map._rows.visible, view.map._columns.visible)  # noqa: E731
    view.session.pin_range((10, 20))
    assert seen() == ((10, 20), (10, 20))
    assert not view.bar.zoom_keys.isHidden()
    view.bar.zoom_keys.click()
    assert seen() == ((10, 20), (0, 60))
    assert view.map._row_marks.range == (10, 20)
    view.bar.unpin.click()
    assert seen() == ((0, 60), (0, 60))
    assert view.session.range is None
    assert view.bar.unpin.isHidden()


def test_the_view_says_what_the_range_gets(qtbot):
    view = attention_of(qtbot, " ".join("word" for _ in range(30)))
    view.session.pin_range((3, 9))
    weights = view._result.weights
    assert f"give it {weights[9:, 3:9].sum(1).mean() * 100:.0f} % (even" in view.note.text()
    paid = weights[20, 3:9].sum()
    assert f"to the range: {paid:.2f}" in view.read_out(20, 4) or paid < 0.095
    view.session.pin_range(None)
    assert "first token" in view.note.text()


def test_the_same_range_is_measured_once_however_often_it_is_pointed_at(qtbot, monkeypatch):
    view = attention_of(qtbot, " ".join("word" for _ in range(30)))
    counted = []
    monkeypatch.setattr(
        attention, "range_stats", lambda *a, **k: (counted.append(a), range_stats(*a, **k))[1]
    )
    view.session.pin_range((3, 9))
    for column in range(9):
        view.read_out(20, column)
    assert len(counted) == 1
