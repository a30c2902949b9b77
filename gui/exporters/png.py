"""PNG: pixels, 150 an inch at scale 1, up to 600 at scale 4."""

from __future__ import annotations

from typing import BinaryIO

from gui.exporters.picture import draw
from gui.exporters.record import PROGRAM, json_text, title
from gui.exporters.spec import FormatSpec, Printable
from gui.figures.style import DPI


def write(document: Printable, stream: BinaryIO) -> None:
    """Draw the figure; the record is the text chunk ``Contextscope``, in JSON."""
    meta = document.meta
    chunks = {
        "Title": title(meta),
        "Software": f"{PROGRAM} {meta.get('version', '')}".strip(),
        PROGRAM: json_text(meta),
    }
    if "date" in meta:
        chunks["Creation Time"] = str(meta["date"])
    draw(document, stream, "png", chunks, DPI * document.scale)


FORMAT = FormatSpec(suffix=".png", title="PNG picture", kind="picture", write=write)
