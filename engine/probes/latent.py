"""Where the states of tokens, or of sentences, lie in a latent space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.latent.bent import Bent
from engine.latent.context_sentences import Sentence, pooled_states, sentences_of
from engine.latent.planes import Picture
from engine.latent.space import Space
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, states_at, to_numpy
from engine.types import LatentPlane, LatentQuery, LatentResult, ModelInfo, Pooling


@dataclass(slots=True)
class Posteriors:
    """q(z|x) of the tokens so far: `mu`, `logvar` (t, Z), and its picture.

    `xy` (t, C) and `covariance` (t, C, C) are those of the picture of `plane`, which draws C
    directions. `encoded` counts the rows that were ever encoded.
    """

    mu: Tensor
    logvar: Tensor
    xy: Tensor
    covariance: Tensor
    plane: LatentPlane = "own"
    encoded: int = 0

    def keep(self, count: int) -> None:
        """Forget tokens from `count` on."""
        self.mu, self.logvar = self.mu[:count], self.logvar[:count]
        self.xy, self.covariance = self.xy[:count], self.covariance[:count]

    def add(self, space: Space, states: Tensor) -> None:
        """Encode states (n, D)."""
        mu, logvar = space.encode(states)
        self.mu, self.logvar = torch.cat([self.mu, mu]), torch.cat([self.logvar, logvar])
        self.encoded += len(states)

    def show(self, picture: Picture | Bent) -> None:
        """Project what `picture` has not shown yet."""
        if picture.plane != self.plane:
            self.plane, size = picture.plane, picture.size
            self.xy = self.xy.new_zeros(0, size)
            self.covariance = self.covariance.new_zeros(0, size, size)
        done = len(self.xy)
        if done < len(self.mu):
            self.xy = torch.cat([self.xy, picture.project(self.mu[done:])])
            fresh = picture.covariance(self.logvar[done:])
            self.covariance = torch.cat([self.covariance, fresh])

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(one.nbytes for one in (self.mu, self.logvar, self.xy, self.covariance))


@dataclass(slots=True)
class SentencePosteriors:
    """q(z|x) of the sentences so far: μ and ln σ², (Z,) each, by the tokens `start` and `stop`.

    `encoded` counts the sentences that were ever encoded.
    """

    known: dict[tuple[int, int], tuple[Tensor, Tensor]]
    encoded: int = 0

    def keep(self, count: int) -> None:
        """Forget sentences with tokens from `count` on."""
        self.known = {place: one for place, one in self.known.items() if place[1] <= count}

    def of(self, sentences: Sequence[Sentence]) -> tuple[Tensor, Tensor]:
        """μ and ln σ² (S, Z) of sentences that are all known; others are forgotten."""
        self.known = {(one.start, one.stop): self.known[one.start, one.stop] for one in sentences}
        mu, logvar = zip(*self.known.values(), strict=True)
        return torch.stack(mu), torch.stack(logvar)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(mu.nbytes + logvar.nbytes for mu, logvar in self.known.values())


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
    if not spaces and info.sentence_spaces:
        raise NotAnswerable(f"The latent spaces of {info.title} are of sentences, not of tokens")
    if not spaces:
        raise NotAnswerable(f"There is no latent space for {info.title} yet")
    layer = middle(tuple(spaces), info.layers) if layer is None else layer
    if layer not in spaces:
        there = ", ".join(str(number) for number in sorted(spaces))
        raise NotAnswerable(f"{info.title} has a latent space for layer {there}, not for {layer}")
    return layer, spaces[layer]


def sentence_space_at(passed: Pass, layer: int | None, pooling: Pooling) -> tuple[int, Space]:
    """The space of sentence states of `layer`, or of the model's middle one, and its layer.

    Raises
    ------
    NotAnswerable
        If there is none.
    """
    info = passed.loaded.info
    layers = tuple(at for at, how in passed.loaded.sentence_spaces if how == pooling)
    if layers and layer is None:
        layer = middle(layers, info.layers)
    if layer not in layers:
        at = "" if layer is None else f" for layer {layer}"
        raise NotAnswerable(f"{info.title} has no latent space of sentences ({SAID[pooling]}){at}")
    return layer, passed.loaded.sentence_spaces[layer, pooling]


SAID: dict[Pooling, str] = {"tokens": "tokens", "mean": "mean", "last": "last token"}


def answer(passed: Pass, query: LatentQuery) -> LatentResult:
    """Encode the states that are new, and project all of them onto the plane that is wanted."""
    if query.states != "tokens":
        return _of_sentences(passed, query)
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
    kept.show(space.picture(query.plane))
    return _result(layer, space, query, (kept.mu, kept.logvar, kept.xy, kept.covariance))


def _of_sentences(passed: Pass, query: LatentQuery) -> LatentResult:
    """Pool the states of each sentence's tokens, and encode those sentences that are new."""
    layer, space = sentence_space_at(passed, query.layer, query.states)
    _, states = states_at(passed, layer, None)  # (T, D)
    found = sentences_of(passed.text, passed.tokens)
    if not found:
        raise NotAnswerable("There is no sentence in the text yet")
    key = f"latent {layer} {query.states}"
    kept = passed.trace.memos.get(key)
    if not isinstance(kept, SentencePosteriors):
        kept = SentencePosteriors({})
    new = [one for one in found if (one.start, one.stop) not in kept.known]
    if new:
        kind, longest = passed.loaded.info.kind, space.card.passage_length
        both = space.encode(pooled_states(states, new, query.states, kind, longest))
        kept.known.update(
            zip([(one.start, one.stop) for one in new], zip(*both, strict=True), strict=True)
        )
        kept.encoded += len(new)
        passed.trace.memos[key] = kept
    mu, logvar = kept.of(found)
    picture = space.picture(query.plane)
    posterior = (mu, logvar, picture.project(mu), picture.covariance(logvar))
    return _result(layer, space, query, posterior, found)


def _result(
    layer: int,
    space: Space,
    query: LatentQuery,
    posterior: tuple[Tensor, Tensor, Tensor, Tensor],
    sentences: list[Sentence] | None = None,
) -> LatentResult:
    mu, logvar, xy, covariance = posterior
    picture = space.picture(query.plane)
    ranges = None
    if sentences is not None:
        ranges = np.array([(one.start, one.stop) for one in sentences], dtype=np.int64)
        ranges.setflags(write=False)
    return LatentResult(
        layer=layer,
        mu=to_numpy(mu),
        logvar=to_numpy(logvar),
        xy=to_numpy(xy),
        covariance=to_numpy(covariance),
        reference=picture.reference,
        labels=space.labels,
        label_names=space.label_names,
        card=space.figures,
        axes=None if isinstance(picture, Bent) else to_numpy(picture.axes),
        plane=picture.plane,
        planes=space.points is not None,
        texts=space.texts,
        reference_mu=space.points,
        states=query.states,
        sentences=tuple(one.text for one in sentences or ()),
        ranges=ranges,
    )


def _blocks(info: ModelInfo, query: LatentQuery) -> int | None:
    """How many blocks lead to the states that are encoded."""
    if query.layer is None and query.states == "tokens" and info.latent_layers:
        return middle(info.latent_layers, info.layers)
    return query.layer


PROBE = ProbeSpec(LatentQuery, "latent", answer, blocks=_blocks)
