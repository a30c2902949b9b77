"""One head's attention as a map: its numbers, questions, controls, marks and colours."""

from __future__ import annotations

import numpy as np
import pytest
import shiboken6
from made_attention import (
    ALT,
    LEFT,
    attention_view,
    image_of,
    lines_view,
    made,
    model,
    snapshot,
    wearing,
    weights,
)
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtWidgets import QApplication

from engine.types import (
    AttentionQuery,
    MosaicQuery,
)
from gui import theme
from gui.session import Session
from gui.views import attention, mosaic
from gui.widgets.attention_stats import causal_mask, entropy_bits, first_key, rank

# --- the numbers ---------------------------------------------------------------------------------


@pytest.fixture(params=[theme.DARK, theme.LIGHT], ids=["dark", "light"])
def painted_in(request, qapp):
    yield from wearing(qapp, request.param)


@pytest.mark.parametrize("count", [1, 2, 8, 64])
def test_the_entropy_of_an_even_row_is_its_logarithm(count):
    row = np.full(count, 1 / count, np.float32)
    assert entropy_bits(row) == pytest.approx(np.log2(count), abs=1e-5)


def test_entropy_passes_over_zeros_and_nan():
    assert entropy_bits(np.array([0.5, 0, np.nan, 0.5], np.float32)) == 1


def test_ranks_count_what_is_larger():
    row = np.array([0.1, 0.5, 0.1, 0.3], np.float32)
    assert [rank(row, key) for key in range(4)] == [3, 1, 3, 2]


def test_the_share_of_the_first_key_leaves_out_queries_without_a_choice():
    maps = np.array([[1, 0, 0], [0.8, 0.2, 0], [0.6, 0.2, 0.2]], np.float32)
    found = first_key(maps, causal=True)
    assert found.share == pytest.approx(0.7)
    assert found.even == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert not found.is_sink  # 0.7 < 2 × 0.417
    assert first_key(maps[:1, :1], causal=True) is None
    assert first_key(np.zeros((0, 0), np.float32), causal=False) is None


def test_a_sink_is_told_from_even_attention():
    even = np.tril(np.ones((50, 50), np.float32))
    even /= even.sum(axis=1, keepdims=True)
    assert not first_key(even, causal=True).is_sink
    sunk = even * 0.5
    sunk[:, 0] += 0.5
    assert first_key(sunk, causal=True).is_sink


# --- questions and names -------------------------------------------------------------------------


def test_the_question_follows_the_session(qtbot):
    view = made(qtbot, attention.VIEW)
    session = view.session
    session.set_layer(5)
    assert view.queries() == (AttentionQuery(5, "mean", "decoder"),)
    session.set_head(2)
    assert view.queries() == (AttentionQuery(5, 2, "decoder"),)
    session.set_layer(12)  # the last depth is what block 11 put out
    assert view.queries() == (AttentionQuery(11, 2, "decoder"),)
    assert view.caption() == "layer 11 · head 2"
    session.set_head(None)
    assert view.caption() == "layer 11 · mean of 4 heads"


def test_the_question_can_be_asked_before_there_is_a_model(qtbot):
    session = Session()
    for spec, query in (
        (attention.VIEW, AttentionQuery(0, "mean", None)),
        (mosaic.VIEW, MosaicQuery(8, None)),
    ):
        view = spec.create(session)
        qtbot.addWidget(view)
        assert view.queries() == (query,)
        assert not image_of(view).isNull()


def test_a_stack_is_chosen_where_there_are_several(qtbot):
    view = made(qtbot, attention.VIEW, kind="encoder-decoder")
    assert view.bar.stack.isVisible()
    assert [view.bar.stack.itemData(i) for i in range(3)] == ["encoder", "decoder", "cross"]
    view.session.set_layer(9)
    view.bar.stack.setCurrentIndex(2)
    view.bar.stack.activated.emit(2)
    assert view.session.shown_stack == "cross"
    assert view.queries() == (AttentionQuery(2, "mean", "cross"),)  # the decoder has 3 layers
    assert view.caption() == "layer 2 · mean of 4 heads · cross"
    view.session.set_model(model())
    assert not view.bar.stack.isVisible()
    assert view.queries()[0].stack == "decoder"


