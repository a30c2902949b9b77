"""All heads of all layers as one picture."""

from __future__ import annotations

import numpy as np
import pytest
from made_attention import (
    LEFT,
    image_of,
    made,
    model,
    mosaic_view,
    snapshot,
    wearing,
)
from PySide6.QtCore import QPoint, Qt

from engine.types import (
    MosaicQuery,
)
from gui import theme
from gui.views import mosaic
from gui.widgets.attention_stats import causal_mask
from gui.widgets.mosaic import Mosaic


@pytest.fixture(params=[theme.DARK, theme.LIGHT], ids=["dark", "light"])
def painted_in(request, qapp):
    yield from wearing(qapp, request.param)


@pytest.mark.parametrize(("size", "transposed"), [((640, 300), True), ((240, 600), False)])
def test_layers_lie_along_the_long_side(qtbot, size, transposed):
    view = mosaic_view(qtbot, size=size, layers=30, heads=9)
    widget = view.mosaic
    assert widget.transposed is transposed
    corners = [widget.map_rect(layer, head) for layer in (0, 29) for head in (0, 8)]
    assert all(widget.rect().toRectF().contains(corner) for corner in corners)
    for layer, head in ((0, 0), (29, 8), (13, 5)):
        assert widget.map_at(widget.map_rect(layer, head).center()) == (layer, head)


def test_other_maps_paint_no_number_again(qtbot):
    view = mosaic_view(qtbot, layers=30, heads=9)
    widget, dice = view.mosaic, np.random.default_rng(0)
    image_of(widget)
    before = widget.frames_painted
    for _ in range(3):
        widget.set_maps(dice.random((30, 9, 16, 16), np.float32))
        picture = image_of(widget)
    assert widget.frames_painted == before
    widget._frame = None
    widget._renew()
    assert image_of(widget) == picture
    widget.resize(widget.width() - 9, widget.height())
    image_of(widget)
    assert widget.frames_painted == before + 2


def test_the_same_maps_are_not_coded_again_but_other_masks_are(qtbot):
    view = mosaic_view(qtbot, layers=2, heads=2)
    widget = view.mosaic
    maps = np.random.default_rng(1).random((2, 2, 8, 8), np.float32)
    maps.flags.writeable = False
    again = maps.copy()
    again.flags.writeable = False
    widget.set_maps(maps, masked=causal_mask(8, 8))
    codes = widget._codes
    widget.set_maps(again, masked=causal_mask(8, 8))
    assert widget._codes is codes
    widget.set_maps(again)
    assert (widget._codes > 0).all()
    mine = again.copy()
    widget.set_maps(mine)
    mine[0, 0, 0, 0] = 9  # what can be written to is looked at again
    widget.set_maps(mine)
    assert widget.read_out(0, 0).endswith("9.00")


def test_a_click_opens_a_head_and_another_goes_back_to_the_mean(qtbot):
    view = mosaic_view(qtbot)
    session = view.session
    where = view.mosaic.map_rect(9, 2).center().toPoint()
    qtbot.mouseClick(view.mosaic, LEFT, pos=where)
    assert (session.block, session.head) == (9, 2)
    assert view.caption() == "12 layers × 4 heads · L9 H2 open"
    qtbot.mouseClick(view.mosaic, LEFT, pos=where)
    assert (session.block, session.head) == (9, None)
    qtbot.mouseClick(view.mosaic, LEFT, pos=QPoint(2, 2))  # beside the maps
    assert (session.block, session.head) == (9, None)


def test_the_last_blocks_head_can_be_let_go_from_the_last_depth(qtbot):
    view = mosaic_view(qtbot)
    view.session.set_layer(12)
    view.session.set_head(1)
    where = view.mosaic.map_rect(11, 1).center().toPoint()
    qtbot.mouseClick(view.mosaic, LEFT, pos=where)
    assert view.session.head is None


