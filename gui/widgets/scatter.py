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
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QWidget

from gui import theme
from gui.widgets import scatter_geometry as geometry
from gui.widgets import scatter_paint as paint
from gui.widgets.plane import Plane
from gui.widgets.readout import draw_readout
from gui.widgets.scatter_geometry import Box, LabelPlacer, Points, Range
from gui.widgets.scatter_labels import FittedTexts, paint_labels
from gui.widgets.token_axis import NO_MARKS, Marks

REACH = 12.0
"""How near the mouse must be to a point to mean it, in pixels."""

LIVELY = 200
"""Up to so many points move to their new places; more cannot be drawn often enough to be smooth."""

MARGIN = 64
"""Points this far beyond the edge are still drawn, for the sake of their labels."""


class ScatterMap(Plane):
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
    cloud_drawings : int
        How often the cloud was drawn.
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
        self.cloud_drawings = 0
        self._xy: Points = np.empty((0, 2))
        self._start: Points = self._xy
        self._labels: tuple[str, ...] = ()
        self._covariance: NDArray[np.float64] | None = None
        self._cloud: Points = np.empty((0, 2))
        self._categories: NDArray[np.int64] = np.empty(0, np.int64)
        self._palette: tuple[str | None, ...] | None = None
        self._cloud_box: Box | None = None
        self._titles = ("", "")
        self._message = ""
        self._readout: Callable[[int], str] | None = None
        self._marks = NO_MARKS
        self._under_mouse = -1
        self._versions = (0, 0)
        self._base: QPixmap | None = None
        self._base_key: tuple[object, ...] = ()
        self._cloud_image: QImage | None = None
        self._cloud_key: tuple[object, ...] = ()
        self._ground: QPixmap | None = None
        self._ground_key: tuple[object, ...] = ()
        self._ground_placer = LabelPlacer(0, 0)
        self._old_steps = paint.OldSteps()
        self._fitted = FittedTexts()

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
        self._versions = (self._versions[0] + 1, self._versions[1])
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

    def set_cloud(self, xy: ArrayLike, categories: ArrayLike | None = None) -> None:
        """Draw dots behind the points: (N, 2) positions, and (N,) a category index of each."""
        cloud = geometry.as_points(xy)
        kinds = np.zeros(len(cloud), np.int64) if categories is None else np.asarray(categories)
        if kinds.shape != (len(cloud),):
            raise ValueError(f"{len(cloud)} dots cannot have categories {kinds.shape}")
        # Neighbours in a file often share a category; drawn in that order the last would hide the
        # others wherever they overlap.
        order = np.random.default_rng(0).permutation(len(cloud))
        cloud, kinds = cloud[order], kinds[order].astype(np.int64)
        if np.array_equal(cloud, self._cloud) and np.array_equal(kinds, self._categories):
            return
        self._cloud, self._categories = cloud, kinds
        self._cloud_box = geometry.robust_bounds(cloud)
        self._versions = (self._versions[0], self._versions[1] + 1)
        if not self.by_hand and self.range is not None:
            self.go_to(self.fitted(), animated=False)
        self.update()

    def set_cloud_colours(self, palette: Sequence[str | None] | None) -> None:
        """Colour the cloud by category: ``#rrggbb`` or None (grey) for each; None: all grey."""
        made = None if palette is None else tuple(palette)
        if made != self._palette:
            self._palette = made
            self.update()

    @property
    def axis_names(self) -> tuple[str, str]:
        """What the axes are called, across and up."""
        return self._titles

    def set_axes(self, across: str, up: str) -> None:
        """Name the axes."""
        if (across, up) != self._titles:
            self._titles = (across, up)
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

    def content(self) -> Box | None:
        """The box round the points, their ellipses and nearly all of the cloud."""
        return geometry.join(geometry.bounds(self._xy, self._covariance), self._cloud_box)

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
        if seen is None or not len(self._xy):
            painter.setPen(QColor(colours.muted))
            painter.setFont(theme.ui_font())
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(12, 4, -12, -4), flags, self._message)
        else:
            painter.drawPixmap(0, 0, self._painted_base(colours, seen))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_hovered(painter)
        if self.hasFocus():
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(colours.accent), 1))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def _painted_base(self, colours: theme.Theme, seen: Range) -> QPixmap:
        """Everything but what the mouse changes, painted again only when it has to be."""
        ratio = self.devicePixelRatioF()
        place = (seen, self.size(), ratio, colours.dark, self._versions[1], self._palette)
        if place != self._cloud_key and len(self._cloud):
            self.cloud_drawings += 1
            self._cloud_image = paint.cloud_image(
                self._cloud, self._categories, self._palette, seen, size=self.size(), ratio=ratio
            )
        self._cloud_key = place
        marks = (self._marks.selected, self._marks.pinned)
        key = (*place, self._versions, self.share, marks, self._titles, self.joined)
        if self._base is None or key != self._base_key:
            base = self._painted_ground(colours, seen, place).copy()
            painter = QPainter(base)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_points(painter, seen)
            painter.end()
            self._base, self._base_key = base, key
        return self._base

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
            if self._cloud_image is not None and len(self._cloud):
                painter.drawImage(0, 0, self._cloud_image)
            placer = self._ground_placer = LabelPlacer(self.width(), self.height())
            button = self.fit_button.geometry()
            placer.take(button.x(), button.y(), button.width(), button.height())
            paint.paint_axes(painter, seen, self.size(), self._titles, placer)
            painter.end()
            self._ground, self._ground_key = ground, key
        return self._ground

    def _paint_points(self, painter: QPainter, seen: Range) -> None:
        at = self.pixels()
        beyond = (self.width() + MARGIN, self.height() + MARGIN)
        near: NDArray[np.bool_] = np.asarray(((at >= -MARGIN) & (at <= beyond)).all(axis=1))
        placer = self._ground_placer.copy()
        if self._covariance is not None:
            paint.paint_ellipses(
                painter, at, near, self._covariance, scale=seen.scale, marks=self._marks
            )
        if self.joined:
            paint.paint_path(painter, at, self.size(), self._old_steps)
        paint.paint_points(painter, at, near, self._marks, placer)
        self.written = paint_labels(
            painter,
            at,
            near,
            self._labels,
            marks=self._marks,
            placer=placer,
            fitted=self._fitted,
        )

    def _paint_hovered(self, painter: QPainter) -> None:
        index = self._marks.hovered if self._marks.hovered is not None else self._under_mouse
        if not 0 <= index < len(self._xy):
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
        """Tell which point the mouse is over."""
        self._hover(self.point_at(position))

    def click_at(self, position: QPointF) -> None:
        """Tell which point was clicked."""
        index = self.point_at(position)
        if index >= 0:
            self.pointClicked.emit(index)

    def _hover(self, index: int) -> None:
        if index != self._under_mouse:
            self._under_mouse = index
            hand, arrow = Qt.CursorShape.PointingHandCursor, Qt.CursorShape.ArrowCursor
            self.setCursor(hand if index >= 0 else arrow)
            self.pointHovered.emit(index)
            self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Step through the points in reading order."""
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
        index = steps.get(cast(Qt.Key, event.key()))
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if index is None or not plain or last < 0:
            super().keyPressEvent(event)
        elif index != here:
            self.pointClicked.emit(index)

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
            self._base, self._cloud_key = None, ()
            self.update()
        super().changeEvent(event)
