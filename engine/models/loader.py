"""From a folder to a model that can be asked: transformers' Auto classes, safetensors only."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args

import torch
import transformers
from torch import Tensor

from engine import estimate, memory
from engine.errors import NoRoomError, UserError
from engine.models.families.spec import FamilySpec, Reader, family_specs
from engine.models.fewrows import quicken
from engine.models.sources.folder import WORD_VECTORS, weight_files
from engine.models.store import ModelSource
from engine.models.text import TextReader, TokenReader
from engine.types import Dtype, ModelInfo, Pooling, Progress

if TYPE_CHECKING:
    from engine.latent.space import Space

# Files above this are not hashed when a folder of the user's is opened; it would take seconds.
_HASHED = 2 << 30
# What a position table of unknown length is taken for.
_UNKNOWN_LENGTH = 4096
_EXACT = torch.float32


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model on its device, and what belongs to it.

    `embedding` is the input embedding (V, E) and `embedding_norms` (V,) the lengths of its rows.
    `spaces` are the latent spaces of token states at hand, by layer, and `sentence_spaces` those of
    sentence states, by layer and pooling.
    """

    info: ModelInfo
    reader: Reader
    reader_of_text: TextReader
    embedding: Tensor
    embedding_norms: Tensor
    spaces: dict[int, Space]
    weight_bytes: int
    sentence_spaces: dict[tuple[int, Pooling], Space] = field(default_factory=dict)


def pick_device(wanted: str) -> torch.device:
    """The device meant by ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    UserError
        If this machine has no such device.
    """
    if wanted == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found if found is not None else torch.device("cpu")
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(wanted, False):
        have = ", ".join(name for name, there in available.items() if there)
        raise UserError(
            f"Cannot use the device {wanted}",
            "PyTorch finds no such device on this machine",
            f"Choose one of: auto, {have}",
        )
    return torch.device(wanted)


def pick_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The type meant by ``auto``, ``float32``, ``bfloat16`` or ``float16`` on a device.

    Raises
    ------
    UserError
        If there is no type of that name.
    """
    if wanted == "auto":
        return torch.bfloat16 if device.type != "cpu" and _computes_bfloat16(device) else _EXACT
    if wanted not in get_args(Dtype):
        have = ", ".join(get_args(Dtype))
        raise UserError(
            f"Cannot compute in {wanted}", "models are not run in it here", f"Choose one of: {have}"
        )
    found: torch.dtype = getattr(torch, wanted)
    return found


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type != "mps" or torch.backends.mps.is_macos_or_newer(14, 0)


def load_steps(
    source: ModelSource, device: str, dtype: str = "auto"
) -> Generator[Progress, None, Loaded]:
    """Load a model; the generator's value is it.

    Nothing in the folder is run: no remote code, no pickle. Word vectors are float32 always.

    Raises
    ------
    UserError
        If the folder holds no model this program can read, or the device is not there.
    """
    what = f"Cannot open {source.title}"
    place = pick_device(device)
    kind = pick_dtype(dtype, place)
    if kind == _EXACT:
        torch.backends.cudnn.allow_tf32 = False  # convolutions would drop 13 of 23 bits
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    yield Progress(f"Opening {source.title}", 0.0)
    if source.family == WORD_VECTORS:
        return _load_vectors(source, place)
    family_specs()  # families of our own make themselves known to transformers
    try:
        config = transformers.AutoConfig.from_pretrained(source.folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            what,
            f"transformers {transformers.__version__} cannot read its config.json",
            "Open a model of a type that transformers knows without extra code",
        ) from error
    family = _family_of(config, what)
    tokenizer = _load_tokenizer(source, what)
    yield Progress(f"Reading the weights of {source.title}", 0.2)
    model = _load_model(source, config, family, place, kind, what)
    yield Progress(f"Looking at {source.title}", 0.8)
    try:
        reader = family.reader(model)
    except LookupError as error:
        raise UserError(
            what, f"its blocks could not be found ({error})", "Open a model of another family"
        ) from error
    from engine.latent.draft_file import path_for
    from engine.latent.store import sentence_spaces, spaces_for

    table = model.get_input_embeddings().weight.detach()  # (V, E)
    weight_bytes = sum(p.nbytes for p in {id(p): p for p in model.parameters()}.values())
    reader_of_text = TokenReader(tokenizer)
    info = _describe(source, config, family, reader, reader_of_text)
    spaces, sentences = spaces_for(info, place), sentence_spaces(info, place)
    info = replace(with_spaces(info, spaces, sentences), drafts=path_for(info) is not None)
    yield Progress(f"{source.title} is ready", 1.0)
    return Loaded(
        info=info,
        reader=reader,
        reader_of_text=reader_of_text,
        embedding=table,
        embedding_norms=table.float().norm(dim=-1),
        spaces=spaces,
        weight_bytes=weight_bytes + reader.extra_bytes,
        sentence_spaces=sentences,
    )


def load_whole_steps(
    source: ModelSource, device: str, dtype: str = "auto"
) -> Generator[Progress, None, Loaded]:
    """Do what `load_steps` does, and say so where memory runs out on the way.

    Raises
    ------
    UserError
        As `load_steps`; a `NoRoomError` where memory is too small.
    """
    loaded = None
    try:
        loaded = yield from load_steps(source, device, dtype)
    except Exception as error:
        if not memory.ran_out(error):
            raise
    if loaded is None:
        # Out here nothing of the half-made model hangs on an exception any more.
        memory.release(torch.device("cpu"))
        raise NoRoomError(
            f"Cannot open {source.title}",
            "memory ran out while it was read",
            "Open a smaller model, or close other programs",
        )
    return loaded


def _load_vectors(source: ModelSource, place: torch.device) -> Loaded:
    from engine.latent.store import sentence_spaces, spaces_for
    from engine.models.vectors_model import open_vectors

    info, reader, words, table, norms = open_vectors(source, place)
    spaces, sentences = spaces_for(info, place), sentence_spaces(info, place)
    info = with_spaces(info, spaces, sentences)
    return Loaded(info, reader, words, table, norms, spaces, table.nbytes, sentences)


def _family_of(config: Any, what: str) -> FamilySpec:
    for family in family_specs():
        if family.accepts(config):
            return family
    raise UserError(
        what,
        f"models of type {config.model_type} are no text models, or their attention cannot be read",
        "Open another language model",
    )


def _load_tokenizer(source: ModelSource, what: str) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(
            source.folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # a tokenizer file can be broken in any way there is
        raise UserError(
            what,
            "its tokenizer cannot be read",
            "Put the tokenizer.json that belongs to the model into its folder",
        ) from error


def _load_model(
    source: ModelSource,
    config: Any,
    family: FamilySpec,
    device: torch.device,
    dtype: torch.dtype,
    what: str,
) -> Any:
    auto = getattr(transformers, family.auto(config))
    _refuse_too_large(source, dtype, device, what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = auto.from_pretrained(
                source.folder,
                config=config,
                dtype=dtype,
                attn_implementation=family.attention(config),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
        model = model.to(device).eval().requires_grad_(False)
        quicken(model)
        return model
    except Exception as error:
        if memory.ran_out(error):
            raise
        raise UserError(
            what, _reason(error), "Fetch the model again, or open another one"
        ) from error


def _refuse_too_large(
    source: ModelSource, dtype: torch.dtype, device: torch.device, what: str
) -> None:
    """Raise `UserError` where the weights would not fit; they pass through the CPU's memory."""
    try:
        need = estimate.weight_bytes(weight_files(source.folder), dtype.itemsize)
    except (OSError, ValueError):
        return  # what is wrong with the files is told when they are read
    for place in {torch.device("cpu"), device}:
        there = memory.room(place)
        if need > there.free:
            do = memory.ways_out(there, device, dtype.itemsize, "open a smaller model")
            raise NoRoomError(what, memory.shortage(need, there), do)


