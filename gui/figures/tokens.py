"""The context as the model reads it: its tokens, how surprising each was, what may come next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.types import Floats, ModelInfo, NextQuery, NextResult, Query, Snapshot, Token
from gui.figures import colour, lettering, style
from gui.figures.numbers import plain, text_array
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, answer_to

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

_LINE = 6.6
"""Inches of tokens side by side before a new line begins."""

_HIGH, _STRIP, _PAD = 0.2, 0.07, 0.04
_MOST, _MOST_LINES = 2000, 120
"""Tokens and lines drawn; more would be yards of paper. The numbers always hold them all."""


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """Ask for surprise and the next tokens of a model that predicts any."""
    asked = NextQuery(temperature=options.temperature)
    return (asked,) if "next" in model.provides else ()


def _answer(snapshot: Snapshot, options: FigureOptions) -> NextResult | None:
    asked = queries(options, snapshot.model)
    return answer_to(snapshot, asked[0], NextResult) if asked else None


def _read(snapshot: Snapshot) -> tuple[Token, ...]:
    """The tokens that were predicted: the target's where the model has one."""
    return snapshot.target_tokens or snapshot.tokens


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw the tokens in lines, a strip of surprise under each, then bars of the next tokens."""
    model, found = snapshot.model, _answer(snapshot, options)
    tokens = _read(snapshot) if found else snapshot.tokens
    places = [place for place in _lines(tokens[:_MOST]) if place[0] < _MOST_LINES]
    drawn = tokens[: len(places)]
    lines = 1 + places[-1][0]
    pitch = _HIGH + (_STRIP if found else 0) + 0.06
    title = style.heading(model, "tokens")
    about = style.counted(len(tokens), "token") + (
        f", the first {len(drawn)} shown" if len(tokens) > len(drawn) else ""
    )
    top = style.title_height(about)
    after = top + lines * pitch
    bars = 0.0 if found is None else 0.5 + 0.17 * len(found.ids) + 0.1
    height = after + style.MARGIN + bars
    right = max(left + wide for _, left, wide in places)
    style.sized(figure, min(_LINE, max(right, 3.4)) + 2 * style.MARGIN, height, title, about)
    scale = _surprise_scale(found.surprise[: len(drawn)]) if found else None
    _strip(figure, drawn, places, top, pitch, found.surprise if found else None, scale)
    if found is not None and scale is not None:
        _legend(figure, scale, after + 0.08)
        _bars(figure, found, after + 0.5)


def _lines(tokens: Sequence[Token]) -> list[tuple[int, float, float]]:
    """Give each token its line, its inches from the left, and its width."""
    places: list[tuple[int, float, float]] = []
    line, left = 0, 0.0
    for token in tokens:
        wide = lettering.width(_written(token), style.TEXT) + 2 * _PAD
        if left and left + wide > _LINE:
            line, left = line + 1, 0.0
        places.append((line, left, wide))
        left += wide + 0.02
        if b"\n" in token.data:
            line, left = line + 1, 0.0
    return places


def _written(token: Token) -> str:
    return lettering.elide(lettering.label(token.text), style.TEXT, _LINE / 2)


def _surprise_scale(surprise: Floats) -> ScalarMappable:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    top = float(np.nanmax(surprise)) if np.isfinite(surprise).any() else 0.0
    return ScalarMappable(Normalize(0, top or 1.0), colour.sequential())


def _strip(
    figure: Figure,
    tokens: Sequence[Token],
    places: Sequence[tuple[int, float, float]],
    top: float,
    pitch: float,
    surprise: Floats | None,
    scale: ScalarMappable | None,
) -> None:
    """Draw the tokens' boxes, and under each the colour of its surprise."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    width, height = figure.get_size_inches()
    on = style.axes(figure, 0, 0, width, height)
    on.set(xlim=(0, width), ylim=(height, 0))
    on.axis("off")
    boxes, strips = [], []
    for index, (token, (line, left, wide)) in enumerate(zip(tokens, places, strict=True)):
        x, y = style.MARGIN + left, top + line * pitch
        shade = colour.SHADES[index % len(colour.SHADES)]
        boxes.append(Rectangle((x, y), wide, _HIGH, facecolor=shade))
        ink = colour.MUTED if token.special else colour.INK
        style.write(
            figure,
            x + wide / 2,
            y + _HIGH / 2,
            _written(token),
            ha="center",
            va="center_baseline",
            family=style.mono(),
            color=ink,
        )
        if surprise is not None and scale is not None and index < len(surprise):
            known = np.isfinite(surprise[index])
            fill = scale.to_rgba(surprise[index]) if known else "white"
            strips.append(Rectangle((x, y + _HIGH), wide, _STRIP, facecolor=fill))
    on.add_collection(PatchCollection(boxes, match_original=True, linewidth=0))
    on.add_collection(
        PatchCollection(strips, match_original=True, linewidth=0.4, edgecolor=colour.LINE)
    )


