"""JSON: the numbers as nested lists; what is not a number is null."""

from __future__ import annotations

import json
import math
from typing import Any, BinaryIO

import numpy as np

from gui.exporters.record import json_text
from gui.exporters.spec import FormatSpec, Printable
from gui.figures.numbers import plain


def write(document: Printable, stream: BinaryIO) -> None:
    """Write an object with the record as ``meta`` and the arrays under their names."""
    content: dict[str, Any] = {"meta": json.loads(json_text(document.meta))}
    for name, array in document.arrays().items():
        if name != "meta":
            finite = array.dtype.kind != "f" or bool(np.isfinite(array).all())
            content[name] = plain(array) if finite else _without_nan(plain(array))
    # Escapes keep what UTF-8 has no place for, such as half of a surrogate pair in the text.
    stream.write(json.dumps(content, allow_nan=False).encode("ascii"))
    stream.write(b"\n")


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return value if math.isfinite(value) else None


FORMAT = FormatSpec(suffix=".json", title="JSON numbers", kind="numbers", write=write)
