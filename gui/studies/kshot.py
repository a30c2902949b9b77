"""A k-shot curve: accuracy and log p of the right answer, and the control with shuffled answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.studies.values import Interval, KShot, Point
from gui.figures import colour, lettering, style
from gui.figures.numbers import text_array
from gui.studies.spec import Arrays, Line, StudySpec, columns, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT, _GAP = 2.7, 2.1, 0.75


def lines(study: KShot) -> list[Line]:
    """One for each k."""
    return [_line(study, point) for point in study.points]


def _line(study: KShot, point: Point) -> Line:
    return {
        "k": point.k,
        "accuracy": point.accuracy.value,
        "low": point.accuracy.low,
        "high": point.accuracy.high,
        **spread("macro_f1", point.macro_f1),
        **spread("gold_logprob", point.gold_logprob),
        **spread("shuffled_accuracy", point.shuffled_accuracy),
        **spread("shuffled_macro_f1", point.shuffled_macro_f1),
        **spread("shuffled_gold_logprob", point.shuffled_gold_logprob),
        **spread("gap", point.gap),
        "chance": study.chance,
        "queries": point.queries,
        "seeds": point.seeds,
        "task": study.task,
        "scoring": study.scoring,
        "instruction": study.instruction,
        "model": study.model,
    }


def table(study: KShot) -> list[list[object]]:
    """A row for each k."""
    return columns(lines(study))


def arrays(study: KShot) -> Arrays:
    """The curve by name, (K,); every query as ``record_…`` (N,); and the tokens it took."""
    rows = lines(study)
    found: dict[str, NDArray[np.generic]] = {"k": np.array([row["k"] for row in rows], np.int64)}
    for name in (key for key, value in rows[0].items() if not isinstance(value, (str, bool))):
        if name not in ("k", "queries", "seeds"):
            values = [row[name] for row in rows]
            found[name] = np.array([np.nan if v is None else v for v in values], np.float64)
    kept = study.records
    for name in ("k", "seed", "query"):
        found[f"record_{name}"] = np.array([getattr(one, name) for one in kept], np.int64)
    for name in ("shuffled", "right"):
        found[f"record_{name}"] = np.array([getattr(one, name) for one in kept], np.bool_)
    for name in ("prompt", "gold", "predicted"):
        found[f"record_{name}"] = text_array(getattr(one, name) for one in kept)
    found["record_gold_logprob"] = np.array([one.gold_logprob for one in kept], np.float64)
    if study.scoring == "labels":
        found["labels"] = text_array(name for name, _ in kept[0].logprobs)
        logprobs = [[value for _, value in one.logprobs] for one in kept]
        found["record_logprobs"] = np.array(logprobs, np.float64)  # (N, labels)
    found["tokens"] = np.array(study.tokens, np.int64)
    found["tokens_prompt_by_prompt"] = np.array(study.alone, np.int64)
    return found


def draw(figure: Figure, study: KShot) -> None:
    """Draw accuracy beside log p of the right answer, against the number of examples."""
    first = study.points[0]
    about = (
        f"{first.seeds} draws of {first.queries} queries; bands are 95 % bootstrap intervals; "
        f"{'with' if study.instruction else 'without'} instruction"
    )
    title = lettering.drawable(f"{study.title} · {study.task_title} · k-shot")
    top, left = style.title_height(about), style.MARGIN + 0.5
    second = left + _WIDTH + _GAP
    style.sized(figure, second + _WIDTH + style.MARGIN, top + _HEIGHT + 0.78, title, about)
    on = style.axes(figure, left, top, _WIDTH, _HEIGHT)
    _curve(on, study, lambda point: point.accuracy, lambda point: point.shuffled_accuracy)
    on.set(ylabel="accuracy", ylim=(0, 1.02))
    if study.chance is not None:
        on.axhline(study.chance, color=colour.MUTED, linestyle=":", label="chance")
    beside = style.axes(figure, second, top, _WIDTH, _HEIGHT)
    _curve(
        beside, study, lambda point: point.gold_logprob, lambda point: point.shuffled_gold_logprob
    )
    beside.set(ylabel="log p of the right answer, nats")
    handles, labels = on.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower left", ncols=3, bbox_to_anchor=(0.02, 0.0))


def _curve(
    on: Axes,
    study: KShot,
    true: Callable[[Point], Interval],
    shuffled: Callable[[Point], Interval | None],
) -> None:
    # Evenly spaced: 0, 1, 2, 4, 8 doubles.
    places = np.arange(len(study.points))
    for name, hue, dash, what in (
        ("answers as they are", colour.ACCENT, "-", true),
        ("answers drawn by chance", colour.MUTED, "--", shuffled),
    ):
        there = [(at, found) for at, point in zip(places, study.points, strict=True)
                 if (found := what(point)) is not None]  # fmt: skip
        if not there:
            continue
        at = [place for place, _ in there]
        low, high = [one.low for _, one in there], [one.high for _, one in there]
        on.fill_between(at, low, high, color=hue, alpha=0.15, linewidth=0)
        values = [one.value for _, one in there]
        on.plot(at, values, dash, color=hue, marker="o", markersize=3, label=name)
    on.set_xticks(places, [str(point.k) for point in study.points])
    on.set(xlabel="examples in the context", xlim=(-0.3, len(places) - 0.7))


def texts(study: KShot) -> list[str]:
    """What may be written into the figure."""
    return [study.title, study.task_title]


STUDY = StudySpec(key="kshot", lines=lines, table=table, arrays=arrays, draw=draw, texts=texts)
