"""The first two principal components of the latent means."""

from __future__ import annotations

from engine.latent.projections.pca import fit
from engine.latent.projections.spec import ProjectionSpec, Settings

PROJECTION = ProjectionSpec(
    key="pca-mu",
    title="PCA of μ",
    says="The plane in which the latent space's points μ vary most.",
    of="μ",
    settings=Settings,
    fit=fit,
    order=50,
    axes=lambda _: ("PC 1 of μ", "PC 2 of μ"),
)
