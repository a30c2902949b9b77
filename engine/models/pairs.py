"""Rows times weights of four bits, by the instruction that multiplies bytes and adds up pairs.

To turn each code into a float costs as much as to multiply it. AVX2 multiplies 32 unsigned bytes by
32 signed ones in one instruction, which also adds neighbours. So codes are left as they are, and
the rows become bytes: a block of 32 inputs is written in steps, two to four million to its largest,
each number as three digits. Eight outputs at a time, of four inputs each, are multiplied by a
digit, and its sums of half a block are exact in sixteen bits: 16 · 15 · 128 < 2¹⁵.

Machines without AVX2 have the loops of `kernels`, which read the same codes.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

from engine.models import kernels
from engine.models.kernels import AHEAD, BLOCK, OF_FOUR_BITS, TILE, compiled, fetch

PLACES = 1, 1 << 8, 1 << 15
"""What the digits of a number are multiples of: there are signed ones of 8, 7 and 8 bits."""

STEPS = 127 * PLACES[2]
"""From 0 to more than the largest of a block; times 15 · 32 still a number of 32 bits."""

SMALL, LARGE = 2.0**-90, 2.0**90
"""Between these, a block's steps and what is made of them are floats of full precision."""

_DIGITS = len(PLACES)
_SMALL, _LARGE = (np.float32(size).view(np.int32) for size in (SMALL, LARGE))
_LANES = 8
_GROUPS = 2  # of as many outputs: the sums of their digits, and what these are of, fill registers
_AT_ONCE = _GROUPS * _LANES

