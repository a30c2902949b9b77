"""What a map before fifty thousand reference states costs the window. Figures to look at.

A frame is everything from the movement to the painted picture; at sixty a second it has 16 ms.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from gui import theme
from gui.widgets.cloud_search import matches, searched
from gui.widgets.lasso import inside
from gui.widgets.scatter import ScatterMap
from gui.widgets.turning_map import TurningMap

COUNT = 50_000
WORDS = ("dog", "park", "sea", "shore", "fox", "shells", "lazy", "running")


@pytest.fixture(scope="module")
def cloud() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(COUNT, 2))


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 7, COUNT)


@pytest.fixture
def made(qtbot: Any, cloud: np.ndarray, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")

    def make(tokens: int, coloured: bool = False) -> ScatterMap:
        plot = ScatterMap("map", joined=True)
        qtbot.addWidget(plot)
        plot.resize(700, 600)
        dice = np.random.default_rng(2)
        xy = np.cumsum(dice.normal(0, 0.3, (tokens, 2)), axis=0) % 4 - 2
        spread = np.tile(np.eye(2) * 0.05, (tokens, 1, 1))
        plot.set_points(xy, [f"token{index}" for index in range(tokens)], spread)
        plot.set_cloud(cloud, labels)
        plot.set_cloud_readout(str)
        plot.lasso_button.show()
        if coloured:
            plot.set_cloud_colours([theme.category(index) for index in range(7)])
        plot.show()
        QApplication.processEvents()
        plot.repaint()
        return plot

    return make


def test_set(made: Any, cloud: np.ndarray, labels: np.ndarray, benchmark: Any) -> None:
    """Another plane of the same states, until it is painted."""
    plot = made(40)
    turned = itertools.cycle([cloud[:, ::-1].copy(), cloud])

    def another() -> None:
        plot.set_cloud(next(turned), labels)
        plot.repaint()

    benchmark.pedantic(another, rounds=10, warmup_rounds=1)


@pytest.mark.parametrize("kind", ["grey", "coloured", "found and chosen"])
@pytest.mark.parametrize("tokens", [40, 200, 1000])
def test_a_frame_of_panning(made: Any, benchmark: Any, tokens: int, kind: str) -> None:
    plot = made(tokens, coloured=kind != "grey")
    if kind == "found and chosen":
        plot.set_found(np.arange(0, COUNT, 3))
        plot.choose(np.arange(0, COUNT, 5), np.arange(0, tokens, 4))
    left = Qt.MouseButton.LeftButton
    QTest.mousePress(plot, left, pos=QPoint(350, 300))
    QTest.mouseMove(plot, QPoint(370, 320))
    assert plot.panning
    plot.repaint()
    drawings = plot.cloud.drawings
    steps = itertools.cycle([QPointF(-7, -5)] * 30 + [QPointF(7, 5)] * 30)

    def frame() -> None:
        plot.pan(next(steps))
        plot.repaint()

    benchmark.pedantic(frame, rounds=60, warmup_rounds=2)
    assert plot.cloud.drawings == drawings
    QTest.mouseRelease(plot, left, pos=QPoint(370, 320))


def test_a_frame_of_zooming(made: Any, benchmark: Any) -> None:
    plot = made(40, coloured=True)
    factors = itertools.cycle([1.2] * 12 + [1 / 1.2] * 12)

    def frame() -> None:
        plot.zoom(next(factors), QPointF(300, 300))
        plot.repaint()

    benchmark.pedantic(frame, rounds=48, warmup_rounds=1)


@pytest.fixture
def solid(qtbot: Any, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A map of three directions."""
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")

    def make(tokens: int) -> TurningMap:
        plot = TurningMap("map", joined=True)
        qtbot.addWidget(plot)
        plot.resize(700, 600)
        dice = np.random.default_rng(2)
        xyz = np.cumsum(dice.normal(0, 0.3, (tokens, 3)), axis=0) % 4 - 2
        spread = np.tile(np.eye(3) * 0.05, (tokens, 1, 1))
        plot.set_axes("PC 1", "PC 2", "PC 3")
        plot.set_cloud(dice.normal(size=(COUNT, 3)), labels)
        plot.set_points(xyz, [f"token{index}" for index in range(tokens)], spread)
        plot.set_cloud_readout(str)
        plot.lasso_button.show()
        plot.show()
        QApplication.processEvents()
        plot.repaint()
        return plot

    return make


@pytest.mark.parametrize("kind", ["grey", "coloured", "found and chosen"])
@pytest.mark.parametrize("tokens", [40, 200, 1000])
def test_a_frame_of_turning(solid: Any, benchmark: Any, tokens: int, kind: str) -> None:
    """Every dot is turned and drawn anew for each frame, the near ones over the far ones."""
    plot = solid(tokens)
    if kind != "grey":
        plot.set_cloud_colours([theme.category(index) for index in range(7)])
    if kind == "found and chosen":
        plot.set_found(np.arange(0, COUNT, 3))
        plot.choose(np.arange(0, COUNT, 5), np.arange(0, tokens, 4))
    left = Qt.MouseButton.LeftButton
    QTest.mousePress(plot, left, pos=QPoint(350, 300))
    QTest.mouseMove(plot, QPoint(370, 320))
    assert plot.panning
    plot.repaint()
    drawings = plot.cloud.drawings
    steps = itertools.cycle([QPointF(-7, -5)] * 30 + [QPointF(7, 5)] * 30)

    def frame() -> None:
        plot.drag(next(steps), Qt.KeyboardModifier.NoModifier)
        plot.repaint()

    benchmark.pedantic(frame, rounds=60, warmup_rounds=2)
    assert plot.cloud.drawings > drawings
    QTest.mouseRelease(plot, left, pos=QPoint(370, 320))


def test_pointing(made: Any, benchmark: Any) -> None:
    plot = made(40)
    places = itertools.cycle([QPointF(x, 300) for x in range(250, 450, 3)])

    def point() -> None:
        plot.hover_at(next(places))
        plot.repaint()

    benchmark.pedantic(point, rounds=60, warmup_rounds=1)


def test_searching(benchmark: Any) -> None:
    """The texts of fifty thousand states for a letter that is typed."""
    dice = np.random.default_rng(0)
    texts = [" ".join(dice.choice(WORDS, 12)) for _ in range(COUNT)]
    within = searched(texts, ["label"] * COUNT)
    found = benchmark.pedantic(lambda: matches(within, "dog sea"), rounds=10)
    assert 0 < len(found) < COUNT


def test_drawing_round(cloud: np.ndarray, benchmark: Any) -> None:
    """A line of three hundred corners round half of them."""
    angles = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 1.2
    within = benchmark.pedantic(lambda: inside(cloud, corners), rounds=10)
    assert 0.4 < within.mean() < 0.6
