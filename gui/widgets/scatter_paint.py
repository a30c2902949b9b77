"""How the parts of a map of points are drawn, from the cloud at the back to the labels in front."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QPainter,
    QPen,
    QPixmap,
    QPolygonF,
    QTransform,
)

from gui import theme
from gui.widgets import scatter_geometry as geometry
from gui.widgets.primitives import draw_lines, draw_pieces
from gui.widgets.scatter_geometry import LabelPlacer, Points, Range
from gui.widgets.token_axis import Marks

DOT, SMALL_DOT, CROWD = 3.5, 2.5, 150
"""Radius of a point in pixels, and that of points from `CROWD` of them on."""

LARGE = 6.0
"""Radius of a point that stands for a sentence."""

RING = 6.5
"""Radius of a selected or pinned point in pixels."""

_FAINT = 0.12
"""Steps of a crowded path up to this opacity are drawn thinner and a little stronger."""

_TOLD_APART = 16
"""Opacities, in 255ths, above which no more than every fourth is drawn, and above twice as much
every twelfth: each is a call, which beside a busy engine waits for the interpreter."""

_APART = 12

_FEW = 8
"""So few lines are sooner made one by one than handed over as an array."""

_ORIGIN = QPointF(0, 0)


def _dot(count: int) -> float:
    """Radius of a point among `count` in pixels."""
    return DOT if count < CROWD else SMALL_DOT


def paint_axes(
    painter: QPainter, shown: Range, size: QSize, titles: tuple[str, str], placer: LabelPlacer
) -> None:
    """Draw faint lines at round numbers, the numbers at the edges and the axes' names."""
    colours = theme.current()
    width, height = size.width(), size.height()
    font = theme.ui_font(theme.SMALL)
    painter.setFont(font)
    metrics = QFontMetricsF(font)
    ascent = metrics.ascent()
    line, written = QColor(colours.line), QColor(colours.muted)
    line.setAlpha(110)
    left, top = shown.to_map(0, 0, width, height)
    right, bottom = shown.to_map(width, height, width, height)
    name_width = metrics.horizontalAdvance(titles[0])
    for level, low, high in ((True, left, right), (False, bottom, top)):
        values, decimals = geometry.ticks(low, high, shown.scale)
        for value in values:
            text = f"{value:.{decimals}f}" if abs(value) < 1e6 else f"{value:.3g}"
            text = text.replace("-", "\N{MINUS SIGN}")
            room = metrics.horizontalAdvance(text)
            x, y = (float(at) for at in shown.to_pixels(np.array([value, value]), width, height))
            painter.setPen(QPen(line, 1))
            if level:
                painter.drawLine(QPointF(x, 0), QPointF(x, height))
                start, base = x - room / 2, height - 4.0
                fits = start > 36 and start + room < width - name_width - 16
            else:
                painter.drawLine(QPointF(0, y), QPointF(width, y))
                start, base = 4.0, y - 2
                fits = 36 < y < height - 16
            if fits:
                painter.setPen(written)
                painter.drawText(QPointF(start, base), text)
                placer.take(start, base - ascent, room, ascent)
    painter.setPen(written)
    painter.drawText(QPointF(width - name_width - 8, height - 4), titles[0])
    painter.drawText(QPointF(4, 4 + ascent), titles[1])
    placer.take(width - name_width - 8, height - 18, name_width + 8, 18)
    placer.take(0, 0, metrics.horizontalAdvance(titles[1]) + 8, 20)


def ellipse_alphas(count: int) -> tuple[int, int]:
    """Opacities of an ellipse's line and of its inside, in 255ths, where there are `count`."""
    # Hundreds of outlines would hide what they surround.
    faint = max(0.25, min(1.0, 60 / max(count, 1)))
    return round(130 * faint), round(14 * faint)


def paint_ellipses(
    painter: QPainter,
    at: Points,
    near: NDArray[np.bool_],
    covariance: NDArray[np.float64],
    *,
    scale: float,
    marks: Marks,
) -> None:
    """Draw the 1-σ ellipse of each point that is in view; marked ones are filled."""
    colours = theme.current()
    # What its point hides need not be drawn.
    seen = np.flatnonzero(near)
    axes = geometry.ellipse_axes(covariance[seen])
    axes[:, :2] *= scale
    larger = axes[:, 0] > _dot(len(at))
    marked = marks.pinned | {marks.selected}
    line_alpha, fill_alpha = ellipse_alphas(len(at))
    before = painter.transform()
    was_marked: bool | None = None
    for index, (x, y), (major, minor, angle) in zip(
        seen[larger].tolist(), at[seen[larger]].tolist(), axes[larger].tolist(), strict=True
    ):
        if (index in marked) is not was_marked:
            was_marked = index in marked
            line = QColor(colours.accent if was_marked else colours.muted)
            line.setAlpha(255 if was_marked else line_alpha)
            fill = QColor(line)
            fill.setAlpha(36 if was_marked else fill_alpha)
            painter.setPen(QPen(line, 1.5 if was_marked else 1))
            painter.setBrush(fill)
        cos, sin = math.cos(angle), math.sin(angle)
        painter.setTransform(QTransform(cos, -sin, sin, cos, x, y) * before)
        # Enlarged a thousandfold an ellipse is as good as everywhere; Qt need not try.
        painter.drawEllipse(_ORIGIN, min(major, 1e5), min(minor, 1e5))
    painter.setTransform(before)


