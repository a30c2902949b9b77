"""Listening to a pass: queries, keys and states, through transformers' own attention registry.

transformers sends every family that matters through one registry of attention functions. Ours,
registered under `NAME`, notes what it was given and calls the stock sdpa function, so the model
computes what it always computes. The residual stream is read by hooks on the blocks, because the
last of transformers' `hidden_states` is already normed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from engine.arena import Arena
from engine.errors import Cancelled
from engine.trace import LayerAttention, Segment, Trace
from engine.types import Stack

NAME = "contextscope"

# Marks a mask that says no more than causal order does.
_PLAIN = "_contextscope_plain"


class Recorder:
    """Writes one pass into a trace. Install it with `listening`.

    Parameters
    ----------
    trace : Trace
        What is appended to.
    stack_of : callable
        Which stack an attention module belongs to.
    start : int
        How many tokens the trace holds already.
    cached : bool
        Whether keys stand in a cache that later passes build on.
    cancelled : callable
        Asked before each block; the pass ends with `Cancelled` once it says yes.
    gaps : bool
        Whether there are layers that do not attend. An attention then belongs to the block that is
        running; otherwise to the layer whose turn it is, for which no block needs to be known.
    """

    def __init__(
        self,
        trace: Trace,
        stack_of: Callable[[nn.Module], Stack],
        start: int,
        cached: bool,
        cancelled: Callable[[], bool],
        gaps: bool = False,
    ) -> None:
        self.trace = trace
        self.stack_of = stack_of
        self.start = start
        self.cached = cached
        self.cancelled = cancelled
        self.gaps = gaps
        self.depth = 0  # of the block that is running
        # Blocks may share one module (ALBERT), so a layer is known by its turn, not by its name.
        self._turn: dict[Stack, int] = {}

    def attention(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        mask: Tensor | None,
        scaling: float | None,
        is_causal: bool | None,
        extra: Mapping[str, Any],
    ) -> LayerAttention:
        """Note one call of attention: `query` (1, H, t, d_h), `key` (1, H_kv, S, d_h)."""
        stack = self.stack_of(module)
        layers = self.trace.attention.setdefault(stack, [])
        turn = self.depth if self.gaps else self._turn.get(stack, 0)
        self._turn[stack] = turn + 1
        if turn == len(layers):
            layers.append(LayerAttention(cached=self.cached))
        layer = layers[turn]
        assert isinstance(layer, LayerAttention)
        layer.queries.append(query[0])
        layer.keys = key[0]
        layer.scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
        layer.softcap = extra.get("softcap")
        layer.sinks = extra.get("s_aux")
        self._add_segment(layer, module, query, mask, is_causal, extra.get("position_bias"))
        return layer

    def _add_segment(
        self,
        layer: LayerAttention,
        module: nn.Module,
        query: Tensor,
        mask: Tensor | None,
        is_causal: bool | None,
        bias: Tensor | None,
    ) -> None:
        rows = query.shape[2]
        causal = is_causal if is_causal is not None else bool(getattr(module, "is_causal", True))
        allowed = None
        if mask is not None and mask.dtype == torch.bool:
            allowed = None if causal and hasattr(mask, _PLAIN) else mask[0]
        elif mask is not None:
            bias = mask if bias is None else bias + mask
        if bias is not None:
            bias = bias[0, :, -rows:, :]  # (1, H, t, S) → (H, t, S)
        # Where a mask was handed over, sdpa ignores the flag; the mask alone says what is seen.
        causal = causal and allowed is None
        stop = self.start + rows
        last = layer.segments[-1] if layer.segments else None
        plain = causal and bias is None
        if plain and last and last.causal and last.bias is None and last.allowed is None:
            last.stop = stop
            return
        layer.segments.append(Segment(self.start, stop, causal, allowed, bias))

    def state(self, stack: Stack, depth: int, hidden: Tensor) -> None:
        """Note the residual stream `hidden` (1, t, D), or (t, 1, D) in XLNet, at a depth."""
        arenas = self.trace.states.setdefault(stack, [])
        while len(arenas) <= depth:
            arenas.append(Arena())
        arenas[depth].append(hidden[0] if hidden.shape[0] == 1 else hidden[:, 0])


def take_states(trace: Trace, stack: Stack, states: Sequence[Tensor]) -> None:
    """Note a residual stream that a model handed out, depth by depth, each (1, t, D)."""
    arenas = trace.states.setdefault(stack, [])
    while len(arenas) < len(states):
        arenas.append(Arena())
    for arena, hidden in zip(arenas, states, strict=True):
        arena.append(hidden[0])


_current: Recorder | None = None


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend as sdpa does, noting what went in; soft caps and sinks, which sdpa lacks, by hand."""
    by_hand = kwargs.get("softcap") is not None or kwargs.get("s_aux") is not None
    if _current is not None:
        layer = _current.attention(module, query, key, attention_mask, scaling, is_causal, kwargs)
        if by_hand:
            weights = layer.weights(start=_current.start).to(value.dtype)  # (H, t, S)
            groups = weights.shape[0] // value.shape[1]
            mixed = torch.matmul(weights, value[0].repeat_interleave(groups, dim=0))
            return mixed.transpose(0, 1)[None].contiguous(), None  # (1, t, H, d_h)
    elif by_hand:
        raise RuntimeError("a model with soft caps or sinks must be run under `listening`")
    output, _ = sdpa_attention_forward(
        module,
        query,
        key,
        value,
        attention_mask,
        dropout=dropout,
        scaling=scaling,
        is_causal=is_causal,
        **kwargs,
    )
    return output, None


