"""A metric that jumps and one that does not, of the same outputs: against size, compute, steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.studies.emergence import Against, Curve, Emergence, Metric, Standing, independent
from gui.figures import colour, lettering, style
from gui.figures.numbers import text_array
from gui.studies.spec import Arrays, Line, StudySpec, columns, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS: tuple[Metric, ...] = ("exact_match", "edit_distance", "brier", "logprob")
NAMES: dict[Metric, str] = {
    "exact_match": "exact match",
    "edit_distance": "token edit distance",
    "brier": "Brier score",
    "logprob": "log p of the right tokens",
}
UNITS: dict[Metric, str] = {
    "exact_match": "share of answers",
    "edit_distance": "tokens",
    "brier": "0 is best",
    "logprob": "nats a token",
}
AXES: dict[Against, str] = {
    "parameters": "parameters",
    "compute": "training compute, FLOPs",
    "steps": "training steps",
}
MARKS = (
    "▼ where the best head's induction score has risen half of its way; ◆ where its prefix "
    "matching in the task's own rows has"
)
_WIDTH, _HEIGHT, _GAP = 3.0, 2.2, 0.7
_Dash = Literal["-", "--", ":", "-."]
_DASHES: tuple[_Dash, ...] = ("-", "--", ":", "-.")


def lines(study: Emergence) -> list[Line]:
    """One for each model of the task after each of its steps, then one for each curve."""
    return [*(line(row) for row in study.chosen), *summaries(study)]


def line(row: Standing) -> Line:
    """A row of the table."""
    told: Line = {
        "task": row.task,
        "model": row.model,
        "family": row.family,
        "parameters": row.parameters,
        "step": row.step,
        "tokens": row.tokens,
        "compute": row.compute,
        "answers": row.answers,
        "length": row.length,
    }
    for name in METRICS:
        told |= spread(name, row.metric(name))
    # What exact match would be if each token were right by itself.
    told["exact_if_independent"] = independent(
        1 - min(1.0, row.edit_distance.value / row.length), row.length
    )[0]
    return told | {"induction": row.induction, "prefix_matching": row.prefix_matching}


def summaries(study: Emergence) -> list[Line]:
    """One for each curve of both metrics."""
    return [
        {
            "curve": curve.name,
            "task": study.task,
            "metric": metric,
            "against": study.against,
            "points": len(curve.x),
            "first": float(curve.value[0]),
            "last": float(curve.value[-1]),
            "linearity": curve.linearity,
            "breakthroughness": curve.breakthroughness,
            "induction_rises": curve.rise,
            "prefix_matching_rises": curve.matching,
        }
        for metric in dict.fromkeys((study.metric, study.beside))
        for curve in study.curves(metric)
    ]


def table(study: Emergence) -> list[list[object]]:
    """A row for each model of the task after each of its steps."""
    return columns([line(row) for row in study.chosen])


def arrays(study: Emergence) -> Arrays:
    """Each column of the table (n,), and ``curve_…`` of the curves' figures."""
    rows = [line(row) for row in study.chosen]
    found: dict[str, NDArray[np.generic]] = {}
    for prefix, told in (("", rows), ("curve_", summaries(study))):
        for name in told[0] if told else ():
            key = name if name.startswith("curve") else prefix + name
            found[key] = _array([one[name] for one in told])
    return found


def _array(values: list[Any]) -> NDArray[np.generic]:
    if any(isinstance(value, str) for value in values):
        return text_array(values)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def draw(figure: Figure, study: Emergence) -> None:
    """Draw the two metrics side by side, a line a family, with what the curves come to."""
    both = (study.metric, study.beside)
    drawn = [study.curves(metric) for metric in both]
    families = list(dict.fromkeys(curve.family for curve in drawn[0]))
    bold = [curve for curve in drawn[0] if curve.largest]
    title = lettering.drawable(f"Emergence · {study.task} · against {AXES[study.against]}")
    about = about_of(study)
    top, left = style.title_height(about), style.MARGIN + 0.5
    second = left + _WIDTH + _GAP
    below = 0.52 + 0.145 * (len(bold) + 3)
    style.sized(figure, second + _WIDTH + style.MARGIN, top + _HEIGHT + below, title, about)
    for place, (metric, curves) in enumerate(zip(both, drawn, strict=True)):
        on = style.axes(figure, (left, second)[place], top, _WIDTH, _HEIGHT)
        _panel(on, study.against, metric, curves, families)
    _told(figure, study, drawn, families, top + _HEIGHT + 0.5)


def about_of(study: Emergence) -> str:
    """What is asked, of how many answers, in a line."""
    rows = study.chosen
    if not rows:
        return ""
    answers = {row.answers for row in rows}
    many = f"{min(answers):,}" if len(answers) == 1 else f"{min(answers):,} to {max(answers):,}"
    length = f"{np.mean([row.length for row in rows]):.3g}"
    thin = "" if study.against == "parameters" else "; thin: the smaller models"
    return f"{many} answers of {length} tokens; bands are 95 % bootstrap intervals{thin}"


