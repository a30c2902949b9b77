"""How abilities emerge: the study's figure, of what the window shows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.studies.emergence import SHIPPED, Emergence, read_table
from engine.types import ModelInfo, Query, Snapshot
from gui.figures.spec import Arrays, FigureOptions, FigureSpec
from gui.studies.emergence import STUDY

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def queries(_options: FigureOptions, _model: ModelInfo) -> tuple[Query, ...]:
    """Nothing: it is not of the model that is open."""
    return ()


def study_of(options: FigureOptions) -> Emergence:
    """What is shown; unless something is, the first task of the table that comes along."""
    if options.emergence is not None:
        return options.emergence
    rows = read_table()
    return Emergence(rows, rows[0].task)


def draw(figure: Figure, _snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw the two metrics side by side."""
    STUDY.draw(figure, study_of(options))


def arrays(_snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """The table's columns and the curves' figures."""
    return STUDY.arrays(study_of(options))


def table(_snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """A row for each model of the task after each of its steps."""
    return STUDY.table(study_of(options))


def made_of(options: FigureOptions) -> Mapping[str, object]:
    """For the record: which table, and what of it."""
    study = study_of(options)
    told = {"task": study.task, "against": study.against}
    return {"table": study.source or SHIPPED.name, **told, "metrics": [study.metric, study.beside]}


FIGURE = FigureSpec(
    key="emergence",
    needs=frozenset(),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
    textless=True,
    made_of=made_of,
)
