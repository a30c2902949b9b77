"""What a forward pass left on the device, and how much of it an edit leaves true.

Attention maps are not kept: all maps of one pass are L·H·T² numbers. A `Trace` keeps the queries
and keys that attention used, after rotary embedding, and recomputes a map when one is asked for.
See ARCHITECTURE.md, "Why attention is not stored".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.arena import Arena
from engine.types import Stack


@dataclass(slots=True)
class Segment:
    """What rows `start` to `stop` of a layer's maps may look at.

    With `causal`, row i sees keys up to i, counted from the end of the keys the rows were run with.
    `allowed` (1 or H, t, S) marks the keys that may be seen; `bias` (1 or H, t, S) is added to the
    scores. None means nothing to mark or add.
    """

    start: int
    stop: int
    causal: bool
    allowed: Tensor | None = None
    bias: Tensor | None = None


class AttentionMaps(ABC):
    """The attention of one layer of one stack, as probes ask for it."""

    __slots__ = ()

    @property
    @abstractmethod
    def heads(self) -> int:
        """H, or 0 where this layer attends to nothing."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """T, how many queries there are."""

    @property
    @abstractmethod
    def columns(self) -> int:
        """S, how many keys there are."""

    @abstractmethod
    def weights(self, head: int | None = None, start: int = 0, stop: int | None = None) -> Tensor:
        """Attention of queries `start` to `stop` over all keys, of one head or of all.

        Returns
        -------
        Tensor
            float32, (H or 1, stop − start, S); rows sum to one, less what a sink took.
        """

    @abstractmethod
    def keep(self, count: int) -> None:
        """Forget queries, and with a causal stack keys, from `count` on."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes held, less masks and biases, which layers share."""

    @property
    def map_bytes(self) -> int:
        """Those of them that are maps, as some models cannot be listened to otherwise."""
        return 0

    @property
    def masks(self) -> Iterator[Tensor]:
        """Masks and biases that were kept."""
        return iter(())


