"""Two dimensions of the residual stream as they are."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from engine.errors import UserError
from engine.latent.placing import Lines
from engine.latent.projections.spec import Cloud, ProjectionSpec, Settings, choice
from engine.types import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimensions(Settings):
    """Which two, counted from 0."""

    first: int = choice(0, "Across", "The dimension drawn from left to right.", 0, 100_000)
    second: int = choice(1, "Up", "The dimension drawn from bottom to top.", 0, 100_000)


def fit(cloud: Cloud, settings: Dimensions) -> Generator[Progress, None, Lines]:
    """There is nothing to fit."""
    width = cloud.x.shape[1]
    chosen = (settings.first, settings.second)
    if max(chosen) >= width:
        why, do = f"there are {width} dimensions", f"Choose from 0 to {width - 1}"
        raise UserError("Cannot draw two dimensions", why, do)
    yield Progress("Two dimensions", 0.0)
    axes = np.zeros((width, 2), dtype=np.float32)
    axes[chosen, (0, 1)] = 1
    return Lines(cloud.chosen, np.zeros(width, dtype=np.float32), axes)


PROJECTION = ProjectionSpec(
    key="identity",
    title="Two dimensions",
    says="Two dimensions of the residual stream in the model's own units.",
    of="raw",
    settings=Dimensions,
    fit=fit,
    order=60,
    axes=lambda chosen: (f"dimension {chosen.first}", f"dimension {chosen.second}"),
)
