"""From a GGUF file to a folder that transformers' Auto classes load.

Run as a process of its own: ``python -m engine.models.convert FILE FOLDER [TITLE]``. Dequantising
keeps the interpreter busy, and a process can be ended at any moment.

The weights are saved as float32. A block's values are a product and a sum of two half-precision
numbers and a small integer, which bfloat16 or float16 would round; the file is mapped rather than
read when it is loaded, so its size costs disk and no time.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.files import disk_error
from engine.models.sources.gguf import read_header
from engine.models.sources.process import Line, end_with_parent

# llama.cpp's names for vocabularies whose digits stand alone before words are split the way GPT-2
# does it. transformers 5.23 reads them as if the digits did not: "  1" would get other tokens.
DIGITS_APART = frozenset({"smollm", "starcoder", "refact", "codeshell", "command-r", "exaone"})

SAMPLE = "The dog is running in the park. Naïve 🙂 中文, 1234  5!\n\tdef f(x): return x"


def convert(gguf: Path, folder: Path, title: str) -> None:
    """Convert `gguf` into `folder`, which is made, and check that it loads again the same.

    Raises
    ------
    UserError
        If transformers cannot read the file.
    """
    Line(f"Converting {title}: starting", 0.0).say()
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    quiet: Any = logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    _read_once()
    what = f"Cannot convert {gguf.name}"
    header = read_header(gguf)

    Line(f"Converting {title}: tokenizer", 0.2).say()
    try:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except Exception as error:
        raise _refused(what, error) from error
    _repair(tokenizer, header.splitting)

    Line(f"Converting {title}: weights", 0.4).say()
    auto: Any = AutoModelForSeq2SeqLM if header.architecture == "t5" else AutoModelForCausalLM
    try:
        model = auto.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    except Exception as error:
        raise _refused(what, error) from error

    Line(f"Converting {title}: saving", 0.75).say()
    # The weights are plain now. transformers would refuse to save them, and would look for
    # quantised ones when loading, as long as these say otherwise.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    longest = getattr(model.config, "max_position_embeddings", None)
    if isinstance(longest, int):
        tokenizer.model_max_length = longest
    # The file's own title, which transformers would take for the id of a repository.
    model.config._name_or_path = ""
    model.config.__dict__.pop("_model_name_or_path", None)
    for leftover in ("is_local", "local_files_only", "gguf_file"):
        tokenizer.init_kwargs.pop(leftover, None)
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)

    Line(f"Converting {title}: checking", 0.9).say()
    again = auto.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    tokens = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    kept, saved = model.state_dict(), again.state_dict()
    same = kept.keys() == saved.keys() and all(torch.equal(kept[k], saved[k]) for k in kept)
    if not same or tokens(SAMPLE).input_ids != tokenizer(SAMPLE).input_ids:
        raise UserError(
            what, "the result does not load as it was saved", "Update transformers and try again"
        )


def _read_once() -> None:
    """Let transformers ask the gguf library the same things again for nothing.

    Loading parses the file three times over, at 5 s for a vocabulary of 49 000, and builds the
    table of tensor names anew for each module: half of the time all of this takes.
    """
    import gguf

    library: Any = gguf
    for name in ("GGUFReader", "get_tensor_name_map"):
        setattr(library, name, functools.cache(getattr(library, name)))


def _repair(tokenizer: Any, splitting: str) -> None:
    """Split text the way the vocabulary's merges were learned, where transformers does not."""
    from tokenizers import pre_tokenizers

    if splitting in DIGITS_APART:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )


def _refused(what: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return UserError(
        what,
        f"transformers cannot read it ({reason})",
        "Choose a model of another family, or one with safetensors",
    )


def main(args: list[str]) -> int:
    """Convert as the arguments say; tell how it went on standard output."""
    gguf, folder = Path(args[0]), Path(args[1])
    end_with_parent()
    if hasattr(os, "nice"):
        os.nice(5)  # the window comes first
    warnings.simplefilter("ignore")
    try:
        convert(gguf, folder, args[2] if len(args) > 2 else gguf.stem)
    except UserError as error:
        Line(error=(error.what, error.why, error.do)).say()
        return 1
    except OSError as error:
        said = disk_error(folder, error)
        Line(error=(said.what, said.why, said.do)).say()
        return 1
    Line(result={}).say()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
