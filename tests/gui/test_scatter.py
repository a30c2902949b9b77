"""The map of points: what is where, what the mouse and the keys do, and what is drawn anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage, QWheelEvent
from PySide6.QtWidgets import QApplication

from gui import theme
from gui.widgets.scatter import ScatterMap
from gui.widgets.token_axis import Marks

SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
NAMES = ["a", "b", "c", "d"]


@pytest.fixture(autouse=True)
def still(monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")


@pytest.fixture
def made(qtbot):
    def make(width=400, height=300, **kind):
        plot = ScatterMap("map", **kind)
        qtbot.addWidget(plot)
        plot.resize(width, height)
        plot.show()
        return plot

    return make


@pytest.fixture
def themes(qapp):
    before = qapp.palette()
    yield lambda which: qapp.setPalette(theme.palette(which))
    qapp.setPalette(before)


def pixels_of(widget) -> np.ndarray:
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    flat = np.frombuffer(image.constBits(), np.uint8)
    return flat.reshape(image.height(), image.width(), 4)[..., 2::-1].astype(int)


def unlike(picture, colour, least=40):
    rgb = QColor(colour).getRgb()[:3]
    return np.abs(picture - np.array(rgb)).sum(-1) > least


def like(picture, colour, most=24):
    return ~unlike(picture, colour, most)


def wheel(plot, at, steps):
    event = QWheelEvent(
        at,
        QPointF(plot.mapToGlobal(at.toPoint())),
        QPoint(),
        QPoint(0, 120 * steps),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(plot, event)


# --- mouse and keys ------------------------------------------------------------------------------


def test_hovering_and_clicking_find_the_point(made, qtbot):
    plot = made()
    plot.set_points(SQUARE, NAMES)
    hovered, clicked = [], []
    plot.pointHovered.connect(hovered.append)
    plot.pointClicked.connect(clicked.append)
    qtbot.mouseMove(plot, plot.position_of(2).toPoint())
    qtbot.mouseMove(plot, QPoint(200, 150))
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=plot.position_of(1).toPoint())
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(200, 150))
    assert hovered[:2] == [2, -1]
    assert clicked == [1]


def test_dragging_pans_and_does_not_click(made, qtbot):
    plot = made()
    plot.set_points(SQUARE, NAMES)
    clicked = []
    plot.pointClicked.connect(clicked.append)
    start = plot.position_of(0)
    qtbot.mousePress(plot, Qt.MouseButton.LeftButton, pos=start.toPoint())
    for step in (20, 40, 60):
        qtbot.mouseMove(plot, start.toPoint() + QPoint(step, -10))
    end = start.toPoint() + QPoint(60, -10)
    qtbot.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=end)
    moved = plot.position_of(0) - start
    assert (moved.x(), moved.y()) == pytest.approx((60, -10), abs=1)
    assert not clicked


def test_wheel_and_keys_zoom_and_fit(made, qtbot):
    plot = made()
    plot.set_points(SQUARE, NAMES)
    fitted = plot.range
    anchor = plot.position_of(2)
    wheel(plot, anchor, 2)
    assert plot.range.scale == pytest.approx(fitted.scale * 1.44)
    assert (plot.position_of(2) - anchor).manhattanLength() < 1e-6
    qtbot.keyClick(plot, Qt.Key.Key_0)
    assert plot.range == fitted
    qtbot.keyClick(plot, Qt.Key.Key_Plus)
    assert plot.range.scale == pytest.approx(fitted.scale * 1.5)
    qtbot.keyClick(plot, Qt.Key.Key_Minus)
    assert plot.range.scale == pytest.approx(fitted.scale)
    qtbot.keyClick(plot, Qt.Key.Key_Plus)
    qtbot.mouseClick(plot.fit_button, Qt.MouseButton.LeftButton)
    assert plot.range == fitted
    qtbot.keyClick(plot, Qt.Key.Key_Plus)
    qtbot.mouseDClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(50, 50))
    assert plot.range == fitted


def test_zoom_has_ends(made):
    plot = made()
    plot.set_points(SQUARE, NAMES)
    fitted = plot.range.scale
    for _ in range(200):
        plot.zoom(3.0)
    assert plot.range.scale <= fitted * 2001
    plot.grab()
    for _ in range(200):
        plot.zoom(1 / 3)
    assert plot.range.scale >= fitted / 21
    plot.grab()


def test_arrows_step_in_reading_order(made, qtbot):
    plot = made()
    plot.set_points(SQUARE[[2, 0, 3, 1]], NAMES)
    clicked = []

    def follow(index):
        clicked.append(index)
        plot.set_marks(Marks(selected=index))

    plot.pointClicked.connect(follow)
    keys = ("Right", "Right", "Down", "Left", "Up", "End", "Right", "Home", "Left")
    for key in keys:
        qtbot.keyClick(plot, getattr(Qt.Key, f"Key_{key}"))
    assert clicked == [0, 1, 2, 1, 0, 3, 0]
    assert plot.accessibleDescription() == "a, point 1 of 4"


# --- the range while typing ----------------------------------------------------------------------


def test_range_stays_while_points_are_inside_and_follows_when_they_leave(made):
    plot = made()
    plot.set_points(SQUARE, NAMES)
    before = plot.range
    plot.set_points([*SQUARE, [0.3, 0.2]], [*NAMES, "e"])
    assert plot.range == before
    plot.set_points([*SQUARE, [9.0, 0.2]], [*NAMES, "e"])
    assert plot.range != before
    assert plot.rect().contains(plot.position_of(4).toPoint())
    plot.set_points(SQUARE * 0.01, NAMES)
    assert plot.range.scale > before.scale * 10


def test_a_chosen_part_is_left_alone(made):
    plot = made()
    plot.set_points(SQUARE, NAMES)
    plot.zoom(6.0)
    chosen = plot.range
    plot.set_points([*SQUARE, [9.0, 9.0]], [*NAMES, "e"])
    assert plot.range == chosen
    plot.fit()
    assert plot.rect().contains(plot.position_of(4).toPoint())


def test_a_move_is_short_and_ends_where_it_should(made, qtbot, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "0")
    plot = made(joined=True)
    plot.set_points(SQUARE, NAMES)
    start = plot.seen
    plot.set_points([*SQUARE, [9.0, 0.0]], [*NAMES, "e"])
    assert plot._motion.duration() < 150
    assert plot.seen == start
    np.testing.assert_array_equal(plot.drawn_positions()[4], SQUARE[3])
    qtbot.waitUntil(lambda: plot.share == 1.0)
    assert plot.seen == plot.range
    np.testing.assert_array_equal(plot.drawn_positions()[4], [9, 0])


# --- painting ------------------------------------------------------------------------------------


def test_an_ellipse_is_drawn_as_wide_and_as_high_as_its_covariance_says(made, themes):
    themes(theme.LIGHT)
    plot = made(500, 500)
    xy = np.array([[0.5, 1.0], *SQUARE * 8])
    plot.set_points(xy, [""] * 5)
    bare = pixels_of(plot)
    spread = np.full((5, 2, 2), np.nan)
    spread[0] = np.diag([9.0, 4.0])
    before = plot.range
    plot.set_points(xy, [""] * 5, spread)
    assert plot.range == before
    changed = np.argwhere((pixels_of(plot) != bare).any(-1))
    scale = plot.range.scale
    height, width = changed.max(0) - changed.min(0)
    assert width == pytest.approx(2 * 3 * scale, abs=3)
    assert height == pytest.approx(2 * 2 * scale, abs=3)
    middle = (changed.max(0) + changed.min(0)) / 2
    assert middle[::-1] == pytest.approx(plot.position_of(0).toTuple(), abs=2)


def test_the_path_joins_neighbours_in_reading_order(made, themes):
    themes(theme.DARK)
    plot = made(400, 400, joined=True)
    plot.set_points(SQUARE, [""] * 4)
    joined = pixels_of(plot)
    plot.joined = False
    changed = (pixels_of(plot) != joined).any(-1)

    def on(a, b):
        middle = (plot.position_of(a) + plot.position_of(b)) / 2
        x, y = round(middle.x()), round(middle.y())
        return (
            joined[y - 1 : y + 2, x - 1 : x + 2].max() * changed[y - 1 : y + 2, x - 1 : x + 2].any()
        )

    assert 0 < on(0, 1) < on(1, 2) < on(2, 3)
    assert not on(3, 0)
    assert not on(0, 2)


def test_marks_are_seen(made, themes):
    themes(theme.DARK)
    plot = made()
    plot.set_points(SQUARE, NAMES)
    colours = theme.DARK
    assert not like(pixels_of(plot), colours.accent).any()
    plot.set_marks(Marks(selected=1))
    x, y = plot.position_of(1).toTuple()
    assert like(pixels_of(plot), colours.accent)[round(y), round(x)]
    plot.set_marks(Marks(pinned=frozenset({1})))
    ring = like(pixels_of(plot), colours.accent, 60)
    assert ring.any()
    assert not ring[round(y), round(x)]
    plot.set_marks(Marks(hovered=1))
    picture = pixels_of(plot)
    assert like(picture, colours.hover, 60).any()
    assert not like(picture, colours.accent).any()


@pytest.mark.parametrize(("word", "side"), [("abc", 1), ("a word at the right", -1)])
def test_a_hovered_points_label_stands_there_once(made, themes, word, side):
    themes(theme.DARK)
    plot = made()
    plot.set_points(SQUARE * (2.5, 1), ["left", word, "", ""])
    before = pixels_of(plot)
    label, at = plot.written[1], plot.position_of(1)
    assert (label.center().x() - at.x()) * side > 0
    plot.set_marks(Marks(hovered=1))
    after = pixels_of(plot)
    x, y = label.topLeft().toPoint().toTuple()
    inner = after[y + 1 : y + 11, x + 1 : x + int(label.width()) - 1]
    assert not like(inner, theme.DARK.panel, 3).any()
    across = np.argwhere((after != before).any(-1))[:, 1]
    # Nothing but the ring on the point's other side.
    assert (across * side).min() > at.x() * side - 12


def test_crowded_labels_are_dropped_but_marked_ones_stay(made):
    plot = made()
    dice = np.random.default_rng(0)
    plot.set_points(dice.normal(0, 1, (200, 2)), [f"word{i}" for i in range(200)])
    plot.grab()
    written = set(plot.written)
    assert 5 < len(written) < 150
    crowded = [int(i) for i in set(range(200)) - written][:3]
    plot.set_marks(Marks(selected=crowded[0], pinned=frozenset(crowded[1:])))
    plot.grab()
    assert set(crowded) <= set(plot.written)


def test_the_cloud_is_drawn_once_for_each_range(made):
    plot = made()
    dice = np.random.default_rng(0)
    plot.set_points(SQUARE, NAMES)
    cloud, kinds = dice.normal(0, 1, (5000, 2)), dice.integers(0, 3, 5000)
    plot.set_cloud(cloud, kinds)
    plot.grab()
    assert plot.cloud.drawings == 1
    plot.set_marks(Marks(0, 1, frozenset({2})))
    plot.set_cloud(cloud.copy(), kinds.copy())
    plot.set_points(SQUARE * 0.9, NAMES)
    plot.grab()
    assert plot.cloud.drawings == 1
    plot.zoom(1.5)
    plot.grab()
    plot.grab()
    assert plot.cloud.drawings == 2
    plot.set_cloud_colours(["#ff0000", None, "#00ff00"])
    plot.grab()
    assert plot.cloud.drawings == 3


def test_the_same_points_again_are_not_painted_again(made):
    plot = made()
    spread = np.tile(np.eye(2), (4, 1, 1))
    plot.set_points(SQUARE, NAMES, spread)
    plot.grab()
    base = plot._base
    plot.set_points(SQUARE.copy(), list(NAMES), spread.copy())
    plot.grab()
    assert plot._base is base
    for changed in ((SQUARE * 0.9, NAMES, spread), (SQUARE, NAMES[::-1], spread), (SQUARE, NAMES)):
        plot.set_points(*changed)
        plot.grab()
        assert plot._base is not base
        base = plot._base


def test_colours_of_the_cloud_are_those_of_its_categories(made, themes):
    themes(theme.LIGHT)
    plot = made()
    plot.set_points(SQUARE, [""] * 4)
    plot.set_cloud(np.tile([[0.1, 0.2], [0.7, 0.6]], (200, 1)), np.tile([0, 1], 200))
    plot.set_cloud_colours(["#ff0000", None])
    picture = pixels_of(plot)
    at = plot.range.to_pixels(np.array([[0.1, 0.2], [0.7, 0.6]]), 400, 300).astype(int)
    red, grey = (picture[y, x] for x, y in at)
    assert red[0] > 200
    assert red[1] < 60
    assert np.ptp(grey) < 40


def test_dark_and_light_paint_different_pixels(made, themes):
    plot = made()
    pictures = []
    plot.set_points(SQUARE, NAMES, np.tile(np.eye(2) * 0.1, (4, 1, 1)))
    plot.set_cloud(SQUARE * 0.5)
    for which in (theme.DARK, theme.LIGHT):
        themes(which)
        pictures.append(pixels_of(plot))
    assert like(pictures[0], theme.DARK.panel).mean() > 0.5
    assert like(pictures[1], theme.LIGHT.panel).mean() > 0.5


@pytest.mark.parametrize("count", [0, 1, 2, 600])
@pytest.mark.parametrize("kind", ["plain", "alike", "nan", "some nan", "huge", "far"])
def test_nothing_is_too_odd_to_be_drawn(made, count, kind):
    plot = made(520, 260, joined=True)
    plot.set_message("Nothing yet")
    xy = np.random.default_rng(0).normal(0, 1, (count, 2))
    if kind == "alike":
        xy = np.full((count, 2), 3.25)
    elif kind == "nan":
        xy[:] = np.nan
    elif kind == "some nan":
        xy[::2, 0] = np.inf
    elif kind == "huge":
        xy *= 1e37
    elif kind == "far":
        xy = xy * 1e-6 + 1e6
    spread = np.tile(np.eye(2), (count, 1, 1)) * (np.nan if kind == "nan" else 0.01)
    names = [f"word{i}" for i in range(count)]
    for _ in range(2):
        plot.set_points(xy.astype(np.float32), names, spread.astype(np.float32))
        plot.set_cloud(xy[: count // 2])
        plot.set_marks(Marks(0, count, frozenset({1, 700})))
        plot.grab()
    plot.zoom(30)
    plot.grab()
    assert plot.count == count
    plot.set_points(np.empty((0, 2)), ())
    plot.grab()


def test_what_does_not_fit_together_is_refused(made):
    plot = made()
    with pytest.raises(ValueError, match="labels"):
        plot.set_points(SQUARE, ["a"])
    with pytest.raises(ValueError, match="covariances"):
        plot.set_points(SQUARE, NAMES, np.eye(2))
    with pytest.raises(ValueError, match="categories"):
        plot.set_cloud(SQUARE, [1, 2])


@settings(max_examples=8, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_text_is_a_label(qtbot_plot, names):
    qtbot_plot.set_points(np.arange(2.0 * len(names)).reshape(-1, 2), names)
    qtbot_plot.grab()
    assert qtbot_plot.count == len(names)


@pytest.fixture(scope="module")
def qtbot_plot(qapp):
    plot = ScatterMap("map")
    plot.resize(300, 200)
    yield plot
    plot.deleteLater()


# --- what a letter draws anew ------------------------------------------------------------------


def walk(count, seed=0):
    dice = np.random.default_rng(seed)
    return np.cumsum(dice.normal(0, 1, (count, 2)), axis=0) % 9


def spread(count):
    return np.tile(np.eye(2) * 0.1, (count, 1, 1))


def test_a_letter_draws_neither_ground_nor_old_points_anew(made):
    plot = made(joined=True)
    plot.set_cloud(walk(500, 1))
    xy = walk(400)
    names = [f"t{i}" for i in range(400)]
    plot.set_points(xy, names, spread(400))
    pixels_of(plot)
    ground, clouds, measured = plot._ground, plot.cloud.drawings, plot._fitted.measured
    assert plot._old_points.drawings == 0  # nobody may ever see them there again
    for letter in range(5):
        moved = xy.copy()
        moved[-1] += 0.1 * (letter + 1)
        plot.set_points(moved, [*names[:-1], f"t{letter}"], spread(400))
        pixels_of(plot)
    assert plot._ground is ground
    assert (plot._old_points.drawings, plot.cloud.drawings) == (1, clouds)
    assert plot._fitted.measured == measured + 5


edits = st.lists(
    st.tuples(
        st.sampled_from(["type", "grow", "cut", "mark", "zoom", "elsewhere"]), st.integers(0)
    ),
    min_size=1,
    max_size=6,
)


@settings(
    max_examples=15,
    deadline=None,
    # The widgets of all examples are closed together.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from([40, 200, 300]), edits, st.booleans())
def test_what_is_kept_of_earlier_pictures_never_shows(qtbot, count, edits, joined):
    kept = ScatterMap("kept", joined=joined)
    qtbot.addWidget(kept)
    kept.resize(300, 200)
    xy = walk(count)
    names = [f"w{i % 37}" for i in range(count)]
    marks = Marks()
    kept.set_cloud(walk(300, 2), np.arange(300) % 3)
    kept.set_points(xy, names, spread(count))
    kept.grab()
    for what, number in edits:
        if what == "type":
            xy = xy.copy()
            xy[-1] = walk(1, number % 1000)[0]
            names = [*names[:-1], f"n{number % 10}"]
        elif what == "grow":
            xy = np.concatenate([xy, walk(1 + number % 40, number % 1000)])
            names = names + [f"g{i}" for i in range(len(xy) - len(names))]
        elif what == "cut":
            keep = 1 + number % len(xy)
            xy, names = xy[:keep], names[:keep]
        elif what == "elsewhere":
            xy = walk(len(xy), number % 1000)
        elif what == "mark":
            marks = Marks(selected=number % (2 * len(xy)), pinned=frozenset({number % 5}))
        else:
            kept.zoom(0.8 + number % 5 / 5, QPointF(100, 80))
        kept.set_points(xy, names, spread(len(xy)))
        kept.set_marks(marks)
        kept.grab()
    fresh = ScatterMap("fresh", joined=joined)
    qtbot.addWidget(fresh)
    fresh.resize(300, 200)
    fresh.set_cloud(walk(300, 2), np.arange(300) % 3)
    fresh.set_points(xy, names, spread(len(xy)))
    fresh.by_hand = True  # else the range is fitted whenever a hidden widget is painted
    fresh.go_to(kept.range, animated=False)
    fresh.set_marks(marks)
    np.testing.assert_array_equal(pixels_of(kept), pixels_of(fresh))
    assert kept.written == fresh.written
