"""How the program starts and ends, and going to a place by its name."""

import signal
import sys

import pytest
import shiboken6
from fakes import FakeBridge
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from windows import make_window

from engine.paths import config_dir
from gui import app as program
from gui import window as window_module
from gui.session import Session
from gui.settings import Settings, SettingsFile
from gui.window import MainWindow

# What the offscreen platform says of every window that is told its size.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")


# --- start and end --------------------------------------------------------------------------------


def launched(qtbot, wanted, bridge=None, device="auto", dtype="auto"):
    settings = Settings()
    bridge = bridge or FakeBridge()
    window = MainWindow(Session(settings.text), bridge, settings, SettingsFile())
    window.session.setParent(window)
    bridge.setParent(window)
    qtbot.addWidget(window)
    program.Launch(window, wanted, device, dtype)
    return window


def test_the_engine_starts_after_the_first_paint(qtbot):
    window = launched(qtbot, "smollm2-135m-instruct")
    loaded = []
    window.bridge.modelLoaded.connect(lambda info: loaded.append(info.name))
    assert not window.bridge.started
    with qtbot.waitSignal(window.firstPainted):
        window.show()
    qtbot.waitUntil(lambda: len(loaded) == 2)
    assert window.bridge.started
    assert loaded == ["builtin", "smollm2-135m-instruct"]
    assert window.session.model.name == "smollm2-135m-instruct"
    assert [spec for spec, _ in window.bridge.opened] == ["builtin", "smollm2-135m-instruct"]


def test_the_engine_starts_though_nobody_sees_the_window(qtbot, monkeypatch):
    monkeypatch.setattr(window_module, "PATIENCE_MS", 20)
    monkeypatch.setattr(MainWindow, "paintEvent", lambda *_: None)
    window = launched(qtbot, "builtin")
    window.show()
    qtbot.waitUntil(lambda: window.session.model is not None)
    assert window.bridge.started


def test_without_the_wanted_model_the_builtin_one_goes_on(qtbot):
    window = launched(qtbot, "gone")
    window.show()
    qtbot.waitUntil(lambda: bool(window.message))
    assert window.session.model.name == "builtin"
    assert (window.settings.model, window.settings.recent) == (Settings().model, [])


@pytest.mark.parametrize("wanted", ["builtin", "smollm2-135m-instruct"])
def test_a_precision_that_is_asked_for_at_the_start_is_the_choice(qtbot, wanted):
    window = launched(qtbot, wanted, dtype="float16")
    window.show()
    qtbot.waitUntil(lambda: window.settings.dtype == "float16")
    assert window.session.model.dtype == "float16"
    assert window.session.model.name == wanted
    assert window.commands.actions["model.precision.float16"].isChecked()
    assert set(window.bridge.dtypes) == {"float16"}


def test_the_builtin_model_opens_where_the_wanted_device_is_missing(qtbot):
    bridge = FakeBridge()
    bridge.devices = {"auto", "cpu"}
    window = launched(qtbot, "smollm2-135m-instruct", bridge, device="cuda")
    window.show()
    qtbot.waitUntil(lambda: bool(window.message))
    assert bridge.opened == [("builtin", "auto"), ("smollm2-135m-instruct", "cuda")]
    assert "cuda" in window.message
    assert window.session.model.name == "builtin"
    assert window.settings.device == "auto"


def test_a_device_that_is_missing_is_not_kept(qtbot):
    window = make_window(qtbot)
    window.bridge.devices = {"auto", "cpu"}
    window.top.deviceChosen.emit("mps")
    qtbot.waitUntil(lambda: bool(window.message))
    assert window.settings.device == "auto"
    window.top.deviceChosen.emit("cpu")
    qtbot.waitUntil(lambda: window.settings.device == "cpu")


def test_a_model_chosen_meanwhile_is_not_overruled(qtbot):
    bridge = FakeBridge()
    bridge.held.add("builtin")
    window = launched(qtbot, "smollm2-135m-instruct", bridge)
    window.show()
    qtbot.waitUntil(lambda: bool(bridge.opened))
    window.open_model("encoder")
    qtbot.waitUntil(lambda: window.session.model is not None)
    QApplication.processEvents()
    assert [spec for spec, _ in bridge.opened] == ["builtin", "encoder"]


