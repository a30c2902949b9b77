"""One attention map, or all of a layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine import causal
from engine.estimate import ROWS
from engine.frozen import FrozenSquare
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, on_host, to_numpy
from engine.trace import AttentionMaps, LayerAttention
from engine.types import AttentionQuery, AttentionResult, Floats, Stack


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
        raise NotAnswerable(f"Layer {layer} of {info.title} does not attend; these do: {there}")
    return chosen, layers[layer]


@dataclass(slots=True)
class ShownMap:
    """The one map that was shown last, (T, S): the next token adds a row and a column.

    `which` says whose it is. Only causal stacks come back with fewer rows than there are queries:
    what stands before an edit attends as it did. On the CPU it grows where it is shown.
    """

    which: tuple[object, ...]
    weights: Tensor | FrozenSquare

    def keep(self, count: int) -> None:
        """Forget tokens from `count` on."""
        if isinstance(self.weights, FrozenSquare):
            self.weights.keep(count)
        else:
            self.weights = self.weights[:count, :count]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.weights.nbytes


def one_map(passed: Pass, layer: AttentionMaps, which: tuple[object, ...]) -> Floats:
    """The map (T, S) of one head, or the mean of all: `which` ends with the head or ``"mean"``."""
    kept = passed.trace.memos.get("attention")
    old = kept.weights if isinstance(kept, ShownMap) and kept.which == which else None
    rows, columns = layer.rows, layer.columns
    if which[0] == "decoder" and on_host(passed.loaded.reader.device) and rows == columns:
        square = old if isinstance(old, FrozenSquare) and len(old) <= rows else FrozenSquare()
        if len(square) < rows:
            new = np.empty((rows - len(square), columns), np.float32)
            _fill(torch.from_numpy(new), layer, which[-1], len(square))
            square.append(new)
            passed.trace.memos["attention"] = ShownMap(which, square)
        return square.rows()
    if not isinstance(old, Tensor) or len(old) > rows:
        old = None
    done = 0 if old is None else len(old)
    if old is None or done < rows:
        whole = torch.zeros(rows, columns, device=passed.loaded.reader.device)
        if old is not None:
            whole[:done, : old.shape[1]] = old  # no old query sees the new keys
        _fill(whole[done:], layer, which[-1], done)
        old = whole
        passed.trace.memos["attention"] = ShownMap(which, old)
    return to_numpy(old)


def _fill(rows: Tensor, layer: AttentionMaps, which: object, start: int) -> None:
    """Work out the last `rows` (t, S) of a map, which begin at query `start`."""
    head = which if isinstance(which, int) else None
    if isinstance(layer, LayerAttention) and layer.plain and on_host(rows.device):
        _fill_plain(rows, layer, head, start)
        return
    # In pieces: a mean over heads then holds H·256·S floats for a moment, not H·T·S.
    for low in range(start, start + len(rows), ROWS):
        fresh = layer.weights(head, low, min(low + ROWS, start + len(rows)))  # (H or 1, t, S)
        there = rows[low - start : low - start + fresh.shape[1]]
        there[...] = fresh.mean(dim=0) if head is None else fresh[0]


def _fill_plain(rows: Tensor, layer: LayerAttention, head: int | None, start: int) -> None:
    """The same of causal attention on the CPU, beside which the window draws."""
    queries, keys = layer.arrays()
    first, last = (0, len(queries)) if head is None else (head, head + 1)
    causal.mean_rows(queries, keys, layer.scale, first, last, start, rows.numpy())


def answer(passed: Pass, query: AttentionQuery) -> AttentionResult:
    """softmax(q·kᵀ·scale + mask) for the head or heads asked for."""
    stack, layer = layer_of(passed, query.layer, query.stack)
    heads = passed.loaded.info.heads
    if isinstance(query.head, int) and not 0 <= query.head < heads:
        raise NotAnswerable(f"{passed.loaded.info.title} has heads 0 to {heads - 1}")
    if query.head is None:
        weights = to_numpy(layer.weights())  # (H, T, S)
    else:
        weights = one_map(passed, layer, (stack, query.layer, query.head))
    return AttentionResult(query.layer, query.head, stack, weights)


PROBE = ProbeSpec(AttentionQuery, "attention", answer, blocks=lambda _, query: query.layer + 1)
