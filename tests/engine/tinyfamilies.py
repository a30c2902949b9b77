"""Configurations of real families, small enough that a model of one is made in a moment.

Each is made so that what is particular to its family happens within a text of a few dozen tokens:
windows of 7, position buckets that fill up, shared heads, an embedding narrower than the states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import transformers

VOCABULARY = 320
WINDOW = 7

PLAIN: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
# Four query heads share two key heads.
GROUPED: dict[str, Any] = {**PLAIN, "num_key_value_heads": 2}
GPT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 256,
}
MARKS: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
# BART's kin: encoder and decoder of different depth, so that one is not taken for the other.
BARTISH: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "max_position_embeddings": 256,
    "decoder_start_token_id": 1,
    **MARKS,
}
T5ISH: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
    "decoder_start_token_id": 2,
    "pad_token_id": 2,
    "eos_token_id": 1,
}


@dataclass(frozen=True)
class Family:
    """A configuration, the Auto class that the stock model is made with, and where it keeps things.

    `blocks` are the paths of the lists of blocks of the stock model, the encoder's first. They are
    written down here, so that what the engine finds by itself is checked against them. `spread` is
    the standard deviation of its weights. `attending` are the layers that attend, None for all.
    `begins` is the depth of the first of transformers' hidden states.
    """

    config: Callable[[], Any]
    blocks: tuple[str, ...] = ("model.layers",)
    auto: str = "AutoModelForCausalLM"
    spread: float = 0.3
    attending: tuple[int, ...] | None = None
    begins: int = 0


def _alternating(count: int = 3) -> list[str]:
    return ["full_attention" if i % 2 else "sliding_attention" for i in range(count)]


CAUSAL: dict[str, Family] = {
    "llama": Family(lambda: transformers.LlamaConfig(**GROUPED)),
    "gpt2": Family(lambda: transformers.GPT2Config(**GPT), ("transformer.h",)),
    "mistral": Family(lambda: transformers.MistralConfig(**GROUPED, sliding_window=WINDOW)),
    "qwen2": Family(lambda: transformers.Qwen2Config(**GROUPED)),
    "qwen3": Family(lambda: transformers.Qwen3Config(**GROUPED, head_dim=8)),
    "gpt_neox": Family(lambda: transformers.GPTNeoXConfig(**PLAIN), ("gpt_neox.layers",)),
    "opt": Family(
        lambda: transformers.OPTConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            word_embed_proj_dim=16,  # projected in and out, as OPT-350m's is
            ffn_dim=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=256,
            **MARKS,
        ),
        ("model.decoder.layers",),
    ),
    "gemma2": Family(
        lambda: transformers.Gemma2Config(
            **GROUPED,
            head_dim=8,
            query_pre_attn_scalar=12,
            sliding_window=WINDOW,
            attn_logit_softcapping=5.0,
            final_logit_softcapping=3.0,
        )
    ),
    "gemma3": Family(
        lambda: transformers.Gemma3TextConfig(
            **GROUPED, head_dim=8, sliding_window=WINDOW, layer_types=_alternating()
        )
    ),
    "gpt_oss": Family(
        lambda: transformers.GptOssConfig(
            **GROUPED,
            head_dim=8,
            num_local_experts=4,
            num_experts_per_tok=2,
            sliding_window=WINDOW,
            layer_types=_alternating(),
        )
    ),
    "granite": Family(
        lambda: transformers.GraniteConfig(
            **GROUPED,
            logits_scaling=3.0,
            attention_multiplier=0.3,
            residual_multiplier=0.5,
            embedding_multiplier=2.0,
        )
    ),
    # Its head has layers of its own.
    "modernbert_decoder": Family(
        lambda: transformers.ModernBertDecoderConfig(
            **PLAIN, local_attention=8, global_attn_every_n_layers=2, **MARKS
        )
    ),
    "llama4": Family(
        lambda: transformers.Llama4TextConfig(
            **GROUPED,
            head_dim=8,
            num_local_experts=2,
            intermediate_size_mlp=48,
            attention_chunk_size=8,
            **MARKS,
        )
    ),
    "cohere": Family(lambda: transformers.CohereConfig(**GROUPED, logit_scale=0.25)),
}

ENCODERS: dict[str, Family] = {
    "bert": Family(lambda: transformers.BertConfig(**PLAIN), ("encoder.layer",), "AutoModel"),
    "roberta": Family(
        lambda: transformers.RobertaConfig(**PLAIN, pad_token_id=2), ("encoder.layer",), "AutoModel"
    ),
    "distilbert": Family(
        lambda: transformers.DistilBertConfig(
            vocab_size=VOCABULARY,
            dim=32,
            hidden_dim=48,
            n_layers=3,
            n_heads=4,
            max_position_embeddings=256,
        ),
        ("transformer.layer",),
        "AutoModel",
    ),
    "albert": Family(
        lambda: transformers.AlbertConfig(**PLAIN, embedding_size=16, pad_token_id=2),
        ("encoder.albert_layer_groups",),
        "AutoModel",
    ),
    "electra": Family(
        lambda: transformers.ElectraConfig(**PLAIN, embedding_size=16, pad_token_id=2),
        ("encoder.layer",),
        "AutoModel",
    ),
    "modernbert": Family(
        lambda: transformers.ModernBertConfig(
            **PLAIN, local_attention=8, global_attn_every_n_layers=2, **MARKS
        ),
        ("layers",),
        "AutoModel",
    ),
}

BOTH: dict[str, Family] = {
    "t5": Family(
        lambda: transformers.T5Config(**T5ISH),
        ("encoder.block", "decoder.block"),
        "AutoModelForSeq2SeqLM",
        0.15,  # its scores are not scaled: wider, and their rounding alone would be seen
    ),
    # T5 1.1 does not scale what goes into the output embedding.
    "t5_gated": Family(
        lambda: transformers.T5Config(
            **T5ISH, feed_forward_proj="gated-gelu", tie_word_embeddings=False
        ),
        ("encoder.block", "decoder.block"),
        "AutoModelForSeq2SeqLM",
        0.15,  # its scores are not scaled: wider, and their rounding alone would be seen
    ),
    "bart": Family(
        lambda: transformers.BartConfig(**BARTISH, forced_eos_token_id=1),
        ("model.encoder.layers", "model.decoder.layers"),
        "AutoModelForSeq2SeqLM",
    ),
    "marian": Family(
        lambda: transformers.MarianConfig(**BARTISH, forced_eos_token_id=1, scale_embedding=True),
        ("model.encoder.layers", "model.decoder.layers"),
        "AutoModelForSeq2SeqLM",
    ),
}

# Families that do not send their attention through transformers' registry, or have none.
OUTSIDE: dict[str, Family] = {
    "bloom": Family(
        lambda: transformers.BloomConfig(
            vocab_size=VOCABULARY, hidden_size=32, n_layer=3, n_head=4, **MARKS
        ),
        ("transformer.h",),
    ),
    "falcon": Family(
        lambda: transformers.FalconConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            **MARKS,
        ),
        ("transformer.h",),
    ),
    "gpt_neo": Family(
        lambda: transformers.GPTNeoConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_layers=4,
            num_heads=4,
            attention_types=[[["global", "local"], 2]],
            window_size=WINDOW,
            max_position_embeddings=256,
            **MARKS,
        ),
        ("transformer.h",),
        spread=0.15,  # nor does it scale its scores
    ),
    "gptj": Family(lambda: transformers.GPTJConfig(**GPT, rotary_dim=4), ("transformer.h",)),
    "mpt": Family(
        lambda: transformers.MptConfig(
            vocab_size=VOCABULARY, d_model=32, n_layers=3, n_heads=4, max_seq_len=256
        ),
        ("transformer.blocks",),
    ),
    "openai_gpt": Family(lambda: transformers.OpenAIGPTConfig(**GPT), ("transformer.h",)),
    "xlnet": Family(
        lambda: transformers.XLNetConfig(
            vocab_size=VOCABULARY, d_model=32, n_layer=3, n_head=4, d_inner=48, **MARKS
        ),
        ("layer",),
        "AutoModel",
    ),
    "mpnet": Family(
        lambda: transformers.MPNetConfig(**PLAIN, pad_token_id=2), ("encoder.layer",), "AutoModel"
    ),
    "deberta_v2": Family(
        lambda: transformers.DebertaV2Config(
            **PLAIN,
            relative_attention=True,
            position_buckets=8,
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
            pad_token_id=2,
        ),
        ("encoder.layer",),
        "AutoModel",
    ),
    "mamba": Family(
        lambda: transformers.MambaConfig(
            vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, state_size=8, **MARKS
        ),
        ("backbone.layers",),
        attending=(),
        begins=1,
    ),
    "rwkv": Family(
        lambda: transformers.RwkvConfig(
            vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, context_length=256
        ),
        ("rwkv.blocks",),
        attending=(),
        begins=1,
    ),
    "lfm2": Family(
        lambda: transformers.Lfm2Config(
            **GROUPED, layer_types=["conv", "full_attention", "conv"], **MARKS
        ),
        attending=(1,),
    ),
}

FAMILIES = {**CAUSAL, **ENCODERS, **BOTH, **OUTSIDE}
