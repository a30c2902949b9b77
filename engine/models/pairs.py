"""Rows times weights of four bits, by the instruction that multiplies bytes and adds up pairs.

To turn each code into a float costs as much as to multiply it. AVX2 multiplies 32 unsigned bytes by
32 signed ones in one instruction, which also adds neighbours. So codes are left as they are, and
the rows become bytes: a block of 32 inputs is written in steps, four to eight million of them to
its largest, and each number as three digits. Eight outputs at a time, of four inputs each, are
multiplied by a digit. Its sums over half a block are exact in sixteen bits, 16 · 15 · 128 < 2¹⁵.

Machines without AVX2 have the loops of `kernels`, which read the same codes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

from engine.models import kernels
from engine.models.compiling import compiled
from engine.models.kernels import AHEAD, BLOCK, OF_FOUR_BITS, TILE, fetch

PLACES = 1, 1 << 8, 1 << 16
"""What a number's digits are multiples of: signed bytes, the lowest first."""

MIDDLE = 8
"""Of the codes. What it gives is taken off the sums and added as a float: so the sums fit into 32
bits, and rounding a row counts by half as much."""

STEPS = 127 * PLACES[2]
"""From 0 to more than the largest of a block; times 32 · `MIDDLE` still a number of 32 bits."""

LEAST = -126
"""The power of two of the smallest step: smaller floats have fewer bits."""

_DIGITS = len(PLACES)
_INFINITE = np.float32(np.inf).view(np.int32)
_LANES = 8
_GROUPS = 2  # of as many outputs: the sums of their digits, and what these are of, fill registers
_AT_ONCE = _GROUPS * _LANES

