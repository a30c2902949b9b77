"""The picture of the old part of many points, kept while nothing of it changes.

A letter that is typed adds a point and fades the newest steps of the path; the hundreds of older
points, with their ellipses and the steps between them, are drawn once and stay. What is new is
drawn over what is old.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QSize
from PySide6.QtGui import QPainter, QPixmap

from gui.widgets import scatter_paint as paint
from gui.widgets.scatter_geometry import LabelPlacer, Points
from gui.widgets.token_axis import NO_MARKS

AGE, BLOCK = 128, 32
"""From this age on a point is old; so many become old at once."""


def first_new(count: int) -> int:
    """The first of `count` points that is not old; of few points all are new."""
    return max(0, (count - 1 - AGE) // BLOCK * BLOCK) if count >= paint.CROWD else 0


def paint_old(
    painter: QPainter,
    at: Points,
    near: NDArray[np.bool_],
    covariance: NDArray[np.float64] | None,
    placer: LabelPlacer,
    *,
    size: QSize,
    scale: float,
    joined: bool,
    large: bool,
) -> None:
    """Draw the old ones of all points (T, 2) that are `near` (T,), none of them marked."""
    first = first_new(len(at))
    old = near & (np.arange(len(at)) < first)
    if covariance is not None:
        paint.paint_ellipses(painter, at, old, covariance, scale=scale, marks=NO_MARKS)
    if joined:
        paint.paint_first_steps(painter, at, size, first)
    paint.paint_points(painter, at, old, placer, large=large)


class OldPoints:
    """A ground with the old points on it, worth keeping once the same ones are drawn again.

    Attributes
    ----------
    drawings : int
        How often it was drawn.
    """

    def __init__(self) -> None:
        self.drawings = 0
        self._key: tuple[object, ...] = ()
        self._parts: tuple[NDArray[np.generic], ...] = ()
        self._picture: QPixmap | None = None
        self._placer = LabelPlacer(0, 0)

    def on(
        self,
        ground: QPixmap,
        key: tuple[object, ...],
        at: Points,
        near: NDArray[np.bool_],
        covariance: NDArray[np.float64] | None,
        placer: LabelPlacer,
        *,
        size: QSize,
        scale: float,
        joined: bool,
        large: bool,
    ) -> tuple[QPixmap, LabelPlacer]:
        """A copy of `ground` with the old points, and of `placer` with their places taken.

        Parameters
        ----------
        key : tuple
            What the ground depends on, and whatever else changes the picture but the points.
        """
        first = first_new(len(at))
        if not first:
            return ground.copy(), placer.copy()
        key = (*key, first, size, scale, joined, large, paint.ellipse_alphas(len(at)))
        spread = np.zeros(0) if covariance is None else covariance[:first]
        # The point behind the last old one is where its step ends.
        parts = at[: first + 1], spread, paint.path_levels(len(at))[:first]
        again = key == self._key and all(map(_equal, parts, self._parts))
        if not again:
            self._key, self._parts, self._picture = key, parts, None
        if self._picture is None:
            made, taken = ground.copy(), placer.copy()
            painter = QPainter(made)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            paint_old(
                painter, at, near, covariance, taken,
                size=size, scale=scale, joined=joined, large=large,
            )  # fmt: skip
            painter.end()
            if not again:
                return made, taken
            self.drawings += 1
            self._picture, self._placer = made, taken
        return self._picture.copy(), self._placer.copy()

    def forget(self) -> None:
        """Let the picture go."""
        self._key, self._parts, self._picture = (), (), None


def _equal(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    return bool(np.array_equal(one, other, equal_nan=True))