def _legend(figure: Figure, scale: ScalarMappable, top: float) -> None:
    """Say what the strip under the tokens means."""
    cax = style.axes(figure, style.MARGIN, top + 0.02, 1.4, 0.08)
    bar = figure.colorbar(
        scale, cax=cax, orientation="horizontal", format=lambda value, _: f"{value:.3g}"
    )
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(length=2, pad=1)
    says = "surprise, −log₂ p(token | before), bits"
    style.write(figure, style.MARGIN + 1.5, top + 0.06, says, size=style.SMALL, va="center")


def _bars(figure: Figure, found: NextResult, top: float) -> None:
    """Draw how likely the next tokens are."""
    names = [lettering.label(text) for text in found.texts]
    label = style.longest(names, 1.2)
    cooled = "" if found.temperature == 1 else f", T = {found.temperature:g}"
    style.write(figure, style.MARGIN, top, f"next token{cooled}", weight="bold", va="center")
    left, high = style.MARGIN + label + 0.06, 0.17 * len(names)
    on = style.axes(figure, left, top + 0.1, 2.0, high)
    share = np.asarray(found.probabilities, np.float64)
    on.set(xlim=(0, float(share.max()) * 1.28), ylim=(len(names), 0))
    middles = np.arange(len(names)) + 0.5
    on.barh(middles, share, height=0.72, color="#5a9bc4")
    for middle, value in zip(middles, share, strict=True):
        text = f"{100 * value:.1f} %"
        gap = float(share.max()) * 0.02
        on.text(value + gap, middle, text, va="center_baseline", fontsize=style.SMALL)
    on.set_xticks([])
    style.label_cells(on, names, "y", high, 1.2)
    on.spines[["top", "right", "bottom"]].set_visible(False)


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """`surprise` (T,) bits, and the next tokens' `next_ids`, `next_tokens`, `next_probabilities`.

    Empty for a model that predicts no next token. Of an encoder-decoder, surprise is that of the
    target's tokens.
    """
    found = _answer(snapshot, options)
    if found is None:
        return {}
    return {
        "surprise": found.surprise,
        "next_ids": np.array(found.ids, np.int64),
        "next_tokens": text_array(found.texts),
        "next_probabilities": found.probabilities,
    }


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """A row for each token of the context, then one for each likely next token."""
    found = _answer(snapshot, options)
    tokens = _read(snapshot) if found else snapshot.tokens
    surprise = plain(found.surprise) if found else []
    rows: list[list[object]] = [
        ["part", "position", "id", "token", "start", "end", "surprise", "probability"]
    ]
    for place, token in enumerate(tokens):
        bits = surprise[place] if place < len(surprise) and np.isfinite(surprise[place]) else ""
        rows.append(["context", place, token.id, token.text, token.start, token.end, bits, ""])
    if found:
        for rank, (id_, text, share) in enumerate(
            zip(found.ids, found.texts, plain(found.probabilities), strict=True)
        ):
            rows.append(["next", rank, id_, text, "", "", "", share])
    return rows


FIGURE = FigureSpec(
    key="tokens",
    needs=frozenset(),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
)
