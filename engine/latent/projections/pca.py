"""The first two principal components of the states."""

from __future__ import annotations

import numpy as np

from engine.latent.placing import Lines, principal_steps
from engine.latent.projections.spec import Cloud, ProjectionSpec, Settings, Steps


def fit(cloud: Cloud, settings: Settings) -> Steps:
    """Fit it."""
    x = cloud.chosen
    mean, axes = yield from principal_steps(x, 2)
    return Lines(x, mean, np.ascontiguousarray(axes))


PROJECTION = ProjectionSpec(
    key="pca",
    title="PCA",
    says="The plane in which the states vary most. Straight, exact, and what others stand beside.",
    of="states",
    settings=Settings,
    fit=fit,
    order=10,
    axes=lambda _: ("PC 1", "PC 2"),
)
