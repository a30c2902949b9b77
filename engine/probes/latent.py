"""Where the states of tokens, or of sentences, lie in a latent space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.latent.context_sentences import Sentence, pooled_states, sentences_of
from engine.latent.space import Space
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, states_at, to_numpy
from engine.types import LatentQuery, LatentResult, Pooling


@dataclass(slots=True)
class Posteriors:
    """q(z|x) of the tokens so far: `mu`, `logvar` (t, Z). `encoded` counts rows ever encoded."""

    mu: Tensor
    logvar: Tensor
    encoded: int = 0

    def keep(self, count: int) -> None:
        """Forget tokens from `count` on."""
        self.mu, self.logvar = self.mu[:count], self.logvar[:count]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.mu.nbytes + self.logvar.nbytes


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
        nothing = space.origin.new_zeros(0, len(space.origin))
        kept = Posteriors(nothing, nothing)
    new = states[len(kept.mu) :]
    if len(new):
        mu, logvar = space.encode(new)
        kept.mu, kept.logvar = torch.cat([kept.mu, mu]), torch.cat([kept.logvar, logvar])
        kept.encoded += len(new)
        passed.trace.memos[key] = kept
    return _result(layer, space, query, kept.mu, kept.logvar)


def _of_sentences(passed: Pass, query: LatentQuery) -> LatentResult:
    """Pool the states of each sentence's tokens, and encode them: there are few of them."""
    layer, space = sentence_space_at(passed, query.layer, query.states)
    _, states = states_at(passed, layer, None)  # (T, D)
    found = sentences_of(passed.text, passed.tokens)
    if not found:
        raise NotAnswerable("There is no sentence in the text yet")
    kind, longest = passed.loaded.info.kind, space.card.passage_length
    mu, logvar = space.encode(pooled_states(states, found, query.states, kind, longest))
    return _result(layer, space, query, mu, logvar, found)


def _result(
    layer: int,
    space: Space,
    query: LatentQuery,
    mu: Tensor,
    logvar: Tensor,
    sentences: list[Sentence] | None = None,
) -> LatentResult:
    picture = space.picture(query.plane)
    ranges = None
    if sentences is not None:
        ranges = np.array([(one.start, one.stop) for one in sentences], dtype=np.int64)
        ranges.setflags(write=False)
    return LatentResult(
        layer=layer,
        mu=to_numpy(mu),
        logvar=to_numpy(logvar),
        xy=to_numpy(picture.project(mu)),
        covariance=to_numpy(picture.covariance(logvar)),
        reference=picture.reference,
        labels=space.labels,
        label_names=space.label_names,
        card=space.figures,
        axes=to_numpy(picture.axes),
        plane=picture.plane,
        planes=space.points is not None,
        texts=space.texts,
        reference_mu=space.points,
        states=query.states,
        sentences=tuple(one.text for one in sentences or ()),
        ranges=ranges,
    )


PROBE = ProbeSpec(LatentQuery, "latent", answer)
