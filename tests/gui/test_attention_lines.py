"""One head's attention as lines."""

from __future__ import annotations

import numpy as np
from made_attention import (
    LEFT,
    lines_view,
)
from PySide6.QtCore import QPoint, QPointF, Qt

from gui.widgets.arcs import LINE, MOST_LINES, AttentionLines


def test_all_lines_then_only_those_of_the_token_pointed_at(qtbot):
    view = lines_view(qtbot, 6)
    lines = view.lines
    rows, _, left_out = lines.lines()
    assert len(set(rows.tolist())) > 1
    assert left_out == 0
    qtbot.mouseMove(lines.viewport(), lines.place_rect("row", 4).center().toPoint())
    assert view.session.hovered == 4
    rows, columns, _ = lines.lines()
    assert set(rows.tolist()) == {4}
    assert set(columns.tolist()) <= set(range(5))  # none to what comes after
    qtbot.mouseMove(lines.viewport(), lines.place_rect("column", 2).center().toPoint())
    assert view.session.hovered == 2
    rows, columns, _ = lines.lines()
    assert set(columns.tolist()) == {2}
    assert min(rows.tolist()) >= 2
    assert "is attended to by" in lines.accessibleDescription()
    qtbot.mouseMove(lines.viewport(), QPoint(lines.viewport().width() // 2, 40))
    assert view.session.hovered is None


def test_hovering_elsewhere_shows_the_querys_lines(qtbot):
    view = lines_view(qtbot, 6)
    view.session.hover(3)
    assert set(view.lines.lines()[0].tolist()) == {3}
    view.session.hover(None)
    assert len(set(view.lines.lines()[0].tolist())) > 1


def test_clicking_a_token_of_the_lines_selects_it_and_again_lets_go(qtbot):
    view = lines_view(qtbot, 6)
    where = view.lines.place_rect("column", 4).center().toPoint()
    qtbot.mouseClick(view.lines.viewport(), LEFT, pos=where)
    assert view.session.selected == 4
    qtbot.mouseClick(view.lines.viewport(), LEFT, pos=where)
    assert view.session.selected is None


def test_keys_move_along_the_lines(qtbot):
    view = lines_view(qtbot, 60)
    lines = view.lines
    for _ in range(40):
        qtbot.keyClick(lines, Qt.Key.Key_Down)
    assert lines.pointed == ("row", 39)
    assert lines.viewport().rect().contains(lines.place_rect("row", 39).toRect())
    qtbot.keyClick(lines, Qt.Key.Key_Right)
    assert lines.pointed == ("column", 39)
    qtbot.keyClick(lines, Qt.Key.Key_Return)
    assert view.session.selected == 39
    qtbot.keyClick(lines, Qt.Key.Key_Escape)
    assert lines.pointed is None


def test_many_lines_are_kept_to_the_strongest_and_that_is_said(qtbot):
    view = lines_view(qtbot, 512)
    view.session.set_scaling("log")
    lines = view.lines
    rows, columns, left_out = lines.lines()
    assert len(rows) == MOST_LINES
    assert left_out > 0
    kept = lines._codes[rows, columns]
    assert (np.diff(kept.astype(int)) >= 0).all()  # the strongest are drawn last, on top
    assert f"{left_out:,} weaker ones left out" in lines.account(len(rows), left_out)
    # Each has an end in view.
    first, last = lines._in_view()
    seen = ((rows >= first) & (rows < last)) | ((columns >= first) & (columns < last))
    assert seen.all()


def test_the_strongest_line_of_those_in_view_is_never_left_out(qtbot):
    lines = AttentionLines()
    qtbot.addWidget(lines)
    lines.resize(400, 300)
    maps = np.random.default_rng(0).uniform(0.2, 0.4, (300, 300)).astype(np.float32)
    maps[250, 3] = 1
    lines.set_data(maps)
    rows, columns, left_out = lines.lines()
    assert left_out > 0
    assert (rows[-1], columns[-1]) == (250, 3)


def test_a_long_context_scrolls_and_a_short_one_does_not(qtbot):
    assert lines_view(qtbot, 4).lines.verticalScrollBar().maximum() == 0
    lines = lines_view(qtbot, 200).lines
    bar = lines.verticalScrollBar()
    assert bar.maximum() > 100 * LINE
    bar.setValue(bar.maximum())
    assert lines.place_rect("row", 199).bottom() <= lines.viewport().height()
    at = QPointF(lines.place_rect("row", 198).center())
    assert lines.place_at(at) == ("row", 198)


def test_a_token_chosen_elsewhere_is_brought_into_view(qtbot):
    view = lines_view(qtbot, 200)
    view.session.select(150)
    assert view.lines.viewport().rect().contains(view.lines.place_rect("row", 150).toRect())
    at = view.lines.verticalScrollBar().value()
    view.session.hover(3)  # a passing glance does not scroll
    assert view.lines.verticalScrollBar().value() == at
