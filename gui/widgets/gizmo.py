"""Where the three axes of a turned cloud point, how long a unit is, and from where it is seen."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen

from gui import theme
from gui.turning import Turn
from gui.widgets.scatter_geometry import LabelPlacer

ARM = 30.0
"""Length in pixels of an axis that lies in the picture."""

_CORNER = 62.0  # pixels from the left and the lower edge to where the axes meet
_LONGEST = 96.0  # pixels that the scale's bar takes at most
_LEAST = 0.12  # an axis that is seen from so near its end has no room for a name beside its foot


def round_length(scale: float, most: float = _LONGEST) -> float:
    """The longest of 1, 2, 5, 10, … units that takes at most `most` pixels at `scale` a unit."""
    room = most / scale
    power = 10.0 ** math.floor(math.log10(room))
    return max(m * power for m in (1, 2, 5, 10) if m * power <= room * (1 + 1e-9))


def paint_gizmo(
    painter: QPainter, turn: Turn, names: tuple[str, str, str], size: QSize, placer: LabelPlacer
) -> None:
    """Draw the axes in the lower left corner, those that point away from the eye fainter."""
    colours = theme.current()
    font = theme.ui_font(theme.SMALL)
    painter.setFont(font)
    metrics = QFontMetricsF(font)
    foot = np.array([_CORNER, size.height() - _CORNER])
    across, up, near = turn.matrix  # each (3,): what the axes are seen as
    placer.take(0, size.height() - 2 * _CORNER, 2 * _CORNER, 2 * _CORNER)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for axis in np.argsort(near).tolist():  # the nearest last
        away = np.array([across[axis], -up[axis]])
        ink = QColor(colours.text)
        ink.setAlphaF(0.5 if near[axis] < -0.05 else 0.95)
        painter.setPen(QPen(ink, 1.5))
        tip = foot + ARM * away
        painter.drawLine(QPointF(*foot), QPointF(*tip))
        painter.setBrush(ink)
        painter.drawEllipse(QPointF(*tip), 1.5, 1.5)
        length = float(np.hypot(*away))
        beyond = away / length if length > _LEAST else np.array([0.0, -1.0])
        wide = metrics.horizontalAdvance(names[axis])
        middle = tip + beyond * (6 + abs(beyond[0]) * wide / 2 + abs(beyond[1]) * 5)
        left = min(max(middle[0] - wide / 2, 2.0), size.width() - wide - 2)
        base = middle[1] + (metrics.ascent() - metrics.descent()) / 2
        painter.drawText(QPointF(left, min(base, size.height() - 3.0)), names[axis])


def paint_scale(
    painter: QPainter, turn: Turn, scale: float, size: QSize, placer: LabelPlacer
) -> None:
    """Draw how long some units are, which holds in every direction of the picture, and the angles.

    `scale` is pixels a unit.
    """
    colours = theme.current()
    font = theme.ui_font(theme.SMALL)
    metrics = QFontMetricsF(font)
    units = round_length(scale)
    length, said = units * scale, f"{units:g}"
    right, floor = size.width() - 10.0, size.height() - 8.0
    painter.setFont(font)
    painter.setPen(QColor(colours.muted))
    wide = metrics.horizontalAdvance(turn.said)
    if wide + 2 * _CORNER + 20 < size.width():
        painter.drawText(QPointF(right - wide, floor), turn.said)
    else:
        wide = 0.0
    floor -= metrics.height() + 6
    painter.setPen(QPen(QColor(colours.muted), 1))
    painter.drawLine(QPointF(right - length, floor), QPointF(right, floor))
    for x in (right - length, right):
        painter.drawLine(QPointF(x, floor - 3), QPointF(x, floor + 3))
    painter.drawText(
        QPointF(right - length / 2 - metrics.horizontalAdvance(said) / 2, floor - 5), said
    )
    room = max(wide, length) + 12
    placer.take(right - room, floor - metrics.height() - 6, room + 10, size.height())
