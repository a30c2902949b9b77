"""How the parts of a map of points are drawn, from the cloud at the back to the labels in front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QImage,
    QPainter,
    QPen,
    QPixmap,
    QPolygonF,
    QTransform,
)

from gui import theme
from gui.widgets import scatter_geometry as geometry
from gui.widgets.scatter_geometry import LabelPlacer, Points, Range
from gui.widgets.token_axis import Marks

DOT, SMALL_DOT, CROWD = 3.5, 2.5, 150
"""Radius of a point in pixels, and that of points from `CROWD` of them on."""

RING = 6.5
"""Radius of a selected or pinned point in pixels."""

_FAINT = 0.12
"""Steps of a crowded path up to this opacity are drawn thinner and a little stronger."""

_ORIGIN = QPointF(0, 0)

MANY = 4000
"""From this many dots on a cloud has smaller ones."""


def _dot(count: int) -> float:
    """Radius of a point among `count` in pixels."""
    return DOT if count < CROWD else SMALL_DOT


def cloud_image(
    cloud: Points,
    categories: NDArray[np.int64] | None,
    palette: Sequence[str | None] | None,
    shown: Range,
    *,
    size: QSize,
    ratio: float,
) -> QImage:
    """Draw a cloud (N, 2) into an image of `size` at `ratio` device pixels a pixel.

    `palette` gives a colour for each category, None for grey; None makes the whole cloud grey.
    """
    colours = theme.current()
    width, height = round(size.width() * ratio), round(size.height() * ratio)
    grey = QColor(colours.muted).rgb() & 0xFFFFFF
    shades = np.full(len(cloud), grey, np.uint32)
    if palette and categories is not None:
        table = np.array(
            [grey if c is None else QColor(c).rgb() & 0xFFFFFF for c in palette], np.uint32
        )
        known = (categories >= 0) & (categories < len(table))
        shades[known] = table[categories[known]]
    dots = geometry.rasterise(
        shown.to_pixels(cloud, size.width(), size.height()) * ratio,
        width,
        height,
        shades,
        radius=(0.8 if len(cloud) > MANY and not palette else 1.2) * ratio,
        opacity=0.5 if palette else 0.3,
    )
    # The copy outlives the array whose memory the first image borrows.
    borrowed = QImage(
        dots.data, width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied
    )
    image = borrowed.copy()
    image.setDevicePixelRatio(ratio)
    return image


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
    # Hundreds of outlines would hide what they surround.
    faint = max(0.25, min(1.0, 60 / max(len(at), 1)))
    axes = geometry.ellipse_axes(covariance)
    axes[:, :2] *= scale
    # What its point hides need not be drawn.
    shown = near & (axes[:, 0] > _dot(len(at)))
    marked = marks.pinned | {marks.selected}
    before = painter.transform()
    was_marked: bool | None = None
    places = at.tolist()
    for index in np.flatnonzero(shown).tolist():
        if (index in marked) is not was_marked:
            was_marked = index in marked
            line = QColor(colours.accent if was_marked else colours.muted)
            line.setAlpha(255 if was_marked else round(130 * faint))
            fill = QColor(line)
            fill.setAlpha(36 if was_marked else round(14 * faint))
            painter.setPen(QPen(line, 1.5 if was_marked else 1))
            painter.setBrush(fill)
        major, minor, angle = axes[index].tolist()
        x, y = places[index]
        cos, sin = math.cos(angle), math.sin(angle)
        painter.setTransform(QTransform(cos, -sin, sin, cos, x, y) * before)
        # Enlarged a thousandfold an ellipse is as good as everywhere; Qt need not try.
        painter.drawEllipse(_ORIGIN, min(major, 1e5), min(minor, 1e5))
    painter.setTransform(before)


def paint_path(painter: QPainter, at: Points, size: QSize) -> None:
    """Join the points in reading order, fading from old to new; the last step has an arrow."""
    if len(at) < 2:
        return
    ink, seam = QColor(theme.current().text), QColor(theme.current().panel)
    seam.setAlpha(120)
    strengths = geometry.path_strengths(len(at))
    last = len(at) - 2
    strengths[last] = 1.0
    steps, starts, ends = geometry.clipped_steps(at, size.width(), size.height())
    if not len(steps):
        return
    lines = [QLineF(*a, *b) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    if len(at) >= CROWD:
        # Steps that eight bits of opacity cannot tell apart are drawn at once. There they are so
        # faint that a thinner line of the same weight looks the same, which Qt draws far faster.
        levels = np.round(strengths[steps] * 255)
        changes = (np.flatnonzero(np.diff(levels)) + 1).tolist()
        for start, end in pairwise([0, *changes, len(steps)]):
            strength = float(strengths[steps[start]])
            thin = strength <= _FAINT
            ink.setAlphaF(strength * (1.2 if thin else 1.0))
            painter.setPen(QPen(ink, 2.0 if steps[start] == last else 1.0 if thin else 1.2))
            painter.drawLines(lines[start:end])
    else:
        for index, line in zip(steps.tolist(), lines, strict=True):
            # A seam in the ground's colour keeps the path apart from a coloured cloud.
            painter.setPen(QPen(seam, 4.0))
            painter.drawLine(line)
            ink.setAlphaF(float(strengths[index]))
            painter.setPen(QPen(ink, 2.0 if index == last else 1.2))
            painter.drawLine(line)
    if steps[-1] == last and (ends[-1] == at[-1]).all():
        ink.setAlphaF(1.0)
        _paint_arrow(painter, lines[-1].p1(), lines[-1].p2(), ink)


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
    painter: QPainter, at: Points, near: NDArray[np.bool_], marks: Marks, placer: LabelPlacer
) -> None:
    """Draw the points in view: ringed where pinned, large and in the accent where selected."""
    colours = theme.current()
    accent, ground = QColor(colours.accent), QColor(colours.panel)
    dot = _dot(len(at))
    painter.setPen(QPen(ground, 1))
    painter.setBrush(QColor(colours.text))
    placer.take_points(at[near], dot)
    if len(at) < CROWD:
        for x, y in at[near].tolist():
            painter.drawEllipse(QPointF(x, y), dot, dot)
    else:
        _stamp_points(painter, at[near], dot)
    painter.setPen(QPen(accent, 1.5))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for pinned in marks.pinned:
        if 0 <= pinned < len(at) and near[pinned]:
            painter.drawEllipse(QPointF(*at[pinned]), RING, RING)
    if marks.selected is not None and 0 <= marks.selected < len(at) and near[marks.selected]:
        painter.setPen(QPen(ground, 1.5))
        painter.setBrush(accent)
        painter.drawEllipse(QPointF(*at[marks.selected]), RING, RING)


def _stamp_points(painter: QPainter, at: Points, dot: float) -> None:
    """Draw points (T, 2) from pictures of one, which is faster than to draw each.

    There is a picture for each quarter of a device pixel that a point may lie off the grid.
    """
    ratio = painter.device().devicePixelRatioF()
    side = math.ceil((2 * dot + 3) * ratio)
    atlas = QPixmap(4 * side, 4 * side)
    atlas.fill(Qt.GlobalColor.transparent)
    one = QPainter(atlas)
    one.setRenderHint(QPainter.RenderHint.Antialiasing)
    one.setPen(QPen(painter.pen().color(), painter.pen().widthF() * ratio))
    one.setBrush(painter.brush())
    for row in range(4):
        for column in range(4):
            centre = QPointF(column / 4 + column * side, row / 4 + row * side)
            one.drawEllipse(centre + QPointF(side // 2, side // 2), dot * ratio, dot * ratio)
    one.end()
    quarters = np.round(at * ratio * 4).astype(np.intp)
    whole, phase = quarters // 4 - side // 2, quarters % 4 * side
    if ratio == 1:
        for (x, y), (u, v) in zip(whole.tolist(), phase.tolist(), strict=True):
            painter.drawPixmap(x, y, atlas, u, v, side, side)
        return
    # In device pixels the corner is whole.
    for (x, y), (u, v) in zip((whole / ratio).tolist(), phase.tolist(), strict=True):
        place = QRectF(x, y, side / ratio, side / ratio)
        painter.drawPixmap(place, atlas, QRectF(u, v, side, side))


def paint_labels(
    painter: QPainter,
    at: Points,
    near: NDArray[np.bool_],
    labels: Sequence[str],
    *,
    marks: Marks,
    placer: LabelPlacer,
) -> dict[int, QRectF]:
    """Write the labels that have room, marked ones always; return which were written, and where.

    Marked points come first, then the newest, for it is what was just typed; then the others from
    the start, so that what is shown does not change with each letter.
    """
    colours = theme.current()
    font = theme.token_font(theme.SMALL)
    painter.setFont(font)
    metrics = QFontMetricsF(font)
    high = metrics.height()
    face = font.toString()
    candidates = np.flatnonzero(near & np.fromiter(map(bool, labels), np.bool_, len(labels)))
    texts = {index: fitted_text(labels[index], face) for index in candidates.tolist()}
    widths = np.fromiter((wide for _, wide in texts.values()), np.float64, len(texts))
    free = placer.rooms(at[candidates], widths, high - 2, DOT + 4).any(axis=1)
    roomy = candidates[free].tolist()
    first = [marks.selected, *sorted(marks.pinned)]
    forced = [index for index in first if index in texts]
    newest = [len(at) - 1] if len(at) - 1 in texts else []
    written: dict[int, QRectF] = {}
    ground = QColor(colours.panel)
    ground.setAlpha(190)
    for index in dict.fromkeys([*forced, *newest, *roomy]):
        text, wide = texts[index]
        x, y = at[index].tolist()
        marked = index in forced
        gap = RING + 4 if marked else DOT + 4
        place = placer.place(x, y, wide, high - 2, gap=gap, force=marked)
        if place is None:
            continue
        box = written[index] = QRectF(place[0] - 1, place[1], wide + 2, high - 2)
        selected = index == marks.selected
        painter.fillRect(box, QColor(colours.accent) if selected else ground)
        painter.setPen(QColor(colours.on_accent if selected else colours.text))
        painter.drawText(QPointF(place[0], place[1] - 1 + metrics.ascent()), text)
    return written


@lru_cache(maxsize=1 << 14)
def fitted_text(label: str, face: str) -> tuple[str, float]:
    """A point's label, cut where it is very long, and its width in pixels.

    Parameters
    ----------
    face : str
        The face, as Qt writes it; measuring hundreds of words anew for each letter costs.
    """
    font = QFont()
    font.fromString(face)
    metrics = QFontMetricsF(font)
    text = metrics.elidedText(label, Qt.TextElideMode.ElideRight, 120)
    return text, metrics.horizontalAdvance(text)


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
