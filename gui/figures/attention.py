"""Attention of one layer: one head's map, or the mean over heads, with its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.types import (
    AttentionQuery,
    AttentionResult,
    Floats,
    ModelInfo,
    Query,
    Snapshot,
)
from gui.figures import colour, lettering, style
from gui.figures.lines import BETWEEN, MOST, draw_lines, height_for
from gui.figures.numbers import blocks, plain
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, answer_to

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

_NUMBERED = 12
"""Up to so many tokens a side the weights are written into the cells."""

_LABEL = 0.95


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """One map where a head was chosen, else all heads of the layer."""
    return (AttentionQuery(options.block_of(model), options.head, options.stack_of(model)),)


def _answer(snapshot: Snapshot, options: FigureOptions) -> AttentionResult:
    return answer_to(snapshot, queries(options, snapshot.model)[0], AttentionResult)


def _axis_side(count: int) -> float:
    """How many inches `count` tokens get: room for numbers, then a slow growth up to a page."""
    if count <= _NUMBERED:
        return 0.34 * count
    return min(6.0, 0.34 * _NUMBERED + 0.06 * (count - _NUMBERED))


@dataclass(frozen=True, slots=True)
class _Shown:
    """One map, ready to be drawn: `weights` (T, S) with the masked ones NaN, and its names."""

    weights: Floats
    rows: list[str]
    columns: list[str]
    causal: bool
    title: str


def _shown(snapshot: Snapshot, options: FigureOptions) -> _Shown:
    model, found = snapshot.model, _answer(snapshot, options)
    weights = found.weights if found.weights.ndim == 2 else found.weights.mean(axis=0)  # (T, S)
    causal = found.stack == "decoder"
    if causal:
        future = np.triu(np.ones(weights.shape, bool), k=1)
        weights = np.where(future, np.float32(np.nan), weights)
    head = f"mean over {model.heads} heads" if options.head is None else f"head {options.head}"
    return _Shown(
        weights,
        [lettering.label(token.text) for token in snapshot.queries_for(found.stack)],
        [lettering.label(token.text) for token in snapshot.keys_for(found.stack)],
        causal,
        style.heading(
            model, style.of_stack(model, found.stack, "attention"), f"layer {found.layer}", head
        ),
    )


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw one head, or the mean over heads: as a map, or as lines from queries to keys."""
    shown = _shown(snapshot, options)
    (_draw_lines if options.picture == "lines" else _draw_map)(figure, shown, options)


def _draw_lines(figure: Figure, shown: _Shown, options: FigureOptions) -> None:
    from matplotlib.cm import ScalarMappable

    left = style.MARGIN + max(0.45, style.longest(shown.rows, _LABEL)) + 0.08
    keys = left + BETWEEN + 0.08 + max(0.9, style.longest(shown.columns, _LABEL))
    top = style.title_height() + 0.2
    tall = max(1.5, height_for(max(len(shown.rows), len(shown.columns))))
    style.sized(figure, keys + 0.7, top + tall + 0.2 + style.MARGIN, shown.title)
    scaled, norm, legend = colour.scaled(shown.weights, options.scaling)
    names = (shown.rows, shown.columns)
    omitted = draw_lines(figure, scaled, names, norm, (left, top), _LABEL)
    small: dict[str, Any] = {"size": style.SMALL, "va": "top"}
    style.write(figure, left, top - 0.18, "query (attends)", ha="center", **small)
    style.write(figure, left + BETWEEN, top - 0.18, "key (attended to)", ha="center", **small)
    scale = ScalarMappable(norm, colour.sequential())
    place = (keys + 0.05, top, min(2.4, tall))
    style.colour_bar(figure, scale, place, legend, "min" if options.scaling == "log" else "neither")
    if omitted:
        note = f"the strongest {MOST} of {MOST + omitted} lines"
        style.write(figure, style.MARGIN, top + tall + 0.08, note, **small)