def test_an_answer_to_another_question_changes_nothing(qtbot):
    view = attention_view(qtbot, 6)
    old = snapshot(view, weights(9), 9)
    view.session.set_head(1)
    view.render_snapshot(old)
    assert view.map.shape == (6, 6)


# --- the controls --------------------------------------------------------------------------------


def test_keys_step_layer_and_head_from_anywhere_in_the_view(qtbot):
    view = attention_view(qtbot)
    session = view.session
    session.set_layer(4)
    for target in (view.map, view.bar.layer, view.bar.head, view.lines):
        before = session.layer
        qtbot.keyClick(target, Qt.Key.Key_Up, ALT)
        assert session.layer == before + 1
    qtbot.keyClick(view.map, Qt.Key.Key_Down, ALT)
    assert session.layer == 7
    heads = []
    for _ in range(6):
        qtbot.keyClick(view.map, Qt.Key.Key_Right, ALT)
        heads.append(session.head)
    assert heads == [0, 1, 2, 3, 3, 3]
    for _ in range(5):
        qtbot.keyClick(view.map, Qt.Key.Key_Left, ALT)
    assert session.head is None


def test_layers_end_where_the_blocks_do(qtbot):
    view = attention_view(qtbot)
    view.session.set_layer(12)
    assert view.bar.layer.value() == 11
    qtbot.keyClick(view.map, Qt.Key.Key_Up, ALT)
    assert view.session.block == 11
    qtbot.keyClick(view.map, Qt.Key.Key_Down, ALT)
    assert view.session.block == 10


def test_the_controls_show_and_set_the_session(qtbot):
    view = attention_view(qtbot)
    bar, session = view.bar, view.session
    session.set_layer(7)
    session.set_head(3)
    session.set_scaling("row")
    assert (bar.layer.text(), bar.head.text()) == ("layer 7", "head 3")
    assert bar.scaling.currentData() == "row"
    bar.layer.stepUp()
    bar.head.setValue(-1)
    bar.scaling.setCurrentIndex(1)
    bar.scaling.activated.emit(1)
    assert (session.layer, session.head, session.scaling) == (8, None, "log")
    assert bar.head.text() == "head mean"
    assert view.map.scale.scaling == "log"


def test_every_control_is_named_explained_and_reached_by_keyboard(qtbot):
    bar = attention_view(qtbot, kind="encoder-decoder").bar
    for control in (
        bar.layer,
        bar.head,
        bar.map_button,
        bar.lines_button,
        bar.scaling,
        bar.first_key,
        bar.stack,
    ):
        assert control.accessibleName()
        assert len(control.toolTip()) > 20
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus


@pytest.mark.parametrize("width", [320, 420, 640])
@pytest.mark.parametrize("kind", ["decoder", "encoder-decoder"])
def test_no_control_is_cut_off_in_a_narrow_panel(qtbot, width, kind):
    view = attention_view(qtbot, kind=kind, size=(width, 300))
    bar = view.bar
    for control in (bar.layer, bar.head, bar.map_button, bar.lines_button, bar.first_key):
        where = control.mapTo(view, QPoint(0, 0))
        assert where.x() >= 0
        assert where.x() + control.width() <= width
        assert bar.rect().contains(control.mapTo(bar, control.rect().bottomRight()))
        assert control.width() >= control.minimumSizeHint().width()


# --- the map -------------------------------------------------------------------------------------


