"""The table that comes along: as large as promised, and what its card says of it."""

from __future__ import annotations

import pytest

from engine.lab.settings import settings_for
from engine.studies.emergence import SHIPPED, Standing, curves, read_table
from engine.studies.ladder import STEPS, WIDTHS, rungs

ROWS = read_table()
ONE, TWO, LSTM = "transformer, 1 layer", "transformer, 2 layers", "LSTM, 1 layer"


def last(task: str, family: str) -> list[Standing]:
    return [row for row in ROWS if (row.task, row.family, row.step) == (task, family, STEPS[task])]


@pytest.mark.parametrize("task", ["recall", "addition", "repeat"])
def test_six_sizes_and_two_depths_of_more_than_ten_checkpoints(task: str) -> None:
    for family in (ONE, TWO, LSTM):
        names = {row.model for row in ROWS if (row.task, row.family) == (task, family)}
        assert names == {f"{family}, width {width}" for width in WIDTHS}
        for name in names:
            steps = [row.step for row in ROWS if (row.task, row.model) == (task, name)]
            assert len(set(steps)) == len(steps) > 20
            assert (min(steps), max(steps)) == (0, STEPS[task])


def test_it_is_of_the_models_that_the_command_makes() -> None:
    assert len({(row.task, row.model) for row in ROWS}) == len(rungs())
    for rung in rungs():
        assert rung.settings().seed == 0
        assert rung.settings().batch == settings_for(rung.arch, rung.task).batch


@pytest.mark.parametrize("task", ["recall", "repeat"])
def test_one_layer_fails_where_two_succeed_and_the_lstm_fails_too(task: str) -> None:
    failing = [row for row in ROWS if row.task == task and row.family in (ONE, LSTM)]
    assert max(row.exact_match.value for row in failing) == 0
    scores = [row.induction for row in failing if row.induction is not None]
    assert max(scores) < 0.09
    assert max(row.exact_match.value for row in last(task, TWO)) > 0.95
    (*_, largest) = [c for c in curves(last_of(task), "steps", "exact_match") if c.family == TWO]
    assert largest.rise is not None
    assert largest.matching is not None


def last_of(task: str) -> list[Standing]:
    return [row for row in ROWS if row.task == task]


def test_sums_are_told_by_two_layers() -> None:
    right = [row.exact_match.value for row in last("addition", TWO)]
    assert sum(value > 0.95 for value in right) == 4
    assert max(row.exact_match.value for row in last("addition", ONE)) < 0.15


def test_the_card_has_the_tables_numbers() -> None:
    card = (SHIPPED.parent / "README.md").read_text(encoding="utf-8")
    for task in STEPS:
        for family in (ONE, TWO, LSTM):
            rows = sorted(last(task, family), key=lambda row: row.parameters)
            told = " | ".join(f"{100 * row.exact_match.value:.0f}" for row in rows)
            assert f"| `{task}` | {family} | {told} |" in card
    assert f"{len(ROWS):,} in all" in card
    assert len(SHIPPED.read_bytes()) < 600_000