def _paint_steps(
    painter: QPainter, lines: NDArray[np.float64], levels: NDArray[np.int64], ink: QColor
) -> None:
    """Draw lines (S, 4), those in a row that have one opacity (S,), in 255ths, at once."""
    if not len(levels):
        return
    changes = (np.flatnonzero(np.diff(levels)) + 1).tolist()
    for start, end in pairwise([0, *changes, len(levels)]):
        level = int(levels[start])
        ink.setAlpha(level)
        # So faint that a thinner line of the same weight looks the same, which Qt draws far faster.
        painter.setPen(QPen(ink, 1.0 if level <= 255 * _FAINT * 1.2 else 1.2))
        if end - start < _FEW:
            painter.drawLines([QLineF(*line) for line in lines[start:end].tolist()])
        else:
            draw_lines(painter, lines[start:end])


def path_levels(count: int) -> NDArray[np.int64]:
    """How strongly the steps of a crowded path of `count` points are drawn, in 255ths."""
    strong = geometry.path_strengths(count)
    levels = np.round(255 * strong * np.where(strong <= _FAINT, 1.2, 1.0)).astype(np.int64)
    # Steps that an eye, or eight bits of opacity, cannot tell apart are drawn at once.
    strongest = levels > 2 * _TOLD_APART
    levels[strongest] -= levels[strongest] % _APART
    levels[(levels > _TOLD_APART) & ~strongest] &= ~3
    return levels


def paint_first_steps(painter: QPainter, at: Points, size: QSize, count: int) -> None:
    """Draw the first `count` steps of a crowded path, which is not all of it."""
    levels = path_levels(len(at))
    steps, starts, ends = geometry.clipped_steps(at[: count + 1], size.width(), size.height())
    ink = QColor(theme.current().text)
    _paint_steps(painter, np.hstack([starts, ends]), levels[steps], ink)


def paint_path(painter: QPainter, at: Points, size: QSize, first: int = 0) -> None:
    """Join the points in reading order, fading from old to new; the last step has an arrow.

    Of a crowded path only the steps from `first` on are drawn.
    """
    if len(at) < 2:
        return
    ink, seam = QColor(theme.current().text), QColor(theme.current().panel)
    seam.setAlpha(120)
    last = len(at) - 2
    steps, starts, ends = geometry.clipped_steps(at[first:], size.width(), size.height())
    if not len(steps):
        return
    steps = steps + first
    if len(at) >= CROWD:
        lines, newest = np.hstack([starts, ends]), int(np.searchsorted(steps, last))
        _paint_steps(painter, lines[:newest], path_levels(len(at))[steps[:newest]], ink)
        ink.setAlphaF(1.0)
        painter.setPen(QPen(ink, 2.0))
        draw_lines(painter, lines[newest:])
    else:
        strengths = geometry.path_strengths(len(at))
        strengths[last] = 1.0
        for index, a, b in zip(steps.tolist(), starts.tolist(), ends.tolist(), strict=True):
            line = QLineF(*a, *b)
            # A seam in the ground's colour keeps the path apart from a coloured cloud.
            painter.setPen(QPen(seam, 4.0))
            painter.drawLine(line)
            ink.setAlphaF(float(strengths[index]))
            painter.setPen(QPen(ink, 2.0 if index == last else 1.2))
            painter.drawLine(line)
    if steps[-1] == last and (ends[-1] == at[-1]).all():
        ink.setAlphaF(1.0)
        _paint_arrow(painter, QPointF(*starts[-1]), QPointF(*ends[-1]), ink)


def _paint_arrow(painter: QPainter, start: QPointF, end: QPointF, ink: QColor) -> None:
    across, down = end.x() - start.x(), end.y() - start.y()
    length = math.hypot(across, down)
    if length < 16:
        return
    across, down = across / length, down / length
    tip = QPointF(end.x() - across * (DOT + 1), end.y() - down * (DOT + 1))
    back = QPointF(tip.x() - across * 8, tip.y() - down * 8)
    side = QPointF(-down * 3.5, across * 3.5)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(ink)
    painter.drawPolygon(QPolygonF([tip, back + side, back - side]))


def paint_points(
    painter: QPainter,
    at: Points,
    near: NDArray[np.bool_],
    placer: LabelPlacer,
    *,
    large: bool = False,
) -> None:
    """Draw the points in view."""
    colours = theme.current()
    dot = LARGE if large else _dot(len(at))
    painter.setPen(QPen(QColor(colours.panel), 1))
    painter.setBrush(QColor(colours.text))
    placer.take_points(at[near], dot)
    if len(at) < CROWD:
        for x, y in at[near].tolist():
            painter.drawEllipse(QPointF(x, y), dot, dot)
    else:
        _stamp_points(painter, at[near], dot)


