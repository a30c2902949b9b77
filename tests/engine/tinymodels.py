"""Small random models of real families, with a tokenizer of their own, saved like real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from engine.engine import Engine
from engine.models.catalogue import resolve
from engine.models.store import fetch, open_spec

TEXT = (
    "The dog is running in the park. The quick brown fox jumps over the lazy dog. "
    "She sells sea shells by the sea shore; the dog is in the park again, and again."
)
VOCABULARY = 320


def save_tokenizer(folder: Path, special: tuple[str, ...] = ("<s>", "</s>", "<pad>")) -> None:
    """A byte-level BPE of 320 entries that merges across word parts, as GPT-2's does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)


def llama(**changes: Any) -> Any:
    """Llama with grouped heads: four query heads share two key heads."""
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
    }
    return transformers.LlamaConfig(**{**settings, **changes})


def gpt2() -> Any:
    """GPT-2 with learned positions."""
    return transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=3, n_head=4, n_positions=256
    )


def qwen2() -> Any:
    """Qwen2, whose projections have biases."""
    return transformers.Qwen2Config(**_plain(llama()))


def gpt_neox() -> Any:
    """GPT-NeoX (Pythia), with parallel attention and rotary halves."""
    return transformers.GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=256,
    )


def opt() -> Any:
    """OPT, with positions offset by two."""
    return transformers.OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=256,
        pad_token_id=2,
        bos_token_id=0,
        eos_token_id=1,
    )


def gemma2() -> Any:
    """Gemma 2, with soft caps and alternating windows."""
    return transformers.Gemma2Config(
        **_plain(llama()), head_dim=8, sliding_window=7, attn_logit_softcapping=5.0
    )


def bert() -> Any:
    """BERT."""
    return transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=256,
    )


def t5() -> Any:
    """T5, whose position bias is added to the scores."""
    return transformers.T5Config(
        vocab_size=VOCABULARY,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=3,
        num_decoder_layers=2,
        num_heads=4,
        decoder_start_token_id=2,
        pad_token_id=2,
        eos_token_id=1,
    )


def bart() -> Any:
    """BART."""
    return transformers.BartConfig(
        vocab_size=VOCABULARY,
        d_model=32,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        encoder_layers=3,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        max_position_embeddings=256,
        pad_token_id=2,
        bos_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=1,
        forced_eos_token_id=1,
    )


def _plain(config: Any) -> dict[str, Any]:
    names = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "max_position_embeddings",
    )
    return {name: getattr(config, name) for name in names}


CAUSAL: dict[str, Callable[[], Any]] = {
    "llama": llama,
    "gpt2": gpt2,
    "mistral": lambda: transformers.MistralConfig(**_plain(llama()), sliding_window=7),
    "qwen2": qwen2,
    "gpt_neox": gpt_neox,
    "opt": opt,
    "gemma2": gemma2,
}
ENCODERS: dict[str, Callable[[], Any]] = {"bert": bert}
BOTH: dict[str, Callable[[], Any]] = {"t5": t5, "bart": bart}

_AUTO = {
    **dict.fromkeys(CAUSAL, "AutoModelForCausalLM"),
    **dict.fromkeys(ENCODERS, "AutoModel"),
    **dict.fromkeys(BOTH, "AutoModelForSeq2SeqLM"),
}


def save_model(name: str, folder: Path, seed: int = 0) -> Path:
    """Save a random model of a family, wide enough that its attention is not even."""
    make = {**CAUSAL, **ENCODERS, **BOTH}[name]
    torch.manual_seed(seed)
    model = getattr(transformers, _AUTO[name]).from_config(make())
    with torch.no_grad():
        for name_, parameter in model.named_parameters():
            if parameter.ndim > 1 and "norm" not in name_:
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def open_engine(folder: Path) -> Engine:
    """An engine with the model of a folder."""
    engine = Engine()
    entry = resolve(str(folder))
    engine.load(open_spec(entry, fetch(entry)), "cpu")
    return engine


def eager(folder: Path, name: str) -> Any:
    """The same model as transformers runs it, with all maps."""
    auto = getattr(transformers, _AUTO[name])
    model = auto.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    return model.eval()
