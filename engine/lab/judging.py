"""How good a model is at a task, and what its heads do.

Shape letters: B rows, T tokens, L layers, H heads, D model width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.lab.measures import Floats, attention_maps, induction_scores, repeated_tokens
from engine.lab.tasks.repeat import Repeat
from engine.lab.tasks.spec import Ids, Mask, Rows, Task

AT_ONCE = 8192
"""Tokens that are run together while judging."""
INDUCTION_ROWS = 8
INDUCTION_SEED = 7
MATCHED_ROWS = 32
LONGEST_SPAN = 50


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What a model gives to rows.

    Attributes
    ----------
    losses : (B, T − 1) float64
        −ln p of each target, judged or not, nats.
    hits : (B, T − 1) bool
        Whether it was the likeliest token.
    judged : (B, T − 1) bool
        The targets that the figures below are told of.
    """

    losses: Floats
    hits: Mask
    judged: Mask

    @property
    def tokens(self) -> int:
        """How many targets are judged."""
        return int(self.judged.sum())

    @property
    def loss(self) -> float:
        """Mean −ln p over the judged targets, nats; NaN where there are none."""
        return float(self.losses[self.judged].mean()) if self.tokens else math.nan

    @property
    def accuracy(self) -> float:
        """Share of the judged targets that were the likeliest token; NaN where there are none."""
        return float(self.hits[self.judged].mean()) if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """The number of equally likely tokens that would be as hard to tell apart."""
        return math.exp(self.loss) if not self.loss > 700 else math.inf

    @property
    def by_position(self) -> Floats:
        """Mean −ln p (T − 1,) of each target, judged or not, nats."""
        found: Floats = self.losses.mean(axis=0)
        return found

    def in_context_score(self, early: int, late: int) -> float:
        """Loss at target `late` less that at `early`, nats (Olsson et al. 2022, 2209.11895).

        Below 0 where the context between them helped.
        """
        return float(self.by_position[late] - self.by_position[early])


@torch.no_grad()
def judge(model: Any, rows: Rows) -> Judged:
    """Run `model` over rows (B, T) and compare what it expects with what comes."""
    model.eval()
    count, length = rows.ids.shape
    losses = np.empty((count, length - 1))
    hits = np.empty((count, length - 1), dtype=np.bool_)
    each = max(1, AT_ONCE // length)
    for start in range(0, count, each):
        part = slice(start, start + each)
        ids = torch.from_numpy(rows.ids[part])  # (b, T)
        scores = scores_of(model, ids)  # (b, T − 1, V)
        losses[part] = losses_of(scores, ids).numpy()
        hits[part] = (scores.argmax(-1) == ids[:, 1:]).numpy()
    return Judged(losses, hits, rows.judged)


def scores_of(model: Any, ids: Tensor) -> Tensor:
    """Scores (B, T − 1, V) of what follows each token of `ids` (B, T) but the last."""
    scores: Tensor = model(input_ids=ids[:, :-1], use_cache=False).logits
    return scores.float()


def losses_of(scores: Tensor, ids: Tensor) -> Tensor:
    """−ln p (B, T − 1) of the tokens that follow, for `scores_of` the same `ids` (B, T)."""
    flat = torch.nn.functional.cross_entropy(
        scores.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    return flat.view(len(ids), -1)


def induction(model: Any, task: Task) -> Floats | None:
    """Induction score of every head, (L, H); None for a model that has none.

    Measured on random tokens repeated twice (see `measures.induction_scores`), and averaged over
    the spans the task has: a head that looks a fixed way back scores on one of them only. For other
    tasks the span is half a row, at most 50.
    """
    if not has_heads(model):
        return None
    spans: Sequence[int] = (
        task.spans() if isinstance(task, Repeat) else (max(2, min(LONGEST_SPAN, task.length // 2)),)
    )
    scores = []
    with _showing_maps(model):
        for span in spans:
            ids = repeated_tokens(INDUCTION_ROWS, span, task.vocabulary, INDUCTION_SEED)
            maps = attention_maps(model, ids)  # (B, L, H, 2n, 2n)
            scores.append(induction_scores(maps, span).mean(axis=0))
    found: Floats = np.mean(scores, axis=0)
    return found


def looking_back(model: Any, rows: Rows) -> Floats:
    """How much each head (L, H) attends, in rows of a task, to what followed a token's copies.

    Prefix matching (Olsson et al. 2022, 2209.11895) in the task's own rows instead of random ones:
    of each judged target the token before it is the query, if it stood in the row before; counted
    is all attention to the tokens behind its earlier copies. At most `MATCHED_ROWS` are read.
    """
    ids = rows.ids[:MATCHED_ROWS, :-1]
    queries = rows.judged[:MATCHED_ROWS]
    count = ids.shape[1]
    # behind[b, i, j]: the token before j is the same as i, and j stands no later than i.
    same = ids[:, :, None] == ids[:, None, :]
    behind = np.zeros_like(same)
    behind[:, :, 1:] = same[:, :, :-1]
    behind &= np.tri(count, dtype=np.bool_)
    asked = queries & behind.any(axis=2)  # (B, T − 1)
    with _showing_maps(model):
        maps = attention_maps(model, ids)  # (B, L, H, T − 1, T − 1)
    matched = (maps * behind[:, None, None]).sum(axis=-1, dtype=np.float64)
    found: Floats = (matched * asked[:, None, None]).sum(axis=(0, 3)) / max(1, asked.sum())
    return found


def best_head(scores: Floats) -> tuple[int, int, float]:
    """Layer and head, both from 0, of the highest of `scores` (L, H), and that score."""
    layer, head = np.unravel_index(scores.argmax(), scores.shape)
    return int(layer), int(head), float(scores[layer, head])


def has_heads(model: Any) -> bool:
    """Whether it is made of attention."""
    return getattr(model.config, "num_attention_heads", 0) > 0


@torch.no_grad()
def seen_in(model: Any, ids: Ids) -> tuple[np.ndarray[Any, Any] | None, np.ndarray[Any, Any]]:
    """What a probe text `ids` (T,) leaves in a model, read-only float32.

    Returns
    -------
    maps : (L, H, T, T) or None
        Every attention map; None where nothing attends.
    states : (T, D)
        What the output embedding reads, after the final norm: the model's path through the text.
    """
    model.eval()
    maps = None
    if has_heads(model):
        with _showing_maps(model):
            maps = attention_maps(model, ids[None])[0]
            maps.setflags(write=False)
    base = getattr(model, model.base_model_prefix)
    output = base(input_ids=torch.from_numpy(ids[None]), use_cache=False)
    states = output.last_hidden_state[0].float().numpy()
    states.setflags(write=False)
    return maps, states


@contextmanager
def _showing_maps(model: Any) -> Iterator[None]:
    """Let a model hand out its attention maps, which the quick way of attending never makes."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
