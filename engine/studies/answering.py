"""What a model answers to many prompts that begin alike.

Shape letters: B prompts run together, n tokens of an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch

from engine.studies.prompts import Ask, Ids
from engine.studies.runs import Branch, Runs


@dataclass(slots=True)
class Told:
    """What a model says to an `Ask`: log p of each answer in nats, and what it writes itself."""

    logprobs: dict[int, float] = field(default_factory=dict)
    written: list[int] = field(default_factory=list)
    alone: int = 0  # tokens it would have taken to run the prompt by itself


@dataclass(frozen=True, slots=True)
class Writing:
    """How a model writes: until `ended` says so of its tokens, one of `ends` comes, or `most`."""

    most: int
    ends: frozenset[int]
    ended: Callable[[Sequence[int]], bool]


def answer_steps(
    runs: Runs, asks: Sequence[Ask], writing: Writing | None
) -> Generator[int, None, list[Told]]:
    """Score the answers of every ask and, with `writing`, let the model write its own.

    What all prompts begin with is run once; what is left of them in batches of equal length; the
    answers over the cache of their prompt. Yields how many tokens were run so far.
    """
    told = [Told() for _ in asks]
    contexts: dict[Ids, list[int]] = {}
    for at, one in enumerate(asks):
        contexts.setdefault(one.context, []).append(at)
        if writing is not None:
            contexts.setdefault(one.ids, [])
    # One token of each prompt has to be run for there to be something that says what comes next.
    shared = common_beginning(list(contexts))
    yield from runs.begin(shared)
    rest = sorted((context[len(shared) :] for context in contexts), key=lambda ids: (len(ids), ids))
    for length, group in groupby(rest, key=len):
        rows = list(group)
        while rows:
            part = rows[: runs.rows(length)]
            rows = rows[len(part) :]
            branch = runs.follow(part)
            yield runs.tokens
            yield from _score(runs, asks, told, branch, contexts)
            if writing is not None:
                yield from _write(runs, asks, told, branch, writing)
    return told


def common_beginning(rows: Sequence[Ids]) -> Ids:
    """What all rows begin with, less than any of them."""
    low, high = min(rows), max(rows)
    alike = next((at for at, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low[: min(alike, *(len(row) - 1 for row in rows))]


def _score(
    runs: Runs,
    asks: Sequence[Ask],
    told: list[Told],
    branch: Branch,
    contexts: dict[Ids, list[int]],
) -> Generator[int, None, None]:
    # (row of the branch, ask, answer), shortest answers first.
    wanted = [
        (row, at, which)
        for row, ids in enumerate(branch.ids)
        for at in contexts[ids]
        for which in range(len(asks[at].answers))
    ]
    if not wanted:
        return
    last = branch.final[:, -1]  # (B, D)
    firsts = [asks[at].answers[which][0] for _, at, which in wanted]
    found = runs.logprobs(last[[row for row, _, _ in wanted]], firsts).tolist()
    for (_, at, which), logprob in zip(wanted, found, strict=True):
        told[at].logprobs[which] = logprob
    for at in {at for _, at, _ in wanted}:
        tails = sum(len(answer) - 1 for answer in asks[at].answers)
        told[at].alone += len(asks[at].context) + tails
    wanted = [one for one in wanted if len(asks[one[1]].answers[one[2]]) > 1]
    wanted.sort(key=lambda one: len(asks[one[1]].answers[one[2]]))
    for length, group in groupby(wanted, key=lambda one: len(asks[one[1]].answers[one[2]])):
        left = list(group)
        while left:
            part = left[: runs.rows(length - 1)]
            left = left[len(part) :]
            answers = [asks[at].answers[which] for _, at, which in part]
            more = runs.further(branch, [row for row, _, _ in part], [a[:-1] for a in answers])
            later = [token for answer in answers for token in answer[1:]]
            scores = runs.logprobs(more.final.flatten(0, 1), later).view(len(part), -1).sum(dim=1)
            for (_, at, which), logprob in zip(part, scores.tolist(), strict=True):
                told[at].logprobs[which] += logprob
            yield runs.tokens


def _write(
    runs: Runs, asks: Sequence[Ask], told: list[Told], branch: Branch, writing: Writing
) -> Generator[int, None, None]:
    places = {ids: row for row, ids in enumerate(branch.ids)}
    active = [(places[one.ids], at) for at, one in enumerate(asks) if one.ids in places]
    while active:
        with torch.inference_mode():
            states = branch.final[[row for row, _ in active], -1]
            chosen = runs.reader.logits(states).argmax(dim=-1).tolist()
        on = []
        for (row, at), token in zip(active, chosen, strict=True):
            if token in writing.ends:
                continue
            written = told[at].written
            written.append(token)
            if len(written) < writing.most and not writing.ended(written):
                on.append((row, at))
        if not on:
            return
        rows = [[told[at].written[-1]] for _, at in on]
        branch = runs.further(branch, [row for row, _ in on], rows)
        for _, at in on:
            told[at].alone += 1
        active = [(row, at) for row, (_, at) in enumerate(on)]
        yield runs.tokens
