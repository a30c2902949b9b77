"""From a document to a drawn matplotlib figure, in whichever picture format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

from gui.exporters.spec import Printable
from gui.figures import style


def draw(
    document: Printable, stream: BinaryIO, format_: str, metadata: Mapping[str, Any], dpi: float
) -> None:
    """Draw the document's figure and save it to `stream` as `format_` with `metadata`."""
    # matplotlib takes a moment to load, so it waits until something is drawn.
    from matplotlib.figure import Figure

    with style.context(document.texts()):
        figure = Figure()
        document.draw(figure)
        figure.savefig(stream, format=format_, dpi=dpi, metadata=dict(metadata))
