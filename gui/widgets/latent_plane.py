"""From the picture of a latent space into the space, and back.

The picture is linear, (z − o)·A with orthonormal columns A (Z, 2), so that a step in it is one
along A. Shape letters: P points, Z latent width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.latent.paths import Point
from engine.types import LatentResult

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
    return one.reference is other.reference or np.array_equal(one.reference, other.reference)
