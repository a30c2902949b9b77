"""The two directions in which rows vary most, and where rows lie along them, in compiled calls.

Lanczos iterations (1950) multiply a matrix of products with one vector after another. Out of Python
each of the twenty lets go of the interpreter and waits for it again, while the window draws: that
took longer than the products. Here they are one call that needs no interpreter.

Rows are read as they lie, in single precision; sums, products and vectors are of double precision.
What limits such a loop is how fast rows come from memory, so that this costs no more time.

Shape letters: T rows, F of them that take part, D columns, m vectors.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.models.compiling import compiled

Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[np.int64]

_CLOSE = 1e-9
"""How far a vector may be off: what is left of it by the product, as a share of the distance to
the next value. The value is then off by the square of that.

As little as that sees two values apart that differ by more than it. Two that are closer are met as
one, and a third would pass for the second."""

_LEAST = 1e-12
"""And this much of the largest value at most, where values nearly tie: rounding comes in sight."""

_NOTHING = 1e-13
"""What is less than this share of the largest value is what rounding left."""

_MOST = 160
"""Vectors that are made at most, or a quarter of all there are; all values at once are quicker."""

_OFTEN = 24
"""Of so many vectors each is looked at whether it is the last that is needed; of more, fewer."""

_STATES = "Array(float32, 2, 'C', True)"  # may be read only


class Spread(NamedTuple):
    """How rows vary about their mean.

    Attributes
    ----------
    mean : ndarray
        (D,) of the rows.
    total : float
        The sum of squares about it: F times the total variance. Not a number, or infinite, if the
        rows are not finite; the others are then zero, as they are where nothing varies.
    values, vectors : ndarray
        (2,) the two largest eigenvalues of the products of the centred columns, falling, and their
        directions (D, 2), of length one. Zeros where there is but one.
    """

    mean: Doubles
    total: float
    values: Doubles
    vectors: Doubles


@compiled(f"void({_STATES}, int64[::1], float64[::1], float64[::1], float64[::1])")
def _multiply(states: Floats, part: Numbers, mean: Doubles, vector: Doubles, made: Doubles) -> None:
    """Σ (x − mean) (x − mean)ᵀ vector over the rows `part`, into `made` (D,)."""
    count, width = len(part), len(vector)
    about = 0.0
    for j in range(width):
        about += mean[j] * vector[j]
        made[j] = 0
    sums = 0.0
    whole = count - count % 4
    # Four rows at a time: the vector and what is made of it are read once for them.
    for i in range(0, whole, 4):
        a, b = states[part[i]], states[part[i + 1]]
        c, d = states[part[i + 2]], states[part[i + 3]]
        of_a, of_b, of_c, of_d = -about, -about, -about, -about
        for j in range(width):
            of_a += np.float64(a[j]) * vector[j]
            of_b += np.float64(b[j]) * vector[j]
            of_c += np.float64(c[j]) * vector[j]
            of_d += np.float64(d[j]) * vector[j]
        sums += of_a + of_b + of_c + of_d
        for j in range(width):
            made[j] += (
                of_a * np.float64(a[j])
                + of_b * np.float64(b[j])
                + of_c * np.float64(c[j])
                + of_d * np.float64(d[j])
            )
    for i in range(whole, count):
        a = states[part[i]]
        of_a = -about
        for j in range(width):
            of_a += np.float64(a[j]) * vector[j]
        sums += of_a
        for j in range(width):
            made[j] += of_a * np.float64(a[j])
    for j in range(width):
        made[j] -= sums * mean[j]


@compiled(f"float64({_STATES}, int64[::1], float64[::1], float64[::1])")
def _moments(states: Floats, part: Numbers, mean: Doubles, squares: Doubles) -> float:
    """Mean (D,) of the rows `part` and each column's squares about it (D,); the sum of these."""
    count, width = len(part), len(mean)
    # About one of them: of rows that are all the same, nothing is left.
    first = states[part[0]]
    for j in range(width):
        mean[j] = squares[j] = 0
    for i in range(count):
        row = states[part[i]]
        for j in range(width):
            mean[j] += np.float64(row[j]) - np.float64(first[j])
    for j in range(width):
        mean[j] = mean[j] / count + np.float64(first[j])
    for i in range(count):
        row = states[part[i]]
        for j in range(width):
            by = np.float64(row[j]) - mean[j]
            squares[j] += by * by
    total = 0.0
    for j in range(width):
        total += squares[j]
    return total


