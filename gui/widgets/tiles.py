"""A matrix of any size as tiles at the screen's resolution: what moves is not drawn again.

The whole matrix, at so many screen dots a cell, is one large picture that is never made. It is cut
into square tiles; those in sight are drawn when they are first seen and kept, so that moving the
picture draws only what comes into sight, and going back draws nothing.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPixmap

from gui.widgets.coding import Codes
from gui.widgets.raster import Raster, image

SIDE = 256
"""Screen dots a side of a tile."""

MOST_BYTES = 48 << 20
"""Bytes of tiles kept: three screens of 1920 × 1080. More only while more are in sight."""

_TILE_BYTES = 4 * SIDE * SIDE


class Tiles:
    """Draws codes from tiles, the least recently seen of which are forgotten first.

    Attributes
    ----------
    drawn : int
        How many tiles were drawn since the beginning.
    """

    def __init__(self) -> None:
        self.drawn = 0
        self._raster: Raster | None = None
        self._table: list[int] = []
        self._kept: OrderedDict[tuple[float, float, int, int], QPixmap] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Bytes of pixels kept."""
        return len(self._kept) * _TILE_BYTES

    def paint(
        self,
        painter: QPainter,
        plot: QRectF,
        raster: Raster,
        table: list[int],
        start: tuple[float, float],
        pitch: tuple[float, float],
        ratio: float,
        first: int = 0,
    ) -> None:
        """Fill `plot` with the cells from `start` on.

        Parameters
        ----------
        painter : QPainter
            Of a device with `ratio` dots a pixel.
        plot : QRectF
            Where, in pixels.
        raster : Raster
            The cells; another one, or another `table` of colours, makes all tiles stale.
        start : (float, float)
            Row and column at the corner of `plot`, on whole dots; see `snapped`.
        pitch : (float, float)
            Dots a cell, downwards and across.
        first : int
            Only the rows from this one on are drawn anew, in one piece that is not kept.
        """
        if raster is not self._raster or table != self._table:
            self._raster, self._table = raster, table
            self._kept.clear()
        rows, columns = raster.codes.shape
        height, width = math.ceil(rows * pitch[0] - 1e-6), math.ceil(columns * pitch[1] - 1e-6)
        top, left = round(start[0] * pitch[0]), round(start[1] * pitch[1])
        bottom = min(height, top + math.ceil(plot.height() * ratio))
        right = min(width, left + math.ceil(plot.width() * ratio))
        painter.save()
        painter.setClipRect(plot, Qt.ClipOperation.IntersectClip)
        if first:
            # A little more, for the place that is filled may end within a dot.
            begin = max(top, first_dot(first, pitch[0]) - 3)
            if begin < bottom and left < right:
                codes = raster.tile(pitch, begin, left, bottom - begin, right - left)
                piece = QPixmap.fromImage(image(codes, table))
                piece.setDevicePixelRatio(ratio)
                painter.drawPixmap(plot.topLeft() + QPointF(0, begin - top) / ratio, piece)
            painter.restore()
            return
        seen = 0
        for down in range(top // SIDE, -(-bottom // SIDE)):
            for across in range(left // SIDE, -(-right // SIDE)):
                seen += 1
                tile = self._tile((*pitch, down, across), height, width)
                place = QPointF(across * SIDE - left, down * SIDE - top) / ratio
                tile.setDevicePixelRatio(ratio)
                painter.drawPixmap(plot.topLeft() + place, tile)
        painter.restore()
        while len(self._kept) > max(seen, MOST_BYTES // _TILE_BYTES):
            self._kept.popitem(last=False)

    def follow(self, raster: Raster, first: int) -> None:
        """Take `raster` for the last one, which has its shape and its rows up to `first`."""
        self._raster = raster
        for key in [key for key in self._kept if (key[2] + 1) * SIDE > first_dot(first, key[0])]:
            del self._kept[key]

    def _tile(self, key: tuple[float, float, int, int], height: int, width: int) -> QPixmap:
        kept = self._kept.get(key)
        if kept is None:
            kept = QPixmap.fromImage(image(self._codes(key, height, width), self._table))
            self._kept[key] = kept
            self.drawn += 1
        self._kept.move_to_end(key)
        return kept

    def _codes(self, key: tuple[float, float, int, int], height: int, width: int) -> Codes:
        assert self._raster is not None
        *pitch, down, across = key
        top, left = down * SIDE, across * SIDE
        return self._raster.tile(
            (pitch[0], pitch[1]), top, left, min(SIDE, height - top), min(SIDE, width - left)
        )


def first_dot(row: int, pitch: float) -> int:
    """The first dot that may show something of `row`, at `pitch` dots a row.

    A dot of a crowded axis shows blocks of rows, none longer than a dot is.
    """
    return max(0, math.floor(row * pitch) - 2)


def snapped(start: float, pitch: float) -> float:
    """`start` in cells, moved so that it lies on a whole dot where a cell has `pitch` dots."""
    return round(start * pitch) / pitch if pitch else start