_int, _long = ir.IntType(32), ir.IntType(64)
_bytes, _shorts = (ir.VectorType(ir.IntType(bits), 256 // bits) for bits in (8, 16))
_ints, _floats = (ir.VectorType(kind, _LANES) for kind in (_int, ir.FloatType()))
_FUSED = ("contract",)


def _has_avx2() -> bool:
    """Whether the machine that numba compiles for has it."""
    _triple, _name, features = cpu_target.target_context.codegen().magic_tuple()
    return "+avx2" in features.split(",")


def _place(builder: Any, kind: Any, address: Any, offset: int) -> Any:
    """A pointer to `offset` bytes behind an address."""
    return builder.inttoptr(builder.add(address, _long(offset)), kind.as_pointer())


def _load(builder: Any, kind: Any, address: Any, offset: int) -> Any:
    return builder.load(_place(builder, kind, address, offset), align=1)


def _spread(builder: Any, kind: Any, number: Any) -> Any:
    """A vector of a number in each lane."""
    empty = ir.Constant(kind, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(_int, kind.count), None)
    return builder.shuffle_vector(builder.insert_element(empty, number, _int(0)), empty, lanes)


def _sums(builder: Any, codes: Any, digits: Any) -> list[list[Any]]:
    """Of each eight outputs, for each digit: Σ code · digit over a block, in two halves each."""
    multiply = builder.module.declare_intrinsic(
        "llvm.x86.avx2.pmadd.ub.sw", (), ir.FunctionType(_shorts, [_bytes, _bytes])
    )
    low_bits, four = ir.Constant(_bytes, [15] * 32), ir.Constant(_ints, [4] * _LANES)
    sums: list[list[Any]] = [[ir.Constant(_shorts, None)] * _DIGITS for _ in range(_GROUPS)]
    for eight in range(BLOCK // 8):
        halves = []
        for group in range(_GROUPS):
            words = _load(builder, _ints, codes, 4 * (eight * TILE + group * _LANES))
            parts = words, builder.lshr(words, four)
            halves.append([builder.and_(builder.bitcast(p, _bytes), low_bits) for p in parts])
        for digit in range(_DIGITS):
            for half in range(2):
                four_digits = _load(builder, _int, digits, digit * BLOCK + 8 * eight + 4 * half)
                by = builder.bitcast(_spread(builder, _ints, four_digits), _bytes)
                for group in range(_GROUPS):
                    more = builder.call(multiply, [halves[group][half], by])
                    sums[group][digit] = builder.add(sums[group][digit], more)
    return sums


def _joined(builder: Any, sums: list[Any]) -> Any:
    """Of eight outputs: the number that the sums of the digits, in halves, are of."""
    multiply = builder.module.declare_intrinsic(
        "llvm.x86.avx2.pmadd.wd", (), ir.FunctionType(_ints, [_shorts, _shorts])
    )
    # 2¹⁵ is no signed number of sixteen bits, but -2¹⁵ is.
    low, middle, high = (
        builder.call(multiply, [sum_, ir.Constant(_shorts, [by] * 16)])
        for sum_, by in zip(sums, (*PLACES[:2], -PLACES[2]), strict=True)
    )
    return builder.sub(builder.add(low, middle), high)


def _block_adder(
    _context: Any,
    out: Any,
    codes: Any,
    scales: Any,
    lows: Any,
    digits: Any,
    step: Any,
    total: Any,
) -> Any:
    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        out, codes, scales, lows, digits, step, total = arguments
        step, total = _spread(builder, _floats, step), _spread(builder, _floats, total)
        for group, sums in enumerate(_sums(builder, codes, digits)):
            at = 4 * group * _LANES
            part = builder.fmul(builder.sitofp(_joined(builder, sums), _floats), step)
            value = _load(builder, _floats, out, at)
            for factors, by in (scales, part), (lows, total):
                more = builder.fmul(_load(builder, _floats, factors, at), by, flags=_FUSED)
                value = builder.fadd(value, more, flags=_FUSED)
            builder.store(value, _place(builder, _floats, out, at), align=1)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5, types.float32, types.float32), code


_add_block: Any = intrinsic(_block_adder)
"""Add to sixteen outputs what a block gives: scale · step · Σ code · digits + low · total.

All but the last two are addresses.
"""


def _digit_writer(_context: Any, row: Any, by: Any, digits: Any) -> Any:
    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        row, by, digits = arguments
        many, whole, short = (
            ir.VectorType(kind, BLOCK) for kind in (ir.FloatType(), _int, ir.IntType(8))
        )
        rounded = builder.module.declare_intrinsic(
            f"llvm.rint.v{BLOCK}f32", (), ir.FunctionType(many, [many])
        )
        scaled = builder.fmul(_load(builder, many, row, 0), _spread(builder, many, by))
        numbers = builder.fptosi(builder.call(rounded, [scaled]), whole)
        # With half of the next place more in each but the last, the digits are its bits less that.
        halves = [(after // place) // 2 for place, after in pairwise(PLACES)]
        more = sum(half * place for half, place in zip(halves, PLACES, strict=False))
        numbers = builder.add(numbers, ir.Constant(whole, [more] * BLOCK))
        for index, (place, half) in enumerate(zip(PLACES, (*halves, 0), strict=True)):
            shift = ir.Constant(whole, [place.bit_length() - 1] * BLOCK)
            digit = builder.ashr(numbers, shift)
            if half:
                digit = builder.and_(digit, ir.Constant(whole, [2 * half - 1] * BLOCK))
                digit = builder.sub(digit, ir.Constant(whole, [half] * BLOCK))
            place_of = _place(builder, short, digits, index * BLOCK)
            builder.store(builder.trunc(digit, short), place_of, align=1)
        return context.get_dummy_value()

    return types.void(types.intp, types.float32, types.intp), code


_write_digits: Any = intrinsic(_digit_writer)
"""Write 32 numbers times another, rounded, in digits. The first and the last are addresses."""


@compiled("boolean(float32[::1],int8[:,:,::1],float32[::1],float32[::1])")
def in_digits(
    row: NDArray[np.float32],
    digits: NDArray[np.int8],
    steps: NDArray[np.float32],
    sums: NDArray[np.float32],
) -> bool:
    """Write a row in digits: ``step · Σ_k PLACES[k] · digit_k``, which is off by up to half a step.

    Parameters
    ----------
    row : ndarray
        (32·B,).
    digits : ndarray
        (B, 3, 32), which takes them.
    steps, sums : ndarray
        (B,), which take the steps and the sums of the blocks. A step is the least power of two of
        which the block's largest number is less than `STEPS`, and 0 where that is 0.

    Returns
    -------
    bool
        False, and what is written is of no use, where a block's largest is not 0, nor between
        `SMALL` and `LARGE`, nor a number.
    """
    bits = row.view(np.int32)
    for b in range(len(steps)):
        first = b * BLOCK
        most, total = np.int32(0), np.float32(0)
        for j in range(BLOCK):
            # Bits without the sign are in the order of sizes, and what is no number is largest.
            most = np.int32(max(most, bits[first + j] & np.int32(0x7FFFFFFF)))
            total += row[first + j]
        if most != 0 and not _SMALL < most < _LARGE:
            return False
        large = np.float64(np.int32(most).view(np.float32))
        _mantissa, exponent = math.frexp(large / STEPS)
        steps[b], sums[b] = math.ldexp(1.0, exponent) if most else 0.0, total
        by = np.float32(math.ldexp(1.0, -exponent)) if most else np.float32(0)
        _write_digits(row[first:].ctypes.data, by, digits[b].ctypes.data)
    return True


_by_floats = kernels.product4


def _by_pairs(
    rows: NDArray[np.float32],
    codes: NDArray[np.uint32],
    scales: NDArray[np.float32],
    lows: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Do what `kernels.product4` does, in six tenths of the time.

    A number of a row is off by up to a four millionth of the largest of its block, and half of that
    as a rule, however small the number: as in a sum of floats, where the largest term decides how
    the others are rounded. Rows that `in_digits` doesn't take go through the other loops.
    """
    tiles, blocks = codes.shape[:2]
    count = len(rows)
    digits = np.empty((count, blocks, _DIGITS, BLOCK), np.int8)
    steps, sums = np.empty((count, blocks), np.float32), np.empty((count, blocks), np.float32)
    fits = np.empty(count, np.bool_)
    for n in range(count):
        fits[n] = in_digits(rows[n], digits[n], steps[n], sums[n])
        if not fits[n]:
            _by_floats(rows[n : n + 1], codes, scales, lows, out[n : n + 1])
    for t in range(tiles):
        for n in range(count):
            if not fits[n]:
                continue
            found = out[n, t * TILE : (t + 1) * TILE]
            for o in range(TILE):
                found[o] = 0
            for b in range(blocks):
                fetch(scales[t, b].ctypes.data, AHEAD * TILE * 4)
                fetch(lows[t, b].ctypes.data, AHEAD * TILE * 4)
                for o in range(0, TILE, _AT_ONCE):
                    fetch(codes[t, b, o // _AT_ONCE].ctypes.data, AHEAD * TILE * BLOCK // 2)
                    _add_block(
                        found[o:].ctypes.data,
                        codes[t, b, 0, o:].ctypes.data,
                        scales[t, b, o:].ctypes.data,
                        lows[t, b, o:].ctypes.data,
                        digits[n, b].ctypes.data,
                        steps[n, b],
                        sums[n, b],
                    )


product4 = compiled(OF_FOUR_BITS)(_by_pairs) if _has_avx2() else _by_floats
"""Rows times weights of four bits, as quickly as this machine can: see `kernels.product4`."""
