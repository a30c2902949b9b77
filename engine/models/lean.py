"""The step of a keystroke for models of Llama's make, written out.

A pass of one token through transformers' modules is some six thousand small operations, and
dispatching them costs as much as reading the weights. Here the same block is written from top to
bottom: its loops in `kernels`, its products by the codes of the weights where these came out of a
quantised file (`coded`), else by torch. The cache, the queries and the residual stream are noted as
it goes, without hooks. Held to the modules by tests/engine/test_lean.py, and to transformers' eager
pass by tests/engine/test_exact.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine import memory
from engine.models import kernels
from engine.models.cache import ArenaCache, ArenaLayer
from engine.models.coded import Coded, coded
from engine.models.fewrows import FEW, quickens, times
from engine.models.halfway import Halfway, Meanwhile
from engine.trace import FreshRows, LayerAttention, Trace

Rows: TypeAlias = NDArray[np.float32]

LONGEST = 2 * FEW
"""More tokens than this are run by transformers' modules, which are then as quick."""

_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
# Kinds of rotary embedding whose angles depend on the position alone, not on the length seen.
_ROTARY = frozenset({"default", "linear", "llama3", "yarn"})


@dataclass(frozen=True, slots=True)
class Linear:
    """A weight (O, I) and its bias (O,), of one module or of several that read the same rows."""

    weight: Tensor
    bias: Rows | None
    codes: Coded | None

    def __call__(self, rows: Rows) -> Rows:
        """(n, I) → (n, O)."""
        found: Rows
        if self.codes is not None:
            found = self.codes(rows)
        else:
            found = times(self.weight, torch.from_numpy(rows)).numpy()
        return found if self.bias is None else found + self.bias


@dataclass(frozen=True, slots=True)
class Norm:
    """Root-mean-square norm (Zhang & Sennrich 2019, 1910.07467)."""

    weight: Rows
    epsilon: float

    def __call__(self, rows: Rows) -> Rows:
        """(…, D) → (…, D): x / √(mean x² + ε) · w."""
        found = np.empty(rows.shape, np.float32)
        width = rows.shape[-1]
        flat = np.ascontiguousarray(rows).reshape(-1, width)
        kernels.norm(flat, self.weight, self.epsilon, found.reshape(-1, width))
        return found


@dataclass(frozen=True, slots=True)
class Block:
    """One block's parts, by the names of its modules."""

    input_norm: Norm
    query_key_value: Linear
    output: Linear
    post_norm: Norm
    gate_up: Linear
    down: Linear
    query_norm: Norm | None
    key_norm: Norm | None
    scale: float

    @property
    def products(self) -> tuple[Linear, Linear, Linear, Linear]:
        """In the order of their use."""
        return self.query_key_value, self.output, self.gate_up, self.down

    @property
    def norms(self) -> tuple[Norm, Norm, Norm | None, Norm | None]:
        """In the order of `engine.models.blocks.BEFORE` and the following."""
        return self.input_norm, self.post_norm, self.query_norm, self.key_norm


class Room(NamedTuple):
    """Where a block's new rows are written, with the rows before them and room behind.

    `states` (C, D), `queries` (H, C, d_h), `keys` and `values` (H_kv, C, d_h).
    """

    states: Rows
    queries: Rows
    keys: Rows
    values: Rows


def _grown(count: int, cache: ArenaCache, trace: Trace) -> list[Room]:
    """Let a cache and a trace grow by `count` rows, which are yet to be written."""
    rooms = []
    for depth, layer in enumerate(trace.attention["decoder"]):
        held = cache.layers[depth]
        assert isinstance(layer, LayerAttention)
        assert isinstance(held, ArenaLayer)
        states = trace.states["decoder"][depth].extend(count)
        queries = layer.queries.extend(count)
        keys, values = held.extend(count)
        assert held.keys is not None  # (1, H_kv, S, d_h)
        layer.grown(count, held.keys[0])
        rooms.append(Room(states, queries, keys[0], values[0]))
    return rooms


