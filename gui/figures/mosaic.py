"""Every head of every layer at a glance: a grid of thumbnails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.types import Floats, ModelInfo, MosaicQuery, MosaicResult, Query, Snapshot
from gui.figures import colour, style
from gui.figures.numbers import plain
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, answer_to

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """All maps of one stack, as thumbnails."""
    return (MosaicQuery(stack=options.stack_of(model)),)


def _answer(snapshot: Snapshot, options: FigureOptions) -> MosaicResult:
    return answer_to(snapshot, queries(options, snapshot.model)[0], MosaicResult)


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw the thumbnails, layers from top to bottom and heads from left to right."""
    model, found = snapshot.model, _answer(snapshot, options)
    layers, heads, rows, columns = found.maps.shape
    maps = found.maps
    if found.stack == "decoder":
        future = np.triu(np.ones((rows, columns), bool), k=1)
        maps = np.where(future, np.float32(np.nan), maps)
    shown, norm, legend = colour.scaled(maps, options.scaling)
    # Square cells, as large as a page allows but no larger than is of use.
    cell = min(0.62, 6.0 / heads, 8.4 / layers)
    width, height = cell * heads, cell * layers
    title = style.heading(
        model,
        style.of_stack(model, found.stack, "attention"),
        f"all {layers} × {heads} heads",
    )
    shrunk = max(found.rows, found.columns) > max(rows, columns)
    about = style.counted(found.rows, "token") + (
        f", each cell the largest weight of its block; {rows} × {columns} cells a head"
        if shrunk
        else ""
    )
    left, top = style.MARGIN + 0.42, style.title_height(about) + 0.34
    bar = min(max(height, 1.5), 2.4)
    style.sized(figure, left + width + 0.9, top + max(height, bar) + style.MARGIN, title, about)
    on = style.axes(figure, left, top, width, height)
    drawn = on.imshow(
        np.ma.masked_invalid(_joined(shown)),
        cmap=colour.sequential(),
        norm=norm,
        aspect="auto",
        extent=(0, heads, layers, 0),
        interpolation="nearest",
    )
    for position in range(1, layers):
        on.axhline(position, color="white", linewidth=1.2 if cell > 0.3 else 0.7)
    for position in range(1, heads):
        on.axvline(position, color="white", linewidth=1.2 if cell > 0.3 else 0.7)
    _number(on, "x", heads, cell)
    _number(on, "y", layers, cell)
    on.xaxis.set_label_position("top")
    on.set_xlabel("head", labelpad=3)
    on.set_ylabel("layer", labelpad=3)
    on.spines[:].set_visible(False)
    if options.layer is not None and options.head is not None and options.head < heads:
        _outline(on, options.block_of(model), options.head)
    place = (left + width + 0.2, top, bar)
    style.colour_bar(figure, drawn, place, legend, "min" if options.scaling == "log" else "neither")


def _joined(maps: Floats) -> Floats:
    """Thumbnails (L, H, s, s') side by side in one array (L·s, H·s')."""
    layers, heads, rows, columns = maps.shape
    return maps.transpose(0, 2, 1, 3).reshape(layers * rows, heads * columns)


def _number(on: Axes, axis: str, count: int, cell: float) -> None:
    step = style.step_for(cell, 0.16 if axis == "x" else 0.12)
    places = range(0, count, step)
    which = on.xaxis if axis == "x" else on.yaxis
    which.set_ticks([place + 0.5 for place in places], [str(place) for place in places])
    on.tick_params(axis="both", length=0, pad=2, top=False, labeltop=True, labelbottom=False)


def _outline(on: Axes, layer: int, head: int) -> None:
    """Mark the chosen head."""
    from matplotlib.patches import Rectangle

    frame = Rectangle((head, layer), 1, 1, fill=False, edgecolor=colour.ACCENT, linewidth=1.6)
    frame.set(clip_on=False, zorder=5)
    on.add_patch(frame)


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """`maps` (L, H, s, s') block maxima; `rows` (T) and `columns` (S) say of how many weights."""
    found = _answer(snapshot, options)
    return {
        "maps": found.maps,
        "rows": np.array(found.rows, np.int64),
        "columns": np.array(found.columns, np.int64),
    }


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """One row for each layer, head and row of its thumbnail."""
    found = _answer(snapshot, options)
    header: list[object] = ["layer", "head", "row"]
    header += [f"c{index}" for index in range(found.maps.shape[3])]
    return [
        header,
        *(
            [layer, head, place, *row]
            for layer, heads in enumerate(plain(found.maps))
            for head, one in enumerate(heads)
            for place, row in enumerate(one)
        ),
    ]


FIGURE = FigureSpec(
    key="mosaic",
    needs=frozenset({"attention"}),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
)
