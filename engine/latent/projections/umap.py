"""UMAP (McInnes, Healy & Melville 2018, 1802.03426), by its authors' library."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import UserError
from engine.latent.elsewhere import fit_elsewhere
from engine.latent.placing import Neighbours, memberships
from engine.latent.projections.spec import Cloud, ProjectionSpec, Settings, Steps, choice

PLACING = (
    "A new point stands at the mean of its nearest fitted points, weighted by UMAP's own "
    "memberships: where UMAP's transform begins, without the random steps that follow."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Umap(Settings):
    """UMAP's own settings, and how many principal components are kept for it."""

    neighbours: int = choice(
        15,
        "Neighbours",
        "How many nearest points each is held to; more shows larger shapes.",
        2,
        200,
    )
    spread_least: float = choice(
        0.1, "Least distance", "How close points may be packed (min_dist).", 0, 0.99
    )
    metric: str = choice(
        "euclidean",
        "Distance",
        "How far apart states are: by place, or by direction alone.",
        options=("euclidean", "cosine"),
    )
    keep: int = choice(
        50, "Components kept", "Principal components it is given; 0 for all dimensions.", 0, 100_000
    )


def fit(cloud: Cloud, settings: Umap) -> Steps:
    """Fit it in a process of its own."""
    count = len(cloud.fitted)
    if settings.neighbours >= count:
        why = f"{count} points have no {settings.neighbours} neighbours each"
        raise UserError("Cannot draw UMAP", why, "Choose fewer neighbours or add texts")
    told: dict[str, float | int | str] = {
        "n_neighbors": settings.neighbours,
        "min_dist": settings.spread_least,
        "metric": settings.metric,
        "random_state": settings.seed,
    }
    kept, xy, reduce = yield from fit_elsewhere("umap", "UMAP", cloud.chosen, settings.keep, told)
    cosine = settings.metric == "cosine"
    return Neighbours(kept, xy, reduce, cosine, settings.neighbours, memberships, PLACING)


PROJECTION = ProjectionSpec(
    key="umap",
    title="UMAP",
    says="Keeps each state near its nearest; distances between far groups mean little.",
    of="states",
    settings=Umap,
    fit=fit,
    order=20,
    axes=lambda _: ("UMAP 1", "UMAP 2"),
)
