"""The arithmetic of the map of points: ellipses, ranges, paths, ticks, labels and the cloud."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gui.widgets import scatter_geometry as geometry
from gui.widgets.scatter_geometry import LabelPlacer, Range

SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
NAMES = ["a", "b", "c", "d"]


def test_axes_of_known_covariances():
    turn = math.radians(30)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    tilted = rotation @ np.diag([16.0, 1.0]) @ rotation.T
    axes = geometry.ellipse_axes(np.stack([np.diag([9.0, 4.0]), np.diag([1.0, 25.0]), tilted]))
    axes[1, 2] = abs(axes[1, 2])
    np.testing.assert_allclose(axes, [(3, 2, 0), (5, 1, math.pi / 2), (4, 1, turn)], atol=1e-12)


def test_a_covariance_that_is_no_number_has_no_ellipse():
    spread = np.stack([np.full((2, 2), np.nan), np.full((2, 2), np.inf), np.eye(2)])
    axes = geometry.ellipse_axes(spread)
    assert np.isnan(axes[:2]).all()
    np.testing.assert_array_equal(axes[2, :2], 1)


def test_rounding_below_zero_is_a_line():
    major, minor, _ = geometry.ellipse_axes(np.array([[[1.0, 1.0 + 1e-9], [1.0 + 1e-9, 1.0]]]))[0]
    assert major == pytest.approx(math.sqrt(2))
    assert minor == 0


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e5),
    st.floats(0, 500),
    st.floats(0, 500),
    st.floats(0.1, 10),
)
def test_zooming_leaves_what_is_under_the_mouse(x, y, scale, px, py, factor):
    before = Range(x, y, scale)
    after = before.zoomed(factor, px, py, 500, 500)
    error = 1e-9 * (abs(x) + abs(y) + 1) + 1e-6 / scale
    assert after.to_map(px, py, 500, 500) == pytest.approx(
        before.to_map(px, py, 500, 500), abs=error
    )


@given(arrays.arrays(np.float64, (7, 2), elements=st.floats(-1e30, 1e30)))
def test_a_fitted_range_shows_all_points_at_one_scale(xy):
    fitted = geometry.fit(geometry.bounds(xy), 300, 200, 20)
    at = fitted.to_pixels(xy, 300, 200)
    assert (at > -1).all()
    assert (at < (301, 201)).all()


def test_steps_of_a_path_rise_from_old_to_new():
    for count in (2, 3, 13, 600):
        strengths = geometry.path_strengths(count)
        assert len(strengths) == count - 1
        assert (np.diff(strengths) > 0).all()
        assert strengths.min() > 0
        assert strengths.max() <= 1
    assert len(geometry.path_strengths(0)) == len(geometry.path_strengths(1)) == 0


def test_steps_of_a_path_end_not_far_beyond_the_map():
    at = np.array(
        [
            [5, 5],
            [1e30, 5],
            [50, 1e9],
            [50, -1e9],
            [np.nan, 1],
            [9, 9],
            [9, 9],
            [-900, 9],
            [-900, 0],
        ]
    )
    steps, starts, ends = geometry.clipped_steps(at, 100, 80, beyond=10)
    assert steps.tolist() == [0, 2, 5, 6]
    np.testing.assert_allclose(starts, [[5, 5], [50, 90], [9, 9], [9, 9]], atol=1e-5)
    np.testing.assert_allclose(ends, [[110, 5], [50, -10], [9, 9], [-10, 9]], atol=1e-5)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
def test_ticks_are_round_few_and_apart(low, scale):
    values, decimals = geometry.ticks(low, low + 400 / scale, scale)
    assert len(values) <= 8
    assert all(b - a >= 64 / scale * (1 - 1e-6) for a, b in pairwise(values))
    assert len({f"{value:.{decimals}f}" for value in values}) == len(values)


def test_labels_never_overlap():
    dice = np.random.default_rng(0)
    placer = LabelPlacer(400, 300)
    boxes = []
    for x, y in dice.uniform(0, (400, 300), (300, 2)):
        place = placer.place(x, y, 40, 12)
        if place is not None:
            boxes.append((*place, place[0] + 40, place[1] + 12))
    assert 20 < len(boxes) < 300
    for i, a in enumerate(boxes):
        assert a[0] >= 0
        assert a[1] >= 0
        assert a[2] <= 400
        assert a[3] <= 300
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.sampled_from([7.5, 10.5]))
def test_placing_all_labels_at_once_is_placing_one_after_the_other(seed, count, gap):
    dice = np.random.default_rng(seed)
    at, widths = dice.uniform(-30, (430, 330), (count, 2)), dice.uniform(5, 120, count)
    one, other = LabelPlacer(400, 300), LabelPlacer(400, 300)
    one.take_points(at[::2], 2.5)
    for x, y in at[::2]:
        other.take(x - 2.5, y - 2.5, 5, 5)
    np.testing.assert_array_equal(one._taken, other._taken)
    found = one.place_all(at, widths, 13.0, gap)
    singly = [other.place(x, y, w, 13.0, gap=gap) for (x, y), w in zip(at, widths, strict=True)]
    assert found == [(i, *place) for i, place in enumerate(singly) if place is not None]
    np.testing.assert_array_equal(one._taken, other._taken)


def test_a_label_at_the_right_edge_stands_at_the_left_of_its_point():
    placer = LabelPlacer(400, 300)
    placer.take(0, 0, 400, 300)
    assert placer.place(390, 150, 60, 12, gap=8, force=True) == (390 - 8 - 60, 144)
    assert placer.place(100, 150, 60, 12, gap=8, force=True) == (108, 144)


def test_the_cloud_is_where_its_dots_are():
    dots = np.array([[5.5, 7.5], [5.5, 7.5], [20.5, 3.5], [np.nan, 1], [1e9, 1], [-50, -50]])
    colours = np.array([0xFF0000, 0xFF0000, 0x00FF00, 1, 1, 1], np.uint32)
    image = geometry.rasterise(dots, 30, 10, colours, radius=0.6, opacity=0.5)
    alpha = image >> 24
    assert image.shape == (10, 30)
    assert alpha[7, 5] > alpha[3, 20] > 100
    assert (image[3, 20] >> 8) & 255 > 100
    assert alpha.sum() == alpha[5:10, 3:8].sum() + alpha[1:6, 18:23].sum()


def test_no_dot_no_cloud():
    assert not geometry.rasterise(
        np.empty((0, 2)), 8, 8, np.empty(0, np.uint32), radius=1, opacity=0.5
    ).any()


def test_new_points_grow_out_of_the_one_before():
    old = np.array([[0.0, 0.0], [1.0, 1.0]])
    new = np.array([[5.0, 5.0], [6.0, 6.0], [7.0, 7.0], [np.nan, np.nan]])
    start = geometry.moved_from(old, new, [True, True, False, False])
    np.testing.assert_array_equal(start[:3], [[0, 0], [1, 1], [1, 1]])
    assert np.isnan(start[3]).all()
