"""What a study has measured: a k-shot curve, loss by position, or the heads that look back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.types import ModelInfo, Query, Snapshot
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, sheet_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DO = "Start a study in its panel, or use main.py study"


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """Nothing: it was measured by a job."""
    return ()


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw what `main.py study --out` would."""
    sheet_of(options, "study", _DO).draw(figure)


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """What `main.py study --out` would save."""
    found = sheet_of(options, "study", _DO)
    return found.spec.arrays(found.study)


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """A row for each k, position or head."""
    return sheet_of(options, "study", _DO).table()


FIGURE = FigureSpec(
    key="study",
    needs=frozenset(),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
    textless=True,
    own_record=True,
)
