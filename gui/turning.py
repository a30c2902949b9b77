"""From where a cloud of three dimensions is looked at, and what it looks like from there.

The projection is orthographic: a turned cloud is one more plane of the space, on which distances
can be measured and the ellipse of a posterior is exact. Plain numpy, for the screen and for print.

Shape letters: N points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Turn:
    """Where the eye is, in degrees, as on a globe whose third axis points up.

    `azimuth` goes round that axis, counter-clockwise from the first one, −180 to 180; `elevation`
    is above the plane of the first two, −90 to 90.
    """

    azimuth: float = -60.0
    elevation: float = 25.0

    @property
    def matrix(self) -> Doubles:
        """(3, 3), a rotation: its rows point right, up and towards the eye."""
        a, e = math.radians(self.azimuth), math.radians(self.elevation)
        return np.array(
            [
                [-math.sin(a), math.cos(a), 0.0],
                [-math.sin(e) * math.cos(a), -math.sin(e) * math.sin(a), math.cos(e)],
                [math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)],
            ]
        )

    def turned(self, round_: float, up: float) -> Turn:
        """Move the eye by degrees; over a pole it does not go."""
        azimuth = (self.azimuth + round_ + 180.0) % 360.0 - 180.0
        return Turn(azimuth, min(max(self.elevation + up, -90.0), 90.0))

    @property
    def said(self) -> str:
        """The two angles, in whole degrees."""
        whole = (f"{round(angle):d}°" for angle in (self.azimuth, self.elevation))
        azimuth, elevation = (text.replace("-", "\N{MINUS SIGN}") for text in whole)
        return f"azimuth {azimuth}, elevation {elevation}"


HOME = Turn()
"""From where a cloud is seen at first."""


def seen_from(turn: Turn, xyz: NDArray[np.floating], centre: Doubles) -> Doubles:
    """Points (N, 3) as they are seen: across, up and towards the eye from `centre` (3,)."""
    seen: Doubles = (np.asarray(xyz, np.float64) - centre) @ turn.matrix.T
    return seen


def spread_from(turn: Turn, covariance: NDArray[np.floating]) -> Doubles:
    """Covariances (N, 3, 3) as they are seen, (N, 2, 2)."""
    plane = turn.matrix[:2]
    seen: Doubles = np.einsum("ai,nij,bj->nab", plane, covariance.astype(np.float64), plane)
    return seen


def middle_of(xyz: NDArray[np.floating], share: float = 0.02) -> tuple[Doubles, float]:
    """Round which point (3,) a cloud (N, 3) is turned, and the radius of nearly all of it.

    The radius leaves out `share` of the points, the farthest; 0 where there is none.
    """
    points = np.asarray(xyz, np.float64).reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return np.zeros(3), 0.0
    low, high = np.quantile(points, [share, 1 - share], axis=0)
    centre: Doubles = low + (high - low) / 2
    away = np.sqrt(((points - centre) ** 2).sum(axis=1))
    return centre, float(np.quantile(away, 1 - share))
