"""Decoding beside the latent map: what is asked, one at a time, and what the answers show."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from fakes import make_snapshot, model_info, request
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtWidgets import QApplication, QLayout
from windows import make_window

from engine.latent.paths import prior
from engine.latent.values import DecodeQuery, DecodeResult
from engine.types import LatentQuery
from gui.bridge import Bridge
from gui.session import Session
from gui.settings import Settings
from gui.views.latent import VIEW
from gui.widgets.decode_side import ROOMY, TEXTS, TOKENS, WRITING
from gui.widgets.nearest_texts import nearest_texts
from gui.widgets.walks import STEPS

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


def walks(view):
    return [query for query in decodes(view) if len(query.points) > 1]


def choose_way(view, kind):
    view.decoding.way.setCurrentIndex(view.decoding.way.findData(kind))
    view.decoding.way.activated.emit(view.decoding.way.currentIndex())


def decoded(query):
    count = len(query.points)
    texts = tuple(tuple(f" w{p}{k}" for k in range(3)) for p in range(count))
    scores = np.tile(np.array([0.6, 0.3, 0.01], np.float32), (count, 1))
    ones = np.ones(count, np.float32)
    ids = np.zeros((count, 3), np.int64)
    return DecodeResult(query.layer, 0, "next", ids, texts, scores, ones, ones, 1.0)


def answer(view, count=8, refused=""):
    """Answer all the view asks, in a space of five dimensions whose plane is askew."""
    queries = view.queries()
    latent = next(query for query in queries if isinstance(query, LatentQuery))
    snapshot = make_snapshot(request(TEXT, latent), view.session.model)
    dice = np.random.default_rng(0)
    mu = dice.normal(size=(count, 5)).astype(np.float32)
    axes = np.linalg.qr(dice.normal(size=(5, 2)))[0].astype(np.float32)
    xy = (mu - 0.5) @ axes
    told = replace(snapshot.results[latent], mu=mu, logvar=mu, xy=xy, axes=axes)
    said = {query: refused or decoded(query) for query in decodes(view)}
    view.render_snapshot(
        replace(
            snapshot,
            results=MappingProxyType({latent: told, **({} if refused else said)}),
            refused=MappingProxyType(said if refused else {}),
        )
    )
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
    QApplication.processEvents()  # the map makes room for what is told
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
    choose_way(view, "dimension")
    (query,) = walks(view)
    points = np.array(query.points)
    np.testing.assert_allclose(points[:, 0], np.linspace(-3, 3, 9))
    np.testing.assert_allclose(points[:, 1:], np.tile(told.mu[2, 1:], (9, 1)), rtol=1e-6)
    answer(view)
    strip = view.decoding.strip
    assert all(f"w{p}0" in cell[0].token for p, cell in enumerate(strip.cells))
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=strip.cell_rect(8).center().toPoint())
    assert view.decoding.faders.values[0] == 3
    assert strip.chosen == 8
    assert walks(view) == [query]  # its own coordinate is what the walk replaces
    assert view.decoding.source.point == view.decoding.faders.values


def test_a_walk_between_tokens_ends_at_both(view):
    told = answer(view)
    choose_way(view, "straight")
    assert not decodes(view)
    assert "pin" in view.decoding.strip.message
    view.session.select(1)
    view.session.toggle_pin(6)
    (query,) = walks(view)
    np.testing.assert_allclose(query.points[0], told.mu[1], rtol=1e-6)
    np.testing.assert_allclose(query.points[-1], told.mu[6], rtol=1e-6)
    np.testing.assert_allclose(query.points[4], (told.mu[1] + told.mu[6]) / 2, rtol=1e-5)


def test_a_click_holds_a_point_and_selecting_a_token_its_mean(view, qtbot):
    told = answer(view)
    decoding = view.decoding
    decoding.toggle.setChecked(True)
    assert decoding.source is None
    assert not decoding.writing.go.isEnabled()
    free = next(
        QPoint(x, y)
        for x in range(8, view.map.width(), 16)
        for y in range(8, view.map.height(), 16)
        if view.map.point_at(QPointF(x, y)) < 0
    )
    qtbot.mouseClick(view.map, Qt.MouseButton.LeftButton, pos=free)
    held = decoding.source
    np.testing.assert_allclose(held.point, decoding.point_at(QPointF(free)), atol=1e-6)
    x, y = decoding.marks.held
    np.testing.assert_allclose(
        view.map.seen.to_pixels(np.array([[x, y]]), view.map.width(), view.map.height())[0],
        (free.x(), free.y()),
        atol=1e-3,
    )
    assert decoding.writing.go.isEnabled()
    # The mouse shows others in passing; when it leaves, the held point is shown again.
    qtbot.mouseMove(view.map, free + QPoint(30, 20))
    answer(view)
    assert decodes(view)[0].points[0] != held.point
    QApplication.sendEvent(view.map, QEvent(QEvent.Type.Leave))
    answer(view)
    assert decodes(view)[0].points == (held.point,)
    view.session.select(4)
    np.testing.assert_allclose(decoding.source.point, told.mu[4], rtol=1e-6)
    assert decoding.source.position == 4
    assert decoding.source.before == "The dog is running in"
    answer(view)
    assert (decodes(view)[-1].position, decodes(view)[-1].stop) == (4, 5)
    view.session.select(None)
    np.testing.assert_allclose(decoding.source.point, told.mu[4], rtol=1e-6)
    assert not view.grab().isNull()


def test_draws_from_the_prior_and_draws_again(view, qtbot):
    answer(view)
    foot = view.decoding.foot
    assert not foot.again.isVisibleTo(foot)
    choose_way(view, "prior")
    assert walks(view)[0].points == prior(STEPS, 5, 0)
    answer(view)
    foot.strip.clicked.emit(2)
    assert view.decoding.source.point == prior(STEPS, 5, 0)[2]
    assert view.decoding.source.where == "draw 3"
    qtbot.mouseClick(foot.again, Qt.MouseButton.LeftButton)
    assert foot.seed.value() == 1
    answer(view)
    assert walks(view)[0].points == prior(STEPS, 5, 1)
    # The cell stays chosen, and is of the new draws.
    assert view.decoding.source.point == prior(STEPS, 5, 1)[2]
    assert foot.strip.chosen == 2
    assert not view.decoding.marks.joined


def test_a_walk_between_groups_says_how_to_choose_them(view):
    answer(view)
    choose_way(view, "groups")
    assert not walks(view)
    assert "lasso" in view.decoding.strip.message
    a, b = (1.0, 0.0, 0.0, 0.0, 2.0), (0.0,) * 5
    view.decoding.set_groups(a, b)
    (query,) = walks(view)
    assert (query.points[0], query.points[-1]) == (a, b)
    np.testing.assert_allclose(query.points[4], np.array(a) / 2)
    view.decoding.set_groups(a, None)
    assert not walks(view)
    view.decoding.set_groups(a, (1.0,))  # of a space with another number of dimensions
    assert not walks(view)


def test_two_groups_that_are_drawn_round_become_the_ends_of_a_walk(view):
    told = answer(view)
    choose_way(view, "groups")
    view.map.choose((), (0, 1))
    assert not walks(view)
    view.map.choose((), ())  # letting go of a group leaves it an end
    view.map.choose((), (2, 3))
    (query,) = walks(view)
    np.testing.assert_allclose(query.points[0], told.mu[:2].mean(0), rtol=1e-5)
    np.testing.assert_allclose(query.points[-1], told.mu[2:4].mean(0), rtol=1e-5)
    told = answer(view)
    mu = np.random.default_rng(3).normal(size=(len(told.reference), 5)).astype(np.float32)
    view.decoding.set_latent(replace(told, reference_mu=mu))
    view.decoding.add_group((4,), (1, 2))
    (query,) = walks(view)
    wanted = np.stack([told.mu[4], mu[1], mu[2]]).mean(0)
    np.testing.assert_allclose(query.points[-1], wanted, rtol=1e-5)


def test_a_walk_between_sentences_goes_between_their_means(view, monkeypatch):
    sentences = "The dog is running in the park. She looked at him and smiled."
    monkeypatch.setitem(globals(), "TEXT", sentences)
    told = answer(view, count=15)
    tokens = view.decoding._tokens
    first = [index for index, token in enumerate(tokens) if token.end <= 31]
    second = [index for index, token in enumerate(tokens) if token.end > 31]
    choose_way(view, "sentences")
    assert "Select a token of one sentence" in view.decoding.strip.message
    view.session.select(second[2])
    view.session.toggle_pin(second[0])
    assert "one sentence" in view.decoding.strip.message
    view.session.toggle_pin(second[0])
    view.session.toggle_pin(first[1])
    (query,) = walks(view)
    np.testing.assert_allclose(query.points[0], told.mu[second].mean(0), rtol=1e-5)
    np.testing.assert_allclose(query.points[-1], told.mu[first].mean(0), rtol=1e-5)
    answer(view, count=15)
    assert "“She looked at him and smiled.”" in view.decoding.strip.toolTip()


def test_the_nearest_texts_are_listed_where_the_space_has_them(view, qtbot):
    told = answer(view)
    side = view.decoding.side
    choose_way(view, "dimension")
    assert not side.tabs.isTabVisible(TEXTS)
    dice = np.random.default_rng(3)
    mu = dice.normal(size=(40, 5)).astype(np.float32)
    texts = tuple(f"text {index // 2}" for index in range(40))  # two states of each
    with_texts = replace(told, reference_mu=mu, texts=texts)
    view.decoding.set_latent(with_texts)
    assert side.tabs.isTabVisible(TEXTS)
    side.tabs.setCurrentIndex(TEXTS)
    view.session.select(3)
    apart = np.linalg.norm(mu - told.mu[3], axis=1)
    rows = side.texts.rows
    assert len({text for text, _ in rows}) == len(rows) == 5
    assert rows[0][0] == texts[int(apart.argmin())]
    assert rows[0][1] == pytest.approx(float(apart.min()), rel=1e-5)
    assert [distance for _, distance in rows] == sorted(distance for _, distance in rows)
    assert "text" in side.texts.accessibleDescription()
    # With more room they stand under the tokens.
    side.setMinimumHeight(ROOMY)
    side.resize(260, ROOMY)
    side.tabs.setCurrentIndex(TOKENS)
    assert not side.tabs.isTabVisible(TEXTS)
    assert side.texts.isVisibleTo(side)
    assert side.bars.isVisibleTo(side)
    side.tabs.setCurrentIndex(WRITING)
    assert not side.texts.isVisibleTo(side)
    assert nearest_texts(replace(with_texts, texts=texts[:3]), (0.0,) * 5) == ()
    assert nearest_texts(with_texts, (0.0,)) == ()


def test_in_another_space_nothing_held_is_true(view):
    told = answer(view)
    choose_way(view, "prior")
    view.decoding.strip.clicked.emit(1)
    view.decoding.set_groups((0.0,) * 5, (1.0,) * 5)
    assert view.decoding.source is not None
    view.decoding.set_latent(replace(told, mu=told.mu + 1))
    assert view.decoding.source is not None
    view.decoding.set_latent(replace(told, layer=told.layer + 1))
    assert view.decoding.source is None
    choose_way(view, "groups")
    assert not walks(view)


def test_what_is_shown_of_a_walk_has_that_walks_labels(view):
    answer(view)
    choose_way(view, "dimension")
    (first,) = walks(view)
    choose_way(view, "prior")
    assert walks(view) == [first]  # not answered yet
    answer(view)
    assert view.decoding.strip.labels[0] == "−3.00"
    answer(view)
    assert view.decoding.strip.labels[0].startswith("‖z‖")


def test_a_refusal_is_said_beside_the_map(view, qtbot):
    answer(view)
    view.decoding.toggle.setChecked(True)
    qtbot.mouseMove(view.map, view.map.rect().center())
    why = "This model cannot be run on from its middle"
    answer(view, refused=why)
    assert view.decoding.bars.message == why


def asks_to_decode(snapshot):
    queries = snapshot.request.queries if snapshot else ()
    return any(isinstance(query, DecodeQuery) for query in queries)


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
        # The latest answer is the one that every view has drawn.
        qtbot.waitUntil(lambda: asks_to_decode(window.controller.latest))
        assert window.controller.latest.stats.suffix == 0
    finally:
        window.close()
        bridge.close()