def _draw_map(figure: Figure, shown: _Shown, options: FigureOptions) -> None:
    """A row for each query, a column for each key, the future masked."""
    weights, rows, columns = shown.weights, shown.rows, shown.columns
    cell = _axis_side(max(weights.shape)) / max(weights.shape)
    width, height = (max(cell * n, min(0.16 * n, 1.0)) for n in (len(columns), len(rows)))
    left = style.MARGIN + 0.16 + style.longest(rows, _LABEL) + 0.06
    above = style.longest(columns, _LABEL) + 0.22
    # The legend of colours must have room for its name, however few the tokens.
    bar = max(1.5, min(height, 2.4))
    top = style.title_height() + above
    body = max(height, bar)
    each = blocks(max(weights.shape), style.PIXELS)
    step = style.step_for(min(width / len(columns), height / len(rows)), style.LABEL_PITCH)
    notes = [f"every {style.ordinal(step)} token is named"] if step > 1 else []
    notes += [f"each cell: the largest weight of {each} × {each}"] if each > 1 else []
    below = (0.22 if shown.causal else 0) + (0.2 if notes else 0)
    right = left + width + 0.85
    style.sized(figure, right, top + body + below + style.MARGIN, shown.title)
    on = style.axes(figure, left, top, width, height)
    scaled, norm, legend = colour.scaled(weights, options.scaling)
    drawn = style.cells(on, scaled, colour.sequential(), norm)
    style.label_cells(on, columns, "x", width, _LABEL)
    style.label_cells(on, rows, "y", height, _LABEL)
    on.spines[:].set_color(colour.LINE)
    small: dict[str, Any] = {"size": style.SMALL, "va": "top"}
    style.write(figure, left, top - above, "key (attended to) →", **small)
    style.write(figure, style.MARGIN, top, "← query (attends)", rotation=90, **small)
    if len(rows) <= _NUMBERED and len(columns) <= _NUMBERED:
        _write_weights(on, weights, scaled, norm)
    place = (left + width + 0.2, top, bar)
    style.colour_bar(figure, drawn, place, legend, "min" if options.scaling == "log" else "neither")
    under = top + body + 0.1
    if shown.causal:
        _masked_key(figure, left, under)
    style.write(figure, left, under + (0.2 if shown.causal else 0), "; ".join(notes), **small)


def _masked_key(figure: Figure, left: float, top: float) -> None:
    """Say what the grey cells are."""
    square = style.axes(figure, left, top, 0.11, 0.11)
    square.set(facecolor=colour.MASKED, xticks=[], yticks=[])
    square.spines[:].set_color(colour.LINE)
    says = "masked: a token sees no later token"
    style.write(figure, left + 0.17, top + 0.055, says, size=style.SMALL, va="center")


def _write_weights(on: Axes, weights: Floats, shown: Floats, norm: Normalize) -> None:
    """Write each weight into its cell, as .42, in a colour that can be read on it."""
    for (row, column), weight in np.ndenumerate(weights):
        if np.isfinite(weight):
            dark = float(norm(shown[row, column])) > 0.55
            text = f"{weight:.2f}".removeprefix("0") if weight < 0.995 else "1.0"
            on.text(
                column + 0.5,
                row + 0.54,
                text,
                ha="center",
                va="center",
                fontsize=6,
                color="white" if dark else colour.INK,
            )


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """`weights` (T, S) of the chosen head or (H, T, S) of all, and `layer` (and `head`)."""
    found = _answer(snapshot, options)
    numbers: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {
        "weights": found.weights,
        "layer": np.array(found.layer, np.int64),
    }
    if options.head is not None:
        numbers["head"] = np.array(options.head, np.int64)
    return numbers


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """One row for each head and query, one column for each key."""
    found = _answer(snapshot, options)
    queries_, keys = snapshot.queries_for(found.stack), snapshot.keys_for(found.stack)
    maps = found.weights if found.weights.ndim == 3 else found.weights[None]  # (H, T, S)
    first = options.head or 0
    header: list[object] = ["head", "query", "token"]
    header += [f"{place} {token.text}" for place, token in enumerate(keys)]
    return [
        header,
        *(
            [first + head, place, queries_[place].text, *row]
            for head, one in enumerate(plain(maps))
            for place, row in enumerate(one)
        ),
    ]


FIGURE = FigureSpec(
    key="attention",
    needs=frozenset({"attention"}),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
)
