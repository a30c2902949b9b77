"""Two chosen directions: from one group of states to another."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from engine.errors import UserError
from engine.latent.placing import Doubles, Lines
from engine.latent.projections.spec import Cloud, ProjectionSpec, Settings, choice
from engine.types import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions(Settings):
    """Each axis leads from the mean of one group of points to that of another.

    A group are numbers of points among those that are drawn from; one is enough.
    """

    left: tuple[int, ...] = choice((), "From", "Whose mean lies at the left.")
    right: tuple[int, ...] = choice((), "to", "Whose mean lies at the right.")
    bottom: tuple[int, ...] = choice((), "and up from", "Whose mean lies at the bottom.")
    top: tuple[int, ...] = choice((), "to the top", "Whose mean lies at the top.")


def fit(cloud: Cloud, settings: Directions) -> Generator[Progress, None, Lines]:
    """Across: from `left` to `right`. Up: from `bottom` to `top`, less what goes across."""
    yield Progress("Two directions", 0.0)
    across = _way(cloud, settings.left, settings.right)
    up = _way(cloud, settings.bottom, settings.top)
    across /= np.linalg.norm(across)
    rest = up - (up @ across) * across
    if np.linalg.norm(rest) < 1e-4 * np.linalg.norm(up):
        raise _refused("the two directions are one", "Choose other groups for one of them")
    axes = np.stack([across, rest / np.linalg.norm(rest)], axis=1).astype(np.float32)
    x = cloud.chosen
    return Lines(x, x.mean(axis=0), axes)


def _way(cloud: Cloud, start: tuple[int, ...], end: tuple[int, ...]) -> Doubles:
    if not start or not end:
        raise _refused("a direction leads between two groups", "Choose some points for each")
    if not all(0 <= one < len(cloud.x) for one in (*start, *end)):
        raise _refused(f"there are {len(cloud.x)} points", "Choose the groups again")
    way: Doubles = cloud.x[list(end)].mean(axis=0, dtype=np.float64) - cloud.x[list(start)].mean(
        axis=0, dtype=np.float64
    )
    if not way.any():
        raise _refused("two groups have one mean", "Choose other groups")
    return way


def _refused(why: str, do: str) -> UserError:
    return UserError("Cannot draw two directions", why, do)


PROJECTION = ProjectionSpec(
    key="directions",
    title="Two directions",
    says="From one group of states to another, across and up; the second at right angles.",
    of="states",
    settings=Directions,
    fit=fit,
    order=70,
    axes=lambda _: ("first direction", "second direction"),
)
