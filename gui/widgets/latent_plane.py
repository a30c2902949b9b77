"""From the picture of a latent space into the space, and back.

The picture is linear, (z − o)·A with orthonormal columns A (Z, 2), so that a step in it is one
along A. Shape letters: P points, Z latent width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.latent.paths import Point
from engine.types import Floats, LatentResult
from gui.turning import Turn
from gui.widgets.legend import number

Place = tuple[float, float]


def into_space(latent: LatentResult, base: Point, place: Place) -> Point | None:
    """The point of the space that lies at a place of the picture and else where `base` (Z) does.

    z = b + A·(xy − xy(b)). None where the picture has no axes or no token.
    """
    if latent.axes is None or not len(latent.mu) or len(base) != len(latent.axes):
        return None
    axes, b = latent.axes.astype(np.float64), np.array(base)  # (Z, 2), (Z,)
    at = (b - latent.mu[0]) @ axes + latent.xy[0]  # (2,)
    return tuple((b + axes @ (np.array(place) - at)).tolist())


def into_picture(latent: LatentResult, points: Sequence[Point]) -> list[Place]:
    """Where P points lie in the picture; none where it has no axes or no token."""
    if latent.axes is None or not len(latent.mu) or not points:
        return []
    rows = (np.asarray(points) - latent.mu[0]) @ latent.axes + latent.xy[0]  # (P, 2)
    return [(x, y) for x, y in rows.tolist()]


def same_space(one: LatentResult, other: LatentResult) -> bool:
    """Whether two answers are of one space, so that a point of one is a point of the other."""
    if one.layer != other.layer or one.mu.shape[1] != other.mu.shape[1]:
        return False
    mu, other_mu = one.reference_mu, other.reference_mu
    if mu is not None and other_mu is not None:  # the same in every picture of a space
        return mu is other_mu or np.array_equal(mu, other_mu)
    return one.reference is other.reference or np.array_equal(one.reference, other.reference)


def seen_as_plane(latent: LatentResult, turn: Turn, seen: NDArray[np.floating]) -> LatentResult:
    """The plane that a picture of three axes shows from one side; its tokens are `seen` at (T, 2).

    Orthographic, what is seen of three orthonormal axes A is A·Rᵀ with the first two rows of the
    rotation R: again a plane with two orthonormal axes. Of the reference only the μ remain.
    """
    if latent.axes is None or latent.axes.shape[1] != 3:
        return latent
    axes = (latent.axes @ turn.matrix[:2].T).astype(np.float32)
    return replace(latent, xy=seen.astype(np.float32), axes=axes)


def place_said(latent: LatentResult, index: int) -> str:
    """Where a token or sentence lies in a picture, and its σ along each axis where it has one."""

    def listed(values: Floats) -> str:
        return f"({', '.join(number(float(value)) for value in values)})"

    if latent.plane == "umap":
        return f"UMAP of μ at {listed(latent.xy[index])}"
    with np.errstate(invalid="ignore"):
        spread = np.sqrt(np.diagonal(latent.covariance[index]))
    return f"μ = {listed(latent.xy[index])}\nσ = {listed(spread)}"
