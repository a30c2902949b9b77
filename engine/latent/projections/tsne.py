"""t-SNE (van der Maaten & Hinton 2008), by openTSNE (Poličar et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import UserError
from engine.latent.elsewhere import fit_elsewhere
from engine.latent.placing import Neighbours, affinities
from engine.latent.projections.spec import Cloud, ProjectionSpec, Settings, Steps, choice

PLACING = (
    "A new point stands at the mean of its nearest fitted points, weighted by t-SNE's affinities "
    "for a perplexity of 5: where openTSNE's transform begins, without the descent that follows."
)
_NEW = 5.0  # openTSNE's perplexity for new points


@dataclass(frozen=True, slots=True, kw_only=True)
class Tsne(Settings):
    """t-SNE's own settings, and how many principal components are kept for it."""

    perplexity: float = choice(
        30.0, "Perplexity", "About how many neighbours count for each point.", 2, 500
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


def fit(cloud: Cloud, settings: Tsne) -> Steps:
    """Fit it in a process of its own."""
    least = round(3 * settings.perplexity) + 1
    if len(cloud.fitted) < least:
        why = f"a perplexity of {settings.perplexity:g} takes {least} points"
        raise UserError("Cannot draw t-SNE", why, "Choose a smaller one or add texts")
    told: dict[str, float | int | str] = {
        "perplexity": settings.perplexity,
        "metric": settings.metric,
        "random_state": settings.seed,
    }
    kept, xy, reduce = yield from fit_elsewhere("tsne", "t-SNE", cloud.chosen, settings.keep, told)
    cosine = settings.metric == "cosine"
    return Neighbours(kept, xy, reduce, cosine, round(3 * _NEW), affinities(_NEW), PLACING)


PROJECTION = ProjectionSpec(
    key="tsne",
    title="t-SNE",
    says="Keeps each state's nearest together; sizes of groups and gaps between them mean little.",
    of="states",
    settings=Tsne,
    fit=fit,
    order=30,
    axes=lambda _: ("t-SNE 1", "t-SNE 2"),
)
