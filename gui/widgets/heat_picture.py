"""The picture of a heat map without its marks: cells, labels and legend; mended where it changed.

It is painted once into a pixmap. When a text grows, cells keep their places for a while (see
`gui.widgets.zoom.roomy`) and most of them their colours: then only the rows and columns that are
new, and labels that came or went, are painted over. Dot by dot it is what painting all would give.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
from PySide6.QtCore import QRect, QRectF, QSize
from PySide6.QtGui import QColor, QPainter, QPen, QPixmap, QRegion

from gui import theme
from gui.widgets.cells import LEGEND, Cells
from gui.widgets.coding import Codes, ColourScale
from gui.widgets.grid import draw_grid
from gui.widgets.hatch import draw_hatch
from gui.widgets.legend import draw_legend
from gui.widgets.raster import Raster, colour_table
from gui.widgets.tiles import Tiles
from gui.widgets.token_axis import LabelAxis


class HeatPicture:
    """Paints codes, labels and a legend, and keeps them.

    Parameters
    ----------
    row_axis, column_axis : LabelAxis
        What is written at the left and above.
    """

    def __init__(self, row_axis: LabelAxis, column_axis: LabelAxis) -> None:
        self.tiles = Tiles()
        self.raster = Raster(np.zeros((0, 0), np.uint8))
        self.scale = ColourScale(0.0, 1.0)
        self.names = ("", "nothing here")  # what the colours stand for, what an empty cell means
        self.fixed: QPixmap | None = None
        self._axes = (row_axis, column_axis)
        self._masked = False
        # What `fixed` shows once it is mended, and where that has to be done.
        self._cells: Cells | None = None
        self._written: list[dict[int, str]] = []
        self._stale = QRegion()

    def set_codes(self, codes: Codes, scale: ColourScale, first: int) -> bool:
        """Take other codes, the same ones before the row `first`, and what they stand for.

        Returns
        -------
        bool
            Whether those rows look as they did, and so does the legend.
        """
        masked = not codes.all()
        stays = bool(first) and (scale, masked) == (self.scale, self._masked)
        before, self.raster = self.raster, Raster(codes)
        self.scale, self._masked = scale, masked
        if stays:
            self.tiles.follow(before, self.raster, first)
        return stays

    def forget(self) -> None:
        """Have all painted anew."""
        self.fixed = None

    def place(self, cells: Cells, first: int) -> QRegion | None:
        """Take other places and labels, and other codes from the row `first` on.

        Returns
        -------
        QRegion or None
            Where the picture changes; None for all over.
        """
        changed = None
        if self.fixed is not None and self._cells is not None:
            changed = cells.changed(self._cells, first)
        if changed is None:
            self.fixed = None
            return None
        written = self._labels(cells)
        along = (cells.along_rows, cells.along_columns)
        for axis, strip, now, before in zip(self._axes, along, written, self._written, strict=True):
            for index in dict(now.items() ^ before.items()):
                changed += axis.place(*strip, index).toAlignedRect()
        self._cells, self._written = cells, written
        self._stale += changed
        return changed

    def painted(self, size: QSize, cells: Cells) -> QPixmap:
        """The picture, in a widget of `size` pixels; painted as far as it has to be."""
        bare = QColor(theme.current().panel)
        if self.fixed is None or self.fixed.devicePixelRatioF() != cells.ratio:
            self.fixed = QPixmap(size * cells.ratio)
            self.fixed.setDevicePixelRatio(cells.ratio)
            self.fixed.fill(bare)
            self._cells, self._written = cells, self._labels(cells)
            if self.raster.codes.size:
                painter = QPainter(self.fixed)
                self._paint(painter, size, cells)
                painter.end()
        elif not self._stale.isEmpty():
            painter = QPainter(self.fixed)
            for part in cast(Iterable[QRect], self._stale):  # which Qt's stubs do not know
                painter.setClipRect(part)
                painter.fillRect(part, bare)
                self._paint(painter, size, cells, QRectF(part))
            painter.end()
        self._stale = QRegion()
        return self.fixed

    def _labels(self, cells: Cells) -> list[dict[int, str]]:
        along = (cells.along_rows, cells.along_columns)
        return [axis.written(*strip) for axis, strip in zip(self._axes, along, strict=True)]

    def _paint(
        self, painter: QPainter, size: QSize, cells: Cells, only: QRectF | None = None
    ) -> None:
        """Paint on the bare panel; of all only what is seen in `only` has to be."""
        table = colour_table(theme.current().dark, self.scale.signed)
        plot, ratio = cells.plot, cells.ratio
        if only is None or only.intersects(plot.adjusted(-2, -2, 2, 2)):
            if self._masked:
                draw_hatch(painter, plot, ratio)
            pitch = (cells.high * ratio, cells.wide * ratio)
            self.tiles.paint(painter, plot, self.raster, table, cells.start, pitch, ratio, only)
            draw_grid(painter, cells)
            painter.setPen(QPen(QColor(theme.current().line), 1))
            painter.drawRect(plot.adjusted(-0.5, -0.5, 0.5, 0.5))
        rows, columns = self._axes
        rows.draw(painter, *cells.along_rows, within=only)
        columns.draw(painter, *cells.along_columns, within=only)
        left = plot.left() if plot.left() < size.width() / 4 else 4.0
        foot = QRectF(left, size.height() - LEGEND, size.width() - left, LEGEND)
        if only is None or only.intersects(foot):
            quantity, masked = self.names
            masked = masked if self._masked else ""
            draw_legend(painter, foot, self.scale, table, quantity=quantity, masked=masked)
