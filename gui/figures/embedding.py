"""The residual stream of one layer: tokens × dimensions, lengths, and a map of the tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.types import EmbeddingQuery, EmbeddingResult, ModelInfo, Query, Snapshot, Stack, Token
from gui.figures import colour, lettering, style
from gui.figures.numbers import blocks, plain
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, answer_to

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABEL, _WIDE, _LENGTHS, _MAP = 0.95, 3.0, 0.5, 2.3


def _stack(options: FigureOptions, model: ModelInfo) -> Stack:
    """Cross-attention has no residual stream of its own: its queries are the decoder's."""
    stack = options.stack_of(model)
    return "decoder" if stack == "cross" else stack


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """The states at one depth, with their picture."""
    return (EmbeddingQuery(options.depth_of(model), _stack(options, model), picture=True),)


def _answer(snapshot: Snapshot, options: FigureOptions) -> EmbeddingResult:
    return answer_to(snapshot, queries(options, snapshot.model)[0], EmbeddingResult)


def _tokens(snapshot: Snapshot, found: EmbeddingResult) -> tuple[Token, ...]:
    return snapshot.queries_for(found.stack)


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw the states as a heatmap with their lengths beside it, and the map of the tokens."""
    from matplotlib.colors import Normalize

    model, found = snapshot.model, _answer(snapshot, options)
    labels = [lettering.label(token.text) for token in _tokens(snapshot, found)]
    count, width = found.values.shape
    high = min(6.5, max(_MAP, 0.13 * count))
    left = style.MARGIN + style.longest(labels, _LABEL) + 0.06
    where = "input embeddings" if found.layer == 0 else "residual stream"
    title = style.heading(model, style.of_stack(model, found.stack, where), f"layer {found.layer}")
    # A few dimensions are often a hundred times larger than the rest and would leave it white.
    magnitude = np.abs(found.values)
    limit = float(np.percentile(magnitude, 99)) or 1.0
    each = blocks(width, style.PIXELS)
    about = f"{style.counted(count, 'token')} × {width} dimensions; largest |value| "
    about += f"{float(magnitude.max()):.3g}"
    if each > 1:
        about += f"; each column the largest of {each}"
    top = style.title_height(about) + 0.06
    bar = left + _WIDE + 0.1 + _LENGTHS + 0.1
    mapped = bar + 0.75 + 0.35
    style.sized(figure, mapped + _MAP + style.MARGIN, top + high + 0.42, title, about)

    on = style.axes(figure, left, top, _WIDE, high)
    norm = Normalize(-limit, limit)
    drawn = style.cells(on, found.values, colour.diverging(), norm, outlines=False)
    style.label_cells(on, labels, "y", high, _LABEL)
    on.set_xlabel("dimension", labelpad=2)
    lengths = style.axes(figure, left + _WIDE + 0.1, top, _LENGTHS, high)
    lengths.barh(
        np.arange(count) + 0.5, found.norms, height=0.8 if count < 60 else 1.0, color="#5a9bc4"
    )
    lengths.set(ylim=(count, 0), yticks=[], xlabel="length ‖h‖")
    lengths.xaxis.labelpad = 2
    lengths.locator_params(axis="x", nbins=2)
    lengths.spines[["top", "right"]].set_visible(False)
    style.colour_bar(figure, drawn, (bar, top, min(high, 2.6)), "value (99 % lie within)", "both")
    if found.xy is not None and found.explained is not None:
        _map(figure, found, labels, (mapped, top + max(0.0, (high - _MAP) / 2)))


def _map(
    figure: Figure, found: EmbeddingResult, labels: list[str], at: tuple[float, float]
) -> None:
    """Draw where the tokens lie in their first two principal components."""
    assert found.xy is not None
    assert found.explained is not None
    on = style.axes(figure, *at, _MAP, _MAP)
    style.points(on, found.xy, labels)
    for axis, share in zip("xy", plain(found.explained), strict=True):
        number = "first" if axis == "x" else "second"
        carried = f" ({100 * share:.0f} %)" if np.isfinite(share) else ""
        says = f"{number} principal component{carried}"
        on.set(**{f"{axis}label": says})
    left = 0 if found.fitted is None else int((~found.fitted).sum())
    if left:
        # Massive states are placed by the others' components, not the other way round.
        on.set_title(f"fitted without {left} massive", loc="right", fontsize=7, color="#666666")
    on.locator_params(nbins=5)


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """`values` (T, D), `norms`, `fitted` (T,), `xy` (T, 2), `explained` (2,) and `layer`."""
    found = _answer(snapshot, options)
    numbers: dict[str, Any] = {
        "values": found.values,
        "norms": found.norms,
        "layer": np.array(found.layer, np.int64),
    }
    if found.xy is not None and found.explained is not None:
        numbers |= {"xy": found.xy, "explained": found.explained}
        if found.fitted is not None:
            numbers["fitted"] = found.fitted
    return numbers


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """A row for each token: its length, its place in the map, its state."""
    found = _answer(snapshot, options)
    tokens = _tokens(snapshot, found)
    xy = plain(found.xy) if found.xy is not None else [["", ""]] * len(tokens)
    header: list[object] = ["position", "id", "token", "norm", "x", "y"]
    header += [f"d{index}" for index in range(found.values.shape[1])]
    rows = zip(tokens, plain(found.norms), xy, plain(found.values), strict=True)
    return [
        header,
        *(
            [place, token.id, token.text, norm, *point, *state]
            for place, (token, norm, point, state) in enumerate(rows)
        ),
    ]


FIGURE = FigureSpec(
    key="embedding",
    needs=frozenset({"embedding"}),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
)
