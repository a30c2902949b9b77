"""The context's path through the latent space: μ of each token, ellipses of σ, the cloud behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.types import Floats, LatentQuery, LatentResult, ModelInfo, Query, Snapshot
from gui.figures import colour, lettering, style
from gui.figures.numbers import plain, text_array
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, answer_to
from gui.planes import SENTENCES, axis_names, layers_of, said, states_of
from gui.turning import Turn, middle_of, seen_from, spread_from

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

_SIDE = 4.2
_CLOUD = "#c6ccd4"
_ACROSS, _MOST, _ROW = 3, 23, 0.16
"""Labels in a row of the legend, in all of it, and inches from one row to the next."""

_OUTLINED = 5000
"""More reference states than this would make a file of megabytes if each were an outline."""


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """The space of the layer nearest to the chosen one, as on the screen; else the model's own."""
    wanted, states = options.layer, states_of(model, options.states)
    layers = layers_of(model, states)
    if wanted is None or not layers:
        return (LatentQuery(None, options.plane, states),)
    layer = min(layers, key=lambda one: (abs(one - wanted), one))
    return (LatentQuery(layer, options.plane, states),)


def _answer(snapshot: Snapshot, options: FigureOptions) -> LatentResult:
    return answer_to(snapshot, queries(options, snapshot.model)[0], LatentResult)


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw the reference states, the ellipses, the path in reading order and the tokens."""
    from matplotlib.lines import Line2D

    model, found = snapshot.model, _answer(snapshot, options)
    labels = [lettering.label(_short(text)) for text in _texts(snapshot, found)]
    size = found.mu.shape[1]
    where = f"layer {found.layer}"
    if found.states != "tokens":
        where += f", {SENTENCES[found.states]}"
    title = style.heading(model, "latent space", where, f"Z = {size}")
    top = style.title_height()
    left = style.MARGIN + 0.5
    legend = _label_handles(found, _hues(found, options))
    below = 0.66 + _ROW * -(-len(legend) // _ACROSS)
    style.sized(figure, left + _SIDE + style.MARGIN, top + _SIDE + below, title)
    on = style.axes(figure, left, top, _SIDE, _SIDE)
    seen, names = _seen(found, options.turn), axis_names(found)
    _limits(on, seen)
    cloud, hues = seen.reference, _hues(found, options)
    # Neighbours in a file often share a label; in that order the last would hide the others.
    count = len(cloud)
    order = np.random.default_rng(0).permutation(count) if hues else np.arange(count)
    each = np.array([_CLOUD, *hues.values()])[_which(found, hues)][order]
    x, y = cloud[order].T
    dots = on.scatter(x, y, s=4 if hues else 2, c=each, linewidths=0, zorder=1)
    dots.set_rasterized(len(cloud) > _OUTLINED)
    if seen.linear:
        _ellipses(on, seen)
    _path(on, seen.xy)
    style.points(on, seen.xy, labels)
    if len(names) == 3:
        _axes_in_space(on, options.turn, names)
        on.set(xlabel=f"{said(found)}, seen from {options.turn.said}")
    elif names[0].startswith("PC"):
        across, up = (f"{which} principal component of μ" for which in ("first", "second"))
        on.set(xlabel=across, ylabel=up)
    else:
        on.set(xlabel=names[0], ylabel=names[1])
    handles = [
        Line2D([], [], marker="o", markersize=3, color=style.PATH, label="μ, in reading order"),
        Line2D([], [], marker="o", markersize=8, ls="", mfc="#e8d5c0", mec=colour.ACCENT, mew=0.5),
        Line2D([], [], marker="o", markersize=2, ls="", color=_CLOUD),
    ]
    handles[1].set_label("1 σ of q(z | x)")
    handles[2].set_label(f"{len(found.reference)} reference states")
    if not seen.linear:
        del handles[1]
    foot = 0.66 - below  # inches by which the labels push the first row up
    height = figure.get_size_inches()[1]
    figure.legend(handles=handles, loc="lower left", ncols=3, bbox_to_anchor=(0.02, -foot / height))
    if legend:
        told: dict[str, Any] = {"columnspacing": 1.0, "handletextpad": 0.2, "labelspacing": 0.2}
        spot = (0.02, 0.02 / height)
        figure.legend(handles=legend, loc="lower left", ncols=_ACROSS, bbox_to_anchor=spot, **told)


def _hues(found: LatentResult, options: FigureOptions) -> dict[int, str]:
    """The colour of each label that has one, as on the screen."""
    count = len(found.label_names)
    if not options.coloured or count < 2 or len(found.labels) != len(found.reference):
        return {}
    each = {index: colour.CATEGORIES[index % len(colour.CATEGORIES)] for index in range(count)}
    return {index: hue for index, hue in each.items() if options.only in (None, index)}


def _which(found: LatentResult, hues: dict[int, str]) -> NDArray[np.intp]:
    """Of each reference state (N,), which of `hues` it has, counted from 1; 0 is none."""
    at = np.zeros(max(len(found.label_names), 1), np.intp)
    at[list(hues)] = np.arange(1, len(hues) + 1)
    none = np.zeros(len(found.reference), np.intp)
    return at[found.labels.astype(np.intp)] if hues else none


def _label_handles(found: LatentResult, hues: dict[int, str]) -> list[Line2D]:
    """A dot and a name for each label that is coloured, as many as there is room for."""
    from matplotlib.lines import Line2D

    def dot(hue: str, name: str) -> Line2D:
        said = lettering.elide(lettering.drawable(name) or "(none)", style.SMALL, 1.15, mono=False)
        return Line2D([], [], marker="o", markersize=3.5, ls="", color=hue, label=said)

    shown = [dot(hue, found.label_names[index]) for index, hue in hues.items()]
    more = len(shown) - _MOST
    return shown if more <= 0 else [*shown[:_MOST], dot("white", f"and {more} more")]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is drawn on the page: places (T, 2) and (N, 2), and covariances (T, 2, 2)."""

    xy: Floats
    covariance: Floats
    reference: Floats

    @property
    def linear(self) -> bool:
        """Whether there are covariances, as in every picture but UMAP."""
        return not len(self.covariance) or bool(np.isfinite(self.covariance).any())


