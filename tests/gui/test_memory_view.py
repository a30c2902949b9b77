"""The memory panel: bars and numbers that add up, hidden at first, and of no cost until shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import make_snapshot, memory_result, model_info, request
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPointF
from windows import asked, make_window, settle

from engine.types import MemoryQuery
from gui import theme
from gui.accounting import amount, sections
from gui.figures.memory import FIGURE
from gui.figures.spec import FigureOptions
from gui.session import Session
from gui.views.memory import MemoryView


@pytest.fixture
def view(qtbot):
    session = Session()
    session.set_model(model_info())
    view = MemoryView(session)
    qtbot.addWidget(view)
    view.resize(600, 240)
    view.show()
    return view


def answer(view, found):
    snapshot = make_snapshot(request("The dog is running.", MemoryQuery()), view.session.model)
    view.render_snapshot(replace(snapshot, results={MemoryQuery(): found}))


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_960, "1.0 MB"),
        (538_060_032, "538.1 MB"),
        (4_529_848_320, "4.53 GB"),
    ],
)
def test_amounts_have_few_digits_and_never_a_thousand_of_a_unit(count, said):
    assert amount(count) == said


parts = st.integers(0, 10**12)


@given(cache=parts, states=parts, queries=parts, masks=parts, shown=parts, memos=parts)
def test_the_lines_that_are_held_add_up_to_the_sum(**changes):
    found = memory_result(**changes)
    left, machine = sections(found)
    lines = {line.key: line for line in left.lines}
    held = sum(line.bytes for line in left.lines if line.kind == "held")
    assert lines["trace"].bytes == held == found.trace
    assert left.full == max(line.bytes for line in left.lines)
    assert all(line.bytes for line in left.lines if line.kind == "held")
    assert machine.full == found.total


def test_maps_that_are_kept_are_no_contrast():
    kinds = {line.key: line.kind for line in sections(memory_result(maps=10**9))[0].lines}
    assert kinds["maps"] == "held"
    assert "all_maps" not in kinds
    none = {line.key for line in sections(memory_result(all_maps=0, shown=0))[0].lines}
    assert none.isdisjoint({"all_maps", "shown"})


@pytest.mark.parametrize("width", [200, 400, 700])
def test_every_line_stands_within_and_over_no_other(view, width):
    answer(view, memory_result(masks=10**6))
    view.resize(width, 240)
    view.grab()
    rows = view.bars.rows()
    assert len(rows) == 12
    for index, (line, box) in enumerate(rows):
        assert view.bars.rect().toRectF().contains(box), line.key
        assert not any(box.intersects(other) for _, other in rows[index + 1 :])
        assert view.bars.line_at(QPointF(box.center())) is line
    assert view.bars.line_at(QPointF(1, 1)) is None
    for line, _ in rows:
        assert f"{line.label} {amount(line.bytes)}" in view.bars.accessibleDescription()


def test_held_never_held_and_free_look_different(view, qapp):
    answer(view, memory_result())
    colours = theme.current()
    image = view.bars.grab().toImage()
    ratio = image.devicePixelRatio()
    fill = theme.category(4 if colours.dark else 0).lower()

    def counted(key):
        row = next(box for line, box in view.bars.rows() if line.key == key)
        xs = range(int(row.left() * ratio), int(row.right() * ratio))
        middle = int(row.center().y() * ratio)
        return sum(image.pixelColor(x, middle).name() == fill for x in xs)

    assert counted("cache") > 0
    assert counted("trace") > counted("cache")
    assert counted("all_maps") == counted("free") == 0


def test_the_caption_says_what_is_left_and_free(view):
    assert view.caption() == ""
    answer(view, memory_result())
    assert view.caption() == "404.6 MB left by 5 tokens · 6.20 GB free · cpu"


def test_the_panel_is_hidden_at_first_and_costs_nothing_until_it_is_shown(qtbot):
    window = make_window(qtbot)
    window.session.set_text("Something else.")
    settle(window, qtbot)
    panel, action = window.panels["memory"], window.commands.actions["view.show.memory"]
    assert not panel.isVisible()
    assert "MemoryQuery" not in asked(window)
    action.trigger()
    assert panel.isVisible()
    qtbot.waitUntil(lambda: "MemoryQuery" in asked(window))
    settle(window, qtbot)
    qtbot.waitUntil(lambda: panel.state == "picture")
    assert panel.view.bars.sections


def test_the_numbers_are_whole_bytes():
    info = model_info()
    snapshot = make_snapshot(request("The dog.", MemoryQuery()), info)
    found = FIGURE.arrays(snapshot, FigureOptions())
    assert {array.dtype for array in found.values()} == {np.dtype(np.int64)}
    told = snapshot.results[MemoryQuery()]
    assert int(found["trace"]) == told.trace
    assert {int(found[name]) for name in ("weights", "all_maps")} == {told.weights, told.all_maps}
    assert FIGURE.table(snapshot, FigureOptions())[0] == ["part", "bytes"]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are Linux's")
def test_a_window_short_of_memory_keeps_its_picture_and_answers_a_shorter_text(tmp_path):
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("limited_window.py")), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    refused, failed = found["said"]
    assert "of the address space allowed to this process are free" in refused
    assert "the memory of cpu is full" in failed
    assert found["reused"] == found["before"], "what stood before the edit was kept"
    assert found["message"] == ""
