"""Texts that the loaded model writes itself, to train a latent space on what it says."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import UserError
from engine.latent.corpus_texts import Text
from engine.models.loader import Loaded
from engine.models.text import without_surrogates
from engine.types import Progress


@dataclass(frozen=True, slots=True)
class Sampling:
    """How texts are drawn: `texts` from each prompt, at most `tokens` long.

    The next token is drawn from softmax(logits / `temperature`), of the likeliest ones that have
    the probability `top_p` together (nucleus sampling, Holtzman et al. 2019, 1904.09751). At
    temperature 0 it is always the likeliest.
    """

    texts: int = 20
    tokens: int = 120
    temperature: float = 0.9
    top_p: float = 0.95
    seed: int = 20911


def generate_steps(
    loaded: Loaded, prompts: Sequence[str], sampling: Sampling
) -> Generator[Progress, None, tuple[Text, ...]]:
    """Let the model go on from each prompt; the value are the texts, labelled with their prompts.

    Yields after each token. A text holds its prompt too, and ends where the model ends it.

    Raises
    ------
    UserError
        If the model predicts no next token, or there is no prompt.
    """
    what = "Cannot generate texts"
    prompts = [prompt for prompt in prompts if prompt.strip()]
    if "next" not in loaded.info.provides or loaded.info.kind != "decoder":
        raise UserError(
            what, f"{loaded.info.title} predicts no next token", "Open a causal language model"
        )
    if not prompts:
        raise UserError(what, "there is no prompt", "Give one prompt a line")
    generator = torch.Generator().manual_seed(sampling.seed)
    reader, words = loaded.reader, loaded.reader_of_text
    texts: list[Text] = []
    total = len(prompts) * sampling.texts
    for prompt in prompts:
        start = [token.id for token in words.read(prompt)]
        for _ in range(sampling.texts):
            ids, trace = list(start), None
            pieces: list[bytes] = []
            for _ in range(min(sampling.tokens, loaded.info.max_tokens - len(start))):
                with torch.inference_mode():
                    trace, _ = reader.read(trace, ids, [], lambda: False)
                    scores = reader.logits(trace.final.rows()[-1:])[0].float().cpu()  # (V,)
                drawn = draw(scores, sampling, generator)
                token = words.token(drawn)
                if token.special:  # the model ended it
                    break
                ids.append(drawn)
                pieces.append(token.data)
                yield Progress(
                    f"Generating text {len(texts) + 1} of {total}", len(texts) / max(1, total)
                )
            written = b"".join(pieces).decode("utf-8", "ignore")
            texts.append(Text(prompt, without_surrogates(prompt + written)))
    return tuple(texts)


def draw(scores: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """A token id, drawn from scores (V,) as `sampling` says."""
    if sampling.temperature <= 0:
        return int(scores.argmax())
    chances, ids = (scores / sampling.temperature).softmax(dim=-1).sort(descending=True)
    # A token stays if those before it have less than `top_p` together: the first always does.
    before = chances.cumsum(dim=0) - chances
    chances = torch.where(before < sampling.top_p, chances, 0)
    chances[0] = chances[0].clamp(min=torch.finfo(chances.dtype).tiny)
    return int(ids[torch.multinomial(chances, 1, generator=generator)])
