"""Which heads look back, and what becomes of a model without them, as a job.

Induction score (TransformerLens's convention): random tokens repeated twice with period N, nothing
before them; the mean of A[i, i − N + 1] over i ≥ N. Prefix-matching score (Olsson et al. 2022,
2209.11895): the first token of texts, then 25 random tokens four times; what a token of the second
to fourth time attends to all that followed earlier copies of it, summed over those and averaged
over tokens. Both are 1 for a head that does nothing else.

The heads that score highest are then switched off, and as many others drawn by chance beside them.

Shape letters: R sequences, T tokens, N period, L layers, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import UserError
from engine.lab.measures import induction_scores
from engine.latent.corpus_texts import Text
from engine.latent.running import Unrunnable
from engine.models.loader import Loaded
from engine.studies import bootstrap
from engine.studies.kept import Kept, digest
from engine.studies.position import score
from engine.studies.runs import Runs
from engine.studies.switching import Averages, Head, Projections, heads_by
from engine.studies.values import Effect, Heads, Interval, Off, Scored, shown
from engine.studies.windows import Looking, Window, windows
from engine.types import Progress

VERSION = 1
_WHAT = "Cannot score the heads"

BLOCK, TIMES = 25, 4
"""Tokens of the block of the prefix-matching score, and how often it comes."""

MEANT = 4
"""Texts over which the mean output of a head is taken."""

Floats64 = NDArray[np.float64]
Ablation = Literal["zero", "mean"]
Under = Callable[[], AbstractContextManager[Any]]
Means = list[list[float] | None]

_SCORES = ("induction", "prefix_matching")


@dataclass(frozen=True, slots=True)
class Order:
    """What to measure.

    `texts` are for the in-context learning score of `looking`; without any it is left out.
    `sequences` of random tokens are read, with a `period` for the induction score; `top` heads are
    switched off, at most half of all, none if 0; `ablation` says what becomes of their output.
    """

    texts: tuple[Text, ...] = ()
    looking: Looking = field(default_factory=lambda: Looking(texts=8))
    sequences: int = 8
    period: int = 50
    top: int = 5
    ablation: Ablation = "zero"
    seed: int = 0
    patience: float = 0.03
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What one pair of random sequences said; scores (L, H), None in layers that do not attend."""

    induction: list[list[float] | None]
    prefix_matching: list[list[float] | None]
    loss: float
    accuracy: float


def heads_job(loaded: Loaded, order: Order) -> Generator[Progress, None, Heads]:
    """Score all heads, and switch the highest off; what was measured is kept and not redone.

    Raises
    ------
    UserError
        If the model does not write text, its attention cannot be seen, it reads too few tokens, or
        the texts are too short.
    """
    info = loaded.info
    runs = Runs(loaded, _WHAT, order.patience)
    if not loaded.reader.has_attention:
        why = f"{info.title} has no attention that can be seen"
        raise UserError(_WHAT, why, "Open another model")
    if order.sequences < 1 or order.period < 2 or order.top < 0:
        why = "it takes a sequence at least, of a period of two tokens or more"
        raise UserError(_WHAT, why, "Give larger numbers")
    longest = max(2 * order.period, 1 + BLOCK * TIMES)
    if longest > info.max_tokens:
        why = f"it takes {longest} tokens, and {info.title} reads {info.max_tokens}"
        raise UserError(_WHAT, why, "Give a shorter period, or open another model")
    yield Progress("Cutting the texts into tokens", 0.0)
    cut = windows(loaded, order.texts, order.looking, _WHAT) if order.texts else ()
    depends = [VERSION, order.period, order.seed]
    study = _Study(loaded, order, runs, cut, Kept("heads", info, depends, order.fresh))
    return (yield from study.steps())


