"""Maps of three directions: what is seen of them, how they turn, and what holds in each view."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest

from gui import theme
from gui.turning import HOME, Turn, middle_of, seen_from, spread_from
from gui.widgets.gizmo import round_length
from gui.widgets.splat import Canvas
from gui.widgets.turning_map import STEP, TurningMap

TURNS = [HOME, Turn(0, 0), Turn(130, -40), Turn(-90, 90), Turn(17, -90)]
NONE = Qt.KeyboardModifier.NoModifier


@pytest.fixture(autouse=True)
def still(monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")


@pytest.fixture
def plot(qtbot):
    """Three tokens on the axes before a cloud of two labels, one at each end of the third axis."""
    made = TurningMap("map", joined=True)
    qtbot.addWidget(made)
    made.resize(400, 300)
    made.set_axes("z₁", "z₂", "z₃")
    dice = np.random.default_rng(0)
    cloud = dice.normal(0, 0.3, (400, 3))
    cloud[:200, 2] += 3
    cloud[200:, 2] -= 3
    made.set_cloud(cloud, np.repeat([0, 1], 200))
    made.set_cloud_readout(str)
    made.set_points(np.eye(3), ("a", "b", "c"), np.tile(np.diag([4.0, 1.0, 0.25]), (3, 1, 1)))
    made.show()
    return made


def pixels_of(widget):
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    flat = np.frombuffer(image.constBits(), np.uint8)
    return flat.reshape(image.height(), image.width(), 4)[..., :3].copy().astype(int)


# --- the eye -------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_is_a_rotation_that_keeps_the_third_axis_upright(turn):
    rows = turn.matrix
    np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rows) == pytest.approx(1)
    assert rows[0, 2] == pytest.approx(0)
    assert rows[1, 2] >= -1e-12


def test_from_above_the_first_two_axes_lie_across_and_up():
    points = np.random.default_rng(0).normal(size=(9, 3))
    seen = seen_from(Turn(-90, 90), points, np.zeros(3))
    np.testing.assert_allclose(seen, points, atol=1e-12)


def test_the_eye_goes_round_and_not_over_a_pole():
    assert Turn(170, 0).turned(20, 0) == Turn(-170, 0)
    assert Turn(0, 80).turned(0, 30) == Turn(0, 90)
    assert Turn(0, -80).turned(0, -30) == Turn(0, -90)
    assert Turn(-60, 25).said == "azimuth −60°, elevation 25°"


@pytest.mark.parametrize("turn", TURNS)
def test_a_covariance_is_seen_as_that_of_the_points_that_are_seen(turn):
    root = np.random.default_rng(1).normal(size=(3, 3))
    points = np.random.default_rng(2).normal(size=(500, 3)) @ root.T
    seen = seen_from(turn, points, np.zeros(3))[:, :2]
    given = np.cov(points.T)
    np.testing.assert_allclose(spread_from(turn, given[None])[0], np.cov(seen.T), atol=1e-9)


def test_a_far_point_and_one_that_is_no_number_do_not_move_the_middle():
    cloud = np.random.default_rng(3).normal(size=(1000, 3)) + (5, 0, 0)
    cloud[0], cloud[1] = 1e6, np.nan
    centre, radius = middle_of(cloud)
    np.testing.assert_allclose(centre, (5, 0, 0), atol=0.4)
    assert 2 < radius < 6
    assert middle_of(np.empty((0, 3)))[1] == 0


# --- dots in depth -------------------------------------------------------------------------------


def drawn(xy, depth, shades, size=(20, 20), radius=0.5, strong=None):
    x, y = np.array(xy, np.float32).T
    return Canvas(*size).splat(
        x,
        y,
        np.array(depth, np.float32),
        np.array(shades, np.uint8),
        np.array([0xFF0000, 0x00FF00, 0x0000FF], np.uint32),
        radius=radius,
        opacity=0.9,
        strong=strong,
    )


def hue(pixel):
    return int(np.argmax([(int(pixel) >> shift) & 255 for shift in (16, 8, 0)]))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_nearest_dot_gives_the_colour_in_whatever_order_they_come(order):
    depth = np.array([0.0, 1.0, 2.0])[list(order)]
    image = drawn([(10, 10)] * 3, depth, order)
    assert hue(image[10, 10]) == 2
    assert image[10, 10] >> 24 > 225
    assert np.count_nonzero(image) == 1


def test_far_dots_are_fainter_and_strong_ones_lie_before_all():
    image = drawn([(5, 5), (15, 15)], [0, 1], [0, 1])
    assert 0 < image[5, 5] >> 24 < image[15, 15] >> 24
    image = drawn([(5, 5), (5, 5)], [0, 1], [0, 1], strong=np.array([True, False]))
    assert hue(image[5, 5]) == 0
    assert image[5, 5] >> 24 > 250


def test_a_dot_covers_what_a_disc_covers_and_is_cut_at_the_edge():
    image = drawn([(10.5, 10.5), (0.5, 19.5)], [0, 0], [0, 1], radius=2.0)
    rows, columns = np.nonzero(image)
    apart = np.hypot(rows - 10, columns - 10)
    middle = apart < 6
    assert apart[middle].max() < 2.5
    assert middle.sum() >= 13
    assert hue(image[19, 0]) == 1
    assert image[:17, 0].sum() == 0  # nothing came round from the other side
    assert image[19, 4:].sum() == 0


def test_what_is_no_number_or_outside_is_left_out_and_no_dot_else():
    odd = [(np.nan, 3), (3, np.inf), (-50, 3), (3, 1e30), (7, 7)]
    image = drawn(odd, [0, 0, 0, 0, 5], [0] * 5)
    assert np.argwhere(image).tolist() == [[7, 7]]
    assert not drawn([(np.nan, 1)], [0], [0]).any()
    assert drawn([(3, 3)], [np.nan], [0]).sum() == 0


@pytest.mark.parametrize("radius", [0.8, 1.2, 2.4, 4.8])
def test_a_heap_of_dots_is_full_and_never_more(radius):
    image = drawn([(10, 10)] * 20_000, np.linspace(0, 1, 20_000), [0] * 20_000, radius=radius)
    assert image[10, 10] >> 24 >= 254
    assert int(image[10, 10] & 0xFF0000) >> 16 >= 254


def test_lengths_are_round():
    assert [round_length(scale, 96) for scale in (1, 10, 47, 49, 3000)] == [50, 5, 2, 1, 0.02]


# --- the map -------------------------------------------------------------------------------------


def test_points_stand_where_they_are_seen_and_everything_fits_from_every_side(plot, qtbot):
    for turn in TURNS:
        plot.set_turn(turn)
        seen = seen_from(turn, np.eye(3), plot.cloud.centre)[:, :2]
        np.testing.assert_allclose(plot.drawn_positions(), seen, atol=1e-9)
        at = plot.pixels()
        assert ((at > 0) & (at < (400, 300))).all()
        assert plot.range == plot.fitted()
        plot.grab()


def test_dragging_turns_what_is_in_front_with_the_mouse(plot, qtbot):
    plot.set_turn(Turn(0, 0))  # the first axis points at the eye
    front = np.array([[2.0, 0, 0]])
    turns = []
    plot.turned.connect(lambda: turns.append(plot.turn))
    QTest.mousePress(plot, Qt.MouseButton.LeftButton, pos=QPoint(200, 150))
    for by in (12, 24, 36):
        QTest.mouseMove(plot, QPoint(200 + by, 150 + by // 2))
        plot.grab()
    QTest.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=QPoint(236, 168))
    assert len(turns) >= 3
    x, y, _ = seen_from(plot.turn, front, np.zeros(3))[0]
    assert x > 0.1
    assert y < 0
    assert not plot.by_hand


def test_the_middle_of_what_is_looked_at_stays_while_it_is_turned(plot):
    plot.set_turn(Turn(0, 0))
    plot.zoom(6)
    plot.pan(QPointF(-80, 120))
    middle = plot.range
    plot.set_turn(Turn(60, 30))
    plot.set_turn(Turn(0, 0))
    assert (plot.range.x, plot.range.y) == pytest.approx((middle.x, middle.y))
    plot.set_turn(Turn(60, 30))
    there = np.array([[middle.x, middle.y]]) @ Turn(0, 0).matrix[:2]
    seen = seen_from(Turn(60, 30), there, np.zeros(3))[0]
    assert (plot.range.x, plot.range.y) == pytest.approx(tuple(seen[:2]))


def test_ctrl_moves_and_a_double_click_shows_everything_as_at_first(plot, qtbot):
    plot.drag(QPointF(30, 0), Qt.KeyboardModifier.ControlModifier)
    assert plot.turn == HOME
    assert plot.by_hand
    plot.drag(QPointF(30, 10), NONE)
    assert plot.turn != HOME
    qtbot.mouseDClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(20, 20))
    assert plot.turn == HOME
    assert plot.range == plot.fitted()


def test_arrow_keys_turn_and_with_ctrl_they_step(plot, qtbot):
    clicked = []
    plot.pointClicked.connect(clicked.append)
    qtbot.keyClick(plot, Qt.Key.Key_Left)
    assert plot.turn == HOME.turned(STEP, 0)
    qtbot.keyClick(plot, Qt.Key.Key_Down)
    assert plot.turn == HOME.turned(STEP, STEP)
    assert not clicked
    qtbot.keyClick(plot, Qt.Key.Key_Right, Qt.KeyboardModifier.ControlModifier)
    assert clicked == [0]
    qtbot.keyClick(plot, Qt.Key.Key_End)
    assert clicked == [0, 2]
    qtbot.keyClick(plot, Qt.Key.Key_0)
    assert plot.turn == HOME


def test_on_a_plane_the_same_keys_and_the_mouse_do_what_they_always_did(plot, qtbot):
    plot.set_axes("z₁", "z₂")
    plot.set_cloud(np.zeros((5, 2)))
    plot.set_points(np.eye(2), ("a", "b"))
    assert not plot.solid
    clicked = []
    plot.pointClicked.connect(clicked.append)
    qtbot.keyClick(plot, Qt.Key.Key_Right)
    assert clicked == [0]
    plot.drag(QPointF(30, 10), NONE)
    assert plot.turn == HOME
    assert plot.by_hand
    plot.set_turn(Turn(0, 0))
    assert plot.turn == HOME
    np.testing.assert_array_equal(plot.drawn_positions(), np.eye(2))


def test_the_dot_in_front_is_meant(plot):
    cloud = np.array([[0.0, 0, 1], [0, 0, -1], [5, 5, 5], [-5, -5, -5]])
    plot.set_points(np.empty((0, 3)), ())
    plot.set_cloud(cloud, None)
    for elevation, front in ((90, 0), (-90, 1)):
        plot.set_turn(Turn(-90, elevation))
        at = plot.seen.to_pixels(plot.cloud.xy[0], 400, 300)
        assert plot.dot_at(QPointF(*at)) == front


def test_what_is_drawn_round_goes_through_the_whole_depth(plot, qtbot):
    plot.lasso_button.show()
    plot.set_turn(Turn(-90, 90))  # both halves of the cloud lie behind each other
    shift = Qt.KeyboardModifier.ShiftModifier
    QTest.mousePress(plot, Qt.MouseButton.LeftButton, shift, QPoint(60, 10))
    for corner in ((340, 10), (340, 290), (60, 290)):
        QTest.mouseMove(plot, QPoint(*corner))
    QTest.mouseRelease(plot, Qt.MouseButton.LeftButton, shift, QPoint(60, 200))
    assert len(plot.group.cloud) == 400
    assert plot.group.tokens.tolist() == [0, 1, 2]


def test_near_dots_hide_far_ones_from_either_side(plot):
    plot.set_cloud_colours([theme.category(0), theme.category(1)])
    hues = []
    for elevation in (90, -90):
        plot.set_turn(Turn(-90, elevation))
        image = pixels_of(plot)[100:200, 150:250].reshape(-1, 3)
        vivid = image[np.ptp(image, axis=1) > 60]
        hues.append(vivid.mean(axis=0))
    blue, orange = 0, 2
    assert hues[0][blue] > hues[0][orange]
    assert hues[1][blue] < hues[1][orange]


def test_what_moves_is_drawn_anew_and_what_rests_is_kept(plot):
    plot.grab()
    drawings = plot.cloud.drawings
    plot.hover_at(QPointF(3, 3))
    plot.grab()
    assert plot.cloud.drawings == drawings
    before = pixels_of(plot)
    plot.drag(QPointF(40, 0), NONE)
    assert (pixels_of(plot) != before).any()
    assert plot.cloud.drawings == drawings + 1


@pytest.mark.parametrize("count", [0, 1, 90, 300])
@pytest.mark.parametrize("kind", ["normal", "alike", "nan", "huge", "no cloud"])
def test_nothing_is_too_odd_to_be_turned(plot, count, kind):
    xyz = np.random.default_rng(0).normal(size=(count, 3))
    spread = np.tile(np.eye(3), (count, 1, 1))
    if kind == "alike":
        xyz[:], spread[:] = 1, 0
    elif kind == "nan":
        xyz[:], spread[:] = np.nan, np.nan
    elif kind == "huge":
        xyz, spread = xyz * 1e30, spread * 1e60
    elif kind == "no cloud":
        plot.set_cloud(np.empty((0, 3)))
    plot.set_found(np.arange(5) if len(plot.cloud) else None)
    plot.choose(np.arange(3, 9) if len(plot.cloud) else (), ())
    plot.set_points(xyz, [str(index) for index in range(count)], spread)
    QTest.mousePress(plot, Qt.MouseButton.LeftButton, pos=QPoint(200, 150))
    for by in (15, 30):
        QTest.mouseMove(plot, QPoint(200 + by, 150))
        plot.grab()
    QTest.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=QPoint(230, 150))
    plot.grab()
    assert plot.count == count
