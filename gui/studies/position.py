"""Loss by position over long texts, and the in-context learning score."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from engine.studies.values import Positions
from gui.figures import colour, lettering, style
from gui.figures.numbers import text_array
from gui.studies.spec import Arrays, Line, StudySpec, columns, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 4.6, 2.4
_BINS = 24


def lines(study: Positions) -> list[Line]:
    """One for each position, and at the end the score."""
    return [*_places(study), summary(study)]


def _places(study: Positions) -> list[Line]:
    return [
        {
            "position": place,
            "loss": float(study.curve[place]),
            "low": float(study.low[place]),
            "high": float(study.high[place]),
        }
        for place in range(1, len(study.curve))
    ]


def summary(study: Positions) -> Line:
    """The score, its interval, and what it is of."""
    return {
        **spread("icl_score", study.score),
        "early": study.early,
        "late": study.late,
        "around": study.around,
        "loss": float(np.nanmean(study.curve)),
        "texts": len(study.losses),
        "tokens": study.losses.shape[1],
        "model": study.model,
    }


def table(study: Positions) -> list[list[object]]:
    """A row for each position."""
    return columns(_places(study))


def arrays(study: Positions) -> Arrays:
    """`losses` (N, T) in nats and `names` (N,); `curve`, `low`, `high` (T,); the score."""
    score = study.score
    return {
        "losses": study.losses,
        "names": text_array(study.names),
        "curve": study.curve,
        "low": study.low,
        "high": study.high,
        "icl_score": np.array([score.value, score.low, score.high], np.float64),
        "early": np.array(study.early, np.int64),
        "late": np.array(study.late, np.int64),
        "around": np.array(study.around, np.int64),
    }


def draw(figure: Figure, study: Positions) -> None:
    """Draw the loss at each position, and its mean over neighbours on the logarithmic axis."""
    score = study.score
    value, low, high = (
        f"{one:+.2f}".replace("-", "−") for one in (score.value, score.low, score.high)
    )
    about = (
        f"in-context learning score {value} nats (95 % interval {low} to {high}): "
        f"position {study.late} less {study.early}, {len(study.losses)} texts"
    )
    title = lettering.drawable(f"{study.title} · loss by position")
    top, left = style.title_height(about), style.MARGIN + 0.45
    style.sized(figure, left + _WIDTH + style.MARGIN, top + _HEIGHT + 0.7, title, about)
    on = style.axes(figure, left, top, _WIDTH, _HEIGHT)
    places = np.arange(1, len(study.curve))
    on.fill_between(
        places, study.low[1:], study.high[1:], color=colour.LINE, alpha=0.4, linewidth=0
    )
    on.plot(
        places, study.curve[1:], color=colour.MUTED, linewidth=0.3, alpha=0.6, label="each position"
    )
    edges = np.unique(np.geomspace(1, len(study.curve), _BINS).astype(int))
    middles = [np.sqrt(a * (b - 1)) for a, b in pairwise(edges)]
    means = [study.curve[a:b].mean() for a, b in pairwise(edges)]
    on.plot(middles, means, color=colour.ACCENT, linewidth=1.4, label="mean over neighbours")
    for place in (study.early, study.late):
        on.axvline(place, color=colour.INK, linestyle=":", linewidth=0.7)
    on.set_xscale("log")
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick < len(study.curve)]
    on.set_xticks(ticks, [str(tick) for tick in ticks])
    on.minorticks_off()
    on.set(xlabel="position in the text, tokens", ylabel="loss, nats", xlim=(1, len(study.curve)))
    figure.legend(loc="lower left", ncols=2, bbox_to_anchor=(0.02, 0.0))


def texts(study: Positions) -> list[str]:
    """What may be written into the figure."""
    return [study.title]


STUDY = StudySpec(key="position", lines=lines, table=table, arrays=arrays, draw=draw, texts=texts)
