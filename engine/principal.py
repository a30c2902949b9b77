"""The first two principal components of some rows.

Shape letters: T rows, D columns, F rows that take part, n the smaller of T and D.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import krylov

Doubles: TypeAlias = NDArray[np.float64]

SMALL = 96
"""Up to this many rows or columns all components are found at once; that is quick enough."""

_FLOAT_MAX = float(np.finfo(np.float32).max)

_AT_ONCE = 128
"""Rows that are brought to double precision at a time, which stay in the processor's cache."""


def principal_plane(states: Tensor, fitted: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """First two principal components of some rows of `states`, and where all rows lie in them.

    Parameters
    ----------
    states : Tensor
        (T, D), T ≥ 1.
    fitted : Tensor, optional
        (T,) boolean: the rows to fit to; all by default.

    Returns
    -------
    xy : Tensor
        (T, 2) scores of the rows about the fitted rows' mean; zero where there is no second
        direction. The sign is such that each component's largest loading is positive, so that the
        picture does not flip while one types.
    explained : Tensor
        (2,) share of the fitted rows' total variance along each.
    """
    if fitted is None:
        fitted = torch.ones(len(states), dtype=torch.bool, device=states.device)
    matrix = gram(states, fitted).cpu().numpy()
    xy, explained = plane(states.cpu().numpy(), fitted.cpu().numpy(), matrix)
    return torch.from_numpy(xy), torch.from_numpy(explained)


def gram(states: Tensor, fitted: Tensor) -> Tensor:
    """The smaller Gram matrix of the centred rows `fitted` (T,) of (T, D) states, on their device.

    Returns
    -------
    Tensor
        (n, n). Rows that do not take part are zero, which adds nothing but eigenvalues of zero.
    """
    # Apple's GPUs have no double precision.
    wide = states.float() if states.device.type == "mps" else states.double()
    weight = fitted.to(wide.dtype)[:, None]  # (T, 1)
    centred = (wide - (wide * weight).sum(dim=0) / weight.sum()) * weight
    rows, width = centred.shape
    # Both matrices have the same non-zero eigenvalues.
    return centred @ centred.T if rows <= width else centred.T @ centred


def plane(
    states: NDArray[Any], fitted: NDArray[np.bool_], matrix: NDArray[Any]
) -> tuple[Doubles, Doubles]:
    """What `principal_plane` says, of states (T, D), fitted (T,) and their `gram`, on the host."""
    matrix = matrix.astype(np.float64)
    values, vectors = _largest_two(matrix)
    mean = states[fitted].mean(axis=0, dtype=np.float64)
    if len(states) <= states.shape[1]:
        vectors = across(states, mean, vectors * fitted[:, None])
    return seen_along(states, mean, values, vectors, float(np.trace(matrix)))


def _largest_two(matrix: Doubles) -> tuple[Doubles, Doubles]:
    """The two largest eigenvalues of a symmetric (n, n) matrix, falling, and vectors (n, ≤2)."""
    if len(matrix) > SMALL:
        # Lanczos iterations for two take some twenty products with the matrix. A decomposition into
        # all took longer than half a forward pass at 512 tokens.
        from scipy.sparse.linalg import (  # type: ignore[import-untyped]
            ArpackNoConvergence,
            eigsh,
        )

        with contextlib.suppress(ArpackNoConvergence):  # near ties; they are found with the others
            # Begun at the diagonal: the same rows then give the same picture.
            values, vectors = eigsh(matrix, k=2, v0=matrix.diagonal(), tol=1e-10)
            return values[::-1].clip(min=0), vectors[:, ::-1]
    values, vectors = np.linalg.eigh(matrix)
    return values[::-1][:2].clip(min=0), vectors[:, ::-1][:, :2]


def across(states: NDArray[Any], mean: Doubles, vectors: Doubles) -> Doubles:
    """Directions (D, k) of length one, from eigenvectors (T, k) of the Gram matrix of rows."""
    found = np.zeros((states.shape[1], vectors.shape[1]))
    for start, part in in_doubles(states):
        found += part.T @ vectors[start : start + len(part)]
    found -= np.outer(mean, vectors.sum(axis=0))
    lengths: Doubles = np.maximum(np.linalg.norm(found, axis=0), 1e-12)
    return found / lengths


def plane_of(states: NDArray[np.float32], fitted: NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    """What `principal_plane` says of float32 states on the host, for a keystroke.

    It holds by more than the states' own single precision: sums and products are of double.

    Parameters
    ----------
    states : ndarray
        (T, D), D > 2.
    fitted : ndarray
        (T,), at least one of which takes part.

    Returns
    -------
    xy, explained : ndarray
        (T, 2), not a number where there is no plane, and (2,). There is none of values whose
        squares single precision does not hold.
    """
    states = np.ascontiguousarray(states)
    spread = krylov.largest_two(states, fitted)
    if not spread.total <= _FLOAT_MAX:
        return np.full((len(states), 2), np.nan), np.zeros(2)
    if not spread.total > 0:
        return np.zeros((len(states), 2)), np.zeros(2)
    xy = krylov.seen_along_two(states, spread.mean, _oriented(spread.values, spread.vectors))
    return xy, _shares(spread.values, spread.total)


def seen_along(
    states: NDArray[Any], mean: Doubles, values: Doubles, vectors: Doubles, total: float
) -> tuple[Doubles, Doubles]:
    """Where all rows lie along directions (D, k) about a mean, and shares of a total variance."""
    loadings = _oriented(values, vectors)
    xy = np.zeros((len(states), 2))
    for start, part in in_doubles(states):
        xy[start : start + len(part), : loadings.shape[1]] = part @ loadings
    xy[:, : loadings.shape[1]] -= mean @ loadings
    return xy, _shares(values, total)


def _oriented(values: Doubles, vectors: Doubles) -> Doubles:
    """Directions (D, k) so that the largest loading of each is positive; zero without variance."""
    # Directions in which nothing varies are noise of the arithmetic.
    loadings = vectors * (values > 1e-12 * max(values.max(), 1e-12))
    largest = np.take_along_axis(loadings, np.abs(loadings).argmax(axis=0)[None], axis=0)
    turned: Doubles = loadings * np.where(largest < 0, -1.0, 1.0)
    return turned


def _shares(values: Doubles, total: float) -> Doubles:
    """Shares (2,) of a total variance along directions of which there may be one."""
    explained = np.zeros(2)
    if total > 0:
        explained[: len(values)] = values / total
    return explained


def in_doubles(states: NDArray[Any]) -> Iterator[tuple[int, Doubles]]:
    """Some rows of (T, D) at a time in double precision, and the first's number.

    All are given in the same place: each is gone with the next.
    """
    room = np.empty((min(_AT_ONCE, len(states)), states.shape[1]))
    for start in range(0, len(states), _AT_ONCE):
        part = states[start : start + _AT_ONCE]
        wide = room[: len(part)]
        wide[...] = part
        yield start, wide
