"""The UMAP of a space's reference μ as a picture of the space: fitted once, as a job, and kept.

All reference states are fitted, none are left out. Tokens are placed in it, each by itself, and
never change it. A fitted picture lies under ``cache_dir()/planes`` by what it was fitted to, so
that neither the next start nor the way back to this space fits it again.

Shape letters: T tokens, Z latent width, N reference states.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.errors import UserError
from engine.latent.corpus_cache import trim
from engine.latent.placing import Neighbours, memberships
from engine.latent.projections import umap
from engine.latent.projections.spec import LEAST, Cloud
from engine.latent.projections.umap import Umap
from engine.latent.tensors import write
from engine.paths import cache_dir
from engine.types import Floats, Progress

if TYPE_CHECKING:
    from engine.latent.space import Space

SETTINGS = Umap(held_out=0.0, keep=0)
"""UMAP's own defaults, of all coordinates of μ, with the seed 0."""

CAP = 32 << 20
"""Bytes that all kept pictures may take together; those used longest ago go first."""


@dataclass(frozen=True, slots=True, eq=False)
class Bent:
    """A fitted picture that is not linear, in the shape of a `planes.Picture`.

    Attributes
    ----------
    fitted : Neighbours
        Where a new point is placed.
    reference : (N, 2) float32, read-only
        The reference's places.
    """

    fitted: Neighbours
    reference: Floats

    @property
    def plane(self) -> Literal["umap"]:
        """Which it is."""
        return "umap"

    @property
    def size(self) -> int:
        """How many directions are drawn."""
        return 2

    def project(self, z: Tensor) -> Tensor:
        """Places of points (T, Z), (T, 2); NaN where a point is not finite."""
        points: Floats = z.detach().float().cpu().numpy()
        good = np.isfinite(points).all(axis=1)
        xy = np.full((len(points), 2), np.nan, dtype=np.float32)
        xy[good] = self.fitted.place(points[good])
        return torch.from_numpy(xy).to(z.device)

    def covariance(self, logvar: Tensor) -> Tensor:
        """NaN (T, 2, 2): what a posterior becomes in a picture that bends is no ellipse."""
        return logvar.new_full((len(logvar), 2, 2), torch.nan)


def bent_steps(space: Space) -> Generator[Progress, None, str]:
    """Fit UMAP to all of a space's reference μ, or find it on disk; `space` then shows it.

    Closing the generator ends the fitting at once, and nothing has changed.

    Returns
    -------
    str
        Why it could not be kept on disk, in a sentence; empty where it was.

    Raises
    ------
    UserError
        If the space keeps no reference μ, or too few, or UMAP fails.
    """
    points, what = space.points, "Cannot draw UMAP of μ"
    if points is None:
        why = "this space's file keeps its reference states in the trained plane only"
        raise UserError(what, why, "Train the space anew")
    least = max(LEAST, SETTINGS.neighbours + 1)
    if len(points) < least:
        why = f"the space has {len(points)} reference states, and it takes {least}"
        raise UserError(what, why, "Train it on more texts")
    yield Progress("UMAP of μ", 0.0)
    found = kept_on_disk(points)
    if found is not None:
        space.keep_picture(found)
        return ""
    fitted = yield from umap.fit(Cloud(points, np.arange(len(points))), SETTINGS)
    made = _picture(points, fitted.xy)
    space.keep_picture(made)
    path = _path(points)
    try:
        write(path, {"xy": torch.from_numpy(np.array(made.reference))}, {})
    except UserError as error:
        return error.sentence
    trim(path.parent, CAP, path)
    return ""


def kept_on_disk(points: Floats) -> Bent | None:
    """The picture once fitted to `points` (N, Z); None where there is none that is whole."""
    path = _path(points)
    try:
        with safe_open(path, framework="pt") as file:
            xy: Floats = file.get_tensor("xy").numpy()
        os.utime(path)  # it was used now
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    if xy.shape != (len(points), 2) or xy.dtype != np.float32 or not np.isfinite(xy).all():
        return None
    return _picture(points, xy)


def _picture(points: Floats, xy: Floats) -> Bent:
    """The picture in which `points` (N, Z) lie at `xy` (N, 2)."""
    reference = np.array(xy, dtype=np.float32)
    reference.setflags(write=False)
    kept = np.ascontiguousarray(points, dtype=np.float32)
    count = SETTINGS.neighbours
    fitted = Neighbours(kept, reference, lambda rows: rows, False, count, memberships, umap.PLACING)
    return Bent(fitted, reference)


def _path(points: Floats) -> Path:
    """Where the picture of `points` lies: by every number that it depends on."""
    told = msgspec.json.encode(asdict(SETTINGS), order="sorted")
    shape = f"{points.shape}{points.dtype}".encode()
    key = sha256(told + shape + np.ascontiguousarray(points).tobytes()).hexdigest()
    return cache_dir() / "planes" / f"umap-{key[:24]}.safetensors"