def test_pointing_names_the_head_and_its_largest_weight(qtbot):
    view = mosaic_view(qtbot)
    qtbot.mouseMove(view.mosaic, view.mosaic.map_rect(9, 2).center().toPoint())
    assert view.mosaic.cursor_map == (9, 2)
    assert view.mosaic.read_out(9, 2) == "L9H2  largest weight 0.60"
    assert view.mosaic.accessibleDescription() == "L9H2  largest weight 0.60"


@pytest.mark.parametrize("size", [(640, 300), (200, 600)])
def test_keys_move_between_heads_and_open_them(qtbot, size):
    view = mosaic_view(qtbot, size=size)
    view.session.set_layer(5)
    view.session.set_head(1)
    key = Qt.Key
    qtbot.keyClick(view.mosaic, key.Key_Right)
    assert view.mosaic.cursor_map == (5, 1)  # the first key shows the cursor where one is
    before = view.mosaic.map_rect(5, 1).center()
    qtbot.keyClick(view.mosaic, key.Key_Right)
    after = view.mosaic.map_rect(*view.mosaic.cursor_map).center()
    assert after.x() > before.x()
    assert after.y() == before.y()
    qtbot.keyClick(view.mosaic, key.Key_Return)
    assert (view.session.block, view.session.head) == view.mosaic.cursor_map != (5, 1)


def test_the_open_head_is_outlined(qtbot, painted_in):
    view = mosaic_view(qtbot)
    before = image_of(view.mosaic)
    view.session.set_head(3)
    view.session.set_layer(7)
    after = image_of(view.mosaic)
    accent = theme.QColor(painted_in.accent)
    place = view.mosaic.map_rect(7, 3)
    y = int(place.center().y() * after.devicePixelRatio())
    x = int((place.left() - 1) * after.devicePixelRatio())
    near = [after.pixelColor(x + step, y).name() for step in (-1, 0, 1)]
    assert accent.name() in near
    assert before != after


def test_each_map_is_coloured_by_its_own_largest(qtbot):
    view = mosaic_view(qtbot, 6)
    codes = view.mosaic._codes
    assert (codes.max(axis=(2, 3)) == 255).all()
    assert (codes[:, :, causal_mask(6, 6)] == 0).all()


def test_a_lone_peak_is_seen_in_the_smallest_mosaic(qtbot):
    widget = Mosaic()
    qtbot.addWidget(widget)
    widget.resize(200, 160)
    maps = np.full((30, 9, 24, 24), 0.001, np.float32)
    maps[:, :, 17, 5] = 0.9
    widget.set_maps(maps)
    field, _ = widget._assemble(1)
    assert np.count_nonzero(field == 254) >= 30 * 9


def test_finer_maps_are_asked_for_when_there_is_more_room(qtbot):
    view = mosaic_view(qtbot, size=(240, 200), layers=30, heads=9)
    assert view.queries() == (MosaicQuery(16, "decoder"),)
    with qtbot.waitSignal(view.queriesChanged):
        view.resize(900, 700)
    assert view.queries()[0].size in (48, 64)
    with qtbot.assertNotEmitted(view.queriesChanged):
        view.resize(902, 700)
        view.grab()


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (24, 7)])
def test_mosaics_of_any_maps_are_painted(qtbot, painted_in, shape):
    view = made(qtbot, mosaic.VIEW, layers=3, heads=2)
    for fill in (0, np.nan, 0.5):
        maps = np.full((3, 2, *shape), fill, np.float32)
        view.render_snapshot(snapshot(view, maps, shape[0]))
        assert not image_of(view).isNull()
        assert view.mosaic.read_out(2, 1).startswith("L2H1")
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Right, Qt.Key.Key_Return):
        qtbot.keyClick(view.mosaic, key)


def test_another_model_has_another_grid(qtbot):
    view = mosaic_view(qtbot)
    view.session.set_model(model(layers=2, heads=16))
    assert view.mosaic._grid == (2, 16)
    assert not image_of(view).isNull()
