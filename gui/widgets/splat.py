"""A cloud of dots in depth, drawn into an image: what is near lies over what is far.

A dot is one number of 16 bits, its depth above its shade, so that the nearest one in a pixel is
the largest number there: fifty thousand dots are put into the image once, and what a dot covers
beside its own pixel is the image moved by a pixel. No dot is left out, whatever their number.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

SHADES = 16
"""So many colours can be told apart."""

FAINT = 0.4
"""How much the farthest dot counts, beside the nearest."""

_STRONG = 6  # a strong dot counts as so many
_NEAREST = (1 << 12) - 1  # of the depths that are told apart
_PARTS = 8  # a dot's weight, and its part in a pixel, in eighths
_FULL = 24 * _PARTS  # a pixel that holds so much is as good as full


class Canvas:
    """An image to draw on again and again, in memory that is held.

    Most of the time of a frame would else go into memory that the system hands out anew.

    Parameters
    ----------
    width, height : int
        In device pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self._held = np.empty(0, np.float32)  # these have room round the image too
        self._front, self._cover = np.empty(0, np.uint16), np.empty(0, np.uint16)
        inner = (height, width)
        self._top, self._amount, self._of_part = (np.empty(inner, np.uint16) for _ in range(3))
        self._index = np.empty(inner, np.intp)

    def splat(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        depth: NDArray[np.float32],
        shades: NDArray[np.uint8],
        colours: NDArray[np.uint32],
        *,
        radius: float,
        opacity: float,
        strong: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.uint32]:
        """Draw dots; those that meet add up, and the nearest gives its colour.

        Parameters
        ----------
        x, y : (N,)
            Device pixels, across and down; what lies outside or is not finite is left out.
        depth : (N,)
            Towards the eye. Far dots are fainter.
        shades : (N,)
            Index `colours`.
        colours : (K,)
            ``0xRRGGBB``, at most `SHADES`.
        radius, opacity : float
            Of a near dot alone, in device pixels and 0..1.
        strong : (N,), optional
            Dots that are full and lie before all others.

        Returns
        -------
        (height, width)
            ``0xAARRGGBB``, premultiplied. It is the caller's.
        """
        width, height = self.size
        reach, kernel = _kernel(radius)
        wide, high = width + 2 * reach, height + 2 * reach
        with np.errstate(invalid="ignore", over="ignore"):
            x, y = x + np.float32(reach), y + np.float32(reach)
            seen = (x >= 0) & (x < wide) & (y >= 0) & (y < high) & np.isfinite(depth)
        if not seen.all():
            x, y, depth, shades = x[seen], y[seen], depth[seen], shades[seen]
            strong = None if strong is None else strong[seen]
        image = np.zeros((height, width), np.uint32)
        if not len(x):
            return image
        at = y.astype(np.intp) * wide + x.astype(np.intp)
        farthest, nearest = depth.min(), depth.max()
        share = (depth - farthest) / np.float32(float(nearest - farthest) or 1.0)
        counts = np.rint((FAINT + (1 - FAINT) * share) * _PARTS)
        level = (1 + share * (_NEAREST - 2)).astype(np.uint16)
        if strong is not None:
            level[strong], counts[strong] = _NEAREST, _STRONG * _PARTS
        packed = level * np.uint16(SHADES) + shades
        order = np.argsort(packed, kind="stable")
        held, front, cover = self._cleared(wide * high)
        front[at[order]] = packed[order]  # of several in one pixel the last stays
        np.add.at(held, at, counts)
        # Of large dots so many meet in a pixel that their sum would not fit into 16 bits.
        most = min(_FULL, 65535 // sum(part * len(places) for part, places in kernel))
        np.minimum(held, most, out=held)
        np.copyto(cover, held, casting="unsafe")
        front, cover = front.reshape(high, wide), cover.reshape(high, wide)
        top, amount, of_part = self._top, self._amount, self._of_part
        top.fill(0)
        amount.fill(0)
        for part, places in kernel:
            of_part.fill(0)
            for dx, dy in places:
                moved = (slice(reach - dy, high - reach - dy), slice(reach - dx, wide - reach - dx))
                np.maximum(top, front[moved], out=top)
                np.add(of_part, cover[moved], out=of_part)
            np.multiply(of_part, np.uint16(part), out=of_part)
            np.add(amount, of_part, out=amount)
        # Beyond the end of each table lies what is like its end.
        np.copyto(self._index, amount)
        _levels(opacity).take(self._index, mode="clip", out=amount)
        np.bitwise_and(top, np.uint16(SHADES - 1), out=top)
        np.left_shift(top, np.uint16(8), out=top)
        np.bitwise_or(top, amount, out=top)
        np.copyto(self._index, top)
        _premultiplied(colours).take(self._index, mode="clip", out=image)
        return image

    def _cleared(
        self, count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint16], NDArray[np.uint16]]:
        """What each of `count` pixels holds and the nearest dot in it, nothing yet; and room."""
        if len(self._held) < count:
            self._held = np.empty(count, np.float32)
            self._front, self._cover = np.empty(count, np.uint16), np.empty(count, np.uint16)
        held, front = self._held[:count], self._front[:count]
        held.fill(0)
        front.fill(0)
        return held, front, self._cover[:count]


@cache
def _kernel(radius: float) -> tuple[int, tuple[tuple[int, tuple[tuple[int, int], ...]], ...]]:
    """How far a dot reaches, and the pixels that it covers in part, by that part in eighths."""
    reach = math.ceil(radius)
    steps = range(-reach, reach + 1)
    found: dict[int, list[tuple[int, int]]] = {}
    for dx, dy in ((dx, dy) for dy in steps for dx in steps):
        part = round(_PARTS * min(1.0, radius + 0.5 - math.hypot(dx, dy)))
        if part > 0:
            found.setdefault(part, []).append((dx, dy))
    return reach, tuple((part, tuple(places)) for part, places in found.items())


@cache
def _levels(opacity: float) -> NDArray[np.uint16]:
    """Opacity in 255ths by how much a pixel holds, in eighths of eighths of a near dot."""
    amount = np.arange(_FULL * _PARTS + 1) / _PARTS**2
    return np.rint(255 * (1 - (1 - opacity) ** amount)).astype(np.uint16)


def _premultiplied(colours: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Each of K colours at each of 256 opacities, (K · 256,) of ``0xAARRGGBB``."""
    alpha = np.arange(256, dtype=np.uint32)
    made = np.broadcast_to(alpha << 24, (len(colours), 256)).copy()
    for shift in (16, 8, 0):
        channel = (colours[:, None] >> np.uint32(shift)) & 255
        made |= ((channel * alpha + 127) // 255) << np.uint32(shift)
    return made.ravel()
