"""Models of the laboratory: made, saved as the explorer opens them, and opened again.

Transformers are of configurations that the explorer reads anyway: Llama's make for rotary
positions, OPT's for learned ones. Attention alone is an MLP of width 0, which adds nothing.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig, OPTConfig, PreTrainedTokenizerFast

from engine.errors import UserError
from engine.files import disk_error, replacing
from engine.lab.settings import Settings
from engine.lab.tasks.spec import UNKNOWN
from engine.models.families.lstm import LstmConfig, LstmForCausalLM

SPREAD = 0.1
"""Standard deviation of a transformer's first weights. At transformers' 0.02 heads take long to
attend anywhere in particular: matrices this narrow hardly change what they are given."""

FURTHER = 4
"""A rotary transformer may be shown texts of so many times the length it was trained on."""


def build(settings: Settings, vocabulary: int, length: int) -> Any:
    """An untrained model, transformers' make; its weights depend on the seed alone.

    Parameters
    ----------
    vocabulary, length : int
        V, and the tokens of a row.
    """
    with _quietly(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if settings.arch == "lstm":
            config = LstmConfig(vocabulary, settings.width, settings.layers, **_MARKS)
            return LstmForCausalLM(config)
        model = AutoModelForCausalLM.from_config(_config(settings, vocabulary, length))
    if not settings.inner:
        for name, weight in model.named_parameters():
            # Of an MLP of no width a bias would be left, and of its norm nothing that is used.
            if any(part in name for part in _MLP):
                weight.requires_grad_(False)
    return model


_MARKS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
_MLP = (".mlp.", "post_attention_layernorm", ".fc1.", ".fc2.", "layers.final_layer_norm")


def _config(settings: Settings, vocabulary: int, length: int) -> Any:
    common: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": settings.width,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "tie_word_embeddings": False,
        **_MARKS,
    }
    if settings.positions == "learned":
        return OPTConfig(
            **common,
            word_embed_proj_dim=settings.width,
            ffn_dim=settings.inner,
            max_position_embeddings=length,
            dropout=0.0,
            init_std=SPREAD,
        )
    return LlamaConfig(
        **common,
        num_key_value_heads=settings.heads,
        intermediate_size=settings.inner,
        max_position_embeddings=FURTHER * length,
        initializer_range=SPREAD,
        # Without biases nothing is there from which a query that depends on position alone could
        # be made, and a head that looks at the token before is one of those.
        attention_bias=True,
    )


def use_threads(count: int) -> None:
    """Let torch work on `count` cores: a small model's products are done before others wake up."""
    torch.set_num_threads(count)


def trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The weights that are learnt, with their names."""
    return [(n, w) for n, w in model.named_parameters() if w.requires_grad and w.numel()]


def parameters(model: nn.Module) -> int:
    """How many numbers are learnt."""
    return sum(weight.numel() for _, weight in trained(model))


def save(model: Any, tokenizer: Tokenizer, length: int, *folders: Path) -> None:
    """Write model and tokenizer into each of `folders`, each file whole or not at all.

    Parameters
    ----------
    length : int
        Tokens of a row.

    Raises
    ------
    UserError
        If a folder cannot be written to or the disk is full.
    """
    with tempfile.TemporaryDirectory() as name:
        try:
            _write(model, tokenizer, length, Path(name))
        except OSError as error:
            raise disk_error(Path(name), error) from error
        for folder in folders:
            for path in sorted(Path(name).iterdir()):
                with replacing(folder / path.name) as beside:
                    shutil.copyfile(path, beside)


def _write(model: Any, tokenizer: Tokenizer, length: int, folder: Path) -> None:
    config = model.config
    longest = getattr(config, "max_position_embeddings", None) or FURTHER * length
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN if tokenizer.token_to_id(UNKNOWN) is not None else None,
        model_max_length=longest,
        clean_up_tokenization_spaces=False,
    )
    with _quietly():
        model.save_pretrained(folder)
        wrapped.save_pretrained(folder)


def load(folder: Path) -> Any:
    """Open a saved model in single precision, in evaluation mode; no network, no pickle.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    try:
        with _quietly():
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
            )
    except Exception as error:  # transformers raises whatever its parts do
        raise UserError(
            f"Cannot open the model in {folder}",
            f"its files are missing or damaged ({str(error).splitlines()[0]})",
            "Train it again",
        ) from error
    return model.eval()


@contextmanager
def _quietly() -> Iterator[None]:
    """Let transformers draw no bars, and torch not warn of weights that are empty on purpose."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        yield
