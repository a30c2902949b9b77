"""Running a model on from states put in place of its own, at one depth and one token.

What stands before the token is true as it is, so with a key-value cache only the rows from the
token on are run, and only through the blocks above: one token through L − l blocks where it is the
context's last. Nothing here writes to the live trace: keys and values of the tokens before are
read, and what a run adds to them is its own.

Shape letters: P states tried, T tokens of the context, t rows that are run, D model width, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, CacheLayerMixin

from engine.models.cache import ArenaCache, ArenaLayer, over
from engine.models.families.decoder import DecoderReader
from engine.models.families.spec import Reader
from engine.trace import Trace

TOGETHER = 512
"""Most rows run at once: P states of t rows each are run in parts of no more."""


class Unrunnable(Exception):  # noqa: N818 - an outcome, told to the user
    """A model that cannot be run on from a state; the message says why, for the user."""


class BorrowedLayer(CacheLayerMixin):
    """Keys and values of one block: those of a context, read where they lie, and what is added.

    The borrowed ones, (1, H_kv, i, d_h), are never written to; the first `update` copies them.
    """

    keys: Tensor
    values: Tensor
    is_sliding = False

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values = keys, values
        self.is_initialized = True
        self.dtype, self.device = keys.dtype, keys.device

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """There is nothing left to do."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Put rows (P, H_kv, t, d_h) behind, in a copy, and return all of them."""
        count = len(key_states)
        self.keys = torch.cat([self.keys.expand(count, -1, -1, -1), key_states], dim=2)
        self.values = torch.cat([self.values.expand(count, -1, -1, -1), value_states], dim=2)
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length of the keys a mask must span, and the position of the first."""
        return self.keys.shape[2] + query_length, 0

    def get_seq_length(self) -> int:
        """How many tokens are held."""
        return int(self.keys.shape[2])

    def get_max_length(self) -> int:
        """No maximum."""
        return -1


def borrow(cache: ArenaCache, count: int) -> Cache:
    """A cache of the first `count` tokens of another, which it leaves as it is."""
    # Cut back, a layer may still show what an edit took away: it stands behind.
    return Cache(
        layers=[
            BorrowedLayer(layer.keys[..., :count, :], layer.values[..., :count, :])
            for layer in cache.layers
            if isinstance(layer, ArenaLayer) and layer.keys is not None and layer.values is not None
        ]
    )


def check(reader: Reader, title: str) -> DecoderReader:
    """The reader, if its model can be run on from a state.

    Raises
    ------
    Unrunnable
        If it predicts no next token, or cannot be run from the middle.
    """
    if not reader.has_next:
        raise Unrunnable(f"{title} predicts no next token")
    if not isinstance(reader, DecoderReader):
        raise Unrunnable(f"{title} predicts the target from all of the text's states together")
    if "decoder" not in reader.blocks:
        raise Unrunnable(f"the blocks of {title} cannot be listened to, so no state can be put in")
    return reader


@torch.inference_mode()
def next_scores(
    reader: DecoderReader,
    trace: Trace,
    states: Tensor,
    layer: int,
    position: int,
    stop: int | None = None,
) -> Tensor:
    """Log-probabilities (P, V) of the next token, each of `states` (P, D) being in place.

    Parameters
    ----------
    trace : Trace
        Of the context. It is not changed.
    layer : int
        The depth at which they are put in, 0 to L.
    position : int
        The token whose state each replaces, 0 to `stop` − 1.
    stop : int, optional
        The prediction is that after the first `stop` tokens; all of them by default.
    """
    stop = len(trace.ids) if stop is None else stop
    each = max(1, TOGETHER // (stop - first_row(trace, position)))
    finals = [
        run_on(reader, trace, part, layer, position, stop)[0][:, -1] for part in states.split(each)
    ]
    return log_probabilities(reader, torch.cat(finals))


def log_probabilities(reader: Reader, final: Tensor) -> Tensor:
    """Log-probabilities (n, V), float32, for states (n, D) after the final norm."""
    return reader.logits(final).float().log_softmax(dim=-1)


def first_row(trace: Trace, position: int) -> int:
    """From which token on a run has to start: all of them where there is no cache."""
    return position if isinstance(trace.cache, ArenaCache) and len(trace.cache.layers) else 0


@torch.inference_mode()
def run_on(
    reader: DecoderReader, trace: Trace, states: Tensor, layer: int, position: int, stop: int
) -> tuple[Tensor, Cache | None]:
    """Run the rows from `position` to `stop` on from depth `layer`.

    Returns
    -------
    final : Tensor
        (P, t, D), after the final norm.
    cache : Cache or None
        What the run left, for `stop` tokens in the blocks from `layer` on, and in those below it
        still for the tokens before `position`; None where the model knows no cache.
    """
    begin = first_row(trace, position)
    rows = trace.states["decoder"][layer].rows()[begin:stop]  # (t, D)
    hidden = rows.expand(len(states), -1, -1).clone()  # (P, t, D)
    hidden[:, position - begin] = states.to(hidden.dtype)
    ids = reader.tensor(trace.ids[begin:stop]).expand(len(states), -1)
    blocks, habit = reader.blocks["decoder"], _habit(reader)
    cache: Cache | None = None
    more: dict[str, Any] = {"use_cache": False}
    with ExitStack() as stack:
        if habit.by_itself:
            stack.enter_context(attending_by_itself(reader))
        if isinstance(trace.cache, ArenaCache) and len(trace.cache.layers):
            cache = borrow(trace.cache, begin)
            more = over(reader.base, cache)
            stack.enter_context(_starting_at(blocks, layer, hidden, habit.shape))
        else:
            stack.enter_context(putting(blocks, layer, hidden))
        output = reader.base(input_ids=ids, **more)
    final: Tensor = output[0]
    return final, cache


@contextmanager
def putting(blocks: Sequence[nn.Module], layer: int, hidden: Tensor) -> Iterator[None]:
    """Let the stack's residual stream at depth `layer` be `hidden` (P, t, D) instead."""

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (hidden, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": hidden}

    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return hidden if isinstance(output, Tensor) else (hidden, *output[1:])

    if layer < len(blocks):
        handle = blocks[layer].register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = blocks[-1].register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _starting_at(
    blocks: Sequence[nn.Module], layer: int, hidden: Tensor, shape: Callable[[Tensor], Any]
) -> Iterator[None]:
    """Let the blocks below `layer` do nothing, and `hidden` be what comes out of them."""

    def idle(*args: Any, **kwargs: Any) -> Any:
        return shape(args[0] if args else kwargs["hidden_states"])

    with ExitStack() as stack:
        stack.enter_context(putting(blocks, layer, hidden))
        for block in blocks[:layer]:
            block.forward = idle
            # The class's own shows again.
            stack.callback(block.__dict__.pop, "forward", None)
        yield


class _Habit:
    """What has to be known of a model to run it from the middle, found out by running it once.

    `shape` makes of a state (P, t, D) what its blocks return; `by_itself` says that its attention
    has what the recorder's cannot do unless it records (soft caps, sinks), and the model's own is
    to be used.
    """

    def __init__(self, reader: DecoderReader) -> None:
        self.by_itself = False
        self._length: int | None = None
        handle = reader.blocks["decoder"][0].register_forward_hook(self._look)
        ask: dict[str, Any] = {"input_ids": reader.tensor([0]), "use_cache": False}
        try:
            try:
                reader.base(**ask)
            except RuntimeError:
                self.by_itself = True
                with attending_by_itself(reader):
                    reader.base(**ask)
        finally:
            handle.remove()

    def _look(self, _: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._length = None if isinstance(output, Tensor) else len(output)

    def shape(self, hidden: Tensor) -> Any:
        return hidden if self._length is None else (hidden, *[None] * (self._length - 1))


_habits: WeakKeyDictionary[nn.Module, _Habit] = WeakKeyDictionary()


def _habit(reader: DecoderReader) -> _Habit:
    if reader.model not in _habits:
        _habits[reader.model] = _Habit(reader)
    return _habits[reader.model]


def attends_by_itself(reader: DecoderReader) -> bool:
    """Whether the model has to be run under `attending_by_itself` where nothing is recorded."""
    return _habit(reader).by_itself


@contextmanager
def attending_by_itself(reader: DecoderReader) -> Iterator[None]:
    """Let the model attend as transformers' eager code has it."""
    configs = {id(one): one for one in (reader.model.config, reader.base.config, reader.config)}
    before = {key: one._attn_implementation for key, one in configs.items()}
    for one in configs.values():
        one._attn_implementation = "eager"
    try:
        yield
    finally:
        for key, one in configs.items():
            one._attn_implementation = before[key]