@compiled("float64(float64[:,::1], int64, int64, float64[::1])")
def _set_upright(basis: Doubles, start: int, stop: int, made: Doubles) -> float:
    """Take from `made` (D,) its parts along vectors `start` down to `stop`; the first's."""
    width = len(made)
    first = 0.0
    for other in range(start, stop - 1, -1):
        part = 0.0
        for j in range(width):
            part += basis[other, j] * made[j]
        if other == start:
            first = part
        for j in range(width):
            made[j] -= part * basis[other, j]
    return first


@compiled("float64(float64[::1], float64[::1])")
def _to_length_one(made: Doubles, vector: Doubles) -> float:
    """Write `made` (D,) at length one into `vector`, zeros if it has none; the length it had."""
    square = 0.0
    for j in range(len(made)):
        square += made[j] * made[j]
    length = np.sqrt(square)
    by = 1 / length if length > 0 else 0.0
    for j in range(len(made)):
        vector[j] = made[j] * by
    return float(length)


@compiled("Tuple((float64[::1], float64[::1,:]))(float64[::1], float64[::1], int64)")
def _in_basis(along: Doubles, beside: Doubles, count: int) -> tuple[Doubles, Doubles]:
    """Eigenvalues, rising, and vectors of the tridiagonal matrix that `count` vectors make."""
    small = np.zeros((count, count))
    for i in range(count):
        small[i, i] = along[i]
        if i:
            small[i, i - 1] = small[i - 1, i] = beside[i - 1]
    values, vectors = np.linalg.eigh(small)
    return values, vectors


@compiled("boolean(float64[::1], float64[::1], int64)")
def _is_close(along: Doubles, beside: Doubles, count: int) -> bool:
    """Whether the two largest are found by `count` vectors, of at least three."""
    values, vectors = _in_basis(along, beside, count)
    apart, below = values[-1] - values[-2], values[-2] - values[-3]
    least, left = _LEAST * values[-1], beside[count - 1]
    return bool(
        left * abs(vectors[-1, -1]) <= max(_CLOSE * apart, least)
        and left * abs(vectors[-1, -2]) <= max(_CLOSE * min(apart, below), least)
    )