def test_the_read_out_says_tokens_weight_rank_and_entropy(qtbot):
    view = made(qtbot, attention.VIEW)
    maps = np.array([[1, 0, 0], [0.5, 0.5, 0], [0.25, 0.25, 0.5]], np.float32)
    view.render_snapshot(snapshot(view, maps, 3))
    assert view.read_out(2, 1) == (
        "t2 → t1: 0.25\ntoken 2 → token 1 · rank 2 of 3 · row entropy 1.50 bit"
    )
    assert view.read_out(0, 0).endswith("rank 1 of 1 · row entropy 0.00 bit")
    assert "masked" in view.read_out(0, 2)
    assert view.read_out(3, 0) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.00"), (0.42, "0.42"), (0.0123, "0.012"), (3e-6, "3e−6")]
)
def test_small_weights_are_not_rounded_away(qtbot, value, text):
    view = made(qtbot, attention.VIEW, kind="encoder")
    view.render_snapshot(snapshot(view, np.array([[value, 1 - value]], np.float32), 2))
    assert view.read_out(0, 0).splitlines()[0] == f"t0 → t0: {text}"


def test_what_a_decoder_cannot_see_is_masked_and_no_other(qtbot):
    view = attention_view(qtbot, 5)
    assert (view.map._picture.raster.codes == 0).tolist() == causal_mask(5, 5).tolist()
    view = attention_view(qtbot, 5, kind="encoder")
    assert view.map._picture.raster.codes.all()


def test_pointing_at_a_cell_hovers_its_query_and_a_click_selects_it(qtbot):
    view = attention_view(qtbot, 8)
    session = view.session
    qtbot.mouseMove(view.map, view.map.cell_rect(5, 2).center().toPoint())
    assert session.hovered == 5
    assert (view.map._row_marks.hovered, view.map._column_marks.hovered) == (5, 2)
    qtbot.mouseClick(view.map, LEFT, pos=view.map.cell_rect(5, 2).center().toPoint())
    assert session.selected == 5
    assert (view.map._row_marks.selected, view.map._column_marks.selected) == (5, 5)
    # A key's label chooses the key, and again lets go of it.
    key = QPoint(int(view.map.cell_rect(0, 3).center().x()), 4)
    qtbot.mouseClick(view.map, LEFT, pos=key)
    assert session.selected == 3
    qtbot.mouseClick(view.map, LEFT, pos=key)
    assert session.selected is None
    QApplication.sendEvent(view.map, QEvent(QEvent.Type.Leave))
    assert session.hovered is None


def test_marks_made_elsewhere_are_shown_here(qtbot, painted_in):
    view = attention_view(qtbot, 8)
    before = image_of(view.map)
    session = view.session
    session.select(3)
    selected = image_of(view.map)
    session.hover(6)
    hovered = image_of(view.map)
    session.toggle_pin(1)
    pinned = image_of(view.map)
    assert len({bytes(i.constBits()) for i in (before, selected, hovered, pinned)}) == 4
    accent = theme.QColor(painted_in.accent).name()
    y = view.map.cell_rect(3, 0).center().y() * pinned.devicePixelRatio()
    assert pinned.pixelColor(3, int(y)).name() == accent


def test_layers_and_heads_change_nothing_of_the_marks(qtbot):
    view = attention_view(qtbot, 8)
    view.session.select(2)
    view.session.set_layer(1)
    view.render_snapshot(snapshot(view, weights(8), 8))
    assert view.map._row_marks.selected == 2


def test_the_sink_is_told_and_can_be_left_out_of_the_colours(qtbot):
    view = made(qtbot, attention.VIEW)
    maps = np.tril(np.full((40, 40), 0.01, np.float32))
    maps[:, 0] = 0.9
    view.render_snapshot(snapshot(view, maps, 40))
    assert view.note.text().startswith("90 % of attention rests on the first token, “t0”, a sink")
    assert view.map.scale.high == pytest.approx(0.9)
    before = view.read_out(9, 0)
    view.bar.first_key.click()
    assert view.map.scale.high == pytest.approx(0.01)
    assert view.map.scale.clipped
    assert view.map.shape == (40, 40)  # no column is hidden
    assert view.read_out(9, 0) == before  # and no number changes
    view.bar.first_key.click()
    assert view.map.scale.high == pytest.approx(0.9)


