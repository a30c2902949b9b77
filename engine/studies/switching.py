"""Switching heads off: what a head hands to the output projection becomes zero, or its mean.

Heads stand side by side in what the output projection of a block's attention reads, (…, H·d_h).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from engine.latent.running import Unrunnable
from engine.models.families.decoder import DecoderReader

Head = tuple[int, int]
"""Layer and head."""

# What families call the attention of a block, and its output projection.
_ATTENTION = ("attn", "attention")
_PROJECTION = frozenset({"o_proj", "out_proj", "c_proj", "dense", "Wo", "wo"})


class Projections:
    """The output projections of a model's attention, by layer; None where a layer has none.

    Raises
    ------
    Unrunnable
        If they cannot be found; the message says so, for the user.
    """

    def __init__(self, reader: DecoderReader, title: str) -> None:
        self.heads = int(getattr(reader.config, "num_attention_heads", 0) or 0)
        self.layers = [_projection(block, self.heads) for block in reader.blocks.get("decoder", ())]
        if not any(self.layers):
            raise Unrunnable(f"where the heads of {title} come together is not known")

    @contextmanager
    def off(
        self, heads: Sequence[Head], means: Sequence[Sequence[float] | None] | None = None
    ) -> Iterator[None]:
        """Let some heads hand on zeros while the block runs, or their means (L, H·d_h)."""
        by_layer: dict[int, list[int]] = {}
        for layer, head in heads:
            by_layer.setdefault(layer, []).append(head)
        handles = []
        for layer, chosen in by_layer.items():
            module = self.layers[layer]
            assert module is not None, f"layer {layer} does not attend"
            mean = None if means is None else means[layer]
            handles.append(module.register_forward_pre_hook(self._hook(chosen, mean)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def noting(self, averages: Averages) -> Iterator[None]:
        """Let averages be taken, while the block runs, of what each head hands on."""
        handles = [
            module.register_forward_pre_hook(averages.hook(layer))
            for layer, module in enumerate(self.layers)
            if module is not None
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, heads: Sequence[int], mean: Sequence[float] | None) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            given: Tensor = args[0]
            changed = given.reshape(*given.shape[:-1], self.heads, -1).clone()
            if mean is None:
                changed[..., list(heads), :] = 0
            else:
                rows = torch.tensor(mean, dtype=given.dtype, device=given.device)
                changed[..., list(heads), :] = rows.view(self.heads, -1)[list(heads)]
            return (changed.view(given.shape), *args[1:])

        return hook


class Averages:
    """Means over all tokens that came by, by layer."""

    def __init__(self, layers: int) -> None:
        self._sums: list[Tensor | None] = [None] * layers
        self._counts = [0] * layers

    def hook(self, layer: int) -> Any:
        """What notes the input of one layer's projection."""

        def note(_: nn.Module, args: tuple[Any, ...]) -> None:
            rows = args[0].detach().flatten(0, -2).double()
            before = self._sums[layer]
            self._sums[layer] = rows.sum(dim=0) if before is None else before + rows.sum(dim=0)
            self._counts[layer] += len(rows)

        return note

    def means(self) -> list[list[float] | None]:
        """(L, H·d_h); None for layers that saw nothing."""
        return [
            None if total is None else (total / count).tolist()
            for total, count in zip(self._sums, self._counts, strict=True)
        ]


def _projection(block: nn.Module, heads: int) -> nn.Module | None:
    """The output projection of the attention in a block, if there is just one that can be it."""
    found = []
    for name, module in block.named_modules():
        *path, last = name.split(".")
        width = _reads(module)
        attends = any(word in part.lower() for part in path for word in _ATTENTION)
        if attends and last in _PROJECTION and width and heads and width % heads == 0:
            found.append(module)
    return found[0] if len(found) == 1 else None


def _reads(module: nn.Module) -> int:
    """How many numbers a linear map reads; GPT-2's keep their weights the other way round."""
    if isinstance(module, nn.Linear):
        return int(module.in_features)
    weight = getattr(module, "weight", None)
    return int(weight.shape[0]) if isinstance(weight, Tensor) and weight.ndim == 2 else 0


def heads_by(scores: Mapping[Head, float], count: int) -> tuple[Head, ...]:
    """The `count` heads of the highest scores, falling."""
    return tuple(sorted(scores, key=lambda head: (-scores[head], head))[:count])
