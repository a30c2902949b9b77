"""A map of points that may lie in space: dragging turns them, and each view of them is a plane.

What is seen is an orthographic projection, so that all a map can do holds from every side: what is
pointed at, drawn round and decoded lies in the plane that is seen, and distances and ellipses are
true in it.

Shape letters: T points, N dots of the cloud.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter
from PySide6.QtWidgets import QWidget

from gui import theme
from gui.turning import HOME, Turn, seen_from, spread_from
from gui.widgets import scatter_paint as paint
from gui.widgets.depth_cloud import DepthCloud
from gui.widgets.gizmo import paint_gizmo, paint_scale
from gui.widgets.scatter import LIVELY, ScatterMap
from gui.widgets.scatter_geometry import Box, LabelPlacer, Points, Range
from gui.widgets.scatter_labels import paint_labels

DEGREES = 0.4
"""How far a pixel of dragging turns, in degrees."""

STEP = 5.0
"""How far an arrow key turns, in degrees."""

OUTLINED = 64
"""Of more points than these only the marked ones keep their ellipse while they are turned."""

_ARROWS = {
    Qt.Key.Key_Left: (STEP, 0.0),
    Qt.Key.Key_Right: (-STEP, 0.0),
    Qt.Key.Key_Up: (0.0, -STEP),
    Qt.Key.Key_Down: (0.0, STEP),
}
_FLAT = "Show everything again (0, or a double click on the map)."
_SOLID = (
    "<p>Show everything again, from where it was seen at first (0, or a double click). Dragging or "
    "the arrow keys turn the map; with Ctrl held down dragging moves it, and the arrow keys step "
    "through the tokens.</p>"
)


class TurningMap(ScatterMap):
    """A `ScatterMap` that shows points and dots of three coordinates too.

    It is `solid` once its axes have three names; then points are (T, 3), their covariances
    (T, 3, 3) and dots (N, 3).

    Attributes
    ----------
    turn : Turn
        From where they are seen.
    """

    turned = Signal()
    """They are seen from elsewhere."""

    cloud: DepthCloud

    def __init__(self, name: str, *, joined: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(name, joined=joined, parent=parent)
        self.cloud = DepthCloud()
        self.turn = HOME
        self._names: tuple[str, str, str] | None = None
        self._xyz = np.empty((0, 3))
        self._solid_spread: NDArray[np.float64] | None = None
        self._pivot = np.zeros(3)

    @property
    def solid(self) -> bool:
        """Whether there is a third coordinate."""
        return self._names is not None

    # --- what is shown ---------------------------------------------------------------------------

    def set_axes(self, across: str, up: str, away: str = "") -> None:
        """Name the axes; with a third name there are three coordinates from now on."""
        names = (across, up, away) if away else None
        if (names is None) != (self._names is None):
            # What is shown has as many coordinates as before until there is something else.
            self._names, self.turn, self._pivot = names, HOME, np.zeros(3)
            self._xyz, self._solid_spread = np.empty((0, 3)), None
            self.fit_button.setToolTip(_SOLID if names else _FLAT)
            self.set_points(np.empty((0, 2 + bool(names))), ())
            self.by_hand = False
        elif names != self._names:
            self._names = names
            self._ground = self._base = None
        super().set_axes(across, up)

    def set_points(
        self, xy: ArrayLike, labels: Sequence[str], covariance: ArrayLike | None = None
    ) -> None:
        """Show points in reading order, see `ScatterMap.set_points`; where solid, of three axes."""
        if not self.solid:
            super().set_points(xy, labels, covariance)
            return
        self._xyz = np.asarray(xy, np.float64).reshape(-1, 3)
        self._solid_spread = None if covariance is None else np.asarray(covariance, np.float64)
        seen, spread = self._seen_points()
        super().set_points(seen, labels, spread)

    def set_cloud(self, xy: ArrayLike, categories: ArrayLike | None = None) -> None:
        """Draw dots behind the points, (N, 2) or where solid (N, 3), see `CloudPlane.set_cloud`."""
        if not self.solid:
            super().set_cloud(xy, categories)
            return
        before = len(self.cloud)
        if not self.cloud.set_solid(xy, categories, self.turn):
            return
        self._pivot = np.zeros(3)
        self._place_points()
        self._cloud_changed(before)

    def _seen_points(self) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Where the points are seen, (T, 2), and their covariances there."""
        spread = self._solid_spread
        with np.errstate(invalid="ignore", over="ignore"):
            xy = seen_from(self.turn, self._xyz, self.cloud.centre)[:, :2]
            return xy, None if spread is None else spread_from(self.turn, spread)

    def _place_points(self) -> None:
        """Put the points at once where they are seen now."""
        xy, spread = self._seen_points()
        xy[~np.isfinite(xy).all(axis=1)] = np.nan
        self._xy = self._start = xy
        self._covariance = spread
        self._version += 1

    def content(self) -> Box | None:
        """The box round all there is to see, from whichever side."""
        if not self.solid:
            return super().content()
        radius = self.cloud.radius
        with np.errstate(invalid="ignore", over="ignore"):
            away = ((self._xyz - self.cloud.centre) ** 2).sum(axis=1)
        away = away[np.isfinite(away)]
        if len(away):
            radius = max(radius, float(np.sqrt(away.max())))
        elif not len(self.cloud):
            return None
        return -radius, -radius, radius, radius

    def seen_places(self) -> Points:
        """Where the points are seen once a motion has ended, (T, 2) in map units."""
        return self._xy

    # --- turning ---------------------------------------------------------------------------------

    def set_turn(self, turn: Turn) -> None:
        """See the points from elsewhere; what lies in the middle of the map stays there."""
        if turn == self.turn or not self.solid:
            return
        before, goal = self.turn.matrix, self.range
        self.turn = turn
        self.cloud.turn(turn)
        self._place_points()
        if goal is not None and self.by_hand:
            depth = self._pivot @ before[2]
            self._pivot = np.array([goal.x, goal.y, depth]) @ before
            x, y, _ = (turn.matrix @ self._pivot).tolist()
            self.go_to(Range(x, y, goal.scale), animated=False)
        self.update()
        self.turned.emit()

    def drag(self, by: QPointF, keys: Qt.KeyboardModifier) -> None:
        """Turn, or move with Ctrl held down."""
        if self.solid and not keys & Qt.KeyboardModifier.ControlModifier:
            self.set_turn(self.turn.turned(-DEGREES * by.x(), DEGREES * by.y()))
        else:
            super().drag(by, keys)

    def fit(self) -> None:
        """Show everything, from where it was seen at first."""
        self._pivot = np.zeros(3)
        self.set_turn(HOME)
        super().fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Turn by the arrow keys; with Ctrl held down they step through the points."""
        by = _ARROWS.get(Qt.Key(event.key())) if self.solid else None
        keys = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if by is None or keys not in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.ControlModifier,
        ):
            super().keyPressEvent(event)
        elif keys:
            self.step_by(event.key())
        else:
            self.set_turn(self.turn.turned(*by))

    # --- painting --------------------------------------------------------------------------------

    def _paint_frame(self, painter: QPainter, seen: Range, placer: LabelPlacer) -> None:
        if self._names is None:
            super()._paint_frame(painter, seen, placer)
            return
        paint_gizmo(painter, self.turn, self._names, self.size(), placer)
        paint_scale(painter, self.turn, seen.scale, self.size(), placer)

    def _paint_dragged(self, painter: QPainter, colours: theme.Theme, seen: Range) -> None:
        """Paint all anew, for nothing stays where it was; of very many points the least of them."""
        if not self.solid:
            super()._paint_dragged(painter, colours, seen)
            return
        size = self.size()
        if len(self.cloud):
            dots = self.cloud.image(seen, size, self.devicePixelRatioF(), rough=True)
            painter.drawImage(self.rect(), dots)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        placer = LabelPlacer(size.width(), size.height())
        self._paint_frame(painter, seen, placer)
        at = seen.to_pixels(self._xy, size.width(), size.height())
        near: NDArray[np.bool_] = np.asarray(np.isfinite(at).all(axis=1))
        # Smooth edges of lines are what takes longest, and nobody sees them while all moves.
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        if self._covariance is not None:
            marks, outlined = self._marks, near
            if self.count > OUTLINED:
                outlined = np.zeros_like(near)
                marked = [i for i in range(self.count) if i == marks.selected or i in marks.pinned]
                outlined[marked] = near[marked]
            paint.paint_ellipses(
                painter, at, outlined, self._covariance, scale=seen.scale, marks=marks
            )
        if self.joined:
            paint.paint_path(painter, at, size)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        paint.paint_group(painter, at, near, self.group.tokens)
        paint.paint_points(painter, at, near, placer, large=self._large)
        paint.paint_marked(painter, at, near, self._marks, large=self._large)
        self.written = {}
        if self.count <= LIVELY:
            self.written = paint_labels(
                painter,
                at,
                near,
                self._labels,
                marks=self._marks,
                placer=placer,
                fitted=self._fitted,
            )
