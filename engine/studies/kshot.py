"""The k-shot study: how well a model does a task after k examples of it, as a job.

``kshot_job(loaded, Order(task, ...))`` is a generator of progress, to be driven like any job. Its
steps are short; closing it cancels, and what was measured stays on disk: the same order later goes
on from there. After each draw of examples it yields `Measured`, with the curve so far and the
queries that are new in it. Its value is the `KShot`.

A k-shot curve is accuracy and log p of the right answer against the number of examples (Brown et
al. 2020, 2005.14165), over several draws of examples and queries, with 95 % bootstrap intervals
and the control whose examples have answers drawn by chance (Min et al. 2022, 2202.12837).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from engine.errors import UserError
from engine.latent.continuation import end_tokens
from engine.models.loader import Loaded
from engine.studies import bootstrap
from engine.studies.answering import Told, Writing, answer_steps
from engine.studies.kept import Kept
from engine.studies.prompts import Ask, Draw, Ids, ask, draw, ids_of, queries_of
from engine.studies.runs import Runs
from engine.studies.values import Interval, KShot, Measured, Point, Record
from engine.tasks.taskfile import Example, Task, check_labels
from engine.types import Progress

VERSION = 1
"""Of how prompts are made and answers scored: what was kept by another is measured again."""

SPARE = 4
"""Tokens a generated answer may be longer than the longest right one: then it is none."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a task is studied.

    `shots` are the numbers of examples; `seeds` how many draws of examples and queries; `queries`
    how many examples are asked in each, half of the task's if None, at most 64; `instruction`
    whether the task's instruction comes first; `shuffled` whether there is a control.
    """

    shots: tuple[int, ...] = (0, 1, 2, 4, 8)
    seeds: int = 3
    queries: int | None = None
    instruction: bool = True
    shuffled: bool = True


@dataclass(frozen=True, slots=True)
class Order:
    """What to study: `patience` is about how many seconds a step takes; `fresh` forgets results."""

    task: Task
    settings: Settings = field(default_factory=Settings)
    patience: float = 0.03
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """All queries of one seed after k examples, and how many tokens that took; see `KShot`."""

    records: tuple[Record, ...]
    tokens: int
    alone: int


def kshot_job(loaded: Loaded, order: Order) -> Generator[Progress, None, KShot]:
    """Measure a k-shot curve; see the head of this file.

    Raises
    ------
    UserError
        If the model does not write text, the task is not scored, its labels begin alike in this
        model, it has too few examples, or a prompt would not fit the context or memory.
    """
    task, settings = order.task, order.settings
    what = f"Cannot study {task.title}"
    runs = Runs(loaded, what, order.patience)
    queries = _checked(task, settings, what)
    yield Progress(f"Cutting {task.title} into tokens", 0.0)
    if task.scoring == "labels":
        check_labels(task, lambda text: ids_of(loaded, text))
    draws = [draw(task, queries, seed) for seed in range(settings.seeds)]
    writing = _writing(loaded, task)
    yield from _fits(loaded, runs, order, draws, writing)
    kept = Kept("kshot", loaded.info, _depends(task, settings, queries), order.fresh)
    cells: dict[tuple[int, int, bool], Cell] = {}
    plan = [
        (seed, k, by_chance)
        for seed in range(settings.seeds)
        for by_chance in ((False, True) if settings.shuffled else (False,))
        for k in sorted(set(settings.shots))
        if k or not by_chance  # without examples there is nothing to shuffle
    ]
    for done, (seed, k, by_chance) in enumerate(plan):
        name = f"{seed}-{k}-{'shuffled' if by_chance else 'true'}"
        cell = kept.load(name, Cell)
        if cell is None:
            text = f"{task.title}: {k} examples, draw {seed + 1} of {settings.seeds}"
            drawn = draws[seed]
            steps = _cell_steps(loaded, runs, order, drawn, seed, k, by_chance, writing)
            cell = yield from _told(steps, text, done, len(plan), queries)
            kept.save(name, cell)
        cells[seed, k, by_chance] = cell
        yield Measured(
            f"{task.title}: {done + 1} of {len(plan)} parts",
            (done + 1) / len(plan),
            points=_points(task, cells),
            records=cell.records,
        )
    runs.forget()
    kept.trim()
    return KShot(
        model=loaded.info.name,
        title=loaded.info.title,
        task=task.key,
        task_title=task.title,
        scoring=task.scoring,
        instruction=settings.instruction and bool(task.instruction),
        chance=1 / len(task.labels) if task.labels else None,
        points=_points(task, cells),
        records=tuple(record for cell in cells.values() for record in cell.records),
        tokens=sum(cell.tokens for cell in cells.values()),
        alone=sum(cell.alone for cell in cells.values()),
    )


def fitting_shots(loaded: Loaded, order: Order) -> Generator[Progress, None, tuple[int, ...]]:
    """0, 1, 2, 4 and so on, as far as there are examples and a prompt fits the model's context.

    Where all examples fit, their number ends the row. What `order` says of its `shots` is ignored.

    Raises
    ------
    UserError
        If the task cannot be studied at all.
    """
    task, settings = order.task, replace(order.settings, shots=(0,))
    what = f"Cannot study {task.title}"
    queries = _checked(task, settings, what)
    Runs(loaded, what)  # which says where the model is of a kind that cannot be studied
    there = len(task.examples) - queries
    draws = [draw(task, queries, seed) for seed in range(settings.seeds)]
    writing = _writing(loaded, task)
    doubling = [k for k in (2**power for power in range(24)) if k < there]
    fitting = [0]
    for k in (*doubling, *([there] if there else [])):
        for drawn in draws:
            yield Progress(f"Looking how many examples of {task.title} fit", 0.0)
            if _longest(loaded, order, drawn, k, writing) > loaded.info.max_tokens:
                return tuple(fitting)
        fitting.append(k)
    return tuple(fitting)


def _checked(task: Task, settings: Settings, what: str) -> int:
    """How many queries each draw asks, after checking what can be told without the model."""
    if task.scoring == "none":
        raise UserError(what, "its answers are not scored", "Choose a task that has right answers")
    if settings.seeds < 1 or not settings.shots or min(settings.shots) < 0:
        raise UserError(what, "there is nothing to measure", "Give at least one k and one seed")
    queries, most = queries_of(task, settings.queries), max(settings.shots)
    there = len(task.examples) - queries
    if most > there:
        why = f"{most} examples are to be shown, and {there} are left beside {queries} queries"
        raise UserError(what, why, "Show fewer examples, or ask fewer queries")
    return queries


def _depends(task: Task, settings: Settings, queries: int) -> object:
    """What the parts of a study depend on: not on which others there are."""
    return [VERSION, asdict(task), queries, settings.instruction]


def _writing(loaded: Loaded, task: Task) -> Writing | None:
    """How answers are generated, where they are."""
    if task.scoring != "exact":
        return None
    tokenizer = getattr(loaded.reader_of_text, "tokenizer", None)
    right = [answer for one in task.examples for answer in (one.output, *one.also)]
    longest = max(len(ids_of(loaded, task.answer(answer))) for answer in right)

    def ended(written: Sequence[int]) -> bool:
        assert tokenizer is not None
        # A model may break the line before it answers.
        return task.stop in str(tokenizer.decode(list(written))).lstrip()

    reader = Runs(loaded, f"Cannot study {task.title}").reader
    return Writing(longest + SPARE, end_tokens(reader), ended)


def _fits(
    loaded: Loaded, runs: Runs, order: Order, draws: Sequence[Draw], writing: Writing | None
) -> Generator[Progress, None, None]:
    """Raise `UserError` where the longest prompt with its answer is more than the model reads."""
    task, settings, info = order.task, order.settings, loaded.info
    longest = 0
    for drawn in draws:
        longest = max(longest, _longest(loaded, order, drawn, max(settings.shots), writing))
        yield Progress(f"Cutting {task.title} into tokens", 0.0)
    if longest > info.max_tokens:
        fitting = -1
        for k in range(max(settings.shots) - 1, -1, -1):
            if max(_longest(loaded, order, one, k, writing) for one in draws) <= info.max_tokens:
                fitting = k
                break
        raise UserError(
            f"Cannot show {max(settings.shots)} examples of {task.title}",
            f"with query and answer they take {longest:,} tokens, and {info.title} reads "
            f"{info.max_tokens:,}",
            f"Show at most {fitting}" if fitting >= 0 else "Choose another model",
        )
    runs.require_room(longest, "Show fewer examples")


def _longest(loaded: Loaded, order: Order, drawn: Draw, k: int, writing: Writing | None) -> int:
    """Tokens of the longest prompt of a draw with its answer."""
    asks = _asks(loaded, order, drawn.shown[:k], drawn)
    more = 0 if writing is None else writing.most
    return max(len(one.ids) + max(more, *map(len, one.answers)) for one in asks)


def _asks(loaded: Loaded, order: Order, shown: Sequence[Example], drawn: Draw) -> list[Ask]:
    def tokenize(text: str) -> Ids:
        return ids_of(loaded, text)

    how = {"instruction": order.settings.instruction}
    task = order.task
    return [ask(task, tokenize, shown, task.examples[index], **how) for index in drawn.asked]


def _cell_steps(
    loaded: Loaded,
    runs: Runs,
    order: Order,
    drawn: Draw,
    seed: int,
    k: int,
    by_chance: bool,
    writing: Writing | None,
) -> Generator[int, None, Cell]:
    """Ask all queries of a draw."""
    before = runs.tokens
    asks = _asks(loaded, order, (drawn.by_chance if by_chance else drawn.shown)[:k], drawn)
    told = yield from answer_steps(runs, asks, writing)
    records = [
        _record(loaded, order.task, k, seed, by_chance, index, one, said)
        for index, one, said in zip(drawn.asked, asks, told, strict=True)
    ]
    return Cell(tuple(records), runs.tokens - before, sum(said.alone for said in told))


def _told(
    steps: Generator[int, None, Cell], text: str, done: int, total: int, queries: int
) -> Generator[Progress, None, Cell]:
    """The same steps as progress: within a part it is not known how many there are."""
    begun = time.perf_counter()
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            cell: Cell = stop.value
            return cell
        # Never at its end, and further with each second.
        within = 1 - 1 / (1 + (time.perf_counter() - begun) / max(1.0, queries / 32))
        yield Progress(text, (done + within) / total)


def _record(
    loaded: Loaded,
    task: Task,
    k: int,
    seed: int,
    by_chance: bool,
    index: int,
    asked: Ask,
    told: Told,
) -> Record:
    example = task.examples[index]
    logprobs = tuple(told.logprobs[which] for which in range(len(asked.answers)))
    if task.scoring == "labels":
        # Each token less makes an answer likelier: of labels of several tokens, the mean counts.
        each = [value / len(ids) for value, ids in zip(logprobs, asked.answers, strict=True)]
        predicted = task.labels[int(np.argmax(each))]
        right = predicted == example.output
        gold = logprobs[task.labels.index(example.output)]
        named = tuple(zip(task.labels, logprobs, strict=True))
    else:
        tokenizer = getattr(loaded.reader_of_text, "tokenizer", None)
        assert tokenizer is not None
        said = str(tokenizer.decode(told.written))
        predicted = said.strip().split(task.stop)[0]
        right = task.is_right(example, said)
        gold, named = logprobs[0], ((example.output, logprobs[0]),)
    return Record(
        k, seed, by_chance, index, asked.prompt, example.output, predicted, right, gold, named
    )


def _points(task: Task, cells: dict[tuple[int, int, bool], Cell]) -> tuple[Point, ...]:
    """The curve of what was measured so far."""
    points = []
    for k in sorted({k for _, k, _ in cells}):
        seeds = [seed for seed, at, by_chance in cells if at == k and not by_chance]
        if not seeds:
            continue
        true = [cells[seed, k, False].records for seed in seeds]
        accuracy, gold, f1 = _measured(task, true)
        both = seeds if k == 0 else [seed for seed in seeds if (seed, k, True) in cells]
        controlled = k == 0 and any(by_chance for _, _, by_chance in cells)
        chance: tuple[Interval | None, Interval | None, Interval | None] = None, None, None
        gap = None
        if both and (k or controlled):
            # Without examples the control is the same prompts.
            records = [cells[seed, k, k > 0].records for seed in both]
            chance = _measured(task, records)
            less = _right([cells[seed, k, False].records for seed in both]) - _right(records)
            gap = bootstrap.mean(less, bootstrap.resamples(*less.shape))
        points.append(Point(k, len(true[0]), len(seeds), accuracy, gold, f1, *chance, gap))
    return tuple(points)


def _measured(
    task: Task, records: Sequence[Sequence[Record]]
) -> tuple[Interval, Interval, Interval | None]:
    """Accuracy, log p of the right answer, and macro-F1 where there are labels."""
    drawn = bootstrap.resamples(len(records), len(records[0]))
    gold = [[one.gold_logprob for one in row] for row in records]
    f1 = None
    if task.scoring == "labels":
        classes = {label: place for place, label in enumerate(task.labels)}
        right = [[classes[one.gold] for one in row] for row in records]
        said = [[classes[one.predicted] for one in row] for row in records]
        f1 = bootstrap.macro_f1(right, said, len(classes), drawn)
    return bootstrap.mean(_right(records), drawn), bootstrap.mean(gold, drawn), f1


def _right(records: Sequence[Sequence[Record]]) -> bootstrap.Floats64:
    """1 where the answer was right, else 0: (S, Q)."""
    return np.array([[float(one.right) for one in row] for row in records])
