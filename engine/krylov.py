"""The two largest eigenvalues of a matrix of products, in one compiled call.

Lanczos iterations (1950) multiply the matrix with one vector after another. Out of Python each of
the twenty lets go of the interpreter and waits for it again, while the window draws: that took
longer than the products. Here they are one call that needs no interpreter.

Shape letters: R rows, D columns, m vectors.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.models.compiling import compiled

Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]

_FIRST, _MORE, _MOST = 14, 6, 80
"""Vectors that are made before the values are looked at, then so many more, and at most."""

_CLOSE = 1e-6
"""How far they may be off, as a share of the largest: single precision comes no closer."""


@compiled("void(float32[:,::1],boolean,float32[:,::1],float64[::1],float64[::1],int64,int64)")
def _go_on(
    matrix: Floats,
    by_rows: bool,
    basis: Floats,
    along: Doubles,
    beside: Doubles,
    start: int,
    stop: int,
) -> None:
    """Make vectors `start` + 1 to `stop` of the basis from the one at `start`.

    Parameters
    ----------
    matrix : ndarray
        (D, D), symmetric; or (R, D), of which the products of its columns are meant.
    by_rows : bool
        Whether it is the latter.
    basis : ndarray
        (m, D) of length one and at right angles to one another.
    along, beside : ndarray
        (m,): the diagonal of the matrix in that basis, and what stands beside it.
    """
    rows, width = matrix.shape
    made = np.empty(width, np.float32)
    for step in range(start, stop):
        vector = basis[step]
        if by_rows:
            made[:] = 0
            for i in range(rows):
                share = np.float32(0)
                for j in range(width):
                    share += matrix[i, j] * vector[j]
                for j in range(width):
                    made[j] += share * matrix[i, j]
        else:
            for i in range(rows):
                share = np.float32(0)
                for j in range(width):
                    share += matrix[i, j] * vector[j]
                made[i] = share
        for _ in range(2):  # what rounding leaves of the others, too
            for other in range(step, -1, -1):
                part = 0.0
                for j in range(width):
                    part += np.float64(basis[other, j]) * made[j]
                if other == step:
                    along[step] += part
                for j in range(width):
                    made[j] -= np.float32(part) * basis[other, j]
        length = 0.0
        for j in range(width):
            length += np.float64(made[j]) * made[j]
        length = np.sqrt(length)
        beside[step] = length
        by = np.float32(1 / length) if length > 0 else np.float32(0)
        for j in range(width):
            basis[step + 1, j] = made[j] * by


def largest_two(matrix: Floats, start: Doubles, by_rows: bool) -> tuple[Doubles, Doubles]:
    """The two largest eigenvalues, falling, and their vectors (D, 2).

    Parameters
    ----------
    matrix : ndarray
        float32: a symmetric (D, D) one of no value below zero, or, with `by_rows`, X (R, D), of
        which XᵀX is meant. Finite, D > 2.
    start : ndarray
        (D,), not zero: about where the first vector points. The same one gives the same picture.

    Returns
    -------
    values, vectors : ndarray
        Zeros where the matrix has but one.
    """
    width = matrix.shape[1]
    most = min(_MOST, width)
    basis = np.zeros((most + 1, width), np.float32)
    # At right angles to one of the two it would never come to see it, and evenness may put it so.
    uneven = start * np.random.default_rng(0).uniform(0.5, 1.5, width)
    basis[0] = uneven / np.linalg.norm(uneven)
    along, beside = np.zeros(most), np.zeros(most)
    done = 0
    while done < most:
        more = min(most, _FIRST if not done else done + _MORE)
        _go_on(matrix, by_rows, basis, along, beside, done, more)
        done = more
        # Nothing lies at right angles to all there are: they span all that the matrix does.
        ends = np.flatnonzero(beside[:done] <= 1e-6 * max(along[:done].max(), 1e-30))
        many = int(ends[0]) + 1 if len(ends) else done
        small = np.diag(along[:many]) + np.diag(beside[: many - 1], 1)
        values, vectors = np.linalg.eigh(small + np.diag(beside[: many - 1], -1))
        values, vectors = values[::-1][:2], vectors[:, ::-1][:, :2]
        off = beside[many - 1] * np.abs(vectors[-1])
        if len(ends) or (off <= _CLOSE * max(values[0], 1e-30)).all():
            break
    else:
        if most < width:
            return _all(matrix, by_rows)
    two, found = np.zeros(2), np.zeros((width, 2))
    two[: len(values)] = values.clip(min=0)
    found[:, : len(values)] = basis[:many].T @ vectors.astype(np.float32)
    return two, found


def _all(matrix: Floats, by_rows: bool) -> tuple[Doubles, Doubles]:
    """The same by all of them, where two are hard to tell from the others."""
    wide = matrix.astype(np.float64)
    values, vectors = np.linalg.eigh(wide.T @ wide if by_rows else wide)
    return values[::-1][:2].clip(min=0), vectors[:, ::-1][:, :2]
