"""A matrix as colours, with labels, a legend and a read-out; crisp, quick, true to lone peaks.

What does not change between two movements of the mouse (cells, labels, legend) is painted once
into a pixmap; a paint event blits it and draws the marks on top. Cells and labels come from tiles
at the screen's resolution, which moving the picture moves and does not draw again, see
`gui.widgets.tiles`. Held are a byte a cell, about another in halves of them, and the tiles.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Unpack, cast

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication, QWidget

from gui import theme
from gui.widgets.coding import Coder, ColourScale, How
from gui.widgets.focus import by_keyboard, draw_focus
from gui.widgets.grid import draw_bands, draw_bounds, draw_grid
from gui.widgets.hatch import draw_hatch
from gui.widgets.legend import draw_legend
from gui.widgets.raster import Raster, colour_table
from gui.widgets.readout import draw_readout
from gui.widgets.tiles import Tiles, snapped
from gui.widgets.token_axis import NO_MARKS, LabelAxis, Marks
from gui.widgets.zoom import Zoom

LARGEST_CELL = 64
"""Cells grow no larger than this many pixels, so that one token does not fill a panel."""

ENOUGH = 32
"""An axis whose cells have this many pixels is not magnified any further."""

_LEGEND = 24
_NOWHERE = (-1, -1)


class HeatMap(QWidget):
    """Draw a matrix (R, C), rows downwards.

    Wheel or pinch magnifies, dragging moves, a double click, 0 or Home shows all again; the
    arrow keys move a cursor from cell to cell and Return clicks it.
    """

    cellHovered = Signal(int, int)
    """Row and column under the mouse or the cursor; −1 for an axis the mouse is not over."""

    cellClicked = Signal(int, int)
    rowClicked = Signal(int)
    columnClicked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Heat map")
        self.setMinimumSize(120, 96)
        self._raster = Raster(np.zeros((0, 0), np.uint8))
        self._tiles = Tiles()
        self._scale = ColourScale(0.0, 1.0)
        self._has_masked = False
        self._rows, self._columns = Zoom(), Zoom()
        self._row_axis, self._column_axis = LabelAxis((), True), LabelAxis((), False)
        self._row_marks, self._column_marks = NO_MARKS, NO_MARKS
        self._readout: Callable[[int, int], str] | None = None
        self._quantity, self._masked_name = "", "nothing here"
        self._cursor = _NOWHERE
        self._pressed: QPointF | None = None
        self._dragging = False
        self._keyed = False
        self._fixed: QPixmap | None = None
        self._coder = Coder()
        self._stale = sys.maxsize  # the first row that is not in the fixed picture as it is now

    # --- what is shown ---------------------------------------------------------------------------

    def set_data(self, values: NDArray[np.float32], **how: Unpack[How]) -> None:
        """Show `values` (R, C); see `gui.widgets.coding.How` for what the rest means.

        The part that is seen and the cursor are kept as far as they still exist.
        """
        if values.ndim != 2:
            raise ValueError(f"a heat map shows a matrix, not an array of shape {values.shape}")
        codes, scale, first = self._coder.encode(values, **how)
        known = (codes.shape, scale, not codes.all())
        stays = known == (self._raster.codes.shape, self._scale, self._has_masked)
        _, self._scale, self._has_masked = known
        self._raster = Raster(codes)
        self._rows.set_count(codes.shape[0])
        self._columns.set_count(codes.shape[1])
        row, column = self._cursor
        if row >= codes.shape[0] or column >= codes.shape[1]:
            self._cursor = _NOWHERE
        if stays and first:
            self._tiles.follow(self._raster, first)
            self._stale = min(self._stale, first)
            # What is said of the cell under the mouse may have changed too.
            self.update(self._below(first) if self._cursor == _NOWHERE else self.rect())
        else:
            self._renew()

    def set_labels(self, rows: Sequence[str] | None, columns: Sequence[str] | None) -> None:
        """Name the rows (at the left) and the columns (above); None for none."""
        before = self._written()
        self._row_axis.set_labels(rows or ())
        self._column_axis.set_labels(columns or ())
        if self._written() != before:
            self._renew()
        elif self._row_marks != NO_MARKS or self._column_marks != NO_MARKS:
            self.update()  # a marked label may have changed

    def _written(self) -> tuple[object, ...]:
        """What the labels make of the picture: where its cells are, and what is written there."""
        plot = self.plot_rect()
        wide, high = self._cell_size(plot)
        return (
            plot.getRect(),
            self._row_axis.written(self._rows.start, plot.height(), high),
            self._column_axis.written(self._columns.start, plot.width(), wide),
        )

    def set_marks(self, rows: Marks = NO_MARKS, columns: Marks = NO_MARKS) -> None:
        """Mark what is hovered, selected and pinned along each axis."""
        if (rows, columns) != (self._row_marks, self._column_marks):
            self._row_marks, self._column_marks = rows, columns
            self.update()

    def set_readout(self, readout: Callable[[int, int], str] | None) -> None:
        """Say what stands next to the cursor for the cell (row, column); may have lines."""
        self._readout = readout

    def set_legend(self, quantity: str, masked: str = "nothing here") -> None:
        """Name what the colours stand for, and what an empty cell means."""
        if (quantity, masked) != (self._quantity, self._masked_name):
            self._quantity, self._masked_name = quantity, masked
            self._renew()

    @property
    def scale(self) -> ColourScale:
        """Which values the colours stand for now."""
        return self._scale

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return self._rows.count, self._columns.count

    @property
    def cursor_cell(self) -> tuple[int, int]:
        """Row and column under the mouse or the keyboard's cursor, −1 for none."""
        return self._cursor

    # --- where things are ------------------------------------------------------------------------

    def plot_rect(self) -> QRectF:
        """Where the cells are, in the widget's pixels."""
        rows, columns = self._rows.span, self._columns.span
        width, height = float(self.width()), float(self.height())
        left = self._row_axis.strip(0, min(128.0, width * 0.25))
        right = 4.0
        across = max(1.0, min(width - left - right, columns * LARGEST_CELL))
        cell = across / columns if columns else 0.0
        top = self._column_axis.strip(cell, min(112.0, height * 0.25)) or 4.0
        down = max(1.0, min(height - top - _LEGEND - 4, rows * LARGEST_CELL))
        return QRectF(left, top, across, down)

    def cell_rect(self, row: int, column: int) -> QRectF:
        """Where a cell is, in the widget's pixels; beyond the plot where it is not in view."""
        plot = self.plot_rect()
        wide, high = self._cell_size(plot)
        return QRectF(
            plot.left() + (column - self._columns.start) * wide,
            plot.top() + (row - self._rows.start) * high,
            wide,
            high,
        )

    def cell_at(self, position: QPointF) -> tuple[int, int]:
        """Row and column at `position`; −1 for an axis that `position` is not beside or over."""
        plot = self.plot_rect()
        wide, high = self._cell_size(plot)
        if not wide or not high:
            return _NOWHERE
        row = column = -1
        if plot.top() <= position.y() < plot.bottom() and position.x() < plot.right():
            row = int(self._rows.start + (position.y() - plot.top()) / high)
        if plot.left() <= position.x() < plot.right() and position.y() < plot.bottom():
            column = int(self._columns.start + (position.x() - plot.left()) / wide)
        return min(row, self._rows.count - 1), min(column, self._columns.count - 1)

    def _cell_size(self, plot: QRectF) -> tuple[float, float]:
        rows, columns = self._rows.span, self._columns.span
        return (
            plot.width() / columns if columns else 0.0,
            plot.height() / rows if rows else 0.0,
        )

    def sizeHint(self) -> QSize:
        """Room for a few dozen tokens with their labels."""
        return QSize(480, 400)

    # --- painting --------------------------------------------------------------------------------

    def _renew(self) -> None:
        self._fixed = None
        self.update()

    def _below(self, row: int) -> QRect:
        """The part of the picture from a row on, with the dots that it shares with others."""
        plot = self.plot_rect()
        top = self.cell_rect(row, 0).top() - 3 / self.devicePixelRatioF()
        return plot.intersected(QRectF(0, top, self.width(), self.height())).toAlignedRect()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Blit what is fixed, draw the marks and the read-out on top."""
        ratio = self.devicePixelRatioF()
        if self._fixed is None or self._fixed.devicePixelRatioF() != ratio:
            self._fixed = self._paint_fixed(ratio)
        elif self._stale < self._rows.count:
            mending = QPainter(self._fixed)
            mending.setClipRect(self._below(self._stale))
            mending.fillRect(self._below(self._stale), QColor(theme.current().panel))
            self._paint_cells(mending, self.plot_rect(), ratio, self._stale)
            mending.end()
        self._stale = sys.maxsize
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._fixed)
        if self._raster.codes.size:
            self._paint_marks(painter)
        if self._keyed and self.hasFocus():
            draw_focus(painter, self.rect())
        painter.end()

    def _paint_fixed(self, ratio: float) -> QPixmap:
        colours = theme.current()
        pixmap = QPixmap(self.size() * ratio)
        pixmap.setDevicePixelRatio(ratio)
        pixmap.fill(QColor(colours.panel))
        if not self._raster.codes.size:
            return pixmap
        painter = QPainter(pixmap)
        plot = self.plot_rect()
        wide, high = self._cell_size(plot)
        self._paint_cells(painter, plot, ratio)
        self._row_axis.draw(painter, self._row_strip(plot), self._rows.start, high)
        self._column_axis.draw(painter, self._column_strip(plot), self._columns.start, wide)
        foot = QRectF(plot.left(), self.height() - _LEGEND, self.width() - plot.left(), _LEGEND)
        draw_legend(
            painter,
            foot if plot.left() < self.width() / 4 else foot.adjusted(4 - plot.left(), 0, 0, 0),
            self._scale,
            colour_table(colours.dark, self._scale.signed),
            quantity=self._quantity,
            masked=self._masked_name if self._has_masked else "",
        )
        painter.end()
        return pixmap

    def _paint_cells(self, painter: QPainter, plot: QRectF, ratio: float, first: int = 0) -> None:
        """Paint the cells on the bare panel, those before the row `first` only if need be."""
        colours = theme.current()
        wide, high = self._cell_size(plot)
        if self._has_masked:
            draw_hatch(painter, plot, ratio)
        table = colour_table(colours.dark, self._scale.signed)
        start, pitch = (self._rows.start, self._columns.start), (high * ratio, wide * ratio)
        self._tiles.paint(painter, plot, self._raster, table, start, pitch, ratio, first)
        draw_grid(painter, plot, self._rows, self._columns, high, wide)
        painter.setPen(QPen(QColor(colours.line), 1))
        painter.drawRect(plot.adjusted(-0.5, -0.5, 0.5, 0.5))

    def _row_strip(self, plot: QRectF) -> QRectF:
        return QRectF(0, plot.top(), plot.left(), plot.height())

    def _column_strip(self, plot: QRectF) -> QRectF:
        return QRectF(plot.left(), 0, plot.width(), plot.top())

    def _paint_marks(self, painter: QPainter) -> None:
        colours = theme.current()
        plot = self.plot_rect()
        wide, high = self._cell_size(plot)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.save()
        painter.setClipRect(plot.adjusted(-2, -2, 2, 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for marks, zoom, size, is_row in (
            (self._column_marks, self._columns, wide, False),
            (self._row_marks, self._rows, high, True),
        ):
            draw_bands(painter, plot, zoom, size, marks, is_row)
            draw_bounds(painter, plot, zoom, size, marks.range, is_row)
        painter.restore()
        self._row_axis.draw_marks(
            painter, self._row_strip(plot), self._rows.start, high, self._row_marks
        )
        self._column_axis.draw_marks(
            painter, self._column_strip(plot), self._columns.start, wide, self._column_marks
        )
        row, column = self._cursor
        if row >= 0 and column >= 0 and (self.underMouse() or self.hasFocus()):
            cell = self.cell_rect(row, column)
            if plot.intersects(cell):
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(QPen(QColor(colours.text), 1.5))
                painter.drawRect(cell.intersected(plot))
                if self._readout is not None and not self._dragging:
                    draw_readout(painter, self.rect(), cell, self._readout(row, column))

    # --- mouse, wheel, keys ----------------------------------------------------------------------

    def _point_at(self, cell: tuple[int, int]) -> None:
        if cell == self._cursor:
            return
        self._cursor = cell
        if min(cell) >= 0 and self._readout is not None:
            self.setAccessibleDescription(self._readout(*cell))
        self.cellHovered.emit(*cell)
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click or a movement."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed = event.position()
            self._dragging = False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Hover, or move what is seen."""
        here = event.position()
        if self._pressed is None:
            self._point_at(self.cell_at(here))
            return
        moved = here - self._pressed
        if not self._dragging:
            self._dragging = moved.manhattanLength() >= QApplication.startDragDistance()
            if not self._dragging:
                return
        self._pressed = here
        self._pan(moved)

    def _pan(self, pixels: QPointF) -> None:
        wide, high = self._cell_size(self.plot_rect())
        before = (self._columns.start, self._rows.start)
        if wide and high:
            self._columns.move(-pixels.x() / wide)
            self._rows.move(-pixels.y() / high)
        self._snap()
        if before != (self._columns.start, self._rows.start):
            self._renew()

    def _snap(self) -> None:
        """Let the picture begin on a whole dot of the screen, so that tiles need no blending."""
        wide, high = self._cell_size(self.plot_rect())
        ratio = self.devicePixelRatioF()
        self._columns.start = snapped(self._columns.start, wide * ratio)
        self._rows.start = snapped(self._rows.start, high * ratio)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Click, unless the mouse moved what is seen."""
        if event.button() != Qt.MouseButton.LeftButton or self._pressed is None:
            return
        clicked = not self._dragging
        self._pressed, self._dragging = None, False
        self.update()
        if clicked:
            self._click(*self.cell_at(event.position()))

    def _click(self, row: int, column: int) -> None:
        if row >= 0 and column >= 0:
            self.cellClicked.emit(row, column)
        elif row >= 0:
            self.rowClicked.emit(row)
        elif column >= 0:
            self.columnClicked.emit(column)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show all again."""
        self.fit()

    def zoom_to(self, rows: tuple[int, int] | None, columns: tuple[int, int] | None) -> None:
        """Show just some rows and columns, from the first to before the last number; None: all."""
        for zoom, part in ((self._rows, rows), (self._columns, columns)):
            zoom.fit() if part is None else zoom.show(*part)
        self._snap()
        self._renew()

    def fit(self) -> None:
        """Show all cells."""
        self._rows.fit()
        self._columns.fit()
        self._renew()

    def magnify(self, factor: float, at: QPointF | None = None) -> None:
        """Magnify crowded axes by `factor` round the position `at` (the middle by default)."""
        plot = self.plot_rect()
        wide, high = self._cell_size(plot)
        if not wide or not high:
            return
        at = at if at is not None and plot.contains(at) else plot.center()
        self._columns.magnify(
            factor, self._columns.start + (at.x() - plot.left()) / wide, plot.width() / ENOUGH
        )
        self._rows.magnify(
            factor, self._rows.start + (at.y() - plot.top()) / high, plot.height() / ENOUGH
        )
        self._snap()
        self._renew()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Magnify; a touch pad's two fingers move what is seen."""
        pad = event.pixelDelta()
        if not pad.isNull() and event.phase() != Qt.ScrollPhase.NoScrollPhase:
            self._pan(QPointF(pad))
        elif event.angleDelta().y():
            self.magnify(1.2 ** (event.angleDelta().y() / 120), event.position())
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the cursor, click, magnify or show all; leave other keys to the view."""
        key = event.key()
        plain = not event.modifiers() & ~(
            Qt.KeyboardModifier.KeypadModifier | Qt.KeyboardModifier.ShiftModifier
        )
        steps = {
            Qt.Key.Key_Up: (-1, 0),
            Qt.Key.Key_Down: (1, 0),
            Qt.Key.Key_Left: (0, -1),
            Qt.Key.Key_Right: (0, 1),
        }
        step = steps.get(cast(Qt.Key, key))
        if not plain or not self._raster.codes.size:
            super().keyPressEvent(event)
        elif step is not None:
            row, column = (max(0, at) for at in self._cursor)
            if min(self._cursor) >= 0:
                row = max(0, min(row + step[0], self._rows.count - 1))
                column = max(0, min(column + step[1], self._columns.count - 1))
            self._rows.reveal(row)
            self._columns.reveal(column)
            self._snap()
            self._renew()
            self._point_at((row, column))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self._click(*self._cursor)
        elif key in (Qt.Key.Key_0, Qt.Key.Key_Home):
            self.fit()
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.magnify(1.5)
        elif key == Qt.Key.Key_Minus:
            self.magnify(1 / 1.5)
        elif key == Qt.Key.Key_Escape and self._cursor != _NOWHERE:
            self._point_at(_NOWHERE)
        else:
            super().keyPressEvent(event)

    # --- what else happens to a widget -----------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Take a pinch, and forget the cursor when the mouse leaves."""
        if event.type() == QEvent.Type.NativeGesture:
            gesture = cast(QNativeGestureEvent, event)
            if gesture.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
                self.magnify(1 + gesture.value(), gesture.position())
                return True
        elif event.type() == QEvent.Type.Leave:
            self._point_at(_NOWHERE)
        return super().event(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show a frame where the focus came by a key."""
        self._keyed = by_keyboard(event)
        super().focusInEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Paint anew in another theme."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self._renew()
        super().changeEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Paint anew in another size."""
        self._renew()
        super().resizeEvent(event)