def paint_marked(
    painter: QPainter, at: Points, near: NDArray[np.bool_], marks: Marks, *, large: bool = False
) -> None:
    """Ring the pinned points in view, and draw the selected one larger and in the accent."""
    colours = theme.current()
    accent, ground = QColor(colours.accent), QColor(colours.panel)
    ring = max(RING, (LARGE if large else _dot(len(at))) + 2.5)
    painter.setPen(QPen(accent, 1.5))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for pinned in marks.pinned:
        if 0 <= pinned < len(at) and near[pinned]:
            painter.drawEllipse(QPointF(*at[pinned]), ring, ring)
    if marks.selected is not None and 0 <= marks.selected < len(at) and near[marks.selected]:
        painter.setPen(QPen(ground, 1.5))
        painter.setBrush(accent)
        painter.drawEllipse(QPointF(*at[marks.selected]), ring, ring)


def _stamp_points(painter: QPainter, at: Points, dot: float) -> None:
    """Draw points (T, 2) from pictures of one, which is faster than to draw each.

    There is a picture for each quarter of a device pixel that a point may lie off the grid.
    """
    ratio = painter.device().devicePixelRatioF()
    ink = (painter.pen().color().name(), painter.pen().widthF(), painter.brush().color().name())
    atlas, side = _stamps(*ink, dot, ratio)
    quarters = np.round(at * ratio * 4).astype(np.intp)
    pieces = np.empty((len(at), 6))
    # The middle of the stamp, whose corner is a whole number of device pixels.
    pieces[:, :2] = (quarters // 4 - side // 2 + side / 2) / ratio
    pieces[:, 2:4] = quarters % 4 * side
    pieces[:, 4:] = side
    draw_pieces(painter, pieces, atlas, 1 / ratio)


@lru_cache(maxsize=16)
def _stamps(edge: str, width: float, fill: str, dot: float, ratio: float) -> tuple[QPixmap, int]:
    """The pictures of a point, 4 × 4 of them, and how many dots each has a side."""
    side = math.ceil((2 * dot + 3) * ratio)
    atlas = QPixmap(4 * side, 4 * side)
    atlas.fill(Qt.GlobalColor.transparent)
    one = QPainter(atlas)
    one.setRenderHint(QPainter.RenderHint.Antialiasing)
    one.setPen(QPen(QColor(edge), width * ratio))
    one.setBrush(QColor(fill))
    for row in range(4):
        for column in range(4):
            centre = QPointF(column / 4 + column * side, row / 4 + row * side)
            one.drawEllipse(centre + QPointF(side // 2, side // 2), dot * ratio, dot * ratio)
    one.end()
    return atlas, side


def paint_group(
    painter: QPainter, at: Points, near: NDArray[np.bool_], tokens: NDArray[np.int64]
) -> None:
    """Ring the points that were chosen together, filled, so that they are told from pinned ones."""
    accent = QColor(theme.current().accent)
    painter.setPen(QPen(accent, 1.5))
    accent.setAlpha(80)
    painter.setBrush(accent)
    for index in tokens.tolist():
        if index < len(at) and near[index]:
            painter.drawEllipse(QPointF(*at[index]), RING + 1, RING + 1)


def paint_cloud_hovered(painter: QPainter, centre: QPointF) -> None:
    """Outline a dot of the cloud."""
    painter.setPen(QPen(QColor(theme.current().hover), 1.5))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(centre, DOT + 2, DOT + 2)


def paint_hovered(
    painter: QPainter, centre: QPointF, label: str, size: QSize, written: QRectF | None = None
) -> None:
    """Outline a point and write its label, over whatever lies there.

    Where its ordinary label was `written`, this one covers it, so that it does not stand there
    twice.
    """
    colours = theme.current()
    painter.setPen(QPen(QColor(colours.hover), 1.5))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(centre, RING + 3, RING + 3)
    font = theme.token_font(theme.SMALL)
    metrics = QFontMetricsF(font)
    text = metrics.elidedText(label, Qt.TextElideMode.ElideRight, 160)
    if not text:
        return
    wide, high = metrics.horizontalAdvance(text) + 8, metrics.height() + 2
    left, top = centre.x() + RING + 6, centre.y() - high / 2
    if written is not None:
        before = written.center().x() < centre.x()
        left = written.right() + 3 - wide if before else written.left() - 3
        top = written.center().y() - high / 2
    elif left + wide > size.width() - 2:
        left = centre.x() - RING - 6 - wide
    left = max(min(left, size.width() - wide - 2), 2)
    box = QRectF(left, max(min(top, size.height() - high - 2), 2), wide, high)
    painter.setPen(QPen(QColor(colours.hover), 1))
    painter.setBrush(QColor(colours.raised))
    painter.drawRoundedRect(box, 2, 2)
    painter.setFont(font)
    painter.setPen(QColor(colours.text))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
