"""Where the cells of a map are, and what of its picture another one leaves as it was.

The places are whole dots of the screen where they can be: what is mended then lies where what was
painted at once would lie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize
from PySide6.QtGui import QRegion

from gui.widgets.token_axis import LabelAxis
from gui.widgets.zoom import Zoom

LARGEST_CELL = 64
"""Cells grow no larger than this many pixels, so that one token does not fill a panel."""

LEGEND = 24
"""Pixels below a map for what its colours stand for."""

NOWHERE = (-1, -1)
"""Row and column of no cell."""

Along = tuple[QRectF, float, float]
"""The strip for the labels of an axis, the cell coordinate that it begins at, pixels a cell."""

_REACH = 3.0  # pixels that the border and marks reach beyond the cells
_SHARED = 3.0  # dots before a cell that may show something of it, see `tiles.first_dot`


@dataclass(frozen=True, slots=True)
class Cells:
    """The places of a matrix' cells.

    Attributes
    ----------
    plot : QRectF
        Where those in view are, in the widget's pixels.
    high, wide : float
        Pixels a cell, zero where there is none.
    start, span : (float, float)
        The first row and column in view, and how many are.
    count : (int, int)
        Rows and columns of the matrix.
    ratio : float
        Dots of the screen a pixel.
    """

    plot: QRectF
    high: float
    wide: float
    start: tuple[float, float]
    span: tuple[float, float]
    count: tuple[int, int]
    ratio: float

    def rect(self, row: int, column: int) -> QRectF:
        """Where a cell is; beyond the plot where it is not in view."""
        return QRectF(
            self.plot.left() + (column - self.start[1]) * self.wide,
            self.plot.top() + (row - self.start[0]) * self.high,
            self.wide,
            self.high,
        )

    def at(self, position: QPointF) -> tuple[int, int]:
        """Row and column at `position`; −1 for an axis that `position` is not beside or over."""
        plot = self.plot
        if not self.wide or not self.high:
            return NOWHERE
        row = column = -1
        if plot.top() <= position.y() < plot.bottom() and position.x() < plot.right():
            row = int(self.start[0] + (position.y() - plot.top()) / self.high)
        if plot.left() <= position.x() < plot.right() and position.y() < plot.bottom():
            column = int(self.start[1] + (position.x() - plot.left()) / self.wide)
        return min(row, self.count[0] - 1), min(column, self.count[1] - 1)

    @property
    def along_rows(self) -> Along:
        """Where the labels of the rows stand."""
        strip = QRectF(0, self.plot.top(), self.plot.left(), self.span[0] * self.high)
        return strip, self.start[0], self.high

    @property
    def along_columns(self) -> Along:
        """Where the labels of the columns stand."""
        strip = QRectF(self.plot.left(), 0, self.span[1] * self.wide, self.plot.top())
        return strip, self.start[1], self.wide

    @property
    def place(self) -> tuple[float, ...]:
        """What two must share for each cell to be in the same place, if it is in both."""
        plot = self.plot
        return (plot.left(), plot.top(), self.high, self.wide, *self.start, self.ratio)

    def changed(self, before: Cells, first: int) -> QRegion | None:
        """The pixels that are others than those of `before`.

        Rows before `first` hold what they held; columns that only one of the two has may differ
        throughout.

        Returns
        -------
        QRegion or None
            None for all: then cells have moved.
        """
        if self.place != before.place:
            return None
        plot, changed = self.plot, QRegion()
        reach = plot.united(before.plot).adjusted(-_REACH, -_REACH, _REACH, _REACH)
        row, column = first, max(self.count[1], before.count[1])
        if self.count[0] != before.count[0]:
            row = min(first, self.count[0], before.count[0])
        if self.count[1] != before.count[1]:
            column = min(self.count[1], before.count[1])
        if row < max(self.count[0], before.count[0]):
            top = plot.top() + (row - self.start[0]) * self.high - _SHARED / self.ratio
            changed += _after(reach, top=top)
        if column < max(self.count[1], before.count[1]):
            left = plot.left() + (column - self.start[1]) * self.wide - _SHARED / self.ratio
            changed += _after(reach, left=left)
        return changed


def _after(rect: QRectF, left: float = -math.inf, top: float = -math.inf) -> QRegion:
    """The part of `rect` from `left` and `top` on, in whole pixels."""
    part = QRectF(rect)
    part.setLeft(max(left, rect.left()))
    part.setTop(max(top, rect.top()))
    return QRegion(part.toAlignedRect()) if part.isValid() else QRegion()


def laid_out(
    size: QSize,
    ratio: float,
    rows: Zoom,
    columns: Zoom,
    row_axis: LabelAxis,
    column_axis: LabelAxis,
) -> Cells:
    """Place cells in a widget of `size` pixels: labels at the left and above, a legend below."""
    width, height = float(size.width()), float(size.height())
    left = round(row_axis.strip(0, min(128.0, width * 0.25)) * ratio) / ratio
    wide, across = _cell(width - left - 4.0, columns, ratio)
    top = column_axis.strip(wide, min(112.0, height * 0.25)) or 4.0
    top = round(top * ratio) / ratio
    high, down = _cell(height - top - LEGEND - 4, rows, ratio)
    return Cells(
        QRectF(left, top, across, down),
        high,
        wide,
        (rows.start, columns.start),
        (rows.span, columns.span),
        (rows.count, columns.count),
        ratio,
    )


def _cell(room: float, zoom: Zoom, ratio: float) -> tuple[float, float]:
    """Pixels of a cell, and of all in view together: whole dots, or a lone last cell might fade."""
    if not zoom.count:
        return 0.0, 1.0
    cell = min(max(1.0, room) / zoom.room, float(LARGEST_CELL))
    return cell, max(1.0, math.ceil(cell * zoom.span * ratio - 1e-6) / ratio)