def _reason(error: Exception) -> str:
    """The first line of an error, fit to stand in a sentence."""
    text = str(error).strip()
    if "HeaderTooLarge" in text or "InvalidHeader" in text or "incomplete" in text.lower():
        return "a safetensors file of it is damaged or cut short"
    first = text.splitlines()[0] if text else type(error).__name__
    return first if len(first) < 160 else first[:157] + "…"


def _describe(
    source: ModelSource,
    config: Any,
    family: FamilySpec,
    reader: Reader,
    reader_of_text: TokenReader,
) -> ModelInfo:
    text_config = reader.config
    first = "decoder" if family.kind == "decoder" else "encoder"
    depth = len(reader.blocks[first])  # type: ignore[index]
    above = len(reader.blocks["decoder"]) if family.kind == "encoder-decoder" else 0
    provides = {"embedding"}
    if reader.has_attention:
        provides.add("attention")
    if family.kind == "encoder-decoder":
        provides.add("cross-attention")
    if reader.has_next:
        provides.add("next")
    if reader.has_gates:
        provides.add("gates")
    if reader_of_text.has_chat:
        provides.add("chat")
    files = source.folder.glob("*.safetensors")
    small = sum(file.stat().st_size for file in files) <= _HASHED
    return ModelInfo(
        name=source.name,
        title=source.title,
        family=source.family or str(config.model_type),
        kind=family.kind,
        layers=depth,
        heads=int(text_config.num_attention_heads) if reader.has_attention else 0,
        width=int(text_config.hidden_size),
        vocabulary=int(text_config.vocab_size),
        max_tokens=longest(config, reader_of_text.tokenizer),
        parameters=reader.model.num_parameters(),
        device=str(reader.device),
        dtype=str(reader.model.dtype).removeprefix("torch."),
        provides=frozenset(provides),
        decoder_layers=above,
        source=source.source,
        fingerprint=source.fingerprint if small else "",
    )


def with_spaces(
    info: ModelInfo, spaces: dict[int, Space], sentences: dict[tuple[int, Pooling], Space]
) -> ModelInfo:
    """What a model provides with these latent spaces of token and of sentence states."""
    if not spaces and not sentences:
        return info
    return replace(
        info,
        provides=info.provides | {"latent"},
        latent_layers=tuple(sorted(spaces)),
        sentence_spaces=tuple(sorted(sentences)),
    )


def longest(config: Any, tokenizer: Any) -> int:
    """The most tokens a model takes, by its position table or else by its tokenizer."""
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions"):
        length = getattr(text, name, None)
        if isinstance(length, int) and length > 0 and config.model_type not in _RELATIVE:
            # RoBERTa's kin number their positions from behind the padding index.
            offset = text.pad_token_id + 1 if config.model_type in _OFFSET else 0
            return length - offset
    stated = getattr(tokenizer, "model_max_length", None)
    return int(stated) if stated and stated < 1_000_000 else _UNKNOWN_LENGTH


# T5's kin know distances, not positions; what they state there is what they were trained on.
_RELATIVE = ("t5", "mt5", "longt5", "umt5")
_OFFSET = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "data2vec-text")
