"""NPZ: the numbers as numpy arrays, ``numpy.load(path)`` reads them; nothing is pickled."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from gui.exporters.spec import FormatSpec, Printable


def write(document: Printable, stream: BinaryIO) -> None:
    """Write all arrays; the record is the string ``meta``, in JSON."""
    np.savez_compressed(stream, allow_pickle=False, **document.arrays())


FORMAT = FormatSpec(suffix=".npz", title="NumPy arrays", kind="numbers", write=write)
