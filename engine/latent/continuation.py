"""What a model writes from a decoded state on, as a job."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from engine import memory
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
from engine.latent.values import Written
from engine.models.cache import over
from engine.models.families.decoder import DecoderReader
from engine.models.loader import Loaded
from engine.trace import Trace
from engine.types import Progress

MOST = 512
"""Tokens that are written at most."""

READ = 128
"""Tokens of the context that are read in one step, so that typing is answered between two."""

Point = tuple[float, ...]

_WHAT = "Cannot write on from this point"


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

    See `write_steps`. Each `Progress` has what is written so far as its text.

    Parameters
    ----------
    text : str
        The context.
    point : tuple of float, optional
        Z numbers; None leaves the state as it is: what the model writes by itself.
    """
    ids = [token.id for token in loaded.reader_of_text.read(text)]
    steps = write_steps(loaded, ids, layer, (point,), position, writing)
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            found: tuple[Continuation, ...] = stop.value
            return found[0]
        yield Progress(step.written, step.fraction)


def write_steps(
    loaded: Loaded,
    ids: Sequence[int],
    layer: int | None,
    points: Sequence[Point | None],
    position: int | None = None,
    writing: Writing = Writing(),
) -> Generator[Written, None, tuple[Continuation, ...]]:
    """Write on after tokens, as often as there are points, each in place of one token's state.

    The context is read anew and once for all of them, so that typing meanwhile disturbs nothing;
    then a token a step, the points taking turns. All of them draw with the same seed.

    Parameters
    ----------
    ids : sequence of int
        The context.
    layer : int, optional
        That of the space; None for the model's own.
    points : sequence of (tuple of float or None)
        Z numbers each; None leaves the state as it is: what the model writes by itself.
    position : int, optional
        The token whose state is replaced; the last by default.

    Raises
    ------
    UserError
        If the model writes nothing, there is no such space, the text has no such token or leaves
        no room, or memory would not do.
    """
    reader, layer = _able(loaded, layer)
    space = loaded.spaces[layer]
    if any(point is not None and len(point) != len(space.origin) for point in points):
        raise UserError(
            _WHAT, f"its space has {len(space.origin)} dimensions", "Give a point of as many"
        )
    position = len(ids) - 1 if position is None else position
    if not 0 <= position < len(ids):
        raise UserError(_WHAT, "the text has no such token", "Type a text and choose one of it")
    most = min(writing.count, MOST, loaded.info.max_tokens - len(ids))
    if most < 1:
        why = f"the text fills all {loaded.info.max_tokens:,} tokens that the model reads"
        raise UserError(_WHAT, why, "Shorten the text")
    need, there = reader.pass_bytes(None, len(ids), len(ids), ()), memory.room(reader.device)
    if need > there.free:
        raise UserError(_WHAT, memory.shortage(need, there), "Shorten the text")
    trace = yield from _read(reader, list(ids))
    pens: list[_Pen] = []
    for point in points:
        with torch.inference_mode():
            state = trace.states["decoder"][layer].rows()[position : position + 1].clone()  # (1, D)
            if point is not None:
                z = torch.tensor([point], dtype=torch.float32, device=space.origin.device)
                state = space.decode(z)
            pens.append(_Pen(reader, trace, state, layer, position, writing))
    while active := [pen for pen in pens if not pen.ended and len(pen.written) < most]:
        for pen in active:
            with torch.inference_mode():
                pen.step()
            done = sum(most if one.ended else len(one.written) for one in pens)
            yield Written(
                f"Writing token {len(pen.written)} of {most}",
                done / (most * len(pens)),
                which=pens.index(pen),
                written=_text(loaded, pen.written),
                ended=pen.ended,
            )
    return tuple(
        Continuation(tuple(pen.written), tuple(pen.probabilities), _text(loaded, pen.written))
        for pen in pens
    )


def _able(loaded: Loaded, layer: int | None) -> tuple[DecoderReader, int]:
    """The reader and the layer of the space, if the model can write on from it."""
    from engine.probes.latent import middle

    if not loaded.spaces:
        raise UserError(_WHAT, f"there is no latent space for {loaded.info.title}", "Train one")
    layer = middle(tuple(loaded.spaces), loaded.info.layers) if layer is None else layer
    if layer not in loaded.spaces:
        why = f"there is no latent space for layer {layer}"
        raise UserError(_WHAT, why, "Choose another layer")
    try:
        return check(loaded.reader, loaded.info.title), layer
    except Unrunnable as reason:
        raise UserError(_WHAT, str(reason), "Open a causal model") from reason


def _read(reader: DecoderReader, ids: list[int]) -> Generator[Written, None, Trace]:
    """Read the context, in parts where what was read need not be read again."""
    trace: Trace | None = None
    each = READ if reader.builds_on else len(ids)
    for end in range(each, len(ids) + each, each):
        yield Written("Reading the context", 0.0)
        with torch.inference_mode():
            trace, _ = reader.read(trace, ids[:end], [], lambda: False)
    assert trace is not None  # there is a token at least
    return trace


class _Pen:
    """A context with a state put in place, which grows by a token at a time.

    The context is only read, so that several may write on after it. `final` (1, D) is what the
    head reads for the next token.
    """

    def __init__(
        self,
        reader: DecoderReader,
        trace: Trace,
        state: Tensor,
        layer: int,
        position: int,
        writing: Writing,
    ) -> None:
        self.reader, self.layer, self.position, self.state = reader, layer, position, state
        self.ids = list(trace.ids)
        self.written: list[int] = []
        self.probabilities: list[float] = []
        self.ended = False
        self._ends = end_tokens(reader)
        self._temperature = writing.temperature
        self._draw = torch.Generator().manual_seed(writing.seed)
        final, self.cache = run_on(reader, trace, state, layer, position, len(trace.ids))
        self.final = final[:, -1]
        if self.cache is not None:
            _fill(self.cache, trace, layer)

    def step(self) -> None:
        """Run the token written last and write the next, or end."""
        if self.written:
            self.run(self.written[-1])
        scores = log_probabilities(self.reader, self.final)[0]  # (V,)
        chosen = _chosen(scores, self._temperature, self._draw)
        if chosen in self._ends:
            self.ended = True
            return
        self.written.append(chosen)
        self.probabilities.append(float(scores[chosen].exp()))

    def run(self, token: int) -> None:
        """Run one token."""
        if self.cache is None:  # the model keeps nothing between two passes: all of it again
            self.ids.append(token)
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
        trace, _ = self.reader.read(None, self.ids, [], lambda: False)
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


def end_tokens(reader: DecoderReader) -> frozenset[int]:
    """Tokens after which nothing is written."""
    stated = getattr(reader.model.generation_config, "eos_token_id", None)
    stated = reader.config.eos_token_id if stated is None else stated
    if stated is None:
        return frozenset()
    return frozenset([stated] if isinstance(stated, int) else stated)


def _text(loaded: Loaded, ids: list[int]) -> str:
    reader: Any = loaded.reader_of_text
    return str(reader.tokenizer.decode(ids))
