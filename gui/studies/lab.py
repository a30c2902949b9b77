"""Curves of runs of the laboratory, over each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gui.figures import colour, lettering, style
from gui.figures.numbers import text_array
from gui.studies.spec import Arrays, Line, StudySpec, columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from engine.lab.runs import Point, Run

    Runs = tuple[Run, ...]

_WIDTH, _HEIGHT, _GAP, _ROW = 2.5, 1.9, 0.7, 0.17


def made_of(runs: Runs) -> Mapping[str, object]:
    """What the curves are of, for the record in a file."""
    names = [run.folder.name for run in runs]
    return {
        "model": "-".join(names[:1]) if len(names) == 1 else f"{len(names)} runs",
        "runs": "; ".join(run.title for run in runs),
        "commands": "; ".join(run.card.command for run in runs),
        "torch": ", ".join(dict.fromkeys(run.card.torch for run in runs)),
    }


def lines(runs: Runs) -> list[Line]:
    """One for each point of each run."""
    return [
        {
            "run": run.folder.name,
            "title": run.title,
            "step": point.step,
            "tokens": point.tokens,
            "train_loss": point.train_loss,
            "train_accuracy": point.train_accuracy,
            "loss": point.loss,
            "accuracy": point.accuracy,
            "in_context_score": point.in_context_score,
            "induction_score": _best(point),
            "second_half_accuracy": point.second_half_accuracy,
            "seconds": point.seconds,
        }
        for run in runs
        for point in run.points
    ]


def table(runs: Runs) -> list[list[object]]:
    """A row for each point."""
    return columns(lines(runs))


def arrays(runs: Runs) -> Arrays:
    """The columns of the table by name, (N,); of run r `induction_r` (points, L, H) too."""
    rows = lines(runs)
    found: dict[str, NDArray[np.generic]] = {
        name: text_array(str(row[name]) for row in rows) for name in ("run", "title")
    }
    for name in ("step", "tokens"):
        found[name] = np.array([row[name] for row in rows], np.int64)
    for name in list(rows[0])[4:]:
        values = [np.nan if row[name] is None else row[name] for row in rows]
        found[name] = np.array(values, np.float64)
    for at, run in enumerate(runs):
        if run.points and run.points[0].induction is not None:
            scores = [point.induction for point in run.points]
            found[f"induction_{at}"] = np.array(scores, np.float64)
    return found


def draw(figure: Figure, runs: Runs) -> None:
    """Draw loss, accuracy, in-context score and the best head against the steps."""
    title = runs[0].title if len(runs) == 1 else f"{len(runs)} runs of the laboratory"
    about = "measured on held-out rows" + ("; dashed: trained on" if len(runs) == 1 else "")
    top, left = style.title_height(about), style.MARGIN + 0.5
    below = _ROW * (len(runs) if len(runs) > 1 else 0)
    height = top + 2 * _HEIGHT + 0.62 + 0.55 + below + style.MARGIN
    style.sized(
        figure, left + 2 * _WIDTH + _GAP + style.MARGIN, height, lettering.drawable(title), about
    )
    panels: tuple[tuple[str, Callable[[Point], float | None], str], ...] = (
        ("loss, nats", lambda point: point.loss, "train_loss"),
        ("accuracy", lambda point: point.accuracy, "train_accuracy"),
        ("in-context score, nats", lambda point: point.in_context_score, ""),
        ("best head's induction score", _best, ""),
    )
    for at, (name, of, trained) in enumerate(panels):
        place = left + (at % 2) * (_WIDTH + _GAP)
        on = style.axes(figure, place, top + (at // 2) * (_HEIGHT + 0.62), _WIDTH, _HEIGHT)
        on.set(ylabel=name, xlabel="step")
        for index, run in enumerate(runs):
            hue = colour.ACCENT if len(runs) == 1 else _hue(index)
            _curve(on, run, of, hue, "-")
            if trained and len(runs) == 1:
                _curve(on, run, attrgetter(trained), colour.MUTED, "--")
        if at % 2:
            on.set_ylim(0, 1.02)
    for index, run in enumerate(runs if len(runs) > 1 else ()):
        y = height - style.MARGIN - _ROW * (len(runs) - index - 0.5)
        style.write(figure, left, y, "—", color=_hue(index), weight="bold", va="center")
        shown = lettering.elide(lettering.drawable(run.title), style.TEXT, 5.0, mono=False)
        style.write(figure, left + 0.25, y, shown, va="center")


def _curve(on: Axes, run: Run, of: Callable[[Point], float | None], hue: str, dash: str) -> None:
    there = [(point.step, value) for point in run.points if (value := of(point)) is not None]
    on.plot([step for step, _ in there], [value for _, value in there], dash, color=hue)


def _hue(index: int) -> str:
    return colour.CATEGORIES[index % len(colour.CATEGORIES)]


def _best(point: Point) -> float | None:
    found = point.best_head
    return found[2] if found is not None else None


def texts(runs: Runs) -> list[str]:
    """What may be written into the figure."""
    return [run.title for run in runs]


STUDY: StudySpec[Runs] = StudySpec(
    key="laboratory", lines=lines, table=table, arrays=arrays, draw=draw, texts=texts
)
