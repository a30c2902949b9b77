"""Small random models of real families, with a tokenizer of their own, saved like real ones."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tinyfamilies import BOTH, CAUSAL, ENCODERS, FAMILIES, OUTSIDE, VOCABULARY
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from engine.engine import Engine
from engine.models.catalogue import resolve
from engine.models.store import fetch, open_spec

__all__ = ["BOTH", "CAUSAL", "ENCODERS", "FAMILIES", "OUTSIDE"]

TEXT = (
    "The dog is running in the park. The quick brown fox jumps over the lazy dog. "
    "She sells sea shells by the sea shore; the dog is in the park again, and again."
)


@cache
def _trained(special: tuple[str, ...]) -> str:
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
    return str(tokenizer.to_str())


def save_tokenizer(folder: Path, special: tuple[str, ...] = ("<s>", "</s>", "<pad>")) -> None:
    """A byte-level BPE of 320 entries that merges across word parts, as GPT-2's does."""
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(special)),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
    ).save_pretrained(folder)


def make(name: str, seed: int = 0) -> Any:
    """A random model of a family as transformers runs it, with all maps.

    Its weights are wide enough that its attention is not even.
    """
    family = FAMILIES[name]
    torch.manual_seed(seed)
    model = getattr(transformers, family.auto).from_config(
        family.config(), attn_implementation="eager"
    )
    for module in model.modules():
        if "Sinusoidal" in type(module).__name__:
            continue  # worked out, not saved
        for parameter in module.parameters(recurse=False):
            if parameter.ndim > 1:
                parameter.data.normal_(0, family.spread)
    return model.eval().requires_grad_(False)


def save_model(name: str, folder: Path, seed: int = 0) -> Path:
    """Save a random model of a family."""
    make(name, seed).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


DEVICE = os.environ.get("CONTEXTSCOPE_TEST_DEVICE", "cpu")
"""Where models run: pytest's ``--device``."""


def there_is(device: str) -> bool:
    """Whether PyTorch finds such a device here."""
    found = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    return device == "cpu" or found[device]()


def open_engine(folder: Path, device: str = DEVICE, dtype: str = "float32") -> Engine:
    """An engine with the model of a folder; skips the test where the device is not."""
    if not there_is(device):
        pytest.skip(f"PyTorch finds no device {device} on this machine")
    engine = Engine()
    entry = resolve(str(folder))
    engine.load(open_spec(entry, fetch(entry)), device, dtype)
    return engine
