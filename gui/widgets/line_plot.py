"""A plot of lines with bands about them, for what is measured at numbers or at named places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.widgets.legend import number
from gui.widgets.readout import draw_readout

_LEFT, _TOP, _RIGHT, _BOTTOM = 46, 20, 10, 30
_NEAR = 24.0  # pixels within which a point is read out

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of points (n,).

    `role` is ``accent``, ``muted`` or the index of a category's colour; `low` and `high` (n,) bound
    the band about it, empty for none. What is not a number is left out.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    role: str | int = "accent"
    dashed: bool = False
    thin: bool = False


class LinePlot(QWidget):
    """Lines over a common axis, named in a line above them; the mouse reads points out.

    Parameters
    ----------
    title, about : str
        What is plotted, with its unit, and what it means.
    axis : str
        What runs along the horizontal axis.
    """

    def __init__(
        self, title: str, about: str, axis: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.title, self.axis = title, axis
        self.lines: tuple[Line, ...] = ()
        self._ticks: dict[float, str] = {}
        self._marks: tuple[float, ...] = ()
        self._level: tuple[float, str] | None = None
        self._bounds: tuple[float, float] | None = None
        self._logarithmic, self._named = False, True
        self._mouse: QPointF | None = None
        self.setMouseTracking(True)
        self.setToolTip(f"<p>{about}</p>")
        self.setAccessibleName(title)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def set_title(self, title: str, about: str = "") -> None:
        """Say what is plotted now."""
        self.title = title
        self.setAccessibleName(title)
        if about:
            self.setToolTip(f"<p>{about}</p>")
        self.update()

    def set_lines(
        self,
        lines: Sequence[Line],
        *,
        ticks: dict[float, str] | None = None,
        marks: Sequence[float] = (),
        level: tuple[float, str] | None = None,
        bounds: tuple[float, float] | None = None,
        logarithmic: bool = False,
        named: bool = True,
    ) -> None:
        """Draw these.

        Parameters
        ----------
        ticks : dict of float to str, optional
            What is written at which places of the horizontal axis; its ends by default.
        marks : sequence of float
            Places with an upright line.
        level : (float, str), optional
            A dotted line across, and its name.
        bounds : (float, float), optional
            What the vertical axis spans at least.
        logarithmic : bool
            Whether the horizontal axis is, for places above 0.
        named : bool
            Whether their names stand above, where nothing else says whose colour is whose.
        """
        self._named = named
        self.lines = tuple(lines)
        self._ticks, self._marks = dict(ticks or {}), tuple(marks)
        self._level, self._bounds, self._logarithmic = level, bounds, logarithmic
        said = ", ".join(f"{one.name} {number(_last(one.y))}" for one in lines if one.y)
        self.setAccessibleDescription(said)
        self.update()

    def minimumSizeHint(self) -> QSize:
        """Room for the title and a line."""
        return QSize(150, 84)

    def sizeHint(self) -> QSize:
        """Room to read it."""
        return QSize(320, 180)

    # --- where things are ------------------------------------------------------------------------

    def room(self) -> QRectF:
        """Where the lines are, in the widget's pixels."""
        return QRectF(_LEFT, _TOP, self.width() - _LEFT - _RIGHT, self.height() - _TOP - _BOTTOM)

    def place(self, x: float, y: float) -> QPointF:
        """Where a point is."""
        (left, right), (low, high), room = self._across(), self._up(), self.room()
        along = (self._scaled(x) - left) / (right - left)
        return QPointF(
            room.left() + room.width() * along,
            room.bottom() - room.height() * (y - low) / (high - low),
        )

    def _scaled(self, x: float) -> float:
        return math.log(max(x, 1e-9)) if self._logarithmic else x

    def _across(self) -> tuple[float, float]:
        given = [x for one in self.lines for x in one.x] + list(self._ticks)
        found = [self._scaled(x) for x in given if not self._logarithmic or x > 0]
        low, high = min(found, default=0.0), max(found, default=1.0)
        if high - low < 1e-9:
            low, high = low - 0.5, high + 0.5
        if self._ticks and not self._logarithmic:  # named places do not stand on the frame
            room = (high - low) * 0.04
            low, high = low - room, high + room
        return low, high

    def _up(self) -> tuple[float, float]:
        found = [
            y for one in self.lines for part in (one.y, one.low, one.high) for y in part
            if math.isfinite(y)
        ]  # fmt: skip
        found += list(self._bounds or ())
        low, high = min(found, default=0.0), max(found, default=1.0)
        if high - low < 1e-9:
            low, high = low - 0.5, high + 0.5
        return low, high

    # --- painting --------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw frame, scales, bands, lines, names and what the mouse points at."""
        colours, room = theme.current(), self.room()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        metrics = painter.fontMetrics()
        painter.setPen(QColor(colours.text))
        title = metrics.elidedText(self.title, Qt.TextElideMode.ElideRight, self.width() - 8)
        painter.drawText(QPointF(4, 13), title)
        self._paint_names(painter, metrics.horizontalAdvance(title) + 16.0)
        painter.setPen(QPen(QColor(colours.line), 1))
        painter.drawLine(room.bottomLeft(), room.bottomRight())
        painter.drawLine(room.topLeft(), room.bottomLeft())
        if any(one.y for one in self.lines) and room.width() > 0 and room.height() > 0:
            self._paint_scales(painter, room)
            for one in self.lines:
                self._paint_band(painter, one)
            for one in self.lines:
                self._paint_line(painter, one)
            self._paint_readout(painter)
        painter.end()

    def _paint_names(self, painter: QPainter, left: float) -> None:
        """Name the lines beside the title, as far as there is room, the first one first."""
        right = float(self.width() - _RIGHT)
        metrics = painter.fontMetrics()
        shown, wide = [], left
        for one in self.lines:
            if not one.name or not self._named:
                continue
            wide += metrics.horizontalAdvance(one.name) + 30
            if wide > right:
                break
            shown.append(one)
        x = right - sum(metrics.horizontalAdvance(one.name) + 30 for one in shown)
        for one in shown:
            painter.setPen(self._pen(one, 2))
            painter.drawLine(QPointF(x, 9), QPointF(x + 16, 9))
            painter.setPen(QColor(theme.current().text))
            painter.drawText(QPointF(x + 20, 13), one.name)
            x += metrics.horizontalAdvance(one.name) + 30

    def _paint_scales(self, painter: QPainter, room: QRectF) -> None:
        colours = theme.current()
        low, high = self._up()
        level = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        middle = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop
        painter.setPen(QColor(colours.muted))
        for value, y in ((high, room.top()), (low, room.bottom())):
            painter.drawText(QRectF(0, y - 7, _LEFT - 5, 14), int(level), number(value))
        ticks = self._ticks or self._ends()
        free = -1e9
        for place, name in sorted(ticks.items()):
            x = self.place(place, low).x()
            wide = painter.fontMetrics().horizontalAdvance(name)
            x = min(max(x, room.left() + wide / 2 - 4), self.width() - wide / 2 - 2)
            if x - wide / 2 < free:
                continue
            painter.drawText(QRectF(x - 60, room.bottom() + 2, 120, 14), int(middle), name)
            free = x + wide / 2 + 6
        painter.drawText(
            QRectF(room.left(), room.bottom() + 15, room.width(), 14), int(middle), self.axis
        )
        painter.setPen(QPen(QColor(colours.muted), 1, Qt.PenStyle.DotLine))
        for mark in self._marks:
            x = self.place(mark, low).x()
            painter.drawLine(QPointF(x, room.top()), QPointF(x, room.bottom()))
        if self._level is not None and low <= self._level[0] <= high:
            y = self.place(next(iter(ticks)), self._level[0]).y()
            painter.drawLine(QPointF(room.left(), y), QPointF(room.right(), y))
            painter.drawText(
                QRectF(room.left(), y - 14, room.width() - 2, 14), int(level), self._level[1]
            )

    def _ends(self) -> dict[float, str]:
        found = [x for one in self.lines for x in one.x]
        return {x: f"{x:,.0f}" for x in (min(found), max(found))} if found else {}

    def _paint_band(self, painter: QPainter, one: Line) -> None:
        if not one.low:
            return
        rows = [
            (x, low, high)
            for x, low, high in zip(one.x, one.low, one.high, strict=True)
            if math.isfinite(low) and math.isfinite(high)
        ]
        edge = [self.place(x, high) for x, _, high in rows]
        edge += [self.place(x, low) for x, low, _ in reversed(rows)]
        shade = QColor(self._colour(one))
        shade.setAlpha(48)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(shade)
        painter.drawPolygon(QPolygonF(edge))
        painter.setBrush(Qt.BrushStyle.NoBrush)

    def _paint_line(self, painter: QPainter, one: Line) -> None:
        points = [self.place(x, y) for x, y in zip(one.x, one.y, strict=True) if math.isfinite(y)]
        painter.setPen(self._pen(one, 1 if one.thin else 2))
        painter.drawPolyline(QPolygonF(points))
        if one.thin or len(points) > 16:
            return
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self._colour(one)))
        for point in points:
            painter.drawEllipse(point, 2.5, 2.5)
        painter.setBrush(Qt.BrushStyle.NoBrush)

    def _paint_readout(self, painter: QPainter) -> None:
        found = self.point_near(self._mouse) if self._mouse is not None else None
        if found is None:
            return
        one, index = found
        at = self.place(one.x[index], one.y[index])
        painter.setPen(QPen(QColor(theme.current().text), 1.5))
        painter.drawEllipse(at, 4, 4)
        draw_readout(painter, self.rect(), QRectF(at.x(), at.y(), 0, 0), self.told(one, index))

    def told(self, one: Line, index: int) -> str:
        """What is said of a point."""
        place = self._ticks.get(one.x[index]) or f"{one.x[index]:,.0f}"
        said = f"{one.name}: {number(one.y[index])}" if one.name else number(one.y[index])
        if one.low:
            said += f", 95 % interval {number(one.low[index])} to {number(one.high[index])}"
        return f"{said}\n{self.axis} {place}".rstrip()

    def point_near(self, position: QPointF) -> tuple[Line, int] | None:
        """The line and the index of the point nearest to a position; None where none is near."""
        best, found = _NEAR, None
        for one in self.lines:
            for index, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
                if not math.isfinite(y):
                    continue
                at = self.place(x, y) - position
                far = math.hypot(at.x(), at.y())
                if far < best:
                    best, found = far, (one, index)
        return found

    def _pen(self, one: Line, width: float) -> QPen:
        style = Qt.PenStyle.DashLine if one.dashed else Qt.PenStyle.SolidLine
        return QPen(QColor(self._colour(one)), width, style)

    def _colour(self, one: Line) -> str:
        if isinstance(one.role, int):
            return theme.category(one.role)
        return theme.current().accent if one.role == "accent" else theme.current().muted

    # --- mouse -----------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Read out the point that is nearest."""
        self._mouse = event.position()
        self.update()

    def leaveEvent(self, _event: QEvent) -> None:
        """Read out nothing."""
        self._mouse = None
        self.update()


def _last(values: Sequence[float]) -> float:
    """The last one that is a number."""
    return next((value for value in reversed(values) if math.isfinite(value)), math.nan)
