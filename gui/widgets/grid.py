"""Lines over a field of cells: gaps between them, marked rows, the bounds of a pinned range."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from gui import theme
from gui.widgets.cells import Cells
from gui.widgets.token_axis import Marks
from gui.widgets.zoom import Zoom

_GRID_FROM = 10


def draw_grid(painter: QPainter, cells: Cells) -> None:
    """Thin gaps between cells that are large enough to spare the pixels."""
    painter.setPen(QPen(QColor(theme.current().panel), 1))
    plot = cells.plot
    (row, column), (rows, columns) = cells.start, cells.span
    if cells.wide >= _GRID_FROM:
        for at in range(math.ceil(column), int(column + columns) + 1):
            x = cells.rect(0, at).left()
            painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))
    if cells.high >= _GRID_FROM:
        for at in range(math.ceil(row), int(row + rows) + 1):
            y = cells.rect(at, 0).top()
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))


def draw_bands(
    painter: QPainter, plot: QRectF, zoom: Zoom, cell: float, marks: Marks, upright: bool
) -> None:
    """Outline the hovered and the selected row, or column, over the whole field."""
    colours = theme.current()
    for index, colour, strength in (
        (marks.hovered, colours.hover, 1.0),
        (marks.selected, colours.accent, 2.0 if upright else 1.0),
    ):
        if index is None or not 0 <= index < zoom.count:
            continue
        at = (index - zoom.start) * cell
        band = (
            QRectF(plot.left(), plot.top() + at, plot.width(), cell)
            if upright
            else QRectF(plot.left() + at, plot.top(), cell, plot.height())
        )
        tint = QColor(colour)
        tint.setAlphaF(1.0 if upright else 0.6)
        painter.setPen(QPen(tint, strength))
        painter.drawRect(band)


def draw_bounds(
    painter: QPainter,
    plot: QRectF,
    zoom: Zoom,
    cell: float,
    range_: tuple[int, int] | None,
    upright: bool,
) -> None:
    """Mark a pinned range: a line along the labels, and thin ones across at its two ends."""
    if range_ is None or range_[0] >= zoom.count:
        return
    colour = QColor(theme.current().accent)
    origin = plot.top() if upright else plot.left()
    first, after = (origin + (min(at, zoom.count) - zoom.start) * cell for at in range_)
    thin = QPen(colour, 1, Qt.PenStyle.DotLine)
    for at in (first, after):
        line = (
            (plot.left(), at, plot.right(), at) if upright else (at, plot.top(), at, plot.bottom())
        )
        painter.setPen(thin)
        painter.drawLine(QPointF(*line[:2]), QPointF(*line[2:]))
    bar = (
        QRectF(plot.left() - 2, first, 3, after - first)
        if upright
        else QRectF(first, plot.top() - 2, after - first, 3)
    )
    painter.fillRect(bar, colour)
