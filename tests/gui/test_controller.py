"""Which view draws which answer, and when: few in a turn, the newest, and none that is hidden."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from fakes import model_info, tokens_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication, QWidget
from windows import make_window, settle

from engine.types import EmbeddingQuery, LatentQuery, NextQuery, Request, Snapshot
from gui.controller import TURN, Controller
from gui.session import Session
from gui.view import View

KEYS = ("one", "two", "three")


class Sketch(View):
    """Notes what it was told to draw."""

    def __init__(self, session, key, log):
        super().__init__(session)
        self.key, self.log, self.cut = key, log, []

    asked = ()

    def queries(self):
        return self.asked

    def render_snapshot(self, snapshot):
        self.log.append((self.key, snapshot.request.seq))

    def render_tokens(self, snapshot):
        self.cut.append(snapshot.request.seq)


class Desk:
    """A controller with three views, and answers to hand it."""

    def __init__(self, qtbot):
        self.session = Session("text")
        self.requests = []
        self.log = []
        self.rendered = []
        self.controller = Controller(self.session, self)
        for key in KEYS:
            view = Sketch(self.session, key, self.log)
            qtbot.addWidget(view)
            self.controller.add_view(key, view)
            self.controller.set_shown(key, True)
        self.controller.rendered.connect(lambda shown: self.rendered.append(shown.request.seq))
        self.controller.set_model(model_info())

    def submit(self, request):
        self.requests.append(request)

    def spends(self, seconds):
        """Have each view take so long to draw."""
        self.controller.clock = lambda: seconds * len(self.log)

    def answer(self, seq):
        request = Request(seq, self.controller._epoch, "text")
        self.controller.take(
            Snapshot(request, model_info(), tokens_of("text"), results=MappingProxyType({}))
        )

    def answer_in_two(self, seq, quick, slow):
        """Hand out the quick answers; the other call hands out all."""
        return self.answer_in_parts(seq, (quick,), slow)

    def answer_in_parts(self, seq, parts, slow):
        """Hand out some answers, then more, and so on; the other call hands out all."""
        quick = parts[-1]
        request = Request(seq, self.controller._epoch, "text", (*quick, *slow))

        def snapshot(queries, more):
            refused = MappingProxyType(dict.fromkeys(queries, "made up"))
            return Snapshot(request, model_info(), tokens_of("text"), refused=refused, more=more)

        for part in parts:
            self.controller.take(snapshot(part, True))
        return lambda: self.controller.take(snapshot((*quick, *slow), False))


@pytest.fixture
def desk(qtbot):
    made = Desk(qtbot)
    made.spends(2 * TURN)
    return made


def turn():
    QApplication.processEvents()


@pytest.mark.parametrize(("cost", "turns"), [(2.0, (1, 2)), (0.6, (2,)), (0.1, ())])
def test_views_draw_in_a_turn_until_it_is_spent(desk, cost, turns):
    desk.spends(cost * TURN)
    desk.answer(1)
    for drawn in turns:
        assert desk.log == [(key, 1) for key in KEYS[:drawn]]
        assert desk.rendered == []
        assert desk.controller.latest is None
        turn()
    assert desk.log == [(key, 1) for key in KEYS]
    assert desk.rendered == [1]
    assert desk.controller.latest.request.seq == 1
    turn()
    assert len(desk.log) == 3


def test_a_newer_answer_takes_the_place_of_one_half_drawn(desk):
    desk.answer(1)
    desk.answer(2)
    while not desk.rendered:
        turn()
    assert desk.log == [("one", 1), ("two", 2), ("three", 2), ("one", 2)]
    assert desk.rendered == [2]


QUICK, SLOW = LatentQuery(), NextQuery()


def test_who_has_no_answer_yet_draws_how_the_text_was_cut_once(desk):
    one, two, three = views_of(desk)
    one.asked, two.asked, three.asked = (QUICK,), (SLOW,), ()
    desk.controller.set_shown("three", False)
    finish = desk.answer_in_parts(1, ((), (QUICK,)), (SLOW,))
    assert (one.cut, two.cut, three.cut) == ([1], [1], [])
    finish()
    while not desk.rendered:
        turn()
    assert (one.cut, two.cut) == ([1], [1])
    desk.answer_in_two(2, (QUICK,), (SLOW,))
    assert (one.cut, two.cut) == ([1], [1, 2]), "one draws its answer at once"


def views_of(desk):
    return [desk.controller._views[key] for key in KEYS]


def test_who_asks_for_nothing_slow_draws_ahead_and_only_once(desk):
    for view, queries in zip(views_of(desk), ((QUICK,), (QUICK, SLOW), (SLOW,)), strict=True):
        view.asked = queries
    finish = desk.answer_in_two(1, (QUICK,), (SLOW,))
    assert desk.log == [("one", 1)]
    assert desk.rendered == []
    assert desk.controller.latest is None
    finish()
    while not desk.rendered:
        turn()
    assert desk.log == [("one", 1), ("two", 1), ("three", 1)]
    assert desk.rendered == [1]
    desk.answer_in_two(1, (QUICK,), (SLOW,))()  # the same again is drawn again by all
    while len(desk.rendered) < 2:
        turn()
    assert sorted(desk.log[3:]) == sorted(desk.log[:3])


def test_of_answers_that_come_bit_by_bit_each_is_drawn_once(desk):
    quick, later, slow = LatentQuery(), EmbeddingQuery(1), NextQuery()
    for view, queries in zip(views_of(desk), ((later,), (quick,), (slow,)), strict=True):
        view.asked = queries
    finish = desk.answer_in_parts(1, ((quick,), (quick, later)), (slow,))
    assert desk.log == [("two", 1), ("one", 1)]
    finish()
    while not desk.rendered:
        turn()
    assert desk.log == [("two", 1), ("one", 1), ("three", 1)]


def test_quick_answers_wait_for_views_that_have_not_drawn_the_last(desk):
    desk.answer(1)
    assert desk.log == [("one", 1)]
    for view in views_of(desk):
        view.asked = (QUICK,)
    finish = desk.answer_in_two(2, (QUICK,), ())
    assert desk.log == [("one", 1)]
    finish()
    while not desk.rendered:
        turn()
    assert desk.log == [("one", 1), ("two", 2), ("three", 2), ("one", 2)]


def test_who_drew_ahead_of_an_answer_that_never_came_draws_the_next(desk):
    for view in views_of(desk):
        view.asked = (QUICK,)
    desk.answer_in_two(1, (QUICK,), ())
    desk.answer_in_two(2, (), (QUICK,))()
    while not desk.rendered:
        turn()
    assert [seq for _, seq in desk.log] == [1, 1, 1, 2, 2, 2]


def test_no_view_is_left_out_however_fast_answers_come(desk):
    for seq in range(30):
        desk.answer(seq)
    drawn = [key for key, _ in desk.log]
    assert {drawn.count(key) for key in KEYS} == {10}


def test_a_hidden_view_draws_nothing_until_it_is_shown(desk):
    desk.answer(1)
    desk.controller.set_shown("three", False)
    while not desk.rendered:
        turn()
    assert desk.log == [("one", 1), ("two", 1)]
    desk.controller.set_shown("three", True)
    assert desk.log[-1] == ("three", 1)
    turn()
    assert len(desk.log) == 3


def test_nothing_of_an_old_model_is_drawn_after_a_new_one_came(desk):
    desk.answer(1)
    desk.controller.set_model(model_info("other"))
    turn()
    turn()
    assert desk.log == [("one", 1)]
    assert desk.rendered == []
    assert desk.controller.latest is None


moves = st.lists(
    st.one_of(
        st.just("answer"),
        st.just("turn"),
        st.tuples(st.sampled_from(KEYS), st.booleans()),
    ),
    max_size=30,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(moves, st.sampled_from([0.1, 0.6, 2.0]))
def test_in_the_end_every_shown_view_has_drawn_the_newest_answer(qtbot, moves, cost):
    desk = Desk(qtbot)
    desk.spends(cost * TURN)
    seq = 0
    for move in [*moves, "answer"]:
        if move == "answer":
            seq += 1
            desk.answer(seq)
        elif move == "turn":
            turn()
        else:
            desk.controller.set_shown(*move)
    for _ in KEYS:
        turn()
    last = dict(desk.log)
    assert all(last[key] == seq for key in desk.controller._shown)
    assert desk.rendered[-1] == seq
    assert desk.controller.latest.request.seq == seq
    for key in KEYS:  # no view goes back to an older answer
        drawn = [number for name, number in desk.log if name == key]
        assert drawn == sorted(drawn)


# --- in the window -----------------------------------------------------------------------------


class Layouts(QObject):
    """Notes what is laid out or changes its size."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def eventFilter(self, watched, event):
        kinds = (QEvent.Type.LayoutRequest, QEvent.Type.Resize)
        if event.type() in kinds and isinstance(watched, QWidget):
            self.seen.append((event.type().name, type(watched).__name__, watched.objectName()))
        return False