_int, _long, _float = ir.IntType(32), ir.IntType(64), ir.FloatType()
_bytes, _shorts = (ir.VectorType(ir.IntType(bits), 256 // bits) for bits in (8, 16))
_ints, _floats = (ir.VectorType(kind, _LANES) for kind in (_int, _float))
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


def _joined(builder: Any, sums: list[Any], middle: Any) -> Any:
    """Of eight outputs: the number that the sums of the digits, in halves, are of, less another."""
    multiply = builder.module.declare_intrinsic(
        "llvm.x86.avx2.pmadd.wd", (), ir.FunctionType(_ints, [_shorts, _shorts])
    )
    # 2¹⁶ is no number of sixteen bits, but half of its negative is.
    low, high, highest = (
        builder.call(multiply, [sum_, ir.Constant(_shorts, [by] * 16)])
        for sum_, by in zip(sums, (*PLACES[:2], -PLACES[2] // 2), strict=True)
    )
    found = builder.add(builder.sub(low, middle), high)  # whose upper bits come and go
    return builder.sub(builder.sub(found, highest), highest)


def _block_adder(
    _context: Any,
    out: Any,
    codes: Any,
    scales: Any,
    lows: Any,
    digits: Any,
    middle: Any,
    step: Any,
    total: Any,
) -> Any:
    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        out, codes, scales, lows, digits, middle, *numbers = arguments
        middle = _spread(builder, _ints, middle)
        step, total = (_spread(builder, _floats, number) for number in numbers)
        center = builder.fmul(total, ir.Constant(_floats, [float(MIDDLE)] * _LANES))
        for group, sums in enumerate(_sums(builder, codes, digits)):
            at = 4 * group * _LANES
            part = builder.fmul(
                builder.sitofp(_joined(builder, sums, middle), _floats), step, flags=_FUSED
            )
            part = builder.fadd(part, center, flags=_FUSED)
            value = _load(builder, _floats, out, at)
            for factors, by in (scales, part), (lows, total):
                more = builder.fmul(_load(builder, _floats, factors, at), by, flags=_FUSED)
                value = builder.fadd(value, more, flags=_FUSED)
            builder.store(value, _place(builder, _floats, out, at), align=1)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5, types.int32, *[types.float32] * 2), code


_add_block: Any = intrinsic(_block_adder)
"""Add to sixteen outputs what a block gives: scale · Σ code · row + low · total.

The sum is ``step · (Σ code · digits - middle) + MIDDLE · total``. All but these are addresses.
"""


def _digit_writer(_context: Any, row: Any, by: Any, digits: Any) -> Any:
    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        row, by, digits = arguments
        many, whole, byte = (ir.VectorType(kind, BLOCK) for kind in (_float, _int, ir.IntType(8)))
        rint = builder.module.declare_intrinsic(
            f"llvm.rint.v{BLOCK}f32", (), ir.FunctionType(many, [many])
        )
        add_up = builder.module.declare_intrinsic(
            f"llvm.vector.reduce.add.v{BLOCK}i32", (), ir.FunctionType(_int, [whole])
        )
        scaled = builder.fmul(_load(builder, many, row, 0), _spread(builder, many, by))
        rounded = builder.fptosi(builder.call(rint, [scaled]), whole)
        carry, eight = (ir.Constant(whole, [number] * BLOCK) for number in (128, 8))
        number = rounded
        for index in range(len(PLACES)):
            place = _place(builder, byte, digits, index * BLOCK)
            builder.store(builder.trunc(number, byte), place, align=1)
            number = builder.ashr(builder.add(number, carry), eight)
        return builder.call(add_up, [rounded])

    return types.int32(types.intp, types.float32, types.intp), code


_write_digits: Any = intrinsic(_digit_writer)
"""Write 32 numbers times another, rounded, in digits; and find the sum of that.

The first and the last are addresses.
"""


@compiled("void(float32[::1],int8[:,:,::1],int32[::1],float32[:,::1])")
def in_digits(
    row: NDArray[np.float32],
    digits: NDArray[np.int8],
    wholes: NDArray[np.int32],
    of_blocks: NDArray[np.float32],
) -> None:
    """Write a row in digits: ``step · Σ_k PLACES[k] · digit_k``, which is off by up to half a step.

    Parameters
    ----------
    row : ndarray
        (32·B,).
    digits : ndarray
        (B, 3, 32), which takes them: zeros in blocks where something is no number.
    wholes : ndarray
        (B,), which takes the sums of the blocks, in steps and times `MIDDLE`.
    of_blocks : ndarray
        (2, B), which takes the steps of the blocks and the sums of their numbers. A step is the
        least power of two, from that of `LEAST` on, of which the largest number is less than
        `STEPS`.
    """
    bits = row.view(np.int32)
    steps, sums = of_blocks
    for b in range(len(steps)):
        first = b * BLOCK
        most, total = np.int32(0), np.float32(0)
        for j in range(BLOCK):
            # Bits without the sign are in the order of sizes, and what is no number is largest.
            most = np.int32(max(most, bits[first + j] & np.int32(0x7FFFFFFF)))
            total += row[first + j]
        sums[b] = total
        if most < _INFINITE:
            large = np.float64(np.int32(most).view(np.float32))
            _mantissa, exponent = math.frexp(large / STEPS)
            exponent = max(exponent, LEAST)
            steps[b] = math.ldexp(1.0, exponent)
            by = np.float32(math.ldexp(1.0, -exponent))
            wholes[b] = MIDDLE * _write_digits(row[first:].ctypes.data, by, digits[b].ctypes.data)
        else:
            digits[b], wholes[b], steps[b] = 0, 0, 0


def _by_pairs(
    rows: NDArray[np.float32],
    codes: NDArray[np.uint32],
    scales: NDArray[np.float32],
    lows: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Do what `kernels.product4` does, in six tenths of the time.

    A number of a row is off by up to an eight millionth of the largest of its block, however small
    the number: as in a sum of floats, where the largest term decides how the others are rounded.
    Where something is no number, neither is the sum of its block, and so is nothing in the row.
    """
    tiles, blocks = codes.shape[:2]
    count = len(rows)
    digits = np.empty((count, blocks, _DIGITS, BLOCK), np.int8)
    wholes = np.empty((count, blocks), np.int32)
    of_blocks = np.empty((count, 2, blocks), np.float32)
    for n in range(count):
        in_digits(rows[n], digits[n], wholes[n], of_blocks[n])
    for t in range(tiles):
        for n in range(count):
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
                        wholes[n, b],
                        of_blocks[n, 0, b],
                        of_blocks[n, 1, b],
                    )


product4 = compiled(OF_FOUR_BITS)(_by_pairs) if _has_avx2() else kernels.product4
"""Rows times weights of four bits, as quickly as this machine can: see `kernels.product4`."""
