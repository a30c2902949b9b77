"""How good a picture is: neighbours kept, neighbours made up, and labels told apart.

Each is a number from 0 to 1, and says little alone: it stands beside PCA's of the same points.
Shape letters: N points, M held-out points, F dimensions they have in truth.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.types import Floats

NEIGHBOURS = 10
"""k, how many neighbours are looked at."""

LOOKED_AT = 1500
"""Most points that neighbours are compared among: it takes some 30 N² bytes, 70 MB."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured of a picture.

    `trustworthiness` and `continuity` are means over `points` points of the `of` there were: all of
    them, or as many as `LOOKED_AT`, drawn evenly at random, each with its neighbours among those
    drawn. `accuracy` is that of a point's label by its k nearest fitted neighbours in the picture,
    itself not counted, over `judged` points; NaN where there are none, or only one label.
    """

    trustworthiness: float
    continuity: float
    accuracy: float
    points: int
    of: int
    judged: int
    neighbours: int


def trustworthiness(x: Floats, picture: Floats, neighbours: int = NEIGHBOURS) -> float:
    """How far neighbours in a picture are neighbours in truth (Venna & Kaski 2001).

    1 − 2/(N k (2N − 3k − 1)) Σ_i Σ_{j ∈ U_k(i)} (r(i, j) − k), where U_k(i) are those of the k
    nearest to i in the picture that are not among its k nearest in truth, and r(i, j) says the
    how-manieth neighbour of i in truth j is.

    Parameters
    ----------
    x, picture : ndarray
        (N, F) and (N, 2). k = `neighbours` is lowered to less than N / 2, where the measure is
        defined.

    Raises
    ------
    ValueError
        If there are fewer than three points.
    """
    from sklearn.manifold import trustworthiness as measured  # type: ignore[import-untyped]

    return float(measured(x, picture, n_neighbors=_lowered(len(x), neighbours)))


def continuity(x: Floats, picture: Floats, neighbours: int = NEIGHBOURS) -> float:
    """How far neighbours in truth are neighbours in the picture (Venna & Kaski 2001).

    1 − 2/(N k (2N − 3k − 1)) Σ_i Σ_{j ∈ V_k(i)} (r̂(i, j) − k), where V_k(i) are those of the k
    nearest to i in truth that are not among its k nearest in the picture, and r̂(i, j) says the
    how-manieth neighbour of i in the picture j is: `trustworthiness` with the two exchanged, and
    its arguments and errors.
    """
    return trustworthiness(picture, x, neighbours)


def label_accuracy(
    xy: Floats,
    labels: NDArray[np.int64],
    new_xy: Floats,
    new_labels: NDArray[np.int64],
    neighbours: int = NEIGHBOURS,
) -> float:
    """Share of M held-out points whose label is that of most of their k nearest fitted points.

    Cover & Hart 1967. Of labels equally frequent among the k the first by number is taken.

    Parameters
    ----------
    xy, new_xy : ndarray
        (N, 2) and (M, 2). k = `neighbours` is lowered to N. NaN is returned where M is 0 or all
        labels (N,) are one.
    """
    from sklearn.neighbors import KNeighborsClassifier  # type: ignore[import-untyped]

    if not len(new_xy) or len(np.unique(labels)) < 2:
        return float("nan")
    judge = KNeighborsClassifier(min(neighbours, len(xy))).fit(xy, labels)
    return float(judge.score(new_xy, new_labels))


def own_accuracy(xy: Floats, labels: NDArray[np.int64], neighbours: int = NEIGHBOURS) -> float:
    """Share of N fitted points whose label is that of most of their k nearest others.

    What `label_accuracy` says of points that were held out, each point being judged by the other
    ones. Where several have one place, any k of those count.

    Parameters
    ----------
    xy : ndarray
        (N, 2). k = `neighbours` is lowered to N − 1. NaN is returned where all labels (N,) are one.
    """
    from sklearn.neighbors import NearestNeighbors

    if len(np.unique(labels)) < 2:
        return float("nan")
    near = NearestNeighbors(n_neighbors=min(neighbours, len(xy) - 1)).fit(xy)
    others = near.kneighbors(return_distance=False)  # (N, k), none its own neighbour
    votes = np.zeros((len(xy), int(labels.max()) + 1), dtype=np.int64)
    np.add.at(votes, (np.arange(len(xy))[:, None], labels[others]), 1)
    return float((votes.argmax(axis=1) == labels).mean())


def measure_steps(
    x: Floats,
    xy: Floats,
    accuracy: float,
    judged: int,
    seed: int = 0,
    neighbours: int = NEIGHBOURS,
) -> Generator[None, None, Quality]:
    """Measure a picture `xy` (N, 2) of points `x` (N, F); `accuracy` was measured already.

    Yields between the measures, each of which takes a good part of a second.
    """
    chosen = some(len(x), LOOKED_AT, seed)
    trusted = continued = float("nan")
    if enough := len(chosen) > 2:
        trusted = trustworthiness(x[chosen], xy[chosen], neighbours)
        yield
        continued = continuity(x[chosen], xy[chosen], neighbours)
    return Quality(
        trusted,
        continued,
        accuracy,
        len(chosen),
        len(x),
        judged,
        _lowered(len(chosen), neighbours) if enough else 0,
    )


def some(count: int, most: int, seed: int) -> NDArray[np.int64]:
    """Numbers below `count`, rising: all of them, or `most` drawn evenly with `seed`."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def _lowered(count: int, neighbours: int) -> int:
    return max(1, min(neighbours, (count - 1) // 2))