def _panel(
    on: Axes, against: Against, metric: Metric, curves: tuple[Curve, ...], families: list[str]
) -> None:
    from matplotlib.transforms import offset_copy

    least = first_step(curves) if against != "parameters" else 0.0
    for curve in sorted(curves, key=lambda one: one.largest):
        place = families.index(curve.family)
        hue = colour.CATEGORIES[place % len(colour.CATEGORIES)]
        x = np.maximum(curve.x, least)
        if not curve.largest:
            on.plot(x, curve.value, color=hue, linewidth=0.5, alpha=0.35)
            continue
        on.fill_between(x, curve.low, curve.high, color=hue, alpha=0.18, linewidth=0)
        on.plot(
            x, curve.value, _DASHES[place % len(_DASHES)], color=hue, linewidth=1.4,
            marker="o", markersize=2.2,
        )  # fmt: skip
        # The triangle stands over the point, so that both are seen where both are.
        for at, shape, up, size in ((curve.rise, "v", 6, 5.5), (curve.matching, "D", 0, 3.8)):
            if at is None:
                continue
            value = float(np.interp(max(at, least), x, curve.value))
            on.plot(
                [max(at, least)], [value], shape, color=hue, markeredgecolor=colour.INK,
                markersize=size, markeredgewidth=0.6, zorder=6, clip_on=False,
                transform=offset_copy(on.transData, on.get_figure(root=True), y=up, units="points"),
            )  # fmt: skip
    on.set_xscale("log")
    on.minorticks_off()
    ticks = ticks_of(curves, least)
    on.set_xticks(ticks, [short(tick) if tick > least else "0" for tick in ticks])
    if metric == "exact_match":
        on.set_ylim(-0.02, 1.04)
    on.set(xlabel=AXES[against], ylabel=f"{NAMES[metric]}, {UNITS[metric]}")


def _told(
    figure: Figure,
    study: Emergence,
    drawn: list[tuple[Curve, ...]],
    families: list[str],
    top: float,
) -> None:
    """Write under the panels which line is which, and what it comes to."""
    head = ("", "linearity", "breakthroughness", "linearity", "breakthroughness",
            "▼ induction", "◆ matching")  # fmt: skip
    places = (0.42, 2.5, 3.15, 4.2, 4.85, 5.95, 6.65)
    said = (NAMES[study.metric], NAMES[study.beside])
    for name, place in zip(said, (places[1], places[3]), strict=True):
        style.write(figure, place, top, name, size=style.SMALL, weight="bold", va="top")
    top += 0.13
    for name, place in zip(head, places, strict=True):
        style.write(figure, place, top, name, size=style.SMALL, color=colour.MUTED, va="top")
    pairs = [pair for pair in zip(*drawn, strict=True) if pair[0].largest]
    width, height = figure.get_size_inches()
    for one, other in pairs:
        top += 0.145
        index = families.index(one.family)
        hue = colour.CATEGORIES[index % len(colour.CATEGORIES)]
        y = 1 - (top + 0.055) / height
        from matplotlib.lines import Line2D

        figure.add_artist(
            Line2D(
                [style.MARGIN / width, (places[0] - 0.06) / width],
                [y, y],
                color=hue,
                linestyle=_DASHES[index % len(_DASHES)],
                linewidth=1.4,
            )
        )
        cells = (
            lettering.elide(one.name, style.SMALL, 2.0, mono=False),
            number(one.linearity), number(one.breakthroughness),
            number(other.linearity), number(other.breakthroughness),
            "–" if one.rise is None else short(one.rise),
            "–" if one.matching is None else short(one.matching),
        )  # fmt: skip
        for cell, place in zip(cells, places, strict=True):
            style.write(figure, place, top, cell, size=style.SMALL, va="top")
    style.write(
        figure, style.MARGIN, top + 0.17, MARKS, size=style.SMALL, color=colour.MUTED, va="top"
    )


# --- words and places that the window shares ------------------------------------------------------


def number(value: float) -> str:
    """Linearity or breakthroughness: two digits, ∞ where it has no bound."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    told = f"{value:.2f}" if abs(value) < 1000 else f"{value:.1e}".replace("e+0", "e")
    return told.replace("-", "−")


def short(value: float) -> str:
    """A number on an axis: ``512``, ``12k``, ``3.1e9``."""
    if value >= 1e6:
        return f"{value:.2g}".replace("e+0", "e").replace("e+", "e")
    return f"{value:,.0f}" if value < 10_000 else f"{value / 1000:.3g}k"


def first_step(curves: tuple[Curve, ...]) -> float:
    """Where 0 is drawn on a logarithmic axis: half of what comes first after it."""
    known = [float(x) for curve in curves for x in curve.x if x > 0]
    return min(known) / 2 if known else 0.5


def ticks_of(curves: tuple[Curve, ...], least: float) -> list[float]:
    """At most seven places on a logarithmic axis, `least` among them where it stands for 0."""
    known = [float(x) for curve in curves for x in curve.x if x > 0]
    if not known:
        return []
    low, high = math.log10(min(known)), math.log10(max(known))
    step = max(1, math.ceil((high - low) / 5))
    within = range(math.floor(low), math.floor(high + 1e-9) + 1, step)
    # Where few powers of ten lie within, their halves and fifths are ticks too.
    each = (1, 2, 5) if high - low < 2.5 else (1,)
    ticks = [k * 10.0**n for n in within for k in each]
    ticks = [tick for tick in ticks if low - 1e-9 <= math.log10(tick) <= high + 1e-9] or [10**low]
    return [least, *ticks] if least else ticks


def texts(study: Emergence) -> list[str]:
    """What may be written into the figure."""
    return [study.task, *(row.model for row in study.chosen)]


STUDY = StudySpec(key="emergence", lines=lines, table=table, arrays=arrays, draw=draw, texts=texts)
