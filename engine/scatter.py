"""Products of rows, kept up as rows come, go and take part or no longer do.

The principal components of a context's states change with each token, but the products they follow
from change by the new token's alone. Worked out anew, those of 800 states of 576 numbers took as
long as half a step of the model.

Shape letters: T rows, D columns, F rows that take part, n the smaller of T and D.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.arena import capacity
from engine.principal import Doubles, across, in_doubles, largest_two, seen_along


class Scatter:
    """The principal plane of the rows that take part, of T rows that grow and shrink at the end.

    Up to D rows, the products of all rows with each other are held, (T, T), and which take part is
    only asked when they are used. With more, the sum of the products of those that take part,
    (D, D), to which a row is added or from which it is taken. Both are about an `origin` near the
    rows' mean, so that little is lost to cancellation.

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
        self._begun = 0  # rows when all was last worked out
        self._square: Doubles = np.zeros((0, 0))
        self._sum: Doubles = np.zeros(width)  # of the rows that take part, less the origin

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._square.nbytes + self._part.nbytes + self._origin.nbytes + self._sum.nbytes

    def update(self, rows: NDArray[Any], part: NDArray[np.bool_], gone: NDArray[Any]) -> None:
        """Bring the products up to `rows`.

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
        kept = self._count - len(gone)
        was = self._part
        joins, leaves = part.copy(), was.copy()
        joins[:kept] &= ~was[:kept]
        leaves[:kept] &= ~part[:kept]
        wide = len(rows) <= self.width
        changes = int(joins.sum() + leaves.sum())
        anew = (
            not self._begun
            or wide != (self._count <= self.width)
            # The mean may have gone elsewhere, and what is taken out leaves its rounding behind.
            or not self._begun / 2 <= len(rows) <= 2 * self._begun
            or 2 * changes > len(rows)
            or not np.isfinite(self._sum).all()  # or else one overflow would spoil all that follow
        )
        self._count, self._part = len(rows), part.copy()
        if anew:
            self._begin(rows)
            return
        self.folded += changes
        more, less = rows[joins] - self._origin, rows[:kept][leaves[:kept]] - self._origin
        less = np.concatenate([less, gone[leaves[kept:]] - self._origin])
        self._sum += more.sum(axis=0) - less.sum(axis=0)
        if wide:
            self._lengthen(rows, kept)
            return
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
        fitted = int(self._part.sum())
        wide = len(rows) <= self.width
        diagonal, times = self._between(fitted) if wide else self._over(fitted)
        whole = lambda: np.stack([times(one) for one in np.eye(len(diagonal))])  # noqa: E731
        values, vectors = largest_two(diagonal, times, whole)
        mean = self._origin + self._sum / fitted
        if wide:
            vectors = across(rows, mean, vectors * self._part[:, None])
        return seen_along(rows, mean, values, vectors, float(diagonal.sum()))

    def _between(self, fitted: int) -> tuple[Doubles, Any]:
        """Diagonal (T,) of the rows' centred products with each other, and how to apply them."""
        square = self._square[: self._count, : self._count]
        weight = self._part.astype(np.float64)

        def centred(vector: Doubles) -> Doubles:
            found: Doubles = weight * (vector - weight @ vector / fitted)
            return found

        towards = square @ weight / fitted
        diagonal = weight * (square.diagonal() - 2 * towards + weight @ towards / fitted)
        return diagonal, lambda vector: centred(square @ centred(vector))

    def _over(self, fitted: int) -> tuple[Doubles, Any]:
        """Diagonal (D,) of the sum of centred products, and how to apply it."""
        square, total = self._square, self._sum
        diagonal = square.diagonal() - total**2 / fitted
        return diagonal, lambda vector: square @ vector - total * (total @ vector / fitted)

    def _begin(self, rows: NDArray[Any]) -> None:
        """Work out all products."""
        count = len(rows)
        self.folded += count
        self._begun = count
        self._origin = rows[self._part].mean(axis=0, dtype=np.float64)
        if count <= self.width:
            self._square = np.empty((0, 0))
            self._lengthen(rows, 0)
            self._sum = (rows[self._part] - self._origin).sum(axis=0)
            return
        self._sum = np.zeros(self.width)
        self._square = np.zeros((self.width, self.width), order="F")
        # torch's product takes all cores.
        square = torch.from_numpy(self._square.T)
        for start, part in in_doubles(rows):
            np.subtract(part, self._origin, out=part)
            np.multiply(part, self._part[start : start + len(part), None], out=part)
            self._sum += part.sum(axis=0)
            mine = torch.from_numpy(part)
            square.addmm_(mine.T, mine)

    def _lengthen(self, rows: NDArray[Any], kept: int) -> None:
        """Add the products of the rows from `kept` on with all rows."""
        count = len(rows)
        if count > len(self._square):
            room = min(capacity(count), self.width)
            square = np.empty((room, room))
            square[:kept, :kept] = self._square[:kept, :kept]
            self._square = square
        new = torch.from_numpy(rows[kept:] - self._origin)
        for start, part in in_doubles(rows):
            np.subtract(part, self._origin, out=part)
            products = torch.mm(new, torch.from_numpy(part).T).numpy()
            self._square[kept:count, start : start + len(part)] = products
        self._square[:kept, kept:count] = self._square[kept:count, :kept].T