class Whole:
    """What `run_blocks` is told of a model's weights. Make one with `of`."""

    def __init__(self, blocks: list[Block], heads: int, key_heads: int) -> None:
        import engine.models.blocks  # noqa: F401 - see `step`; at loading rather than at a keystroke

        self._blocks = blocks  # whose memory is pointed to
        self._heads, self._key_heads = heads, key_heads
        self._products = np.array([[_said(one) for one in block.products] for block in blocks])
        self._norms = np.array(
            [[0 if n is None else n.weight.ctypes.data for n in block.norms] for block in blocks]
        )
        self._epsilons = np.array(
            [[0 if n is None else n.epsilon for n in block.norms] for block in blocks], np.float32
        )
        self._scales = np.array([block.scale for block in blocks], np.float32)

    @classmethod
    def of(cls, blocks: list[Block], heads: int, key_heads: int) -> Whole | None:
        """None where a weight has no codes, or not as many outputs as its codes are of."""
        fits = all(
            one.codes is not None and one.codes.outputs % kernels.TILE == 0
            for block in blocks
            for one in block.products
        )
        return cls(blocks, heads, key_heads) if fits else None

    def step(
        self, x: Rows, rooms: list[Room], turns: tuple[Rows, Rows], start: int, fresh: FreshRows
    ) -> Callable[[int, int], None]:
        """What runs rows `x` (n, D), in place, through blocks of which it takes first and last."""
        places = np.array(
            [
                (
                    room.states[start:].ctypes.data,
                    *(room.queries.ctypes.data, room.queries.shape[1]),
                    *(room.keys.ctypes.data, room.keys.shape[1]),
                    *(room.values.ctypes.data, room.values.shape[1]),
                )
                for room in rooms
            ]
        )

        # Compiled once on a machine, in seconds that only models with codes need wait for.
        from engine.models.blocks import run_blocks

        def run(first: int, last: int) -> None:
            run_blocks(
                x,
                self._products,
                self._norms,
                self._epsilons,
                self._scales,
                places,
                *turns,
                start,
                self._heads,
                self._key_heads,
                fresh.weights,
                first,
                last,
            )

        return run


def _said(product: Linear) -> tuple[int, ...]:
    """What `run_blocks` is told of a product; see `engine.models.blocks.BITS`."""
    codes = product.codes
    assert codes is not None
    return (
        8 if codes.lows is None else 4,
        *codes.codes.shape[:2],
        codes.codes.ctypes.data,
        codes.scales.ctypes.data,
        0 if codes.lows is None else codes.lows.ctypes.data,
        0 if product.bias is None else product.bias.ctypes.data,
    )