def _seen(found: LatentResult, turn: Turn) -> _Seen:
    """The picture as it is; of three directions what is seen of them, as on the screen."""
    if found.xy.shape[1] == 2:
        return _Seen(found.xy, found.covariance, found.reference)
    centre, _ = middle_of(found.reference)
    xy, reference = (
        seen_from(turn, points, centre)[:, :2].astype(np.float32)
        for points in (found.xy, found.reference)
    )
    return _Seen(xy, spread_from(turn, found.covariance).astype(np.float32), reference)


def _axes_in_space(on: Axes, turn: Turn, names: tuple[str, ...]) -> None:
    """Draw where the three axes point, in the lower left corner; those that point away fainter."""
    foot, arm = np.array([0.11, 0.11]), 0.07
    for across, up, near, name in zip(*turn.matrix, names, strict=True):
        away = np.array([across, up])
        length = float(np.hypot(across, up))
        beyond = away / length if length > 0.12 else np.array([0.0, 1.0])
        ink = colour.MUTED if near < -0.05 else colour.INK
        told: dict[str, Any] = {"transform": on.transAxes, "color": ink, "zorder": 7}
        on.plot(*np.stack([foot, foot + arm * away]).T, lw=0.8, marker="o", ms=1.5, **told)
        x, y = foot + arm * away + 0.035 * beyond
        on.text(x, y, name, fontsize=style.SMALL, ha="center", va="center", **told)


def _texts(snapshot: Snapshot, found: LatentResult) -> list[str]:
    """What each row stands for: a token, or a sentence."""
    return list(found.sentences) or [token.text for token in snapshot.tokens]


