"""The gates of an LSTM: what is asked, drawn and told, and what its other panels say."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import make_snapshot, model_info, request
from PySide6.QtCore import QPoint, Qt
from windows import asked, make_window, settle

from engine.types import GatesQuery
from gui.session import Session
from gui.views.gates import PARTS, SAYS, GatesView

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")

LSTM = model_info(
    "lstm", family="lstm", layers=2, provides=frozenset({"embedding", "next", "gates"})
)


@pytest.fixture
def view(qtbot):
    session = Session("The dog is running.")
    session.set_model(LSTM)
    made = GatesView(session)
    qtbot.addWidget(made)
    made.resize(620, 320)
    made.show()
    return made


def answer(view, text="The dog is running."):
    view.render_snapshot(make_snapshot(request(text, *view.queries()), LSTM))


def test_draws_gates_and_cells_of_the_shown_layer(view):
    view.session.set_layer(1)
    assert view.queries() == (GatesQuery(1),)
    answer(view)
    for key, _, _ in PARTS:
        assert view.maps[key].shape == (5, LSTM.width)
    assert (view.maps["forget"].scale.low, view.maps["forget"].scale.high) == (0.0, 1.0)
    assert view.maps["cell"].scale.signed
    assert view.caption() == "layer 1 · 32 units"
    view.session.set_layer(2)  # the last depth shows the last layer
    assert view.queries() == (GatesQuery(1),)
    assert view.says.text() == SAYS
    assert "no attention" in SAYS


def test_cell_follows_from_the_gates(view):
    answer(view)
    found = view._found
    before = np.concatenate([np.zeros((1, LSTM.width)), found.cell[:-1]])
    assert np.allclose(found.cell, found.forget * before + found.input * found.candidate, atol=1e-6)
    assert np.allclose(found.hidden, found.output * np.tanh(found.cell), atol=1e-6)


def test_a_click_selects_the_token(view, qtbot):
    answer(view)
    shown = view.maps["input"]
    qtbot.waitUntil(lambda: shown.width() > 60)
    at = shown.cell_rect(2, 4).center()
    spot = QPoint(int(at.x()), int(at.y()))
    qtbot.mouseClick(shown, Qt.MouseButton.LeftButton, pos=spot)
    assert view.session.selected == 2
    assert "unit " in view._reader("input")(2, 4)
    assert view._reader("input")(99, 0) == ""
    qtbot.mouseClick(shown, Qt.MouseButton.LeftButton, pos=spot)
    assert view.session.selected is None


def test_an_lstms_panels_say_that_it_has_no_attention(qtbot):
    window = make_window(qtbot)
    window.bridge.models["lstm"] = LSTM
    window.open_model("lstm")
    qtbot.waitUntil(lambda: window.session.model is LSTM)
    settle(window, qtbot)
    panel = window.panels["attention"]
    assert panel.state == "unfit"
    assert "An LSTM has no attention" in panel.message
    window.panels["gates"].show()
    qtbot.waitUntil(lambda: "GatesQuery" in asked(window))
    settle(window, qtbot)
    assert window.panels["gates"].state == "picture"
    assert not window.panels["gates"].view.grab().isNull()
    plain = model_info("plain", provides=frozenset({"embedding"}))
    window.panels["gates"].set_model(plain)
    assert "is no LSTM" in window.panels["gates"].message
