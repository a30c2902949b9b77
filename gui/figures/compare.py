"""The same text under two contexts or in two models: P-CXMI above the shift of states by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engine.comparison import CompareQuery, CompareResult, Side, identity
from engine.types import Floats, ModelInfo, Query, Snapshot
from gui.figures import colour, lettering, style
from gui.figures.numbers import plain, text_array
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, answer_to

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST, _LEAST, _CELL = 6.5, 2.4, 0.18
"""Inches: the picture's greatest and least width, and a token's."""

_BARS, _GAP, _LAYER, _NAME = 0.9, 0.04, 0.075, 0.7
_HELPS, _HINDERS = "#5a9bc4", "#d97757"


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """The comparison with the difference of one map, of the mean over heads if none is chosen."""
    one, other = options.contexts
    head: int | Literal["mean"] = "mean" if options.head is None else options.head
    stack = None if model.kind == "encoder-decoder" else options.stack_of(model)
    second = identity(options.second) if options.second is not None else ""
    return (CompareQuery(one, other, options.block_of(model), head, stack, model=second),)


def _answer(snapshot: Snapshot, options: FigureOptions) -> CompareResult:
    return answer_to(snapshot, queries(options, snapshot.model)[0], CompareResult)


def _words(found: CompareResult) -> list[str]:
    return [found.one.tokens[index].text for index in found.pairs[:, 0].tolist()]


def _side(name: str, side: Side, model: bool) -> str:
    """What a side is: with `model` who reads it, and behind which context."""
    shown = lettering.drawable(" ".join(side.context.split()))
    name = f"{name}, {lettering.drawable(side.model)}" if model else name
    return f"{name}: after “{shown}”" if shown else f"{name}: the text alone"


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw bars of P-CXMI where the model predicts, and the shift as layers × tokens.

    No shift is drawn of two models whose states have different widths, but for want of anything
    else.
    """
    model, found = snapshot.model, _answer(snapshot, options)
    labels = [lettering.label(word) for word in _words(found)]
    count, depths = found.shift.shape
    moved = found.pcxmi is None or not count or bool(np.isfinite(found.shift).any())
    width = min(_MOST, max(_LEAST, _CELL * count))
    high = max(0.8, _LAYER * depths) if moved else 0.0
    bars = _BARS + _GAP if found.pcxmi is not None else 0.0
    two = bool(found.second)
    title = style.heading(
        model, *([lettering.drawable(found.other.model), "two models"] if two else ["two contexts"])
    )
    about = lettering.elide(
        "; ".join(_side(*one, two) for one in (("A", found.one), ("B", found.other))),
        style.TEXT,
        _MOST,
        mono=False,
    )
    left, top = style.MARGIN + 0.55, style.title_height(about) + 0.06
    named = style.longest(labels, _NAME) + 0.1  # tokens are named above the map
    whole = left + width + 0.12 + 0.75 + style.MARGIN
    style.sized(figure, whole, top + bars + named + high + style.MARGIN, title, about)
    if found.pcxmi is not None:
        on = style.axes(figure, left, top if moved else top + named, width, _BARS)
        values = np.nan_to_num(found.pcxmi)
        hues = [_HELPS if value >= 0 else _HINDERS for value in values]
        on.bar(np.arange(count) + 0.5, values, width=0.8 if count < 60 else 1.0, color=hues)
        on.axhline(0, color=colour.MUTED, linewidth=0.5)
        on.set(xlim=(0, max(1, count)), xticks=[])
        if not moved:
            style.label_cells(on, labels, "x", width, _NAME)
        on.set_ylabel("P-CXMI (nats)", labelpad=2)
        on.locator_params(axis="y", nbins=4)
    if moved:
        _draw_shift(figure, found.shift, labels, (left, top + bars + named, width, high))


def _draw_shift(
    figure: Figure, shift: Floats, labels: list[str], place: tuple[float, float, float, float]
) -> None:
    """The shift (n, L + 1) as a map at `place`: left, top, width and height in inches."""
    from matplotlib.colors import Normalize

    left, top, width, high = place
    count, depths = shift.shape
    on = style.axes(figure, left, top, width, high)
    norm = Normalize(0, float(np.nanmax(shift, initial=0.0)) or 1.0)
    shown = shift.T if count else np.zeros((depths, 1), np.float32)
    drawn = style.cells(on, shown, colour.sequential(), norm, outlines=False)
    style.label_cells(on, labels, "x", width, _NAME)
    on.set_ylabel("depth", labelpad=2)
    on.set_yticks([0.5, depths - 0.5], ["0", str(depths - 1)] if depths > 1 else ["0", "0"])
    beside = (left + width + 0.12, top, min(high, 1.6))
    style.colour_bar(figure, drawn, beside, "shift, 1 − cos")


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """`shared` (n,) texts, `pairs` (n, 2) places in either side, `shift` (n, L + 1), `layer`.

    Of two models also `models` (2,), their titles.

    Where they are told `kl`, `pcxmi` (n,), `surprise_a`, `surprise_b` (n,), `attention` (n, n),
    `elsewhere` (2, n), `heads` (L, H).
    """
    found = _answer(snapshot, options)
    sides = (found.one, found.other)
    places = [side.places[found.pairs[:, index]] for index, side in enumerate(sides)]
    numbers: dict[str, Any] = {
        "shared": text_array(_words(found)),
        "pairs": np.stack(places, axis=1),
        "shift": found.shift,
        "layer": np.array(found.layer, np.int64),
    }
    if found.second:
        numbers["models"] = text_array([side.model for side in sides])
    for name in ("kl", "pcxmi", "attention", "elsewhere", "heads"):
        if getattr(found, name) is not None:
            numbers[name] = getattr(found, name)
    if found.kl is not None:
        for index, name in enumerate(("surprise_a", "surprise_b")):
            numbers[name] = sides[index].surprise[found.pairs[:, index]]
    return numbers


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """A row for each shared token: its places, its numbers, its shift by depth."""
    found = _answer(snapshot, options)
    numbers = arrays(snapshot, options)
    told = [name for name in ("surprise_a", "surprise_b", "pcxmi", "kl") if name in numbers]
    header: list[object] = ["place_a", "place_b", "token", *told]
    header += [f"shift{depth}" for depth in range(found.shift.shape[1])]
    columns = [plain(numbers[name]) for name in told]
    rows = []
    for index, word in enumerate(_words(found)):
        values = [column[index] for column in columns]
        shift = plain(found.shift[index])
        rows.append([*plain(numbers["pairs"][index]), word, *values, *shift])
    return [header, *rows]


FIGURE = FigureSpec(
    key="compare",
    needs=frozenset({"embedding"}),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
)
