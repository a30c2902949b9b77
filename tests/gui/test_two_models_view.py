"""Two models in the compare panel: choosing, waiting, failing and going back; and their figure."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from fakes import make_snapshot, model_info, request
from windows import asked, make_window, settle

from engine.comparison import CompareQuery, identity
from gui import comparing
from gui.companion import DIALOG
from gui.exporters.spec import export
from gui.session import Session
from gui.views.compare import CompareView
from gui.widgets.open_model import OpenModel
from gui.widgets.second_model import OTHER, SAME

# What the offscreen platform says of a tabbed panel that is raised.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")

TEXT = "The dog is running in the park."
OTHER_INFO = model_info("other-model", fingerprint="1" * 64)


@pytest.fixture
def window(qtbot):
    window = make_window(qtbot)
    window.bridge.models["other-model"] = OTHER_INFO
    window.commands.actions["view.show.compare"].trigger()
    settle(window, qtbot)
    return window


@pytest.fixture
def view(qtbot):
    session = Session(TEXT)
    session.set_model(model_info())
    view = CompareView(session)
    qtbot.addWidget(view)
    view.resize(640, 380)
    view.show()
    return view


def answer(view, change=lambda found: found):
    session = view.session
    snapshot = make_snapshot(request(session.text, *view.queries()), session.model)
    results = {query: change(found) for query, found in snapshot.results.items()}
    view.render_snapshot(replace(snapshot, results=results))
    return snapshot


def pick(view, text):
    """Choose a line of the list as a click does."""
    view.second.setCurrentIndex(view.second.findText(text))
    view.second.activated.emit(view.second.currentIndex())


def listed(view):
    return [view.second.itemText(index) for index in range(view.second.count())]


def compared(window):
    """The comparison in the last request, None without one."""
    queries = window.bridge.requests[-1].queries
    return next((query for query in queries if isinstance(query, CompareQuery)), None)


# --- from the choice to the picture ---------------------------------------------------------------


def test_a_model_chosen_in_the_dialog_reads_side_b(window, qtbot):
    view = window.panels["compare"].view
    assert "CompareQuery" not in asked(window)
    pick(view, OTHER)
    assert view.second.currentText() == SAME  # it shows what is
    dialog = window.findChild(OpenModel, DIALOG)
    assert dialog.isVisible()
    window.commands.actions["model.open"].trigger()
    assert len(window.findChildren(OpenModel)) == 2  # that of the first model is another one
    dialog._line.setText("other-model")
    dialog._open.click()
    assert view.second.line.isVisible()
    assert "other-model" in view.second.line.label.text()
    qtbot.waitUntil(lambda: compared(window) is not None)
    settle(window, qtbot)
    assert compared(window).model == identity(OTHER_INFO)
    assert (compared(window).one, compared(window).other) == ("", "")
    assert view.second.currentText() == "Other Model"
    assert not view.second.line.isVisible()
    assert view.heads[0].text().startswith("A, Builtin: the text alone")
    assert view.heads[1].text().startswith("B, Other Model: the text alone")
    assert view.caption().startswith("Builtin and Other Model")
    assert window.session.model.name == "builtin"
    # Typing goes on, and asks the same two.
    window.session.set_text("Something else!")
    settle(window, qtbot)
    assert len(view.slots) == 3
    window.findChild(OpenModel, "open model").close()


def test_there_is_a_way_back_to_the_same_model(window, qtbot):
    view = window.panels["compare"].view
    companion = next(one for one in window._workers if hasattr(one, "drop"))
    companion.open("other-model")
    qtbot.waitUntil(lambda: window.session.second is not None)
    assert listed(view) == [SAME, "Other Model", OTHER]
    settle(window, qtbot)
    pick(view, "Other Model")
    assert window.session.second == OTHER_INFO
    pick(view, SAME)
    assert window.session.second is None
    assert window.bridge.closed_seconds == 1
    assert listed(view) == [SAME, OTHER]
    settle(window, qtbot)
    qtbot.waitUntil(lambda: compared(window) is None)
    assert not view.differences.isVisible()
    assert view.caption() == ""


def test_what_fails_is_a_sentence_in_the_panel_and_nothing_is_lost(window, qtbot):
    view, line = window.panels["compare"].view, window.panels["compare"].view.second.line
    companion = next(one for one in window._workers if hasattr(one, "drop"))
    companion.open("no/such")
    qtbot.waitUntil(lambda: line.isVisible() and not line.busy)
    assert "Cannot open no/such" in line.label.text()
    assert line.label.text().endswith("The same model stays on side B.")
    assert window.message == ""
    line.button.click()
    assert not line.isVisible()
    companion.open("other-model")
    qtbot.waitUntil(lambda: window.session.second is not None)
    companion.open("no/such")
    qtbot.waitUntil(lambda: line.isVisible() and not line.busy)
    assert line.label.text().endswith("Other Model stays on side B.")
    assert view.second.currentText() == "Other Model"
    assert window.session.text == window.bridge.requests[-1].text


def test_loading_can_be_ended_in_the_panel_and_by_another_choice(window, qtbot):
    view = window.panels["compare"].view
    companion = next(one for one in window._workers if hasattr(one, "drop"))
    window.bridge.held = {"other-model"}
    companion.open("other-model")
    assert view.second.line.busy
    view.second.line.button.click()
    assert window.bridge.cancelled == ["second 1 other-model"]
    assert not view.second.line.isVisible()
    companion.open("other-model")
    companion.open("smollm2-135m-instruct")
    assert window.bridge.cancelled[-1] == "second 2 other-model"
    qtbot.waitUntil(lambda: window.session.second is not None)
    assert window.session.second.name == "smollm2-135m-instruct"
    companion.open("other-model")
    pick(view, SAME)
    assert window.bridge.cancelled[-1] == "second 4 other-model"
    assert window.session.second is None
    # The line of state below may end it too.
    companion.open("other-model")
    window.bridge.cancel_job("second 5 other-model")
    assert not view.second.line.isVisible()


def test_the_second_follows_the_first_to_another_device(window, qtbot):
    companion = next(one for one in window._workers if hasattr(one, "drop"))
    companion.open("other-model")
    qtbot.waitUntil(lambda: window.session.second is not None)
    window.open_model("smollm2-135m-instruct")
    qtbot.waitUntil(lambda: window.session.model.name == "smollm2-135m-instruct")
    settle(window, qtbot)
    assert window.session.second == OTHER_INFO
    assert len(window.bridge.seconds) == 1
    window.set_device("cuda")
    qtbot.waitUntil(lambda: window.session.second.device == "cuda")
    window.set_dtype("bfloat16")
    qtbot.waitUntil(lambda: window.bridge.seconds[-1] == ("other-model", "bfloat16"))
    qtbot.waitUntil(lambda: not window.bridge.jobs())
    assert len(window.bridge.seconds) == 3


def test_closing_the_window_while_a_second_model_loads(window):
    companion = next(one for one in window._workers if hasattr(one, "drop"))
    window.bridge.held = {"other-model"}
    companion.open("other-model")
    window.close()
    assert window.bridge.closed


def test_the_engine_loads_answers_and_is_closed_in_mid_load(qtbot):
    from gui.bridge import Bridge

    window = make_window(qtbot, bridge=Bridge(), model=None)
    window.bridge.start()
    window.open_model("builtin")
    qtbot.waitUntil(lambda: window.controller.latest is not None, timeout=60_000)
    window.commands.actions["view.show.compare"].trigger()
    companion = next(one for one in window._workers if hasattr(one, "drop"))
    companion.open("builtin")
    view = window.panels["compare"].view
    qtbot.waitUntil(lambda: view.found is not None, timeout=60_000)
    assert np.nanmax(np.abs(view.found.kl)) < 1e-5
    assert view.found.second == identity(window.session.model)
    pick(view, SAME)
    qtbot.waitUntil(lambda: not window.bridge.jobs(), timeout=60_000)
    assert view.found is None
    companion.open("builtin")
    window.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("contextscope")]


# --- what is drawn --------------------------------------------------------------------------------


def test_why_two_models_cannot_be_compared_stands_once_in_place_of_the_picture(window, qtbot):
    panel, session = window.panels["compare"], window.session
    session.set_second(OTHER_INFO)
    qtbot.waitUntil(panel.view.differences.isVisible)
    settle(window, qtbot)
    window.bridge.auto = False
    session.set_second(replace(OTHER_INFO, fingerprint="2" * 64))
    qtbot.waitUntil(lambda: compared(window).model == "2" * 64)
    assert not panel.view.differences.isVisible()
    snapshot = make_snapshot(window.bridge.requests[-1], window.bridge.model)
    why = "A and B cut texts into different tokens"
    results = {one: found for one, found in snapshot.results.items() if one != compared(window)}
    refused = {compared(window): why}
    window.bridge.snapshotReady.emit(replace(snapshot, results=results, refused=refused))
    assert panel.view.panes.accessibleDescription() == why
    assert panel.message == ""
    # Where a picture stands, it is kept, and the reason stands below it.
    session.set_second(OTHER_INFO)
    qtbot.waitUntil(lambda: compared(window).model == identity(OTHER_INFO))
    window.bridge.answer()
    qtbot.waitUntil(panel.view.differences.isVisible)
    session.set_text("More.")
    qtbot.waitUntil(lambda: window.bridge.requests[-1].text == "More.")
    snapshot = make_snapshot(window.bridge.requests[-1], window.bridge.model)
    results = {one: found for one, found in snapshot.results.items() if one != compared(window)}
    refused = {compared(window): why}
    window.bridge.snapshotReady.emit(replace(snapshot, results=results, refused=refused))
    qtbot.waitUntil(lambda: panel.message == why)
    assert panel.view.differences.isVisible()


def without_states(found):
    lost = np.full_like(found.shift, np.nan)
    return replace(found, shift=lost, heads=None, attention=None, paths=None, reference=None)


def test_models_of_different_widths_are_compared_by_what_they_expect(view):
    view.session.set_second(replace(OTHER_INFO, width=64))
    measures = [view.colour.itemData(index) for index in range(view.colour.count())]
    assert measures == ["surprise", "pcxmi", "kl"]
    answer(view, without_states)
    assert not view.differences.shift.isVisible()
    assert view.differences.rankings[1].accessibleDescription() == "states of different widths"
    assert "shift" not in comparing.told(view.found, view.slots[2], 0, "is")
    page = view.differences.page
    for key, says in (("paths", "different widths"), ("attention", "no such attention")):
        page.setCurrentIndex(page.findData(key))
        answer(view, without_states)
        shown = view.differences._pages.currentWidget()
        assert says in (shown.accessibleDescription() or shown.text())
    view.grab()
    view.session.set_second(None)
    assert view.colour.findData("shift") >= 0


def test_a_shallower_model_is_drawn_as_deep_as_it_goes(view):
    def cut(found):
        shift = found.shift.copy()
        shift[:, 4:] = np.nan
        return replace(found, shift=shift, heads=None)

    view.session.set_second(replace(OTHER_INFO, layers=3))
    view.colour.setCurrentIndex(view.colour.findData("shift"))
    view.session.set_layer(6)
    answer(view, cut)
    view.grab()
    assert view.differences.shift.isVisible()
    best = comparing.top_layers(view.found, 9)
    assert {line.at[0] for line in best} <= {0, 1, 2, 3}


def test_two_encoders_of_different_widths_have_no_measure(view):
    encoder = {"kind": "encoder", "provides": frozenset({"embedding", "attention"})}
    view.session.set_model(model_info("encoder", **encoder))
    view.session.set_second(replace(OTHER_INFO, width=64, **encoder))
    assert view.colour.count() == 0
    answer(view, without_states)
    view.grab()
    assert view.legend.accessibleDescription() == ""


# --- what is kept of it ---------------------------------------------------------------------------


@pytest.mark.parametrize("lose", [False, True])
@pytest.mark.parametrize("suffix", [".npz", ".csv", ".json", ".svg"])
def test_files_name_both_models(view, tmp_path, suffix, lose):
    from gui.figures.spec import figure_specs

    view.session.set_second(OTHER_INFO)
    options = view.figure_options()
    queries = figure_specs()["compare"].queries(options, view.session.model)
    snapshot = make_snapshot(request(TEXT, *queries), view.session.model)
    if lose:
        results = {query: without_states(found) for query, found in snapshot.results.items()}
        snapshot = replace(snapshot, results=results)
    path = tmp_path / f"a{suffix}"
    export(snapshot, "compare", options, path)
    if suffix == ".npz":
        with np.load(path) as file:
            assert file["models"].tolist() == ["Builtin", "Other Model"]
            written = str(file["meta"])
            assert json.loads(written)["model_b_sha256"] == "1" * 64
    else:
        written = path.read_text("utf-8")
    assert "Other Model" in written
