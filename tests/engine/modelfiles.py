"""Tiny models made on the spot, without torch."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType
from safetensors.numpy import save
from tokenizers import Tokenizer, models, pre_tokenizers

WIDTH, HIDDEN, HEADS, KV_HEADS, LAYERS = 32, 48, 4, 2, 2

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "num_hidden_layers": LAYERS,
    "vocab_size": 64,
    "tie_word_embeddings": True,
}


def weights(vocabulary: int = 64, seed: int = 0) -> dict[str, np.ndarray]:
    """The tensors of a tiny Llama model under their names in transformers."""
    rng = np.random.default_rng(seed)

    def random(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    head = WIDTH // HEADS
    tensors = {"model.embed_tokens.weight": random(vocabulary, WIDTH)}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        tensors |= {
            f"{name}.self_attn.q_proj.weight": random(WIDTH, WIDTH),
            f"{name}.self_attn.k_proj.weight": random(KV_HEADS * head, WIDTH),
            f"{name}.self_attn.v_proj.weight": random(KV_HEADS * head, WIDTH),
            f"{name}.self_attn.o_proj.weight": random(WIDTH, WIDTH),
            f"{name}.mlp.gate_proj.weight": random(HIDDEN, WIDTH),
            f"{name}.mlp.up_proj.weight": random(HIDDEN, WIDTH),
            f"{name}.mlp.down_proj.weight": random(WIDTH, HIDDEN),
            f"{name}.input_layernorm.weight": random(WIDTH),
            f"{name}.post_attention_layernorm.weight": random(WIDTH),
        }
    tensors["model.norm.weight"] = random(WIDTH)
    return tensors


def model_files(seed: int = 0) -> dict[str, bytes]:
    """The files of a folder that holds a tiny Llama model."""
    words = {"[UNK]": 0, "the": 1, "dog": 2, "runs": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": save(weights(seed=seed), {"format": "pt"}),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": b'{"tokenizer_class": "PreTrainedTokenizerFast"}',
    }


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """Write `files` into `folder`."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_wheel(path: Path, package: str, members: dict[str, bytes]) -> Path:
    """Write a wheel that pip takes for the one of that name."""
    info = f"{package}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{package}/{name}", data)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", wheel)
        archive.writestr(f"{info}/RECORD", "")
    return path


def byte_alphabet() -> list[str]:
    """The characters a byte-level vocabulary spells the 256 bytes with, in order of the bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(others)) for b in range(256)]


TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def write_gguf(path: Path) -> dict[str, np.ndarray]:
    """Write a tiny Llama model with a byte-level vocabulary; return its tensors by their names."""
    space = byte_alphabet()[ord(" ")]
    merges = ["t h", "th e", f"{space} d", f"{space}d o", f"{space}do g", f"{space} {space}"]
    merges += ["1 2", f"{space} 1"]
    tokens = ["<|endoftext|>", "<|im_start|>", *byte_alphabet()]
    tokens += [merge.replace(" ", "") for merge in merges]
    tensors = weights(len(tokens), seed=1)

    writer = GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_license("mit")
    writer.add_context_length(128)
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * 2 + [TokenType.NORMAL] * (len(tokens) - 2))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)

    names = {
        "embed_tokens": "token_embd",
        "norm": "output_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    for name, tensor in tensors.items():
        parts = name.removeprefix("model.").removesuffix(".weight").split(".", 2)
        block = f"blk.{parts[1]}." if parts[0] == "layers" else ""
        kind = names[parts[2] if block else parts[0]]
        heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(kind)
        if heads:
            # llama.cpp keeps the two halves of a rotary pair beside each other
            halves = tensor.reshape(heads, 2, -1, WIDTH)
            tensor = halves.swapaxes(1, 2).reshape(tensor.shape)
        writer.add_tensor(f"{block}{kind}.weight", np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors
