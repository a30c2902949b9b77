"""CSV: the numbers as a table, in UTF-8."""

from __future__ import annotations

import csv
import io
from typing import BinaryIO

from gui.exporters.record import json_text
from gui.exporters.spec import FormatSpec, Printable
from gui.figures.numbers import storable


def write(document: Printable, stream: BinaryIO) -> None:
    """Write the table; before it the record, an entry a line, each ``# key: value in JSON``."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    for key, value in document.meta.items():
        text.write(f"# {key}: {json_text(value)}\n")
    writer = csv.writer(text, lineterminator="\n")
    for row in document.table():
        writer.writerow([storable(cell) if isinstance(cell, str) else cell for cell in row])
    text.detach()  # the stream belongs to the caller, who closes it


FORMAT = FormatSpec(suffix=".csv", title="CSV table", kind="numbers", write=write)
