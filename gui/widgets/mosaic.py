"""Many small maps in a grid, as one image: layers by heads.

One image is the point: hundreds of separate items cost twenty times as much to paint. Each map is
coloured by its own largest value, so that a quiet head's pattern can be seen next to a loud one's.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import QWidget

from gui import theme
from gui.widgets.coding import Codes, encode
from gui.widgets.focus import by_keyboard, draw_focus
from gui.widgets.raster import colour_table, image, resize_all
from gui.widgets.readout import draw_readout
from gui.widgets.token_axis import step_for

LARGEST_SIDE = 96
"""A small map grows no larger than this many pixels."""

_EDGE = 20
_FOOT = 20
_NOWHERE = (-1, -1)


class Mosaic(QWidget):
    """Draw maps (L, H, s, s′): a row for each layer and a column for each head, or across.

    Whichever way lets the maps be larger is taken. The arrow keys move a cursor, Return or a click
    opens the map under it.

    Attributes
    ----------
    frames_painted : int
        How often the numbers round the maps were painted.
    """

    mapClicked = Signal(int, int)
    """Layer and head."""

    mapHovered = Signal(int, int)
    """Layer and head under the mouse or the cursor; −1, −1 for none."""

    sideChanged = Signal(int)
    """How many screen dots each map now has a side: more cells than that could not be seen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Attention maps of all heads")
        self.setMinimumSize(96, 96)
        # What lies behind need not be painted first.
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._maps = np.zeros((0, 0, 0, 0), np.float32)
        self._masked: NDArray[np.bool_] | None = None
        self._codes: Codes = np.zeros((0, 0, 0, 0), np.uint8)
        self._largest = np.zeros((0, 0), np.float32)
        self._current: tuple[int, int | None] = (0, None)
        self._cursor = _NOWHERE
        self._grid = (0, 0)
        self._side = 0
        self._keyed = False
        self._fixed: QPixmap | None = None
        self._frame: QPixmap | None = None
        self._frame_key: tuple[object, ...] = ()
        self.frames_painted = 0

    # --- what is shown ---------------------------------------------------------------------------

    def set_shape(self, layers: int, heads: int) -> None:
        """Say how many maps there will be, so that their size is known before they come."""
        if (layers, heads) != self._grid:
            self._grid = (layers, heads)
            self._cursor = _NOWHERE
            self._renew()
            self._measure()

    def set_maps(self, maps: NDArray[np.float32], masked: NDArray[np.bool_] | None = None) -> None:
        """Show `maps` (L, H, s, s′); `masked` (s, s′) are cells with nothing to show in any."""
        layers, heads, rows, columns = maps.shape
        self.set_shape(layers, heads)
        if self._shows(maps, masked):
            return
        # A map is one row of a matrix that is scaled by row: each by its own largest.
        flat = maps.reshape(layers * heads, rows * columns)
        hidden = None
        if masked is not None:
            hidden = np.broadcast_to(masked.reshape(1, -1), flat.shape)
        codes, _ = encode(flat, scaling="row", masked=hidden)
        self._maps, self._masked, self._codes = maps, masked, codes.reshape(maps.shape)
        shown = np.where(codes > 0, flat, -np.inf)
        largest = shown.max(axis=1, initial=-np.inf)
        self._largest = np.where(np.isfinite(largest), largest, np.nan).reshape(layers, heads)
        self._renew()

    def _shows(self, maps: NDArray[np.float32], masked: NDArray[np.bool_] | None) -> bool:
        """Whether just this is shown: an answer to another question need not be coded again."""
        if maps.flags.writeable or self._maps.flags.writeable:
            return False  # other numbers may be in it by now
        if masked is None or self._masked is None:
            alike = masked is self._masked
        else:
            alike = np.array_equal(masked, self._masked)
        return alike and np.array_equal(maps, self._maps)

    def set_current(self, layer: int, head: int | None) -> None:
        """Outline the map that is open elsewhere; the whole layer where the mean head is."""
        if (layer, head) != self._current:
            self._current = (layer, head)
            self.update()

    @property
    def cursor_map(self) -> tuple[int, int]:
        """Layer and head under the mouse or the keyboard's cursor, −1 for none."""
        return self._cursor

    @property
    def side(self) -> int:
        """Screen dots a map has along its longer side, 0 without any map."""
        return self._side

    @property
    def transposed(self) -> bool:
        """Whether layers run across and heads downwards."""
        layers, heads = self._grid
        across, down = self._pitch_of(layers, heads), self._pitch_of(heads, layers)
        return down[0] * down[1] > across[0] * across[1]

    # --- where things are ------------------------------------------------------------------------

    def _pitch_of(self, down: int, across: int) -> tuple[float, float]:
        """Pixels from one map to the next, across and down, if so many stand each way."""
        if not down or not across:
            return 0.0, 0.0
        wide = min(LARGEST_SIDE, (self.width() - _EDGE - 4) / across)
        high = min(LARGEST_SIDE, (self.height() - _EDGE - _FOOT) / down)
        # Nearly square, since a diagonal should look like one, and whole dots of the screen, so
        # that all maps look the same and are drawn in one go.
        ratio = self.devicePixelRatioF()
        return (
            max(1, int(min(wide, high * 2) * ratio)) / ratio,
            max(1, int(min(high, wide * 2) * ratio)) / ratio,
        )

    def _pitch(self) -> tuple[float, float]:
        layers, heads = self._grid
        return self._pitch_of(heads, layers) if self.transposed else self._pitch_of(layers, heads)

    def map_rect(self, layer: int, head: int) -> QRectF:
        """Where a map is, without its gap, in the widget's pixels."""
        wide, high = self._pitch()
        across, down = (layer, head) if self.transposed else (head, layer)
        gap = self._gap(wide, high)
        return QRectF(_EDGE + across * wide, _EDGE + down * high, wide - gap, high - gap)

    @staticmethod
    def _gap(wide: float, high: float) -> int:
        """Pixels between one map and the next; none where they would eat the maps."""
        least = min(wide, high)
        return 2 if least >= 12 else 1 if least >= 4 else 0

    def map_at(self, position: QPointF) -> tuple[int, int]:
        """Layer and head at a place, −1 for none."""
        wide, high = self._pitch()
        if not wide or position.x() < _EDGE or position.y() < _EDGE:
            return _NOWHERE
        across = int((position.x() - _EDGE) / wide)
        down = int((position.y() - _EDGE) / high)
        layer, head = (across, down) if self.transposed else (down, across)
        return (layer, head) if layer < self._grid[0] and head < self._grid[1] else _NOWHERE

    def _measure(self) -> None:
        wide, high = self._pitch()
        side = int(max(wide, high) * self.devicePixelRatioF())
        if side != self._side:
            self._side = side
            self.sideChanged.emit(side)

    def sizeHint(self) -> QSize:
        """Room for the default model's 30 × 9 maps."""
        return QSize(400, 320)

    # --- painting --------------------------------------------------------------------------------

    def _renew(self) -> None:
        self._fixed = None
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Blit the maps, outline the open one, say what is under the cursor."""
        ratio = self.devicePixelRatioF()
        if self._fixed is None or self._fixed.devicePixelRatioF() != ratio:
            self._fixed = self._paint_fixed(ratio)
        colours = theme.current()
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(colours.panel))  # the pixmap may end half a dot short
        painter.drawPixmap(0, 0, self._fixed)
        if self._codes.size:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(QColor(colours.accent), 2))
            painter.drawRect(self._current_rect().adjusted(-1, -1, 1, 1))
            layer, head = self._cursor
            if layer >= 0 and (self.underMouse() or self.hasFocus()):
                place = self.map_rect(layer, head)
                painter.setPen(QPen(QColor(colours.hover), 1.5))
                painter.drawRect(place.adjusted(-1, -1, 1, 1))
                draw_readout(painter, self.rect(), place, self.read_out(layer, head))
        if self._keyed and self.hasFocus():
            draw_focus(painter, self.rect())
        painter.end()

    def _current_rect(self) -> QRectF:
        layer, head = self._current
        layer = min(layer, self._grid[0] - 1)
        if head is not None and head < self._grid[1]:
            return self.map_rect(layer, head)
        return self.map_rect(layer, 0).united(self.map_rect(layer, self._grid[1] - 1))

    def _paint_fixed(self, ratio: float) -> QPixmap:
        colours = theme.current()
        pixmap = self._painted_frame(ratio).copy()
        if not self._codes.size:
            return pixmap
        painter = QPainter(pixmap)
        field, place = self._assemble(ratio)
        table = colour_table(colours.dark, False)
        # Masked cells: a grey, which no weight has.
        table[0] = QColor(colours.raised if colours.dark else colours.line).rgb()
        # The gaps have a code of their own, one that no weight was given.
        table[255] = QColor(colours.panel).rgb()
        painter.drawImage(place, image(field, table))
        painter.end()
        return pixmap

    def _painted_frame(self, ratio: float) -> QPixmap:
        """What stands round the maps, which stays while they change."""
        colours = theme.current()
        key = (self.size(), ratio, colours.dark, self._grid, bool(self._codes.size), self.font())
        if self._frame is None or key != self._frame_key:
            self.frames_painted += 1
            pixmap = QPixmap(self.size() * ratio)
            pixmap.setDevicePixelRatio(ratio)
            pixmap.fill(QColor(colours.panel))
            if self._codes.size:
                painter = QPainter(pixmap)
                self._paint_numbers(painter)
                painter.end()
            self._frame, self._frame_key = pixmap, key
        return self._frame

    def _assemble(self, ratio: float) -> tuple[Codes, QRectF]:
        """Put all maps into one array of codes at the screen's resolution."""
        wide, high = self._pitch()
        gap = round(self._gap(wide, high) * ratio)
        pitch = round(high * ratio), round(wide * ratio)
        # 255 is the gaps'; the largest weight takes the shade below, which no eye can tell apart.
        maps = resize_all(np.minimum(self._codes, 254), pitch[0] - gap, pitch[1] - gap)
        if self.transposed:
            maps = maps.swapaxes(0, 1)
        down, across = maps.shape[:2]
        field = np.full((down, pitch[0], across, pitch[1]), 255, np.uint8)
        field[:, : pitch[0] - gap, :, : pitch[1] - gap] = maps.swapaxes(1, 2)
        size = (down * pitch[0], across * pitch[1])
        return field.reshape(size), QRectF(_EDGE, _EDGE, size[1] / ratio, size[0] / ratio)

    def _paint_numbers(self, painter: QPainter) -> None:
        layers, heads = self._grid
        wide, high = self._pitch()
        painter.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        metrics = painter.fontMetrics()
        painter.setPen(QColor(theme.current().muted))
        down, across = (heads, layers) if self.transposed else (layers, heads)
        step = step_for(wide, metrics.horizontalAdvance(f"{across}") + 6)
        for index in range(0, across, step):
            box = QRectF(_EDGE + index * wide - 12, 0, wide + 22, _EDGE - 2)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, str(index))
        step = step_for(high, metrics.height() - 2)
        ends = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for index in range(0, down, step):
            box = QRectF(0, _EDGE + index * high - 8, _EDGE - 4, high + 15)
            painter.drawText(box, ends, str(index))
        names = ("head ↓  layer →") if self.transposed else ("layer ↓  head →")
        foot = QRectF(4, self.height() - _FOOT, self.width() - 8, _FOOT)
        text = f"{names} · each map coloured up to its own largest weight"
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, int(foot.width()))
        painter.drawText(foot, Qt.AlignmentFlag.AlignVCenter, text)

    def read_out(self, layer: int, head: int) -> str:
        """Name a map and say its largest weight."""
        text = f"L{layer}H{head}"
        if layer < self._largest.shape[0] and head < self._largest.shape[1]:
            largest = float(self._largest[layer, head])
            if np.isfinite(largest):
                text += f"  largest weight {largest:.2f}"
        return text

    # --- mouse and keys --------------------------------------------------------------------------

    def _point_at(self, place: tuple[int, int]) -> None:
        if place != self._cursor:
            self._cursor = place
            if place != _NOWHERE:
                self.setAccessibleDescription(self.read_out(*place))
            self.mapHovered.emit(*place)
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say what is under the mouse."""
        self._point_at(self.map_at(event.position()))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Open the map under the mouse."""
        place = self.map_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and place != _NOWHERE:
            self.mapClicked.emit(*place)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the cursor or open the map under it; leave keys with modifiers to the view."""
        key = cast(Qt.Key, event.key())
        modified = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        moves = {
            Qt.Key.Key_Up: (-1, 0),
            Qt.Key.Key_Down: (1, 0),
            Qt.Key.Key_Left: (0, -1),
            Qt.Key.Key_Right: (0, 1),
        }
        layers, heads = self._grid
        if modified or not layers or not heads:
            event.ignore()
        elif key in moves:
            down, across = moves[key]
            if self.transposed:
                down, across = across, down
            if self._cursor == _NOWHERE:
                self._point_at((min(self._current[0], layers - 1), self._current[1] or 0))
            else:
                layer, head = self._cursor
                layer = max(0, min(layer + down, layers - 1))
                self._point_at((layer, max(0, min(head + across, heads - 1))))
        elif (
            key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)
            and self._cursor != _NOWHERE
        ):
            self.mapClicked.emit(*self._cursor)
        elif key == Qt.Key.Key_Escape and self._cursor != _NOWHERE:
            self._point_at(_NOWHERE)
        else:
            super().keyPressEvent(event)

    # --- what else happens to a widget -----------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Forget the cursor when the mouse leaves."""
        if event.type() == QEvent.Type.Leave:
            self._point_at(_NOWHERE)
        return super().event(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show a frame where the focus came by a key."""
        self._keyed = by_keyboard(event)
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Hide the cursor of a widget the keys no longer reach."""
        self.update()
        super().focusOutEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Paint anew in another theme."""
        if event.type() == QEvent.Type.PaletteChange:
            self._renew()
        super().changeEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Paint anew in another size, which may ask for finer maps."""
        self._renew()
        self._measure()
        super().resizeEvent(event)
