"""The laboratory's panel: what it trains, how it is stopped, and runs held against each other."""

from __future__ import annotations

import argparse
import json
import sys

import msgspec
import numpy as np
import pytest
from fakes import make_snapshot, model_info, request
from made_runs import keep, lab_point, lab_run, lab_sheet, probe
from PySide6.QtCore import QPoint, Qt
from windows import make_window

from engine.errors import UserError
from engine.lab.runs import checkpoint_folder, read_probe, read_run
from engine.lab.settings import settings_for
from gui import laboratory
from gui.headless.lab_arguments import _NUMBERS, add_lab
from gui.lab_process import LabProcess
from gui.laboratory import DEFAULTS, SIZES, TASKS, LabChoice
from gui.session import Session
from gui.training import SAMPLES
from gui.views.laboratory import LaboratoryView

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def view(qtbot):
    session = Session("The dog runs.")
    session.set_model(model_info())
    made = LaboratoryView(session)
    qtbot.addWidget(made)
    made.resize(620, 380)
    return made


def trainer(window, *lines, after=""):
    """Let the window train by a program that prints points, and then does something."""
    script = (
        "import sys, time\n"
        f"for line in {[json.dumps(msgspec.to_builtins(one)) for one in lines]!r}:\n"
        "    print(line, flush=True)\n"
        f"{after}\n"
    )
    process = window._laborant.process
    process._program = [sys.executable, "-c", script]
    return process


# --- what is asked for ----------------------------------------------------------------------------


def test_the_form_has_the_engines_defaults(view):
    for (arch, task), told in DEFAULTS.items():
        own = settings_for(arch, task)
        names = {"mlp": "inner"}
        assert {name: getattr(own, names.get(name, name)) for name in told} == told
        assert own.options[SIZES[task].word] == SIZES[task].value
        view.form.arch.setCurrentIndex(view.form.arch.findData(arch))
        view.form.task.setCurrentIndex(view.form.task.findData(task))
        assert {name: view.form.fields[name].value() for name in told} == told
        shown = [key for key, pair in view.form._pairs.items() if not pair.isHidden()]
        assert ("heads" in shown) == (arch == "transformer")
        assert [key for key in shown if key.startswith("size-")] == [f"size-{task}"]
    assert set(TASKS) == set(SIZES)


def test_what_was_changed_stays(view):
    view.form.fields["layers"].setValue(3)
    view.form.task.setCurrentIndex(view.form.task.findData("addition"))
    assert view.form.fields["layers"].value() == 3
    assert view.form.fields["mlp"].value() == 256


def test_the_words_are_those_of_the_command_line(view, qtbot):
    asked = []
    view.startRequested.connect(lambda words, folder: asked.append((words, folder)))
    view.form.sizes["repeat"].setValue(16)
    view.start.click()
    ((words, folder),) = asked
    assert words[:6] == ["lab", "train", "--arch", "transformer", "--task", "repeat"]
    told = dict(zip(words[2:-1:2], words[3:-1:2], strict=False))
    assert (told["--vocabulary"], told["--layers"], told["--mlp"]) == ("16", "2", "0")
    assert told["--out"] == str(folder)
    assert words[-1] == "--json"
    # The same choice has the same folder, another one another.
    again = view.form.choice()
    assert again.folder == folder
    view.form.fields["seed"].setValue(1)
    assert view.form.choice().folder != folder


@pytest.mark.parametrize("task", sorted(TASKS))
@pytest.mark.parametrize("arch", ["transformer", "lstm"])
def test_what_nobody_changed_trains_what_the_command_line_does(view, arch, task):
    view.form.arch.setCurrentIndex(view.form.arch.findData(arch))
    view.form.task.setCurrentIndex(view.form.task.findData(task))
    words = view.form.choice().words()
    given = vars(parser().parse_args(words[1:]))
    assert (given["arch"], given["task"], given["json"]) == (arch, task, True)
    assert len(given["corpus"]) == (task == "text")
    names = {word.replace("-", "_"): name for word, name, _, _ in _NUMBERS}
    said = {name: given[word] for word, name in names.items()}
    assert settings_for(arch, task, **said) == settings_for(arch, task)


def test_heads_that_cannot_share_the_width_are_said(view):
    view.form.fields["heads"].setValue(5)
    view.start.click()
    assert "64 cannot be shared out among 5 heads" in view.note.text()
    assert view.stage == "idle"


def test_texts_are_files_or_made_into_one(cache, tmp_path):
    (own,) = laboratory.texts_for((tmp_path / "a.txt",), "")
    assert own == tmp_path / "a.txt"
    (context,) = laboratory.texts_for((), "My words.")
    assert context.read_text(encoding="utf-8") == "My words."
    assert laboratory.texts_for((), "My words.") == (context,)
    (samples,) = laboratory.texts_for((SAMPLES,), "")
    assert len(samples.read_text(encoding="utf-8")) > 10_000
    with pytest.raises(UserError, match="it is empty"):
        laboratory.texts_for((), " ")


