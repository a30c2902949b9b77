"""From points of a sentence space to sentences: the model writes, the draft leads.

    ln p(w | before, z) ∝ ln p_model(w | before) + α ln p_draft(w | place, z)

The draft alone says "My farmer is in the the castle", the model alone whatever it likes; of both
together (a product of experts, Hinton 2002) comes what is likely as English and as that point. The
likeliest sentence is looked for with a few beams, all points of a walk in one batch.

Shape letters: P points, B beams, S places, V' the model's vocabulary, V the draft's words.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache

from engine.errors import UserError
from engine.latent.draft_texts import start_of
from engine.latent.draft_vae import LONGEST, PLACES, DraftVAE, lengths, unit
from engine.latent.running import Unrunnable, attending_by_itself, attends_by_itself, check
from engine.models.cache import over
from engine.models.families.decoder import DecoderReader
from engine.models.loader import Loaded
from engine.types import Progress

WEIGHT = 1.0
"""α: how much of the draft is added."""

BEAMS = 4

_OUTSIDE = 2.0
# Nats by which a token that the draft does not know is less likely to it than its least likely one.
_LENGTH = 0.8  # a sentence's score is divided by its length to this power (Wu et al. 2016)


def able(loaded: Loaded) -> DecoderReader:
    """The reader, if its model can write sentences.

    Raises
    ------
    UserError
        If it predicts no next token or keeps nothing between two.
    """
    try:
        reader = check(loaded.reader, loaded.info.title)
    except Unrunnable as reason:
        raise UserError("Cannot write sentences", str(reason), "Open a causal model") from reason
    if not reader.builds_on or "attention" not in loaded.info.provides:
        why = f"{loaded.info.title} keeps no keys and values to go on from"
        raise UserError("Cannot write sentences", why, "Open another causal model")
    return reader


def run(reader: DecoderReader, ids: Tensor, cache: Cache | None) -> Tensor:
    """Run tokens (n, t) over a cache that grows by them; states (n, t, D) after the final norm."""
    by_itself = attends_by_itself(reader)
    with attending_by_itself(reader) if by_itself else nullcontext():
        more: dict[str, Any] = {"use_cache": False} if cache is None else over(reader.base, cache)
        found: Tensor = reader.base(input_ids=ids, **more)[0]
    return found


def spread(draft: Tensor, vocabulary: Tensor, size: int) -> Tensor:
    """A draft's log-probabilities (P, S, V) over the model's whole vocabulary, (P, S, V')."""
    least = draft.amin(dim=-1, keepdim=True) - _OUTSIDE
    found = least.expand(*draft.shape[:2], size).clone()
    found[..., vocabulary] = draft
    return found


@dataclass(slots=True)
class _Search:
    """The beams of one point: tokens and scores, and the best sentence that has ended."""

    rows: list[list[int]]
    scores: Tensor  # (B,)
    best: list[int] = field(default_factory=list)
    best_score: float = float("-inf")
    over: bool = False


@torch.no_grad()
def _leading(vae: DraftVAE, z: Tensor, loaded: Loaded, weight: float, end: int) -> Tensor:
    """What is added to the model's log-probabilities, (P, S, V'): no end before the draft's."""
    draft = vae.draft(z, unit(loaded.embedding, vae.vocabulary).cpu())
    led = weight * spread(draft, vae.vocabulary, len(loaded.embedding))
    for point, length in enumerate(lengths(draft)):
        led[point, : length - 1, end] = float("-inf")
        led[point, 0, end] = float("-inf")
    return led


def write_steps(
    loaded: Loaded, vae: DraftVAE, points: Tensor, weight: float = WEIGHT, beams: int = BEAMS
) -> Generator[Progress, None, tuple[str, ...]]:
    """Write a sentence from each of `points` (P, Z); the value are the sentences.

    Yields after each token. The same points give the same sentences.

    Raises
    ------
    UserError
        If the model cannot.
    """
    reader = able(loaded)
    start = start_of(loaded)
    end = start[-1]
    count = len(points)
    led = _leading(vae, points.float().cpu(), loaded, weight, end)  # (P, S, V')
    cache: Any = DynamicCache()
    ids = torch.tensor([start] * (count * beams), device=reader.device)
    searches: list[_Search] = []
    for place in range(PLACES):
        with torch.inference_mode():
            # Of few rows, the head of a quantised model reads numbers that lie side by side.
            final = run(reader, ids, cache)[:, -1].contiguous()
            scores = reader.logits(final).float().log_softmax(dim=-1).cpu()
        scores = scores[:, : led.shape[-1]].view(count, beams, -1) + led[:, place, None]
        if not searches:
            for point in range(count):
                top = scores[point, 0].topk(beams)
                rows = [[one] for one in top.indices.tolist()]
                searches.append(_Search(rows, top.values))
            picked = list(range(count * beams))
        else:
            picked = []
            for point, search in enumerate(searches):
                origin = _advance(search, scores[point], place, end)
                picked += [point * beams + one for one in origin]
        if all(search.over for search in searches):
            break
        with torch.inference_mode():
            cache.reorder_cache(torch.tensor(picked, device=reader.device))
        last = [row[-1] for search in searches for row in search.rows]
        ids = torch.tensor(last, device=reader.device)[:, None]
        yield Progress("Writing sentences", (place + 1) / PLACES)
    tokenizer: Any = loaded.reader_of_text
    return tuple(
        str(tokenizer.tokenizer.decode(search.best or search.rows[0])).strip()
        for search in searches
    )


def _advance(search: _Search, scores: Tensor, place: int, end: int) -> list[int]:
    """Take one token more; from which beam each of the new ones goes on. `scores` are (B, V')."""
    beams = len(search.rows)
    if search.over:
        return list(range(beams))
    total = search.scores[:, None] + scores
    share = (place + 1) ** _LENGTH
    for beam, score in enumerate((total[:, end] / share).tolist()):
        if score > search.best_score:
            search.best_score, search.best = score, list(search.rows[beam])
    total[:, end] = float("-inf")
    top = total.flatten().topk(beams)
    # What goes on can only lose, so that it need not once it is behind by what length may give.
    ahead = float(top.values[0]) / (place + 2) ** _LENGTH
    if place == LONGEST or search.best_score > ahead:
        search.over = True
        return list(range(beams))
    origin = (top.indices // total.shape[1]).tolist()
    tokens = (top.indices % total.shape[1]).tolist()
    search.rows = [[*search.rows[one], token] for one, token in zip(origin, tokens, strict=True)]
    search.scores = top.values
    return origin


@torch.no_grad()
def encode(
    vae: DraftVAE, loaded: Loaded, sentences: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """μ and ln σ², each (P, Z), of sentences given as tokens."""
    found: list[tuple[Tensor, Tensor]] = []
    for ids in sentences:
        rows = torch.tensor([list(ids)], device=loaded.embedding.device)
        found.append(vae.posterior(loaded.embedding[rows].float().cpu()))
    return torch.cat([mu for mu, _ in found]), torch.cat([logvar for _, logvar in found])
