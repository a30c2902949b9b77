"""From a task to a prompt, with where its parts stand; plain functions, no Qt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from engine.tasks.answers import AnswersQuery, AnswersResult
from engine.tasks.taskfile import Example, Task
from engine.types import Floats
from gui.widgets.spans import Spans, shortened

MOST_ANSWERS = 8
"""Answers that are held against each other where a task has no labels of its own."""

NAME = 30
"""Characters of an example that it is named by."""

PartKind = Literal["instruction", "example", "query"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a prompt: what it is, its name, and its characters, half open."""

    kind: PartKind
    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What a prompt is made of.

    `query` counts among the task's examples. With `seed` 0 the examples are the first `k` of the
    file, which are mixed; any other draws them. With `shuffled` each example has the answer of
    another one, which tells what the answers' form alone brings.
    """

    k: int = 4
    seed: int = 0
    query: int = 0
    instruction: bool = True
    shuffled: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as it was written.

    `answers` are what the query's answer is held against, each with the space before it, and
    `right` says which of them is right, −1 where none is given.
    """

    text: str
    parts: tuple[Part, ...]
    answers: tuple[str, ...]
    right: int

    @property
    def asked(self) -> AnswersQuery:
        """What is asked of the model."""
        return AnswersQuery(self.answers, tuple((part.start, part.end) for part in self.parts))

    def moved(self, text: str) -> Prompt:
        """The same prompt after its text was edited to `text`, its parts where they stand now."""
        if text == self.text:
            return self
        starts = np.array([part.start for part in self.parts], np.int64)
        ends = np.array([part.end for part in self.parts], np.int64)
        spans = Spans(starts, ends).moved(self.text, text)
        # What is typed at the end belongs to the query.
        spans.ends[-1] = len(text) if self.parts[-1].end == len(self.text) else spans.ends[-1]
        parts = tuple(
            replace(part, start=start, end=end)
            for part, start, end in zip(
                self.parts, spans.starts.tolist(), spans.ends.tolist(), strict=True
            )
        )
        return replace(self, text=text, parts=parts)


def most_examples(task: Task, query: int) -> int:
    """How many examples can be shown beside the query."""
    return len(_shown(task, query))


def _shown(task: Task, query: int) -> list[Example]:
    """What may be an example: all that has an answer, but for the query itself."""
    return [one for at, one in enumerate(task.examples) if at != query and one.output]


def write(task: Task, choice: Choice) -> Prompt:
    """Write a prompt of `choice.k` examples, or as many as there are."""
    query = task.examples[choice.query % len(task.examples)]
    examples = _shown(task, choice.query % len(task.examples))
    dice = random.Random(choice.seed)
    if choice.seed:
        examples = dice.sample(examples, len(examples))
    examples = examples[: choice.k]
    if choice.shuffled:
        examples = _shuffled(examples, dice)
    text = task.prompt(examples, query, instruction=choice.instruction)
    return Prompt(text, _parts(task, examples, query, choice), *_answers(task, examples, query))


def _shuffled(examples: list[Example], dice: random.Random) -> list[Example]:
    outputs = [one.output for one in examples]
    dice.shuffle(outputs)
    return [replace(one, output=output) for one, output in zip(examples, outputs, strict=True)]


def _parts(
    task: Task, examples: Sequence[Example], query: Example, choice: Choice
) -> tuple[Part, ...]:
    parts, at = [], 0
    if choice.instruction and task.instruction:
        end = len(task.instruction + task.separator)
        parts.append(Part("instruction", "instruction", 0, end))
        at = end
    for number, example in enumerate(examples, 1):
        end = at + len(task.shown(example) + task.separator)
        parts.append(Part("example", f"{number}: {_named(example)} → {example.output}", at, end))
        at = end
    whole = len(task.prompt(examples, query, instruction=choice.instruction))
    parts.append(Part("query", f"query: {_named(query)}", at, whole))
    return tuple(parts)


def _named(example: Example) -> str:
    """What an example is about, short enough to leave room for its answer."""
    return shortened(" ".join(" ".join(value for _, value in example.fields).split()), NAME)


def _answers(
    task: Task, examples: Sequence[Example], query: Example
) -> tuple[tuple[str, ...], int]:
    """The labels; or the right answer, and those of the examples that are shown."""
    if task.scoring == "labels":
        outputs = task.labels
    elif task.scoring == "exact":
        told = dict.fromkeys([query.output, *(one.output for one in examples)])
        outputs = tuple(told)[:MOST_ANSWERS]
    else:
        return (), -1
    right = outputs.index(query.output) if query.output in outputs else -1
    return tuple(task.answer(output) for output in outputs), right


# --- what came of it ------------------------------------------------------------------------------


def verdict(found: AnswersResult, prompt: Prompt) -> str:
    """One sentence: what the model would answer of these, and whether that is right."""
    known = np.flatnonzero(np.isfinite(found.probabilities))
    if not len(known):
        return "None of the answers has a token of its own here." if prompt.answers else ""
    best = int(known[np.argmax(found.probabilities[known])])
    said = f"“{prompt.answers[best].strip()}” is the likeliest of these answers"
    if prompt.right >= 0:
        said += ", and right" if best == prompt.right else ", and wrong"
    rank = int(found.ranks[best])
    if rank > 0:
        said += f"; {rank:,} other token{'s are' if rank > 1 else ' is'} likelier"
    shared = _sharing(found)
    if shared:
        names = " and ".join(f"“{prompt.answers[index].strip()}”" for index in shared[:2])
        most = max(int(found.counted[index]) for index in shared)
        said += f". {names} begin with the same token here, so p is that of "
        said += f"up to {most} tokens" if most > 1 else "what they share"
    return said + "."


def _sharing(found: AnswersResult) -> list[int]:
    """The first two answers whose first token is the same."""
    seen: dict[int, int] = {}
    for index, id_ in enumerate(found.ids.tolist()):
        if id_ >= 0 and id_ in seen:
            return [seen[id_], index]
        seen.setdefault(id_, index)
    return []


def mass(found: AnswersResult, place: tuple[int, int | None] | None) -> Floats | None:
    """What each part (R,) gets: of head `place` (block, head), of a layer's mean, or of all."""
    if found.mass is None:
        return None
    if place is None:
        kept = found.mass.reshape(-1, found.mass.shape[-1])
        rows: Floats = kept.mean(axis=0)
        return rows
    layer, head = place
    if layer >= len(found.mass):
        return None
    of_layer = found.mass[layer]
    chosen: Floats = of_layer.mean(axis=0) if head is None else of_layer[head]
    return chosen
