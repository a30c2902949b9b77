"""From a text to the tokens that are run: special tokens, the chat template, the length guard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.models.text import without_surrogates
from engine.types import Request, Token

if TYPE_CHECKING:
    from engine.models.loader import Loaded

DEFAULT_LIMIT = 1024
"""Most tokens run on a CPU unless the user says otherwise: beyond it a first pass takes many
seconds there."""

ACCELERATOR_LIMIT = 8192

_SURROGATES = (
    "Characters that are half of a pair (lone surrogates) were replaced by �, because no tokenizer "
    "accepts them."
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as tokens: the last `cut` of them were left out, at most `limit` being run.

    `text` is what the tokens' offsets count in. `why` says whose limit it is; `notice` tells the
    user what was left out or replaced.
    """

    text: str
    tokens: tuple[Token, ...]
    limit: int
    why: str
    cut: int = 0
    notice: str = ""


def read(loaded: Loaded, request: Request) -> Reading:
    """Tokenize what a request is about, and cut what is more than the model or its limit allows."""
    text = without_surrogates(request.text)
    notice = "" if text == request.text else _SURROGATES
    own = DEFAULT_LIMIT if loaded.info.device == "cpu" else ACCELERATOR_LIMIT
    wanted = own if request.limit is None else request.limit
    limit = max(1, min(wanted, loaded.info.max_tokens))
    why = (
        f"{loaded.info.title} reads at most {limit:,}"
        if limit == loaded.info.max_tokens
        else f"the token limit is {limit:,} (Edit ▸ Token limit)"
    )
    if not text and loaded.info.kind == "decoder":
        # Special tokens alone would be a prediction from nothing typed.
        return Reading(text, (), limit, why, notice=notice)
    reader = loaded.reader_of_text
    tokens = reader.read_chat(text) if request.chat else reader.read(text)
    cut = max(0, len(tokens) - limit)
    if cut:
        # An encoder's closing special token stays at the end.
        tail = tokens[-1:] if tokens[-1].special and loaded.info.kind != "decoder" else ()
        tokens = tokens[: limit - len(tail)] + tail
        said = f"The last {cut:,} of {cut + limit:,} tokens are left out: {why}."
        notice = f"{said} {notice}".strip()
    return Reading(text, tokens, limit, why, cut, notice)


def read_target(loaded: Loaded, request: Request) -> tuple[Token, ...]:
    """What the decoder of an encoder-decoder reads: its start token, then the target."""
    if loaded.info.kind != "encoder-decoder":
        return ()
    config = loaded.reader.model.config
    start = config.decoder_start_token_id
    start = config.pad_token_id if start is None else start
    text = without_surrogates(request.text if request.target is None else request.target)
    found = loaded.reader_of_text.read(text)
    # Shifted right: the decoder predicts the closing token, it does not read it.
    body = found[:-1] if found and found[-1].special else found
    limit = request.limit or DEFAULT_LIMIT
    first = loaded.reader_of_text.token(0 if start is None else start, special=True)
    return (first, *body)[: min(limit, loaded.info.max_tokens)]
