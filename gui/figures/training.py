"""What training made of a space: the KL of each latent dimension, here and on held-out states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.types import Floats, LatentQuery, LatentResult, ModelInfo, Query, Snapshot
from gui.figures import colour, style
from gui.figures.latent import FIGURE as LATENT
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, answer_to

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 4.2, 2.2


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """The space of the layer nearest to the chosen one."""
    return LATENT.queries(options, model)


def _answer(snapshot: Snapshot, options: FigureOptions) -> LatentResult:
    query = queries(options, snapshot.model)[0]
    assert isinstance(query, LatentQuery)
    return answer_to(snapshot, query, LatentResult)


def _context_kl(found: LatentResult) -> Floats:
    """KL(q(z|x) ‖ N(0, I)) of each dimension (Z,), in nats, mean over the context's tokens."""
    mu, logvar = found.mu.astype(np.float64), found.logvar.astype(np.float64)  # (T, Z)
    each = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)
    return np.asarray(each.mean(axis=0), np.float32)


def _held_out_kl(found: LatentResult) -> Floats:
    """The card's KL of each dimension (Z,), in nats; not a number where it tells none."""
    told, width = found.card.get("kl_per_dim"), found.mu.shape[1]
    if isinstance(told, Sequence | np.ndarray) and len(told) == width:
        return np.asarray(told, np.float32)
    return np.full(width, np.nan, np.float32)


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw two bars for each dimension."""
    found = _answer(snapshot, options)
    width = found.mu.shape[1]
    title = style.heading(snapshot.model, "KL of each dimension", f"layer {found.layer}")
    top, left = style.title_height(), style.MARGIN + 0.5
    style.sized(figure, left + _WIDTH + style.MARGIN, top + _HEIGHT + 0.7, title)
    on = style.axes(figure, left, top, _WIDTH, _HEIGHT)
    places = np.arange(1, width + 1)
    held = _held_out_kl(found)
    on.bar(places - 0.2, _context_kl(found), 0.4, color=colour.ACCENT, label="this context")
    if np.isfinite(held).all():
        on.bar(places + 0.2, held, 0.4, color=colour.MUTED, label="held-out states")
    on.set(xlabel="latent dimension", ylabel="KL, nats", xlim=(0.4, width + 0.6))
    figure.legend(loc="lower left", ncols=2, bbox_to_anchor=(0.02, 0.0))


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """`context_kl` and `held_out_kl` (Z,) in nats, and `layer`."""
    found = _answer(snapshot, options)
    return {
        "context_kl": _context_kl(found),
        "held_out_kl": _held_out_kl(found),
        "layer": np.array(found.layer, np.int64),
    }


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """A row for each dimension."""
    found = _answer(snapshot, options)
    rows = zip(_context_kl(found).tolist(), _held_out_kl(found).tolist(), strict=True)
    return [
        ["dimension", "context_kl", "held_out_kl"],
        *([place, here, held] for place, (here, held) in enumerate(rows, start=1)),
    ]


FIGURE = FigureSpec(
    key="training",
    needs=frozenset({"latent"}),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
)
