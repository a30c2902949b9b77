"""The compare panel: two panes that scroll and select as one, and pictures of the difference."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from fakes import make_snapshot, model_info, request, tokens_of
from made_comparisons import comparison, with_a_merge
from PySide6.QtCore import QPointF, Qt
from PySide6.QtTest import QTest
from windows import asked, make_window, settle

from engine.comparison import CompareQuery
from gui import comparing
from gui.comparing import joined, slots, top_heads, top_layers, top_tokens
from gui.session import Session
from gui.settings import Settings
from gui.views.compare import CompareView
from gui.widgets.ranking import Ranking
from gui.widgets.twin_panes import Facing, TwinPanes
from gui.widgets.twin_paths import TwinPaths

# What the offscreen platform says of a tabbed panel that is raised.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")

TEXT = "The dog is running in the park."


def made(model=None, text=TEXT, seed=0, **how):
    model = model or model_info()
    dice = np.random.default_rng(seed)
    return comparison(CompareQuery("", "Before.\n", **how), model, tokens_of(text), dice)


@pytest.fixture
def view(qtbot):
    session = Session(TEXT)
    session.set_model(model_info())
    view = CompareView(session)
    qtbot.addWidget(view)
    view.resize(640, 380)
    view.show()
    return view


def answer(view, change=lambda found: found):
    session = view.session
    snapshot = make_snapshot(request(session.text, *view.queries()), session.model)
    results = {query: change(found) for query, found in snapshot.results.items()}
    view.render_snapshot(replace(snapshot, results=results))


# --- what is put together -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "text", "put"),
    [
        ("", "dog", ""),
        ("  \n", "dog", ""),
        ("Before.", "dog", "Before.\n"),
        ("Before. ", "dog", "Before. "),
        ("Before.\n", "dog", "Before.\n"),
        ("Before.", " dog", "Before."),
        ("Before.", "", "Before.\n"),
    ],
)
def test_a_line_break_stands_between_unless_there_is_a_space(context, text, put):
    assert joined(context, text) == put


def test_places_hold_every_token_of_both_sides_once_in_order():
    plain = made()
    assert [slot[:3] for slot in slots(plain)] == [(i, i, i) for i in range(8)]
    found = with_a_merge(plain)
    placed = slots(found)
    assert [slot.one for slot in placed if slot.one >= 0] == list(range(8))
    assert [slot.other for slot in placed if slot.other >= 0] == list(range(8))
    assert placed[0] == (0, -1, -1, 0)
    assert placed[1] == (-1, 0, -1, -1)
    assert placed[2] == (1, 1, 0, 1)
    assert "only in A" in comparing.told(found, placed[0], 1, "The")
    assert "P-CXMI" in comparing.told(found, placed[2], 1, "dog")
    assert comparing.summary(found).endswith("2 cut differently")


def test_what_changed_most_ranks_by_magnitude_and_leads_there():
    found = replace(
        made(),
        pcxmi=np.array([np.nan, 0.5, -3, 1, 0, 0, 0, 0], np.float32),
        kl=np.array([np.nan, 0.5, 3, 7, 0, 0, 0, 0], np.float32),
    )
    labels = [f"t{index}" for index in range(8)]
    best = top_tokens(found, "pcxmi", 1, labels, 2)
    assert [(one.text, one.value, one.at) for one in best] == [
        ("t2", -3.0, (2,)),
        ("t3", 1.0, (3,)),
    ]
    # By surprise nothing is ranked: by how far the predictions lie apart instead.
    assert top_tokens(found, "surprise", 1, labels, 1)[0].text == "t3"
    mean = found.shift.mean(axis=0)
    assert top_layers(found, 1)[0].at == (int(mean.argmax()),)
    layer, head = top_heads(found, 1)[0].at
    assert found.heads[layer, head] == found.heads.max()
    assert top_heads(replace(found, heads=None), 3) == []


def test_an_encoder_has_states_only():
    encoder = model_info(kind="encoder", provides=frozenset({"embedding", "attention"}))
    assert comparing.measures(encoder) == ("shift",)
    found = made(encoder)
    assert math.isnan(comparing.colours(found, "kl", 0, 10).one[1])
    assert top_tokens(found, "shift", 2, [""] * 8, 3)
    assert "P-CXMI" not in comparing.summary(found)


# --- the panes ------------------------------------------------------------------------------------


@pytest.fixture
def panes(qtbot):
    panes = TwinPanes()
    qtbot.addWidget(panes)
    panes.resize(400, 80)
    panes.show()
    words = [f"word{index}" for index in range(60)]
    panes.set_places([Facing(word, word + "!", (0.2, math.nan), word) for word in words], 1, False)
    return panes


def test_both_panes_break_alike_and_scroll_as_one(panes):
    bar = panes.verticalScrollBar()
    assert bar.maximum() > 0
    apart = panes.pane_width + 12
    for value in (0, bar.maximum()):
        bar.setValue(value)
        for place in range(60):
            mine, theirs = panes.box_of(place, 0), panes.box_of(place, 1)
            assert mine.top() == theirs.top()
            assert theirs.left() - mine.left() == pytest.approx(apart)
            assert mine.right() <= 8 + panes.pane_width
    panes.set_marks(0, None)
    assert bar.value() < bar.maximum()
    panes.grab()


def test_a_place_is_chosen_in_either_pane_and_by_key(panes, qtbot):
    for side in (0, 1):
        with qtbot.waitSignal(panes.placeClicked) as chosen:
            spot = panes.box_of(1, side).center().toPoint()
            QTest.mousePress(panes.viewport(), Qt.MouseButton.LeftButton, pos=spot)
        assert chosen.args == [1]
    panes.set_marks(1, None)
    for key, expected in ((Qt.Key.Key_Right, 2), (Qt.Key.Key_End, 59), (Qt.Key.Key_Escape, None)):
        with qtbot.waitSignal(panes.placeClicked) as chosen:
            QTest.keyClick(panes, key)
        assert chosen.args == [expected]
    assert panes.place_at(QPointF(2, 2)) is None


def test_keys_pass_over_what_is_no_token_of_the_text(panes, qtbot):
    words = [Facing(word, word, (0.1, 0.1), word, chosen=word != "b") for word in "abc"]
    panes.set_places(words, 1, False)
    for at, key, expected in ((0, Qt.Key.Key_Right, 2), (2, Qt.Key.Key_Left, 0)):
        panes.set_marks(at, None)
        with qtbot.waitSignal(panes.placeClicked) as chosen:
            QTest.keyClick(panes, key)
        assert chosen.args == [expected]


def test_lists_and_paths_can_be_clicked(qtbot):
    ranking = Ranking("Tokens", "What changed.")
    paths = TwinPaths()
    for widget in (ranking, paths):
        qtbot.addWidget(widget)
        widget.resize(200, 120)
        widget.show()
    ranking.set_rows([("dog", 2.0), ("cat", -1.0)])
    with qtbot.waitSignal(ranking.chosen) as chosen:
        QTest.mousePress(ranking, Qt.MouseButton.LeftButton, pos=ranking.rect().center() * 0.8)
    assert chosen.args == [1]
    with qtbot.waitSignal(ranking.chosen) as chosen:
        QTest.keyClick(ranking, Qt.Key.Key_Up)
        QTest.keyClick(ranking, Qt.Key.Key_Return)
    assert chosen.args == [0]
    both = [[[0, 0], [1, 1]], [[0.5, 0], [1, 0.5]]]
    paths.set_paths(both, np.zeros((0, 2)), ["a", "b"])
    spot = paths.pixels(np.array([1.0, 0.5]))
    assert paths.point_at(QPointF(*spot)) == 1
    with qtbot.waitSignal(paths.pointClicked) as chosen:
        QTest.mousePress(paths, Qt.MouseButton.LeftButton, pos=QPointF(*spot).toPoint())
    assert chosen.args == [1]
    paths.set_marks(1, 0)
    paths.grab()
    paths.set_message("no space")
    assert paths.accessibleDescription() == "no space"


# --- the view -------------------------------------------------------------------------------------


def test_without_a_context_nothing_is_asked_and_the_panel_says_what_it_is_for(view):
    assert view.queries() == ()
    answer(view)
    assert "Example" in view.panes.accessibleDescription()
    assert not view.differences.isVisible()
    assert view.example.isVisible()
    view.example.click()
    (query,) = view.queries()
    assert query.one == ""
    assert query.other == comparing.EXAMPLE[0]
    assert view.session.text == comparing.EXAMPLE[1]
    answer(view)
    assert view.differences.isVisible()
    assert not view.example.isVisible()
    assert "shared tokens" in view.caption()
    view.session.set_contexts("", "")
    assert not view.differences.isVisible()
    assert view.caption() == ""


def test_only_what_is_shown_is_asked(view):
    view.session.set_contexts("", "Before.")
    view.session.set_layer(3)
    page = view.differences.page
    (query,) = view.queries()
    assert not query.attention
    assert query.space is None
    page.setCurrentIndex(page.findData("attention"))
    view.session.set_head(2)
    (query,) = view.queries()
    assert (query.attention, query.layer, query.head) == (True, 3, 2)
    page.setCurrentIndex(page.findData("paths"))
    (query,) = view.queries()
    assert (query.attention, query.space) == (False, 4)


def test_the_selection_is_that_of_the_program_in_all_parts(view):
    view.session.set_contexts("", "Before.")
    answer(view, with_a_merge)
    view.panes.placeClicked.emit(2)
    assert view.session.selected == 1
    assert view.differences.shift._column_marks.selected == 0
    assert view.info.text().startswith("dog")
    # What stands so in B only is none of the text's tokens.
    view.panes.placeClicked.emit(1)
    assert view.session.selected is None
    view.panes.placeHovered.emit(1)
    assert "only in B" in view.info.text()
    view.panes.placeHovered.emit(None)
    view.session.select(2)
    assert view.info.text().startswith("is")
    view.differences.shift.cellClicked.emit(5, 0)
    assert (view.session.layer, view.session.selected) == (5, 1)


def test_a_line_of_the_heads_opens_the_head(view):
    view.session.set_contexts("", "Before.")
    answer(view)
    layer, head = top_heads(view.found, 1)[0].at
    view.differences.rankings[2].chosen.emit(0)
    assert (view.session.block, view.session.head) == (layer, head)
    assert view.differences.shown == "attention"
    answer(view)
    assert view.found.attention is not None
    assert "from A to B" in view.differences._read_attention(2, 1)
    assert "masked" in view.differences._read_attention(1, 2)
    assert view.differences._read_attention(99, 1) == ""


@pytest.mark.parametrize("measure", ["surprise", "pcxmi", "kl", "shift"])
def test_every_colour_is_painted_and_named(view, measure):
    view.session.set_contexts("", "Before.")
    view.colour.setCurrentIndex(view.colour.findData(measure))
    answer(view)
    view.grab()
    assert comparing.NAMES[measure] in view.legend.accessibleDescription()


def test_swapping_and_what_is_remembered(qtbot):
    settings = Settings(model="builtin", contexts=("one", "two"))
    window = make_window(qtbot, settings=settings)
    view = window.panels["compare"].view
    assert view.fields.contexts() == ("one", "two")
    view.fields.swap.click()
    assert view.fields.contexts() == ("two", "one")
    view.fields.one.setPlainText("three")
    window.save_settings()
    assert window.settings.contexts == ("three", "one")


def test_the_panel_is_hidden_at_first_and_costs_nothing_until_it_is_shown(qtbot):
    window = make_window(qtbot)
    window.session.set_contexts("", "Before.")
    window.session.set_text("Something else.")
    settle(window, qtbot)
    panel, action = window.panels["compare"], window.commands.actions["view.show.compare"]
    assert not panel.isVisible()
    assert "CompareQuery" not in asked(window)
    action.trigger()
    assert panel.isVisible()
    assert not panel.isFloating()
    qtbot.waitUntil(lambda: "CompareQuery" in asked(window))
    settle(window, qtbot)
    assert panel.view.differences.isVisible()
    # Typing asks for the same comparison of the new text.
    window.session.set_text("Something else!")
    settle(window, qtbot)
    assert len(panel.view.slots) == len(panel.view.found.pairs) == 3
    panel.hide()
    window.session.set_text("Nothing else.")
    settle(window, qtbot)
    assert "CompareQuery" not in asked(window)


def test_a_model_without_what_is_wanted_says_so(view):
    encoder = model_info(
        "encoder", kind="encoder", provides=frozenset({"embedding"}), heads=0, latent_layers=()
    )
    view.session.set_model(encoder)
    view.session.set_contexts("", "Before.")
    assert [view.colour.itemData(i) for i in range(view.colour.count())] == ["shift"]
    page = view.differences.page
    page.setCurrentIndex(page.findData("paths"))
    answer(view)
    assert "no latent space" in view.differences.paths.accessibleDescription()
    assert view.differences.rankings[2].rows == ()
