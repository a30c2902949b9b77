"""UMAP of the latent means."""

from __future__ import annotations

from dataclasses import replace

from engine.latent.projections import umap
from engine.latent.projections.spec import ProjectionSpec

PROJECTION: ProjectionSpec = replace(
    umap.PROJECTION,
    key="umap-mu",
    title="UMAP of μ",
    says="Keeps each point μ of the latent space near its nearest.",
    of="μ",
    order=55,
    axes=lambda _: ("UMAP 1 of μ", "UMAP 2 of μ"),
)
