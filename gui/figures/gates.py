"""The gates of one layer of an LSTM at each token, its cells and what it hands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.types import Floats, GatesQuery, GatesResult, ModelInfo, Query, Snapshot
from gui.figures import colour, lettering, style
from gui.figures.numbers import plain
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, answer_to

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = ("input", "forget", "output", "cell", "hidden", "candidate")
_LABEL, _WIDE, _GAP, _BAR = 0.95, 1.9, 0.12, 0.75


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """The gates of the layer that reads the state at the chosen depth."""
    return (GatesQuery(options.block_of(model)),)


def _answer(snapshot: Snapshot, options: FigureOptions) -> GatesResult:
    return answer_to(snapshot, queries(options, snapshot.model)[0], GatesResult)


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw three gates above, cells, hidden state and candidate below."""
    from matplotlib.colors import Normalize

    found = _answer(snapshot, options)
    labels = [lettering.label(token.text) for token in snapshot.tokens]
    count, units = found.cell.shape
    high = min(3.0, max(0.8, 0.13 * count))
    left = style.MARGIN + style.longest(labels, _LABEL) + 0.06
    title = style.heading(snapshot.model, "gates of an LSTM", f"layer {found.layer}")
    about = f"{style.counted(count, 'token')} × {units} units; an LSTM has no attention"
    top = style.title_height(about) + 0.2
    right = left + 3 * _WIDE + 2 * _GAP
    style.sized(figure, right + _BAR + style.MARGIN, top + 2 * high + 0.75, title, about)
    for at, name in enumerate(PARTS):
        values: Floats = getattr(found, name)
        over, beside = divmod(at, 3)
        at_top = top + over * (high + 0.3)
        on = style.axes(figure, left + beside * (_WIDE + _GAP), at_top, _WIDE, high)
        gate = at < 3
        # The cells have no bound of their own; hidden state and candidate lie within one.
        limit = float(np.abs(values).max(initial=0.0)) if name == "cell" else 1.0
        norm = Normalize(0, 1) if gate else Normalize(-(limit or 1.0), limit or 1.0)
        table = colour.sequential() if gate else colour.diverging()
        drawn = style.cells(on, values, table, norm, outlines=False)
        said = f"{name} gate" if gate else name
        if name == "cell":
            said += f", ±{limit:.3g}"
        on.set_title(said, fontsize=style.TEXT, loc="left", pad=3)
        on.set_xticks([])
        if beside:
            on.set_yticks([])
        else:
            style.label_cells(on, labels, "y", high, _LABEL)
        if over:
            on.set_xlabel("unit", labelpad=2)
        if beside == 2:
            says = "open" if gate else "value"
            style.colour_bar(figure, drawn, (right + 0.08, at_top, min(high, 1.6)), says)


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """`input`, `forget`, `output`, `cell`, `hidden` and `candidate` (T, D), and `layer`."""
    found = _answer(snapshot, options)
    return {
        **{name: getattr(found, name) for name in PARTS},
        "layer": np.array(found.layer, np.int64),
    }


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """A row for each token: what the gates let through on average, and what each cell holds."""
    found = _answer(snapshot, options)
    means = [getattr(found, name).mean(axis=1).tolist() for name in ("input", "forget", "output")]
    cells = plain(found.cell)
    rows: list[list[object]] = [
        [
            *("token", "mean_input", "mean_forget", "mean_output"),
            *(f"cell_{unit}" for unit in range(found.cell.shape[1])),
        ]
    ]
    for token, *told, cell in zip(snapshot.tokens, *means, cells, strict=True):
        rows.append([token.text, *told, *cell])
    return rows


FIGURE = FigureSpec(
    key="gates",
    needs=frozenset({"gates"}),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
)
