"""Two dimensions of the latent space."""

from __future__ import annotations

from dataclasses import replace

from engine.latent.projections import identity
from engine.latent.projections.spec import ProjectionSpec

PROJECTION: ProjectionSpec = replace(
    identity.PROJECTION,
    key="vae",
    title="VAE",
    says="Two dimensions of the points μ in the latent space.",
    of="μ",
    order=40,
    axes=lambda chosen: (f"z{chosen.first}", f"z{chosen.second}"),
)
