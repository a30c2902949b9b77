"""What the studies have to say: frozen values, no torch.

Shape letters: K numbers of examples, S seeds, Q queries, N texts, T tokens, L layers, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from engine.types import Floats, Progress

Off = Literal["none", "top", "random"]
"""Which heads are switched off: none, those that score highest, or as many others by chance."""


def shown(values: ArrayLike) -> Floats:
    """Numbers in float32 that nobody can change any more."""
    made = np.array(values, np.float32)
    made.setflags(write=False)
    return made


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % bootstrap interval, `low` to `high`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Record:
    """One query of a k-shot study and what the model made of it.

    Attributes
    ----------
    k, seed : int
        How many examples stood before it, and which draw of examples and queries it belongs to.
    shuffled : bool
        Whether the examples had answers drawn by chance.
    query : int
        Its place among the examples of the task.
    prompt, gold : str
        The text up to where the answer begins, and the right answer.
    predicted : str
        The label chosen, or the text generated up to where an answer ends.
    right : bool
        Whether `predicted` is `gold`, or another answer that is as right.
    gold_logprob : float
        log p(gold | prompt) in nats, all of its tokens together.
    logprobs : tuple of (str, float)
        The same of each label; of a generated answer only of the right one.
    """

    k: int
    seed: int
    shuffled: bool
    query: int
    prompt: str
    gold: str
    predicted: str
    right: bool
    gold_logprob: float
    logprobs: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Point:
    """What the queries after `k` examples come to.

    `macro_f1` is None where answers are generated, which are no classes. What is `shuffled` is the
    control: the same queries after examples whose answers were drawn by chance; `gap` is the
    accuracy less the control's, query by query. Both are None where there was no control.
    """

    k: int
    queries: int
    seeds: int
    accuracy: Interval
    gold_logprob: Interval
    macro_f1: Interval | None = None
    shuffled_accuracy: Interval | None = None
    shuffled_gold_logprob: Interval | None = None
    shuffled_macro_f1: Interval | None = None
    gap: Interval | None = None


@dataclass(frozen=True, slots=True)
class KShot:
    """A k-shot study.

    `chance` is one over the number of labels, None where answers are generated. `tokens` is how
    many went through the model, `alone` how many would have, had each prompt been run by itself,
    once, with its answers over its own cache.
    """

    model: str
    title: str
    task: str
    task_title: str
    scoring: str
    instruction: bool
    chance: float | None
    points: tuple[Point, ...]
    records: tuple[Record, ...] = field(repr=False)
    tokens: int = 0
    alone: int = 0


@dataclass(frozen=True, slots=True)
class Measured(Progress):
    """A part of a k-shot study is done: the curve so far, and the queries that are new in it."""

    points: tuple[Point, ...] = ()
    records: tuple[Record, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """Loss by position.

    `losses` (N, T) are those of the tokens of N texts, in nats: −log p(token | what stands before
    it), NaN where nothing did. `curve`, `low` and `high` (T,) are their mean and its interval.
    `score` is the loss at position `late` less that at `early`, each the mean over the `around`
    positions on either side as well; negative means that the context helped. `names` (N,) say what
    the texts are from.
    """

    model: str
    title: str
    early: int
    late: int
    around: int
    losses: Floats = field(repr=False)
    curve: Floats = field(repr=False)
    low: Floats = field(repr=False)
    high: Floats = field(repr=False)
    score: Interval
    names: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a model does with some heads switched off.

    `loss` in nats and `accuracy` are those of the second half of random tokens repeated twice;
    `icl_score` is that of `Positions`, None where no text was long enough; `induction` and
    `prefix_matching` are the highest scores of the heads that are left on.
    """

    off: Off
    heads: tuple[tuple[int, int], ...]
    loss: Interval
    accuracy: Interval
    icl_score: Interval | None
    induction: float
    prefix_matching: float


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """Scores of all heads, and what switching the highest off does.

    `induction` and `prefix_matching` (L, H), 0 to 1; NaN in layers that do not attend. `refused`
    says why no head could be switched off, where none could.
    """

    model: str
    title: str
    induction: Floats = field(repr=False)
    prefix_matching: Floats = field(repr=False)
    ablation: str
    effects: tuple[Effect, ...]
    refused: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Scored(Progress):
    """Some of the random texts are read: the scores of all heads (L, H) so far."""

    induction: Floats | None = None
    prefix_matching: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Placed(Progress):
    """One more text is read: the loss by position so far, (T,)."""

    curve: Floats | None = None
