"""Weights that were stored in four or eight bits, multiplied as such.

A model out of a quantised file (GGUF's Q4_0, Q4_1, Q4_K, Q8_0) has weights of few values: in each
block of 32 they are ``scale · code + low`` with a code of four or eight bits. A step of one token
does nothing but read every weight once, and reads the codes in a sixth of the time. That is no
further rounding: codes are only made of weights they give back, and weights that are not of that
kind are left as they are. They are held beside the weights, which longer texts go through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.models.kernels import BLOCK, TILE, encode4, encode8, product8
from engine.models.pairs import product4

Rows = NDArray[np.float32]

CLOSE = 2.0**-21
"""By so much of a block's largest weight a code's may differ: the rounding of float32."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A weight (O, I) in codes: see `product4` and `product8`.

    `lows` is None for codes of eight bits, which are symmetric.
    """

    outputs: int
    codes: NDArray[Any]
    scales: Rows
    lows: Rows | None

    def __call__(self, rows: Rows) -> Rows:
        """(n, I) → (n, O)."""
        out = np.empty((len(rows), len(self.codes) * TILE), np.float32)
        if self.lows is None:
            product8(rows, self.codes, self.scales, out)
        else:
            product4(rows, self.codes, self.scales, self.lows, out)
        return out if out.shape[1] == self.outputs else out[:, : self.outputs].copy()

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        lows = 0 if self.lows is None else self.lows.nbytes
        return self.codes.nbytes + self.scales.nbytes + lows


def coded(weight: Tensor) -> Coded | None:
    """The codes of a float32 weight (O, I) on the CPU, or None where there are none."""
    outputs, inputs = weight.shape
    if inputs % BLOCK:
        return None
    values = weight.detach().numpy()
    tiles, blocks = -(-outputs // TILE), inputs // BLOCK
    shape = tiles, blocks, TILE
    scales, lows = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    words = np.zeros((tiles, blocks, BLOCK // 8, TILE), np.uint32)
    if encode4(values, CLOSE, words, scales, lows):
        return Coded(outputs, words, scales, lows)
    codes = np.zeros((tiles, blocks, BLOCK, TILE), np.int8)
    if encode8(values, CLOSE, codes, scales):
        return Coded(outputs, codes, scales, None)
    return None
