"""What a map of 4096 tokens costs the window. Figures to look at, never to assert.

The widget is as large as the attention panel of a maximised window; a frame is everything from the
movement to the painted picture.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPointF
from PySide6.QtWidgets import QApplication

from gui.widgets.heatmap import HeatMap

COUNT = 4096


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    dice = np.random.default_rng(0)
    made = np.tril(dice.random((COUNT, COUNT), np.float32))
    made /= made.sum(axis=1, keepdims=True)
    return made


@pytest.fixture
def heat(qtbot: Any, weights: np.ndarray) -> HeatMap:
    made = HeatMap()
    qtbot.addWidget(made)
    made.resize(700, 600)
    labels = [f"token{index}" for index in range(COUNT)]
    made.set_data(weights, causal=True)
    made.set_labels(labels, labels)
    made.show()
    made.repaint()
    QApplication.processEvents()
    return made


def test_set(heat: HeatMap, weights: np.ndarray, benchmark: Any) -> None:
    benchmark.pedantic(lambda: heat.set_data(weights, causal=True), rounds=5, warmup_rounds=1)


def test_first_picture(heat: HeatMap, weights: np.ndarray, benchmark: Any) -> None:
    def anew() -> tuple[tuple[object, ...], dict[str, object]]:
        heat.set_data(weights, causal=True)
        return (), {}

    benchmark.pedantic(heat.repaint, setup=anew, rounds=5)


@pytest.mark.parametrize("zoom", [1.5, 4, 16])
def test_a_frame_of_panning(heat: HeatMap, benchmark: Any, zoom: float) -> None:
    heat.magnify(zoom)
    heat.repaint()
    steps = itertools.cycle([QPointF(-7, -5)] * 30 + [QPointF(7, 5)] * 30)

    def frame() -> None:
        heat._pan(next(steps))
        heat.repaint()

    benchmark.pedantic(frame, rounds=60, warmup_rounds=2)


def test_a_frame_of_zooming(heat: HeatMap, benchmark: Any) -> None:
    factors = itertools.cycle([1.2] * 12 + [1 / 1.2] * 12)

    def frame() -> None:
        heat.magnify(next(factors), QPointF(300, 300))
        heat.repaint()

    benchmark.pedantic(frame, rounds=48, warmup_rounds=1)