@dataclass(slots=True)
class LayerAttention(AttentionMaps):
    """Queries and keys of one layer of one stack, and all that stands between them and the maps.

    `queries` holds (H, T, d_h); `keys` is (H_kv, S, d_h), a view of the key cache where there is
    one. `sinks` (H,) are scores of a key that is not there (GPT-OSS); `softcap` squashes scores
    with ``c·tanh(s/c)`` (Gemma 2).
    """

    queries: Arena = field(default_factory=Arena)
    keys: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None
    sinks: Tensor | None = None
    segments: list[Segment] = field(default_factory=list)
    cached: bool = False

    @property
    def heads(self) -> int:
        """H."""
        return self.queries.rows().shape[0] if len(self.queries) else 0

    @property
    def rows(self) -> int:
        """T."""
        return len(self.queries)

    @property
    def columns(self) -> int:
        """S."""
        return 0 if self.keys is None else self.keys.shape[1]

    def keep(self, count: int) -> None:
        """Forget queries, and with a causal stack keys, from `count` on."""
        self.queries.keep(count)
        if self.keys is not None and self.cached:
            self.keys = self.keys[:, :count]
        kept = []
        for part in self.segments:
            if part.start >= count:
                continue
            stop = min(part.stop, count)
            rows = stop - part.start
            seen = count if self.cached else None  # an encoder keeps all its keys
            cut = [None if m is None else m[:, :rows, :seen] for m in (part.allowed, part.bias)]
            kept.append(Segment(part.start, stop, part.causal, cut[0], cut[1]))
        self.segments = kept

    def grow(self, queries: Tensor, keys: Tensor) -> None:
        """Note queries (H, t, d_h) that saw, causally, `keys` (H_kv, S, d_h) and nothing else."""
        self.queries.append(queries)
        self.grown(queries.shape[1], keys)

    def grown(self, count: int, keys: Tensor) -> None:
        """Note that the last `count` queries saw, causally, `keys` (H_kv, S, d_h) and no more."""
        start = len(self.queries) - count
        self.keys = keys
        last = self.segments[-1] if self.segments else None
        if last and last.causal and last.bias is None and last.allowed is None:
            last.stop = len(self.queries)
        else:
            self.segments.append(Segment(start, len(self.queries), True))

    @property
    def plain(self) -> bool:
        """Whether maps are softmax(q·kᵀ·scale) under causal order and nothing else, in float32."""
        return (
            self.keys is not None
            and self.keys.dtype == torch.float32
            and self.keys.device.type == "cpu"
            and _lies_in_rows(self.keys)
            and self.softcap is None
            and self.sinks is None
            and all(
                part.causal and part.allowed is None and part.bias is None for part in self.segments
            )
        )

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Queries (H, C, d_h) and keys (H_kv, C', d_h) with the room behind them, where `plain`."""
        assert self.keys is not None
        queries, keys = self.queries.rows(), self.keys
        return _roomy(queries), _roomy(keys)

    def seen_weights(self, head: int | None, start: int, stop: int) -> Tensor:
        """What `weights` gives where it is `plain`, less the keys that none of the rows may see.

        Returns
        -------
        Tensor
            (H or 1, stop − start, stop).
        """
        assert self.keys is not None
        queries = self.queries.rows()  # (H, T, d_h)
        heads, key_heads = queries.shape[0], self.keys.shape[0]
        group, rows = heads // key_heads, stop - start
        if head is None:
            # (H, t, d) → (H_kv, group·t, d)
            q = queries[:, start:stop].reshape(key_heads, group * rows, -1)
            k = self.keys[:, :stop]
        else:
            q, k = queries[head : head + 1, start:stop], self.keys[head // group][None, :stop]
        # Of what is multiplied by the scale, the queries are the least.
        scores = torch.matmul(q * self.scale, k.transpose(1, 2)).view(-1, rows, stop)
        later = scores.new_full((rows, rows), -torch.inf).triu_(1)
        scores[:, :, start:] += later
        return scores.softmax(dim=-1)

    def weights(self, head: int | None = None, start: int = 0, stop: int | None = None) -> Tensor:
        """Attention of queries `start` to `stop` over all keys.

        softmax(q·kᵀ·scale + mask), Vaswani et al. 2017 (1706.03762), as the model computed it.

        Parameters
        ----------
        head : int, optional
            One head; all of them by default.

        Returns
        -------
        Tensor
            float32, (H or 1, stop − start, S); rows sum to one, less what a sink took.
        """
        if self.keys is None:
            raise RuntimeError("no keys were recorded for this layer")
        queries = self.queries.rows()
        stop = queries.shape[1] if stop is None else stop
        heads, key_heads = queries.shape[0], self.keys.shape[0]
        group = heads // key_heads  # query heads that share a key head
        if head is None:
            q, k = queries[:, start:stop], self.keys
            # (H, t, d) → (H_kv, group·t, d): shared keys are multiplied once, never repeated.
            q = q.reshape(key_heads, group * (stop - start), -1)
        else:
            q, k = queries[head : head + 1, start:stop], self.keys[head // group][None]
        scores = torch.matmul(q, k.transpose(1, 2)).float()  # (H_kv, group·t, S) or (1, t, S)
        scores = scores.view(-1, stop - start, k.shape[1])  # (H or 1, t, S)
        scores *= self.scale
        if self.softcap is not None:
            scores = self.softcap * torch.tanh(scores / self.softcap)
        for part in self.segments:
            low, high = max(part.start, start), min(part.stop, stop)
            if low < high:
                _mask(scores[:, low - start : high - start], part, low, high, head)
        if self.sinks is None:
            return scores.softmax(dim=-1)
        sinks = self.sinks.float() if head is None else self.sinks[head : head + 1].float()
        sinks = sinks.view(-1, 1, 1).expand(-1, scores.shape[1], 1)
        return torch.cat([scores, sinks], dim=-1).softmax(dim=-1)[..., :-1]

    @property
    def nbytes(self) -> int:
        """Bytes held by queries; keys are counted with the cache they belong to."""
        held = self.queries.nbytes
        if self.keys is not None and not self.cached:
            held += self.keys.untyped_storage().nbytes()  # it may be a part of something larger
        return held

    @property
    def masks(self) -> Iterator[Tensor]:
        """Those of all segments."""
        for part in self.segments:
            yield from (one for one in (part.allowed, part.bias) if one is not None)


def _lies_in_rows(view: Tensor) -> bool:
    """Whether (h, n, d) is the beginning of each matrix of a (h, C, d) that lies in one piece."""
    heads, _, width = view.shape
    between, along, within = view.stride()
    whole = heads * between * view.itemsize
    return (
        (along, within) == (width, 1)
        and between % width == 0
        and view.storage_offset() == 0
        and view.untyped_storage().nbytes() >= whole
    )


def _roomy(view: Tensor) -> NDArray[np.float32]:
    """The whole (h, C, d) of whose first rows `view` (h, n, d) is one."""
    heads, _, width = view.shape
    room = view.stride(0) // width
    found: NDArray[np.float32] = view.as_strided(
        (heads, room, width), (room * width, width, 1)
    ).numpy()
    return found


def _mask(scores: Tensor, part: Segment, low: int, high: int, head: int | None) -> None:
    """Mask and bias `scores` (h, high − low, S) in place by what `part` says of these rows."""
    rows = slice(low - part.start, high - part.start)
    seen = scores.shape[-1]
    # A cache may have grown since these rows were run: no row saw what came after it.
    if part.causal:
        i = torch.arange(low, high, device=scores.device)
        j = torch.arange(seen, device=scores.device)
        scores.masked_fill_(j > i[:, None], -torch.inf)
    if part.bias is not None:
        bias = part.bias[:, rows]
        bias = bias if head is None or bias.shape[0] == 1 else bias[head : head + 1]
        scores[..., : bias.shape[-1]] += bias
    if part.allowed is not None:
        allowed = part.allowed[:, rows]
        allowed = allowed if head is None or allowed.shape[0] == 1 else allowed[head : head + 1]
        width = allowed.shape[-1]
        scores[..., :width].masked_fill_(~allowed, -torch.inf)
        scores[..., width:] = -torch.inf


@dataclass(slots=True)
class FreshRows:
    """What the last pass leaves of the few rows it added.

    `weights` (L, n, H, start + n) is their attention; `scores` (n, V) what they give the next
    token, where the pass was to work it out.
    """

    start: int
    weights: NDArray[np.float32]
    scores: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.weights.nbytes + (0 if self.scores is None else self.scores.nbytes)


class Memo(Protocol):
    """Something a probe keeps with a trace, so that the next answer only adds what is new."""

    def keep(self, count: int) -> None:
        """Forget whatever depends on tokens from `count` on."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""


class Cache(Protocol):
    """What a pass leaves for the next one to build on."""

    def keep(self, count: int) -> None:
        """Forget whatever depends on tokens from `count` on."""

    def trim(self) -> None:
        """Give back room that is not needed."""

    def keys_of(self, index: int) -> Tensor | None:
        """Keys (H_kv, S, d_h) of a block; None where it has none of its own."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""


class Held(NamedTuple):
    """Bytes a trace holds on its device, room to grow included.

    `cache` are keys and values; `states` the residual stream of all layers and what the output
    embedding reads; `queries` queries, and keys where there is no cache; `masks` masks and biases;
    `maps` attention maps of models that cannot be listened to; `memos` what probes keep.
    """

    cache: int
    states: int
    queries: int
    masks: int
    maps: int
    memos: int


@dataclass(slots=True)
class Trace:
    """All that is known of the tokens run so far.

    Attributes
    ----------
    ids, target_ids : list of int
        The T tokens of the text, and those the decoder of an encoder-decoder read.
    states : mapping of stack to list of Arena
        The residual stream, depth 0 (input embeddings) to L (last block's output, before the final
        norm): L + 1 arenas of (T, D) for each stack that has blocks.
    attention : mapping of stack to list of LayerAttention
        One a block.
    final : Arena
        (T, D) what the output embedding reads: the last state after the final norm.
    cache : Cache or None
        Keys and values that the next suffix builds on.
    fresh : FreshRows or None
        Where the last pass was of a few tokens and left it.
    """

    ids: list[int] = field(default_factory=list)
    target_ids: list[int] = field(default_factory=list)
    states: dict[Stack, list[Arena]] = field(default_factory=dict)
    attention: dict[Stack, list[AttentionMaps]] = field(default_factory=dict)
    final: Arena = field(default_factory=Arena)
    cache: Cache | None = None
    memos: dict[str, Memo] = field(default_factory=dict)
    fresh: FreshRows | None = None

    def keep(self, count: int) -> None:
        """Forget everything that depends on tokens from `count` on. For causal stacks only."""
        self.ids, self.fresh = self.ids[:count], None
        self.final.keep(count)
        for arenas in self.states.values():
            for arena in arenas:
                arena.keep(count)
        for layers in self.attention.values():
            for layer in layers:
                layer.keep(count)
        for memo in self.memos.values():
            memo.keep(count)

    def mend(self) -> None:
        """Forget what a pass left that did not come to its end, and the room it took.

        `ids` are then what holds of all layers: what stood before the edit, for a causal stack. A
        stack that is run whole was written to another trace.
        """
        if self.cache is None:
            return
        count = len(self.ids)
        self.cache.keep(count)
        self.keep(count)
        for arena in (self.final, *(one for stack in self.states.values() for one in stack)):
            arena.trim()
        self.cache.trim()
        for layers in self.attention.values():
            for index, layer in enumerate(layers):
                if isinstance(layer, LayerAttention):
                    layer.queries.trim()
                    own = self.cache.keys_of(index)
                    layer.keys = own if own is not None and own.shape[1] == count else layer.keys

    @property
    def held(self) -> Held:
        """Bytes by what they are for."""
        layers = [layer for stack in self.attention.values() for layer in stack]
        maps = sum(layer.map_bytes for layer in layers)
        # Layers share their masks, and segments are parts of larger ones.
        storages = (mask.untyped_storage() for layer in layers for mask in layer.masks)
        masks = {storage.data_ptr(): storage.nbytes() for storage in storages}
        return Held(
            cache=0 if self.cache is None else self.cache.nbytes,
            states=self.final.nbytes
            + sum(arena.nbytes for arenas in self.states.values() for arena in arenas),
            queries=sum(layer.nbytes for layer in layers) - maps,
            masks=sum(masks.values()),
            maps=maps,
            memos=sum(memo.nbytes for memo in self.memos.values())
            + (0 if self.fresh is None else self.fresh.nbytes),
        )

    @property
    def nbytes(self) -> int:
        """Bytes this trace holds on the device, its cache included."""
        return sum(self.held)

    @property
    def all_map_bytes(self) -> int:
        """Bytes that all attention maps of all layers would take in float32."""
        layers = (layer for stack in self.attention.values() for layer in stack)
        return 4 * sum(layer.heads * layer.rows * layer.columns for layer in layers)
