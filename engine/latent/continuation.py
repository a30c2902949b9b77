"""What a model writes from a decoded state on, as a job."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from engine.errors import UserError
from engine.latent.running import (
    BorrowedLayer,
    Unrunnable,
    attending_by_itself,
    attends_by_itself,
    check,
    log_probabilities,
    putting,
    run_on,
)
from engine.models.cache import over
from engine.models.families.decoder import DecoderReader
from engine.models.loader import Loaded
from engine.trace import Trace
from engine.types import Progress

MOST = 512
"""Tokens that are written at most."""


@dataclass(frozen=True, slots=True)
class Writing:
    """How to go on: `count` tokens, the likeliest each (`temperature` 0) or drawn with `seed`."""

    count: int = 24
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Continuation:
    """What was written: `ids`, their `probabilities` under the model, and the `text` they make."""

    ids: tuple[int, ...]
    probabilities: tuple[float, ...]
    text: str


def continue_steps(
    loaded: Loaded,
    text: str,
    layer: int | None,
    point: tuple[float, ...] | None,
    position: int | None = None,
    writing: Writing = Writing(),
) -> Generator[Progress, None, Continuation]:
    """Write on after `text`, a decoded point standing in place of one token's state.

    The text is read anew, so that typing meanwhile disturbs nothing; then a token a step. Each
    `Progress` has what is written so far as its text.

    Parameters
    ----------
    layer : int, optional
        That of the space; None for the model's own.
    point : tuple of float, optional
        Z numbers; None leaves the state as it is: what the model writes by itself.
    position : int, optional
        The token whose state is replaced; the last by default.

    Raises
    ------
    UserError
        If the model writes nothing, there is no such space, or the text has no such token.
    """
    what = "Cannot write on from this point"
    from engine.probes.latent import middle

    if not loaded.spaces:
        raise UserError(what, f"there is no latent space for {loaded.info.title}", "Train one")
    layer = middle(tuple(loaded.spaces), loaded.info.layers) if layer is None else layer
    if layer not in loaded.spaces:
        raise UserError(what, f"there is no latent space for layer {layer}", "Choose another layer")
    space = loaded.spaces[layer]
    if point is not None and len(point) != len(space.origin):
        raise UserError(
            what, f"its space has {len(space.origin)} dimensions", "Give a point of as many"
        )
    try:
        reader = check(loaded.reader, loaded.info.title)
    except Unrunnable as reason:
        raise UserError(what, str(reason), "Open a causal model") from reason
    ids = [token.id for token in loaded.reader_of_text.read(text)]
    position = len(ids) - 1 if position is None else position
    if not 0 <= position < len(ids):
        raise UserError(what, "the text has no such token", "Type a text and choose one of it")
    most = min(writing.count, MOST, loaded.info.max_tokens - len(ids))
    yield Progress("", 0.0)
    with torch.inference_mode():
        trace, _ = reader.read(None, ids, [], lambda: False)
        state = trace.states["decoder"][layer].rows()[position : position + 1].clone()  # (1, D)
        if point is not None:
            z = torch.tensor([point], dtype=torch.float32, device=space.origin.device)
            state = space.decode(z)
        pen = _Pen(reader, trace, state, layer, position)
    draw = torch.Generator().manual_seed(writing.seed)
    ends = _ends(reader)
    written: list[int] = []
    probabilities: list[float] = []
    for _ in range(most):
        with torch.inference_mode():
            scores = log_probabilities(reader, pen.final)[0]  # (V,)
            chosen = _chosen(scores, writing.temperature, draw)
        if chosen in ends:
            break
        written.append(chosen)
        probabilities.append(float(scores[chosen].exp()))
        yield Progress(_text(loaded, written), len(written) / most)
        if len(written) < most:
            with torch.inference_mode():
                pen.write(chosen)
    return Continuation(tuple(written), tuple(probabilities), _text(loaded, written))


class _Pen:
    """A context with a state put in place, which grows by a token at a time.

    `final` (1, D) is what the head reads for the next token.
    """

    def __init__(
        self, reader: DecoderReader, trace: Trace, state: Tensor, layer: int, position: int
    ) -> None:
        self.reader, self.layer, self.position, self.state = reader, layer, position, state
        self.trace = trace
        final, self.cache = run_on(reader, trace, state, layer, position, len(trace.ids))
        self.final = final[:, -1]
        if self.cache is not None:
            _fill(self.cache, trace, layer)

    def write(self, token: int) -> None:
        """Run one token."""
        if self.cache is None:  # the model keeps nothing between two passes: all of it again
            self.trace.ids.append(token)
            self.final = self._whole()
            return
        ask = over(self.reader.base, self.cache)
        ids = self.reader.tensor([token])
        if attends_by_itself(self.reader):
            with attending_by_itself(self.reader):
                output = self.reader.base(input_ids=ids, **ask)
        else:
            output = self.reader.base(input_ids=ids, **ask)
        self.final = output[0][:, -1]

    def _whole(self) -> Tensor:
        # Nothing above reaches back to the depths below: the states there are as without it.
        trace, _ = self.reader.read(None, list(self.trace.ids), [], lambda: False)
        hidden = trace.states["decoder"][self.layer].rows()[None].clone()  # (1, T, D)
        hidden[:, self.position] = self.state.to(hidden.dtype)
        with putting(self.reader.blocks["decoder"], self.layer, hidden):
            output = self.reader.base(input_ids=self.reader.tensor(trace.ids), use_cache=False)
        final: Tensor = output[0][:, -1]
        return final


def _fill(cache: Cache, trace: Trace, layer: int) -> None:
    """Give the blocks below `layer`, which a run passes over, keys and values of all tokens."""
    theirs: Any = trace.cache
    for mine, other in zip(cache.layers[:layer], theirs.layers[:layer], strict=True):
        assert isinstance(mine, BorrowedLayer)
        count = len(trace.ids)
        mine.keys, mine.values = other.keys[..., :count, :], other.values[..., :count, :]


def _chosen(scores: Tensor, temperature: float, draw: torch.Generator) -> int:
    if temperature <= 0:
        return int(scores.argmax())
    weights = (scores.double().cpu() / temperature).softmax(dim=-1)
    return int(torch.multinomial(weights, 1, generator=draw))


def _ends(reader: DecoderReader) -> frozenset[int]:
    """Tokens after which nothing is written."""
    stated = getattr(reader.model.generation_config, "eos_token_id", None)
    stated = reader.config.eos_token_id if stated is None else stated
    if stated is None:
        return frozenset()
    return frozenset([stated] if isinstance(stated, int) else stated)


def _text(loaded: Loaded, ids: list[int]) -> str:
    reader: Any = loaded.reader_of_text
    return str(reader.tokenizer.decode(ids))
