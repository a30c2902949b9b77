"""A model of the laboratory: what was measured of it, and the curves it was trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gui.figures import colour, lettering, style
from gui.figures.numbers import text_array
from gui.studies.spec import Arrays, Line, StudySpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from engine.lab.evaluation import Evaluation
    from engine.lab.runs import Point

_WIDTH, _HEIGHT, _GAP = 2.7, 1.9, 0.75


def measures(found: Evaluation) -> Line:
    """What was measured, by name."""
    run = found.run
    settings = run.card.settings
    told: Line = {
        "folder": str(run.folder),
        "arch": settings.arch,
        "task": settings.task,
        "parameters": run.card.parameters,
        "steps": run.points[-1].step if run.points else 0,
        "loss": found.loss,
        "perplexity": found.perplexity,
        "accuracy": found.accuracy,
        "tokens": found.tokens,
        "in_context_score": found.in_context_score,
        "induction_score": found.induction_score,
        "best_head": found.best_head,
    }
    if found.second_half_accuracy is not None:
        told["second_half_accuracy"] = found.second_half_accuracy
    return told


def lines(found: Evaluation) -> list[Line]:
    """All of it in one."""
    return [measures(found)]


def table(found: Evaluation) -> list[list[object]]:
    """A row for each measure; layer and head of the best head with a space between."""
    rows = [[name, _plain(value)] for name, value in measures(found).items()]
    return [["measure", "value"], *rows]


def _plain(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def arrays(found: Evaluation) -> Arrays:
    """Each measure, and ``curve_…`` (n,) of the training's points."""
    made: dict[str, NDArray[np.generic]] = {}
    for name, value in measures(found).items():
        if isinstance(value, str):
            made[name] = text_array([value])
        else:
            made[name] = np.array(np.nan if value is None else value)
    points = found.run.points
    made["curve_step"] = np.array([point.step for point in points], np.int64)
    for name in ("train_loss", "loss", "accuracy", "induction_score"):
        made[f"curve_{name}"] = _curve(points, name)
    return made


def _curve(points: tuple[Point, ...], name: str) -> NDArray[np.float64]:
    def of(point: Point) -> Any:
        if name == "induction_score":
            best = point.best_head
            return None if best is None else best[2]
        return getattr(point, name)

    values = [of(point) for point in points]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def draw(figure: Figure, found: Evaluation) -> None:
    """Draw loss beside accuracy and induction score, over steps, with what was measured."""
    run = found.run
    score = f"{found.in_context_score:+.2f}".replace("-", "−")
    about = (
        f"held out: loss {found.loss:.3f} nats, accuracy {100 * found.accuracy:.1f} % of "
        f"{found.tokens:,} tokens, in-context learning score {score} nats"
    )
    title = lettering.drawable(run.title)
    top, left = style.title_height(about), style.MARGIN + 0.5
    second = left + _WIDTH + _GAP
    style.sized(figure, second + _WIDTH + 0.25, top + _HEIGHT + 0.5, title, about)
    steps = np.array([point.step for point in run.points], np.float64)
    on = style.axes(figure, left, top, _WIDTH, _HEIGHT)
    on.plot(steps, _curve(run.points, "train_loss"), color=colour.MUTED, label="trained on")
    on.plot(steps, _curve(run.points, "loss"), color=colour.ACCENT, label="held out")
    _axes(on, steps, "loss, nats")
    on.legend()
    beside = style.axes(figure, second, top, _WIDTH, _HEIGHT)
    beside.plot(steps, _curve(run.points, "accuracy"), color=colour.ACCENT, label="accuracy")
    if found.induction_score is not None:
        heads = _curve(run.points, "induction_score")
        beside.plot(steps, heads, "--", color=colour.CATEGORIES[0], label="best head's induction")
    beside.set_ylim(-0.02, 1.04)
    _axes(beside, steps, "share, score")
    beside.legend()


def _axes(on: Axes, steps: NDArray[np.float64], says: str) -> None:
    on.set(xlabel="step", ylabel=says)
    if len(steps) > 1:
        on.set_xlim(steps[0], steps[-1])


def texts(found: Evaluation) -> list[str]:
    """What may be written into the figure."""
    return [found.run.title]


STUDY: StudySpec[Evaluation] = StudySpec(
    key="evaluation", lines=lines, table=table, arrays=arrays, draw=draw, texts=texts
)
