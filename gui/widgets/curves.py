"""Small plots of curves that grow by a point an epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.widgets.legend import number

_LEFT, _TOP, _RIGHT, _BOTTOM = 44, 18, 8, 14


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve: `role` is ``train``, ``held`` or the index of a latent dimension."""

    name: str
    role: str | int
    values: tuple[float, ...]


class CurvePlot(QWidget):
    """Curves over epochs, with the last value of each of the first two in the title.

    Parameters
    ----------
    title, about : str
        What is plotted, with its unit, and what it means.
    """

    def __init__(self, title: str, about: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = title
        self.curves: tuple[Curve, ...] = ()
        self.setToolTip(f"<p>{about}</p>")
        self.setAccessibleName(title)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def set_curves(self, curves: Sequence[Curve]) -> None:
        """Draw these; what is not a number is left out."""
        self.curves = tuple(curves)
        said = ", ".join(f"{c.name} {number(c.values[-1])}" for c in curves if c.values)
        self.setAccessibleDescription(said)
        self.update()

    def minimumSizeHint(self) -> QSize:
        """Room for the title and a curve."""
        return QSize(140, 56)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw frame, scale, curves and title."""
        colours = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        room = QRectF(_LEFT, _TOP, self.width() - _LEFT - _RIGHT, self.height() - _TOP - _BOTTOM)
        painter.setPen(QColor(colours.text))
        line = painter.fontMetrics().elidedText(
            self.title, Qt.TextElideMode.ElideRight, self.width() - 8
        )
        painter.drawText(QPointF(4, 12), line)
        self._tell_last(painter, painter.fontMetrics().horizontalAdvance(line) + 12)
        painter.setPen(QPen(QColor(colours.line), 1))
        painter.drawLine(room.bottomLeft(), room.bottomRight())
        painter.drawLine(room.topLeft(), room.bottomLeft())
        finite = [v for curve in self.curves for v in curve.values if math.isfinite(v)]
        if finite and room.width() > 0 and room.height() > 0:
            low, high = min(finite), max(finite)
            if high - low < 1e-9:
                low, high = low - 0.5, high + 0.5
            last = max(1, max(len(curve.values) for curve in self.curves) - 1)
            painter.setPen(QColor(colours.muted))
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            for value, y in ((high, room.top()), (low, room.bottom())):
                painter.drawText(QRectF(0, y - 7, _LEFT - 4, 14), int(right), number(value))
            painter.drawText(
                QRectF(room.left(), room.bottom(), room.width(), 14), int(right), f"epoch {last}"
            )
            for curve in self.curves:
                pen = QPen(QColor(self._colour(curve)), 1 if isinstance(curve.role, int) else 2)
                painter.setPen(pen)
                line_ = QPolygonF(
                    [
                        QPointF(
                            room.left() + room.width() * index / last,
                            room.bottom() - room.height() * (value - low) / (high - low),
                        )
                        for index, value in enumerate(curve.values)
                        if math.isfinite(value)
                    ]
                )
                painter.drawPolyline(line_)
        painter.end()

    def _tell_last(self, painter: QPainter, left: float) -> None:
        """Name the curves and their last values beside the title, as far as there is room."""
        right = float(self.width() - _RIGHT)
        for curve in reversed(self.curves):
            if isinstance(curve.role, int) or not curve.values:
                continue
            said = f"{curve.name} {number(curve.values[-1])}"
            right -= painter.fontMetrics().horizontalAdvance(said)
            if right < left:
                return
            painter.setPen(QColor(self._colour(curve)))
            painter.drawText(QPointF(right, 12), said)
            right -= 8

    def _colour(self, curve: Curve) -> str:
        if isinstance(curve.role, int):
            return theme.category(curve.role)
        return theme.current().accent if curve.role == "held" else theme.current().muted
