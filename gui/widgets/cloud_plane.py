"""A plane with a cloud behind, whose dots are pointed at, searched for and drawn round."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import QToolButton, QWidget

from gui import theme
from gui.widgets import scatter_paint as paint
from gui.widgets.cloud import Cloud
from gui.widgets.lasso import Group, Lasso, inside
from gui.widgets.plane import Plane
from gui.widgets.readout import draw_readout
from gui.widgets.scatter_geometry import Points

REACH = 6.0
"""How near the mouse must be to a dot to mean it, in pixels."""


class CloudPlane(Plane):
    """A plane with dots behind the points that a subclass draws.

    With Shift, or while the button *Lasso* is down, dragging draws a line round dots and points
    that are then chosen together.

    Attributes
    ----------
    cloud : Cloud
        The dots.
    group : Group
        What was chosen by drawing round it.
    """

    groupChosen = Signal(object)
    """Another `Group` was chosen, or an empty one: it was let go."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(name, parent)
        self.cloud = Cloud()
        self.group = Group()
        self._lasso = Lasso()
        self._cloud_readout: Callable[[int], str] | None = None
        self._cloud_under_mouse = -1

        self.lasso_button = QToolButton(self)
        self.lasso_button.setText("Lasso")
        self.lasso_button.setFont(theme.ui_font(theme.SMALL))
        self.lasso_button.setAutoRaise(True)
        self.lasso_button.setCheckable(True)
        self.lasso_button.setAccessibleName("Choose what you draw round")
        self.lasso_button.setToolTip(
            "Draw round points to choose them together; with Shift held down the mouse does so "
            "without this button. Escape lets go."
        )
        self.lasso_button.hide()

    def drawn_positions(self) -> Points:
        """Where the points are drawn now, (T, 2) in map units."""
        raise NotImplementedError

    # --- what is shown ---------------------------------------------------------------------------

    def set_cloud(self, xy: ArrayLike, categories: ArrayLike | None = None) -> None:
        """Draw dots behind the points: (N, 2) positions, and (N,) a category index of each."""
        before = len(self.cloud)
        if self.cloud.set(xy, categories):
            self._cloud_changed(before)

    def _cloud_changed(self, before: int) -> None:
        """There are other dots, where there were so many `before`."""
        self._cloud_under_mouse = -1
        if len(self.cloud) != before and len(self.group.cloud):
            self.choose((), self.group.tokens)
        if not self.by_hand and self.range is not None:
            self.go_to(self.fitted(), animated=False)
        self.update()

    def set_cloud_colours(self, palette: Sequence[str | None] | None) -> None:
        """Colour the cloud by category: ``#rrggbb`` or None (grey) for each; None: all grey."""
        if self.cloud.set_palette(palette):
            self.update()

    def set_found(self, found: ArrayLike | None) -> None:
        """Let these dots of the cloud stand out; None: nothing is searched for."""
        self.cloud.set_found(found)
        self.update()

    def choose(self, cloud: ArrayLike, tokens: ArrayLike) -> None:
        """Choose dots of the cloud and points together, by index; without any, let go."""
        self.cloud.set_chosen(cloud)
        kept = np.unique(np.asarray(tokens, np.int64))
        kept = kept[kept < len(self.drawn_positions())]
        before = self.group
        if not (
            np.array_equal(before.cloud, self.cloud.chosen) and np.array_equal(before.tokens, kept)
        ):
            self.group = Group(self.cloud.chosen, kept)
            self.groupChosen.emit(self.group)
            self.update()

    def set_cloud_readout(self, readout: Callable[[int], str] | None) -> None:
        """Say what stands beside the dot of the cloud under the mouse."""
        self._cloud_readout = readout

    def _keep_chosen(self, before: Sequence[str], names: Sequence[str]) -> None:
        """Of the points that were chosen, keep those that still go by the same name."""
        if len(self.group.tokens):
            shared = min(len(before), len(names))
            known = [i for i in self.group.tokens.tolist() if i < shared]
            self.choose(self.group.cloud, [i for i in known if names[i] == before[i]])

    # --- pointing --------------------------------------------------------------------------------

    def dot_at(self, position: QPointF) -> int:
        """The dot of the cloud nearest to `position` if one is near enough, else −1."""
        if self.seen is None or self._cloud_readout is None:
            return -1
        x, y = self.seen.to_map(position.x(), position.y(), self.width(), self.height())
        return self.cloud.nearest(x, y, REACH / self.seen.scale)

    def _dot_rather(self, position: QPointF, point: float) -> int:
        """The dot that is meant at `position` where a point is `point` pixels away, else −1."""
        dot = self.dot_at(position)
        if dot < 0 or self.seen is None:
            return -1
        x, y = self.seen.to_pixels(self.cloud.xy[dot], self.width(), self.height()).tolist()
        return dot if np.hypot(x - position.x(), y - position.y()) < point else -1

    def _point_at_dot(self, dot: int) -> None:
        if dot != self._cloud_under_mouse:
            self._cloud_under_mouse = dot
            self.update()

    def _paint_dot(self, painter: QPainter) -> None:
        index, seen = self._cloud_under_mouse, self.seen
        if seen is None or not 0 <= index < len(self.cloud) or self.panning:
            return
        x, y = seen.to_pixels(self.cloud.xy[index], self.width(), self.height()).tolist()
        paint.paint_cloud_hovered(painter, QPointF(x, y))
        if self._cloud_readout is not None:
            around = QRectF(x - 4, y - 4, 8, 8)
            draw_readout(painter, self.rect(), around, self._cloud_readout(index))

    # --- drawing round ---------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to draw round points, a click or a movement."""
        shift = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        wanted = self.lasso_button.isVisible() and (shift or self.lasso_button.isChecked())
        if wanted and event.button() == Qt.MouseButton.LeftButton and self.seen is not None:
            self._lasso.begin(event.position())
            self.panning = True  # what follows the mouse is not meant
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Draw on, hover, or drag the plane."""
        if self._lasso.drawing:
            self._lasso.go_on(event.position())
            self.update()
        else:
            super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Choose what lies in what was drawn; else it was a click."""
        if not self._lasso.drawing or self.seen is None:
            super().mouseReleaseEvent(event)
        elif event.button() == Qt.MouseButton.LeftButton:
            corners = self._lasso.finish(self.seen, self.width(), self.height())
            self.panning = False
            self.update()
            if corners is None:
                self.click_at(event.position())
            else:
                dots = np.flatnonzero(inside(self.cloud.xy, corners))
                self.choose(dots, np.flatnonzero(inside(self.drawn_positions(), corners)))

    def _let_go(self) -> bool:
        """Let go of what is being drawn, else of what was chosen; whether there was anything."""
        if self._lasso.drawing:
            self._lasso.cancel()
            self.panning = False
            self.update()
        elif self.group:
            self.choose((), ())
        else:
            return False
        return True

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the buttons in their corner."""
        super().resizeEvent(event)
        fit, hint = self.fit_button.geometry(), self.lasso_button.sizeHint()
        self.lasso_button.setGeometry(fit.x() - hint.width() - 2, fit.y(), hint.width(), 20)