def parser():
    made = argparse.ArgumentParser()
    add_lab(made)
    return made


def test_a_run_that_was_stopped_is_gone_on_with_by_all_its_settings(cache):
    run = lab_run(cache / "lab" / "x", ended="", rate=0.003)
    words = laboratory.again(run)
    given = vars(parser().parse_args(words[1:]))
    own = run.card.settings
    said = {"inner": given["mlp"], **{name: given[name] for name in ("layers", "heads", "rate")}}
    told = {key: given[key] for key in ("vocabulary", "length", "shortest", "steps", "width")}
    found = settings_for(
        own.arch, own.task, **said, **told, positions=given["positions"], batch=given["batch"]
    )
    assert found == own
    words = laboratory.again(lab_run(cache, arch="lstm"))
    assert "--heads" not in words


# --- a training -----------------------------------------------------------------------------------


def begun(window, qtbot, *lines, after=""):
    window.panels["laboratory"].show()
    view = window.panels["laboratory"].view
    process = trainer(window, *lines, after=after)
    folder = view.form.choice().folder
    run = keep(folder, ended="")
    view.start.click()
    return view, process, run


def test_points_are_drawn_as_they_come_and_the_model_opens(qtbot):
    window = make_window(qtbot)
    view, _, run = begun(window, qtbot, lab_point(20), lab_point(60), lab_point(100))
    qtbot.waitUntil(lambda: view.stage == "idle")
    assert view.note.text().startswith("Trained to the last step")
    assert view.current.folder == run.folder
    # What was read again is what the folder says.
    assert [one.step for one in view.current.points] == [0, 1, 10]
    view.open.click()
    assert window.bridge.opened[-1][0] == str(run.folder)


def test_curves_grow_while_it_trains_and_it_can_rest(qtbot):
    window = make_window(qtbot)
    view, process, _ = begun(window, qtbot, lab_point(20), lab_point(60), after="time.sleep(60)")
    qtbot.waitUntil(lambda: bool(view.page.loss.lines) and view.page.loss.lines[0].x[-1] == 60)
    held, trained = view.page.loss.lines
    assert (held.name, trained.name, trained.dashed) == ("held out", "trained", True)
    assert held.x == (0, 1, 10, 20, 60)
    assert trained.x == (1, 10, 20, 60)
    assert "Step 60 of 100, held-out loss 0.571, accuracy 60 %, 1,000 tokens/s, about 4 s left" in (
        view.note.text()
    )
    assert view.progress.value() == 600
    # The head that scores highest is the one whose attention is shown.
    assert view.page.head == (1, 1)
    assert view.page.path.places.shape == (6, 2)
    view.pause.click()
    assert process.paused
    qtbot.waitUntil(lambda: process._running().status() == "stopped")
    view.pause.click()
    assert not process.paused
    view.stop.click()
    qtbot.waitUntil(lambda: view.stage == "idle")
    assert "Go on resumes it" in view.note.text()
    assert view.resume.isEnabled()
    assert not process.running


def test_closing_the_window_ends_it(qtbot):
    window = make_window(qtbot)
    view, process, _ = begun(window, qtbot, lab_point(20), after="time.sleep(60)")
    qtbot.waitUntil(lambda: view.progress.value() == 200)
    found = process._running()
    view.pause.click()  # one that rests too
    window.close()
    assert not process.running
    assert not found.is_running() or found.status() == "zombie"


def test_what_cannot_be_trained_is_one_sentence(qtbot):
    window = make_window(qtbot)
    says = (
        "sys.stderr.write('warning\\ncontextscope: it is too odd. Choose another.\\n'); sys.exit(1)"
    )
    view, _, _ = begun(window, qtbot, after=says)
    qtbot.waitUntil(lambda: view.stage == "idle")
    assert view.note.text() == "It is too odd. Choose another."


def test_a_program_that_is_not_there_is_said(qtbot):
    process = LabProcess(program=["/no/such/python"])
    with qtbot.waitSignal(process.ended) as ended:
        process.start(["lab"])
    assert ended.args[0] == "failed"
    assert "could not be started" in ended.args[1]
    assert not process.running


# --- runs -----------------------------------------------------------------------------------------


def test_runs_are_found_and_what_is_damaged_is_left_out(cache):
    keep(cache / "lab" / "one")
    keep(cache / "lab" / "two", arch="lstm")
    keep(cache / "lab" / "three")
    (cache / "lab" / "three" / "run.json").write_text("{", encoding="utf-8")
    assert {run.folder.name for run in laboratory.found_runs()} == {"one", "two"}


