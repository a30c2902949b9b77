"""The labels of a map of points: as many as have room, the newest and the marked ones first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter

from gui import theme
from gui.widgets.primitives import draw_rects
from gui.widgets.scatter_geometry import LabelPlacer, Points
from gui.widgets.scatter_paint import DOT, RING
from gui.widgets.token_axis import Marks

_WIDEST = 120


class FittedTexts:
    """Labels cut to what is written, and their widths; only those that changed are measured.

    Attributes
    ----------
    texts : list of str
    widths : (T,)
        In pixels; 0 where there is nothing to write.
    measured : int
        How many labels were looked up so far.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.widths = np.empty(0)
        self.measured = 0
        self._labels: tuple[str, ...] = ()
        self._face = ""

    def take(self, labels: tuple[str, ...], face: str) -> None:
        """Know the labels of T points in a `face`, as Qt writes it."""
        kept = _common(self._labels, labels) if face == self._face else 0
        self._labels, self._face = labels, face
        if kept == len(labels) == len(self.texts):
            return
        made = [fitted_text(label, face) for label in labels[kept:]]
        self.measured += len(made)
        self.texts[kept:] = [text for text, _ in made]
        self.widths = np.concatenate([self.widths[:kept], [wide for _, wide in made]])


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """How many labels at the beginning are the same."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@lru_cache(maxsize=1 << 10)
def fitted_text(label: str, face: str) -> tuple[str, float]:
    """A point's label, cut where it is very long, and its width in pixels.

    Parameters
    ----------
    face : str
        The face, as Qt writes it.
    """
    font = QFont()
    font.fromString(face)
    metrics = QFontMetricsF(font)
    text = metrics.elidedText(label, Qt.TextElideMode.ElideRight, _WIDEST)
    return text, metrics.horizontalAdvance(text)


def paint_labels(
    painter: QPainter,
    at: Points,
    near: NDArray[np.bool_],
    labels: tuple[str, ...],
    *,
    marks: Marks,
    placer: LabelPlacer,
    fitted: FittedTexts,
) -> dict[int, QRectF]:
    """Write the labels that have room, marked ones always; return which were written, and where.

    Marked points come first, then the newest, for it is what was just typed; then the others from
    the start, so that what is shown does not change with each letter.
    """
    colours = theme.current()
    font = theme.token_font(theme.SMALL)
    painter.setFont(font)
    metrics = QFontMetricsF(font)
    high, ascent = metrics.height(), metrics.ascent()
    fitted.take(labels, font.toString())
    shown = near & (fitted.widths > 0)
    places: list[tuple[int, float, float]] = []
    first = dict.fromkeys([marks.selected, *sorted(marks.pinned)])
    for index in (i for i in first if i is not None and 0 <= i < len(at) and shown[i]):
        x, y = at[index].tolist()
        wide = float(fitted.widths[index])
        place = placer.place(x, y, wide, high - 2, gap=RING + 4, force=True)
        shown[index] = False
        if place is not None:
            places.append((index, *place))
    rest = np.flatnonzero(shown)
    if len(rest) and rest[-1] == len(at) - 1:
        rest = np.roll(rest, 1)
    forced = len(places)
    found = placer.place_all(at[rest], fitted.widths[rest], high - 2, DOT + 4)
    places += [(int(rest[which]), left, top) for which, left, top in found]
    boxes = np.array(
        [(left - 1, top, fitted.widths[index] + 2, high - 2) for index, left, top in places]
    ).reshape(-1, 4)
    ground, ink = QColor(colours.panel), QColor(colours.text)
    ground.setAlpha(190)
    # One after the other those that may lie over one another, the others' grounds at once.
    parts = [places[at : at + 1] for at in range(forced)] + [places[forced:]]
    done = 0
    for part in parts:
        chosen = done < forced and part[0][0] == marks.selected
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.accent) if chosen else ground)
        draw_rects(painter, boxes[done : done + len(part)])
        painter.setPen(QColor(colours.on_accent) if chosen else ink)
        for index, left, top in part:
            painter.drawText(QPointF(left, top - 1 + ascent), fitted.texts[index])
        done += len(part)
    return {place[0]: QRectF(*box) for place, box in zip(places, boxes.tolist(), strict=True)}
