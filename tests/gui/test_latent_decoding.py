"""Decoding beside the latent map: what is asked, one at a time, and what the answers show."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from fakes import make_snapshot, model_info, request
from PySide6.QtCore import QPointF, Qt
from PySide6.QtWidgets import QLayout
from windows import make_window

from engine.types import DecodeQuery, DecodeResult, LatentQuery
from gui.bridge import Bridge
from gui.session import Session
from gui.settings import Settings
from gui.views.latent import VIEW

TEXT = "The dog is running in the park."


@pytest.fixture(autouse=True)
def still(monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")


@pytest.fixture
def view(qtbot):
    session = Session(TEXT)
    session.set_model(model_info())
    made = VIEW.create(session)
    qtbot.addWidget(made)
    made.layout().setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
    made.resize(560, 300)
    made.show()
    return made


def decodes(view):
    return [query for query in view.queries() if isinstance(query, DecodeQuery)]


def decoded(query):
    count = len(query.points)
    texts = tuple(tuple(f" w{p}{k}" for k in range(3)) for p in range(count))
    scores = np.tile(np.array([0.6, 0.3, 0.01], np.float32), (count, 1))
    ones = np.ones(count, np.float32)
    ids = np.zeros((count, 3), np.int64)
    return DecodeResult(query.layer, 0, "next", ids, texts, scores, ones, ones, 1.0)


def answer(view, **changes):
    """Answer all the view asks, in a space of five dimensions whose plane is askew."""
    queries = view.queries()
    latent = next(query for query in queries if isinstance(query, LatentQuery))
    snapshot = make_snapshot(request(TEXT, latent), view.session.model)
    dice = np.random.default_rng(0)
    mu = dice.normal(size=(8, 5)).astype(np.float32)
    axes = np.linalg.qr(dice.normal(size=(5, 2)))[0].astype(np.float32)
    xy = (mu - 0.5) @ axes
    told = replace(snapshot.results[latent], mu=mu, logvar=mu, xy=xy, axes=axes)
    results = {latent: told, **{query: decoded(query) for query in decodes(view)}}
    view.render_snapshot(replace(snapshot, results=MappingProxyType(results), **changes))
    return told


def test_switched_off_it_asks_nothing(view, qtbot):
    answer(view)
    qtbot.mouseMove(view.map, view.map.rect().center())
    assert not decodes(view)
    view.decoding.toggle.setChecked(True)
    view.decoding.toggle.setChecked(False)
    assert not decodes(view)


def test_a_place_on_the_map_is_a_point_that_projects_there(view):
    told = answer(view)
    for selected in (None, 3):
        view.session.select(selected)
        base = told.mu[3] if selected == 3 else np.zeros(5)
        place = QPointF(41, 57)
        point = np.array(view.decoding.point_at(place))
        back = (point - 0.5) @ told.axes
        expected = view.map.seen.to_map(41, 57, view.map.width(), view.map.height())
        np.testing.assert_allclose(back, expected, atol=1e-4)
        off = point - base
        np.testing.assert_allclose(off, told.axes @ (told.axes.T @ off), atol=1e-4)


def test_one_question_at_a_time_and_the_newest_next(view, qtbot):
    answer(view)
    view.decoding.toggle.setChecked(True)
    centre = view.map.rect().center()
    for step in range(5):
        qtbot.mouseMove(view.map, centre + type(centre)(7 * step, 3))
    (first,) = decodes(view)
    answer(view)
    assert [row.number for row in view.decoding.bars.rows] == ["60 %", "30 %", "1.0 %"]
    (second,) = decodes(view)
    last = view.decoding.point_at(QPointF(centre + type(centre)(28, 3)))
    np.testing.assert_allclose(second.points[0], last, atol=1e-6)
    assert first != second
    answer(view)
    assert decodes(view) == [second]


def test_a_walk_along_a_dimension_starts_at_the_selected_token(view, qtbot):
    told = answer(view)
    view.session.select(2)
    view.decoding.way.setCurrentIndex(1)
    view.decoding.refresh()
    (query,) = decodes(view)
    points = np.array(query.points)
    np.testing.assert_allclose(points[:, 0], np.linspace(-3, 3, 9))
    np.testing.assert_allclose(points[:, 1:], np.tile(told.mu[2, 1:], (9, 1)), rtol=1e-6)
    answer(view)
    strip = view.decoding.strip
    assert all(f"w{p}0" in cell[0].token for p, cell in enumerate(strip.cells))
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=strip.cell_rect(8).center().toPoint())
    assert view.decoding.faders.values[0] == 3
    assert strip.chosen == 8
    assert decodes(view) == [query]  # its own coordinate is what the walk replaces


def test_a_walk_between_tokens_ends_at_both(view):
    told = answer(view)
    view.decoding.way.setCurrentIndex(2)
    view.decoding.refresh()
    assert not decodes(view)
    assert "pin" in view.decoding.strip.message
    view.session.select(1)
    view.session.toggle_pin(6)
    (query,) = decodes(view)
    np.testing.assert_allclose(query.points[0], told.mu[1], rtol=1e-6)
    np.testing.assert_allclose(query.points[-1], told.mu[6], rtol=1e-6)
    np.testing.assert_allclose(query.points[4], (told.mu[1] + told.mu[6]) / 2, rtol=1e-5)


def test_a_refusal_is_said_beside_the_map(view, qtbot):
    answer(view)
    view.decoding.toggle.setChecked(True)
    qtbot.mouseMove(view.map, view.map.rect().center())
    (query,) = decodes(view)
    snapshot = make_snapshot(request(TEXT, view.queries()[0]), view.session.model)
    why = "This model cannot be run on from its middle"
    view.render_snapshot(replace(snapshot, refused=MappingProxyType({query: why})))
    assert view.decoding.bars.message == why


def test_the_built_in_model_decodes_without_running_the_context_again(qtbot):
    bridge = Bridge()
    settings = Settings(model="builtin", text=TEXT)
    window = make_window(qtbot, model=None, settings=settings, bridge=bridge)
    bridge.start()
    window.open_model("builtin")
    view = window.panels["latent"].view
    try:
        window.panels["latent"].show()
        window.panels["latent"].raise_()
        qtbot.waitUntil(lambda: view.map.count > 0, timeout=60_000)
        view.decoding.way.setCurrentIndex(1)
        view.decoding.refresh()
        qtbot.waitUntil(lambda: len(view.decoding.strip.cells) == 9, timeout=60_000)
        assert window.controller.latest.stats.suffix == 0
    finally:
        window.close()
        bridge.close()