def test_ticked_runs_are_drawn_over_each_other(view, cache):
    keep(cache / "lab" / "one")
    keep(cache / "lab" / "two", seed=1, ended="")
    view.show()
    assert view.list.topLevelItemCount() == 2
    assert {view.list.topLevelItem(row).text(1) for row in range(2)} == {
        "100 of 100",
        "stopped at 10 of 100",
    }
    for row in range(2):
        view.list.topLevelItem(row).setCheckState(0, Qt.CheckState.Checked)
    view.curves.setChecked(True)
    assert [line.role for line in view.page.accuracy.lines] == [0, 1]
    assert view.page._middle.currentIndex() == 1
    assert view.page.best.lines[0].y[-1] in (1.0, 0.2)
    assert "seed&nbsp;1" in view.page.legend.text()
    assert view.caption() == "2 runs"
    sheet = view.figure_options().sheet
    assert len({row["run"] for row in sheet.spec.lines(sheet.study)}) == 2


def test_a_checkpoint_opens_too(view, cache):
    run = keep(cache / "lab" / "one")
    for step in (1, 2):
        folder = checkpoint_folder(run.folder, step)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}", encoding="utf-8")
    view.show()
    asked = []
    view.openRequested.connect(asked.append)
    view.open.click()
    view.checkpoint.setCurrentIndex(2)
    assert view.checkpoint.currentText() == "step 2"
    view.curves.setChecked(True)  # which is chosen stays
    view.open.click()
    assert asked == [run.folder, checkpoint_folder(run.folder, 2)]


def test_an_lstm_says_that_it_has_no_attention(view, cache):
    keep(cache / "lab" / "one", arch="lstm")
    view.show()
    view.curves.setChecked(True)
    assert "An LSTM has no attention" in view.page.heads.message
    assert "An LSTM has no attention" in view.page.attention.message
    assert view.page.path.places.shape == (6, 2)


def test_a_click_shows_another_head(view, cache, qtbot):
    keep(cache / "lab" / "one")
    view.show()
    view.curves.setChecked(True)
    shown = view.page.heads.map
    qtbot.waitUntil(lambda: shown.width() > 60)
    at = shown.cell_rect(0, 1).center()
    qtbot.mouseClick(shown, Qt.MouseButton.LeftButton, pos=QPoint(int(at.x()), int(at.y())))
    assert view.page.head == (0, 1)
    assert view.page.attention.title.text().endswith("L0H1")


def test_draws_in_any_size_and_nothing_of_a_snapshot(view, cache):
    keep(cache / "lab" / "one")
    view.show()
    view.render_snapshot(make_snapshot(request("The dog.", *view.queries())))
    view.curves.setChecked(True)
    for width, height in ((240, 180), (620, 380), (1200, 300)):
        view.resize(width, height)
        assert not view.grab().isNull()


# --- plain functions ------------------------------------------------------------------------------


def test_a_probe_comes_back_as_it_was(tmp_path):
    run = keep(tmp_path / "run")
    found = read_probe(run.folder)
    assert (found.step, found.tokens) == (100, probe().tokens)
    assert np.array_equal(found.attention, probe().attention)
    (run.folder / "probe.npz").write_bytes(b"PK")
    assert read_probe(run.folder) is None
    keep(tmp_path / "lstm", arch="lstm")
    assert read_probe(tmp_path / "lstm").attention is None
    assert read_run(tmp_path / "lstm").points


def test_a_run_that_went_back_drops_what_came_after():
    points = (lab_point(0), lab_point(10), lab_point(20))
    assert [one.step for one in laboratory.joined(points, lab_point(10))] == [0, 10]
    assert laboratory.pace(points, 100) == (pytest.approx(1000), pytest.approx(8))
    assert laboratory.pace(points[:1], 100) is None


def test_a_path_keeps_its_side():
    states = probe(1).states
    first = laboratory.path_of(states)
    assert (first[-1] >= 0).all()
    again = laboratory.path_of(-states, first)
    assert np.allclose(first, again, atol=1e-4)
    assert laboratory.path_of(states[:1]).tolist() == [[0.0, 0.0]]


def test_a_choice_knows_when_its_text_has_changed(tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("one", encoding="utf-8")
    before = LabChoice("lstm", "text", {}, (text,)).folder
    text.write_text("another", encoding="utf-8")
    assert LabChoice("lstm", "text", {}, (text,)).folder != before


def test_curves_of_one_run_have_what_it_was_trained_on():
    one = lab_sheet(1)
    assert one.meta["model"] == "run-0"
    numbers = one.arrays()
    assert numbers["induction_0"].shape == (4, 2, 2)
    assert np.isnan(numbers["train_loss"][0])
    assert numbers["step"].tolist() == [0, 1, 10, 100]
