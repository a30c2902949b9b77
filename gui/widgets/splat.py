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

_NEAREST = (1 << 12) - 1  # of the depths that are told apart
_PARTS = 8  # a dot's weight, and its part in a pixel, in eighths
_FULL = 24 * _PARTS  # a pixel that holds so much is as good as full


def splat(
    pixels: NDArray[np.floating],
    depth: NDArray[np.floating],
    shades: NDArray[np.uint8],
    colours: NDArray[np.uint32],
    size: tuple[int, int],
    *,
    radius: float,
    opacity: float,
) -> NDArray[np.uint32]:
    """Draw dots into an image; those that meet add up, and the nearest gives its colour.

    Parameters
    ----------
    pixels : (N, 2)
        Device pixels, across and down; what lies outside or is not finite is left out.
    depth : (N,)
        Towards the eye. Far dots are fainter.
    shades : (N,)
        Index `colours`.
    colours : (K,)
        ``0xRRGGBB``, at most `SHADES`.
    size : (int, int)
        Width and height of the image.
    radius, opacity : float
        Of a near dot alone, in device pixels and 0..1.

    Returns
    -------
    (height, width)
        ``0xAARRGGBB``, premultiplied.
    """
    width, height = size
    reach, kernel = _kernel(radius)
    wide, high = width + 2 * reach, height + 2 * reach
    with np.errstate(invalid="ignore", over="ignore"):
        x, y = pixels[:, 0] + reach, pixels[:, 1] + reach
        seen = (x >= 0) & (x < wide) & (y >= 0) & (y < high) & np.isfinite(depth)
    if not seen.all():
        x, y, depth, shades = x[seen], y[seen], depth[seen], shades[seen]
    if not len(x):
        return np.zeros((height, width), np.uint32)
    at = y.astype(np.intp) * wide + x.astype(np.intp)
    farthest, nearest = float(depth.min()), float(depth.max())
    share = (depth - farthest) / ((nearest - farthest) or 1.0)
    packed = (1 + share * (_NEAREST - 1)).astype(np.uint16) * np.uint16(SHADES) + shades
    order = np.argsort(packed, kind="stable")
    front = np.zeros(wide * high, np.uint16)
    front[at[order]] = packed[order]  # of several in one pixel the last stays
    weights = np.rint((FAINT + (1 - FAINT) * share) * _PARTS)
    held = np.bincount(at, weights, minlength=wide * high)
    # Of large dots so many meet in a pixel that their sum would not fit into 16 bits.
    most = min(_FULL, 65535 // sum(part * len(places) for part, places in kernel))
    cover = np.minimum(held, most).astype(np.uint16).reshape(high, wide)
    grid = front.reshape(high, wide)
    top = np.zeros((height, width), np.uint16)
    amount = np.zeros((height, width), np.uint16)
    for part, places in kernel:
        of_part = np.zeros((height, width), np.uint16)
        for dx, dy in places:
            moved = (slice(reach - dy, high - reach - dy), slice(reach - dx, wide - reach - dx))
            np.maximum(top, grid[moved], out=top)
            of_part += cover[moved]
        amount += np.multiply(of_part, np.uint16(part), out=of_part)
    # Beyond the end of each table lies what is like its end.
    which = (top & np.uint16(SHADES - 1)) << np.uint16(8)
    which |= _levels(opacity).take(amount, mode="clip")
    return _premultiplied(colours).take(which, mode="clip")


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
