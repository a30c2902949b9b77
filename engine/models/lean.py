"""The step of a keystroke for models of Llama's make, written out.

A pass of one token through transformers' modules is some six thousand small operations, and
dispatching them costs as much as reading the weights. Here the same block is written from top to
bottom, its products in torch and the rest in numpy, whose operations cost the least to call; the
cache, the queries and the residual stream are noted as it goes, without hooks. Held to the modules
by tests/engine/test_lean.py, and to transformers' eager pass by tests/engine/test_exact.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from engine.models.cache import ArenaCache
from engine.models.fewrows import FEW, quickens, times
from engine.trace import LayerAttention, Trace

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

    def __call__(self, rows: Rows) -> Rows:
        """(n, I) → (n, O)."""
        found: Rows = times(self.weight, torch.from_numpy(rows)).numpy()
        return found if self.bias is None else found + self.bias


@dataclass(frozen=True, slots=True)
class Norm:
    """Root-mean-square norm (Zhang & Sennrich 2019, 1910.07467)."""

    weight: Rows
    epsilon: float

    def __call__(self, rows: Rows) -> Rows:
        """(…, D) → (…, D): x / √(mean x² + ε) · w."""
        mean = np.einsum("...d,...d->...", rows, rows)[..., None] / np.float32(rows.shape[-1])
        found: Rows = rows / np.sqrt(mean + np.float32(self.epsilon)) * self.weight
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


class LeanStep:
    """Runs a few tokens over a cache. Make one with `lean_step`."""

    def __init__(self, model: Any) -> None:
        base, config = model.model, model.config
        self.embedding: Tensor = base.embed_tokens.weight  # (V, D)
        self.rotary: nn.Module = base.rotary_emb
        self.blocks = [_block(layer) for layer in base.layers]
        self.final_norm = _norm(base.norm)
        self.heads: int = config.num_attention_heads
        self.key_heads: int = config.num_key_value_heads
        self._angles: tuple[Rows, Rows] | None = None

    def run(self, ids: list[int], cache: ArenaCache, trace: Trace) -> None:
        """Run tokens over the cache of those before them, and note in `trace` what a pass leaves.

        Parameters
        ----------
        ids : list of int
            1 to `LONGEST` of them.
        cache : ArenaCache
            Holds at least one token; grows by these.
        trace : Trace
            Grows by these in states, queries and final states.
        """
        for start in range(0, len(ids), FEW):
            self._run(ids[start : start + FEW], cache, trace)

    def _run(self, ids: list[int], cache: ArenaCache, trace: Trace) -> None:
        start = cache.get_seq_length()
        states = trace.states["decoder"]
        attention = trace.attention["decoder"]
        stop = start + len(ids)
        cos, sin = self._turns(start, stop)  # (n, d_h) each
        first, second = self.heads, self.heads + self.key_heads
        every = second + self.key_heads
        # Row i sees the keys up to its own; a single row sees them all.
        seen = torch.ones(len(ids), stop, dtype=torch.bool).tril(start) if len(ids) > 1 else None
        x: Rows = self.embedding[ids].numpy()  # (n, D)
        for depth, block in enumerate(self.blocks):
            states[depth].append(torch.from_numpy(x))
            layer = attention[depth]
            assert isinstance(layer, LayerAttention)
            h = block.input_norm(x)
            # (n, (H + 2·H_kv)·d_h) → (H + 2·H_kv, n, d_h): queries, keys, values
            heads = block.query_key_value(h).reshape(len(x), every, -1).transpose(1, 0, 2)
            q, k, v = heads[:first], heads[first:second], heads[second:]
            if block.query_norm is not None and block.key_norm is not None:
                q[...], k[...] = block.query_norm(q), block.key_norm(k)
            turned = _turned(heads[:second], cos, sin)
            q, k = turned[:first], turned[first:]
            keys, values = cache.update(
                torch.from_numpy(k)[None], torch.from_numpy(v)[None], depth
            )  # (1, H_kv, S, d_h)
            layer.grow(torch.from_numpy(q), keys[0])
            x = x + block.output(_attend(q, keys, values, block.scale, seen))
            h = block.post_norm(x)
            both = block.gate_up(h)  # (n, 2·I)
            width = both.shape[1] // 2
            gate, up = both[:, :width], both[:, width:]
            x = x + block.down(gate * expit(gate) * up)
        states[len(self.blocks)].append(torch.from_numpy(x))
        trace.final.append(torch.from_numpy(self.final_norm(x)))

    def _turns(self, start: int, stop: int) -> tuple[Rows, Rows]:
        """Cosines and sines (stop − start, d_h) of the rotary embedding, from the model's own."""
        if self._angles is None or stop > len(self._angles[0]):
            positions = torch.arange(max(512, 2 * stop))[None]
            cos, sin = self.rotary(self.embedding[:1, None], positions)  # (1, n, d_h) each
            self._angles = cos[0].numpy(), sin[0].numpy()
        return self._angles[0][start:stop], self._angles[1][start:stop]


def _attend(q: Rows, keys: Tensor, values: Tensor, scale: float, seen: Tensor | None) -> Rows:
    """Attention of queries (H, n, d_h) over (1, H_kv, S, d_h), to (n, H·d_h).

    `seen` (n, S) marks the keys each row may see; None, for a single row, all.
    """
    mixed = scaled_dot_product_attention(
        torch.from_numpy(q)[None], keys, values, seen, scale=scale, enable_gqa=True
    )  # (1, H, n, d_h)
    found: Rows = mixed[0].transpose(0, 1).reshape(q.shape[1], -1).numpy()
    return found


def _turned(rows: Rows, cos: Rows, sin: Rows) -> Rows:
    """Rotary embedding (Su et al. 2021, 2104.09864) of (h, n, d_h), halves paired as Llama does."""
    half = rows.shape[-1] // 2
    crossed: Rows = np.concatenate([-rows[..., half:], rows[..., :half]], axis=-1)
    found: Rows = rows * cos + crossed * sin
    return found


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


def _block(layer: Any) -> Block:
    attend, mlp = layer.self_attn, layer.mlp
    return Block(
        input_norm=_norm(layer.input_layernorm),
        query_key_value=_joined(attend.q_proj, attend.k_proj, attend.v_proj),
        output=_joined(attend.o_proj),
        post_norm=_norm(layer.post_attention_layernorm),
        gate_up=_joined(mlp.gate_proj, mlp.up_proj),
        down=_joined(mlp.down_proj),
        query_norm=_norm(attend.q_norm) if hasattr(attend, "q_norm") else None,
        key_norm=_norm(attend.k_norm) if hasattr(attend, "k_norm") else None,
        scale=float(attend.scaling),
    )


def _joined(*modules: Any) -> Linear:
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
    return Linear(weight, bias)


def _norm(module: Any) -> Norm:
    return Norm(module.weight.detach().numpy(), float(module.variance_epsilon))
