"""Measures of emergence, held to the values they are defined by, and curves of a table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from engine.studies.emergence import (
    Emergence,
    Standing,
    breakthroughness,
    brier,
    curves,
    edit_distance,
    independent,
    linearity,
    read_table,
    rise,
    write_table,
)
from engine.studies.values import Interval

WORDS = st.lists(st.integers(0, 3), max_size=7)
SCORES = st.lists(st.floats(-8, 8, allow_subnormal=False), min_size=2, max_size=9)


def one(value: float) -> Interval:
    return Interval(value, value - 0.1, value + 0.1)


def row(step: int | None = 0, exact: float = 0.0, **changed: Any) -> Standing:
    told: dict[str, Any] = {
        "task": "recall",
        "model": "big",
        "family": "two layers",
        "parameters": 100,
        "step": step,
        "tokens": None if step is None else 10 * step,
        "answers": 4,
        "length": 5.0,
        "exact_match": one(exact),
        "edit_distance": one(5 * (1 - exact)),
        "brier": one(1 - exact),
        "logprob": one(-1.0),
    }
    return Standing(**{**told, **changed})


@pytest.mark.parametrize(
    ("said", "right", "expected"),
    [("", "", 0), ("abc", "abc", 0), ("abc", "abd", 1), ("bcd", "abcd", 1), ("abc", "", 3),
     ("kitten", "sitting", 3), ("ab", "ba", 2)],
)  # fmt: skip
def test_edit_distance(said: str, right: str, expected: int) -> None:
    assert edit_distance(said, right) == expected


@given(WORDS, WORDS, WORDS)
def test_edit_distance_is_a_distance(a: list[int], b: list[int], c: list[int]) -> None:
    far = edit_distance(a, b)
    assert far == edit_distance(b, a)
    assert abs(len(a) - len(b)) <= far <= max(len(a), len(b))
    assert (far == 0) == (a == b)
    assert far <= edit_distance(a, c) + edit_distance(c, b)
    if len(a) == len(b):
        assert far <= sum(x != y for x, y in zip(a, b, strict=True))


def test_brier_of_the_definition() -> None:
    assert float(brier([0.7, 0.2, 0.1], 0)) == pytest.approx(0.14)
    both = brier([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]], [1, 1])
    assert both == pytest.approx([0.49 + 0.64 + 0.01, 0.0])


@pytest.mark.parametrize(("p", "exact", "edits"), [(0.9, 0.590, 0.5), (0.5, 0.031, 2.5)])
def test_independent_tokens_are_what_both_metrics_tell(
    p: float, exact: float, edits: float
) -> None:
    assert independent(p, 5) == pytest.approx((exact, edits), abs=5e-4)
    # As measured: answers whose wrong tokens are unlike any right one.
    rng = np.random.default_rng(0)
    right = list(range(5))
    said = np.where(rng.random((4000, 5)) < p, right, 9)
    assert (said == right).all(axis=1).mean() == pytest.approx(exact, abs=0.03)
    mean = np.mean([edit_distance(answer, right) for answer in said.tolist()])
    assert mean == pytest.approx(edits, abs=0.06)


def test_linearity_and_breakthroughness_by_hand() -> None:
    # Steps 1, 1, 4: range 6, mean square 6, median square 1.
    assert linearity([0, 1, 2, 6]) == pytest.approx(6 / math.sqrt(6))
    assert breakthroughness([0, 1, 2, 6]) == pytest.approx(6.0)
    assert linearity([0, 1, 2, 3]) == breakthroughness([0, 1, 2, 3]) == pytest.approx(3.0)
    assert linearity([6, 2, 1, 0]) == pytest.approx(-6 / math.sqrt(6))
    # Most steps change nothing: no bound; and where nothing changes, nothing is told.
    assert breakthroughness([0, 0, 0, 0, 1]) == math.inf
    assert breakthroughness([1, 0, 0, 0, 0]) == -math.inf
    assert linearity([0, 0, 0, 0, 1]) == pytest.approx(2.0)
    assert linearity([2, 2]) == breakthroughness([2, 2]) == linearity([1]) == 0.0


@given(SCORES, st.floats(0.5, 3), st.floats(-5, 5))
def test_both_are_of_the_shape_alone(scores: list[float], by: float, more: float) -> None:
    values = np.round(scores, 3)
    for measure in (linearity, breakthroughness):
        found = measure(values)
        if math.isfinite(found):
            assert measure(by * values + more) == pytest.approx(found, rel=1e-4, abs=1e-9)
        assert measure(-values) == pytest.approx(-found)
    # The range is at most the sum of the steps, and at least the root of their mean square.
    assert abs(linearity(values)) <= len(values) - 1 + 1e-9


def test_where_a_score_rises() -> None:
    assert rise([0, 1, 2, 4], [0.0, 0.1, 0.5, 0.8]) == 2
    assert rise([0, 1, 2], [0.3, 0.35, 0.38]) is None
    assert rise([0, 1], [None, 0.9]) is None
    assert rise([], []) is None


def test_curves_are_of_models_over_steps_and_of_families_over_sizes() -> None:
    small = {"model": "small", "parameters": 10}
    rows = (
        row(0, 0.0), row(2, 0.9, induction=0.4), row(1, 0.1),
        row(0, 0.0, **small), row(2, 0.2, **small),
        row(2, 0.0, model="other", family="one layer", parameters=50),
    )  # fmt: skip
    first, second, third = curves(rows, "steps", "exact_match")
    assert [first.name, second.name, third.name] == ["small", "big", "other"]
    assert (first.largest, second.largest, third.largest) == (False, True, True)
    assert second.x.tolist() == [0, 1, 2]
    assert second.value.tolist() == [0.0, 0.1, 0.9]
    assert second.low.tolist() == pytest.approx([-0.1, 0.0, 0.8])
    assert second.rise is None  # of some steps no score is known
    assert second.linearity == linearity([0.0, 0.1, 0.9])
    sizes = curves(rows, "parameters", "exact_match")
    assert [(c.name, c.x.tolist(), c.value.tolist()) for c in sizes] == [
        ("two layers", [10, 100], [0.2, 0.9]),
        ("one layer", [50], [0.0]),
    ]
    # Less is better: the sign is that of getting better.
    assert curves(rows, "parameters", "edit_distance")[0].linearity == 1.0
    spent = curves(rows, "compute", "brier")[1]
    assert spent.x.tolist() == [6.0 * 100 * tokens for tokens in (0, 10, 20)]
    study = Emergence(rows, "recall")
    assert study.axes == ("parameters", "compute", "steps")
    unknown = tuple(
        row(None, exact, parameters=n, model=str(n)) for n, exact in ((1, 0.0), (2, 1.0))
    )
    assert Emergence(unknown, "recall").axes == ("parameters",)


def test_a_table_is_read_as_it_was_written(tmp_path: Any) -> None:
    rows = (row(0, 0.125), row(None, 1 / 3, induction=0.5))
    write_table(tmp_path / "t.jsonl", rows)
    first, second = read_table(tmp_path / "t.jsonl")
    assert (first.step, first.model, first.exact_match.value) == (0, "big", 0.125)
    write_table(tmp_path / "again.jsonl", (first, second))
    assert read_table(tmp_path / "again.jsonl") == (first, second)
    assert second.exact_match.value == pytest.approx(1 / 3, rel=1e-5)
    assert second.step is None


@pytest.mark.parametrize("text", ["", "{}\n", "no json", '{"task": 1}\n'])
def test_a_damaged_table_is_told_of(tmp_path: Any, text: str) -> None:
    path = tmp_path / "t.jsonl"
    with pytest.raises(UserError, match="Cannot read the table"):
        read_table(path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="Cannot read the table"):
        read_table(path)
