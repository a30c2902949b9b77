"""Colours of the publication style, made so that equal steps of a number look equally large."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from engine.types import Floats

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, Normalize

INK, MUTED, LINE, MASKED, ACCENT = "#1c2128", "#5c6673", "#c4cad2", "#eceef1", "#c25e00"
"""Text, quieter text, lines, cells with nothing to show, and what is marked."""

SHADES = ("#d6e6f7", "#e2def6", "#d2eeea", "#f5dced", "#f3ebcc", "#dcefd9")
"""The shades that tell neighbouring tokens apart, those of the light theme."""

CATEGORIES = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7"),
    *("#56B4E9", "#D55E00", "#F0E442", "#999999"),
)
"""The eight hues of Okabe and Ito, those of the screen; beyond the eighth they repeat."""

DECADES = 3
"""How many powers of ten a logarithmic scale spans below its largest value, as on the screen."""

# sRGB (IEC 61966-2-1) to CIE XYZ, D65.
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _XYZ.sum(axis=1)


def _lab(colour: str) -> NDArray[np.float64]:
    """CIE L*a*b* (3,) of ``#rrggbb``."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    ratio = _XYZ @ linear / _WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _rgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give sRGB (n, 3), brought into 0..1, of CIE L*a*b* (n, 3)."""
    middle = (lab[:, 0] + 16) / 116
    f = np.stack([middle + lab[:, 1] / 500, middle, middle - lab[:, 2] / 200], axis=1)
    ratio = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear = np.clip(ratio * _WHITE @ np.linalg.inv(_XYZ).T, 0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(rgb, np.float64)


def _ramp(*anchors: str, steps: int) -> NDArray[np.float64]:
    """Colours (steps, 3) through `anchors` whose lightness L* falls by equal steps.

    Equal steps of a number are then equal steps to the eye, in colour and in grey print.
    """
    labs = np.array([_lab(anchor) for anchor in anchors])  # (anchors, 3)
    lightness = np.linspace(labs[0, 0], labs[-1, 0], steps)
    # A parabola through three anchors: hue and chroma turn without a kink.
    a, b = (np.polyval(np.polyfit(labs[:, 0], labs[:, i], 2), lightness) for i in (1, 2))
    return _rgb(np.stack([lightness, a, b], axis=1))


@cache
def sequential() -> Colormap:
    """Colours for magnitudes, from the paper's white to dark."""
    from matplotlib.colors import ListedColormap

    made = ListedColormap(_ramp("#fbfcfd", "#5a9bc4", "#10214f", steps=256), "magnitude")
    return made.with_extremes(bad=MASKED)


@cache
def diverging() -> Colormap:
    """Colours for signed values: blue below zero, red-brown above, neutral at zero."""
    from matplotlib.colors import ListedColormap

    below = _ramp("#f8f8f7", "#5f97c8", "#123a73", steps=128)
    above = _ramp("#f8f8f7", "#d98a5c", "#7d2a10", steps=128)
    return ListedColormap(np.concatenate([below[::-1], above]), "signed").with_extremes(bad=MASKED)


def scaled(
    weights: Floats, scaling: Literal["linear", "log", "row"]
) -> tuple[Floats, Normalize, str]:
    """Bring weights (..., T, S) on a colour scale; NaN marks what is masked.

    Returns
    -------
    array, Normalize, str
        What to colour, how numbers become colours, and the legend that says so.
    """
    from matplotlib.colors import LogNorm, Normalize

    top = float(np.nanmax(weights, initial=0.0)) or 1.0
    if scaling == "row":
        largest = np.nanmax(np.where(np.isnan(weights), 0, weights), axis=-1, keepdims=True)
        shares = weights / np.maximum(largest, np.finfo(np.float32).tiny)
        return shares, Normalize(0, 1), "share of the row's largest weight"
    if scaling == "log":
        floor = top / 10**DECADES
        return np.maximum(weights, floor), LogNorm(floor, top), "attention weight (log scale)"
    return weights, Normalize(0, top), "attention weight"