def test_nothing_is_imported_that_belongs_to_the_engines_thread(qtbot):
    before = {"torch", "transformers", "matplotlib.pyplot"} - set(sys.modules)
    make_window(qtbot)
    assert before.isdisjoint(sys.modules)


def test_closing_in_mid_run_leaves_nothing(qapp):
    window = make_window()
    window.bridge.auto = False
    window.bridge.held.add("gpt2")
    window.open_model("gpt2")
    window.session.set_text("Still being answered.")
    panels = list(window.panels.values())
    window.close()
    assert window.bridge.closed
    assert not window.isVisible()
    assert SettingsFile().load()[0].text == "Still being answered."
    shiboken6.delete(window)
    assert not any(shiboken6.isValid(panel) for panel in panels)


def test_ctrl_c_closes_the_window(qtbot):
    window = make_window(qtbot)
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    waker = program.close_on_interrupt(window)
    try:
        signal.raise_signal(signal.SIGINT)
        assert not window.isVisible()
        assert window.bridge.closed
    finally:
        waker.stop()
        for number, handler in before:
            signal.signal(number, handler)


def test_an_unforeseen_error_is_a_sentence_and_a_log(qtbot):
    window = make_window(qtbot)
    reporter = program.Reporter(window)
    try:
        raise ZeroDivisionError("seven by\nnothing")
    except ZeroDivisionError as error:
        reporter.report(type(error), error, error.__traceback__)
    assert "seven by nothing" in window.message
    assert "Traceback" not in window.message
    written = (config_dir() / "errors.log").read_text()
    assert "ZeroDivisionError" in written
    assert "test_start_and_end.py" in written


def test_the_reporter_takes_errors_and_gives_them_back(qtbot):
    former = sys.excepthook
    reporter = program.Reporter(make_window(qtbot))
    reporter.install()
    assert sys.excepthook == reporter.report
    reporter.remove()
    assert sys.excepthook is former


# --- going to a place -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "reached"),
    [
        ("L3H2", lambda window: (window.session.layer, window.session.head) == (3, 2)),
        ("l6", lambda window: window.session.layer == 6),
        ("running", lambda window: window.session.selected == 3),
        ("Mean over", lambda window: window.session.head is None),
        ("All heads", lambda window: window.panels["mosaic"].isVisible()),
    ],
)
def test_the_go_to_field_goes_there(qtbot, written, reached):
    window = make_window(qtbot)
    window.session.set_head(1)
    window.panels["mosaic"].close()
    window.commands.actions["view.goto"].trigger()
    qtbot.waitUntil(window.top.goto.hasFocus)
    qtbot.keyClicks(window.top.goto, written)
    popup = window.top.goto.completer().popup()
    assert popup.isVisible()
    qtbot.keyClick(popup, Qt.Key.Key_Return)
    assert reached(window)
    assert window.top.goto.text() == ""


def test_a_picked_line_of_the_go_to_field_is_taken(qtbot):
    window = make_window(qtbot)
    window.commands.actions["view.goto"].trigger()
    qtbot.waitUntil(window.top.goto.hasFocus)
    qtbot.keyClicks(window.top.goto, "L4H")
    popup = window.top.goto.completer().popup()
    qtbot.keyClick(popup, Qt.Key.Key_Down)
    qtbot.keyClick(popup, Qt.Key.Key_Down)
    qtbot.keyClick(popup, Qt.Key.Key_Return)
    assert (window.session.layer, window.session.head) == (4, 1)
    qtbot.waitUntil(lambda: window.top.goto.text() == "")


def test_what_is_nowhere_leaves_everything_as_it_is(qtbot):
    window = make_window(qtbot)
    window.top.goto.setFocus()
    qtbot.keyClicks(window.top.goto, "no such thing")
    qtbot.keyClick(window.top.goto, Qt.Key.Key_Return)
    assert window.top.goto.text() == "no such thing"
    qtbot.keyClick(window.top.goto, Qt.Key.Key_Escape)
    assert window.top.goto.text() == ""
    assert window.focusWidget() is window.editor
