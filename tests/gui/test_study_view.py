"""The panel of studies: what it asks for, what it draws, and a study of a tiny model."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FakeBridge, make_snapshot, model_info, request
from made_studies import heads_study, kshot_study, point, position_study, record
from PySide6.QtCore import QPoint, QPointF, Qt
from windows import make_window

from engine.studies.values import Measured, Placed, Scored
from engine.types import Failure, JobDone, Progress
from gui.session import Session
from gui.studying import StudyChoice
from gui.timeleft import TimeLeft, duration
from gui.views.study import StudyView
from gui.widgets.line_plot import Line, LinePlot
from gui.widgets.study_form import FIT

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")


class StudyBridge(FakeBridge):
    def __init__(self) -> None:
        super().__init__()
        self.studied: list[StudyChoice] = []

    def study(self, choice):
        self.studied.append(choice)
        self._jobs.append("study 1")
        return "study 1"


@pytest.fixture
def window(qtbot):
    made = make_window(qtbot, bridge=StudyBridge())
    made.panels["study"].show()
    return made


@pytest.fixture
def view(qtbot):
    session = Session("The dog.")
    session.set_model(model_info())
    made = StudyView(session)
    qtbot.addWidget(made)
    made.resize(620, 380)
    made.show()
    return made


def begun(view, kind="kshot"):
    view.kind.setCurrentIndex(view.kind.findData(kind))
    view.start.click()
    return view


# --- what is asked for ----------------------------------------------------------------------------


def test_is_hidden_at_first(qtbot):
    made = make_window(qtbot, bridge=StudyBridge())
    assert made.panels["study"].isHidden()


def test_asks_for_what_is_chosen(window):
    view = window.panels["study"].view
    view.form.shots.setCurrentText("4, 0,2 2")
    view.form.seeds.setValue(2)
    view.form.queries.setValue(7)
    view.form.instruction.setChecked(False)
    view.start.click()
    (choice,) = window.bridge.studied
    assert (choice.kind, choice.model, choice.task.key) == ("kshot", "builtin", "capitals")
    assert choice.settings == {
        "shots": (0, 2, 4),
        "seeds": 2,
        "queries": 7,
        "instruction": False,
        "shuffled": True,
    }
    assert not view.kind.isEnabled()
    assert view.cancel.isVisible()
    assert window.panels["study"].view.caption() == "k-shot curve · Capitals · Builtin"


def test_the_other_studies_ask_for_theirs(view):
    asked = []
    view.startRequested.connect(asked.append)
    begun(view, "position")
    view.stop("")
    begun(view, "heads")
    place, heads = asked
    assert place.looking == {"early": 50, "late": 500, "around": 0, "texts": 32}
    assert [path.name for path in place.corpus] == ["samples"]
    assert heads.settings["top"] == 5
    assert heads.looking["texts"] == 8


def test_as_many_as_fit_is_a_choice(view):
    view.form.shots.setCurrentText(FIT)
    assert view.form.choice().settings["shots"] == ()


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "0, two", "9999999"])
def test_numbers_that_are_none_are_said(view, text):
    view.form.shots.setCurrentText(text)
    view.start.click()
    assert "are no numbers of examples" in view.note.text()
    assert not view.running


def test_an_empty_context_is_said(view):
    view.session.set_text(" ")
    view.kind.setCurrentIndex(1)
    view.form.texts.set_paths(())
    view.start.click()
    assert "it is empty" in view.note.text()


def test_a_task_of_ones_own_is_offered_or_refused(view, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'key = "own"\ntitle = "Own"\nabout = "x"\ninput = "{input} is"\noutput = " {output}"\n'
        'scoring = "exact"\nexamples = [{ input = "a", output = "b" }]\n',
        encoding="utf-8",
    )
    view.form.open_file(str(path))
    assert view.form.choice().task.key == "own"
    view.form.open_file(str(tmp_path / "missing.toml"))
    assert "no such file" in view.note.text()
    assert view.form.choice().task.key == "own"


# --- what is drawn --------------------------------------------------------------------------------


def test_the_curve_grows_and_its_queries_are_listed(window):
    view, bridge = window.panels["study"].view, window.bridge
    view.start.click()
    first = Measured("part 1", 0.25, "study 1", (point(0, shuffled=False),), (record(),))
    second = Measured(
        "part 2", 0.5, "study 1", (point(0), point(2)), (record(2, query=1, right=False),)
    )
    bridge.progressed.emit(first)
    assert [line.name for line in view.kshot.plot.lines] == ["answers as they are"]
    bridge.progressed.emit(second)
    true, control = view.kshot.plot.lines
    assert true.y == pytest.approx((0.5, 0.6))
    assert true.low == pytest.approx((0.4, 0.5))
    assert control.dashed
    assert view.kshot.plot.point_near(view.kshot.plot.place(1.0, 0.6))[1] == 1
    assert "interval 0.5 to 0.7" in view.kshot.plot.told(true, 1)
    view.kshot.measure.setCurrentIndex(2)
    assert view.kshot.plot.lines[0].y == pytest.approx((-1.0, -0.9))
    assert [one.k for one in view.kshot.table.shown] == [0, 2]
    view.kshot.wrong.setChecked(True)
    assert [one.right for one in view.kshot.table.shown] == [False]
    view.kshot.wrong.setChecked(False)
    view.kshot.k.setCurrentIndex(view.kshot.k.findData(2))
    assert [one.k for one in view.kshot.table.shown] == [2]
    # What is there can be saved while the study goes on.
    sheet = view.figure_options().sheet
    assert [row["k"] for row in sheet.spec.lines(sheet.study)] == [0, 2]
    bridge.jobFinished.emit(JobDone("study 1", kshot_study()))
    assert not view.running
    assert len(view.kshot.points) == 4
    assert view.figure_options().sheet.study.tokens == 100


def test_a_query_opens_in_the_editor_and_undo_brings_the_text_back(window, qtbot):
    view = window.panels["study"].view
    window.session.set_text("What I wrote.")
    view.start.click()
    window.bridge.progressed.emit(Measured("", 1.0, "study 1", (point(1),), (record(1),)))
    table = view.kshot.table
    qtbot.waitUntil(lambda: table.isVisible() and not table.visualRect(index(table)).isEmpty())
    qtbot.mouseClick(
        table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(index(table)).center()
    )
    assert window.session.text == record(1).prompt
    assert "undo brings your text back" in view.note.text()
    window.editor.undo()
    assert window.session.text == "What I wrote."


def index(table):
    return table.model().index(0, 2)


def test_generated_answers_have_no_f1(view):
    view.form.task.setCurrentIndex(view.form.task.findText("Capitals"))
    begun(view)
    assert view.kshot.chance is None
    view.kshot.measure.setCurrentIndex(1)
    view.take(Measured("", 0.1, points=(point(0),)))
    assert view.kshot.measure.currentData() == "accuracy"


def test_losses_are_drawn_and_the_score_is_told(view):
    begun(view, "position")
    study = position_study()
    view.take(Placed("Read 1 of 3 texts", 0.3, curve=study.curve))
    assert len(view.position.plot.lines[0].y) == len(study.curve) - 1
    view.finish(study)
    assert "In-context learning score −0.9 nats, 95 % interval −1 to −0.8" in (
        view.position.score.text()
    )
    mean = view.position.plot.lines[1]
    assert len(mean.low) == len(mean.y) > 5
    assert np.isfinite(mean.y).all()
    assert view.figure_options().sheet.spec.key == "position"


def test_a_click_on_the_map_opens_the_head(view, qtbot):
    begun(view, "heads")
    study = heads_study()
    view.take(Scored("", 0.2, "", study.induction, study.prefix_matching))
    shown = view.heads.maps["induction"]
    qtbot.waitUntil(lambda: shown.width() > 100)
    at = shown.cell_rect(2, 3).center()
    qtbot.mouseClick(shown, Qt.MouseButton.LeftButton, pos=QPoint(int(at.x()), int(at.y())))
    assert (view.session.layer, view.session.head) == (2, 3)
    view.finish(study)
    assert len(view.heads.effects.effects) == 3
    assert "L2H3 1.00" in view.note.text()
    assert not view.heads.effects.grab().isNull()
    # Heads of another model are not those of the one that is open.
    view.session.set_model(model_info("other", fingerprint="1" * 64))
    view.heads.headChosen.emit(0, 1)
    assert "another model" in view.note.text()
    assert view.session.head == 3


def test_where_no_head_can_be_switched_off_it_says_why(view):
    begun(view, "heads")
    view.finish(heads_study(refused="No head was switched off: it is odd."))
    assert view.heads.effects.message == "No head was switched off: it is odd."


# --- how it ends ----------------------------------------------------------------------------------


def test_cancelling_keeps_what_is_drawn(window):
    view = window.panels["study"].view
    view.start.click()
    window.bridge.progressed.emit(Measured("", 0.5, "study 1", (point(0),), (record(),)))
    view.cancel.click()
    assert window.bridge.cancelled == ["study 1"]
    assert "goes on from here" in view.note.text()
    assert view.kshot.points
    assert view.start.isVisible()


def test_a_failure_is_told_in_the_panel_alone(window):
    view = window.panels["study"].view
    view.start.click()
    sentence = "Cannot study Capitals: it is too long. Show at most 4."
    window.bridge.failed.emit(Failure(0, sentence, job="study 1"))
    assert view.note.text() == sentence
    assert not view.running
    assert window.message == ""


def test_another_choice_of_study_shows_its_form_and_back(view):
    begun(view)
    view.take(Measured("", 1.0, points=(point(0),), records=(record(),)))
    view.finish(kshot_study())
    assert view._stack.currentIndex() == 1
    view.kind.setCurrentIndex(2)
    assert view._stack.currentIndex() == 0
    view.kind.setCurrentIndex(0)
    view.settings.setChecked(False)
    assert view._stack.currentIndex() == 1


def test_draws_in_any_size_and_nothing_of_a_snapshot(view):
    view.render_snapshot(make_snapshot(request("The dog.", *view.queries())))
    begun(view)
    view.take(Progress("Looking", None))
    view.take(Measured("", 1.0, points=(point(0), point(1)), records=(record(),)))
    for width, height in ((240, 160), (620, 380), (1200, 300)):
        view.resize(width, height)
        assert not view.grab().isNull()


# --- parts ----------------------------------------------------------------------------------------


def test_the_time_left_follows_what_was_done_lately():
    now = [0.0]
    left = TimeLeft(lambda: now[0])
    left.note(0.0)
    assert left.said() == ""
    left.note(0.5)  # what was kept
    for second in range(1, 51):
        now[0] = float(second)
        left.note(0.5 + second / 1000)
    assert left.seconds == pytest.approx(450, rel=0.02)
    assert duration(450) == "8 min"
    assert duration(12) == "12 s"
    assert duration(3 * 3600) == "3.0 h"


def test_a_plot_takes_what_is_no_number(qtbot):
    plot = LinePlot("Loss", "nats", "step")
    qtbot.addWidget(plot)
    plot.resize(300, 160)
    nan = float("nan")
    plot.set_lines(
        [Line("a", (1.0, 2.0, 4.0), (nan, 1.0, 3.0), (nan, 0.5, 2.0), (nan, 1.5, 4.0)),
         Line("b", (1.0,), (2.0,), role=3, thin=True)],
        level=(2.0, "chance"), marks=(2.0,), logarithmic=True,
    )  # fmt: skip
    assert not plot.grab().isNull()
    assert plot.point_near(QPointF(-100, -100)) is None
    assert "a 3" in plot.accessibleDescription()
    plot.set_lines(())
    assert not plot.grab().isNull()
