"""The Emergence panel: it opens on the shipped ladder, and what it shows is what it saves."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtTest import QTest
from windows import make_window

from engine.studies.emergence import SHIPPED, Emergence, Standing, read_table, write_table
from engine.studies.values import Interval
from gui import theme
from gui.session import Session
from gui.studies.emergence import short, ticks_of
from gui.views.emergence import EmergenceView


def table(tmp_path, steps=(0, 1, 2, 4, 8), sizes=(100,)):
    """Models whose exact match jumps at step 4, and the induction score with it."""
    rows = []
    for size in sizes:
        for at in steps:
            there = at is None or at >= 4
            value = {"exact_match": float(there), "edit_distance": 5.0 - (at or 8) / 2}
            told = {
                name: Interval(value.get(name, 0.5), value.get(name, 0.5), value.get(name, 0.5))
                for name in ("exact_match", "edit_distance", "brier", "logprob")
            }
            tokens = None if at is None else at * 100
            known = {"induction": 0.9 if there else 0.0, "prefix_matching": None}
            rows.append(
                Standing("made", f"deep {size}", "deep", size, at, tokens, 9, 5.0, **told, **known)
            )
    write_table(tmp_path / "made.jsonl", rows)
    return tmp_path / "made.jsonl"


@pytest.fixture
def view(qtbot):
    view = EmergenceView(Session())
    qtbot.addWidget(view)
    view.resize(640, 400)
    view.show()
    return view


def choose(field, data):
    field.setCurrentIndex(field.findData(data))
    field.activated.emit(field.currentIndex())


def test_it_opens_on_the_shipped_ladder(view):
    rows = read_table()
    assert view.study.rows == rows
    assert view.models.currentText() == "the program's ladder"
    assert {view.task.itemText(i) for i in range(view.task.count())} == {row.task for row in rows}
    left, right = view.plots
    assert [curve.name for curve in left.curves] == [curve.name for curve in right.curves]
    assert len({curve.family for curve in left.curves}) == 3
    assert view.queries() == ()
    assert view.study.task in view.caption()


def test_task_axis_and_metrics_are_chosen(view):
    choose(view.task, "addition")
    choose(view.against, "parameters")
    choose(view.left, "logprob")
    choose(view.right, "brier")
    study = view.figure_options().emergence
    assert (study.task, study.against, study.metric, study.beside) == (
        "addition", "parameters", "logprob", "brier",
    )  # fmt: skip
    expected = study.curves("brier")
    np.testing.assert_array_equal(view.plots[1].curves[0].value, expected[0].value)
    assert "addition" in view.caption()
    assert "Brier" in view.plots[1].accessibleName()


def test_a_table_is_opened_and_a_damaged_one_leaves_what_is_shown(view, tmp_path):
    view.open_table(table(tmp_path))
    assert view.study.task == "made"
    assert view.models.currentText() == "made.jsonl"
    (curve,) = view.plots[0].curves
    assert curve.rise == 4
    assert "∞" in view.legend.text()
    assert "▼4" in view.legend.text()
    before = view.study
    (tmp_path / "bad.jsonl").write_text("{}", encoding="utf-8")
    view.open_table(tmp_path / "bad.jsonl")
    assert view.study is before
    assert "Cannot read the table" in view.note.text()
    choose(view.models, "ladder")
    assert view.study.source == SHIPPED.name


def test_axes_that_are_not_known_are_not_offered(view, tmp_path):
    view.open_table(table(tmp_path, steps=(None,), sizes=(10, 100)))
    offered = [view.against.itemData(i) for i in range(view.against.count())]
    assert offered == ["parameters"]
    assert view.plots[0].curves[0].x.tolist() == [10, 100]


def test_pointing_at_a_point_tells_it(view, tmp_path):
    view.open_table(table(tmp_path))
    plot = view.plots[0]
    spot = plot._place(plot._extent(), 4.0, 1.0)
    QTest.mouseMove(plot, spot.toPoint())
    plot._point(spot)
    assert "deep 100, step 4: exact match 1, 95 % interval 1 to 1" in view.note.text()
    plot._point(QPointF(1, 1))
    assert "9 answers of 5 tokens" in view.note.text()


@pytest.mark.parametrize("dark", [True, False])
def test_it_is_painted_in_both_themes(view, qapp, dark):
    before = qapp.palette()
    try:
        qapp.setPalette(theme.palette(theme.DARK if dark else theme.LIGHT))
        image = view.plots[1].grab().toImage()
        wanted = {theme.category(place) for place in range(3)}
        seen = {
            image.pixelColor(x, y).name().lower()
            for x in range(image.width())
            for y in range(0, image.height(), 2)
        }
        assert {colour.lower() for colour in wanted} <= seen
    finally:
        qapp.setPalette(before)


def test_one_point_and_equal_values_can_be_drawn(view, tmp_path):
    view.open_table(table(tmp_path, steps=(8,)))
    assert not view.plots[0].grab().isNull()


def test_in_the_window_it_can_be_shown_and_saved(qtbot, tmp_path):
    window = make_window(qtbot)
    window.commands.actions["view.show.emergence"].trigger()
    view = window.panels["emergence"].view
    qtbot.waitUntil(lambda: view.study is not None)
    choose(view.task, "addition")
    assert window.saving.suggest("emergence") == "emergence"
    path = tmp_path / "e.json"
    window.saving.save("emergence", path)
    qtbot.waitUntil(path.is_file)
    told = json.loads(path.read_text(encoding="utf-8"))
    text = json.dumps(told)
    assert "addition" in text
    assert SHIPPED.name in text
    assert window.session.text not in text
    window.saving.close()


def test_numbers_of_an_axis():
    assert [short(x) for x in (0.5, 512, 12_000, 3.1e9, 1e15)] == [
        "0", "512", "12k", "3.1e9", "1e15",
    ]  # fmt: skip
    curves = Emergence(read_table(), "recall").curves("exact_match")
    ticks = ticks_of(curves, 0.5)
    assert ticks[0] == 0.5
    assert len(ticks) <= 8
    assert all(a < b for a, b in pairwise(ticks))


def test_the_fields_have_names_and_say_what_they_are(view):
    for field in (view.models, view.task, view.against, view.left, view.right):
        assert field.accessibleName()
        assert field.toolTip()
        assert field.focusPolicy() & Qt.FocusPolicy.TabFocus
