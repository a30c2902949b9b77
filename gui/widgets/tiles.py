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
        only: QRectF | None = None,
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
        only : QRectF or None
            The part of it that is needed, in pixels; drawn in one piece that is not kept.
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
        if only is not None:
            # A little more, for the part may end within a dot.
            part = only.translated(-plot.topLeft())
            begin = max(top, top + math.floor(part.top() * ratio) - 2)
            after = min(bottom, top + math.ceil(part.bottom() * ratio) + 2)
            near = max(left, left + math.floor(part.left() * ratio) - 2)
            far = min(right, left + math.ceil(part.right() * ratio) + 2)
            if begin < after and near < far:
                codes = raster.tile(pitch, begin, near, after - begin, far - near, once=True)
                piece = QPixmap.fromImage(image(codes, table))
                piece.setDevicePixelRatio(ratio)
                place = QPointF(near - left, begin - top) / ratio
                painter.drawPixmap(plot.topLeft() + place, piece)
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

    def follow(self, before: Raster, raster: Raster, first: int) -> None:
        """Take `raster` for `before`, from which it differs in the rows from `first` on.

        It may also have lost or got columns at the end.
        """
        if self._raster is not before:
            self._kept.clear()  # they are of one before that
        self._raster = raster
        row, column = first, min(before.codes.shape[1], raster.codes.shape[1])
        if before.codes.shape[0] != raster.codes.shape[0]:
            row = min(row, before.codes.shape[0], raster.codes.shape[0])
        resized = before.codes.shape[1] != raster.codes.shape[1]
        for key in list(self._kept):
            after = (key[2] + 1) * SIDE > first_dot(row, key[0])
            if after or (resized and (key[3] + 1) * SIDE > first_dot(column, key[1])):
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


def first_dot(cell: int, pitch: float) -> int:
    """The first dot that may show something of a row or column, at `pitch` dots each.

    A dot of a crowded axis shows blocks of cells, none longer than a dot is.
    """
    return max(0, math.floor(cell * pitch) - 2)


def snapped(start: float, pitch: float) -> float:
    """`start` in cells, moved so that it lies on a whole dot where a cell has `pitch` dots."""
    return round(start * pitch) / pitch if pitch else start
