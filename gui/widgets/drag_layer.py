"""The points of a map while it is dragged: drawn once, with room around, and moved along."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPixmap

from gui.widgets.scatter_geometry import Range

ROOM = 320
"""Pixels beyond each edge that are drawn with what is seen: so far it can be dragged."""

Draw = Callable[[QPainter, QSize], dict[int, QRectF]]
"""Draws all points onto a map of a size and tells where labels were written."""


class DragLayer:
    """A picture of the points, larger than the map.

    Attributes
    ----------
    drawings : int
        How often the points were drawn.
    """

    def __init__(self) -> None:
        self.drawings = 0
        self._key: tuple[object, ...] = ()
        self._seen: Range | None = None
        self._picture = QPixmap()
        self._written: dict[int, QRectF] = {}
        self._offset = QPointF()

    def paint(
        self, painter: QPainter, seen: Range, size: QSize, key: tuple[object, ...], draw: Draw
    ) -> None:
        """Paint the part of the points that is `seen` on a map of `size`; `key` tells them."""
        ratio = painter.device().devicePixelRatioF()
        key = (*key, seen.scale, size, ratio)
        offset = self._offset_to(seen)
        if key != self._key or offset is None:
            self.drawings += 1
            wide = QSize(size.width() + 2 * ROOM, size.height() + 2 * ROOM)
            self._picture = QPixmap(wide * ratio)
            self._picture.setDevicePixelRatio(ratio)
            self._picture.fill(Qt.GlobalColor.transparent)
            inner = QPainter(self._picture)
            inner.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._written = draw(inner, wide)
            inner.end()
            self._key, self._seen, offset = key, seen, QPointF(0, 0)
        # On whole device pixels, else all labels would blur.
        right, down = (round(part * ratio) / ratio for part in (offset.x(), offset.y()))
        self._offset = QPointF(right - ROOM, down - ROOM)
        painter.drawPixmap(self._offset, self._picture)

    def written(self, index: int) -> QRectF | None:
        """Where the label of a point stands now, if it was written."""
        box = self._written.get(index)
        return None if box is None else box.translated(self._offset)

    def forget(self) -> None:
        """Let the picture go."""
        self._key, self._picture = (), QPixmap()

    def _offset_to(self, seen: Range) -> QPointF | None:
        """How far the plane was dragged since; None where that is beyond what was drawn."""
        if self._seen is None:
            return None
        right = (self._seen.x - seen.x) * seen.scale
        down = (seen.y - self._seen.y) * seen.scale
        return QPointF(right, down) if max(abs(right), abs(down)) <= ROOM else None
