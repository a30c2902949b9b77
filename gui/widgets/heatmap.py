"""A matrix as colours, with labels, a legend and a read-out; crisp, quick, true to lone peaks.

What does not change between two movements of the mouse (cells, labels, legend) is a picture that is
painted once, see `gui.widgets.heat_picture`; a paint event blits it and draws the marks on top.
Cells come from tiles at the screen's resolution, which moving the picture moves and does not draw
again, see `gui.widgets.tiles`. Held are a byte a cell, about another in halves of them, the tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Unpack, cast

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication, QWidget

from gui import theme
from gui.widgets.cells import NOWHERE, Cells, laid_out
from gui.widgets.coding import Coder, ColourScale, How
from gui.widgets.focus import by_keyboard, draw_focus
from gui.widgets.grid import draw_bands, draw_bounds
from gui.widgets.heat_picture import HeatPicture
from gui.widgets.readout import draw_readout
from gui.widgets.tiles import snapped
from gui.widgets.token_axis import NO_MARKS, LabelAxis, Marks
from gui.widgets.zoom import Zoom

ENOUGH = 32
"""An axis whose cells have this many pixels is not magnified any further."""


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
        self._rows, self._columns = Zoom(), Zoom()
        self._row_axis, self._column_axis = LabelAxis((), True), LabelAxis((), False)
        self._picture = HeatPicture(self._row_axis, self._column_axis)
        self._row_marks, self._column_marks = NO_MARKS, NO_MARKS
        self._readout: Callable[[int, int], str] | None = None
        self._cursor = NOWHERE
        self._pressed: QPointF | None = None
        self._dragging = False
        self._keyed = False
        self._coder = Coder()

    # --- what is shown ---------------------------------------------------------------------------

    def set_data(self, values: NDArray[np.float32], **how: Unpack[How]) -> None:
        """Show `values` (R, C); see `gui.widgets.coding.How` for what the rest means.

        The part that is seen and the cursor are kept as far as they still exist.
        """
        if values.ndim != 2:
            raise ValueError(f"a heat map shows a matrix, not an array of shape {values.shape}")
        codes, scale, first = self._coder.encode(values, **how)
        stays = self._picture.set_codes(codes, scale, first)
        shape = self.shape
        self._rows.set_count(codes.shape[0])
        self._columns.set_count(codes.shape[1])
        # What is said of the cell under the mouse may have changed too, and bands and lines of
        # marks reach over all cells there are.
        all_over = self._cursor != NOWHERE or (self._marked and shape != self.shape)
        row, column = self._cursor
        if row >= codes.shape[0] or column >= codes.shape[1]:
            self._cursor = NOWHERE
        if stays:
            self._mend(first, all_over)
        else:
            self._renew()

    def set_labels(self, rows: Sequence[str] | None, columns: Sequence[str] | None) -> None:
        """Name the rows (at the left) and the columns (above); None for none."""
        self._row_axis.set_labels(rows or ())
        self._column_axis.set_labels(columns or ())
        # A marked label may have changed.
        self._mend(self._rows.count, self._marked)

    def set_growing(self, rows: bool, columns: bool) -> None:
        """Say along which axes cells come and go: if many are there, room is kept for a few.

        By default along both. Their size then seldom changes with their number, and what stays is
        neither moved nor painted again.
        """
        self._rows.grows, self._columns.grows = rows, columns
        self._renew()

    @property
    def _marked(self) -> bool:
        return self._row_marks != NO_MARKS or self._column_marks != NO_MARKS

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
        if (quantity, masked) != self._picture.names:
            self._picture.names = (quantity, masked)
            self._renew()

    @property
    def scale(self) -> ColourScale:
        """Which values the colours stand for now."""
        return self._picture.scale

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
        return self._laid_out().plot

    def cell_rect(self, row: int, column: int) -> QRectF:
        """Where a cell is, in the widget's pixels; beyond the plot where it is not in view."""
        return self._laid_out().rect(row, column)

    def cell_at(self, position: QPointF) -> tuple[int, int]:
        """Row and column at `position`; −1 for an axis that `position` is not beside or over."""
        return self._laid_out().at(position)

    def _laid_out(self) -> Cells:
        ratio, zooms = self.devicePixelRatioF(), (self._rows, self._columns)
        return laid_out(self.size(), ratio, *zooms, self._row_axis, self._column_axis)

    def sizeHint(self) -> QSize:
        """Room for a few dozen tokens with their labels."""
        return QSize(480, 400)

    # --- painting --------------------------------------------------------------------------------

    def _renew(self) -> None:
        self._picture.forget()
        self.update()

    def _mend(self, first: int, all_over: bool) -> None:
        """Have painted what changed: the rows from `first` on, their number, labels.

        All is shown anew, though not painted, if what lies on top may have changed `all_over`.
        """
        changed = self._picture.place(self._laid_out(), first)
        if changed is None or all_over:
            self.update()
        elif not changed.isEmpty():
            self.update(changed)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Blit what is fixed, draw the marks and the read-out on top."""
        cells = self._laid_out()
        fixed = self._picture.painted(self.size(), cells)
        painter = QPainter(self)
        painter.drawPixmap(0, 0, fixed)
        if min(self.shape):
            self._paint_marks(painter, cells)
        if self._keyed and self.hasFocus():
            draw_focus(painter, self.rect())
        painter.end()

    def _paint_marks(self, painter: QPainter, cells: Cells) -> None:
        colours, plot = theme.current(), cells.plot
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.save()
        painter.setClipRect(plot.adjusted(-2, -2, 2, 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for marks, zoom, size, is_row in (
            (self._column_marks, self._columns, cells.wide, False),
            (self._row_marks, self._rows, cells.high, True),
        ):
            draw_bands(painter, plot, zoom, size, marks, is_row)
            draw_bounds(painter, plot, zoom, size, marks.range, is_row)
        painter.restore()
        self._row_axis.draw_marks(painter, *cells.along_rows, self._row_marks)
        self._column_axis.draw_marks(painter, *cells.along_columns, self._column_marks)
        row, column = self._cursor
        if row >= 0 and column >= 0 and (self.underMouse() or self.hasFocus()):
            cell = cells.rect(row, column)
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
        cells = self._laid_out()
        before = (self._columns.start, self._rows.start)
        if cells.wide and cells.high:
            self._columns.move(-pixels.x() / cells.wide)
            self._rows.move(-pixels.y() / cells.high)
        self._snap()
        if before != (self._columns.start, self._rows.start):
            self._renew()

    def _snap(self) -> None:
        """Let the picture begin on a whole dot of the screen, so that tiles need no blending."""
        cells = self._laid_out()
        self._columns.start = snapped(self._columns.start, cells.wide * cells.ratio)
        self._rows.start = snapped(self._rows.start, cells.high * cells.ratio)

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
        cells = self._laid_out()
        plot, wide, high = cells.plot, cells.wide, cells.high
        if not wide or not high:
            return
        at = at if at is not None and plot.contains(at) else plot.center()
        column = self._columns.start + (at.x() - plot.left()) / wide
        row = self._rows.start + (at.y() - plot.top()) / high
        self._columns.magnify(factor, column, plot.width() / ENOUGH)
        self._rows.magnify(factor, row, plot.height() / ENOUGH)
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
        if not plain or not min(self.shape):
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
        elif key == Qt.Key.Key_Escape and self._cursor != NOWHERE:
            self._point_at(NOWHERE)
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
            self._point_at(NOWHERE)
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
