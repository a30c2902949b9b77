"""A drawn picture of states, as it crosses to the window and to figures. Plain numpy, no torch.

Shape letters: N states drawn, Z latent width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.latent.projections.spec import Settings
from engine.latent.quality import Quality
from engine.types import Floats, Ints, Result


@dataclass(frozen=True, slots=True, eq=False)
class PictureResult(Result):
    """A picture of states. It is called `name`, for `PlaceQuery` and `PictureQuery`.

    `title` is the projection's, `axes` what its two axes are called. `rows` (N,) say which of the
    `of` states given are drawn, rising. `xy` (N, 2) are their places; those marked in `held_out`
    (N,) took no part in fitting and were placed as new points are. `labels` (N,) index
    `label_names`; `texts` (N,) or empty. `mu` (N, Z) are their points in the space of this layer,
    None where there is none. The four `Quality` are of the fitted and of the held-out points, and
    of PCA's picture of the same points. `source` says in words what the states are from, and what
    was left out of it.
    """

    name: str
    projection: str
    title: str
    axes: tuple[str, str]
    settings: Settings
    layer: int
    states: Literal["tokens", "mean", "last"]
    of: int
    rows: Ints
    xy: Floats
    held_out: NDArray[np.bool_]
    labels: Ints
    label_names: tuple[str, ...]
    texts: tuple[str, ...]
    mu: Floats | None
    placing: str
    fitted_quality: Quality
    held_out_quality: Quality | None
    pca_fitted_quality: Quality
    pca_held_out_quality: Quality | None
    seconds: float
    source: str = ""
