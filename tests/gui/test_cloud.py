"""The cloud behind a map: where its dots are, what dragging draws, and what is drawn round."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path
from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QImage

from gui import theme
from gui.widgets.cloud import Cloud
from gui.widgets.lasso import Group, Lasso, inside
from gui.widgets.scatter import ScatterMap
from gui.widgets.scatter_geometry import Range
from gui.widgets.token_axis import Marks

SIZE = QSize(120, 90)
SEEN = Range(0.0, 0.0, 20.0)


@pytest.fixture(autouse=True)
def still(monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")


def cloud(count=400, seed=0):
    made = Cloud()
    dice = np.random.default_rng(seed)
    made.set(dice.normal(0, 2, (count, 2)), dice.integers(0, 3, count))
    made.set_palette(["#ff0000", "#00ff00", None])
    return made


def pixels(image):
    image = image.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied)
    flat = np.frombuffer(image.constBits(), np.uint32)
    return flat.reshape(image.height(), image.width()).copy()


def fresh(made, seen, ratio=1.0):
    """The picture that a cloud without a past has of the same."""
    other = Cloud()
    other.set(made.xy, made._kinds)
    other.set_palette(made.palette)
    other.set_found(made.found)
    other.set_chosen(made.chosen)
    return pixels(other.image(seen, SIZE, ratio))


# --- dragging ------------------------------------------------------------------------------------

moves = st.lists(st.tuples(st.integers(-60, 60), st.integers(-50, 50)), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(moves, st.sampled_from([1.0, 2.0]), st.booleans(), st.booleans())
def test_what_is_dragged_is_as_if_it_were_drawn_anew(qapp, steps, ratio, found, chosen):
    made = cloud()
    if found:
        made.set_found(np.arange(0, 400, 7))
    if chosen:
        made.set_chosen(np.arange(0, 400, 5))
    # On whole pixels from the start, so that rounding is the same wherever the plane is.
    made.set(np.round(made.xy * 20) / 20 + 0.25 / 20, made._kinds)
    seen = SEEN
    pixels(made.image(seen, SIZE, ratio))
    for step in steps:
        seen = seen.moved(*step)
        dragged = pixels(made.image(seen, SIZE, ratio))
    np.testing.assert_array_equal(dragged, fresh(made, seen, ratio))
    assert made.drawings == 1


def test_dragging_draws_the_edges_only_and_zooming_all(qapp):
    made = cloud()
    made.image(SEEN, SIZE, 1.0)
    made.image(SEEN.moved(5, -3), SIZE, 1.0)
    assert (made.drawings, made.strips) == (1, 1)
    made.image(SEEN.moved(5, -3), SIZE, 1.0)
    assert (made.drawings, made.strips) == (1, 1)
    made.image(SEEN.zoomed(2, 60, 45, 120, 90), SIZE, 1.0)
    assert made.drawings == 2


def test_parts_of_pixels_add_up(qapp):
    made = cloud()
    seen = SEEN
    made.image(seen, SIZE, 1.0)
    for _ in range(40):
        seen = seen.moved(0.3, 0.0)
        shown = pixels(made.image(seen, SIZE, 1.0, rough=True))
    before = fresh(made, SEEN)
    np.testing.assert_array_equal(shown[:, 15:], before[:, 3:-12])  # 40 × 0.3 = 12
    assert made.drawings == 1
    seen = seen.moved(0.4, 0.0)
    exact = pixels(made.image(seen, SIZE, 1.0))
    np.testing.assert_array_equal(exact, fresh(made, seen))
    assert made.drawings == 2


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e300])
def test_a_dot_that_is_nowhere_is_left_out(qapp, odd):
    made = Cloud()
    made.set([[odd, 0.0], [0.0, 0.0]], None)
    shown = pixels(made.image(SEEN, SIZE, 1.0))
    shown = pixels(made.image(SEEN.moved(9, 0), SIZE, 1.0))
    rows, columns = np.nonzero(shown >> 24)
    assert abs(columns.mean() - 69) <= 1
    assert abs(rows.mean() - 45) <= 1
    assert made.nearest(0.01, 0.0, 1.0) == 1
    assert made.nearest(3.0, 0.0, 1.0) == -1


# --- what is found and chosen --------------------------------------------------------------------


def test_found_dots_stand_out_and_chosen_ones_are_ringed(qapp):
    made = Cloud()
    made.set([[-2.0, 0.0], [0.0, 0.0], [2.0, 0.0]], [0, 0, 0])
    made.set_palette(["#00aa44"])
    plain = pixels(made.image(SEEN, SIZE, 1.0))
    made.set_found([1])
    found = pixels(made.image(SEEN, SIZE, 1.0))
    made.set_chosen([2])
    chosen = pixels(made.image(SEEN, SIZE, 1.0))

    def strength(picture, x):
        return int((picture >> 24)[40:50, x - 5 : x + 6].sum())

    assert strength(found, 20) < strength(plain, 20)  # the others step back
    assert strength(found, 60) > 2 * strength(plain, 60)
    accent = int(theme.current().accent[1:], 16)
    ringed = chosen[40:51, 95:106]
    colours = [(ringed >> shift & 255).astype(int) for shift in (16, 8, 0)]
    wanted = [accent >> shift & 255 for shift in (16, 8, 0)]
    away = sum(abs(one - other) for one, other in zip(colours, wanted, strict=True))
    assert (away < 40).sum() > 8
    assert (chosen[40:51, 55:66] == found[40:51, 55:66]).all()


def test_what_is_the_same_is_not_drawn_again(qapp):
    made = cloud()
    made.set_found([1, 2])
    made.set_chosen([3])
    version = made.version
    made.set_found([2, 1, 1])
    made.set_chosen([3, 900])  # there is no such dot
    made.set(made.xy.copy(), made._kinds.copy())
    assert made.version == version
    made.set_found(None)
    assert made.version > version


def test_other_dots_let_go_of_what_was_meant_of_these(qapp):
    made = cloud()
    made.set_found([1])
    made.set_chosen([3])
    made.set(made.xy * 2, None)  # the same states in another plane
    assert made.found.tolist() == [1]
    assert made.chosen.tolist() == [3]
    made.set(made.xy[:-1], None)
    assert made.found is None
    assert not len(made.chosen)


# --- drawing round -------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 40))
def test_inside_is_what_matplotlib_says(seed, corners):
    dice = np.random.default_rng(seed)
    angles = np.sort(dice.uniform(0, 2 * np.pi, corners))
    reach = dice.uniform(0.2, 2, corners)
    polygon = np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach[:, None]
    points = dice.normal(0, 1, (500, 2))
    np.testing.assert_array_equal(
        inside(points, polygon), Path(polygon, closed=False).contains_points(points)
    )


def test_a_line_that_crosses_itself_and_odd_points():
    bow = np.array([[-1.0, -1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]])
    points = np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [np.nan, 0], [np.inf, 0]])
    assert inside(points, bow).tolist() == [True, True, False, False, False]
    assert not inside(points, bow[:2]).any()
    assert inside(np.empty((0, 2)), bow).shape == (0,)


def test_hardly_anything_drawn_is_a_click(qapp):
    lasso = Lasso()
    lasso.begin(QPointF(5, 5))
    lasso.go_on(QPointF(6, 5))
    assert lasso.drawing
    assert lasso.finish(SEEN, 120, 90) is None
    assert not lasso.drawing


@pytest.fixture
def plot(qtbot):
    made = ScatterMap("map")
    qtbot.addWidget(made)
    made.resize(400, 300)
    made.lasso_button.show()
    made.show()
    made.set_points([[-1, -1], [1, -1], [1, 1], [-1, 1]], list("abcd"))
    side = np.linspace(-1, 1, 9)
    made.set_cloud(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2))
    return made


def draw_round(qtbot, plot, corners, modifier=Qt.KeyboardModifier.ShiftModifier):
    places = plot.seen.to_pixels(np.array(corners), 400, 300).astype(int).tolist()
    at = [QPoint(*place) for place in places]
    button = Qt.MouseButton.LeftButton
    qtbot.mousePress(plot, button, modifier, at[0])
    for place in at[1:]:
        qtbot.mouseMove(plot, place)
    plot.grab()
    qtbot.mouseRelease(plot, button, modifier, at[-1])


LEFT = [[-1.2, -1.2], [-0.1, -1.2], [-0.1, 1.2], [-1.2, 1.2]]


def test_shift_and_dragging_chooses_dots_and_points(plot, qtbot):
    before = plot.range
    with qtbot.waitSignal(plot.groupChosen) as told:
        draw_round(qtbot, plot, LEFT)
    group = told.args[0]
    assert isinstance(group, Group)
    assert group.tokens.tolist() == [0, 3]
    assert group.cloud.tolist() == [row * 9 + column for row in range(9) for column in range(4)]
    assert (plot.cloud.xy[group.cloud][:, 0] < 0).all()
    assert plot.range == before  # it was not dragged
    with qtbot.waitSignal(plot.groupChosen) as told:
        qtbot.keyClick(plot, Qt.Key.Key_Escape)
    assert not told.args[0]
    assert not plot.group


def test_the_button_does_without_shift(plot, qtbot):
    plot.lasso_button.setChecked(True)
    draw_round(qtbot, plot, LEFT, Qt.KeyboardModifier.NoModifier)
    assert len(plot.group.cloud) == 36
    plot.lasso_button.setChecked(False)
    before = plot.range
    draw_round(qtbot, plot, LEFT, Qt.KeyboardModifier.NoModifier)
    assert plot.range != before
    assert len(plot.group.cloud) == 36


def test_shift_and_a_click_is_a_click(plot, qtbot):
    clicked = []
    plot.pointClicked.connect(clicked.append)
    at = plot.position_of(2).toPoint()
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, at)
    assert clicked == [2]
    assert not plot.group


def test_escape_ends_a_line_that_is_being_drawn(plot, qtbot):
    draw_round(qtbot, plot, LEFT)
    shift = Qt.KeyboardModifier.ShiftModifier
    qtbot.mousePress(plot, Qt.MouseButton.LeftButton, shift, QPoint(9, 9))
    qtbot.mouseMove(plot, QPoint(200, 9))
    assert plot.panning  # nothing else follows the mouse meanwhile
    qtbot.keyClick(plot, Qt.Key.Key_Escape)
    assert not plot.panning
    assert len(plot.group.cloud) == 36
    qtbot.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=QPoint(200, 9))


def test_a_token_that_is_another_one_now_was_not_chosen(plot, qtbot):
    draw_round(qtbot, plot, LEFT)
    plot.set_points([[-1, -1], [1, -1], [1, 1], [-1, 1]], list("abcx"))
    assert plot.group.tokens.tolist() == [0]
    assert len(plot.group.cloud) == 36
    plot.set_points([[-1, -1]], ["y"])
    assert not len(plot.group.tokens)
    plot.set_cloud([[0.0, 0.0]])
    assert not plot.group


def test_a_nearer_token_goes_before_a_dot(plot, qtbot):
    said = []
    plot.set_cloud_readout(lambda index: said.append(index) or f"dot {index}")
    hovered = []
    plot.pointHovered.connect(hovered.append)
    centre = plot.seen.to_pixels(np.array([0.0, 0.0]), 400, 300).astype(int)
    qtbot.mouseMove(plot, QPoint(*centre.tolist()))
    plot.grab()
    assert said[-1] == 40
    assert not hovered
    qtbot.mouseMove(plot, plot.position_of(2).toPoint())  # a dot lies there too
    said.clear()
    plot.grab()
    assert hovered == [2]
    assert not said
    # Beside the token, and right on another dot.
    plot.set_cloud(np.array([[1 - 9 / plot.seen.scale, 1.0]]))
    qtbot.mouseMove(plot, plot.position_of(2).toPoint() - QPoint(9, 0))
    plot.grab()
    assert said[-1] == 0
    assert hovered == [2, -1]


# --- dragging points -----------------------------------------------------------------------------


@pytest.fixture
def walk(qtbot):
    def make(labels):
        made = ScatterMap("walk", joined=True)
        qtbot.addWidget(made)
        made.resize(400, 300)
        made.show()
        dice = np.random.default_rng(0)
        xy = dice.normal(size=(60, 2))
        made.set_points(xy, [labels] * 60, np.tile(np.eye(2) * 0.02, (60, 1, 1)))
        made.set_cloud(dice.normal(size=(900, 2)))
        made.grab()
        return made

    return make


def picture_of(widget):
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    flat = np.frombuffer(image.constBits(), np.uint8)
    return flat.reshape(image.height(), image.width(), 4)[..., :3].astype(int)


def drag(qtbot, plot, *by):
    at = QPoint(200, 150)
    qtbot.mousePress(plot, Qt.MouseButton.LeftButton, pos=at)
    for step in by:
        at += QPoint(*step)
        qtbot.mouseMove(plot, at)
        plot.grab()
    return at


def test_a_drag_draws_the_points_once_and_shows_what_drawing_anew_would(walk, qtbot):
    plot = walk("")
    at = drag(qtbot, plot, (20, 5), (31, -40), (-8, 12))
    assert plot.dragged
    dragged = picture_of(plot)
    assert plot._drag_layer.drawings == 1
    qtbot.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=at)
    assert not plot.dragged
    anew = picture_of(plot)
    assert (np.abs(dragged - anew).max(axis=-1) > 8).mean() < 0.002
    other = walk("")
    assert (np.abs(dragged - picture_of(other)).max(axis=-1) > 8).mean() > 0.05


def test_far_away_there_is_room_again(walk, qtbot):
    plot = walk("")
    at = drag(qtbot, plot, (20, 0), *[(100, 0)] * 5)
    assert plot._drag_layer.drawings == 2
    qtbot.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=at)


def test_what_changes_while_it_is_dragged_is_shown(walk, qtbot):
    plot = walk("label")
    at = drag(qtbot, plot, (20, 0), (15, 3))
    before = picture_of(plot)
    plot.set_marks(Marks(hovered=4, selected=3))
    after = picture_of(plot)
    assert (before != after).any()
    assert plot._drag_layer.drawings == 2
    box = plot.written.get(4)
    assert box is None or QRectF(plot.rect()).intersects(box)
    plot.set_points(np.zeros((2, 2)), ["x", "y"])
    assert (picture_of(plot) != after).any()
    qtbot.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=at)
