"""One attention map, or all of a layer."""

from __future__ import annotations

from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, to_numpy
from engine.trace import AttentionMaps
from engine.types import AttentionQuery, AttentionResult, Stack


def layer_of(passed: Pass, layer: int, stack: Stack | None) -> tuple[Stack, AttentionMaps]:
    """What was recorded of one block's attention.

    Raises
    ------
    NotAnswerable
        If the model has no such attention, naming what it has.
    """
    info = passed.loaded.info
    chosen: Stack = stack or info.stacks[0]
    layers = passed.trace.attention.get(chosen)
    if not layers:
        raise NotAnswerable(f"{info.title} has no {chosen} attention")
    if not 0 <= layer < len(layers):
        raise NotAnswerable(f"{info.title} has attention in layers 0 to {len(layers) - 1}")
    if not layers[layer].heads:
        there = ", ".join(str(number) for number, one in enumerate(layers) if one.heads)
        raise NotAnswerable(f"Layer {layer} of {info.title} has no attention, only {there} have")
    return chosen, layers[layer]


def answer(passed: Pass, query: AttentionQuery) -> AttentionResult:
    """softmax(q·kᵀ·scale + mask) for the head or heads asked for."""
    stack, layer = layer_of(passed, query.layer, query.stack)
    heads = passed.loaded.info.heads
    if isinstance(query.head, int):
        if not 0 <= query.head < heads:
            raise NotAnswerable(f"{passed.loaded.info.title} has heads 0 to {heads - 1}")
        weights = layer.weights(query.head)[0]  # (T, S)
    elif query.head == "mean":
        weights = layer.weights().mean(dim=0)  # (T, S)
    else:
        weights = layer.weights()  # (H, T, S)
    return AttentionResult(query.layer, query.head, stack, to_numpy(weights))


PROBE = ProbeSpec(AttentionQuery, "attention", answer)
