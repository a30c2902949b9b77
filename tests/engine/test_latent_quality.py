"""Measures of a picture, against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.latent import evaluation, quality
from engine.types import Floats


def line(*places: float) -> Floats:
    return np.array([[place, 0.0] for place in places], dtype=np.float32)


def measured(x: Floats) -> quality.Quality:
    steps = quality.measure_steps(x, x[:, :2], 0.5, 7)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            found: quality.Quality = stop.value
            return found


# Four points on a line, 0 1 3 7, and in the picture the last one is moved between the first two:
# 0 1 3 ½. k = 1, so the factor is 2/(4·1·(8 − 3 − 1)) = 1/8.
TRUTH, PICTURE = line(0, 1, 3, 7), line(0, 1, 3, 0.4)


def test_trustworthiness_by_hand() -> None:
    # Nearest in the picture: of a = d (rank in truth 3), b = d (rank 3: a 1, c 2, d 6 away),
    # c = b (rank 1), d = a (rank 3). Σ (r − 1) = 2 + 2 + 0 + 2 = 6; 1 − 6/8.
    assert quality.trustworthiness(TRUTH, PICTURE, 1) == pytest.approx(0.25)


def test_continuity_by_hand() -> None:
    # Nearest in truth: of a = b (rank in the picture 2), b = a (rank 2: d .6, a 1, c 2), c = b
    # (rank 1), d = c (rank 3). Σ (r̂ − 1) = 1 + 1 + 0 + 2 = 4; 1 − 4/8.
    assert quality.continuity(TRUTH, PICTURE, 1) == pytest.approx(0.5)


def test_a_picture_that_is_the_truth_has_all() -> None:
    x = np.random.default_rng(1).normal(size=(30, 2)).astype(np.float32)
    assert quality.trustworthiness(x, 3 * x) == 1
    assert quality.continuity(x, 3 * x) == 1


def test_the_library_and_our_own_formula_agree() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 7)).astype(np.float32)
    flat = x[:, :2].copy()
    ours = evaluation.trustworthiness(torch.from_numpy(x), torch.from_numpy(flat))
    assert quality.trustworthiness(x, flat) == pytest.approx(ours, abs=1e-6)


def test_label_accuracy_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    fitted = line(0, 1, 2, 10, 11, 12)
    # Of new points at 0.5, 11.5 and 4, said to be 0, 1 and 1, the last lies among the zeros.
    new, truth = line(0.5, 11.5, 4), np.array([0, 1, 1])
    assert quality.label_accuracy(fitted, labels, new, truth, 3) == pytest.approx(2 / 3)
    assert np.isnan(quality.label_accuracy(fitted, np.zeros(6, dtype=np.int64), new, truth, 3))


def test_accuracy_of_fitted_points_by_hand() -> None:
    # Each by its nearest other: 0 by 1, 1 by 0, 5 (said to be 1) by 1, 10 by 11, 11 by 10.
    labels = np.array([0, 0, 1, 1, 1])
    assert quality.own_accuracy(line(0, 1, 5, 10, 11), labels, 1) == pytest.approx(4 / 5)
    assert np.isnan(quality.own_accuracy(line(0, 1), np.zeros(2, dtype=np.int64)))


def test_looking_at_a_part_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(3).normal(size=(50, 3)).astype(np.float32)
    whole = measured(x)
    assert (whole.points, whole.of, whole.judged) == (50, 50, 7)
    monkeypatch.setattr(quality, "LOOKED_AT", 20)
    part = measured(x)
    assert (part.points, part.of, part.neighbours) == (20, 50, 9)
    assert part == measured(x)
