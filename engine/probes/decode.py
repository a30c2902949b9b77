"""What the model says where a decoded point stands in place of a token's state."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from engine.latent.running import Unrunnable, check, log_probabilities, next_scores
from engine.latent.space import Space
from engine.latent.values import DecodeQuery, DecodeResult
from engine.models.families.decoder import DecoderReader
from engine.probes.latent import space_at
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, states_at, to_numpy

MOST_POINTS = 256
"""Points of one query."""

REMEMBERED = 4096
"""Points whose answers are kept for a context."""

OWN = 16
"""Places in the context for which the model's own prediction is kept."""

Said = tuple[list[int], list[float], float]
"""Tokens, their probabilities, and the divergence, of one point."""


@dataclass(slots=True)
class Decodes:
    """What points said already, by space, token, where it is told, number of tokens, and point.

    `length` is how many tokens the context had: with any other nothing of this holds. `own` (V,)
    are the log-probabilities the model gives by itself, by after how many tokens. `ran` counts
    points ever run.
    """

    length: int = 0
    own: dict[int, Tensor] = field(default_factory=dict)
    known: dict[tuple[Space, int, int, int, tuple[float, ...]], Said] = field(default_factory=dict)
    ran: int = 0

    def keep(self, count: int) -> None:
        """Forget everything once a token is forgotten."""
        if count < self.length:
            self.length = 0
            self.own.clear()
            self.known.clear()

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return sum(own.nbytes for own in self.own.values())


def answer(passed: Pass, query: DecodeQuery) -> DecodeResult:
    """Decode, put in place, run on."""
    layer, space = space_at(passed, query.layer)
    _, own = states_at(passed, layer, None)  # (T, D)
    position = len(own) - 1 if query.position is None else query.position
    stop = len(own) if query.stop is None else query.stop
    points = _checked(query, space, position, stop, len(own))
    decoded = space.decode(points.to(space.origin.device))  # (P, D)
    norms, norm = decoded.norm(dim=-1), float(own[position].float().norm())
    try:
        reader = check(passed.loaded.reader, passed.loaded.info.title)
    except Unrunnable as reason:
        return _by_vocabulary(passed, query, layer, position, decoded, norm, str(reason))
    memo = _memo(passed)
    count = min(query.count, passed.loaded.info.vocabulary)
    keys = [(space, position, stop, count, point) for point in query.points]
    # A point may be asked for twice in a row of them; each is run once.
    rows = {key: row for row, key in enumerate(keys)}
    if len(memo.known) + len(rows) > REMEMBERED:
        memo.known.clear()
    new = [key for key in rows if key not in memo.known]
    if new:
        states = decoded[[rows[key] for key in new]]
        said = _said(passed, reader, memo, states, layer, (position, stop), count)
        memo.known.update(zip(new, said, strict=True))
    found = [memo.known[key] for key in keys]
    ids = np.array([one[0] for one in found], dtype=np.int64).reshape(len(found), -1)
    ids.setflags(write=False)
    return DecodeResult(
        layer=layer,
        position=position,
        kind="next",
        ids=ids,
        texts=_texts(passed, ids),
        scores=to_numpy(torch.tensor([one[1] for one in found])),
        divergence=to_numpy(torch.tensor([one[2] for one in found])),
        norms=to_numpy(norms),
        norm=norm,
    )


def divergence(own: Tensor, others: Tensor) -> Tensor:
    """KL(p ‖ p′) in nats, (P,), of log-probabilities `own` (V,) = ln p and `others` (P, V)."""
    return (own.exp() * (own - others)).sum(dim=-1).clamp(min=0)


def _said(
    passed: Pass,
    reader: DecoderReader,
    memo: Decodes,
    states: Tensor,
    layer: int,
    place: tuple[int, int],
    count: int,
) -> list[Said]:
    position, stop = place
    memo.length = len(passed.trace.ids)
    if stop not in memo.own:
        if len(memo.own) >= OWN:
            memo.own.clear()
        memo.own[stop] = log_probabilities(reader, passed.trace.final.rows()[stop - 1 : stop])[0]
    scores = next_scores(reader, passed.trace, states, layer, position, stop)  # (P, V)
    memo.ran += len(states)
    apart = divergence(memo.own[stop], scores).tolist()
    best = scores.topk(count, dim=-1)
    ids, probabilities = best.indices.tolist(), best.values.exp().tolist()
    return list(zip(ids, probabilities, apart, strict=True))


def _memo(passed: Pass) -> Decodes:
    kept = passed.trace.memos.get("decode")
    # Tokens that were added make another one the last, and another prediction the model's own.
    if not isinstance(kept, Decodes) or kept.length not in (0, len(passed.trace.ids)):
        kept = Decodes()
        passed.trace.memos["decode"] = kept
    return kept


def _checked(query: DecodeQuery, space: Space, position: int, stop: int, count: int) -> Tensor:
    latent = len(space.origin)
    if not 0 <= position < stop <= count:
        raise NotAnswerable("That token is no longer in the text")
    if not 0 < len(query.points) <= MOST_POINTS:
        raise NotAnswerable(f"Between 1 and {MOST_POINTS} points can be decoded at once")
    if any(len(point) != latent for point in query.points):
        raise NotAnswerable(f"A point of this space has {latent} numbers")
    if not all(math.isfinite(value) for point in query.points for value in point):
        raise NotAnswerable("A point of this space has a coordinate that is not a number")
    return torch.tensor(query.points, dtype=torch.float32)  # (P, Z)


def _by_vocabulary(
    passed: Pass,
    query: DecodeQuery,
    layer: int,
    position: int,
    states: Tensor,
    norm: float,
    reason: str,
) -> DecodeResult:
    """The vocabulary's entries nearest to the decoded states (P, D)."""
    table = passed.loaded.embedding  # (V, E)
    if table.shape[1] != states.shape[1]:
        raise NotAnswerable(f"{reason}, and its input embedding is narrower than its states")
    norms = states.norm(dim=-1)
    scores = (states.to(table.dtype) @ table.T).float()  # (P, V)
    scores = scores / (norms[:, None] * passed.loaded.embedding_norms).clamp(min=1e-12)
    best = scores.topk(min(query.count, scores.shape[1]), dim=-1)
    ids = best.indices.cpu().numpy().astype(np.int64)
    ids.setflags(write=False)
    return DecodeResult(
        layer=layer,
        position=position,
        kind="vocabulary",
        ids=ids,
        texts=_texts(passed, ids),
        scores=to_numpy(best.values),
        divergence=to_numpy(torch.full((len(states),), torch.nan)),
        norms=to_numpy(norms),
        norm=norm,
        reason=f"{reason}: shown are the words whose input embeddings are nearest",
    )


def _texts(
    passed: Pass, ids: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
) -> tuple[tuple[str, ...], ...]:
    show = passed.loaded.reader_of_text.show
    return tuple(tuple(show(id_) for id_ in row) for row in ids.tolist())


PROBE = ProbeSpec(DecodeQuery, "latent", answer)