class _Study:
    """One study, as it goes on. `_under` says with which heads switched off."""

    def __init__(
        self, loaded: Loaded, order: Order, runs: Runs, cut: Sequence[Window], kept: Kept
    ) -> None:
        self.loaded, self.order, self.runs, self.cut, self.kept = loaded, order, runs, cut, kept
        rng = np.random.default_rng(order.seed)
        known, begin = ordinary_tokens(loaded), first_tokens(loaded)
        self.random: list[tuple[list[int], list[int]]] = []
        for _ in range(order.sequences):
            twice = rng.choice(known, order.period).tolist() * 2
            self.random.append((twice, begin + rng.choice(known, BLOCK).tolist() * TIMES))
        self.begins = len(begin)
        self.done, self.total = 0, 1

    def steps(self) -> Generator[Progress, None, Heads]:
        info, order = self.loaded.info, self.order
        refused, projections = "", None
        if order.top:
            try:
                projections = Projections(self.runs.reader, info.title)
            except Unrunnable as reason:
                refused = f"No head was switched off: {reason}."
        self.total = (1 if projections is None else 3) * (len(self.random) + len(self.cut))
        parts = yield from self._random((), nullcontext)
        induction, matching = (_mean_scores(parts, name) for name in _SCORES)
        effects: list[Effect] = []
        if projections is not None:
            scores = {
                (layer, head): float(value)
                for (layer, head), value in np.ndenumerate(induction)
                if np.isfinite(value) and projections.layers[layer] is not None
            }
            count = min(order.top, len(scores) // 2)
            top = heads_by(scores, count)
            rest = sorted(set(scores) - set(top))
            drawn = np.random.default_rng((order.seed, 1)).permutation(len(rest))[:count]
            chance = tuple(sorted(rest[at] for at in drawn.tolist()))
            of_random, of_texts = yield from self._means(projections)
            conditions: tuple[tuple[Off, tuple[Head, ...]], ...]
            conditions = (("none", ()), ("top", top), ("random", chance))
            for off, heads in conditions:
                if heads:
                    under = partial(projections.off, heads, of_random)
                    parts = yield from self._random(heads, under)
                losses = yield from self._texts(heads, partial(projections.off, heads, of_texts))
                effects.append(self._effect(off, heads, parts, losses))
        self.runs.forget()
        self.kept.trim()
        return Heads(
            model=info.name,
            title=info.title,
            induction=shown(induction),
            prefix_matching=shown(matching),
            ablation=order.ablation,
            effects=tuple(effects),
            refused=refused,
        )

    def _random(self, heads: Sequence[Head], under: Under) -> Generator[Progress, None, list[Part]]:
        """Read the random sequences."""
        parts: list[Part] = []
        for place, pair in enumerate(self.random):
            name = f"random-{digest([pair, self._off(heads)])}"
            part = self.kept.load(name, Part)
            if part is None:
                with torch.inference_mode(), under():
                    part = self._part(*pair)
                self.kept.save(name, part)
            parts.append(part)
            self.done += 1
            text = f"{_named(heads)}: random tokens, {place + 1} of {len(self.random)}"
            if heads:
                yield Progress(text, self._share())
            else:
                so_far = (shown(_mean_scores(parts, one)) for one in _SCORES)
                yield Scored(text, self._share(), "", *so_far)
        return parts

    def _texts(
        self, heads: Sequence[Head], under: Under
    ) -> Generator[Progress, None, list[list[float]]]:
        """Read the texts: the loss of each of their tokens but the first."""
        rows: list[list[float]] = []
        for place, window in enumerate(self.cut):
            name = f"text-{digest([window.ids, self._off(heads)])}"
            row = self.kept.load(name, list[float])
            text = f"{_named(heads)}: text {place + 1} of {len(self.cut)}"
            if row is None or len(row) != len(window.ids) - 1:
                row = yield from self._lost(window, under, text)
                self.kept.save(name, row)
            rows.append(row)
            self.done += 1
            yield Progress(text, self._share())
        return rows

    def _lost(
        self, window: Window, under: Under, text: str
    ) -> Generator[Progress, None, list[float]]:
        steps = self.runs.losses(window.ids)
        while True:
            # Between two steps the model may be asked what the user types, with all of its heads.
            with under():
                try:
                    next(steps)
                except StopIteration as stop:
                    found: list[float] = stop.value
                    return found
            yield Progress(text, self._share())

    def _means(
        self, projections: Projections
    ) -> Generator[Progress, None, tuple[Means | None, Means | None]]:
        """What heads hand on to the output on average: over random tokens, and over texts."""
        if self.order.ablation == "zero":
            return None, None
        found: list[Means | None] = []
        texts = [list(window.ids) for window in self.cut[:MEANT]]
        for rows in ([twice for twice, _ in self.random], texts):
            name = f"means-{digest(rows)}"
            means = self.kept.load(name, list[list[float] | None])
            if means is None and rows:
                noted = Averages(len(projections.layers))
                for row in rows:
                    with torch.inference_mode(), projections.noting(noted):
                        self.runs.reader.read(None, row, [], lambda: False)
                    yield Progress("Averaging what heads hand on", self._share())
                means = noted.means()
                self.kept.save(name, means)
            found.append(means)
        return found[0], found[1]

    def _part(self, twice: list[int], block: list[int]) -> Part:
        """Scores over one pair of sequences, and how well the second half is told."""
        reader, period = self.runs.reader, self.order.period
        trace, _ = reader.read(None, twice, [], lambda: False)
        induction = [
            induction_scores(layer.weights().cpu().numpy(), period).tolist()
            if layer.heads
            else None
            for layer in trace.attention["decoder"]
        ]
        # Nothing says that the repetition begins with its first token.
        scores = self.runs.scores(trace.final.rows()[period:-1])  # (N - 1, V)
        wanted = torch.tensor(twice[period + 1 :], device=scores.device)
        loss = -scores.gather(1, wanted[:, None]).mean()
        accuracy = (scores.argmax(dim=-1) == wanted).float().mean()
        trace, _ = reader.read(None, block, [], lambda: False)
        matching = [
            prefix_matching_scores(layer.weights().cpu().numpy(), BLOCK, self.begins).tolist()
            if layer.heads
            else None
            for layer in trace.attention["decoder"]
        ]
        return Part(induction, matching, float(loss), float(accuracy))

    def _effect(
        self,
        off: Off,
        heads: tuple[Head, ...],
        parts: Sequence[Part],
        losses: Sequence[Sequence[float]],
    ) -> Effect:
        drawn = bootstrap.resamples(1, len(parts))
        learned: Interval | None = None
        if losses:
            rows = np.array(losses)
            learned = score(rows, self.order.looking, bootstrap.resamples(1, len(rows)))
        highest = []
        for name in _SCORES:
            left = _mean_scores(parts, name)
            for layer, head in heads:
                left[layer, head] = np.nan
            highest.append(float(np.nanmax(left)))
        return Effect(
            off,
            heads,
            bootstrap.mean([part.loss for part in parts], drawn),
            bootstrap.mean([part.accuracy for part in parts], drawn),
            learned,
            *highest,
        )

    def _off(self, heads: Sequence[Head]) -> object:
        """What of a part depends on the heads that are off."""
        if not heads:
            return None
        if self.order.ablation == "zero":
            return [sorted(heads), "zero"]
        over = [twice for twice, _ in self.random], [window.ids for window in self.cut[:MEANT]]
        return [sorted(heads), "mean", digest(over)]

    def _share(self) -> float:
        return self.done / self.total


def prefix_matching_scores(maps: NDArray[np.floating], block: int, begins: int) -> Floats64:
    """How much heads look at all that followed earlier copies of a token; see the file's head.

    Parameters
    ----------
    maps : (..., T, T) array
        Attention over `begins` tokens and then random ones repeated with the period `block`.

    Returns
    -------
    (...) float64
        0 to 1.
    """
    count = maps.shape[-1]
    rows = np.arange(begins + block, count)
    behind = rows[:, None] - np.arange(count)[None, :]  # (rows, T): how far back a key lies
    # Keys that follow a copy lie a multiple of the block back, less one; the first key of all
    # repetitions follows no copy.
    follows = (behind > 0) & ((behind + 1) % block == 0) & (np.arange(count) > begins)
    scores: Floats64 = (maps[..., rows, :] * follows).sum(axis=-1, dtype=np.float64).mean(axis=-1)
    return scores


def ordinary_tokens(loaded: Loaded) -> NDArray[np.int64]:
    """The ids of a vocabulary that stand for text."""
    tokenizer = getattr(loaded.reader_of_text, "tokenizer", None)
    special = frozenset(getattr(loaded.reader_of_text, "special_ids", ()))
    named = loaded.info.vocabulary if tokenizer is None else len(tokenizer)
    count = min(loaded.info.vocabulary, named)
    return np.array([id_ for id_ in range(count) if id_ not in special], dtype=np.int64)


def first_tokens(loaded: Loaded) -> list[int]:
    """What stands before every text; where nothing does, the token that models know as a start."""
    tokens = loaded.reader_of_text.read("a")
    lead = next((at for at, token in enumerate(tokens) if not token.special), 0)
    if lead:
        return [token.id for token in tokens[:lead]]
    tokenizer = getattr(loaded.reader_of_text, "tokenizer", None)
    for name in ("bos_token_id", "eos_token_id"):
        found = getattr(tokenizer, name, None)
        if isinstance(found, int) and found < loaded.info.vocabulary:
            return [found]
    return []


def _mean_scores(parts: Sequence[Part], name: str) -> Floats64:
    """Scores (L, H), NaN in layers that do not attend."""
    each = []
    for part in parts:
        layers = getattr(part, name)
        heads = max((len(layer) for layer in layers if layer is not None), default=0)
        each.append([[np.nan] * heads if layer is None else layer for layer in layers])
    found: Floats64 = np.array(each, dtype=np.float64).mean(axis=0)
    return found


def _named(heads: Sequence[Head]) -> str:
    return f"Without {len(heads)} heads" if heads else "With all heads"
