"""Induction and prefix-matching scores of all heads, and what switching the highest off does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.studies.values import Effect, Heads
from engine.types import Floats
from gui.figures import colour, lettering, style
from gui.figures.numbers import text_array
from gui.studies.spec import Arrays, Line, StudySpec, columns, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL, _GAP, _BARS = 0.13, 0.95, 1.5
_NAMES = {"none": "all heads on", "top": "highest off", "random": "others off"}


def lines(study: Heads) -> list[Line]:
    """One for each head, then one for each choice of heads that were switched off."""
    return [*_scores(study), *(_effect(study, one) for one in study.effects)]


def _scores(study: Heads) -> list[Line]:
    return [
        {
            "layer": layer,
            "head": head,
            "induction": float(value),
            "prefix_matching": float(study.prefix_matching[layer, head]),
        }
        for (layer, head), value in np.ndenumerate(study.induction)
        if np.isfinite(value)
    ]


def _effect(study: Heads, one: Effect) -> Line:
    return {
        "off": one.off,
        "heads": [list(head) for head in one.heads],
        "ablation": study.ablation,
        **spread("second_half_loss", one.loss),
        **spread("second_half_accuracy", one.accuracy),
        **spread("icl_score", one.icl_score),
        "induction": one.induction,
        "prefix_matching": one.prefix_matching,
        "model": study.model,
    }


def effects(study: Heads) -> list[list[object]]:
    """What switching off does, as a table."""
    return columns([_effect(study, one) for one in study.effects])


def table(study: Heads) -> list[list[object]]:
    """A row for each head."""
    return columns(_scores(study))


def arrays(study: Heads) -> Arrays:
    """`induction`, `prefix_matching` (L, H); of E effects `off` (E,) and (E, 3) with intervals."""
    found = {
        "induction": study.induction,
        "prefix_matching": study.prefix_matching,
        "off": text_array(one.off for one in study.effects),
        "heads_off": text_array(
            " ".join(f"L{layer}H{head}" for layer, head in one.heads) for one in study.effects
        ),
    }
    for name in ("loss", "accuracy", "icl_score"):
        rows = []
        for effect in study.effects:
            one = getattr(effect, name)
            rows.append([np.nan] * 3 if one is None else [one.value, one.low, one.high])
        key = name if name == "icl_score" else f"second_half_{name}"
        found[key] = np.array(rows, np.float64).reshape(-1, 3)
    return found


def draw(figure: Figure, study: Heads) -> None:
    """Draw both maps, layers by heads, and the effect as bars."""
    from matplotlib.colors import Normalize

    layers, heads = study.induction.shape
    cell = min(_CELL, 4.0 / max(1, layers), 4.0 / max(1, heads))
    width, height = max(0.9, heads * cell), max(1.5, layers * cell)
    title = lettering.drawable(f"{study.title} · heads that look back")
    about = _about(study)
    top, left = style.title_height(about) + 0.2, style.MARGIN + 0.42
    panels = (2 if any(one.icl_score for one in study.effects) else 1) if study.effects else 0
    right = left + 2 * (width + _GAP)
    whole = right + panels * (_BARS + 0.75) + style.MARGIN
    style.sized(figure, whole, top + height + 0.62, title, about)
    marked = next((one.heads for one in study.effects if one.off == "top"), ())
    maps = (("induction score", study.induction), ("prefix matching", study.prefix_matching))
    for at, (name, scores) in enumerate(maps):
        place = left + at * (width + _GAP)
        on = style.axes(figure, place, top, width, height)
        values: Floats = scores
        shown = style.cells(on, values, colour.sequential(), Normalize(0, 1))
        on.set_title(name, fontsize=style.TEXT, loc="left", pad=3)
        on.set(xlabel="head", ylabel="layer" if at == 0 else "")
        for axis, count in ((on.xaxis, heads), (on.yaxis, layers)):
            step = style.step_for(cell, 0.2)
            ticks = range(0, count, step)
            axis.set_ticks([tick + 0.5 for tick in ticks], [str(tick) for tick in ticks])
        for layer, head in marked:
            on.plot(head + 0.5, layer + 0.5, "x", color=colour.ACCENT, markersize=3)
        style.colour_bar(figure, shown, (place + width + 0.08, top, height), "score")
    for at in range(panels):
        place = right + at * (_BARS + 0.75) + 0.2
        on = style.axes(figure, place, top, _BARS, height)
        for row, one in enumerate(study.effects):
            found = one.loss if at == 0 else one.icl_score
            if found is None:
                continue
            hue = colour.ACCENT if one.off == "top" else colour.MUTED
            error = [[max(0.0, found.value - found.low)], [max(0.0, found.high - found.value)]]
            on.bar(row, found.value, 0.6, color=hue, yerr=error, error_kw={"linewidth": 0.7})
        names = [_NAMES[one.off].replace(" ", "\n", 1) for one in study.effects]
        on.set_xticks(range(len(names)), names)
        on.axhline(0, color=colour.INK, linewidth=0.5)
        what = "second-half loss, nats" if at == 0 else "in-context score, nats"
        on.set_ylabel(what)


def _about(study: Heads) -> str:
    top = next((one for one in study.effects if one.off == "top"), None)
    if top is None:
        return study.refused
    how = "zero" if study.ablation == "zero" else "their mean"
    return f"crosses: the {len(top.heads)} heads that were switched off (set to {how})"


def texts(study: Heads) -> list[str]:
    """What may be written into the figure."""
    return [study.title]


STUDY = StudySpec(key="heads", lines=lines, table=table, arrays=arrays, draw=draw, texts=texts)
