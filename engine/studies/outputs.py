"""A model's answers, told by metrics that jump and by metrics that do not.

Shape letters: N answers, L tokens of an answer, T tokens of a row, V vocabulary, K labels.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.lab.judging import scores_of
from engine.lab.tasks.spec import Ids, Mask, Rows
from engine.models.loader import Loaded
from engine.studies import bootstrap
from engine.studies.emergence import brier, edit_distance
from engine.studies.heads import first_tokens, ordinary_tokens
from engine.studies.kshot import Order as KShotOrder
from engine.studies.kshot import Settings, kshot_job
from engine.studies.prompts import ids_of
from engine.studies.runs import Runs
from engine.studies.values import Interval, KShot
from engine.tasks.taskfile import Task
from engine.types import Progress

LAST = 8
"""Tokens of an answer, at most: the last that are judged in a row."""

SPAN = 25
"""Tokens that repeat, where a model of any vocabulary is shown random ones."""

_AT_ONCE = 8192  # tokens run together


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """Answers by each metric, (N,) each; see `engine.studies.emergence.Standing`."""

    exact: NDArray[np.float64]
    edits: NDArray[np.float64]
    brier: NDArray[np.float64]
    logprob: NDArray[np.float64]
    length: float


class Told(msgspec.Struct, frozen=True):
    """What outputs come to, with their intervals."""

    answers: int
    length: float
    exact_match: Interval
    edit_distance: Interval
    brier: Interval
    logprob: Interval


def told(outputs: Outputs, groups: int = 1) -> Told:
    """Means and their bootstrap intervals; `groups` of equal size were drawn together."""
    count = len(outputs.exact)
    drawn = bootstrap.resamples(groups, count // groups)
    each = (outputs.exact, outputs.edits, outputs.brier, outputs.logprob)
    return Told(count, outputs.length, *(bootstrap.mean(values, drawn) for values in each))


def places_of(judged: Mask) -> NDArray[np.int64]:
    """The targets (B, L) of each row's answer: its last judged ones, of (B, T − 1)."""
    length = int(min(LAST, judged.sum(axis=1).min()))
    return np.array([np.flatnonzero(row)[-length:] for row in judged], dtype=np.int64)


@torch.no_grad()
def of_rows(model: Any, rows: Rows) -> Outputs:
    """What a model of the laboratory answers in rows of its task.

    Each token is the likeliest after the right ones before it. All of an answer's are right exactly
    where the model would write the whole answer by itself.
    """
    model.eval()
    places = places_of(rows.judged)
    each = max(1, _AT_ONCE // rows.ids.shape[1])
    parts = []
    for start in range(0, len(rows), each):
        part = slice(start, start + each)
        scores = scores_of(model, torch.from_numpy(rows.ids[part]))  # (b, T − 1, V)
        wanted = torch.from_numpy(places[part])[..., None].expand(-1, -1, scores.shape[-1])
        right = np.take_along_axis(rows.ids[part], places[part] + 1, axis=1)  # (b, L)
        parts.append(_of_scores(scores.gather(1, wanted).log_softmax(-1), right))
    return _joined(parts)


def of_repeats(
    loaded: Loaded, runs: Runs, count: int, seed: int = 0
) -> Generator[Progress, None, Outputs]:
    """What any causal model makes of random tokens of its vocabulary, shown twice.

    The answer is the last `LAST` tokens of the second time.
    """
    rng = np.random.default_rng(seed)
    known, begin = ordinary_tokens(loaded), first_tokens(loaded)
    rows = [begin + rng.choice(known, SPAN).tolist() * 2 for _ in range(count)]
    runs.require_room(len(rows[0]), "Choose smaller models")
    runs.forget()
    for _ in runs.begin(()):
        yield Progress("Reading random tokens", 0.0)
    parts: list[Outputs] = []
    done = 0
    while done < count:
        some = rows[done : done + runs.rows(len(rows[0]))]
        branch = runs.follow(some)
        scores = runs.scores(branch.final[:, -LAST - 1 : -1].flatten(0, 1))
        right = np.array([row[-LAST:] for row in some], dtype=np.int64)
        parts.append(_of_scores(scores.view(len(some), LAST, -1).cpu(), right))
        done += len(some)
        yield Progress(f"Random tokens: {done} of {count} rows", done / count)
    runs.forget()
    return _joined(parts)


def of_task(
    loaded: Loaded, task: Task, settings: Settings, patience: float, fresh: bool
) -> Generator[Progress, None, Outputs]:
    """What a model answers to the queries of a task after examples of it: one k, no control."""
    steps = kshot_job(loaded, KShotOrder(task, settings, patience, fresh))
    study = yield from steps
    return _of_records(loaded, task, study)


def _of_records(loaded: Loaded, task: Task, study: KShot) -> Outputs:
    exact, edits, scores, logprobs, lengths = [], [], [], [], []
    for one in study.records:
        right = ids_of(loaded, task.answer(one.gold))
        exact.append(float(one.right))
        # An answer that is as right as the one that stands first is no edit away from it.
        said = ids_of(loaded, task.answer(one.predicted))
        edits.append(0.0 if one.right else float(edit_distance(said, right)))
        scores.append(_brier_of([value for _, value in one.logprobs], one.gold, task.labels))
        logprobs.append(one.gold_logprob / max(1, len(right)))
        lengths.append(len(right))
    return Outputs(
        np.array(exact), np.array(edits), np.array(scores), np.array(logprobs),
        float(np.mean(lengths)),
    )  # fmt: skip


def _brier_of(logprobs: Sequence[float], gold: str, labels: Sequence[str]) -> float:
    """Over the labels; of an answer that is written, over it and everything else."""
    if not labels:
        p = float(np.exp(logprobs[0]))
        return float(brier([p, 1 - p], 0))
    logs = np.array(logprobs)
    p = np.exp(logs - logs.max())
    return float(brier(p / p.sum(), labels.index(gold)))


def _of_scores(logs: Tensor, right: Ids) -> Outputs:
    """Of log-probabilities (B, L, V) and right tokens (B, L)."""
    said = logs.argmax(-1).numpy()
    wanted = torch.from_numpy(right)[..., None]
    gold = logs.gather(-1, wanted)[..., 0].double()  # (B, L)
    squares = (2 * logs.double()).exp().sum(-1)
    scores = (squares - 2 * gold.exp() + 1).mean(-1).numpy()
    pairs = zip(said.tolist(), right.tolist(), strict=True)
    edits = np.array([edit_distance(one, other) for one, other in pairs], np.float64)
    exact = (said == right).all(axis=1).astype(np.float64)
    return Outputs(exact, edits, scores, gold.mean(-1).numpy(), float(right.shape[1]))


def _joined(parts: Sequence[Outputs]) -> Outputs:
    def of(name: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.concatenate([getattr(part, name) for part in parts])
        return found

    return Outputs(of("exact"), of("edits"), of("brier"), of("logprob"), parts[0].length)
