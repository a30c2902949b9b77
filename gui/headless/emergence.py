"""``main.py study emergence`` and ``ladder``: abilities against size, compute or steps."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, get_args

from engine.errors import UserError
from engine.studies.emergence import (
    SHIPPED,
    Against,
    Emergence,
    Metric,
    Standing,
    read_table,
    write_table,
)
from gui.exporters.spec import format_for
from gui.headless.console import DONE, finish, say
from gui.headless.study import finite, print_table
from gui.studies.emergence import STUDY, line, number, summaries
from gui.studies.spec import export_study

if TYPE_CHECKING:
    from collections.abc import Generator

    from engine.types import Progress

T = TypeVar("T")

TABLE = ".jsonl"
"""A table that the window and ``--models`` read again."""

_WHAT = "Cannot tell how an ability emerges"


def emergence(given: argparse.Namespace) -> int:
    """Measure models, or read the shipped ladder, and print a line for each and each curve.

    Raises
    ------
    UserError
        If a name means nothing, nothing could be measured, or there is no such task or axis.
    """
    if given.out is not None and given.out.suffix.lower() != TABLE:
        format_for(given.out)  # what is wrong with it is told before hours of work
    study = _measured(given)
    for sentence in study.refused:
        say(sentence)
    study = looked_at(study, given.task, given.against, given.metric, given.beside)
    if given.json:
        for told in STUDY.lines(study):
            print(json.dumps(finite(told), ensure_ascii=False), flush=True)
    if given.out is not None and given.out.suffix.lower() == TABLE:
        write_table(given.out, study.rows)
    elif given.out is not None:
        made: dict[str, object] = {
            "models": list(given.models) or [SHIPPED.name],
            "task": study.task,
            "command": shlex.join(["python", "main.py", *sys.argv[1:]]),
        }
        export_study(STUDY, study, given.out, made, given.scale)
    if not given.json:
        names = ["curve", "metric", "first", "last", "linearity", "breakthroughness"]
        shown = [
            {**one, **{name: number(one[name]) for name in names[-2:]}} for one in summaries(study)
        ]
        print_table(shown, [*names, "induction_rises", "prefix_matching_rises"])
        print(
            f"{len(study.chosen)} rows of the task {study.task} against {study.against}; "
            "--json prints them all."
        )
    return DONE


def looked_at(
    study: Emergence, task: str, against: Against | None, metric: Metric, beside: Metric
) -> Emergence:
    """Choose what of a table is told.

    Raises
    ------
    UserError
        If it has no such task, or the axis is not known of its models.
    """
    # A file of a task was named; its key is what the table has.
    task = study.task if task.endswith(".toml") else task or study.task
    if task not in study.tasks:
        have = " or ".join(study.tasks)
        raise UserError(_WHAT, f"there is nothing measured on {task}", f"Give --task {have}")
    study = replace(study, task=task, metric=metric, beside=beside)
    known = [
        axis for axis in get_args(Against) if any(row.at(axis) is not None for row in study.chosen)
    ]
    if against is not None and against not in known:
        why = f"the {against} of these models are not known"
        raise UserError(_WHAT, why, f"Choose another axis: {' or '.join(known)}")
    first: Against = "steps" if "steps" in study.axes else "parameters"
    return replace(study, against=against or first)


def _measured(given: argparse.Namespace) -> Emergence:
    if not given.models:
        rows = read_table()
        return Emergence(rows, rows[0].task)
    from engine.studies.kshot import Settings
    from engine.studies.standing import Order, emergence_job

    settings = Settings((given.k,), given.seeds, given.queries, shuffled=False)
    order = Order(
        models=tuple(dict.fromkeys(given.models)),
        task=given.task,
        settings=settings,
        rows=given.rows,
        device=given.device or "auto",
        dtype=given.dtype or "auto",
        fresh=given.fresh,
    )
    try:
        return finish(_heard(emergence_job(order), as_json=False))
    except KeyboardInterrupt:
        say("what was measured is kept; the same command goes on from there.")
        raise


def ladder(given: argparse.Namespace) -> int:
    """Train and measure the ladder, with a line for each model.

    Raises
    ------
    UserError
        If the folder holds something else, or cannot be written to.
    """
    from engine.lab.models import use_threads
    from engine.studies.ladder import TABLE as NAME
    from engine.studies.ladder import ladder_job

    use_threads(1)
    try:
        rows = finish(_heard(ladder_job(given.out), given.json))
    except KeyboardInterrupt:
        say("what was trained and measured is kept; the same command goes on from there.")
        raise
    if not given.json:
        print(f"{len(rows)} rows, in {given.out / NAME}.")
    return DONE


def _heard(steps: Generator[Progress, None, T], as_json: bool) -> Generator[Progress, None, T]:
    """Print a row as soon as it is measured, where JSON is asked for."""
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            found: T = stop.value
            return found
        row = getattr(step, "row", None)
        if as_json and isinstance(row, Standing):
            print(json.dumps(finite(line(row)), ensure_ascii=False), flush=True)
        yield step
