"""Curves of small models that were trained here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.types import ModelInfo, Query, Snapshot
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, sheet_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DO = "Train a model in the panel Laboratory, or tick a run there"


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """Nothing: a run tells it."""
    return ()


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw the runs that are ticked, over each other."""
    sheet_of(options, "laboratory", _DO).draw(figure)


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """Every point of every run, by name."""
    found = sheet_of(options, "laboratory", _DO)
    return found.spec.arrays(found.study)


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """A row for each point of each run."""
    return sheet_of(options, "laboratory", _DO).table()


FIGURE = FigureSpec(
    key="laboratory",
    needs=frozenset(),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
    textless=True,
    own_record=True,
)
