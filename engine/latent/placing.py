"""How points get a place on a plane that stands: by two lines, or by their fitted neighbours.

Plain numpy. Shape letters: N fitted points, n new ones, F features, R those that were kept, k
neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.latent.projections.spec import Fitted
from engine.types import Floats, Progress

Doubles = NDArray[np.float64]
Weigh = Callable[[Doubles], Doubles]
"""Weights (n, k), each row of sum 1, from rising distances (n, k)."""

_AT_ONCE = 64  # new points whose distances to all fitted ones are held
_ROWS = 2048


class Lines(Fitted):
    """``(x − origin) @ axes``: origin (F,), axes (F, 2)."""

    placing = "A new point is projected as the others were; its place is exact."

    def __init__(self, cloud: Floats, origin: Floats, axes: Floats) -> None:
        self.origin, self.axes = origin, axes
        self.xy = self.place(cloud)

    def place(self, x: Floats) -> Floats:
        """See `Fitted.place`."""
        return ((x - self.origin) @ self.axes).astype(np.float32)


def principal_steps(x: Floats, components: int) -> Generator[Progress, None, tuple[Floats, Floats]]:
    """Mean (F,) and the first principal axes (F, components) of `x` (N, F), in columns.

    The largest loading of each axis is positive, so that a picture does not flip.
    """
    mean = x.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), _ROWS):
        part = x[start : start + _ROWS] - mean.astype(np.float32)
        scatter += part.T @ part
        yield Progress("Principal components", min(1.0, (start + _ROWS) / len(x)))
    _, vectors = np.linalg.eigh(scatter)
    axes = vectors[:, ::-1][:, :components]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
    return mean.astype(np.float32), np.ascontiguousarray(axes, dtype=np.float32)


class Neighbours(Fitted):
    """New points at the weighted mean of their k nearest fitted points' places.

    Parameters
    ----------
    x : ndarray
        (N, R), what was fitted.
    xy : ndarray
        (N, 2), where it was drawn.
    reduce : callable
        From features (n, F) to what is kept of them, (n, R).
    cosine : bool
        Whether points are near by their direction instead of Euclidean distance.
    count : int
        k.
    weigh : Weigh
        What each neighbour counts.
    """

    def __init__(
        self,
        x: Floats,
        xy: Floats,
        reduce: Callable[[Floats], Floats],
        cosine: bool,
        count: int,
        weigh: Weigh,
        placing: str,
    ) -> None:
        self._x = directions(x) if cosine else x
        self._squares = np.einsum("nr,nr->n", self._x, self._x)  # (N,)
        self._reduce, self._cosine, self._weigh = reduce, cosine, weigh
        self._count = min(count, len(x))
        self.xy, self.placing = xy, placing

    def place(self, x: Floats) -> Floats:
        """See `Fitted.place`."""
        kept = self._reduce(x)
        kept = directions(kept) if self._cosine else kept
        found = np.empty((len(kept), 2), dtype=np.float32)
        for start in range(0, len(kept), _AT_ONCE):
            part = kept[start : start + _AT_ONCE]  # (n, R)
            found[start : start + len(part)] = self._placed(part)
        return found

    def _placed(self, x: Floats) -> Doubles:
        apart = self._squares - 2 * x @ self._x.T + np.einsum("nr,nr->n", x, x)[:, None]  # (n, N)
        near = np.argpartition(apart, self._count - 1, axis=1)[:, : self._count]  # (n, k)
        squares = np.take_along_axis(apart, near, axis=1).astype(np.float64).clip(min=0)
        order = squares.argsort(axis=1, kind="stable")
        near, squares = np.take_along_axis(near, order, 1), np.take_along_axis(squares, order, 1)
        # Of directions, half of the squared distance is one minus the cosine.
        distances = squares / 2 if self._cosine else np.sqrt(squares)
        mean: Doubles = np.einsum("nk,nkc->nc", self._weigh(distances), self.xy[near])
        return mean


def directions(x: Floats) -> Floats:
    """Rows of length one."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return (x / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def memberships(distances: Doubles) -> Doubles:
    """UMAP's weights of k neighbours at rising `distances` (n, k), rows made to sum to 1.

    exp(−max(0, d − ρ)/σ), ρ the distance to the nearest, σ such that they sum to log₂ k (McInnes et
    al. 2018, 1802.03426, algorithm 3).
    """
    beyond = distances - distances[:, :1]
    wanted = max(1.0, np.log2(distances.shape[1]))
    weights = _calibrated(beyond, lambda given: given.sum(axis=1) < wanted)
    return _even(weights)


def affinities(perplexity: float) -> Weigh:
    """t-SNE's weights p(j|i) ∝ exp(−d²/2σ²), σ such that their entropy is log₂ of `perplexity`.

    van der Maaten & Hinton 2008, section 2.
    """

    def weigh(distances: Doubles) -> Doubles:
        squares = distances**2
        beyond = squares - squares[:, :1]
        wanted = np.log(min(perplexity, 0.9 * distances.shape[1]))

        def narrow(given: Doubles) -> Any:
            shares = _even(given)
            return -(shares * np.log(shares.clip(min=1e-300))).sum(axis=1) < wanted

        return _even(_calibrated(beyond, narrow))

    return weigh


def _calibrated(beyond: Doubles, narrow: Callable[[Doubles], Any]) -> Doubles:
    """exp(−beyond/σ) with the σ of each row, found by bisection, at which `narrow` ends."""
    size = beyond.max(axis=1, keepdims=True)
    size[size == 0] = 1
    low, high = np.full_like(size, -30.0), np.full_like(size, 30.0)  # ln σ, of the row's size
    for _ in range(50):
        middle = (low + high) / 2
        rises = np.asarray(narrow(np.exp(-beyond / (size * np.exp(middle)))))[:, None]
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    found: Doubles = np.exp(-beyond / (size * np.exp(high)))
    return found


def _even(weights: Doubles) -> Doubles:
    shares: Doubles = weights / weights.sum(axis=1, keepdims=True)
    return shares
