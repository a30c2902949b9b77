"""The planes of a latent space that can be drawn, and where its reference states lie in each.

Three directions can be drawn too; the window then turns what lies along them. What is not linear
has a file of its own, `bent`.

Shape letters: T tokens, Z latent width, N reference states, C directions that are drawn, 2 or 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.latent.card import Plane
from engine.latent.pca import principal_axes
from engine.types import Floats, LatentPlane


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A plane of a space, or three of its directions: z's picture is ``(z − origin) @ axes``.

    Attributes
    ----------
    plane : LatentPlane
        Which it is.
    origin, axes : Tensor
        (Z,) and (Z, C); the columns are orthonormal.
    reference : (N, C) float32, read-only
        The reference's μ in it.
    """

    plane: LatentPlane
    origin: Tensor
    axes: Tensor
    reference: Floats

    @property
    def size(self) -> int:
        """C, how many directions are drawn."""
        return self.axes.shape[1]

    def project(self, z: Tensor) -> Tensor:
        """Points (T, Z) in the picture, (T, C)."""
        return (z - self.origin) @ self.axes

    def covariance(self, logvar: Tensor) -> Tensor:
        """Covariance (T, C, C) in the picture of posteriors with ln σ² (T, Z).

        The projection is linear, so it is Aᵀ diag(σ²) A exactly.
        """
        return torch.einsum("za,tz,zb->tab", self.axes, logvar.exp(), self.axes)


def plane_of(mu: Tensor, plane: Plane) -> tuple[Tensor, Tensor]:
    """Origin (Z,) and axes (Z, 2) of a space's own picture for reference points `mu` (N, Z)."""
    latent = mu.shape[1]
    if plane == "first two dimensions of μ":
        axes = torch.eye(latent, 2, dtype=mu.dtype, device=mu.device)
        return mu.new_zeros(latent), axes
    return _components(mu, 2)


def _components(mu: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean (Z,) and the first principal axes (Z, count) of points (N, Z)."""
    mean, _, vectors = principal_axes(mu.double())
    return mean.to(mu.dtype), vectors[:, :count].to(mu.dtype).contiguous()


def picture_of(plane: LatentPlane, points: Floats | None, like: Tensor) -> Picture | None:
    """A picture that is not a space's own; None where there is no such plane or no reference μ.

    Parameters
    ----------
    points : (N, Z), optional
        The reference's μ.
    like : Tensor
        What it is made for: type and device of origin and axes.
    """
    if plane in ("own", "umap") or points is None:
        return None
    count, latent = points.shape
    mu = torch.from_numpy(np.array(points))
    if isinstance(plane, str):
        directions = 3 if plane == "three components" else 2
        if latent < directions or not count:
            return None
        origin, axes = _components(mu, directions)
    else:
        chosen = list(plane)
        if len(set(chosen)) < len(chosen) or not all(0 <= one < latent for one in chosen):
            return None
        origin, axes = mu.new_zeros(latent), torch.eye(latent)[:, chosen]
    reference: Floats = ((mu - origin) @ axes).numpy()
    reference.setflags(write=False)
    return Picture(plane, origin.to(like), axes.contiguous().to(like), reference)