def test_even_attention_is_not_called_a_sink(qtbot):
    view = made(qtbot, attention.VIEW, kind="encoder")
    view.render_snapshot(snapshot(view, np.full((20, 20), 0.05, np.float32), 20))
    assert view.note.text() == (
        "5 % of attention rests on the first token, “t0” (even attention would give it 5 %)"
    )


@pytest.mark.parametrize("picture", ["map", "lines"])
@pytest.mark.parametrize("count", [0, 1, 2, 600])
def test_any_number_of_tokens_is_painted(qtbot, painted_in, count, picture):
    view = attention_view(qtbot, count)
    if picture == "lines":
        view.bar.lines_button.click()
    for scaling in ("linear", "log", "row"):
        view.session.set_scaling(scaling)
        view.bar.first_key.click()
        assert not image_of(view).isNull()
    assert bool(view.note.text()) == (count > 1)


@pytest.mark.parametrize("make", [attention_view, lines_view])
def test_not_a_number_is_shown_as_nothing(qtbot, make):
    view = make(qtbot, 5)
    for fill in (np.nan, np.inf):
        view.render_snapshot(snapshot(view, np.full((5, 5), fill, np.float32), 5))
        view.bar.first_key.click()
        view.session.hover(2)
        assert not image_of(view).isNull()
    assert "not a number" in view.read_out(3, 3)


@pytest.mark.parametrize("make", [attention_view, lines_view])
def test_dark_and_light_differ(qtbot, qapp, make):
    before = qapp.palette()
    pictures = []
    for which in (theme.DARK, theme.LIGHT):
        qapp.setPalette(theme.palette(which))
        pictures.append(image_of(make(qtbot, 6)))
    qapp.setPalette(before)
    assert pictures[0].size() == pictures[1].size()
    assert pictures[0] != pictures[1]


def test_cross_attention_links_only_the_keys_to_the_text(qtbot):
    view = made(qtbot, attention.VIEW, kind="encoder-decoder")
    session = view.session
    session.set_stack("cross")
    view.render_snapshot(snapshot(view, weights(4, 7, causal=False), 7, target=4))
    assert view.map.shape == (4, 7)
    assert view.map._picture.raster.codes.all()  # nothing is masked
    assert view.read_out(3, 6).startswith("u3 → t6")
    qtbot.mouseClick(view.map, LEFT, pos=view.map.cell_rect(1, 5).center().toPoint())
    assert session.selected == 5
    assert view.map._row_marks.selected is None
    assert view.map._column_marks.selected == 5
    qtbot.mouseMove(view.map, view.map.cell_rect(2, 6).center().toPoint())
    assert session.hovered == 6
    session.set_stack("decoder")
    view.render_snapshot(snapshot(view, weights(4), 7, target=4))
    assert view.read_out(3, 1).startswith("u3 → u1")
    qtbot.mouseClick(view.map, LEFT, pos=view.map.cell_rect(2, 1).center().toPoint())
    assert session.selected == 5  # the decoder's own tokens are not those of the text


@pytest.mark.parametrize("spec", [attention.VIEW, mosaic.VIEW])
def test_views_are_gone_when_they_are_closed(qapp, spec):
    session = Session()
    session.set_model(model())
    view = spec.create(session)
    view.deleteLater()
    QApplication.sendPostedEvents(view, QEvent.Type.DeferredDelete)
    assert not shiboken6.isValid(view)
    # What the session tells from now on reaches nothing that is gone.
    session.set_layer(2)
    session.select(1)
    session.set_scaling("log")
    session.set_model(model("encoder-decoder"))
    session.set_stack("cross")


def test_what_is_saved_is_the_picture_on_the_screen(qtbot):
    view = made(qtbot, attention.VIEW)
    assert view.figure_options().picture == "map"
    view.bar.lines_button.click()
    assert view.figure_options().picture == "lines"
