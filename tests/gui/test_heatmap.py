"""The heat map: what its colours say, where its cells are, and that lone peaks survive."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from gui import theme
from gui.widgets.cells import LARGEST_CELL
from gui.widgets.coding import encode
from gui.widgets.heatmap import HeatMap
from gui.widgets.legend import ends, number
from gui.widgets.raster import Raster, colour_table, resize_all
from gui.widgets.token_axis import LabelAxis, Marks, elided, step_for, token_label
from gui.widgets.zoom import Zoom


@pytest.fixture
def in_theme(qapp: QApplication) -> Iterator[QApplication]:
    before = qapp.palette()
    yield qapp
    qapp.setPalette(before)


def shown(qtbot: QtBot, values: np.ndarray, size: tuple[int, int] = (400, 300), **how) -> HeatMap:
    widget = HeatMap()
    qtbot.addWidget(widget)
    widget.resize(*size)
    widget.set_data(values.astype(np.float32), **how)
    widget.show()
    return widget


def image_of(widget: HeatMap) -> QImage:
    return widget.grab().toImage()


def colour_at(widget: HeatMap, row: int, column: int) -> QColor:
    image = image_of(widget)
    at = widget.cell_rect(row, column).center() * image.devicePixelRatio()
    return image.pixelColor(int(at.x()), int(at.y()))


# --- codes ---------------------------------------------------------------------------------------


def test_codes_run_from_nothing_to_the_largest():
    codes, scale = encode(np.array([[0, 0.25], [0.5, 1]], np.float32))
    assert codes.tolist() == [[1, 65], [128, 255]]
    assert (scale.low, scale.high, scale.clipped) == (0, 1, False)


def test_a_masked_cell_is_not_a_cell_of_no_weight():
    values = np.array([[0, np.nan], [np.inf, 1]], np.float32)
    codes, scale = encode(values, masked=np.array([[False, False], [False, True]]))
    assert codes.tolist() == [[1, 0], [0, 0]]
    assert scale.high == 0  # nothing but a zero is left to have a say


def test_signed_codes_are_symmetric_and_ordered_by_magnitude():
    codes, scale = encode(np.array([[-2, -1, 0, 1, 2]], np.float32), signed=True)
    assert codes.tolist() == [[254, 128, 1, 127, 253]]
    assert (scale.low, scale.high) == (-2, 2)
    table = colour_table(True, True)
    assert len(table) == 256
    assert table[0] == 0
    assert table[253] != table[254]
    assert table[1] == table[2]  # zero has no sign


def test_rows_are_scaled_each_by_its_own_largest():
    codes, _ = encode(np.array([[0.5, 1], [0.001, 0.002]], np.float32), scaling="row")
    assert codes.tolist() == [[128, 255], [128, 255]]


def test_a_logarithmic_scale_spans_three_decades():
    codes, scale = encode(np.array([[1, 0.1, 0.01, 1e-3, 1e-9, 0]], np.float32), scaling="log")
    assert codes.tolist() == [[255, 170, 86, 1, 1, 1]]
    assert ends(scale) == ("≤ 0.001", "1")


@pytest.mark.parametrize("scaling", ["linear", "log", "row"])
def test_an_unscaled_column_has_no_say_in_the_range_but_stays(scaling):
    values = np.array([[0.9, 0.05, 0.05], [0.8, 0.1, 0.1]], np.float32)
    codes, scale = encode(values, scaling=scaling, unscaled=(0,))
    assert codes[1, 1] == 255
    assert codes[0, 0] == codes[1, 0] == 255
    assert scale.clipped
    if scaling != "row":
        assert scale.high == pytest.approx(0.1)
        assert ends(scale)[1] == "≥ 0.1"


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    scaling=st.sampled_from(["linear", "log", "row"]),
    signed=st.booleans(),
    unscaled=st.sampled_from([(), (0,)]),
    spoil=st.sampled_from([None, np.nan, np.inf, -3.0]),
    seed=st.integers(0, 99),
)
@example(shape=(1, 83), scaling="linear", signed=False, unscaled=(), spoil=-3.0, seed=66)
def test_causal_is_what_the_mask_of_later_columns_says(
    shape, scaling, signed, unscaled, spoil, seed
):
    dice = np.random.default_rng(seed)
    values = dice.random(shape, np.float32)
    if spoil is not None:
        values.flat[dice.integers(values.size)] = spoil
    how = {"scaling": scaling, "signed": signed, "unscaled": unscaled}
    codes, scale = encode(values, causal=True, **how)
    expected, same = encode(values, masked=np.triu(np.ones(shape, bool), 1), **how)
    assert (codes == expected).all()
    assert scale == same


def test_levels_given_from_outside_hold():
    codes, scale = encode(np.array([[1, 2, 3]], np.float32), levels=(1, 2))
    assert codes.tolist() == [[1, 255, 255]]
    assert (scale.low, scale.high, scale.clipped) == (1, 2, True)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 1)])
@pytest.mark.parametrize("signed", [False, True])
def test_nothing_at_all_can_be_encoded(shape, signed):
    for fill in (0, np.nan):
        codes, _ = encode(np.full(shape, fill, np.float32), signed=signed)
        assert codes.shape == shape


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0423, "0.0423"), (-2.5, "−2.5"), (1e-7, "1e−7")]
)
def test_numbers_of_a_legend(value, text):
    assert number(value) == text


# --- shrinking -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 700),
    columns=st.integers(1, 700),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    place=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
)
def test_a_lone_peak_survives_any_shrinking(rows, columns, height, width, place):
    values = np.full((rows, columns), 0.01, np.float32)
    row, column = int(place[0] * rows), int(place[1] * columns)
    values[row, column] = 1
    drawn = Raster(encode(values)[0]).region((0, rows), (0, columns), height, width)
    assert drawn.shape == (height, width)
    assert drawn.max() == 255
    # And it stands where it should, to a pixel.
    y, x = np.argwhere(drawn == 255)[0]
    assert abs(y - (row + 0.5) * height / rows) <= max(1.5, height / rows)
    assert abs(x - (column + 0.5) * width / columns) <= max(1.5, width / columns)


def test_a_lone_negative_peak_keeps_its_sign():
    values = np.random.default_rng(0).uniform(-0.1, 0.1, (300, 300)).astype(np.float32)
    values[123, 45] = -1
    drawn = Raster(encode(values, signed=True)[0]).region((0, 300), (0, 300), 20, 20)
    assert drawn.max() == 254  # an even code: negative


def test_a_part_is_drawn_as_the_part_of_the_whole():
    codes = np.arange(1, 101, dtype=np.uint8).reshape(10, 10)
    drawn = Raster(codes).region((2, 4), (5, 8), 4, 3)
    assert drawn.tolist() == np.repeat(codes[2:4, 5:8], 2, axis=0).tolist()


def test_many_matrices_are_resized_like_one():
    codes = np.random.default_rng(1).integers(0, 255, (3, 2, 9, 13), dtype=np.uint8)
    drawn = resize_all(codes, 5, 20)
    assert drawn.shape == (3, 2, 5, 20)
    for layer in range(3):
        for head in range(2):
            one = Raster(codes[layer, head]).region((0, 9), (0, 13), 5, 20)
            assert (drawn[layer, head] == one).all()


# --- the visible part ----------------------------------------------------------------------------


def test_what_is_fitted_stays_fitted_while_it_grows():
    zoom = Zoom(10)
    zoom.set_count(20)
    assert zoom.visible == (0, 20)
    zoom.magnify(4, anchor=10, least=2)
    assert zoom.visible == (7.5, 12.5)
    zoom.set_count(21)
    assert zoom.visible == (7.5, 12.5)
    zoom.set_count(9)
    assert zoom.visible == (4, 9)


def test_an_axis_is_magnified_only_as_far_as_it_needs():
    zoom = Zoom(100)
    zoom.magnify(1000, anchor=50, least=10)
    assert zoom.span == 10
    zoom.magnify(0.0001, anchor=50, least=10)
    assert zoom.fitted
    zoom.set_count(4)
    zoom.magnify(2, anchor=1, least=10)
    assert zoom.visible == (0, 4)


# --- the widget ----------------------------------------------------------------------------------


def test_a_lone_peak_is_seen_on_the_screen(qtbot, in_theme):
    in_theme.setPalette(theme.palette(theme.DARK))
    values = np.full((900, 900), 0.001)
    values[700, 321] = 1
    widget = shown(qtbot, values, (300, 240))
    brightest = QColor.fromRgb(colour_table(True, False)[255])
    image = image_of(widget)
    around = widget.cell_rect(700, 321).center() * image.devicePixelRatio()
    near = {
        image.pixelColor(int(around.x()) + dx, int(around.y()) + dy).name()
        for dx in (-1, 0, 1)
        for dy in (-1, 0, 1)
    }
    assert brightest.name() in near


def test_masked_cells_look_unlike_cells_of_no_weight(qtbot, in_theme):
    for which in (theme.DARK, theme.LIGHT):
        in_theme.setPalette(theme.palette(which))
        values = np.zeros((2, 2))
        values[0, 0] = 1
        widget = shown(qtbot, values, masked=np.array([[False, True], [False, False]]))
        image = image_of(widget)
        ratio = image.devicePixelRatio()

        def inside(row, column, widget=widget, image=image, ratio=ratio):
            cell = widget.cell_rect(row, column).adjusted(4, 4, -4, -4)
            return {
                image.pixelColor(int(x * ratio), int(y * ratio)).name()
                for x in range(int(cell.left()), int(cell.right()))
                for y in range(int(cell.top()), int(cell.bottom()))
            }

        assert len(inside(1, 1)) == 1  # one plain colour
        assert len(inside(0, 1)) > 1  # hatched
        widget.close()


def test_dark_and_light_are_painted_anew(qtbot, in_theme):
    in_theme.setPalette(theme.palette(theme.DARK))
    widget = shown(qtbot, np.eye(4))
    widget.set_labels(list("abcd"), list("abcd"))
    dark = colour_at(widget, 1, 1), colour_at(widget, 0, 1)
    in_theme.setPalette(theme.palette(theme.LIGHT))
    qtbot.waitUntil(lambda: colour_at(widget, 1, 1) != dark[0])
    assert colour_at(widget, 0, 1) != dark[1]


def test_painting_again_does_not_draw_the_cells_again(qtbot):
    widget = shown(qtbot, np.eye(50))
    image_of(widget)
    drawn = widget._picture.tiles.drawn
    widget.set_marks(Marks(hovered=3), Marks(selected=2))
    image_of(widget)
    assert widget._picture.tiles.drawn == drawn
    widget.resize(301, 200)
    image_of(widget)
    assert widget._picture.tiles.drawn > drawn


def test_the_cell_under_the_mouse_is_told_and_read_out(qtbot):
    widget = shown(qtbot, np.eye(6))
    widget.set_labels(list("abcdef"), list("abcdef"))
    widget.set_readout(lambda row, column: f"{row}/{column}")
    heard = []
    widget.cellHovered.connect(lambda row, column: heard.append((row, column)))
    for row, column in ((0, 0), (5, 5), (2, 4)):
        qtbot.mouseMove(widget, widget.cell_rect(row, column).center().toPoint())
        assert heard[-1] == (row, column)
        assert widget.cell_at(widget.cell_rect(row, column).center()) == (row, column)
    assert widget.accessibleDescription() == "2/4"
    qtbot.mouseMove(widget, QPoint(widget.width() - 1, widget.height() - 1))
    assert heard[-1] == (-1, -1)


def test_clicks_tell_cell_row_or_column(qtbot):
    widget = shown(qtbot, np.eye(6))
    widget.set_labels(list("abcdef"), list("abcdef"))
    heard = []
    widget.cellClicked.connect(lambda row, column: heard.append(("cell", row, column)))
    widget.rowClicked.connect(lambda row: heard.append(("row", row)))
    widget.columnClicked.connect(lambda column: heard.append(("column", column)))
    cell = widget.cell_rect(3, 1).center().toPoint()
    left = Qt.MouseButton.LeftButton
    qtbot.mouseClick(widget, left, pos=cell)
    qtbot.mouseClick(widget, left, pos=QPoint(4, cell.y()))
    qtbot.mouseClick(widget, left, pos=QPoint(cell.x(), 4))
    assert heard == [("cell", 3, 1), ("row", 3), ("column", 1)]


def test_dragging_moves_what_is_seen_and_clicks_nothing(qtbot):
    widget = shown(qtbot, np.random.default_rng(0).random((200, 200)))
    clicked = []
    widget.cellClicked.connect(lambda *cell: clicked.append(cell))
    widget.magnify(4)
    before = widget.cell_at(QPointF(200, 150))
    left = Qt.MouseButton.LeftButton
    qtbot.mousePress(widget, left, pos=QPoint(200, 150))
    for x in (190, 170, 150):
        qtbot.mouseMove(widget, QPoint(x, 150))
    qtbot.mouseRelease(widget, left, pos=QPoint(150, 150))
    after = widget.cell_at(QPointF(150, 150))
    assert abs(after[1] - before[1]) <= 1
    assert not clicked
    qtbot.mouseDClick(widget, left, pos=QPoint(150, 150))
    assert widget.cell_rect(0, 0).topLeft() == widget.plot_rect().topLeft()


def test_keys_move_a_cursor_click_and_magnify(qtbot):
    widget = shown(qtbot, np.eye(300))
    clicked = []
    widget.cellClicked.connect(lambda *cell: clicked.append(cell))
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Right, Qt.Key.Key_Up):
        qtbot.keyClick(widget, key)
    assert widget.cursor_cell == (0, 1)
    qtbot.keyClick(widget, Qt.Key.Key_Return)
    assert clicked == [(0, 1)]
    qtbot.keyClick(widget, Qt.Key.Key_Plus)
    assert not widget.plot_rect().contains(widget.cell_rect(0, 1))
    qtbot.keyClick(widget, Qt.Key.Key_Right)  # the cursor is brought into view
    assert widget.plot_rect().adjusted(-1, -1, 1, 1).contains(widget.cell_rect(0, 2))
    qtbot.keyClick(widget, Qt.Key.Key_0)
    assert widget.cell_rect(0, 0).topLeft() == widget.plot_rect().topLeft()
    qtbot.keyClick(widget, Qt.Key.Key_Escape)
    assert widget.cursor_cell == (-1, -1)


def test_the_cursor_goes_with_the_cells_it_was_on(qtbot):
    widget = shown(qtbot, np.eye(5))
    qtbot.keyClick(widget, Qt.Key.Key_Down)
    for _ in range(4):
        qtbot.keyClick(widget, Qt.Key.Key_Down)
    assert widget.cursor_cell == (4, 0)
    widget.set_data(np.eye(3, dtype=np.float32))
    assert widget.cursor_cell == (-1, -1)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (1, 1), (600, 600), (2, 3000), (3000, 2)])
@pytest.mark.parametrize("size", [(120, 96), (640, 480)])
def test_any_shape_is_painted(qtbot, shape, size):
    values = np.full(shape, np.nan)
    if values.size:
        values.flat[0] = 1
    widget = shown(qtbot, values, size)
    rows, columns = shape
    widget.set_labels([f"r{i}" for i in range(rows)], [f"a long name {i}" for i in range(columns)])
    widget.set_marks(Marks(0, rows + 3, frozenset({1, 99999})), Marks(5000, 0))
    assert not image_of(widget).isNull()
    for key in (Qt.Key.Key_Plus, Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_0):
        qtbot.keyClick(widget, key)
    plot = widget.plot_rect()
    assert plot.width() <= max(1, columns) * LARGEST_CELL
    assert widget.rect().toRectF().contains(plot)


def test_a_vector_is_refused(qtbot):
    widget = HeatMap()
    qtbot.addWidget(widget)
    with pytest.raises(ValueError, match="matrix"):
        widget.set_data(np.zeros(3, np.float32))


# --- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "step"), [(20, 1), (12, 1), (11, 2), (5, 5), (2, 10), (0.5, 50), (0, 1)]
)
def test_crowded_labels_are_thinned(cell, step):
    assert step_for(cell, 12) == step


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(1, 5000),
    cell=st.floats(0.05, 200),
    starts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    length=st.floats(10, 3000),
    upright=st.booleans(),
)
def test_labels_never_overlap_and_the_same_stay_while_the_axis_moves(
    qapp, count, cell, starts, length, upright
):
    axis = LabelAxis([f"t{index}" for index in range(count)], upright)
    strip = QRectF(0, 0, 60, length) if upright else QRectF(0, 0, length, 60)
    shown_at = []
    for start in (part * count for part in starts):
        kept = axis.labelled(start, length, cell)
        boxes = [axis._box(strip, start, cell, index) for index in kept]
        sides = [(b.top(), b.bottom()) if upright else (b.left(), b.right()) for b in boxes]
        assert all(b[0] >= a[1] - 1e-6 for a, b in itertools.pairwise(sides))
        shown_at.append((start, set(kept)))
    (a, first), (b, second) = shown_at
    # What is in sight at both places is labelled at both, or at neither.
    low, high = max(a, b) + 0.5, min(a, b) + length / cell - 1
    assert {i for i in first if low <= i <= high} == {i for i in second if low <= i <= high}


@pytest.mark.parametrize(
    ("text", "label"), [(" dog", "dog"), ("\n", "↵"), (" ", "·"), ("", "∅"), ("⟨F0 9F⟩", "⟨F0 9F⟩")]
)
def test_tokens_are_fit_for_an_axis(text, label):
    assert token_label(text) == label


def test_a_label_is_cut_once(qtbot):
    widget = shown(qtbot, np.eye(40))
    names = [f"a name that is far too long for its place {i}" for i in range(40)]
    widget.set_labels(names, names)
    before = image_of(widget)
    cut = elided.cache_info().misses
    widget._renew()
    assert image_of(widget) == before
    assert elided.cache_info().misses == cut > 0


def test_the_selected_label_is_drawn_however_crowded(qtbot, in_theme):
    in_theme.setPalette(theme.palette(theme.DARK))
    widget = shown(qtbot, np.random.default_rng(0).random((500, 500)))
    widget.set_labels([f"t{i}" for i in range(500)], None)
    widget.set_marks(Marks(selected=333))
    image = image_of(widget)
    middle = widget.cell_rect(333, 0).center().y() * image.devicePixelRatio()
    accent = QColor(theme.DARK.accent).name()
    assert accent in {image.pixelColor(x, int(middle)).name() for x in range(2, 20)}


@pytest.mark.parametrize("upright", [True, False], ids=["rows", "columns"])
def test_letters_below_the_line_are_whole_however_close_labels_stand(qapp, upright):
    def ink(cell):
        """How many pixels the one label of an axis with cells of that size covers."""
        image = QImage(200, 200, QImage.Format.Format_RGB32)
        image.fill(QColor("white"))
        painter = QPainter(image)
        axis = LabelAxis(["", "gjpqy", ""], upright)
        axis.draw(painter, QRectF(40, 40, 120, 120), 1 - 30 / cell, cell)
        painter.end()
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(200, 200, 4)
        return int((rows[..., :3] < 200).all(axis=-1).sum())

    assert ink(12) == ink(24) > 0
