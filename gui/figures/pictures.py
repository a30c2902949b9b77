"""A picture of states by a projection, the context placed in it, and how good the picture is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.latent.pictured import PictureResult
from engine.latent.values import PictureQuery, PlaceQuery, PlaceResult
from engine.types import Floats, ModelInfo, Query, Snapshot
from gui.figures import colour, lettering, style
from gui.figures.numbers import plain, text_array
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, answer_to
from gui.qualities import MEASURES, STATES, columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE, _LINE, _COLUMN, _NAMES = 4.2, 0.15, 0.62, 1.0
_OUTLINED = 5000
"""More states than this would make a file of megabytes if each were an outline."""


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """The picture as it was drawn, and where the context's tokens lie in it."""
    return (PictureQuery(options.drawn), PlaceQuery(options.drawn))


def _answer(snapshot: Snapshot, options: FigureOptions) -> PictureResult:
    return answer_to(snapshot, PictureQuery(options.drawn), PictureResult)


def _places(snapshot: Snapshot, options: FigureOptions) -> Floats:
    """Places (t, 2) of the context's tokens; (0, 2) where nobody asked for a picture by name."""
    found = snapshot.results.get(PlaceQuery(options.drawn))
    return found.xy if isinstance(found, PlaceResult) else np.zeros((0, 2), np.float32)


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw the states by label, held-out ones hollow, the tokens over them, the numbers below."""
    found, places = _answer(snapshot, options), _places(snapshot, options)
    title = style.heading(snapshot.model, found.title, f"layer {found.layer}", STATES[found.states])
    drawn = f"{len(found.xy):,} of {found.of:,} states, {int(found.held_out.sum()):,} held out"
    about = lettering.elide(f"{drawn}; {found.source}", style.TEXT, 5.4, mono=False)
    top, left = style.title_height(about), style.MARGIN + 0.5
    side = max(lettering.width(name, style.SMALL, mono=False) for name in found.label_names)
    side = min(1.5, side) + 0.3
    below = top + _SIDE + 0.5
    width = left + _SIDE + 0.1 + side + style.MARGIN
    height = below + _LINE * (len(MEASURES) + 2) + style.MARGIN
    style.sized(figure, width, height, title, about)
    on = style.axes(figure, left, top, _SIDE, _SIDE)
    _limits(on, found, places)
    _cloud(on, found)
    labels = [lettering.label(token.text) for token in snapshot.tokens[: len(places)]]
    inside = _inside(on, places)
    if inside.any():
        shown = [label for label, there in zip(labels, inside, strict=True) if there]
        style.points(on, places[inside], shown, np.flatnonzero(inside))
    on.set(xlabel=found.axes[0], ylabel=found.axes[1])
    _legend(figure, found, left + _SIDE + 0.12, top)
    _numbers(figure, found, below)


def _limits(on: Axes, found: PictureResult, places: Floats) -> None:
    """Show nearly all of the cloud, and the tokens that lie near it."""
    low, high = np.percentile(found.xy.astype(np.float64), [0.5, 99.5], axis=0)
    room = (high - low) / 2
    near = ((places >= low - room) & (places <= high + room)).all(axis=1)
    both = np.concatenate([np.stack([low, high]), places[near]])
    low, high = both.min(axis=0), both.max(axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()) * 0.54, 1e-3)
    on.set(
        xlim=(middle[0] - half, middle[0] + half),
        ylim=(middle[1] - half, middle[1] + half),
        aspect="equal",
    )


def _inside(on: Axes, places: Floats) -> NDArray[np.bool_]:
    (x0, x1), (y0, y1) = on.get_xlim(), on.get_ylim()
    return np.asarray(((places >= (x0, y0)) & (places <= (x1, y1))).all(axis=1), np.bool_)


def _colours(found: PictureResult) -> list[str]:
    hues = colour.CATEGORIES
    return [hues[index % len(hues)] for index in range(len(found.label_names))]


def _cloud(on: Axes, found: PictureResult) -> None:
    hues = np.array(_colours(found))[found.labels]
    # Neighbours in a file often share a label; in that order the last would hide the others.
    order = np.random.default_rng(0).permutation(len(found.xy))
    for out in (False, True):
        rows = order[found.held_out[order] == out]
        dots = on.scatter(
            found.xy[rows, 0],
            found.xy[rows, 1],
            s=5,
            facecolors="none" if out else hues[rows],
            edgecolors=hues[rows],
            linewidths=0.5 if out else 0.0,
            alpha=0.7,
            zorder=1,
        )
        dots.set_rasterized(len(found.xy) > _OUTLINED)


def _legend(figure: Figure, found: PictureResult, left: float, top: float) -> None:
    from matplotlib.lines import Line2D

    def dot(hue: str, name: str, hollow: bool = False) -> Line2D:
        face = "none" if hollow else hue
        made = Line2D([], [], marker="o", markersize=3.5, ls="", mec=hue, mfc=face, mew=0.6)
        made.set_label(lettering.elide(name, style.SMALL, 1.3, mono=False))
        return made

    most = 22
    handles = [
        dot(hue, lettering.drawable(name) or "(none)")
        for hue, name in zip(_colours(found)[:most], found.label_names[:most], strict=True)
    ]
    if len(found.label_names) > most:
        handles.append(dot("white", f"and {len(found.label_names) - most} more"))
    if found.held_out.any():
        handles.append(dot(colour.MUTED, "held out", hollow=True))
    width, height = figure.get_size_inches()
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(left / width, 1 - top / height),
        borderaxespad=0,
        borderpad=0,
        handletextpad=0.3,
        handlelength=1.0,
    )


def _numbers(figure: Figure, found: PictureResult, top: float) -> None:
    left = style.MARGIN
    for index, name in enumerate(MEASURES):
        style.write(figure, left, top + _LINE * (index + 2), name, color=colour.MUTED, va="center")
    for at, column in enumerate(columns(found)):
        right = left + _NAMES + _COLUMN * (at + 1)
        if not at % 2:
            start = right - _COLUMN + 0.18
            style.write(figure, start, top, column.picture, weight="bold", va="center")
        how = {"va": "center", "ha": "right"}
        style.write(figure, right, top + _LINE, column.points, color=colour.MUTED, **how)
        for index in range(len(MEASURES)):
            style.write(figure, right, top + _LINE * (index + 2), column.said(index), **how)


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """The states' places and what they are, the tokens' places, and the measures.

    `xy` (N, 2), `held_out` (N,), `labels` (N,) into `label_names`, `texts` (N,) or empty, `rows`
    (N,) which of the `of` states they are; `token_xy` (t, 2); `quality` (columns, 3) with the
    columns named in `quality_of` and NaN where a measure does not exist; `layer`. `mu` (N, Z) where
    the layer has a latent space.
    """
    found = _answer(snapshot, options)
    measured = columns(found)
    made: dict[str, NDArray[np.generic]] = {
        "xy": found.xy,
        "held_out": found.held_out,
        "labels": found.labels,
        "label_names": text_array(found.label_names),
        "texts": text_array(found.texts),
        "rows": found.rows,
        "of": np.array(found.of, np.int64),
        "token_xy": _places(snapshot, options),
        "quality": np.array([one.values for one in measured], np.float32),
        "quality_of": text_array(f"{one.picture}, {one.points}" for one in measured),
        "layer": np.array(found.layer, np.int64),
    }
    if found.mu is not None:
        made["mu"] = found.mu
    return made


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """A row for each state, then one for each token of the context."""
    found, places = _answer(snapshot, options), _places(snapshot, options)
    texts = found.texts or ("",) * len(found.xy)
    names = [found.label_names[index] for index in found.labels.tolist()]
    parts = ["held out" if out else "fitted" for out in found.held_out.tolist()]
    states = zip(parts, found.rows.tolist(), names, plain(found.xy), texts, strict=True)
    tokens = zip(snapshot.tokens, plain(places), strict=False)
    return [
        ["part", "row", "label", "x", "y", "text"],
        *([part, row, name, *xy, text] for part, row, name, xy, text in states),
        *(["context", row, "", *xy, token.text] for row, (token, xy) in enumerate(tokens)),
    ]


FIGURE = FigureSpec(
    key="pictures",
    needs=frozenset({"embedding"}),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
    textless=True,
)
