"""All blocks of a step in one compiled call, where every weight has its codes.

Called one by one, the loops of a step (`kernels`) take the interpreter two hundred times, and each
time wait for whoever has it: the window, which draws meanwhile. In one call they need it once, and
may run beside the answers to what is asked of the layers that are through already.

Weights, caches and states are too many and too changing to be arguments: what is given is where
they lie in memory. Who calls holds on to them until the call returns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import carray  # type: ignore[attr-defined]
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from engine.models.compiling import compiled
from engine.models.kernels import (
    BLOCK,
    TILE,
    attend,
    gated,
    norm,
    product8,
)
from engine.models.pairs import product4

QUERY_KEY_VALUE, OUTPUT, GATE_UP, DOWN = range(4)
"""The products of a block, in order."""

BITS, TILES, BLOCKS, CODES, SCALES, LOWS, BIAS = range(7)
"""What is said of a product: bits of a code, (O/64, I/32), and where its parts lie (0: nowhere)."""

STATES, QUERIES, QUERY_ROOM, KEYS, KEY_ROOM, VALUES, VALUE_ROOM = range(7)
"""Where a block's rows are written: the first new row of its states, and whole caches."""

BEFORE, BEHIND, OF_QUERY, OF_KEY = range(4)
"""The norms of a block."""


def _pointer(kind: Any) -> Any:
    """From an address to what numba makes an array of."""

    @intrinsic
    def pointer(_context: Any, address: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            to = context.get_value_type(signature.return_type)
            assert isinstance(to, ir.PointerType)
            return builder.inttoptr(arguments[0], to)

        return types.CPointer(kind)(address), code  # type: ignore[no-untyped-call]

    return pointer


_floats, _words, _signed = (_pointer(kind) for kind in (types.float32, types.uint32, types.int8))


@compiled("void(float32[:,::1],int64[::1],float32[:,::1])")
def _product(
    rows: NDArray[np.float32], weight: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    """Rows (n, I) times a weight, into (n, O)."""
    tiles, blocks = weight[TILES], weight[BLOCKS]
    scales = carray(_floats(weight[SCALES]), (tiles, blocks, TILE))
    if weight[BITS] == 4:
        lows = carray(_floats(weight[LOWS]), (tiles, blocks, TILE))
        codes = carray(_words(weight[CODES]), (tiles, blocks, BLOCK // 8, TILE))
        product4(rows, codes, scales, lows, out)
    else:
        wide = carray(_signed(weight[CODES]), (tiles, blocks, BLOCK, TILE))
        product8(rows, wide, scales, out)
    if weight[BIAS]:
        bias = carray(_floats(weight[BIAS]), (out.shape[1],))
        for i in range(len(out)):
            for j in range(out.shape[1]):
                out[i, j] += bias[j]


@compiled(
    "void(float32[:,::1],int64[:,:,::1],int64[:,::1],float32[:,::1],float32[::1],int64[:,::1],"
    "float32[:,::1],float32[:,::1],int64,int64,int64,float32[:,:,:,::1],int64,int64)"
)
def run_blocks(
    x: NDArray[np.float32],
    products: NDArray[np.int64],
    norms: NDArray[np.int64],
    epsilons: NDArray[np.float32],
    scales: NDArray[np.float32],
    places: NDArray[np.int64],
    cos: NDArray[np.float32],
    sin: NDArray[np.float32],
    start: int,
    many: int,
    few: int,
    shares: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Run rows through blocks `first` to `last`, and note what they leave.

    Parameters
    ----------
    x : ndarray
        (n, D) the residual stream before block `first`; after the call that before `last`.
    products : ndarray
        (L, 4, 7): of each block's products what `BITS` and the following name.
    norms, epsilons : ndarray
        (L, 4): where the weights of its norms lie, 0 where it has none of the kind.
    scales : ndarray
        (L,) that scores are multiplied by.
    places : ndarray
        (L, 7): what `STATES` and the following name.
    cos, sin : ndarray
        (n, d_h) of the rows' positions.
    start : int
        How many rows there are already.
    many, few : int
        H and H_kv.
    shares : ndarray
        (L, n, H, start + n), which takes the rows' attention.
    """
    count, width = x.shape
    head = cos.shape[1]
    heads = np.empty((count, (many + 2 * few) * head), np.float32)
    mixed = np.empty((count, many * head), np.float32)
    both = np.empty((count, products[0, GATE_UP, TILES] * TILE), np.float32)
    inner = np.empty((count, both.shape[1] // 2), np.float32)
    normed, more = np.empty_like(x), np.empty_like(x)
    for depth in range(first, last):
        place, weights = places[depth], products[depth]
        carray(_floats(place[STATES]), (count, width))[:] = x
        before = carray(_floats(norms[depth, BEFORE]), (width,))
        norm(x, before, epsilons[depth, BEFORE], normed)
        _product(normed, weights[QUERY_KEY_VALUE], heads)
        if norms[depth, OF_QUERY]:
            of_query = carray(_floats(norms[depth, OF_QUERY]), (head,))
            of_key = carray(_floats(norms[depth, OF_KEY]), (head,))
            for i in range(count):
                parts = heads[i].reshape(many + 2 * few, head)
                queries, keys = parts[:many], parts[many : many + few]
                norm(queries, of_query, epsilons[depth, OF_QUERY], queries)
                norm(keys, of_key, epsilons[depth, OF_KEY], keys)
        attend(
            heads,
            cos,
            sin,
            start,
            scales[depth],
            carray(_floats(place[QUERIES]), (many, place[QUERY_ROOM], head)),
            carray(_floats(place[KEYS]), (few, place[KEY_ROOM], head)),
            carray(_floats(place[VALUES]), (few, place[VALUE_ROOM], head)),
            shares[depth],
            mixed,
        )
        _product(mixed, weights[OUTPUT], more)
        x += more
        behind = carray(_floats(norms[depth, BEHIND]), (width,))
        norm(x, behind, epsilons[depth, BEHIND], normed)
        _product(normed, weights[GATE_UP], both)
        gated(both, inner)
        _product(inner, weights[DOWN], more)
        x += more
    if last < len(places):  # as it is asked for while the others run
        carray(_floats(places[last, STATES]), (count, width))[:] = x
