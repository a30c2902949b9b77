"""What is said of a model that computes with fewer digits than float32."""

from __future__ import annotations

import math

from engine.types import ModelInfo

EXACT = "float32"

_AT_ONCE = 2 << 30
"""Bytes of float32 weights up to which the precision is measured without being asked for."""


def measure_at_once(info: ModelInfo) -> bool:
    """Whether to measure a model's precision right after it was loaded: it costs little, then."""
    small = 4 * info.parameters <= _AT_ONCE
    return info.dtype != EXACT and info.precision is None and small


def brief(info: ModelInfo) -> str:
    """The type with its largest error, ``"bfloat16 ±0.013"``; empty for float32."""
    if info.dtype == EXACT:
        return ""
    if info.precision is None:
        return f"{info.dtype}, error not measured"
    if math.isnan(info.precision.error):
        return f"{info.dtype} runs over"
    return f"{info.dtype} ±{info.precision.error:.2g}"


def sentence(info: ModelInfo) -> str:
    """The same in a sentence, for a tooltip and for an exported file; empty for float32."""
    if info.dtype == EXACT:
        return ""
    found = info.precision
    if found is None:
        how = "Model ▸ Precision ▸ Measure the error tells by how much"
        return f"Computed in {info.dtype}, not float32: numbers are less exact; {how}."
    over = f"over a text of {found.tokens} tokens"
    if math.isnan(found.error):
        return f"Computed in {info.dtype}, whose numbers ran over {over}: nothing shown is right."
    return (
        f"Computed in {info.dtype}: {over} the largest difference of a {found.of} from float32 "
        f"was {found.error:.2g}."
    )
