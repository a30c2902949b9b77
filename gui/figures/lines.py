"""Attention as lines from a column of queries to a column of keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.types import Floats
from gui.figures import colour, lettering, style

if TYPE_CHECKING:
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

MOST = 400
"""Lines drawn at most, the strongest; more cannot be told apart. The screen draws as many."""

_FAINTEST = 12 / 255
BETWEEN = 2.2
"""Inches from the queries to the keys."""

_TALLEST = 9.0


def height_for(count: int) -> float:
    """How many inches a column of `count` tokens is tall."""
    return min(_TALLEST, max(0.17 * count, 0.6))


def draw_lines(
    figure: Figure,
    weights: Floats,
    names: tuple[Sequence[str], Sequence[str]],
    norm: Normalize,
    place: tuple[float, float],
    most: float,
) -> int:
    """Draw weights (T, S) as lines between tokens.

    Parameters
    ----------
    weights : float32 (T, S)
        On the scale of `norm`; NaN is masked.
    names : (T,), (S,)
        The labels of the queries and of the keys.
    place : (left, top)
        In inches, where the lines begin: right of the queries' names, which are at most `most`
        inches long.

    Returns
    -------
    int
        How many lines were left out that could have been seen.
    """
    from matplotlib.collections import LineCollection

    rows, columns = names
    tall = height_for(max(len(rows), len(columns)))
    on = style.axes(figure, *place, BETWEEN, tall)
    on.set(xlim=(0, 1), ylim=(1, 0))
    on.axis("off")
    at_row, at_column = ((np.arange(len(names)) + 0.5) / len(names) for names in (rows, columns))
    strength = np.ma.filled(np.ma.masked_invalid(norm(weights)), 0)
    seen = np.flatnonzero(strength > _FAINTEST)
    # The strongest are drawn last, on top.
    seen = seen[np.argsort(strength.ravel()[seen], kind="stable")]
    drawn = seen[-MOST:]
    query, key = np.unravel_index(drawn, weights.shape)
    ends = np.empty((len(drawn), 2, 2))
    ends[:, 0, 0], ends[:, 1, 0] = 0, 1
    ends[:, 0, 1], ends[:, 1, 1] = at_row[query], at_column[key]
    share = strength.ravel()[drawn]
    on.add_collection(
        LineCollection(
            list(ends),
            colors=colour.sequential()(share),
            linewidths=0.3 + 1.9 * share,
            capstyle="round",
        )
    )
    for labels, places, x, side in ((rows, at_row, 0, "right"), (columns, at_column, 1, "left")):
        step = style.step_for(tall / len(labels), style.LABEL_PITCH)
        for index in range(0, len(labels), step):
            on.annotate(
                lettering.elide(labels[index], style.SMALL, most),
                (x, places[index]),
                xytext=(-3 if side == "right" else 3, 0),
                textcoords="offset points",
                ha=side,
                va="center_baseline",
                fontsize=style.SMALL,
                family=style.mono(),
            )
    return len(seen) - len(drawn)
