"""Arrays handed to a painter as they are.

Qt's painter takes a pointer to the first of many shapes and their number. To make an object of each
in Python takes longer than to draw them.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import shiboken6
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QRectF
from PySide6.QtGui import QPainter, QPixmap


def draw_lines(painter: QPainter, lines: NDArray[np.float64]) -> None:
    """Draw lines (n, 4), each x and y of its one end and of the other."""
    if len(lines):
        lines = np.ascontiguousarray(lines, np.float64)
        pointer = cast(QLineF, shiboken6.wrapInstance(lines.ctypes.data, QLineF))
        painter.drawLines(pointer, len(lines))


def draw_rects(painter: QPainter, rects: NDArray[np.float64]) -> None:
    """Draw rectangles (n, 4), each left, top, width and height."""
    if len(rects):
        rects = np.ascontiguousarray(rects, np.float64)
        pointer = cast(QRectF, shiboken6.wrapInstance(rects.ctypes.data, QRectF))
        painter.drawRects(pointer, len(rects))


def draw_pieces(
    painter: QPainter, pieces: NDArray[np.float64], atlas: QPixmap, scale: float = 1.0
) -> None:
    """Draw parts of `atlas`, one after the other.

    Parameters
    ----------
    pieces : (n, 6)
        The centre x, y that a part is drawn round, then its left, top, width and height in the
        atlas.
    scale : float
        How many of the painter's units a dot of the atlas takes.
    """
    if len(pieces):
        # Then its scale across and down, rotation and opacity.
        fragments = np.empty((len(pieces), 10))
        fragments[:, :6], fragments[:, 6:] = pieces, (scale, scale, 0.0, 1.0)
        pointer = shiboken6.wrapInstance(fragments.ctypes.data, QPainter.PixmapFragment)
        first = cast(QPainter.PixmapFragment, pointer)
        painter.drawPixmapFragments(first, len(fragments), atlas)
