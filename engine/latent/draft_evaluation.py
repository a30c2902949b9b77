"""How much of a sentence a point keeps: measured on sentences that were not trained on."""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np
import torch
from torch import Tensor

from engine.latent.draft_file import Row
from engine.latent.draft_texts import Reading, start_of
from engine.latent.draft_vae import DraftVAE, unit
from engine.latent.draft_writing import WEIGHT, able, encode, run, spread, write_steps
from engine.latent.vae import active_units, kl_divergence
from engine.models.loader import Loaded
from engine.types import Progress

TOGETHER = 20
"""Sentences that are run or written at once."""


def measure_steps(
    loaded: Loaded, vae: DraftVAE, held_out: Reading, weight: float = WEIGHT, written: int = 60
) -> Generator[Progress, None, tuple[Row, ...]]:
    """Measure a space on sentences, a row for each label; of each, `written` are written back.

    Raises
    ------
    UserError
        If the model cannot write sentences.
    """
    able(loaded)
    found = []
    for label, name in enumerate(held_out.names):
        rows = np.flatnonzero(held_out.labels == label).tolist()
        if rows:
            part = held_out.rows(rows)
            found.append((yield from _row_steps(loaded, vae, part, name, weight, written)))
    return tuple(found)


def _row_steps(
    loaded: Loaded, vae: DraftVAE, reading: Reading, label: str, weight: float, written: int
) -> Generator[Progress, None, Row]:
    text = f"Measuring the sentence space: {label}"
    mu, logvar = encode(vae, loaded, reading.ids)
    draft = vae.draft(mu, unit(loaded.embedding, vae.vocabulary).cpu())  # (N, S, V)
    count = len(reading)
    right, errors, tokens, ends = np.zeros(4), np.zeros(4), 0, 0
    by_length: dict[int, list[int]] = {}
    for row, ids in enumerate(reading.ids):
        by_length.setdefault(len(ids), []).append(row)
    for rows in (part for each in by_length.values() for part in _parts(each)):
        target, own = _own_scores(loaded, [reading.ids[row] for row in rows])  # (n, t), (n, t, V')
        others = [(row + 1) % count for row in rows]
        led, misled = (
            spread(draft[one], vae.vocabulary, own.shape[-1])[:, : target.shape[1]]
            for one in (rows, others)
        )
        together = (own + weight * led, own + weight * misled)
        for kind, scores in enumerate((led, own, *(one.log_softmax(dim=-1) for one in together))):
            hits = scores.argmax(dim=-1) == target
            right[kind] += int(hits[:, :-1].sum())
            errors[kind] -= float(scores.gather(-1, target[..., None]).double().sum())
        tokens += target[:, :-1].numel()
        ends += target.numel()
        yield Progress(text)
    exact, some = 0, min(written, count)
    for rows in _parts(list(range(some))):
        texts = yield from write_steps(loaded, vae, mu[rows], weight)
        exact += sum(reading.texts[row] == one for row, one in zip(rows, texts, strict=True))
    accuracy = (right / tokens).tolist()
    perplexity = [math.exp(min(700.0, error / ends)) for error in errors.tolist()]
    return Row(
        label=label,
        sentences=count,
        draft_accuracy=accuracy[0],
        model_accuracy=accuracy[1],
        accuracy=accuracy[2],
        other_accuracy=accuracy[3],
        model_perplexity=perplexity[1],
        perplexity=perplexity[2],
        other_perplexity=perplexity[3],
        active_units=active_units(mu),
        kl=float(kl_divergence(mu, logvar).sum(dim=-1).mean()),
        exact=exact / some,
        written=some,
    )


def _own_scores(loaded: Loaded, sentences: list[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
    """Tokens (n, t) of sentences of one length and their end, and the model's own scores of each.

    The scores (n, t, V') are log-probabilities.
    """
    reader = able(loaded)
    start = start_of(loaded)
    ids = torch.tensor([[*start, *one] for one in sentences], device=reader.device)
    with torch.inference_mode():
        final = run(reader, ids, None)[:, len(start) - 1 :]  # (n, t, D)
        scores = reader.logits(final.flatten(0, 1).contiguous()).float().log_softmax(dim=-1)
    target = torch.tensor([[*one, start[-1]] for one in sentences])
    size = len(loaded.embedding)
    return target, scores.cpu().view(*target.shape, -1)[..., :size]


def _parts(rows: list[int]) -> list[list[int]]:
    return [rows[at : at + TOGETHER] for at in range(0, len(rows), TOGETHER)]
