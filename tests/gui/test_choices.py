"""The chat template and the precision, chosen in the window: asked for, shown, remembered."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fakes import ALL, FakeBridge, make_snapshot, model_info, request
from windows import make_window, settle

from engine.types import Failure, ModelInfo, Precision
from gui import precision
from gui.exporters.record import record
from gui.figures.spec import FigureOptions, figure_specs
from gui.settings import Settings, SettingsFile

MEASURED = Precision(0.0126, "next-token probability", 32)


def talking() -> FakeBridge:
    bridge = FakeBridge()
    bridge.models["talker"] = model_info("talker", provides=ALL | {"chat"})
    return bridge


def test_the_template_is_asked_for_remembered_and_taken_back(qtbot):
    window = make_window(qtbot, model="talker", bridge=talking())
    action = window.commands.actions["edit.chat"]
    assert action.isEnabled()
    assert not action.isChecked()
    assert not window.bridge.requests[-1].chat
    action.trigger()
    settle(window, qtbot)
    qtbot.waitUntil(lambda: window.bridge.requests[-1].chat)
    assert action.isChecked()
    assert SettingsFile().load()[0].chat
    action.trigger()
    qtbot.waitUntil(lambda: not window.bridge.requests[-1].chat)
    assert not action.isChecked()


def test_a_model_without_a_template_says_so_and_keeps_the_wish(qtbot):
    window = make_window(qtbot, settings=Settings(model="builtin", chat=True), bridge=talking())
    action = window.commands.actions["edit.chat"]
    assert not action.isEnabled()
    assert not action.isChecked()
    assert "without a template" in action.toolTip()
    assert not window.bridge.requests[-1].chat
    window.open_model("talker")
    qtbot.waitUntil(lambda: window.bridge.requests[-1].chat)
    assert action.isEnabled()
    assert action.isChecked()
    assert "without" not in action.toolTip()


def test_a_precision_loads_the_model_again_and_is_remembered(qtbot):
    window = make_window(qtbot)
    actions = window.commands.actions
    assert actions["model.precision.auto"].isChecked()
    assert not actions["model.precision.measure"].isEnabled()
    text = window.session.text
    actions["model.precision.bfloat16"].trigger()
    qtbot.waitUntil(lambda: window.session.model.dtype == "bfloat16")
    assert window.bridge.opened[-1][0] == "builtin"
    assert window.bridge.dtypes[-1] == "bfloat16"
    assert window.session.text == text
    assert actions["model.precision.bfloat16"].isChecked()
    assert "bfloat16" in window.status.words
    window.set_device("cpu")
    assert window.bridge.dtypes[-1] == "bfloat16"
    window.save_settings()
    assert SettingsFile().load()[0].dtype == "bfloat16"


def test_what_cannot_be_loaded_in_a_precision_leaves_the_choice(qtbot):
    window = make_window(qtbot)
    del window.bridge.models["builtin"]
    window.commands.actions["model.precision.float16"].trigger()
    qtbot.waitUntil(lambda: bool(window.message))
    assert window.settings.dtype == "auto"
    assert window.commands.actions["model.precision.auto"].isChecked()


def test_the_error_is_measured_unasked_where_that_is_cheap_and_shown(qtbot):
    window = make_window(qtbot)
    window.bridge.held.add("precision")
    window.set_dtype("bfloat16")
    qtbot.waitUntil(lambda: window.bridge.measured == 1)
    assert "not measured" in window.status.words
    window.bridge.finish_measuring("precision 1", MEASURED)
    assert "bfloat16 ±0.013" in window.status.words
    assert window.message == ""
    window.commands.actions["model.precision.measure"].trigger()
    window.bridge.finish_measuring("precision 2", replace(MEASURED, error=0.5))
    assert "±0.5" in window.status.words


def test_a_measurement_that_fails_is_told_only_to_who_asked(qtbot):
    window = make_window(qtbot)
    window.bridge.held.add("precision")
    window.set_dtype("bfloat16")
    qtbot.waitUntil(lambda: window.bridge.measured == 1)
    window.bridge.failed.emit(Failure(1, "Cannot measure.", job="precision 1"))
    assert window.message == ""
    window.measure_precision()
    window.bridge.failed.emit(Failure(1, "Cannot measure.", job="precision 2"))
    assert "Cannot measure" in window.message


def test_another_model_ends_a_measurement(qtbot):
    window = make_window(qtbot)
    window.bridge.held.add("precision")
    window.set_dtype("bfloat16")
    qtbot.waitUntil(lambda: window.bridge.measured == 1)
    window.open_model("smollm2-135m-instruct")
    assert "precision 1" in window.bridge.cancelled


@pytest.mark.parametrize("found", [None, MEASURED, replace(MEASURED, error=math.nan)])
def test_an_exported_record_says_what_was_computed_in(found: Precision | None):
    def made(model: ModelInfo, **changes) -> dict:
        figure = figure_specs()["tokens"]
        asked = replace(request("The dog", *figure.queries(FigureOptions(), model)), **changes)
        return dict(record(make_snapshot(asked, model), figure, FigureOptions()))

    exact = made(model_info())
    assert "dtype_error" not in exact
    assert "chat_template" not in exact
    narrow = made(model_info(dtype="bfloat16", precision=found), chat=True)
    assert narrow["dtype"] == "bfloat16"
    assert narrow["chat_template"] is True
    expected = {None: "not measured", MEASURED: 0.0126}.get(found, "nan")
    assert narrow["dtype_error"] == expected
    assert "bfloat16" in str(narrow["dtype_note"])


def test_what_is_cheap_to_measure_is_measured_once():
    narrow = model_info(dtype="bfloat16")
    assert precision.measure_at_once(narrow)
    assert not precision.measure_at_once(replace(narrow, precision=MEASURED))
    assert not precision.measure_at_once(model_info())
    assert not precision.measure_at_once(replace(narrow, parameters=7_000_000_000))