def test_a_letter_changes_no_size_and_its_cost_is_told_without_a_layout(qtbot, qapp):
    window = make_window(qtbot)
    window.session.set_text("Some words to begin with")
    settle(window, qtbot)
    layouts = Layouts()
    qapp.installEventFilter(layouts)
    try:
        for _ in range(100):  # until the window has come to rest
            layouts.seen.clear()
            qtbot.wait(20)
            if not layouts.seen:
                break
        for letter in "abc":
            window.editor.insertPlainText(letter)
            settle(window, qtbot)
            qtbot.wait(5)
    finally:
        qapp.removeEventFilter(layouts)
    assert [what for what in layouts.seen if what[0] == "Resize"] == []
    assert [what for what in layouts.seen if what[1] == "StatusLine"] == []


def test_painted_is_told_once_for_each_answer(qtbot):
    window = make_window(qtbot)
    qtbot.waitUntil(lambda: window.controller.latency_ms > 0)
    told = []
    window.controller.painted.connect(told.append)
    window.session.set_text("Another text")
    settle(window, qtbot)
    qtbot.waitUntil(lambda: bool(told))
    qtbot.wait(20)
    assert len(told) == 1
    # An answer that changes no picture is told too: whoever waits for it must not wait for ever.
    window.controller.take(window.controller.latest)
    qtbot.waitUntil(lambda: len(told) == 2)
