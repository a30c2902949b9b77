"""From a task to what a k-shot study asks: who is shown, who is asked, and in which tokens.

The examples of a task are put in an order drawn with the seed. The last Q are asked, the first k
are shown: so the same are asked whatever k is, and none that is shown.

The control takes the same examples with answers drawn by chance (Min et al. 2022, 2202.12837): one
of the labels, the right one included; of a task without labels the answer of another example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.errors import UserError
from engine.models.loader import Loaded
from engine.tasks.taskfile import Example, Task

MOST_QUERIES = 64
"""Most examples that are asked for each seed unless told otherwise."""

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """What one seed draws: examples to show, the same with answers by chance, and who is asked."""

    shown: tuple[Example, ...]
    by_chance: tuple[Example, ...]
    asked: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt in tokens, and the answers that could follow, each with the prompt it follows.

    That prompt is `context`, the tokens of the prompt as far as no answer changes them: mostly all.
    """

    prompt: str
    ids: Ids
    context: Ids
    answers: tuple[Ids, ...]


def queries_of(task: Task, wanted: int | None) -> int:
    """How many examples are asked: as many as wanted, or half of them, at most `MOST_QUERIES`.

    Raises
    ------
    UserError
        If the task has too few.
    """
    there = len(task.examples)
    count = min(MOST_QUERIES, max(1, there // 2)) if wanted is None else wanted
    if not 1 <= count <= there:
        why = f"it has {there} examples"
        raise UserError(f"Cannot ask {count} queries of {task.title}", why, "Ask fewer, at least 1")
    return count


def draw(task: Task, queries: int, seed: int) -> Draw:
    """Who is shown and who is asked."""
    order = np.random.default_rng(seed).permutation(len(task.examples)).tolist()
    shown, asked = order[: len(order) - queries], order[len(order) - queries :]
    chance = np.random.default_rng((seed, 1))
    wrong = []
    for index in shown:
        if task.labels:
            output = task.labels[int(chance.integers(len(task.labels)))]
        else:
            other = int(chance.integers(len(task.examples) - 1))
            output = task.examples[other + (other >= index)].output
        wrong.append(replace(task.examples[index], output=output))
    return Draw(tuple(task.examples[index] for index in shown), tuple(wrong), tuple(asked))


def ids_of(loaded: Loaded, text: str) -> Ids:
    """The tokens of a text that goes on: a token that a tokenizer puts at the end is left out."""
    tokens = loaded.reader_of_text.read(text)
    end = len(tokens)
    while end > 1 and tokens[end - 1].special and tokens[end - 1].start >= tokens[end - 1].end:
        end -= 1
    return tuple(token.id for token in tokens[:end])


def ask(
    task: Task, tokenize: Callable[[str], Ids], shown: Sequence[Example], query: Example, **how: Any
) -> Ask:
    """Put a query after the examples `shown`."""
    prompt = task.prompt(shown, query, **how)
    ids = tokenize(prompt)
    outputs = task.labels or (query.output,)
    whole = [tokenize(prompt + task.answer(output)) for output in outputs]
    # Together with an answer the prompt's last characters may be cut otherwise than alone.
    start = min(_common(ids, one) for one in whole)
    for output, one in zip(outputs, whole, strict=True):
        if not 0 < start < len(one):
            why = f"this model's tokenizer has no token for “{output}” behind its prompt"
            raise UserError(f"Cannot score {task.title}", why, "Choose another task or model")
    return Ask(prompt, ids, ids[:start], tuple(one[start:] for one in whole))


def _common(one: Ids, other: Ids) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
