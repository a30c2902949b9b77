"""What is decoded, drawn over the map: the point that is held, and the way of a walk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QEvent, QObject, QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from gui import theme
from gui.widgets.plane import Plane

ARM = 6.0
"""Half the width of the cross, in pixels."""

Place = tuple[float, float]


class DecodeMarks(QWidget):
    """A clear sheet over a map, which lets the mouse through.

    Parameters
    ----------
    plane : Plane
        The map it lies on, and with which it is painted.
    """

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane)
        self._plane = plane
        self.held: Place | None = None
        self.walk: tuple[Place, ...] = ()
        self.joined = True
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setGeometry(plane.rect())
        plane.installEventFilter(self)
        self.lower()

    def set_places(self, held: Place | None, walk: Sequence[Place], *, joined: bool) -> None:
        """Mark a place of the map with a cross, and others with dots, joined by a line or not.

        Places are in the units of the map.
        """
        if (held, tuple(walk), joined) != (self.held, self.walk, self.joined):
            self.held, self.walk, self.joined = held, tuple(walk), joined
            self.update()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the size of the map."""
        if event.type() == QEvent.Type.Resize:
            self.setGeometry(self._plane.rect())
        return False

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the walk, and the cross above it."""
        seen = self._plane.seen
        if seen is None or (self.held is None and not self.walk):
            return
        accent, ground = QColor(theme.current().accent), QColor(theme.current().panel)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)

        def pixels(places: Sequence[Place]) -> list[QPointF]:
            at = seen.to_pixels(np.array(places), self.width(), self.height())
            return [QPointF(x, y) for x, y in at.tolist()]

        if self.walk:
            dots = pixels(self.walk)
            if self.joined:
                painter.setPen(QPen(accent, 1, Qt.PenStyle.DotLine))
                painter.drawPolyline(dots)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(accent)
            for dot in dots:
                painter.drawEllipse(dot, 2, 2)
        if self.held is not None:
            (centre,) = pixels([self.held])
            x, y = QPointF(ARM, 0), QPointF(0, ARM)
            for colour, width in ((ground, 4.0), (accent, 2.0)):
                painter.setPen(QPen(colour, width))
                painter.drawLine(centre - x, centre + x)
                painter.drawLine(centre - y, centre + y)
        painter.end()
