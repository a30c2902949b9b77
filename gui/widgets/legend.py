"""What the colours of a picture stand for, in one line below it."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from gui import theme
from gui.widgets.coding import DECADES, ColourScale
from gui.widgets.hatch import draw_hatch
from gui.widgets.raster import bar_codes, image

_LEVEL = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


def number(value: float) -> str:
    """A number fit for a legend: three significant digits, a real minus sign."""
    return f"{value:.3g}".replace("-", "−").replace("e−0", "e−").replace("e+0", "e")


def ends(scale: ColourScale) -> tuple[str, str]:
    """What to write at the two ends of the bar."""
    if scale.scaling == "row":
        top = "row's largest" if not scale.clipped else "row's largest or more"
        return ("−" + top, top) if scale.signed else ("0", top)
    high = ("≥ " if scale.clipped else "") + number(scale.high)
    if scale.signed:
        return ("≤ " if scale.clipped else "") + number(scale.low), high
    if scale.scaling == "log":
        floor = scale.low + (scale.high - scale.low) / 10**DECADES
        return "≤ " + number(floor), high
    return number(scale.low), high


def draw_legend(
    painter: QPainter,
    strip: QRectF,
    scale: ColourScale,
    table: list[int],
    *,
    quantity: str = "",
    masked: str = "",
) -> None:
    """Draw name, bar with its ends, the scaling and the sign for empty cells into `strip`.

    What does not fit is left out from the end, the bar and its numbers last.
    """
    colours = theme.current()
    painter.setFont(theme.ui_font(theme.SMALL))
    metrics = painter.fontMetrics()
    low, high = ends(scale)
    notes = {"linear": "linear", "log": f"logarithmic, {DECADES} decades", "row": "per row"}
    bar = max(32.0, min(96.0, strip.width() / 5))
    x, right = strip.left() + 4, strip.right() - 4
    core = metrics.horizontalAdvance(low) + metrics.horizontalAdvance(high) + bar + 16

    def write(text: str, colour: str) -> None:
        nonlocal x
        wide = metrics.horizontalAdvance(text)
        painter.setPen(QColor(colour))
        painter.drawText(QRectF(x, strip.top(), wide + 1, strip.height()), _LEVEL, text)
        x += wide + 8

    if quantity and x + metrics.horizontalAdvance(quantity) + 8 + core <= right:
        write(quantity, colours.muted)
    write(low, colours.text)
    codes = image(bar_codes(scale.signed), table)
    painter.drawImage(QRectF(x, strip.center().y() - 4, bar, 8), codes)
    x += bar + 8
    write(high, colours.text)
    note = notes[scale.scaling]
    if x + metrics.horizontalAdvance(note) <= right:
        write(note, colours.muted)
    if masked and x + 16 + metrics.horizontalAdvance(masked) <= right:
        x += 4
        box = QRectF(x, strip.center().y() - 5, 12, 10)
        draw_hatch(painter, box, painter.device().devicePixelRatio())
        painter.setPen(QPen(QColor(colours.line), 1))
        painter.drawRect(box)
        x += 16
        write(masked, colours.muted)
