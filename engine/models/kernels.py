"""The loops of a keystroke's step, compiled by numba.

A step of one token is a few thousand operations on a few hundred numbers, each of which costs more
to call than to compute, and the reading of every weight once. Here the same is a dozen loops. None
of them needs more than one core: reading weights is bound by memory, and the other core is the
window's. They let go of the interpreter while they run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from engine.models.compiling import compiled

TILE = 64
"""Outputs that lie together in coded weights: what they are summed up in stays in the registers
and the nearest cache."""

BLOCK = 32
"""Inputs that share a scale, as in the files they come from."""

AHEAD = 8
"""Blocks by which codes are fetched before their use: what processors fetch by themselves waits at
each page. More, or half as many, were as quick."""

OF_FOUR_BITS = (
    "void(float32[:,::1],uint32[:,:,:,::1],float32[:,:,::1],float32[:,:,::1],float32[:,::1])"
)
"""The signature of `product4`."""


def _fetch(_context: Any, address: Any, offset: Any) -> Any:
    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        ahead = builder.module.declare_intrinsic("llvm.prefetch", (byte,), kind)
        start = builder.add(*arguments)
        for line in range(0, 256, 64):
            place = builder.inttoptr(builder.add(start, start.type(line)), byte)
            builder.call(ahead, [place, number(0), number(3), number(1)])  # to read, and soon
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), code


fetch: Any = intrinsic(_fetch)
"""Have 256 bytes from so many behind an address fetched; these need not be there."""


@compiled("void(float32[:,::1],float32[::1],float32,float32[:,::1])")
def norm(
    rows: NDArray[np.float32],
    weight: NDArray[np.float32],
    epsilon: float,
    out: NDArray[np.float32],
) -> None:
    """Root-mean-square norm (Zhang & Sennrich 2019, 1910.07467): x / √(mean x² + ε) · w.

    `rows` and `out` are (n, D), `weight` (D,).
    """
    count, width = rows.shape
    for i in range(count):
        total = 0.0
        for j in range(width):
            total += np.float64(rows[i, j]) * rows[i, j]
        by = np.float32(1 / np.sqrt(total / width + epsilon))
        for j in range(width):
            out[i, j] = rows[i, j] * by * weight[j]


@compiled("void(float32[:,::1],float32[:,::1])")
def gated(both: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """SwiGLU (Shazeer 2020, 2002.05202): of gate and up (n, 2·I), silu(gate) · up into (n, I)."""
    count, width = out.shape
    for i in range(count):
        for j in range(width):
            gate = both[i, j]
            out[i, j] = gate / (np.float32(1) + np.exp(-gate)) * both[i, width + j]


@compiled(OF_FOUR_BITS)
def product4(
    rows: NDArray[np.float32],
    codes: NDArray[np.uint32],
    scales: NDArray[np.float32],
    lows: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Rows times weights of four bits: ``out[n, o] = Σ_i rows[n, i] · (scale · code + low)``.

    Parameters
    ----------
    rows : ndarray
        (n, 32·B).
    codes : ndarray
        (O/64, B, 4, 64): of eight inputs from 8j on in a block: in the low four bits of the bytes
        those of the first four of them, in the high ones those of the others.
    scales, lows : ndarray
        (O/64, B, 64).
    out : ndarray
        (n, O).
    """
    tiles, blocks = codes.shape[:2]
    part = np.empty(TILE, np.float32)
    sums = np.empty((len(rows), blocks), np.float32)
    for n in range(len(rows)):
        for b in range(blocks):
            total = np.float32(0)
            for j in range(BLOCK):
                total += rows[n, b * BLOCK + j]
            sums[n, b] = total
    for t in range(tiles):
        for n in range(len(rows)):
            row, found = rows[n], out[n, t * TILE : (t + 1) * TILE]
            for o in range(TILE):
                found[o] = 0
            for b in range(blocks):
                for o in range(TILE):
                    part[o] = 0
                for j in range(BLOCK // 8):
                    # All but the last bits are left where they are: so many times too large.
                    at = b * BLOCK + 8 * j
                    x0, x1 = row[at], row[at + 1] * np.float32(2**-8)
                    x2, x3 = row[at + 2] * np.float32(2**-16), row[at + 3] * np.float32(2**-24)
                    x4, x5 = row[at + 4] * np.float32(2**-4), row[at + 5] * np.float32(2**-12)
                    x6, x7 = row[at + 6] * np.float32(2**-20), row[at + 7]
                    for o in range(TILE):
                        word = codes[t, b, j, o]
                        part[o] += (
                            x0 * np.float32(np.int32(word & np.uint32(0x0000000F)))
                            + x1 * np.float32(np.int32(word & np.uint32(0x00000F00)))
                            + x2 * np.float32(np.int32(word & np.uint32(0x000F0000)))
                            + x3 * np.float32(np.int32(word & np.uint32(0x0F000000)))
                            + x4 * np.float32(np.int32(word & np.uint32(0x000000F0)))
                            + x5 * np.float32(np.int32(word & np.uint32(0x0000F000)))
                            + x6 * np.float32(np.int32(word & np.uint32(0x00F00000)))
                            + x7 * np.float32(np.int32(word >> np.uint32(28)))
                        )
                for o in range(TILE):
                    found[o] += scales[t, b, o] * part[o] + lows[t, b, o] * sums[n, b]


@compiled("void(float32[:,::1],int8[:,:,:,::1],float32[:,:,::1],float32[:,::1])")
def product8(
    rows: NDArray[np.float32],
    codes: NDArray[np.int8],
    scales: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Rows times weights of eight bits: ``out[n, o] = Σ_i rows[n, i] · scale · code``.

    `codes` are (O/64, B, 32, 64); the rest is as in `product4`.
    """
    tiles, blocks = codes.shape[:2]
    part = np.empty(TILE, np.float32)
    for t in range(tiles):
        for n in range(len(rows)):
            row, found = rows[n], out[n, t * TILE : (t + 1) * TILE]
            for o in range(TILE):
                found[o] = 0
            for b in range(blocks):
                for o in range(TILE):
                    part[o] = 0
                fetch(scales[t, b].ctypes.data, AHEAD * TILE * 4)
                for j in range(0, BLOCK, 4):
                    fetch(codes[t, b, j].ctypes.data, AHEAD * BLOCK * TILE)
                    at = b * BLOCK + j
                    x0, x1, x2, x3 = row[at], row[at + 1], row[at + 2], row[at + 3]
                    for o in range(TILE):
                        part[o] += (
                            x0 * np.float32(np.int32(codes[t, b, j, o]))
                            + x1 * np.float32(np.int32(codes[t, b, j + 1, o]))
                            + x2 * np.float32(np.int32(codes[t, b, j + 2, o]))
                            + x3 * np.float32(np.int32(codes[t, b, j + 3, o]))
                        )
                for o in range(TILE):
                    found[o] += scales[t, b, o] * part[o]


@compiled("void(float32[::1],float32[::1],float32[::1],float32[::1])")
def _turn(
    row: NDArray[np.float32],
    cos: NDArray[np.float32],
    sin: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Rotary embedding (Su et al. 2021, 2104.09864) of (d_h,), halves paired as Llama does."""
    half = len(row) // 2
    for j in range(half):
        out[j] = row[j] * cos[j] - row[half + j] * sin[j]
        out[half + j] = row[half + j] * cos[half + j] + row[j] * sin[half + j]


@compiled("void(float32[:,::1],float32[:,::1],float32,float32[:,::1])")
def _shares(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    scale: float,
    out: NDArray[np.float32],
) -> None:
    """softmax(q·kᵀ·scale) of queries (g, d_h) over keys (S, d_h), into (g, S)."""
    group, width = queries.shape
    count = len(keys)
    for s in range(count):
        for g in range(group):
            score = 0.0
            for j in range(width):
                score += np.float64(queries[g, j]) * keys[s, j]
            out[g, s] = score * scale
    for g in range(group):
        most = out[g, 0]
        for s in range(1, count):
            most = max(most, out[g, s])
        total = 0.0
        for s in range(count):
            share = np.exp(out[g, s] - most)
            out[g, s] = share
            total += share
        by = np.float32(1 / total)
        for s in range(count):
            out[g, s] *= by


@compiled("void(float32[:,::1],float32[:,::1],float64[::1])")
def _mix(
    shares: NDArray[np.float32], values: NDArray[np.float32], out: NDArray[np.float64]
) -> None:
    """Values (S, d_h) weighed by the first S of each row of shares (g, …), into (g·d_h,)."""
    group, (count, width) = len(shares), values.shape
    out[:] = 0
    # Four at a time: the sums are as many numbers as the values, and are read and written for each.
    whole = count // 4 * 4
    for s in range(0, whole, 4):
        for g in range(group):
            one, two = np.float64(shares[g, s]), np.float64(shares[g, s + 1])
            three, four = np.float64(shares[g, s + 2]), np.float64(shares[g, s + 3])
            at = g * width
            for j in range(width):
                out[at + j] += (
                    one * values[s, j]
                    + two * values[s + 1, j]
                    + three * values[s + 2, j]
                    + four * values[s + 3, j]
                )
    for s in range(whole, count):
        for g in range(group):
            for j in range(width):
                out[g * width + j] += np.float64(shares[g, s]) * values[s, j]


@compiled(
    "void(float32[:,::1],float32[:,::1],float32[:,::1],int64,float32,"
    "float32[:,:,::1],float32[:,:,::1],float32[:,:,::1],float32[:,:,::1],float32[:,::1])"
)
def attend(
    heads: NDArray[np.float32],
    cos: NDArray[np.float32],
    sin: NDArray[np.float32],
    start: int,
    scale: float,
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    values: NDArray[np.float32],
    shares: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Attention of new rows, each over those before it and itself, grouped keys included.

    Parameters
    ----------
    heads : ndarray
        (n, (H + 2·H_kv)·d_h): queries, keys and values as the projections give them.
    cos, sin : ndarray
        (n, d_h), of the rows' positions.
    start : int
        How many rows there are already.
    scale : float
        Scores are multiplied by it.
    queries, keys, values : ndarray
        (H, C, d_h), (H_kv, C', d_h) and (H_kv, C'', d_h), with room: rows `start` to `start` + n
        are written, queries and keys turned.
    shares : ndarray
        (n, H, start + n), of which each row's attention is written; the rest is zero.
    out : ndarray
        (n, H·d_h).
    """
    many, few, width = len(queries), len(keys), keys.shape[2]
    group = many // few
    own = np.empty((group, width), np.float32)
    mixed = np.empty(group * width)
    for i in range(len(heads)):
        row, at = heads[i], start + i
        for h in range(few):
            part = row[(many + h) * width : (many + h + 1) * width]
            _turn(part, cos[i], sin[i], keys[h, at])
            for j in range(width):
                values[h, at, j] = row[(many + few + h) * width + j]
            for g in range(group):
                head = h * group + g
                _turn(row[head * width : (head + 1) * width], cos[i], sin[i], own[g])
                for j in range(width):
                    queries[head, at, j] = own[g, j]
            mine = shares[i, h * group : (h + 1) * group]
            _shares(own, keys[h, : at + 1], scale, mine)
            mine[:, at + 1 :] = 0
            _mix(mine, values[h, : at + 1], mixed)
            for j in range(group * width):
                out[i, h * group * width + j] = mixed[j]


@compiled("void(float32[:,:,::1],float32[:,:,::1],float32,int64,int64,int64,float32[:,:,::1])")
def fold(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    scale: float,
    start: int,
    stop: int,
    block: int,
    maps: NDArray[np.float32],
) -> None:
    """Join rows `start` to `stop` of causal maps to the maxima of their blocks.

    Parameters
    ----------
    queries, keys : ndarray
        (H, C, d_h) and (H_kv, C', d_h), as `attend` leaves them.
    block : int
        Rows, and columns, of a block.
    maps : ndarray
        (H, ⌈stop/block⌉, ⌈stop/block⌉).
    """
    many, few, width = len(queries), len(keys), keys.shape[2]
    group = many // few
    shares = np.empty((group, stop), np.float32)
    own = np.empty((group, width), np.float32)
    for row in range(start, stop):
        for h in range(few):
            for g in range(group):
                for j in range(width):
                    own[g, j] = queries[h * group + g, row, j]
            _shares(own, keys[h, : row + 1], scale, shares)
            for g in range(group):
                cells = maps[h * group + g, row // block]
                for first in range(0, row + 1, block):
                    most = cells[first // block]
                    for s in range(first, min(first + block, row + 1)):
                        most = max(most, shares[g, s])
                    cells[first // block] = most


@compiled("boolean(float32[:,::1],float32,uint32[:,:,:,::1],float32[:,:,::1],float32[:,:,::1])")
def encode4(
    weight: NDArray[np.float32],
    close: float,
    codes: NDArray[np.uint32],
    scales: NDArray[np.float32],
    lows: NDArray[np.float32],
) -> bool:
    """Write a weight (O, I) as `product4` takes it; False where it is not of four bits.

    The values of a block that was stored in four bits lie at even steps. Not all sixteen need be
    there: so the way from the smallest to the largest is tried in fifteen steps, then in fewer.
    """
    outputs, inputs = weight.shape
    for o in range(outputs):
        tile, lane = o // TILE, o % TILE
        for b in range(inputs // BLOCK):
            part = weight[o, b * BLOCK : (b + 1) * BLOCK]
            low, high = part[0], part[0]
            for j in range(1, BLOCK):
                low, high = min(low, part[j]), max(high, part[j])
            limit = close * max(abs(low), abs(high))
            steps = 15
            while steps > 0:
                scale = (high - low) / np.float32(steps)
                by = np.float32(1) / scale if scale > 0 else np.float32(0)
                near = 0  # counted so that what is no number is not near
                for j in range(BLOCK):
                    code = np.float32(np.int32((part[j] - low) * by + np.float32(0.5)))
                    near += abs(code * scale + low - part[j]) <= limit
                if near == BLOCK:
                    break
                steps -= 1
            if steps == 0 or not limit < np.inf:
                return False
            scales[tile, b, lane], lows[tile, b, lane] = scale, low
            for j in range(BLOCK // 8):
                word = np.uint32(0)
                for k in range(8):
                    four_bits = np.uint32((part[8 * j + k] - low) * by + np.float32(0.5))
                    word |= four_bits << np.uint32(8 * (k % 4) + 4 * (k // 4))
                codes[tile, b, j, lane] = word
    return True


@compiled("boolean(float32[:,::1],float32,int8[:,:,:,::1],float32[:,:,::1])")
def encode8(
    weight: NDArray[np.float32],
    close: float,
    codes: NDArray[np.int8],
    scales: NDArray[np.float32],
) -> bool:
    """Write a weight (O, I) as `product8` takes it; False where it is not of eight bits."""
    outputs, inputs = weight.shape
    for o in range(outputs):
        tile, lane = o // TILE, o % TILE
        for b in range(inputs // BLOCK):
            part = weight[o, b * BLOCK : (b + 1) * BLOCK]
            most = np.float32(0)
            for j in range(BLOCK):
                most = max(most, abs(part[j]))
            if not most < np.inf:
                return False
            scale = most / np.float32(127)
            by = np.float32(1) / scale if scale > 0 else np.float32(0)
            near = 0
            for j in range(BLOCK):
                code = np.floor(part[j] * by + np.float32(0.5))
                near += abs(code * scale - part[j]) <= close * most
                codes[tile, b, j, lane] = np.int8(code)
            if near < BLOCK:
                return False
            scales[tile, b, lane] = scale
    return True
