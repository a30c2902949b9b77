"""A map of labelled points: tokens in a plane, with their spread, their order and what lies behind.

Everything but the mark under the mouse is painted once into a pixmap and kept until something it
shows has changed, so that hovering costs next to nothing; the cloud behind is a picture of its own,
so that a selection does not draw fifty thousand dots again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QWidget

from gui import theme
from gui.widgets import scatter_geometry as geometry
from gui.widgets import scatter_paint as paint
from gui.widgets.cloud_plane import CloudPlane
from gui.widgets.drag_layer import DragLayer
from gui.widgets.readout import draw_readout
from gui.widgets.scatter_geometry import Box, LabelPlacer, Points, Range
from gui.widgets.scatter_labels import FittedTexts, paint_labels
from gui.widgets.scatter_old import OldPoints, Scene, paint_old
from gui.widgets.token_axis import NO_MARKS, Marks

REACH = 12.0
"""How near the mouse must be to a point to mean it, in pixels."""

LIVELY = 200
"""Up to so many points move to their new places; more cannot be drawn often enough to be smooth."""

MARGIN = 64
"""Points this far beyond the edge are still drawn, for the sake of their labels."""


class ScatterMap(CloudPlane):
    """Points in a plane, to hover, to click and to step through by the arrow keys.

    While new points arrive the range stays as long as they all lie inside it; where it has to
    change, it does so by a short motion. A part that the user chose is left alone.

    Parameters
    ----------
    name : str
        What the map shows, for those who hear it.
    joined : bool
        Whether a path joins the points in reading order.

    Attributes
    ----------
    written : dict of int to QRectF
        The points whose labels had room when the map was last painted, and where those stand.
    """

    pointHovered = Signal(int)
    """The mouse came to a point; −1 when it left."""

    pointClicked = Signal(int)
    """A point was clicked, or stepped to by a key."""

    def __init__(self, name: str, *, joined: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(name, parent)
        # What lies behind need not be painted first.
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.joined = joined
        self.written: dict[int, QRectF] = {}
        self._xy: Points = np.empty((0, 2))
        self._start: Points = self._xy
        self._labels: tuple[str, ...] = ()
        self._covariance: NDArray[np.float64] | None = None
        self._titles = ("", "")
        self._message = ""
        self._readout: Callable[[int], str] | None = None
        self._marks = NO_MARKS
        self._under_mouse = -1
        self._version = 0
        self._large = False
        self._base: QPixmap | None = None
        self._base_key: tuple[object, ...] = ()
        self._ground: QPixmap | None = None
        self._ground_key: tuple[object, ...] = ()
        self._ground_placer = LabelPlacer(0, 0)
        self._old_points = OldPoints()
        self._fitted = FittedTexts()
        self._drag_layer = DragLayer()

    # --- what is shown ---------------------------------------------------------------------------

    def set_points(
        self, xy: ArrayLike, labels: Sequence[str], covariance: ArrayLike | None = None
    ) -> None:
        """Show points in reading order.

        Parameters
        ----------
        xy : (T, 2)
            Positions. A point that is not finite is left out.
        labels : T strings
            What is written beside them.
        covariance : (T, 2, 2), optional
            Draws the 1-σ ellipse of each point, in squared units of `xy`.
        """
        points = geometry.as_points(xy).copy()
        points[~np.isfinite(points).all(axis=1)] = np.nan
        spread = None if covariance is None else np.array(covariance, np.float64)
        if len(labels) != len(points):
            raise ValueError(f"{len(points)} points cannot have {len(labels)} labels")
        if spread is not None and spread.shape != (len(points), 2, 2):
            raise ValueError(f"{len(points)} points cannot have covariances {spread.shape}")
        names = tuple(labels)
        if self._shows(points, names, spread):
            return
        drawn, before, inside_before = self.drawn_positions(), self._labels, self._all_inside()
        self._xy, self._labels, self._covariance = points, names, spread
        self._version += 1
        self._keep_chosen(before, names)
        if self._under_mouse >= len(points):
            self._under_mouse = -1
        goal = self.range
        if goal is None or not len(drawn):
            self._start = points
            if len(points) and not self.by_hand:
                self.go_to(self.fitted(), animated=False)
        elif len(points):
            wanted, lively = self._range_for_new_points(goal, inside_before), False
            self._start = points
            if len(points) <= LIVELY:
                shared = min(len(before), len(names))
                same = [i < shared and names[i] == before[i] for i in range(len(names))]
                self._start = geometry.moved_from(drawn, points, same)
                still = np.array_equal(self._start, points, equal_nan=True)
                lively = wanted != self.seen or not still
            self.go_to(wanted, animated=lively)
        self._describe()
        self.update()

    def _shows(
        self, xy: Points, labels: tuple[str, ...], covariance: NDArray[np.float64] | None
    ) -> bool:
        """Whether just this is shown: an answer to another question need not draw it again."""
        if labels != self._labels or not np.array_equal(xy, self._xy, equal_nan=True):
            return False
        if covariance is None or self._covariance is None:
            return covariance is self._covariance
        return np.array_equal(covariance, self._covariance, equal_nan=True)

    def _range_for_new_points(self, goal: Range, inside_before: bool) -> Range:
        """Leave the range as it is if it still serves."""
        inside = self._all_inside()
        if self.by_hand:
            if inside or not inside_before:
                return goal
            self.by_hand = False
        fitted = self.fitted()
        # Twice too small to fill the map is too small; less is not worth a jump.
        return goal if inside and fitted.scale < 2 * goal.scale else fitted

    @property
    def axis_names(self) -> tuple[str, str]:
        """What the axes are called, across and up."""
        return self._titles

    def set_axes(self, across: str, up: str) -> None:
        """Name the axes."""
        if (across, up) != self._titles:
            self._titles = (across, up)
            self.update()

    def set_large(self, large: bool) -> None:
        """Draw points larger than usual: each stands for more than a token."""
        if large != self._large:
            self._large = large
            self.update()

    def set_message(self, text: str) -> None:
        """Say this in the middle while there is no point."""
        self._message = text
        self.update()

    def set_readout(self, readout: Callable[[int], str] | None) -> None:
        """Say what stands beside the point under the mouse; may have lines."""
        self._readout = readout

    def set_marks(self, marks: Marks) -> None:
        """Outline the hovered point, fill the selected one, ring the pinned ones."""
        if marks != self._marks:
            self._marks = marks
            self._describe()
            self.update()

    def _describe(self) -> None:
        """Say which point is selected to those who hear the screen."""
        index, text = self._marks.selected, ""
        if index is not None and index < len(self._labels):
            text = f"{self._labels[index]}, point {index + 1} of {len(self._labels)}"
        if text != self.accessibleDescription():
            self.setAccessibleDescription(text)

    # --- where things are ------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many points there are."""
        return len(self._xy)

    def has_picture(self) -> bool:
        """Whether there is anything to draw but the message."""
        return bool(len(self._xy))

    def content(self) -> Box | None:
        """The box round the points, their ellipses and nearly all of the cloud."""
        return geometry.join(geometry.bounds(self._xy, self._covariance), self.cloud.box)

    def drawn_positions(self) -> Points:
        """Where the points are drawn now, (T, 2) in map units."""
        if self.share >= 1.0 or self._start is self._xy:
            return self._xy
        return self._start + (self._xy - self._start) * self.share

    def pixels(self) -> Points:
        """Where the points are drawn now, (T, 2) in pixels of this widget."""
        if self.seen is None:
            return np.full((len(self._xy), 2), np.nan)
        return self.seen.to_pixels(self.drawn_positions(), self.width(), self.height())

    def position_of(self, index: int) -> QPointF:
        """Where the point `index` is drawn now."""
        x, y = self.pixels()[index]
        return QPointF(float(x), float(y))

    def point_at(self, position: QPointF) -> int:
        """The point nearest to `position` if one is near enough, else −1."""
        if not len(self._xy):
            return -1
        away = self.pixels() - (position.x(), position.y())
        squared = np.nan_to_num((away**2).sum(axis=1), nan=np.inf)
        nearest = int(np.argmin(squared))
        return nearest if squared[nearest] <= REACH**2 else -1

    def fit(self) -> None:
        """Show everything, from now on too."""
        self._start = self._xy
        super().fit()

    def _all_inside(self) -> bool:
        if self.range is None or not len(self._xy):
            return False
        at = self.range.to_pixels(self._xy, self.width(), self.height())
        at = at[np.isfinite(at).all(axis=1)]
        return bool(((at >= 6) & (at <= (self.width() - 6, self.height() - 6))).all())

    # --- painting --------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Blit what is fixed, draw the hovered point and its read-out on top."""
        colours = theme.current()
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(colours.panel))  # the pixmap may end half a dot short
        seen = self.seen
        if seen is None or not self.has_picture():
            painter.setPen(QColor(colours.muted))
            painter.setFont(theme.ui_font())
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(12, 4, -12, -4), flags, self._message)
        else:
            if self.dragged:
                self._paint_dragged(painter, colours, seen)
            else:
                painter.drawPixmap(0, 0, self._painted_base(colours, seen))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_hovered(painter)
            self._lasso.paint(painter)
        if self.hasFocus():
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(colours.accent), 1))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def _painted_base(self, colours: theme.Theme, seen: Range) -> QPixmap:
        """Everything but what the mouse changes, painted again only when it has to be."""
        self._drag_layer.forget()
        place = self._place(colours, seen)
        key = (*place, *self._what(), self._titles)
        if self._base is None or key != self._base_key:
            ground = self._painted_ground(colours, seen, place)
            scene = self._scene(self.size())
            base, placer = self._old_points.on(
                ground, (*place, self._titles), scene, self._ground_placer
            )
            painter = QPainter(base)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self.written = self._paint_new(painter, scene, placer)
            painter.end()
            self._base, self._base_key = base, key
        return self._base

    def _place(self, colours: theme.Theme, seen: Range) -> tuple[object, ...]:
        """What the ground depends on."""
        return (seen, self.size(), self.devicePixelRatioF(), colours.dark, self.cloud.version)

    def _what(self) -> tuple[object, ...]:
        """What the picture of the points depends on, wherever they are seen."""
        marks = (self._marks.selected, self._marks.pinned, self.group)
        return (self._version, self.share, marks, self.joined, self._large)

    def _paint_dragged(self, painter: QPainter, colours: theme.Theme, seen: Range) -> None:
        """Paint the ground anew, and the points as they were drawn when the dragging began."""
        place = self._place(colours, seen)
        painter.drawPixmap(0, 0, self._painted_ground(colours, seen, place))

        key = (*self._what(), colours.dark)
        self._drag_layer.paint(painter, seen, self.size(), key, self._paint_all)
        index = self._marks.hovered
        box = self._drag_layer.written(index) if index is not None else None
        self.written = {} if index is None or box is None else {index: box}

    def _painted_ground(
        self, colours: theme.Theme, seen: Range, place: tuple[object, ...]
    ) -> QPixmap:
        """The cloud and the axes, which stay while points come and go."""
        key = (*place, self._titles)
        if self._ground is None or key != self._ground_key:
            ratio = self.devicePixelRatioF()
            ground = QPixmap(self.size() * ratio)
            ground.setDevicePixelRatio(ratio)
            ground.fill(QColor(colours.panel))
            painter = QPainter(ground)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            if len(self.cloud):
                dots = self.cloud.image(seen, self.size(), ratio, rough=self.panning)
                painter.drawImage(0, 0, dots)
            placer = self._ground_placer = LabelPlacer(self.width(), self.height())
            for shown in (self.fit_button, self.lasso_button):
                button = shown.geometry()
                placer.take(button.x(), button.y(), button.width(), button.height())
            self._paint_frame(painter, seen, placer)
            painter.end()
            self._ground, self._ground_key = ground, key
        return self._ground

    def _paint_frame(self, painter: QPainter, seen: Range, placer: LabelPlacer) -> None:
        """Draw what tells directions and lengths."""
        paint.paint_axes(painter, seen, self.size(), self._titles, placer)

    def _scene(self, size: QSize) -> Scene:
        """The points as they lie on a map of `size`."""
        assert self.seen is not None
        at = self.seen.to_pixels(self.drawn_positions(), size.width(), size.height())
        beyond = (size.width() + MARGIN, size.height() + MARGIN)
        near: NDArray[np.bool_] = np.asarray(((at >= -MARGIN) & (at <= beyond)).all(axis=1))
        scale, spread = self.seen.scale, self._covariance
        return Scene(size, at, near, spread, scale, self.joined, self._large)

    def _paint_all(self, painter: QPainter, size: QSize) -> dict[int, QRectF]:
        """Draw all points onto a map of `size`; tell where which labels were written."""
        scene, placer = self._scene(size), LabelPlacer(size.width(), size.height())
        if scene.first:
            paint_old(painter, scene, placer)
        return self._paint_new(painter, scene, placer)

    def _paint_new(self, painter: QPainter, scene: Scene, placer: LabelPlacer) -> dict[int, QRectF]:
        """Draw what is new, marked or written over the old points; tell where labels are."""
        marks, at, near, new = self._marks, scene.at, scene.near, scene.new
        if scene.covariance is not None:
            outlined = new.copy()
            marked = [i for i in (marks.selected, *marks.pinned) if i is not None and i < len(at)]
            outlined[marked] = near[marked]
            paint.paint_ellipses(
                painter, at, outlined, scene.covariance, scale=scene.scale, marks=marks
            )
        if scene.joined:
            paint.paint_path(painter, at, scene.size, scene.first)
        paint.paint_group(painter, at, near, self.group.tokens)
        paint.paint_points(painter, at, new, placer, large=scene.large)
        paint.paint_marked(painter, at, near, marks, large=scene.large)
        return paint_labels(
            painter,
            at,
            near,
            self._labels,
            marks=marks,
            placer=placer,
            fitted=self._fitted,
        )

    def _paint_hovered(self, painter: QPainter) -> None:
        index = self._marks.hovered if self._marks.hovered is not None else self._under_mouse
        if not 0 <= index < len(self._xy):
            self._paint_dot(painter)
            return
        centre = self.position_of(index)
        if math.isnan(centre.x()) or not QRectF(self.rect()).contains(centre):
            return
        own = index == self._under_mouse and self._readout is not None and not self.panning
        label = "" if own else self._labels[index]
        paint.paint_hovered(painter, centre, label, self.size(), self.written.get(index))
        if own and self._readout is not None:
            around = QRectF(centre.x() - 4, centre.y() - 4, 8, 8)
            draw_readout(painter, self.rect(), around, self._readout(index))

    # --- mouse and keys --------------------------------------------------------------------------

    def hover_at(self, position: QPointF) -> None:
        """Tell which point the mouse is over, or else which dot of the cloud."""
        index = self.point_at(position)
        away = math.inf
        if index >= 0:
            centre = self.position_of(index)
            away = math.hypot(centre.x() - position.x(), centre.y() - position.y())
        dot = self._dot_rather(position, away)
        self._hover(index if dot < 0 else -1, dot)

    def click_at(self, position: QPointF) -> None:
        """Tell which point was clicked."""
        index = self.point_at(position)
        if index >= 0:
            self.pointClicked.emit(index)

    def _hover(self, index: int, dot: int = -1) -> None:
        self._point_at_dot(dot)
        if index != self._under_mouse:
            self._under_mouse = index
            hand, arrow = Qt.CursorShape.PointingHandCursor, Qt.CursorShape.ArrowCursor
            self.setCursor(hand if index >= 0 else arrow)
            self.pointHovered.emit(index)
            self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Step through the points in reading order; Escape lets go of what was chosen."""
        if event.key() == Qt.Key.Key_Escape and self._let_go():
            return
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if not (plain and self.step_by(event.key())):
            super().keyPressEvent(event)

    def step_by(self, key: int) -> bool:
        """Step from the selected point as an arrow key, Home or End says; whether it is one."""
        last = len(self._xy) - 1
        here = self._marks.selected
        here = here if here is not None and here <= last else None
        onward, back = (0, last) if here is None else (min(here + 1, last), max(here - 1, 0))
        steps = {
            Qt.Key.Key_Right: onward,
            Qt.Key.Key_Down: onward,
            Qt.Key.Key_Left: back,
            Qt.Key.Key_Up: back,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }
        index = steps.get(cast(Qt.Key, key))
        if index is None or last < 0:
            return False
        if index != here:
            self.pointClicked.emit(index)
        return True

    # --- what else happens to a widget -----------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Notice the mouse leaving."""
        if event.type() == QEvent.Type.Leave:
            self._hover(-1)
        return super().event(event)

    def changeEvent(self, event: QEvent) -> None:
        """Paint anew in another theme or face."""
        kinds = (QEvent.Type.PaletteChange, QEvent.Type.FontChange, QEvent.Type.StyleChange)
        if event.type() in kinds and hasattr(self, "_base"):
            self._base = self._ground = None
            self._old_points.forget()
            self.update()
        super().changeEvent(event)
