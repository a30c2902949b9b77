"""Tiles of large maps: how many are drawn and held, and that they show what the matrix holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QImage, QPainter
from pytestqt.qtbot import QtBot

from gui.widgets import tiles
from gui.widgets.heatmap import HeatMap
from gui.widgets.raster import Raster, colour_table
from gui.widgets.tiles import SIDE, Tiles

TABLE = colour_table(True, False)


def large(qtbot: QtBot, count: int = 3000) -> HeatMap:
    widget = HeatMap()
    qtbot.addWidget(widget)
    widget.resize(700, 600)
    values = np.random.default_rng(0).random((count, count), np.float32)
    labels = [f"token{index}" for index in range(count)]
    widget.set_data(values, causal=True)
    widget.set_labels(labels, labels)
    widget.show()
    widget.grab()
    return widget


@settings(max_examples=50, deadline=None)
@given(
    count=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    pitch=st.tuples(st.floats(0.05, 2.5), st.floats(0.05, 2.5)),
    cuts=st.tuples(st.integers(40, 300), st.integers(40, 300)),
    place=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
)
def test_a_lone_peak_is_seen_once_whatever_the_zoom_and_the_cuts(count, pitch, cuts, place):
    codes = np.full(count, 7, np.uint8)
    row, column = (int(part * whole) for part, whole in zip(place, count, strict=True))
    codes[row, column] = 255
    raster = Raster(codes)
    height, width = (int(np.ceil(c * p - 1e-6)) for c, p in zip(count, pitch, strict=True))
    pieces = [
        [
            raster.tile(pitch, top, left, min(cuts[0], height - top), min(cuts[1], width - left))
            for left in range(0, width, cuts[1])
        ]
        for top in range(0, height, cuts[0])
    ]
    whole = np.block(pieces)
    assert (whole == raster.tile(pitch, 0, 0, height, width)).all()
    corner = (min(cuts[0], height - 1), min(cuts[1], width - 1))
    alone = Raster(codes).tile(pitch, *corner, height - corner[0], width - corner[1], once=True)
    assert (alone == whole[corner[0] :, corner[1] :]).all()
    found = np.argwhere(whole == 255)
    crowded = pitch[0] <= 1 and pitch[1] <= 1
    if crowded:
        assert len(found) == 1
        assert (whole == 7).sum() == whole.size - 1
    if crowded or min(pitch) >= 1:
        y, x = found.mean(axis=0) + 0.5
        assert abs(y - (row + 0.5) * pitch[0]) <= 2
        assert abs(x - (column + 0.5) * pitch[1]) <= 2


def test_moving_draws_only_what_comes_into_sight(qtbot):
    widget = large(qtbot)
    widget.magnify(6)
    widget.grab()
    plot = widget.plot_rect()
    across, down = (int(side // SIDE) + 2 for side in (plot.width(), plot.height()))
    for _ in range(20):
        before = widget._picture.tiles.drawn
        widget._pan(QPointF(-3, 0))
        widget.grab()
        assert widget._picture.tiles.drawn - before <= down  # one column of tiles at most
    there = widget._picture.tiles.drawn
    assert there <= (across + 1) * down + across * down
    for _ in range(20):
        widget._pan(QPointF(3, 0))
        widget.grab()
    assert widget._picture.tiles.drawn == there  # the way back draws nothing


def test_bytes_held_are_bounded_however_far_one_moves(qtbot, monkeypatch):
    monkeypatch.setattr(tiles, "MOST_BYTES", 24 * 4 * SIDE * SIDE)
    widget = large(qtbot, 2000)
    for factor in (3, 2, 2, 0.5):
        widget.magnify(factor)
        for _ in range(12):
            widget._pan(QPointF(-211, -173))
            widget.grab()
            assert widget._picture.tiles.nbytes <= tiles.MOST_BYTES
    assert widget._picture.tiles.drawn > 24
    assert widget._picture.raster.nbytes <= 3 * widget._picture.raster.codes.nbytes


def test_tiles_show_the_cells_they_are_of(qapp):
    codes = np.random.default_rng(1).integers(1, 256, (700, 900), dtype=np.uint8)
    target = QImage(500, 400, QImage.Format.Format_RGB32)
    painter = QPainter(target)
    Tiles().paint(painter, QRectF(0, 0, 500, 400), Raster(codes), TABLE, (123, 301), (1, 1), 1.0)
    painter.end()
    seen = np.frombuffer(target.constBits(), np.uint32).reshape(400, 500)
    assert (seen == np.array(TABLE, np.uint32)[codes[123:523, 301:801]]).all()


@pytest.mark.parametrize("fitted", [True, False])
def test_one_more_token_leaves_zoom_and_place_alone(qtbot, fitted):
    widget = large(qtbot, 400)
    if not fitted:
        widget.magnify(5)
        widget._pan(QPointF(-37, -21))
    before = widget._rows.visible, widget._columns.visible
    more = [f"token{index}" for index in range(401)]
    widget.set_data(np.random.default_rng(0).random((401, 401), np.float32), causal=True)
    widget.set_labels(more, more)
    widget.grab()
    after = widget._rows.visible, widget._columns.visible
    assert after == (((0, 401), (0, 401)) if fitted else before)
