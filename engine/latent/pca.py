"""Principal components: where a VAE starts from, and what it is measured beside.

Shape letters: N states, D model width, K components.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def principal_axes(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (D,), variances (D,) falling, and axes (D, D) in columns, of the rows of `x` (N, D).

    The largest loading of each axis is positive, so that a picture does not flip.
    """
    mean = x.mean(dim=0)
    centred = x - mean
    return mean, *axes_of(centred.T @ centred / len(x))


def axes_of(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Variances (D,) falling, and axes (D, D) in columns, of a covariance (D, D)."""
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))  # (1, D)
    return values, vectors * torch.where(largest < 0, -1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Pca:
    """The first K principal components: `mean` (D,), `axes` (D, K) of length one."""

    mean: Tensor
    axes: Tensor

    @classmethod
    def of(cls, x: Tensor, components: int) -> Pca:
        """Fit it to the rows of `x` (N, D)."""
        mean, _, axes = principal_axes(x.double())
        return cls(mean.float(), axes[:, :components].float().contiguous())

    def scores(self, x: Tensor) -> Tensor:
        """Coordinates (N, K) of the rows of `x` (N, D)."""
        return (x - self.mean) @ self.axes

    def rebuild(self, x: Tensor) -> Tensor:
        """What K components keep of the rows of `x`, (N, D)."""
        return self.scores(x) @ self.axes.T + self.mean
