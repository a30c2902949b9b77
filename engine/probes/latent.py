"""Where the tokens' states lie in a latent space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.latent.space import Space
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, states_at, to_numpy
from engine.types import LatentQuery, LatentResult


@dataclass(slots=True)
class Posteriors:
    """q(z|x) of the tokens so far: `mu`, `logvar` (t, Z), and its picture.

    `xy` (t, 2) and `covariance` (t, 2, 2) are those of the picture. `encoded` counts rows ever
    encoded.
    """

    mu: Tensor
    logvar: Tensor
    xy: Tensor
    covariance: Tensor
    encoded: int = 0

    def keep(self, count: int) -> None:
        """Forget tokens from `count` on."""
        self.mu, self.logvar = self.mu[:count], self.logvar[:count]
        self.xy, self.covariance = self.xy[:count], self.covariance[:count]

    def add(self, space: Space, states: Tensor) -> None:
        """Encode states (n, D) and project them."""
        mu, logvar = space.encode(states)
        self.mu, self.logvar = torch.cat([self.mu, mu]), torch.cat([self.logvar, logvar])
        self.xy = torch.cat([self.xy, space.project(mu)])
        self.covariance = torch.cat([self.covariance, space.covariance(logvar)])
        self.encoded += len(states)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(one.nbytes for one in (self.mu, self.logvar, self.xy, self.covariance))


def middle(layers: tuple[int, ...], depth: int) -> int:
    """Of `layers`, the one nearest to the middle of a model of `depth` layers."""
    return min(layers, key=lambda layer: (abs(layer - depth / 2), layer))


def space_at(passed: Pass, layer: int | None) -> tuple[int, Space]:
    """The space of `layer`, or the model's own where it is None, and its layer.

    Raises
    ------
    NotAnswerable
        If there is none, naming those there are.
    """
    info, spaces = passed.loaded.info, passed.loaded.spaces
    if not spaces:
        raise NotAnswerable(f"There is no latent space for {info.title} yet")
    layer = middle(tuple(spaces), info.layers) if layer is None else layer
    if layer not in spaces:
        there = ", ".join(str(number) for number in sorted(spaces))
        raise NotAnswerable(f"{info.title} has a latent space for layer {there}, not for {layer}")
    return layer, spaces[layer]


def answer(passed: Pass, query: LatentQuery) -> LatentResult:
    """Encode the states that are new, and project them."""
    layer, space = space_at(passed, query.layer)
    _, states = states_at(passed, layer, None)  # (T, D)
    key = f"latent {layer}"
    kept = passed.trace.memos.get(key)
    if not isinstance(kept, Posteriors):
        none = space.origin.new_zeros(0)
        width = len(space.origin)
        kept = Posteriors(
            none.view(0, width), none.view(0, width), none.view(0, 2), none.view(0, 2, 2)
        )
    new = states[len(kept.mu) :]
    if len(new):
        kept.add(space, new)
        passed.trace.memos[key] = kept
    return LatentResult(
        layer=layer,
        mu=to_numpy(kept.mu),
        logvar=to_numpy(kept.logvar),
        xy=to_numpy(kept.xy),
        covariance=to_numpy(kept.covariance),
        reference=space.reference,
        labels=space.labels,
        label_names=space.label_names,
        card=space.figures,
        axes=to_numpy(space.axes),
    )


PROBE = ProbeSpec(LatentQuery, "latent", answer)
