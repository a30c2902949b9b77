"""Matrices that grow: only the rows that are new are coded and painted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtGui import QPainter, QRegion
from pytestqt.qtbot import QtBot

from engine.frozen import FrozenSquare
from gui.widgets.bars import LengthColumn
from gui.widgets.coding import Coder, encode
from gui.widgets.heatmap import HeatMap
from gui.widgets.token_axis import Marks


def fixed(values: np.ndarray) -> np.ndarray:
    """What the engine hands out: nobody can write to it."""
    made = values.astype(np.float32)
    made.flags.writeable = False
    return made


def grown(dice: np.random.Generator, old: np.ndarray, keep: int, rows: int, columns: int):
    """Other numbers from the row `keep` on, as after a letter was typed."""
    made = dice.random((rows, columns), np.float32)
    same = min(keep, rows, len(old))
    width = min(columns, old.shape[1])
    made[:same, :width] = old[:same, :width]
    return made


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=4),
    scaling=st.sampled_from(["linear", "log", "row"]),
    signed=st.booleans(),
    causal=st.booleans(),
    levels=st.sampled_from([None, (-0.7, 0.7), (0.0, 0.5)]),
    unscaled=st.sampled_from([(), (0,)]),
    spoil=st.sampled_from([None, np.nan, np.inf, -3.0, 9.0]),
    seed=st.integers(0, 99),
)
def test_one_matrix_after_another_is_coded_as_each_alone(
    sizes, scaling, signed, causal, levels, unscaled, spoil, seed
):
    dice, coder = np.random.default_rng(seed), Coder()
    how = {"scaling": scaling, "signed": signed, "causal": causal, "levels": levels}
    values = dice.random((20, 20), np.float32)
    for rows, keep in [(20, 0), *sizes]:
        values = grown(dice, values, keep, rows, rows if causal else 20)
        if spoil is not None and values.size:
            values.flat[dice.integers(values.size)] = spoil
        codes, scale, first = coder.encode(fixed(values), unscaled=unscaled, **how)
        alone, same = encode(values, unscaled=unscaled, **how)
        assert (codes == alone).all()
        assert scale == same
        assert first <= keep or first <= rows


def test_only_new_rows_are_coded():
    dice, coder = np.random.default_rng(0), Coder()
    values = dice.random((300, 300), np.float32)
    values[0, 0] = 1.0  # the largest is always among what stays
    coder.encode(fixed(values), causal=True)
    assert coder.coded == 300
    for rows in (301, 302, 302, 300):
        values, before = grown(dice, values, min(rows, 300) - 1, rows, rows), coder.coded
        *_, first = coder.encode(fixed(values), causal=True)
        assert first == min(rows, 300) - 1
        assert coder.coded - before == rows - first <= 3


def test_another_largest_value_codes_all_rows_anew():
    coder, values = Coder(), np.full((50, 4), 0.5, np.float32)
    coder.encode(fixed(values))
    values[-1, 0] = 1.0
    *_, first = coder.encode(fixed(values))
    assert (first, coder.coded) == (0, 100)


def test_what_can_be_written_to_is_not_trusted():
    coder, values = Coder(), np.zeros((3, 3), np.float32)
    values[0, 0] = 1.0
    coder.encode(values)
    values[1, 1] = 0.5
    codes, _, first = coder.encode(values)
    assert first == 0
    assert codes[1, 1] == 128


# --- the heat map --------------------------------------------------------------------------------


def picture(widget: HeatMap) -> np.ndarray:
    image = widget.grab().toImage()
    rows = np.frombuffer(image.constBits(), np.uint8)
    return rows.reshape(image.height(), image.bytesPerLine()).copy()


def shown(qtbot: QtBot, size: tuple[int, int]) -> HeatMap:
    widget = HeatMap()
    qtbot.addWidget(widget)
    widget.resize(*size)
    widget.show()
    return widget


@pytest.mark.parametrize(("rows", "columns"), [(20, 20), (300, 300), (150, 500), (700, 30)])
@pytest.mark.parametrize("size", [(401, 303), (223, 181)])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("zoom", [1, 7])
def test_a_mended_picture_is_the_one_that_is_painted_at_once(
    qtbot, rows, columns, size, causal, zoom
):
    dice = np.random.default_rng(1)
    widget, plain = shown(qtbot, size), shown(qtbot, size)
    values = dice.random((rows, columns), np.float32)
    values[0, 0] = 1.0
    names = [f"token{index}" for index in range(rows)]
    for changed in (0, rows - 1, rows - 2, rows // 2, rows):
        values = values.copy()
        values[max(changed, 1) :] = 0.9 * dice.random((rows - max(changed, 1), columns), np.float32)
        for one in (widget, plain):
            one.set_data(fixed(values), causal=causal)
            one.set_labels(names, None)
        if not changed:
            for one in (widget, plain):
                one.magnify(zoom)
        plain._renew()
        assert (picture(widget) == picture(plain)).all()


def test_a_row_that_changed_draws_no_tile_and_no_label(qtbot, monkeypatch):
    widget = shown(qtbot, (700, 560))
    values = np.random.default_rng(2).random((512, 512), np.float32)
    values[0, 0] = 1.0
    names = [f"t{index}" for index in range(512)]
    widget.set_labels(names, names)
    widget.set_data(fixed(values), causal=True)
    picture(widget)
    drawn, coded, painted = widget._picture.tiles.drawn, widget._coder.coded, widget._picture.fixed
    values[-1] *= 0.5
    widget.set_labels([*names[:-1], "other"], [*names[:-1], "other"])
    widget.set_data(fixed(values), causal=True)
    picture(widget)
    assert widget._picture.fixed is painted
    assert (widget._picture.tiles.drawn, widget._coder.coded) == (drawn, coded + 1)
    widget._renew()  # what was mended is not taken from a tile that was drawn before
    picture(widget)
    assert 0 < widget._picture.tiles.drawn - drawn < len(widget._picture.tiles._kept)


def test_only_the_place_of_a_new_row_is_painted(qtbot):
    widget = shown(qtbot, (400, 560))
    values = np.random.default_rng(3).random((400, 400), np.float32)
    values[0, 0] = 1.0
    widget.set_data(fixed(values), causal=True)
    picture(widget)
    values[-1] *= 0.5
    seen = []
    widget.update = seen.append  # type: ignore[method-assign]
    widget.set_data(fixed(values), causal=True)
    (region,) = seen
    place = region.boundingRect()
    assert place.height() < 12
    assert place.bottom() >= int(widget.plot_rect().bottom()) - 1


def test_a_marked_label_that_changed_is_written_anew(qtbot):
    widget = shown(qtbot, (400, 560))
    names = [f"t{index}" for index in range(400)]
    widget.set_data(fixed(np.eye(400)))
    widget.set_labels(names, None)
    widget.set_marks(Marks(selected=399))
    before = picture(widget)
    widget.set_labels([*names[:-1], "other"], None)
    assert (picture(widget) != before).any()


# --- the bars beside it --------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [12, 90, 400, 900])
@pytest.mark.parametrize("changed", [0, 5, -1])
def test_a_bar_that_changed_is_all_that_is_painted(qtbot, rows, changed):
    widget = shown(qtbot, (300, 411))
    widget.set_data(fixed(np.eye(rows, 30)))
    bars = LengthColumn(widget, "length")
    qtbot.addWidget(bars)
    bars.resize(LengthColumn.WIDTH, 411)
    bars.show()
    lengths = np.random.default_rng(4).uniform(2, 3, rows)
    lengths[1], lengths[2] = np.nan, 3.0  # the longest stays
    bars.set_lengths(lengths, [""] * rows)
    old = bars.grab()
    lengths[changed] *= 0.5
    places = []
    bars.update = places.append  # type: ignore[method-assign]
    bars.set_lengths(lengths.copy(), [""] * rows)
    (place,) = places
    assert place.height() < bars.height() / rows + 8
    painter = QPainter(old)
    painter.setClipRect(place)
    bars.render(painter, place.topLeft(), QRegion(place))
    painter.end()
    assert old.toImage() == bars.grab().toImage()


@pytest.mark.parametrize("causal", [False, True])
def test_rows_that_are_known_to_be_the_same_are_not_compared(causal):
    held = FrozenSquare()
    for size in range(1, 9):
        held.append(np.linspace(0, 1, size, dtype=np.float32)[None])
    coder, old = Coder(), held.rows()
    coder.encode(old, levels=(0, 1), causal=causal)
    held.keep(7)
    held.append(np.linspace(1, 0, 8, dtype=np.float32)[None])
    new = held.rows()
    old.base[0, 0] = 0.5  # nobody does, but who compares would see it
    codes, _, first = coder.encode(new, levels=(0, 1), causal=causal)
    assert first == 7
    np.testing.assert_array_equal(codes, encode(new, levels=(0, 1), causal=causal)[0])