def _mask(**given: Any) -> Tensor | None:
    """Make the mask that sdpa takes, and mark it where it is plainly causal.

    That is known from what it is made of. Looking at its numbers instead would make the host wait
    for an accelerator in the middle of a pass.
    """
    made: Tensor | None = sdpa_mask(**given)
    if made is not None and _is_plain(given):
        setattr(made, _PLAIN, True)
    return made


def _is_plain(given: Mapping[str, Any]) -> bool:
    """Whether a mask (1, 1, t, S) made of such arguments is the lower right of a triangle.

    transformers allows `is_causal` in a mask's place only where nothing was laid over causal order
    but a window of `local_size`, which does not show as long as no key lies outside it.
    """
    seen, window = given["kv_length"], given.get("local_size")
    return (
        given.get("allow_is_causal_skip") is True
        and given.get("attention_mask") is None
        and given.get("kv_offset", 0) == 0
        and given.get("q_offset", 0) + given["q_length"] == seen
        and (window is None or seen < window)
    )


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _mask)


@contextmanager
def listening(recorder: Recorder, blocks: Mapping[Stack, Sequence[nn.Module]]) -> Iterator[None]:
    """Record every pass run inside the block."""
    global _current  # noqa: PLW0603 - the registry hands our function no place for it
    handles = []
    # One module may stand for several blocks (ALBERT): its calls are counted.
    calls: dict[int, int] = {}

    def before(stack: Stack, depth: int) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if recorder.cancelled():
                raise Cancelled
            turn = calls.get(id(module), 0)
            calls[id(module)] = turn + 1
            hidden = args[0] if args else kwargs["hidden_states"]
            recorder.depth = depth + turn
            recorder.state(stack, depth + turn, hidden)

        return hook

    def after(stack: Stack, depth: int) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if calls[id(module)] + depth_of[id(module)] == depth:
                hidden = output if isinstance(output, Tensor) else output[0]
                recorder.state(stack, depth, hidden)

        return hook

    depth_of: dict[int, int] = {}
    for stack, modules in blocks.items():
        for depth, module in enumerate(modules):
            if id(module) not in depth_of:
                depth_of[id(module)] = depth
                handles.append(
                    module.register_forward_pre_hook(before(stack, depth), with_kwargs=True)
                )
        handles.append(modules[-1].register_forward_hook(after(stack, len(modules))))
    previous, _current = _current, recorder
    try:
        yield
    finally:
        _current = previous
        for handle in handles:
            handle.remove()
