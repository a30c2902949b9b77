"""A causal attention map, or the mean of several, in one compiled call.

Out of Python a map of a thousand tokens is a hundred small products and sums. Each of them lets go
of the interpreter and waits for it again while the window draws: beside it a mean over nine heads
took 42 ms, of which 18 were work. Here it is one call that needs no interpreter.

Shape letters: H heads, H_kv heads that have keys of their own, T rows, d_h numbers of a head.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.models.compiling import compiled

ROWS = 32
"""Rows at a time: what is worked out of them stays in the processor's cache, and half of the map is
passed over."""

_LANES = 32
"""Largest values that are sought side by side: one after another each waits for the one before."""

_LOWEST = np.float32(-87)
"""What is so far below the largest score has no share: the exponential leaves float32 here."""

_PER_BIT = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)


@compiled("float32(float32[::1],float32[::1])")
def _largest(row: NDArray[np.float32], lanes: NDArray[np.float32]) -> float:
    """The largest of (n,), by way of (`_LANES`,) that may be written to."""
    whole = len(row) // _LANES * _LANES
    lanes[:] = row[0]
    for start in range(0, whole, _LANES):
        for lane in range(_LANES):
            lanes[lane] = max(lanes[lane], row[start + lane])
    most: float = lanes[0]
    for lane in range(1, _LANES):
        most = max(most, lanes[lane])
    for i in range(whole, len(row)):
        most = max(most, row[i])
    return most


@compiled("void(float32[::1],float32)")
def _exponentials(row: NDArray[np.float32], most: float) -> None:
    """Replace each x of (n,) by exp(x − most), within two units in the last place.

    Of what is left beside a power of two, a polynomial (Moshier, Cephes, ``expf``): the C library's
    own takes one number at a time, ten times as long.
    """
    for i in range(len(row)):
        x = row[i] - most
        power = np.floor(x * _PER_BIT + np.float32(0.5))
        rest = x - power * _LN2_HIGH - power * _LN2_LOW
        sum_ = np.float32(1.9875691500e-4)
        sum_ = sum_ * rest + np.float32(1.3981999507e-3)
        sum_ = sum_ * rest + np.float32(8.3334519073e-3)
        sum_ = sum_ * rest + np.float32(4.1665795894e-2)
        sum_ = sum_ * rest + np.float32(1.6666665459e-1)
        sum_ = sum_ * rest + np.float32(5.0000001201e-1)
        sum_ = sum_ * rest * rest + rest + np.float32(1)
        # 2^power, whose bits are those of the exponent alone.
        bits = np.int32((power + np.float32(127)) * np.float32(1 << 23))
        found = sum_ * bits.view(np.float32)
        row[i] = np.float32(0) if x < _LOWEST else found


@compiled("void(float32[:,:,::1],float32[:,:,::1],float32,int64,int64,int64,float32[:,::1])")
def mean_rows(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    scale: float,
    first: int,
    last: int,
    start: int,
    out: NDArray[np.float32],
) -> None:
    """Rows of the mean of the heads `first` to before `last`: softmax(q·kᵀ·scale), causal.

    Parameters
    ----------
    queries, keys : ndarray
        (H, C, d_h) and (H_kv, C', d_h), with room behind what there is of them.
    start : int
        The query of the first row.
    out : ndarray
        (t, S), S ≥ start + t: every number of it is written.
    """
    group, width = len(queries) // len(keys), queries.shape[2]
    stop, by_heads = start + len(out), np.float32(1 / (last - first))
    own = np.empty((group * ROWS, width), np.float32)
    room = np.empty(group * ROWS * stop, np.float32)
    lanes = np.empty(_LANES, np.float32)
    for low in range(start, stop, ROWS):
        high = min(low + ROWS, stop)
        count = high - low
        for part in range(first // group, (last - 1) // group + 1):
            begin, end = max(first, part * group), min(last, (part + 1) * group)
            rows = (end - begin) * count
            for head in range(begin, end):
                for i in range(count):
                    mine = own[(head - begin) * count + i]
                    for j in range(width):
                        mine[j] = queries[head, low + i, j] * scale
            scores = room[: rows * high].reshape(rows, high)
            np.dot(own[:rows], keys[part, :high].T, scores)
            for head in range(begin, end):
                for i in range(count):
                    seen = low + i + 1
                    row = scores[(head - begin) * count + i, :seen]
                    _exponentials(row, _largest(row, lanes))
                    total = np.float32(0)
                    for s in range(seen):
                        total += row[s]
                    by, found = by_heads / total, out[low - start + i]
                    if head == first:
                        for s in range(seen):
                            found[s] = row[s] * by
                        found[seen:] = 0
                    else:
                        for s in range(seen):
                            found[s] += row[s] * by