def _short(text: str, most: int = 28) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _limits(on: Axes, found: _Seen) -> None:
    """Show the tokens and nearly all of the cloud, one unit as long in both directions."""
    spread = np.zeros_like(found.xy)  # (T, 2)
    if found.linear:
        spread = np.sqrt(np.einsum("tii->ti", found.covariance))
    points = np.concatenate([found.xy - spread, found.xy + spread])
    if len(found.reference):
        # A handful of far outliers shall not shrink everything else to a dot.
        points = np.concatenate([points, np.percentile(found.reference, [0.5, 99.5], axis=0)])
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()) * 0.54, 1e-3)
    on.set(
        xlim=(middle[0] - half, middle[0] + half),
        ylim=(middle[1] - half, middle[1] + half),
        aspect="equal",
    )


def _ellipses(on: Axes, found: _Seen) -> None:
    """Draw one standard deviation of each posterior, in the picture's plane."""
    from matplotlib.collections import EllipseCollection

    values, vectors = np.linalg.eigh(found.covariance.astype(np.float64))  # (T, 2), (T, 2, 2)
    across = 2 * np.sqrt(np.maximum(values, 0))
    angles = np.degrees(np.arctan2(vectors[:, 1, 0], vectors[:, 0, 0]))
    on.add_collection(
        EllipseCollection(
            across[:, 0],
            across[:, 1],
            angles,
            units="xy",
            offsets=found.xy,
            transOffset=on.transData,
            facecolor=(*_accent(), 0.10),
            edgecolor=(*_accent(), 0.55),
            linewidth=0.5,
            zorder=2,
        )
    )


def _accent() -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour.ACCENT)


def _path(on: Axes, xy: Floats) -> None:
    """Join the tokens in reading order, later ones darker, with an arrow at the last."""
    from matplotlib.collections import LineCollection

    if len(xy) < 2:
        return
    steps = np.stack([xy[:-1], xy[1:]], axis=1)  # (T − 1, 2, 2)
    lines = LineCollection(list(steps), cmap=style.reading_order(), linewidths=0.8, zorder=4)
    lines.set_array(np.arange(1, len(xy)))
    lines.set_clim(0, len(xy) - 1)
    on.add_collection(lines)
    on.annotate(
        "",
        xy=tuple(xy[-1]),
        xytext=tuple(xy[-2]),
        arrowprops={"arrowstyle": "-|>", "color": style.PATH, "lw": 0.8, "shrinkB": 2},
        zorder=4,
    )


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """`mu`, `logvar` (T, Z), `xy` (T, 2), `covariance` (T, 2, 2), the reference, and `layer`.

    `reference` (N, 2) are held-out states in the same picture, `labels` (N,) says which of
    `label_names` each belongs to, `axis_names` what the axes are called. Of three directions each 2
    is a 3, and what is drawn of a place p are the first two of `rotation` (3, 3) · (p − `centre`).
    `covariance` is NaN in the UMAP picture, which is not linear.
    """
    found = _answer(snapshot, options)
    turned = {}
    if found.xy.shape[1] == 3:
        turned = {"rotation": options.turn.matrix, "centre": middle_of(found.reference)[0]}
    return {
        **turned,
        "axis_names": text_array(axis_names(found)),
        "mu": found.mu,
        "logvar": found.logvar,
        "xy": found.xy,
        "covariance": found.covariance,
        "reference": found.reference,
        "labels": found.labels,
        "label_names": text_array(found.label_names),
        "layer": np.array(found.layer, np.int64),
    }


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """A row for each token, or sentence: its place, its posterior's mean and log-variance."""
    found = _answer(snapshot, options)
    size = found.mu.shape[1]
    header: list[object] = ["position", "id", "token", *"xyz"[: found.xy.shape[1]]]
    told: list[list[object]] = [[token.id, token.text] for token in snapshot.tokens]
    if found.sentences:
        header[1:3] = ["sentence"]
        told = [[sentence] for sentence in found.sentences]
    header += [f"mu{index}" for index in range(size)]
    header += [f"logvar{index}" for index in range(size)]
    rows = zip(told, plain(found.xy), plain(found.mu), plain(found.logvar), strict=True)
    return [
        header,
        *(
            [place, *what, *point, *mean, *spread]
            for place, (what, point, mean, spread) in enumerate(rows)
        ),
    ]


FIGURE = FigureSpec(
    key="latent",
    needs=frozenset({"latent"}),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
)
