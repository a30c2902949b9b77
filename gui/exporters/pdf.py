"""PDF: outlines with embedded fonts, for print."""

from __future__ import annotations

from typing import BinaryIO

from gui.exporters.picture import draw
from gui.exporters.record import PROGRAM, date, json_text, title
from gui.exporters.spec import FormatSpec, Printable

_IMAGE_DPI = 300
"""Pixels an inch of what is an image inside it."""


def write(document: Printable, stream: BinaryIO) -> None:
    """Draw the figure; the record is the document's keywords, in JSON."""
    meta = document.meta
    program = f"{PROGRAM} {meta.get('version', '')}".strip()
    entries = {
        "Title": title(meta),
        "Creator": program,
        "Keywords": json_text(meta),
        # Without a date of its own matplotlib would write the present one.
        "CreationDate": date(meta),
    }
    draw(document, stream, "pdf", entries, _IMAGE_DPI)


FORMAT = FormatSpec(suffix=".pdf", title="PDF document", kind="picture", write=write)
