"""The principal plane of rows that come, go and take part or no longer do.

Few rows are multiplied with vectors as they are: twenty such products find a plane, and take no
longer than those with a matrix of the rows' own products. Of many rows that matrix is kept up, for
it changes by a new row's products alone; but only once a second picture of them is wanted: working
it out takes four times as long as a picture without it.

Shape letters: T rows, D columns, F rows that take part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.principal import Doubles, largest_two, oriented, seen_along, shares

_AT_ONCE = 512
"""Rows whose products are added up in single precision."""


class Scatter:
    """The principal plane of the rows that take part, of T rows that grow and shrink at the end.

    With more than 2·D rows the sum of the products of those that take part, (D, D), is held, to
    which a row is added or from which it is taken. It is about an `origin` near the rows' mean, so
    that little is lost to cancellation.

    Parameters
    ----------
    width : int
        D.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.folded = 0  # rows ever folded in or taken out, for tests
        self._count = 0  # T
        self._part: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._origin: Doubles = np.zeros(width)
        self._begun = 0  # rows when the products were last worked out; 0 without them
        self._asked = False  # whether they would have been of use before
        self._square: Doubles = np.zeros((0, 0))
        self._sum: Doubles = np.zeros(width)  # of the rows that take part, less the origin

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._square.nbytes + self._part.nbytes + self._origin.nbytes + self._sum.nbytes

    def update(self, rows: NDArray[Any], part: NDArray[np.bool_], gone: NDArray[Any]) -> None:
        """Bring what is held up to `rows`.

        Parameters
        ----------
        rows : ndarray
            (T, D), at least one of which takes part. They begin with the rows there were, less
            those that are `gone`.
        part : ndarray
            (T,), which take part.
        gone : ndarray
            (g, D), the last g rows of those there were.
        """
        kept, was = self._count - len(gone), self._part
        self._count, self._part = len(rows), part.copy()
        if len(rows) <= 2 * self.width:
            self._forget()
            return
        if not self._begun and not self._asked:
            self._asked = True
            return
        joins, leaves = part.copy(), was.copy()
        joins[:kept] &= ~was[:kept]
        leaves[:kept] &= ~part[:kept]
        changes = int(joins.sum() + leaves.sum())
        if (
            not self._begun
            # The mean may have gone elsewhere, and what is taken out leaves its rounding behind.
            or not self._begun / 2 <= len(rows) <= 2 * self._begun
            or 2 * changes > len(rows)
            or not np.isfinite(self._sum).all()  # or else one overflow would spoil all that follow
        ):
            self._begin(rows)
            return
        self.folded += changes
        more, less = rows[joins] - self._origin, rows[:kept][leaves[:kept]] - self._origin
        less = np.concatenate([less, gone[leaves[kept:]] - self._origin])
        self._sum += more.sum(axis=0) - less.sum(axis=0)
        from scipy.linalg.blas import dgemm  # type: ignore[import-untyped]

        for change, sign in ((more, 1.0), (less, -1.0)):
            if len(change):  # in place: the matrix is a few megabytes
                args = (sign, change.T, change.T, 1.0, self._square)
                self._square = dgemm(*args, trans_b=True, overwrite_c=True)

    def plane(self, rows: NDArray[Any]) -> tuple[Doubles, Doubles]:
        """Where `rows`, as they were at the last `update`, lie in the plane, and its shares.

        Returns
        -------
        xy, explained : ndarray
            (T, 2) and (2,); see `engine.principal.principal_plane`.
        """
        if not self._begun:
            return plane_of(rows, self._part)
        fitted, square, total = int(self._part.sum()), self._square, self._sum
        diagonal = square.diagonal() - total**2 / fitted

        def times(vector: Doubles) -> Doubles:
            found: Doubles = square @ vector - total * (total @ vector / fitted)
            return found

        values, vectors = largest_two(diagonal, times, lambda: _whole(times, self.width))
        mean = self._origin + total / fitted
        return seen_along(rows, mean, values, vectors, float(diagonal.sum()))

    def _forget(self) -> None:
        """Let go of the products."""
        self._begun, self._asked = 0, False
        self._square, self._sum = np.zeros((0, 0)), np.zeros(self.width)

    def _begin(self, rows: NDArray[Any]) -> None:
        """Work out all products.

        Each is of single precision and a few hundred are added up in it, the rest in double: what
        that leaves of error is 1e-7 of the largest, for a third of the time.
        """
        self.folded += len(rows)
        self._begun = len(rows)
        # Somewhere near the mean is enough, and some rows tell where that is.
        some = rows[self._part][:: 1 + len(rows) // _AT_ONCE]
        origin = some.mean(axis=0, dtype=np.float32)
        self._origin, self._sum = origin.astype(np.float64), np.zeros(self.width)
        self._square = np.zeros((self.width, self.width), order="F")
        for start in range(0, len(rows), _AT_ONCE):
            end = start + _AT_ONCE
            taking = rows[start:end][self._part[start:end]] - origin
            self._sum += taking.sum(axis=0)
            # Of a matrix by itself numpy works out half, on one core: the window has the other.
            self._square.T[...] += taking.T @ taking


def plane_of(rows: NDArray[Any], part: NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    """What `Scatter.plane` says, of rows (T, D) and which of them take part (T,) alone."""
    centred = rows - rows[part].mean(axis=0, dtype=np.float32)
    fitted = centred if part.all() else centred[part]  # (F, D)
    count, width = fitted.shape
    # What single precision has left of the mean in so many rows.
    left: Doubles = (np.ones(count, np.float32) @ fitted).astype(np.float64) / count

    def times(vector: Doubles) -> Doubles:
        along = fitted @ vector.astype(np.float32)  # (F,)
        found: Doubles = (along @ fitted).astype(np.float64) - left * (left @ vector * count)
        return found

    diagonal = np.einsum("td,td->d", fitted, fitted).astype(np.float64) - left**2 * count
    if not np.isfinite(diagonal).all():
        return np.full((len(rows), 2), np.nan), np.zeros(2)  # there is no plane
    # Closer than this single precision cannot come.
    values, vectors = largest_two(diagonal, times, lambda: _whole(times, width), within=1e-6)
    loadings = oriented(values, vectors)  # (D, 2)
    xy: Doubles = (centred @ loadings.astype(np.float32)).astype(np.float64)
    xy -= left @ loadings
    return xy, shares(values, float(diagonal.sum()))


def _whole(times: Callable[[Doubles], Doubles], width: int) -> Doubles:
    """The matrix (D, D) that `times` applies."""
    whole: Doubles = np.stack([times(one) for one in np.eye(width)])
    return whole
