"""Small models whose weights are of few values, as they come out of a quantised file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers
from tinyfamilies import GROUPED
from torch import nn

from engine.models.coded import BLOCK

CONFIGS: dict[str, Any] = {
    "llama": transformers.LlamaConfig,
    "qwen2": transformers.Qwen2Config,  # with biases
    "qwen3": transformers.Qwen3Config,  # with norms of queries and keys
}

SCALES = {"Q4_1": 0.05, "Q8_0": 0.001}  # so that states stay of the size of a real model's


def stored(kind: str, outputs: int, inputs: int, seed: int = 0) -> torch.Tensor:
    """A weight as it comes out of a file of this kind: half-precision scales, codes, float32."""
    rng = np.random.default_rng(seed)
    blocks = outputs, inputs // BLOCK, 1
    scale = rng.uniform(0.01, 0.2, blocks).astype(np.float16).astype(np.float32)
    low = rng.uniform(-1, 0, blocks).astype(np.float16).astype(np.float32)
    four = rng.integers(0, 16, (*blocks[:2], BLOCK)).astype(np.float32)
    if kind == "Q4_0":
        four[..., 0] = 0  # the largest of a block has this code
        found = scale * (four - 8)
    elif kind == "Q4_1":
        four[..., 0], four[..., 1] = 0, 15
        found = scale * four + low
    elif kind == "Q4_K":
        found = scale * np.float32(7) * np.clip(four, 3, 13) + low * np.float32(5)
    else:
        eight = rng.integers(-127, 128, (*blocks[:2], BLOCK)).astype(np.float32)
        eight[..., 0] = 127
        found = scale * eight
    return torch.from_numpy(found.astype(np.float32).reshape(outputs, inputs))


def quantised(name: str = "llama", kind: str = "Q4_1", seed: int = 0) -> Any:
    """A small model whose weights are of a kind, and its embedding of eight bits."""
    torch.manual_seed(seed)
    sizes = {**GROUPED, "hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
    config = CONFIGS[name](**sizes, attn_implementation="contextscope")
    model = transformers.AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for index, module in enumerate(model.modules()):
        if isinstance(module, nn.Linear | nn.Embedding):
            weight = module.weight
            of = "Q8_0" if len(weight) == config.vocab_size else kind
            scale = SCALES[kind] if isinstance(module, nn.Linear) else 0.1
            module.weight.data = stored(of, *weight.shape, index) * scale
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.data.normal_(0, 0.3)
    return model
