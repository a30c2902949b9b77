"""The embedding view: what it asks for, what it draws, and how it is linked to the rest."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from fakes import make_snapshot, model_info, request, tokens_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QLayout

from engine.types import EmbeddingQuery, EmbeddingResult, NeighboursQuery, Snapshot
from gui import theme
from gui.session import Session
from gui.views.embedding import VIEW, _quantile, robust_level
from gui.widgets.bars import length

TEXT = "The dog is running in the park."


@pytest.fixture(autouse=True)
def still(monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")


@pytest.fixture
def session():
    made = Session(TEXT)
    made.set_model(model_info())
    return made


@pytest.fixture
def view(qtbot, session):
    made = VIEW.create(session)
    qtbot.addWidget(made)
    # As a window of its own it would tell the screen its least size, which a fake screen minds.
    made.layout().setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
    made.resize(800, 300)
    made.show()
    return made


def answer(view, text=TEXT, model=None, **changes) -> Snapshot:
    """A snapshot that answers the view, the states changed as told; drawn."""
    snapshot = make_snapshot(request(text, *view.queries()), model or view.session.model)
    results = dict(snapshot.results)
    for query, result in results.items():
        if isinstance(result, EmbeddingResult):
            results[query] = replace(result, **changes)
    snapshot = replace(snapshot, results=MappingProxyType(results))
    view.render_snapshot(snapshot)
    return snapshot


def pixels_of(widget) -> np.ndarray:
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    flat = np.frombuffer(image.constBits(), np.uint8)
    # A copy, for the image and its memory end here.
    return flat.reshape(image.height(), image.width(), 4).copy()


# --- what it asks for ----------------------------------------------------------------------------


def test_it_asks_for_the_states_at_the_sessions_depth(view, session):
    assert view.queries() == (EmbeddingQuery(2, "decoder"),)
    session.set_layer(6)
    assert view.queries() == (EmbeddingQuery(6, "decoder"),)


def test_neighbours_are_asked_for_only_while_a_token_is_selected(view, session, qtbot):
    with qtbot.waitSignal(view.queriesChanged):
        session.select(3)
    assert view.queries() == (
        EmbeddingQuery(2, "decoder"),
        NeighboursQuery(2, 3, stack="decoder"),
    )
    with qtbot.waitSignal(view.queriesChanged):
        session.select(None)
    assert len(view.queries()) == 1


def test_a_model_without_states_is_asked_nothing(view, session):
    session.set_model(model_info(provides=frozenset({"attention"})))
    assert view.queries() == ()


def test_cross_attention_is_between_states_of_the_decoder(view, session):
    session.set_model(model_info(kind="encoder-decoder", decoder_layers=4))
    assert view.queries() == (EmbeddingQuery(2, "encoder"),)
    session.set_stack("cross")
    session.set_layer(6)
    assert view.queries() == (EmbeddingQuery(4, "decoder"),)
    assert "decoder" in view.caption()


def test_tokens_of_a_decoder_of_its_own_have_marks_of_their_own(view, session, qtbot):
    session.set_model(model_info(kind="encoder-decoder", decoder_layers=4))
    session.set_stack("decoder")
    session.select(1)
    assert len(view.queries()) == 1
    target = tokens_of("Der Hund")
    snapshot = make_snapshot(request(TEXT, *view.queries()), session.model, target)
    snapshot = replace(snapshot, tokens=tokens_of(TEXT), target_tokens=target)
    view.render_snapshot(snapshot)
    assert view.map.count == 2
    with qtbot.waitSignal(view.queriesChanged):
        view.map.pointClicked.emit(0)
    assert session.selected == 1
    assert view.queries()[1] == NeighboursQuery(session.layer, 0, stack="decoder")


# --- what it draws -------------------------------------------------------------------------------


def test_states_and_map_are_those_of_the_answer(view):
    snapshot = answer(view)
    count = len(snapshot.tokens)
    assert view.heat.shape == (count, 32)
    assert view.map.count == count
    result = snapshot.results[view.queries()[0]]
    np.testing.assert_allclose(view.map.drawn_positions(), result.xy)


def test_captions_say_depth_tokens_and_dimensions(view, session):
    answer(view)
    assert view.caption() == "layer 2 of 6 · 8 tokens × 32 dimensions"
    session.set_layer(0)
    answer(view)
    assert view.caption() == "input embeddings · 8 tokens × 32 dimensions"
    session.set_layer(6)
    answer(view, "Dog")
    assert view.caption() == "last block, layer 6 of 6 · 1 token × 32 dimensions"


def test_one_massive_dimension_does_not_wash_out_the_rest(view):
    values = np.random.default_rng(0).normal(0, 1, (8, 500)).astype(np.float32)
    values[:, 7] = 4000
    answer(view, values=values, norms=np.linalg.norm(values, axis=1))
    assert view.heat.scale.high == -view.heat.scale.low
    assert 2 < view.heat.scale.high < 4
    assert view.heat.scale.clipped
    said = view._read_cell(0, 7)
    assert "dimension 7: 4e3" in said or "dimension 7: 4000" in said
    assert "beyond the colours" in said


@pytest.mark.parametrize(
    ("values", "least", "most"),
    [
        (np.zeros((3, 4)), 1, 1),
        (np.full((3, 4), np.nan), 1, 1),
        (np.array([[0, 0, 0, 5.0]] * 3), 4.9, 5.1),
        (np.linspace(-1, 1, 1000).reshape(1, -1), 0.98, 1.0),
        (np.empty((0, 5)), 1, 1),
        (np.full((2000, 600), 1e-30), 0.99e-30, 1.01e-30),
    ],
)
def test_levels_hold_all_but_the_outermost_values(values, least, most):
    assert least <= robust_level(values.astype(np.float32)) <= most


def test_levels_change_in_steps():
    dice = np.random.default_rng(0)
    values = dice.normal(0, 1, (64, 512)).astype(np.float32)
    assert robust_level(values) == robust_level(values[:60]) == pytest.approx(2.6)


@given(
    arrays.arrays(np.float32, st.integers(1, 300), elements=st.floats(0, 1e6, width=32)),
    st.sampled_from([0.0, 0.5, 0.99, 1.0]),
)
def test_the_quick_quantile_is_numpys(values, share):
    expected = float(np.quantile(values.astype(np.float64), share))
    assert _quantile(values.copy(), share) == pytest.approx(expected)


def test_shares_of_variance_stand_at_the_axes(view):
    answer(view, explained=np.array([0.41, 0.18], np.float32))
    assert view.map._titles == ("PC 1 (41 %)", "PC 2 (18 %)")
    answer(view, "Dog", explained=np.zeros(2, np.float32))
    assert view.map._titles == ("PC 1", "PC 2")


def test_nearest_words_come_and_go_with_the_selection(view, session):
    answer(view)
    assert view.nearest.rows == ()
    session.select(2)
    answer(view)
    assert [text for text, _ in view.nearest.rows[:2]] == ["word0", "word1"]
    assert view.nearest.rows[0][1] == pytest.approx(0.9)
    assert "word0 0.90" in view.nearest.accessibleDescription()
    session.select(None)
    assert view.nearest.rows == ()


def test_a_refusal_of_neighbours_is_told(view, session):
    session.select(1)
    snapshot = make_snapshot(request(TEXT, *view.queries()), session.model)
    near = view.queries()[1]
    kept = {query: result for query, result in snapshot.results.items() if query != near}
    view.render_snapshot(
        replace(snapshot, results=MappingProxyType(kept), refused=MappingProxyType({near: "Why"}))
    )
    assert view.nearest.accessibleDescription() == "Why"


def test_a_snapshot_that_answers_something_else_changes_nothing(view, session):
    answer(view)
    other = make_snapshot(request("Other words", EmbeddingQuery(5, "decoder")), session.model)
    view.render_snapshot(other)
    assert view.map.count == 8


@pytest.mark.parametrize("count", [0, 1, 2, 600])
@pytest.mark.parametrize("kind", ["normal", "alike", "nan", "huge", "no map"])
def test_nothing_is_too_odd_to_be_drawn(view, session, count, kind):
    values = np.random.default_rng(0).normal(0, 1, (count, 32)).astype(np.float32)
    xy = values[:, :2].copy()
    norms = np.abs(values).sum(1)
    if kind == "alike":
        values[:], xy[:], norms[:] = 2, 0, 0
    elif kind == "nan":
        values[:], xy[:], norms[:] = np.nan, np.nan, np.nan
    elif kind == "huge":
        values, xy = values * np.float32(1e37), xy * np.float32(1e37)
    changes = {"values": values, "norms": norms, "xy": xy, "explained": np.full(2, np.nan)}
    if kind == "no map":
        changes |= {"xy": None, "explained": None}
    session.select(0)
    session.hover(1)
    session.toggle_pin(1)
    answer(view, " ".join(["a"] * max(count, 1)), **changes)
    view.grab()
    for row in range(min(count, 2)):
        assert view._read_cell(row, 3)
    assert view.heat.shape == (count, 32)


def test_dark_and_light_paint_different_pixels(view, session, qapp):
    session.select(1)
    answer(view)
    before = qapp.palette()
    pictures = []
    for which in (theme.DARK, theme.LIGHT):
        qapp.setPalette(theme.palette(which))
        qapp.processEvents()
        pictures.append({name: pixels_of(pane) for name, pane in view.panes.items()})
    qapp.setPalette(before)
    for name in view.panes:
        assert pictures[0][name].mean() + 80 < pictures[1][name].mean()


# --- how it is linked ----------------------------------------------------------------------------


def test_clicking_a_point_selects_its_token_everywhere(view, session, qtbot):
    answer(view)
    at = view.map.position_of(4).toPoint()
    qtbot.mouseMove(view.map, at)
    assert session.hovered == 4
    qtbot.mouseClick(view.map, Qt.MouseButton.LeftButton, pos=at)
    assert session.selected == 4
    qtbot.mouseClick(view.map, Qt.MouseButton.LeftButton, pos=at)
    assert session.selected is None
    qtbot.mouseMove(view.map, QPoint(3, view.map.height() // 3))
    assert session.hovered is None


def test_clicking_a_row_selects_its_token_everywhere(view, session, qtbot):
    answer(view)
    at = view.heat.cell_rect(5, 10).center().toPoint()
    qtbot.mouseMove(view.heat, at)
    assert session.hovered == 5
    qtbot.mouseClick(view.heat, Qt.MouseButton.LeftButton, pos=at)
    assert session.selected == 5


def test_a_token_selected_elsewhere_is_marked_here(view, session):
    answer(view)
    before = {name: pixels_of(pane) for name, pane in view.panes.items()}
    session.select(2)
    for name in ("values", "map"):
        assert (pixels_of(view.panes[name]) != before[name]).any()
    assert view.head_line.text().startswith("is: ‖x‖₂ = ")
    session.hover(1)
    assert view.head_line.text().startswith("dog: ")


def test_norms_stand_beside_their_rows(view):
    answer(view)
    for row in range(8):
        y = view.heat.cell_rect(row, 0).center().y()
        assert view.norms.row_at(y) == row
    assert view.norms.row_at(view.heat.plot_rect().bottom() + 5) == -1


def test_a_long_bar_belongs_to_a_large_norm(view):
    norms = np.array([900, 10, 20, 10, 10, 10, 10, 10], np.float32)
    view.resize(800, 400)
    view.grab()
    answer(view, norms=norms)
    picture = pixels_of(view.norms).astype(int)
    ground = picture[1, 1]
    wide = []
    for row in range(3):
        # Below the number, where there is nothing but the bar.
        y = int(view.heat.cell_rect(row, 0).bottom()) - 4
        wide.append(int((picture[y] != ground).any(-1).sum()))
    assert wide[1] < wide[2] < wide[0]
    assert wide[2] == pytest.approx(2 * wide[1], abs=2)


def test_lengths_have_three_digits():
    said = [length(value) for value in (0.0, 2.0, 28.34, 322.4, 3131.6, 4e7, np.nan)]
    assert said == ["0", "2.00", "28.3", "322", "3132", "4e7", "not a number"]


def test_points_stay_where_they_are_while_typing(view):
    xy = np.random.default_rng(0).uniform(-1, 1, (9, 2)).astype(np.float32)
    xy[:2] = [[-1, -1], [1, 1]]
    answer(view, xy=xy[:8])
    before = [view.map.position_of(index) for index in range(8)]
    answer(view, TEXT + " It", xy=xy)
    assert view.map.count == 9
    assert [view.map.position_of(index) for index in range(8)] == before


# --- layout --------------------------------------------------------------------------------------


def visible(view):
    return [name for name, pane in view.panes.items() if pane.isVisible()]


def test_panes_are_shown_as_there_is_room(view, qtbot):
    answer(view)
    assert visible(view) == ["values", "map", "nearest"]
    view.resize(520, 220)
    assert visible(view) == ["values", "map"]
    qtbot.mouseClick(view.buttons["nearest"], Qt.MouseButton.LeftButton)
    assert visible(view) == ["values", "nearest"]
    view.resize(320, 240)
    assert visible(view) == ["nearest"]
    qtbot.mouseClick(view.buttons["values"], Qt.MouseButton.LeftButton)
    assert visible(view) == ["values"]
    view.resize(520, 220)
    assert visible(view) == ["values", "map"]


def test_a_high_panel_has_its_panes_one_below_the_other(view):
    answer(view)
    view.resize(380, 600)
    assert view.splitter.orientation() == Qt.Orientation.Vertical
    assert visible(view) == ["values", "map"]
    view.resize(520, 220)
    assert view.splitter.orientation() == Qt.Orientation.Horizontal


def test_every_control_has_a_name_and_an_explanation(view):
    for button in view.buttons.values():
        assert button.accessibleName()
        assert button.toolTip()
        assert button.focusPolicy() & Qt.FocusPolicy.TabFocus
    for pane in (view.heat, view.map):
        assert pane.accessibleName()
        assert pane.focusPolicy() & Qt.FocusPolicy.TabFocus