@compiled(
    f"Tuple((float64, boolean))({_STATES}, int64[::1], float64[:,::1], int64, float64[::1],"
    "float64[::1], float64[:,::1])"
)
def _find(
    states: Floats,
    part: Numbers,
    uneven: Doubles,
    most: int,
    mean: Doubles,
    two: Doubles,
    found: Doubles,
) -> tuple[float, bool]:
    """Fill `mean` (D,), the values `two` (2,) and their vectors `found` (2, D) of the rows `part`.

    Parameters
    ----------
    uneven : ndarray
        (2, D): numbers about one, and others, that have nothing in common with the rows.
    most : int
        So many vectors are made at most.

    Returns
    -------
    total : float
        The sum of squares.
    done : bool
        Whether so many were enough.
    """
    width = len(mean)
    made = np.empty(width)
    total = _moments(states, part, mean, made)
    if not np.isfinite(total) or total <= 0:
        return total, True
    basis = np.empty((most + 1, width))
    along, beside = np.zeros(most), np.zeros(most)
    # Begun at the diagonal: the same rows then give the same picture. At right angles to one of the
    # two it would never come to see it, and evenness may put it so.
    for j in range(width):
        made[j] *= uneven[0, j]
    _to_length_one(made, basis[0])
    again, count, largest = False, 0, 0.0
    for step in range(most):
        _multiply(states, part, mean, basis[step], made)
        # Of the last two vectors there is much in it; of all, what rounding leaves.
        along[step] = _set_upright(basis, step, max(step - 1, 0), made)
        along[step] += _set_upright(basis, step, 0, made)
        largest = max(largest, along[step])
        beside[step] = _to_length_one(made, basis[step + 1])
        if beside[step] <= _NOTHING * largest:
            # No product of these leads out of them: they hold one direction of each value there
            # is. Two may tie, so once more from what lies at right angles to them.
            beside[step] = 0
            count = step + 1
            if again or count == most:
                break
            again = True
            for j in range(width):
                made[j] = uneven[1, j]
            for _ in range(2):
                _set_upright(basis, step, 0, made)
            if _to_length_one(made, basis[step + 1]) <= 1e-9:
                break
        elif again or step < 2 or step % (1 + step // _OFTEN):
            continue
        elif _is_close(along, beside, step + 1):
            count = step + 1
            break
    if not count or (again and beside[count - 1] > 0):
        return total, False
    values, vectors = _in_basis(along, beside, count)
    for k in range(min(2, count)):
        two[k] = max(values[-1 - k], 0.0)
        for i in range(count):
            for j in range(width):
                found[k, j] += vectors[i, -1 - k] * basis[i, j]
    return total, True


def largest_two(states: Floats, taken: NDArray[np.bool_]) -> Spread:
    """How some rows vary, in the two directions in which they do most.

    The same rows give the same answer. Two values that tie to nine digits or more, above a third,
    may be taken for one.

    Parameters
    ----------
    states : ndarray
        (T, D), C-contiguous, D > 2.
    taken : ndarray
        (T,): which of them, one at least.
    """
    part, width = np.flatnonzero(taken), states.shape[1]
    mean, two, found = np.zeros(width), np.zeros(2), np.zeros((2, width))
    most = min(width, max(_MOST, width // 4))
    total, done = _find(states, part, _uneven(width), most, mean, two, found)
    if not done:
        return Spread(mean, total, *_all(states[part] - mean))
    return Spread(mean, total, two, found.T)


@lru_cache(4)
def _uneven(width: int) -> Doubles:
    return np.random.default_rng(0).uniform(0.5, 1.5, (2, width))


def _all(centred: Doubles) -> tuple[Doubles, Doubles]:
    """The two by all of them, where they are hard to tell from the others."""
    wide = centred.shape[0] < centred.shape[1]
    # Both matrices have the same non-zero eigenvalues.
    values, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    values, vectors = values[::-1][:2].clip(min=0), vectors[:, ::-1][:, :2]
    if wide:
        vectors = centred.T @ vectors
        vectors /= np.maximum(np.linalg.norm(vectors, axis=0), 1e-300)
    return values, vectors


@compiled(f"void({_STATES}, float64[::1], float64[:,::1], float64[:,::1])")
def _see(states: Floats, mean: Doubles, directions: Doubles, seen: Doubles) -> None:
    """Where (T, D) rows lie along two directions (2, D) about a mean, into `seen` (T, 2)."""
    one, other = directions[0], directions[1]
    about_one, about_other = 0.0, 0.0
    for j in range(len(mean)):
        about_one += mean[j] * one[j]
        about_other += mean[j] * other[j]
    for i in range(len(states)):
        row = states[i]
        along_one, along_other = 0.0, 0.0
        for j in range(len(mean)):
            along_one += np.float64(row[j]) * one[j]
            along_other += np.float64(row[j]) * other[j]
        seen[i, 0], seen[i, 1] = along_one - about_one, along_other - about_other


def seen_along_two(states: Floats, mean: Doubles, vectors: Doubles) -> Doubles:
    """Where rows (T, D), C-contiguous, lie along two directions (D, 2) about a mean: (T, 2)."""
    seen = np.empty((len(states), 2))
    _see(states, mean, np.ascontiguousarray(vectors.T), seen)
    return seen
