"""A plane to drag and to zoom: which part of it is seen, and how the user moves that part."""

from __future__ import annotations

import os
from typing import cast

from PySide6.QtCore import QEvent, QPointF, QSize, Qt, QVariantAnimation
from PySide6.QtGui import (
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QApplication,
    QGestureEvent,
    QPinchGesture,
    QSizePolicy,
    QStyle,
    QToolButton,
    QWidget,
)

from gui import theme
from gui.widgets import scatter_geometry as geometry
from gui.widgets.scatter_geometry import Box, Range

MOTION_MS = 120
PADDING = 30.0


def motion_reduced(widget: QWidget) -> bool:
    """Whether nothing shall move: the style has animations off, or the user's environment says so.

    ``CONTEXTSCOPE_REDUCED_MOTION=1`` is for desktops whose setting Qt cannot read.
    """
    if os.environ.get("CONTEXTSCOPE_REDUCED_MOTION", "0") not in ("", "0"):
        return True
    return widget.style().styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration) == 0


class Plane(QWidget):
    """Shows a part of a plane with one scale for both axes.

    Dragging moves the plane; the wheel, a pinch, ``+`` and ``-`` zoom; ``0``, a double click and
    the button show everything. What is drawn, and what "everything" is, a subclass says.

    Parameters
    ----------
    name : str
        What the picture shows, for those who hear it.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.grabGesture(Qt.GestureType.PinchGesture)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(96, 72)
        self.by_hand = False
        self.panning = False
        self._pressed: QPointF | None = None
        self._seen: Range | None = None
        self._goal: Range | None = None
        self._origin: Range | None = None
        self._share = 1.0

        self._motion = QVariantAnimation(self)
        self._motion.setStartValue(0.0)
        self._motion.setEndValue(1.0)
        self._motion.setDuration(MOTION_MS)
        self._motion.valueChanged.connect(self._step)

        self.fit_button = QToolButton(self)
        self.fit_button.setText("Fit")
        self.fit_button.setFont(theme.ui_font(theme.SMALL))
        self.fit_button.setAutoRaise(True)
        self.fit_button.setAccessibleName("Show everything")
        self.fit_button.setToolTip("Show everything again (0, or a double click on the map).")
        self.fit_button.clicked.connect(self.fit)

    # --- what a subclass says --------------------------------------------------------------------

    def content(self) -> Box | None:
        """The box of all there is to see, in map units; None while there is nothing."""
        raise NotImplementedError

    def hover_at(self, position: QPointF) -> None:
        """The mouse is at `position`, no button pressed."""

    def click_at(self, position: QPointF) -> None:
        """The plane was clicked, not dragged."""

    # --- the range -------------------------------------------------------------------------------

    @property
    def range(self) -> Range | None:
        """What is shown once a motion has ended; None before there was anything to show."""
        return self._goal

    @property
    def seen(self) -> Range | None:
        """What is shown at this moment, in the middle of a motion too."""
        return self._seen

    @property
    def dragged(self) -> bool:
        """Whether the plane is being dragged by the mouse."""
        return self.panning and self._pressed is not None

    @property
    def share(self) -> float:
        """How much of a motion is done, 0..1."""
        return self._share

    def fitted(self) -> Range:
        """The range that shows everything."""
        padding = min(PADDING, 0.14 * self.width(), 0.14 * self.height())
        box = self.content() or (-1.0, -1.0, 1.0, 1.0)
        return geometry.fit(box, self.width(), self.height(), padding)

    def fit(self) -> None:
        """Show everything, from now on too."""
        self.by_hand = False
        if self._goal is not None:
            self.go_to(self.fitted(), animated=True)

    def zoom(self, factor: float, at: QPointF | None = None) -> None:
        """Enlarge by `factor` round a pixel, the middle where none is given."""
        if self._goal is None:
            return
        fitted, scale = self.fitted().scale, self._goal.scale
        factor = min(max(scale * factor, fitted / 20), fitted * 2000) / scale
        at = QPointF(self.width() / 2, self.height() / 2) if at is None else at
        self.by_hand = True
        goal = self._goal.zoomed(factor, at.x(), at.y(), self.width(), self.height())
        self.go_to(goal, animated=False)

    def pan(self, by: QPointF) -> None:
        """Drag the plane by so many pixels."""
        if self._goal is not None:
            self.by_hand = True
            self.go_to(self._goal.moved(by.x(), by.y()), animated=False)

    def drag(self, by: QPointF, keys: Qt.KeyboardModifier) -> None:
        """The mouse was moved by so many pixels with its button and these keys down."""
        self.pan(by)

    def go_to(self, goal: Range, *, animated: bool) -> None:
        """Show `goal`, by a short motion where one is wanted and allowed."""
        self._motion.stop()
        self._origin, self._goal = self._seen or goal, goal
        if animated and self.isVisible() and not motion_reduced(self):
            self._share, self._seen = 0.0, self._origin
            self._motion.start()
        else:
            self._step(1.0)

    def _step(self, share: object) -> None:
        if isinstance(share, float) and self._goal is not None and self._origin is not None:
            self._share = share
            self._seen = self._goal if share >= 1 else self._origin.towards(self._goal, share)
            self.update()

    # --- mouse, wheel, keys ----------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click or a movement."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed, self.panning = event.position(), False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Hover, or drag the plane."""
        here = event.position()
        if self._pressed is None:
            self.hover_at(here)
            return
        moved = here - self._pressed
        if not self.panning:
            self.panning = moved.manhattanLength() >= QApplication.startDragDistance()
        if self.panning:
            self._pressed = here
            self.drag(moved, event.modifiers())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Click, unless the plane was dragged."""
        if event.button() != Qt.MouseButton.LeftButton or self._pressed is None:
            return
        clicked = not self.panning
        self._pressed, self.panning = None, False
        self.update()
        if clicked:
            self.click_at(event.position())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show everything again."""
        self.fit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom; a touch pad's two fingers drag the plane."""
        pad = event.pixelDelta()
        if not pad.isNull() and event.phase() != Qt.ScrollPhase.NoScrollPhase:
            self.pan(QPointF(pad))
        elif event.angleDelta().y():
            self.zoom(1.2 ** (event.angleDelta().y() / 120), event.position())
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Zoom or show everything; leave other keys to what is around."""
        allowed = Qt.KeyboardModifier.KeypadModifier | Qt.KeyboardModifier.ShiftModifier
        key = event.key()
        if event.modifiers() & ~allowed:
            super().keyPressEvent(event)
        elif key == Qt.Key.Key_0:
            self.fit()
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom(1.5)
        elif key == Qt.Key.Key_Minus:
            self.zoom(1 / 1.5)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Take a pinch, of a touch pad or of two fingers on the screen."""
        kind = event.type()
        if kind == QEvent.Type.NativeGesture:
            native = cast(QNativeGestureEvent, event)
            if native.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
                self.zoom(max(1 + native.value(), 0.1), native.position())
                return True
        elif kind == QEvent.Type.Gesture:
            pinch = cast(QGestureEvent, event).gesture(Qt.GestureType.PinchGesture)
            if isinstance(pinch, QPinchGesture):
                centre = QPointF(self.mapFromGlobal(pinch.centerPoint().toPoint()))
                self.zoom(max(pinch.scaleFactor(), 0.1), centre)
                return True
        return super().event(event)

    # --- what else happens to a widget -----------------------------------------------------------

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show where the keys go."""
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Show that the keys go elsewhere."""
        super().focusOutEvent(event)
        self.update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show the same in another size: everything, unless the user chose a part."""
        hint = self.fit_button.sizeHint()
        self.fit_button.setGeometry(self.width() - hint.width() - 4, 4, hint.width(), 20)
        if self._goal is not None and not self.by_hand:
            self.go_to(self.fitted(), animated=False)
        super().resizeEvent(event)

    def sizeHint(self) -> QSize:
        """Room for the map of a sentence."""
        return QSize(320, 220)
