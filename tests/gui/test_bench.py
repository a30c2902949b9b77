"""The benchmark: every case in one run, each with all its fields. Never how long anything takes."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PySide6.QtCore import QTimer

import main as program
from gui.bench import start, timeline
from gui.bench.lateness import INTERVAL_MS, Lateness
from gui.bench.memory import PeakMemory
from gui.bench.report import Line, ratios, table
from gui.bench.texts import keys, long_text
from gui.bench.timeline import HEAVY

ROOT = Path(program.__file__).parent
FIELDS = {
    "case",
    "tokens",
    "p50_ms",
    "p95_ms",
    "max_ms",
    "passes",
    "suffix_tokens",
    "loop_late_p99_ms",
    "peak_mb",
}
ALL = "append,middle,paste,layer,head,fresh"

pytestmark = [
    pytest.mark.usefixtures("own_theme"),
    # What the offscreen platform says of every window that is told its size.
    pytest.mark.qt_log_ignore("This plugin does not support"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    sys.path.append(str(ROOT / "tests" / "engine"))
    import tinymodels

    return tinymodels.save_model("bert", tmp_path_factory.mktemp("bert"))


def typing(capsys, *arguments, code=0):
    assert program.main(["bench", "typing", *arguments]) == code
    return capsys.readouterr()


def test_typing_prints_every_case_and_its_floors(qapp, capsys):
    said = typing(
        capsys,
        "--model",
        "builtin",
        "--tokens",
        "12",
        "--repeats",
        "2",
        "--edits",
        ALL,
        "--json",
    )
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert all(set(line) >= FIELDS for line in lines)
    at = {line["case"]: line for line in lines}
    assert len(at) == len(lines)
    assert set(at) == {*ALL.split(","), "floor-step", "floor-eager"}
    whole = (12, 12 + 6)  # what was typed on the way is there as well
    suffixes = {
        "append": (0.5, 3),
        "floor-step": (0.5, 3),
        "middle": (12 / 2 - 4, 12 / 2 + 6),
        "paste": (40, 60),
        "layer": (0, 0),
        "head": (0, 0),
        "fresh": whole,
        "floor-eager": whole,
    }
    for case, line in at.items():
        assert line["tokens"] == 12
        assert line["model"] == "builtin"
        assert 0 < line["p50_ms"] <= line["p95_ms"] <= line["max_ms"]
        assert line["passes"] == (0 if case in ("layer", "head") else 1)
        assert suffixes[case][0] <= line["suffix_tokens"] <= suffixes[case][1], case
        assert (line["loop_late_p99_ms"] is None) == case.startswith("floor")
        assert line["peak_mb"] is None or line["peak_mb"] > 50
    append, step = at["append"], at["floor-step"]
    assert append["suffix_tokens"] == step["suffix_tokens"]
    assert append["repeats"] == step["repeats"] == 2


def test_an_encoder_has_no_step_and_that_is_said(qapp, capsys, folder):
    said = typing(
        capsys, "--model", str(folder), "--tokens", "12", "--repeats", "1", "--edits", "append"
    )
    assert "No floor-step at 12 tokens" in said.err
    assert "floor-eager / append" in said.out
    assert "floor-step" not in said.out


def test_a_table_of_vectors_has_nothing_to_measure_and_that_is_said(qapp, capsys, tmp_path):
    table_of_words = tmp_path / "words.txt"
    table_of_words.write_text("king 0.1 0.2 0.3\nqueen 0.2 0.1 0.4\nman 0.3 0.1 0.2\n")
    given = ["bench", "typing", "--model", str(table_of_words), "--tokens", "8", "--repeats", "1"]
    assert program.main(given) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "words is a table of vectors" in said
    assert said.endswith("Choose a model that has layers.")


def test_what_the_model_cannot_read_is_left_out(qapp, capsys):
    said = typing(
        capsys, "--model", "builtin", "--tokens", "5000", "--repeats", "1", "--edits", "layer"
    )
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert "5000 tokens left out" in said.err


def test_the_users_settings_are_left_alone(qapp, capsys, own_settings):
    typing(capsys, "--model", "builtin", "--tokens", "8", "--repeats", "1", "--edits", "layer")
    assert not list(own_settings.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        ("typing", "--tokens", "0"),
        ("typing", "--edits", "append,x"),
        ("start", "--repeats", "x"),
        (),
    ],
)
def test_wrong_usage(wrong, capsys):
    with pytest.raises(SystemExit) as left:
        program.main(["bench", *wrong])
    assert left.value.code == 2


@pytest.mark.slow
def test_start_tells_when_what_was_on_the_screen():
    done = subprocess.run(
        [sys.executable, "main.py", "bench", "start", "--repeats", "1", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["heavy_before_first_paint"] == []
    assert 0 < found["first_paint_ms"] < found["builtin_live_ms"]
    default = found["default_live_ms"]
    assert default is None or default > found["builtin_live_ms"]
    assert (default is None) == ("is not on this machine" in done.stderr)


def test_a_timeline_that_is_being_written_is_read_as_far_as_it_goes(tmp_path):
    file = tmp_path / "timeline"
    assert start.read(file) == {}
    file.write_text('{"event": "first-paint", "ms": 5.0, "imported": ["torch"]}\n{"event": "li')
    assert start.read(file) == {"first-paint": (5.0, ("torch",))}


def test_nothing_is_noted_unless_it_is_asked_for(monkeypatch, qapp):
    monkeypatch.delenv(timeline.FILE, raising=False)
    timeline.keep_timeline(None)  # would need a window
    assert {"torch", "transformers", "matplotlib", "sklearn"} <= set(HEAVY)


def test_a_loop_that_does_not_turn_is_late(qtbot, qapp):
    late = Lateness(qapp)
    late.start()
    qtbot.waitUntil(lambda: len(late.samples) >= 2)
    QTimer.singleShot(0, lambda: time.sleep(3 * INTERVAL_MS / 1000))
    count = len(late.samples)
    qtbot.waitUntil(lambda: max(late.samples) > INTERVAL_MS and len(late.samples) > count)
    late.stop()
    assert min(late.samples) >= 0


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux counts this")
def test_memory_that_comes_and_goes_is_seen():
    memory = PeakMemory()
    memory.begin()
    # Pages of its own: an allocator may hand out what the process holds already.
    with mmap.mmap(-1, 40_000_000) as held:
        held.write(b"x" * 40_000_000)
    peak = memory.peak()
    assert memory.before is not None
    assert peak - memory.before > 30_000_000
    memory.begin()
    assert memory.peak() < peak - 20_000_000


def test_texts_are_long_and_do_not_repeat_themselves():
    text = long_text(30_000)
    assert len(text) >= 30_000
    halves = text[:15_000], text[15_000:]
    lines = [{line for line in half.splitlines() if len(line) > 80} for half in halves]
    assert lines[0]
    assert lines[1]
    assert not lines[0] & lines[1]
    assert long_text(500, seed=1) != long_text(500, seed=2)
    typed = keys(200)
    assert len(typed) == 200
    assert set(typed) <= set(" abcdefghijklmnopqrstuvwxyz")


def line(case, *each, tokens=64):
    middle = sorted(each)[len(each) // 2]
    return Line(
        case, tokens, middle, max(each), max(each), 1, 1, None, None, None, len(each), "m", "cpu",
        "float32", each,
    )  # fmt: skip


def test_ratios_are_taken_in_pairs():
    # The machine was twice as slow in the third turn; each pair says two thirds.
    lines = [line("append", 2.0, 2.0, 4.0), line("floor-step", 3.0, 3.0, 6.0)]
    assert ratios(lines) == ["64 tokens: append / floor-step 0.67"]
    lines.append(line("floor-eager", 50.0))
    assert ratios(lines) == ["64 tokens: append / floor-step 0.67, floor-eager / append 25.0"]
    rows = table(lines).splitlines()
    assert len({len(row) for row in rows}) == 1
    assert rows[1].split()[:2] == ["append", "64"]