class LeanStep:
    """Runs a few tokens over a cache. Make one with `lean_step`."""

    def __init__(self, model: Any) -> None:
        base, config = model.model, model.config
        self.code = _room_for_codes(model)
        self.embedding: Tensor = base.embed_tokens.weight  # (V, D)
        self.rotary: nn.Module = base.rotary_emb
        self.blocks = [_block(layer, self.code) for layer in base.layers]
        self.final_norm = _norm(base.norm)
        self.head = _joined(model.get_output_embeddings(), code=self.code)
        self.heads: int = config.num_attention_heads
        self.key_heads: int = config.num_key_value_heads
        self.whole = Whole.of(self.blocks, self.heads, self.key_heads)
        self._angles: tuple[Rows, Rows] | None = None

    def run(
        self, ids: list[int], cache: ArenaCache, trace: Trace, halfway: Halfway | None = None
    ) -> None:
        """Run tokens over the cache of those before them, and note in `trace` what a pass leaves.

        Parameters
        ----------
        ids : list of int
            1 to `LONGEST` of them.
        cache : ArenaCache
            Holds at least one token; grows by these.
        trace : Trace
            Grows by these in states, queries and final states.
        halfway : Halfway, optional
            Told of each stage once its blocks are through, where many are run in one call: the
            others then run meanwhile.
        """
        if len(ids) > FEW:
            halfway = None  # what is told of is all that is new, or nothing
        for start in range(0, len(ids), FEW):
            trace.fresh = self._run(ids[start : start + FEW], cache, trace, halfway)
        if len(ids) > FEW:
            trace.fresh = None  # it is not of all that is new

    def _run(
        self, ids: list[int], cache: ArenaCache, trace: Trace, halfway: Halfway | None
    ) -> FreshRows:
        start, count = cache.get_seq_length(), len(ids)
        fresh = FreshRows(
            start, np.empty((len(self.blocks), count, self.heads, start + count), np.float32)
        )
        new = slice(start, start + count)
        turns = self._turns(start, start + count)  # (n, d_h) each
        x: Rows = self.embedding[ids].numpy()  # (n, D)
        rooms = _grown(count, cache, trace)
        last, final = trace.states["decoder"][-1].extend(count), trace.final.extend(count)
        if self.whole is None:
            x = self._block_by_block(x, rooms, turns, new, fresh)
            last[new], final[new] = x, self.final_norm(x)
            return fresh
        step = self.whole.step(x, rooms, turns, start, fresh)

        def finish(begin: int, scores: bool) -> None:
            """Run the blocks from `begin` on, and what follows them."""
            step(begin, len(self.blocks))
            last[new], final[new] = x, self.final_norm(x)
            if scores:
                fresh.scores = torch.from_numpy(self.head(final[new]))

        if halfway is None:
            finish(0, False)
            return fresh
        cuts = [stage.blocks for stage in halfway.stages]
        step(0, cuts[0])
        trace.fresh = fresh
        pieces = [partial(step, *ends) for ends in pairwise(cuts)]
        with Meanwhile([*pieces, partial(finish, cuts[-1], halfway.scores)]) as others:
            for index, stage in enumerate(halfway.stages):
                if index:
                    others.wait(index - 1)
                stage.tell(trace)
        return fresh

    def _block_by_block(
        self,
        x: Rows,
        rooms: list[Room],
        turns: tuple[Rows, Rows],
        new: slice,
        fresh: FreshRows,
    ) -> Rows:
        """The residual stream (n, D) behind the last block, of that before the first."""
        count, (cos, sin) = len(x), turns
        for block, room, weights in zip(self.blocks, rooms, fresh.weights, strict=True):
            room.states[new] = x
            heads = block.query_key_value(block.input_norm(x))  # (n, (H + 2·H_kv)·d_h)
            if block.query_norm is not None and block.key_norm is not None:
                self._normed(heads, block.query_norm, block.key_norm)
            mixed = np.empty((count, self.heads * cos.shape[1]), np.float32)  # (n, H·d_h)
            kernels.attend(
                heads,
                cos,
                sin,
                fresh.start,
                block.scale,
                room.queries,
                room.keys,
                room.values,
                weights,
                mixed,
            )
            x = x + block.output(mixed)
            both = block.gate_up(block.post_norm(x))  # (n, 2·I)
            inner = np.empty((count, both.shape[1] // 2), np.float32)
            kernels.gated(both, inner)
            x = x + block.down(inner)
        return x

    def scores(self, final: Tensor) -> Tensor:
        """Scores over the vocabulary (n, V) for up to `FEW` states (n, D) after the final norm."""
        return torch.from_numpy(self.head(final.numpy()))

    @property
    def nbytes(self) -> int:
        """Bytes held beside the model's weights."""
        products = [self.head, *(one for block in self.blocks for one in block.products)]
        return sum(0 if one.codes is None else one.codes.nbytes for one in products)

    def _normed(self, heads: Rows, query_norm: Norm, key_norm: Norm) -> None:
        """Norm each head's query and key (Qwen 3), in place."""
        every = self.heads + 2 * self.key_heads
        parts = heads.reshape(len(heads), every, -1)  # (n, H + 2·H_kv, d_h)
        first, second = self.heads, self.heads + self.key_heads
        parts[:, :first] = query_norm(parts[:, :first])
        parts[:, first:second] = key_norm(parts[:, first:second])

    def _turns(self, start: int, stop: int) -> tuple[Rows, Rows]:
        """Cosines and sines (stop − start, d_h) of the rotary embedding, from the model's own."""
        if self._angles is None or stop > len(self._angles[0]):
            positions = torch.arange(max(512, 2 * stop))[None]
            cos, sin = self.rotary(self.embedding[:1, None], positions)  # (1, n, d_h) each
            self._angles = cos[0].numpy(), sin[0].numpy()
        return self._angles[0][start:stop], self._angles[1][start:stop]


def lean_step(model: Any) -> LeanStep | None:
    """The step for `model`, or None where it is of another make or lies elsewhere."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    layers = getattr(config, "layer_types", None) or ()
    fits = (
        config.model_type in _TYPES
        and getattr(config, "hidden_act", "") == "silu"
        and rope.get("rope_type") in _ROTARY
        and all(kind == "full_attention" for kind in layers)
        and (layers or not getattr(config, "sliding_window", None))
        and all(quickens(weight) for weight in model.parameters())
    )
    return LeanStep(model) if fits else None


def _room_for_codes(model: Any) -> bool:
    """Whether a third of the weights' bytes, more than their codes take, is free."""
    need = sum(weight.nbytes for weight in model.parameters()) // 3
    return bool(memory.room(torch.device("cpu")).free > need)


def _block(layer: Any, code: bool) -> Block:
    attend, mlp = layer.self_attn, layer.mlp
    return Block(
        input_norm=_norm(layer.input_layernorm),
        query_key_value=_joined(attend.q_proj, attend.k_proj, attend.v_proj, code=code),
        output=_joined(attend.o_proj, code=code),
        post_norm=_norm(layer.post_attention_layernorm),
        gate_up=_joined(mlp.gate_proj, mlp.up_proj, code=code),
        down=_joined(mlp.down_proj, code=code),
        query_norm=_norm(attend.q_norm) if hasattr(attend, "q_norm") else None,
        key_norm=_norm(attend.k_norm) if hasattr(attend, "k_norm") else None,
        scale=float(attend.scaling),
    )


def _joined(*modules: Any, code: bool) -> Linear:
    """One product in place of several of the same rows.

    The modules' weights become views of the joined one, so that nothing is held twice.
    """
    first = modules[0].weight.detach()
    if len(modules) == 1:
        weight = first
    else:
        weight = torch.cat([module.weight.detach() for module in modules])  # (ΣO, I)
        for module, part in zip(
            modules, weight.split([len(module.weight) for module in modules]), strict=True
        ):
            module.weight.data = part
    biases = [module.bias for module in modules]
    bias = None
    if any(one is not None for one in biases):
        bias = np.concatenate(
            [
                np.zeros(len(module.weight), np.float32) if one is None else one.detach().numpy()
                for module, one in zip(modules, biases, strict=True)
            ]
        )
    return Linear(weight, bias, coded(weight) if code else None)


def _norm(module: Any) -> Norm:
    return Norm(module.weight.detach().numpy(), float(module.variance_epsilon))
