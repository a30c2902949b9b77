"""The residual stream of one layer: tokens × dimensions, lengths, and a map of the tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.types import EmbeddingQuery, EmbeddingResult, ModelInfo, Query, Snapshot, Stack, Token
from gui.figures import colour, lettering, style
from gui.figures.numbers import blocks, plain
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, answer_to

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAR = "#5a9bc4"
_TOLD = 4
"""How many of the tokens that leave the scales are named."""

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
    # States of massive length, often the first token's, would leave everything else without colour;
    # so would the few dimensions that are a hundred times larger than the rest.
    typical = found.fitted if found.fitted is not None else np.ones(count, bool)
    limit = float(np.percentile(np.abs(found.values[typical]), 99)) or 1.0
    each = blocks(width, style.PIXELS)
    about = f"{style.counted(count, 'token')} × {width} dimensions; largest |value| "
    about += _short(float(np.abs(found.values).max()))
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
    _lengths(lengths, found)
    lengths.xaxis.labelpad = 2
    lengths.locator_params(axis="x", nbins=2)
    lengths.spines[["top", "right"]].set_visible(False)
    says = "value (99 % lie within)" if typical.all() else "value (99 % of ordinary tokens within)"
    style.colour_bar(figure, drawn, (bar, top, min(high, 2.6)), says, "both")
    if found.xy is not None and found.explained is not None:
        _map(figure, found, labels, typical, (mapped, top + max(0.0, (high - _MAP) / 2)))


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _lengths(on: Axes, found: EmbeddingResult) -> None:
    """Draw the states' lengths; a bar beyond three medians is cut and says its number."""
    count, most = len(found.norms), 3 * float(np.median(found.norms))
    right = min(float(found.norms.max()) * 1.05, most) or 1.0
    on.barh(np.arange(count) + 0.5, found.norms, height=0.8 if count < 60 else 1.0, color=_BAR)
    on.set(xlim=(0, right), ylim=(count, 0), yticks=[], xlabel="length ‖h‖")
    for place in np.flatnonzero(found.norms > right)[:_TOLD]:
        says = _short(float(found.norms[place]))
        on.annotate(
            f"{says} ▸",
            (right, place + 0.5),
            ha="right",
            va="center",
            fontsize=5.5,
            color="white",
        )


def _map(
    figure: Figure,
    found: EmbeddingResult,
    labels: list[str],
    typical: NDArray[np.bool_],
    at: tuple[float, float],
) -> None:
    """Draw where the tokens lie in their first two principal components."""
    assert found.xy is not None
    assert found.explained is not None
    on = style.axes(figure, *at, _MAP, _MAP)
    shown = [label for label, inside in zip(labels, typical, strict=True) if inside]
    style.points(on, found.xy[typical], shown, np.flatnonzero(typical))
    outside = [label for label, inside in zip(labels, typical, strict=True) if not inside]
    if outside:
        names = ", ".join(outside[:_TOLD]) + (", …" if len(outside) > _TOLD else "")
        # They would press all others into one point, and the axes are fitted without them.
        says = lettering.elide(f"left out, massive: {names}", style.SMALL, _MAP, mono=False)
        style.write(figure, at[0] + _MAP, at[1] - 0.03, says, size=style.SMALL, ha="right")
    for axis, share in zip("xy", plain(found.explained), strict=True):
        number = "first" if axis == "x" else "second"
        carried = f" ({100 * share:.0f} %)" if np.isfinite(share) else ""
        says = f"{number} principal component{carried}"
        on.set(**{f"{axis}label": says})
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
