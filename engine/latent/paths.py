"""Rows of latent points to be decoded: along a dimension, between two points, from the prior.

Plain numpy, so that the window can make them. Shape letters: N points, P points of a path, Z latent
width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.types import Floats, Ints

Point = tuple[float, ...]


def traversal(point: Sequence[float], dimension: int, values: Sequence[float]) -> tuple[Point, ...]:
    """`point` (Z,) with each of `values` in turn as its coordinate `dimension`."""
    before, after = tuple(point[:dimension]), tuple(point[dimension + 1 :])
    return tuple(tuple(map(float, (*before, value, *after))) for value in values)


def between(
    start: Sequence[float], end: Sequence[float], steps: int, *, spherical: bool = False
) -> tuple[Point, ...]:
    """`steps` points from `start` to `end`, both among them.

    In a straight line, or, `spherical`, turned from one direction to the other about the origin
    with the length going evenly along (slerp, Shoemake 1985). Draws of the prior lie near a sphere
    of radius √Z, and the middle of a straight line between two of them does not. Between points of
    opposite or of one and the same direction, and from the origin, there is only the straight line.

    Raises
    ------
    ValueError
        If there are fewer than two steps or the points differ in length.
    """
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    if steps < 2 or a.shape != b.shape:
        raise ValueError("a way takes two points of one space and at least two steps")
    share = np.linspace(0, 1, steps)[:, None]  # (P, 1)
    straight = (1 - share) * a + share * b
    long, other = np.linalg.norm(a), np.linalg.norm(b)
    if not spherical or not long * other > 0:
        return _points(straight)
    angle = np.arccos(np.clip(a @ b / (long * other), -1, 1))
    if not 1e-6 < angle < np.pi - 1e-6:
        return _points(straight)
    turned = np.sin((1 - share) * angle) * a / long + np.sin(share * angle) * b / other
    way = turned / np.sin(angle) * ((1 - share) * long + share * other)
    way[0], way[-1] = a, b
    return _points(way)


def prior(count: int, latent: int, seed: int) -> tuple[Point, ...]:
    """`count` draws from N(0, I) of `latent` dimensions; the same seed draws the same."""
    return _points(np.random.default_rng(seed).standard_normal((count, latent)))


def centre(mu: Floats, chosen: Sequence[int] | Ints) -> Point:
    """The mean of the points `chosen` of `mu` (N, Z): where a group is."""
    return tuple(mu[np.asarray(chosen, dtype=np.int64)].astype(np.float64).mean(axis=0).tolist())


def nearest(mu: Floats, point: Sequence[float], count: int) -> tuple[Ints, Floats]:
    """The `count` points of `mu` (N, Z) nearest to `point`: indices, and Euclidean distances."""
    apart = np.linalg.norm(mu - np.asarray(point, dtype=np.float32), axis=1)  # (N,)
    count = min(count, len(apart))
    some = np.argpartition(apart, count - 1)[:count] if count else np.zeros(0, dtype=np.int64)
    order = some[np.argsort(apart[some], kind="stable")].astype(np.int64)
    return order, apart[order].astype(np.float32)


def _points(rows: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[Point, ...]:
    return tuple(tuple(row) for row in rows.tolist())
