"""SVG: outlines, with its text as text."""

from __future__ import annotations

from typing import BinaryIO

from gui.exporters.picture import draw
from gui.exporters.record import PROGRAM, json_text, title
from gui.exporters.spec import FormatSpec, Printable

_IMAGE_DPI = 300
"""Pixels an inch of what is an image inside it."""


def write(document: Printable, stream: BinaryIO) -> None:
    """Draw the figure; the record is the Dublin Core description, in JSON."""
    meta = document.meta
    entries = {
        "Title": title(meta),
        "Creator": f"{PROGRAM} {meta.get('version', '')}".strip(),
        "Description": json_text(meta),
        # Without a date of its own matplotlib would write the present one.
        "Date": str(meta["date"]) if "date" in meta else None,
    }
    draw(document, stream, "svg", entries, _IMAGE_DPI)


FORMAT = FormatSpec(suffix=".svg", title="SVG drawing", kind="picture", write=write)
