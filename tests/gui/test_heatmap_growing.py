"""Maps that gain and lose tokens: cells stay where they are, and only what changed is painted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QPointF, QRectF
from PySide6.QtGui import QImage, QPainter, QRegion
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from gui import theme
from gui.widgets.bars import LengthColumn
from gui.widgets.hatch import draw_hatch
from gui.widgets.heatmap import HeatMap
from gui.widgets.tiles import Tiles
from gui.widgets.token_axis import LabelAxis, Marks
from gui.widgets.zoom import CROWDED, Zoom, roomy

MOST = 1100
NAMES = [f"token{index}" if index % 7 else "t" for index in range(MOST)]


def fixed(values: np.ndarray) -> np.ndarray:
    made = np.array(values, np.float32)
    made.flags.writeable = False
    return made


NUMBERS = 0.9 * np.random.default_rng(5).random((MOST, MOST), np.float32)
NUMBERS[0, 0] = 1.0  # the largest is always among what stays


class Screen:
    """A heat map and what a screen shows of it: only what it asks to have painted is."""

    def __init__(self, qtbot: QtBot | None, size: tuple[int, int], ratio: float) -> None:
        self.map = HeatMap()
        if qtbot is not None:
            qtbot.addWidget(self.map)
        self.map.resize(*size)
        self.map.devicePixelRatioF = lambda: ratio  # type: ignore[method-assign]
        self.map.update = self._note  # type: ignore[method-assign]
        self.asked = QRegion(self.map.rect())
        self.shown = self._blank()

    def _blank(self) -> QImage:
        ratio = self.map.devicePixelRatioF()
        image = QImage(self.map.size() * ratio, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(ratio)
        image.fill(0)
        return image

    def _note(self, place: QRegion | None = None) -> None:
        self.asked += self.map.rect() if place is None else place

    def paint(self) -> QImage:
        """Bring the screen up to date."""
        if not self.asked.isEmpty():
            painter = QPainter(self.shown)
            self.map.render(painter, self.asked.boundingRect().topLeft(), self.asked)
            painter.end()
        self.asked = QRegion()
        return self.shown

    def at_once(self) -> QImage:
        """What the screen would show if all was painted now."""
        self.map._picture.tiles = Tiles()
        self.map._renew()
        image = self._blank()
        painter = QPainter(image)
        self.map.render(painter, QPoint())
        painter.end()
        return image


def grow(screen: Screen, rows: int, columns: int | None = None, values=NUMBERS) -> None:
    """Show the first rows; as many columns, causal and with labels, if there is no other number."""
    heat, across = screen.map, rows if columns is None else columns
    heat.set_labels(NAMES[:rows], NAMES[:rows] if columns is None else None)
    heat.set_data(fixed(values[:rows, :across]), causal=columns is None)


# --- how many cells have room --------------------------------------------------------------------


@given(st.integers(0, 10_000))
def test_room_is_kept_for_a_32nd_more_at_most(count):
    assert count <= roomy(count) <= max(count, count * 33 / 32)
    assert roomy(count) <= roomy(count + 1)
    assert roomy(roomy(count)) == roomy(count)
    assert count >= CROWDED or roomy(count) == count


def test_room_seldom_changes_and_leaves_what_models_are_wide_alone():
    assert len({roomy(count) for count in range(1025, 2049)}) == 32
    assert roomy(1027) == 1056
    for width in (128, 256, 288, 320, 384, 512, 576, 768, 896, 960, 1024, 1536, 2048, 4096):
        assert roomy(width) == width


def test_an_axis_that_does_not_grow_or_is_magnified_has_no_room_to_spare():
    zoom = Zoom(1027)
    assert zoom.room == 1056
    zoom.magnify(2, anchor=0, least=10)
    assert zoom.room == zoom.span == 513.5
    zoom.fit()
    zoom.grows = False
    assert zoom.room == 1027


# --- where things are ----------------------------------------------------------------------------


def test_cells_keep_their_places_while_tokens_come(qtbot):
    screen = Screen(qtbot, (638, 215), 1.0)
    heat, places, ends = screen.map, set(), []
    for count in range(1025, 1057):
        grow(screen, count)
        places.add(heat.cell_rect(777, 888).getRect())
        ends.append(heat.plot_rect().right())
        assert abs(heat.cell_rect(0, count - 1).right() - ends[-1]) < 1
    assert len(places) == 1
    assert ends == sorted(ends)
    assert ends[-1] - ends[0] > 10
    grow(screen, 1057)
    assert heat.cell_rect(777, 888).getRect() not in places
    assert heat.plot_rect().right() > 638 * 0.95


def test_few_cells_fill_their_room(qtbot):
    screen = Screen(qtbot, (638, 215), 1.0)
    for count in (10, 20, 127):
        grow(screen, count)
        assert screen.map.plot_rect().right() == 634
        assert screen.map.plot_rect().bottom() == 215 - 28


def test_columns_that_do_not_grow_fill_their_room(qtbot):
    screen = Screen(qtbot, (638, 215), 1.0)
    screen.map.set_growing(rows=True, columns=False)
    grow(screen, 1027, 300)
    plot = screen.map.plot_rect()
    assert plot.right() == 634
    assert plot.bottom() < 215 - 28


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
def test_the_cell_at_a_place_is_the_one_that_is_drawn_there(qtbot, ratio):
    screen = Screen(qtbot, (638, 215), ratio)
    for count in (150, 1027, 1056):
        grow(screen, count)
        heat = screen.map
        for cell in ((0, 0), (count - 1, count - 1), (count // 2, 3)):
            assert heat.cell_at(heat.cell_rect(*cell).center()) == cell
        plot = heat.plot_rect()
        assert heat.cell_at(plot.bottomRight() - QPointF(0.01, 0.01)) == (count - 1, count - 1)
        assert heat.cell_at(plot.bottomRight() + QPointF(1, 1)) == (-1, -1)


@pytest.mark.parametrize("factor", [1.2, 3])
def test_what_is_under_the_mouse_stays_there_when_magnified(qtbot, factor):
    screen = Screen(qtbot, (638, 215), 1.0)
    grow(screen, 1027)
    at = screen.map.plot_rect().topLeft() + QPointF(400, 100)
    cell = screen.map.cell_at(at)
    screen.map.magnify(factor, at)
    now = screen.map.cell_at(at)
    # The picture begins on a whole dot, which several cells share.
    assert abs(now[0] - cell[0]) <= 6
    assert abs(now[1] - cell[1]) <= 2
    assert screen.map.plot_rect().right() == 634


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("count", [131, 777, 1029, 1031])
def test_the_last_cell_is_seen_whole(qtbot, count, ratio):
    screen = Screen(qtbot, (638, 215), ratio)
    values = np.full((count, count), 0.001, np.float32)
    screen.map.set_data(fixed(values), levels=(0.0, 1.0))
    dull = screen.at_once().copy()
    values[-1, -1] = 1.0
    screen.map.set_data(fixed(values), levels=(0.0, 1.0))
    lit = screen.at_once()
    corner = screen.map.plot_rect().bottomRight() * ratio
    place = (round(corner.x()) - 1, round(corner.y()) - 1)
    assert lit.pixelColor(*place) != dull.pixelColor(*place)


def test_the_gentlest_pinch_magnifies(qtbot):
    screen = Screen(qtbot, (638, 215), 1.0)
    grow(screen, 1027)
    screen.map.magnify(1.001)
    assert screen.map.plot_rect().right() == 634
    screen.map.magnify(1 / 1.01)
    assert screen.map.plot_rect().right() < 634


# --- what is painted -----------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["grow", "shrink"]), st.integers(0, 40)),
        st.tuples(st.just("change"), st.integers(0, 12)),
        st.tuples(st.just("mark"), st.integers(0, 200)),
        st.tuples(st.just("point"), st.integers(0, 200)),
        st.tuples(st.just("zoom"), st.sampled_from([0, 2, 6])),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("which", [theme.DARK, theme.LIGHT], ids=["dark", "light"])
@settings(max_examples=40, deadline=None)
@given(
    steps=STEPS,
    count=st.sampled_from([2, 20, 126, 140, 300, 1026, 1050]),
    size=st.sampled_from([(638, 215), (401, 303), (223, 181)]),
    ratio=st.sampled_from([1.0, 1.5, 2.0]),
    columns=st.sampled_from([None, None, 300]),
)
def test_the_screen_shows_what_painting_all_at_once_shows(
    qapp: QApplication, which, steps, count, size, ratio, columns
):
    before = qapp.palette()
    qapp.setPalette(theme.palette(which))
    screen, values = Screen(None, size, ratio), NUMBERS.copy()
    heat = screen.map
    heat.hasFocus = lambda: True  # type: ignore[method-assign]
    heat.set_readout(lambda row, column: f"{row}/{column}: {values[row, column]:.3f}")
    grow(screen, count, columns, values)
    screen.paint()
    for what, much in steps:
        if what == "mark":
            marks = Marks(much // 2, much, frozenset({1, much}), (much // 3, much))
            heat.set_marks(*([marks] if columns else [marks, marks]))
        elif what == "point":
            heat._point_at((min(much, count - 1), min(much // 2, count - 1)))
        elif what == "zoom":
            heat.magnify(much) if much else heat.fit()
        elif what == "change":
            values[max(1, count - much) : count] *= 0.7
        else:
            count = max(1, min(MOST, count + much * (1 if what == "grow" else -1)))
        grow(screen, count, columns, values)
        shown, painted = screen.paint().copy(), heat._picture.fixed.toImage()
        assert shown == screen.at_once()
        assert painted == heat._picture.fixed.toImage()
        screen.asked = QRegion()
    heat.deleteLater()
    qapp.setPalette(before)


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("columns", [None, 300])
@pytest.mark.parametrize("zoom", [1, 5])
def test_what_is_mended_is_what_is_painted_at_once_at_many_lengths(qtbot, ratio, columns, zoom):
    screen = Screen(qtbot, (401, 303), ratio)
    for count in (1028, 1029, 1030, 1029, 300, 301, 305, 303, 20, 21, 22, 3, 4, 3):
        grow(screen, count, columns)
        if count == 1028:
            screen.map.magnify(zoom)
        shown = screen.paint().copy()
        assert shown == screen.at_once()
        screen.asked = QRegion()


def test_the_readout_of_a_cell_that_changed_or_went_is_not_left(qtbot):
    screen, said = Screen(qtbot, (401, 303), 1.0), ["old"]
    screen.map.hasFocus = lambda: True  # type: ignore[method-assign]
    screen.map.set_readout(lambda row, column: said[0])
    for count in (30, 29, 25):
        grow(screen, 30)
        screen.map._point_at((29, 3))
        screen.paint()
        said[0] = "another one that is longer" if said[0] == "old" else "old"
        values = NUMBERS.copy()
        values[29] *= 0.5
        grow(screen, count, None, values)
        shown = screen.paint().copy()
        assert shown == screen.at_once()
        screen.asked = QRegion()


def test_a_marked_label_shows_as_soon_as_its_cell_does(qtbot):
    screen = Screen(qtbot, (638, 215), 1.0)
    grow(screen, 137)
    marks = Marks(selected=139)
    screen.map.set_labels(NAMES[:140], NAMES[:140])
    screen.map.set_marks(marks, marks)
    screen.paint()
    screen.map.set_data(fixed(NUMBERS[:140, :140]), causal=True)
    shown = screen.paint().copy()
    assert shown == screen.at_once()


@pytest.mark.parametrize("step", [1, -1])
def test_a_token_more_or_less_draws_no_tile_and_asks_for_little(qtbot, step):
    screen = Screen(qtbot, (638, 215), 1.0)
    heat = screen.map
    grow(screen, 1040)
    screen.paint()
    painted, drawn = heat._picture.fixed, heat._picture.tiles.drawn
    halves = []
    for count in range(1040 + step, 1040 + 10 * step, step):
        grow(screen, count)
        dots = sum(part.width() * part.height() for part in screen.asked)
        assert 0 < dots < 0.12 * 638 * 215  # a band below, a strip at the right, a label
        screen.paint()
        halves.append(heat._picture.raster.nbytes)
        assert heat._picture.fixed is painted
    assert heat._picture.tiles.drawn == drawn
    assert max(halves) <= 1050**2  # of no map more was shrunk than what was painted


def test_a_token_more_writes_the_labels_near_it_alone(qtbot, monkeypatch):
    screen = Screen(qtbot, (638, 215), 1.0)
    grow(screen, 1040)
    screen.paint()
    written = []
    monkeypatch.setattr(LabelAxis, "_write", lambda *args: written.append(args[-1]))
    grow(screen, 1041)
    screen.paint()
    assert len(written) < 8
    assert all(index > 800 for index in written)


def test_typing_and_deleting_gives_the_same_picture(qtbot):
    screen = Screen(qtbot, (638, 215), 1.5)
    grow(screen, 1030)
    before = screen.paint().copy()
    for count in (1031, 1057, 1058, 1056, 1031, 1030):
        grow(screen, count)
        assert count == 1030 or screen.paint() != before
    assert screen.paint() == before


def test_a_map_that_was_never_painted_is_not_taken_for_the_one_before(qtbot):
    screen = Screen(qtbot, (400, 800), 1.0)
    grow(screen, 200)
    screen.paint()
    other = NUMBERS.copy()
    other[:, 1:] = other[:, :0:-1]
    grow(screen, 200, None, other)  # all of it is new, and not painted
    other = other.copy()
    other[199] *= 0.5
    grow(screen, 200, None, other)
    shown = screen.paint().copy()
    assert shown == screen.at_once()


def test_the_hatching_is_the_same_on_small_and_large_places(qapp):
    def hatched(side: int, ratio: float) -> QImage:
        image = QImage(120, 120, QImage.Format.Format_RGB32)
        image.fill(0)
        image.setDevicePixelRatio(ratio)
        painter = QPainter(image)
        draw_hatch(painter, QRectF(0, 0, side, side), ratio)
        painter.end()
        return image.copy(0, 0, 40, 40)

    for ratio in (1.0, 1.5, 2.0):
        assert hatched(60, ratio) == hatched(70, ratio)


def test_lengths_stand_beside_their_rows(qtbot):
    screen = Screen(qtbot, (638, 215), 1.0)
    bars = LengthColumn(screen.map, "length")
    qtbot.addWidget(bars)
    bars.resize(LengthColumn.WIDTH, 215)
    for count in (1030, 1031, 1060):
        grow(screen, count, 300)
        bars.set_lengths(np.arange(count), NAMES[:count])
        for row in (0, 515, count - 1):
            assert bars.row_at(screen.map.cell_rect(row, 0).center().y()) == row
        assert bars.row_at(screen.map.plot_rect().bottom() + 2) == -1
