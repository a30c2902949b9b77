"""The picture of the old part of many points, kept while nothing of it changes.

A letter that is typed adds a point and fades the newest steps of the path; the hundreds of older
points, with their ellipses and the steps between them, are drawn once and stay. What is new is
drawn over what is old.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Scene:
    """Points as they lie on a map of `size`.

    Attributes
    ----------
    at : (T, 2)
        In pixels.
    near : (T,)
        Which are in view, or nearly.
    covariance : (T, 2, 2) or None
        In squared units of the map, of which one has `scale` pixels.
    joined, large : bool
        Whether a path joins them, and whether they are drawn large.
    """

    size: QSize
    at: Points
    near: NDArray[np.bool_]
    covariance: NDArray[np.float64] | None
    scale: float
    joined: bool
    large: bool

    @property
    def first(self) -> int:
        """The first that is not old."""
        return first_new(len(self.at))

    @property
    def new(self) -> NDArray[np.bool_]:
        """Which are in view and not old, (T,)."""
        return self.near & (np.arange(len(self.at)) >= self.first)


def paint_old(painter: QPainter, scene: Scene, placer: LabelPlacer) -> None:
    """Draw the old points, none of them marked."""
    at, old = scene.at, scene.near & ~scene.new
    if scene.covariance is not None:
        spread, scale = scene.covariance, scene.scale
        paint.paint_ellipses(painter, at, old, spread, scale=scale, marks=NO_MARKS)
    if scene.joined:
        paint.paint_first_steps(painter, at, scene.size, scene.first)
    paint.paint_points(painter, at, old, placer, large=scene.large)


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
        self, ground: QPixmap, key: tuple[object, ...], scene: Scene, placer: LabelPlacer
    ) -> tuple[QPixmap, LabelPlacer]:
        """A copy of `ground` with the old points, and of `placer` with their places taken.

        `key` is what the ground depends on.
        """
        first, count = scene.first, len(scene.at)
        if not first:
            return ground.copy(), placer.copy()
        how = scene.size, scene.scale, scene.joined, scene.large
        key = (*key, *how, first, paint.ellipse_alphas(count))
        spread = np.zeros(0) if scene.covariance is None else scene.covariance[:first]
        # The point behind the last old one is where its step ends.
        parts = scene.at[: first + 1], spread, paint.path_levels(count)[:first]
        again = key == self._key and all(map(_equal, parts, self._parts))
        if not again:
            self._key, self._parts, self._picture = key, parts, None
        if self._picture is None:
            made, taken = ground.copy(), placer.copy()
            painter = QPainter(made)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            paint_old(painter, scene, taken)
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
