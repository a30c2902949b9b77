"""A metric against size, compute or steps: a line a family, its interval, marks, the point's value.

The axis is logarithmic; step 0 stands at its left end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from engine.studies.emergence import Against, Curve, Metric
from gui import theme
from gui.studies.emergence import AXES, NAMES, UNITS, first_step, short, ticks_of
from gui.widgets.legend import number

_LEFT, _TOP, _RIGHT, _BOTTOM = 40, 24, 18, 34
_REACH = 14  # pixels from the mouse within which a point is told
_DASHES = (
    Qt.PenStyle.SolidLine,
    Qt.PenStyle.DashLine,
    Qt.PenStyle.DotLine,
    Qt.PenStyle.DashDotLine,
)


def line_style(place: int) -> Qt.PenStyle:
    """How the line of a family is drawn, so that colour is not all that tells it."""
    return _DASHES[place % len(_DASHES)]


class EmergencePlot(QWidget):
    """One metric of the same outputs; a click or the mouse over a point tells it in a sentence."""

    pointed = Signal(str)
    """What the mouse points at, in words; empty where at nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.curves: tuple[Curve, ...] = ()
        self.families: tuple[str, ...] = ()
        self._against: Against = "steps"
        self._metric: Metric = "exact_match"
        self._least = 0.0
        self._pointed: tuple[Curve, int] | None = None
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def set_curves(
        self,
        curves: Sequence[Curve],
        families: Sequence[str],
        against: Against,
        metric: Metric,
    ) -> None:
        """Draw these; `families` in the order of their colours."""
        self.curves, self.families = tuple(curves), tuple(families)
        self._against, self._metric = against, metric
        self._least = first_step(self.curves) if against != "parameters" else 0.0
        self._pointed = None
        self.setAccessibleName(f"{NAMES[metric]} against {AXES[against]}")
        said = "; ".join(
            f"{curve.name}: from {number(curve.value[0])} to {number(curve.value[-1])}"
            for curve in self.curves
            if curve.largest
        )
        self.setAccessibleDescription(said)
        self.update()

    def minimumSizeHint(self) -> QSize:
        """Room for the title and the lines."""
        return QSize(150, 110)

    # --- where things are -----------------------------------------------------------------------

    def _room(self) -> QRectF:
        return QRectF(
            _LEFT,
            _TOP,
            max(1, self.width() - _LEFT - _RIGHT),
            max(1, self.height() - _TOP - _BOTTOM),
        )

    def _extent(self) -> tuple[float, float, float, float]:
        """The least and the most of x (as logarithms) and of the values."""
        xs = [max(float(x), self._least) for curve in self.curves for x in curve.x]
        low = [float(v) for curve in self.curves for v in curve.low]
        high = [float(v) for curve in self.curves for v in curve.high]
        left, right = math.log(min(xs)), math.log(max(xs))
        bottom, top = min(low), max(high)
        if self._metric == "exact_match":
            bottom, top = 0.0, 1.0
        elif self._metric == "edit_distance":
            bottom, top = 0.0, float(math.ceil(top))
        if right - left < 1e-9:
            left, right = left - 0.5, right + 0.5
        if top - bottom < 1e-9:
            bottom, top = bottom - 0.5, top + 0.5
        return left, right, bottom, top

    def _place(self, extent: tuple[float, float, float, float], x: float, value: float) -> QPointF:
        left, right, bottom, top = extent
        room = self._room()
        share = (math.log(max(x, self._least)) - left) / (right - left)
        up = (value - bottom) / (top - bottom)
        return QPointF(room.left() + room.width() * share, room.bottom() - room.height() * up)

    # --- the mouse ------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell the nearest point of the bold lines."""
        self._point(event.position())

    def leaveEvent(self, event: QEvent) -> None:
        """Point at nothing."""
        super().leaveEvent(event)
        self._set_pointed(None)

    def _point(self, at: QPointF) -> None:
        if not self.curves:
            return
        extent = self._extent()
        best: tuple[float, Curve, int] | None = None
        for curve in self.curves:
            for index, (x, value) in enumerate(zip(curve.x, curve.value, strict=True)):
                gone = self._place(extent, float(x), float(value)) - at
                away = math.hypot(gone.x(), gone.y()) + (0 if curve.largest else 3)
                if away <= _REACH and (best is None or away < best[0]):
                    best = (away, curve, index)
        self._set_pointed(None if best is None else best[1:])

    def _set_pointed(self, found: tuple[Curve, int] | None) -> None:
        if found == self._pointed:
            return
        self._pointed = found
        self.pointed.emit("" if found is None else self.sentence(*found))
        self.update()

    def sentence(self, curve: Curve, index: int) -> str:
        """A point in words."""
        where = {"steps": "step {}", "compute": "{} FLOPs", "parameters": "{} parameters"}
        low, high = number(curve.low[index]), number(curve.high[index])
        return (
            f"{curve.name}, {where[self._against].format(short(float(curve.x[index])))}: "
            f"{NAMES[self._metric]} {number(curve.value[index])}, 95 % interval {low} to {high}"
        )

    # --- painting -------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw frame, scales, bands, lines and marks."""
        colours = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        painter.setPen(QColor(colours.text))
        title = f"{NAMES[self._metric]}, {UNITS[self._metric]}"
        title = title[:1].upper() + title[1:]
        elided = painter.fontMetrics().elidedText(
            title, Qt.TextElideMode.ElideRight, self.width() - 8
        )
        painter.drawText(QPointF(6, 13), elided)
        if self.curves:
            extent = self._extent()
            self._scales(painter, extent)
            for curve in sorted(self.curves, key=lambda one: one.largest):
                self._draw(painter, extent, curve)
            for curve in self.curves:
                if curve.largest:
                    self._marks(painter, extent, curve)
            if self._pointed is not None:
                curve, index = self._pointed
                place = self._place(extent, float(curve.x[index]), float(curve.value[index]))
                painter.setPen(QPen(QColor(colours.hover), 1.5))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawEllipse(place, 5, 5)
        painter.end()

    def _scales(self, painter: QPainter, extent: tuple[float, float, float, float]) -> None:
        colours, room = theme.current(), self._room()
        _, _, bottom, top = extent
        painter.setPen(QPen(QColor(colours.line), 1))
        painter.drawLine(room.bottomLeft(), room.bottomRight())
        painter.drawLine(room.topLeft(), room.bottomLeft())
        across = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for value in (top, (top + bottom) / 2, bottom):
            y = self._place(extent, math.exp(extent[0]), value).y()
            painter.setPen(QPen(QColor(colours.line), 1, Qt.PenStyle.DotLine))
            painter.drawLine(QPointF(room.left(), y), QPointF(room.right(), y))
            painter.setPen(QColor(colours.muted))
            painter.drawText(QRectF(0, y - 7, _LEFT - 4, 14), int(across), number(value))
        centre = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop
        taken = -math.inf
        for tick in ticks_of(self.curves, self._least):
            x = self._place(extent, tick, bottom).x()
            said = short(tick) if tick > self._least else "0"
            wide = painter.fontMetrics().horizontalAdvance(said)
            if not room.left() - 1 <= x <= room.right() + 1 or x - wide / 2 < taken + 4:
                continue
            taken = x + wide / 2
            painter.drawText(QRectF(x - 30, room.bottom() + 2, 60, 14), int(centre), said)
        below = QRectF(room.left(), room.bottom() + 16, room.width(), 14)
        painter.drawText(below, int(centre), AXES[self._against])

    def _draw(
        self, painter: QPainter, extent: tuple[float, float, float, float], curve: Curve
    ) -> None:
        place = self.families.index(curve.family)
        colour = QColor(theme.category(place))
        points = [
            self._place(extent, float(x), float(v))
            for x, v in zip(curve.x, curve.value, strict=True)
        ]
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if not curve.largest:
            colour.setAlphaF(0.4)
            painter.setPen(QPen(colour, 1))
            painter.drawPolyline(QPolygonF(points))
            return
        edge = [
            self._place(extent, float(x), float(v)) for x, v in zip(curve.x, curve.low, strict=True)
        ]
        edge += [
            self._place(extent, float(x), float(v))
            for x, v in zip(curve.x[::-1], curve.high[::-1], strict=True)
        ]
        band = QColor(colour)
        band.setAlphaF(0.22)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(band)
        painter.drawPolygon(QPolygonF(edge))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colour, 2, line_style(place)))
        painter.drawPolyline(QPolygonF(points))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        for point in points:
            painter.drawEllipse(point, 2, 2)

    def _marks(
        self, painter: QPainter, extent: tuple[float, float, float, float], curve: Curve
    ) -> None:
        """A triangle where the induction score rises, a diamond where prefix matching does."""
        colours = theme.current()
        painter.setPen(QPen(QColor(colours.text), 1))
        painter.setBrush(QColor(theme.category(self.families.index(curve.family))))
        for at, corners in (
            (curve.rise, ((-6, -16), (6, -16), (0, -6))),
            (curve.matching, ((-5, 0), (0, -5), (5, 0), (0, 5))),
        ):
            if at is None:
                continue
            value = float(np.interp(at, curve.x, curve.value))
            centre = self._place(extent, at, value)
            painter.drawPolygon(QPolygonF([centre + QPointF(x, y) for x, y in corners]))
