"""How a list of models or revisions stand on a task, as a job: one model at a time in memory.

``emergence_job(Order(models, ...))`` is a generator of progress; its value is an `Emergence`. A
folder of the laboratory is taken with all of its checkpoints and its own task; whatever else can be
opened by name with one of resources/tasks, or with random tokens shown twice. What was measured of
a model is kept, by its weights: the same order later does not even load it.
"""

from __future__ import annotations

import gc
import hashlib
import re
from collections.abc import Generator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.errors import UserError
from engine.lab import models as lab_models
from engine.lab.judging import has_heads, induction, looking_back
from engine.lab.runs import CARD, CHECKPOINTS, Run, read_run
from engine.lab.tasks.spec import Rows, task_specs
from engine.lab.tasks.spec import Task as LabTask
from engine.models.catalogue import resolve
from engine.models.loader import Loaded, load_steps
from engine.models.store import ModelSource, acquire, open_spec
from engine.studies import heads
from engine.studies.emergence import Emergence, Standing, read_table
from engine.studies.kept import Kept
from engine.studies.kshot import Settings
from engine.studies.outputs import Outputs, Told, of_repeats, of_rows, of_task, told
from engine.studies.runs import Runs
from engine.tasks.taskfile import Task, find_task
from engine.types import Progress

VERSION = 1
_WHAT = "Cannot compare these models"
REPEAT = "repeat"
ROWS = 256
"""Rows of a task of the laboratory, and of random tokens, that a model is asked."""

LOOKING_BACK = ("repeat", "recall", "text")
"""Tasks of the laboratory whose heads have an induction score: sums have nothing that repeats."""

_STEP = re.compile(r"(?:step|checkpoint)[-_]?0*(\d+)(?:-.*)?$")


@dataclass(frozen=True, slots=True)
class Order:
    """What to compare.

    Parameters
    ----------
    models : tuple of str
        Names, ids (``owner/name@revision``), folders and files as the window takes them; folders of
        the laboratory; tables (``.jsonl``) that were measured before.
    task : str
        The name or file of a task for models that are not of the laboratory; empty for random
        tokens shown twice.
    settings : Settings
        How such a task is asked: one number of examples.
    rows : int
        How many rows each model is asked otherwise.
    """

    models: tuple[str, ...]
    task: str = ""
    settings: Settings = field(default_factory=lambda: Settings((4,), 2, shuffled=False))
    rows: int = ROWS
    device: str = "auto"
    dtype: str = "auto"
    patience: float = 0.5
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Stood(Progress):
    """A model was measured: its row."""

    row: Standing | None = None


class Measured(msgspec.Struct, frozen=True):
    """What is kept of a model."""

    told: Told
    induction: float | None
    prefix_matching: float | None
    parameters: int
    family: str


@dataclass(frozen=True, slots=True)
class _Weights:
    """What a part is known by; see `kept.Weighed`."""

    name: str
    fingerprint: str
    dtype: str


def emergence_job(order: Order) -> Generator[Progress, None, Emergence]:
    """Measure every model; see the head of this file.

    Raises
    ------
    UserError
        If a name means nothing, or none of the models could be measured. Where some could not, the
        value says why and the others are told.
    """
    task = find_task(order.task) if order.task and order.task != REPEAT else None
    rows: list[Standing] = []
    refused: list[str] = []
    names: dict[str, str] = {}
    for place, name in enumerate(order.models):
        share = place / len(order.models)
        try:
            steps = _steps(name, order, task)
            while True:
                try:
                    step = next(steps)
                except StopIteration as stop:
                    found = stop.value
                    break
                yield replace(step, fraction=share)
        except UserError as error:
            if len(order.models) == 1:
                raise
            refused.append(f"{name} is left out. {error.sentence}")
            yield Progress(refused[-1], share)
            continue
        rows += [_apart(row, name, names) for row in found]
    if not rows:
        why = refused[0] if refused else "none was named"
        raise UserError(_WHAT, why.rstrip("."), "Name models that can be opened")
    return Emergence(tuple(rows), rows[0].task, refused=tuple(refused))


def _apart(row: Standing, name: str, names: dict[str, str]) -> Standing:
    """Tell two models apart that would go by one name: two seeds of a run, say."""
    if row.step is not None and not Path(name).is_dir():
        return row  # revisions of one model
    key = f"{row.task} {row.model}"
    if names.setdefault(key, name) == name or Path(name).parent == Path(names[key]).parent:
        return row
    return msgspec.structs.replace(row, model=f"{row.model} ({name})")


def _steps(name: str, order: Order, task: Task | None) -> Generator[Progress, None, list[Standing]]:
    path = Path(name).expanduser()
    if path.suffix == ".jsonl":
        return list(read_table(path))
    if (path / CARD).is_file():
        return (yield from run_steps(read_run(path), rows=order.rows, fresh=order.fresh))
    if path.parent.name == CHECKPOINTS and (path.parent.parent / CARD).is_file():
        run = read_run(path.parent.parent)
        return (yield from run_steps(run, path.resolve(), order.rows, order.fresh))
    return [(yield from _opened(name, order, task))]


# --- of the laboratory ----------------------------------------------------------------------------


def run_steps(
    run: Run, only: Path | None = None, rows: int = ROWS, fresh: bool = False
) -> Generator[Progress, None, list[Standing]]:
    """Measure a run's checkpoints on rows of its task that are held out, or `only` one of them.

    Raises
    ------
    UserError
        If the texts it learnt from are gone, or a checkpoint is damaged.
    """
    settings = run.card.settings
    spec = task_specs()[settings.task]
    task = spec.again(spec.options(**settings.options), (), run.folder)
    asked = task.held_out(rows)
    known = _Weights("laboratory", "", "float32")
    depends = [VERSION, settings.task, settings.options, run.card.fingerprint, rows]
    kept = Kept("emergence", known, depends)
    kind = "LSTM" if settings.arch == "lstm" else "transformer"
    layers = f"{settings.layers} layer{'s' * (settings.layers != 1)}"
    family = f"{kind}, {layers}"
    found = []
    each = settings.batch * run.card.length
    for step, folder in run.checkpoints:
        if only is not None and folder.resolve() != only:
            continue
        text = f"{settings.task}, {family}, width {settings.width}, step {step:,}"
        yield Progress(text)
        weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:32]
        measured = None if fresh else kept.load(weights, Measured)
        if measured is None:
            measured = _of_checkpoint(folder, task, asked, settings.task, run.card.parameters)
            kept.save(weights, measured)
        row = _standing(
            measured,
            task=settings.task,
            model=f"{family}, width {settings.width}",
            family=family,
            step=step,
            tokens=step * each,
        )
        found.append(row)
        yield Stood(text, row=row)
    kept.trim()
    return found


def _of_checkpoint(folder: Path, task: LabTask, rows: Rows, name: str, parameters: int) -> Measured:
    model = lab_models.load(folder)
    score = matching = None
    if name in LOOKING_BACK and has_heads(model):
        scores = induction(model, task)
        score = None if scores is None else float(scores.max())
        matching = float(looking_back(model, rows).max())
    return Measured(told(of_rows(model, rows)), score, matching, parameters, "")


# --- whatever can be opened -----------------------------------------------------------------------


def _opened(name: str, order: Order, task: Task | None) -> Generator[Progress, None, Standing]:
    """Measure a model by name; it is let go of before the next."""
    entry = resolve(name)
    folder = yield from acquire(entry)
    source = open_spec(entry, folder)
    line, step = line_of(name, source)
    depends: list[object] = [VERSION, order.device]
    depends += [asdict(task), asdict(order.settings)] if task is not None else [REPEAT, order.rows]
    kept = Kept("emergence", _Weights(name, source.fingerprint, order.dtype), depends, order.fresh)
    measured = kept.load("measured", Measured)
    if measured is None:
        loaded = yield from load_steps(source, order.device, order.dtype)
        measured = yield from _of_model(loaded, order, task)
        del loaded
        gc.collect()
        kept.save("measured", measured)
    kept.trim()
    row = _standing(
        measured,
        task=REPEAT if task is None else task.key,
        model=line,
        family=measured.family,
        step=step,
        tokens=None,
    )
    yield Stood(f"Measured {name}", row=row)
    return row


def _of_model(
    loaded: Loaded, order: Order, task: Task | None
) -> Generator[Progress, None, Measured]:
    outputs: Outputs
    groups = 1
    if task is None:
        runs = Runs(loaded, _WHAT, order.patience)
        outputs = yield from of_repeats(loaded, runs, order.rows)
    else:
        groups = order.settings.seeds
        outputs = yield from of_task(loaded, task, order.settings, order.patience, order.fresh)
    score = yield from _induction(loaded, order)
    info = loaded.info
    return Measured(told(outputs, groups), score, None, info.parameters, info.family)


def _induction(loaded: Loaded, order: Order) -> Generator[Progress, None, float | None]:
    """The highest induction score of a head; None where there is none to be seen."""
    period = min(50, loaded.info.max_tokens // 2)
    asked = heads.Order(
        sequences=4, period=max(2, period), top=0, patience=order.patience, fresh=order.fresh
    )
    try:
        found = yield from heads.heads_job(loaded, asked)
    except UserError:
        return None  # no heads, or too short a context: the rest of the row stands without
    known = found.induction[np.isfinite(found.induction)]
    return float(known.max()) if known.size else None


def line_of(name: str, source: ModelSource) -> tuple[str, int | None]:
    """Which model a revision or checkpoint is of, and after which step; the step None if unsaid.

    ``owner/name@step1000`` is a revision; a folder ``name/step1000`` or ``name/checkpoint-1000`` a
    checkpoint of what the folder above is called.
    """
    model, at, revision = name.partition("@")
    if at and not Path(name).exists():
        match = _STEP.search(revision)
        return model.split("/")[-1], int(match[1]) if match else None
    path = Path(name).expanduser()
    if path.is_dir():
        match = _STEP.fullmatch(path.resolve().name)
        if match:
            return path.resolve().parent.name, int(match[1])
    return source.title, None


def _standing(measured: Measured, **known: Any) -> Standing:
    one = measured.told
    return Standing(
        **known,
        parameters=measured.parameters,
        answers=one.answers,
        length=one.length,
        exact_match=one.exact_match,
        edit_distance=one.edit_distance,
        brier=one.brier,
        logprob=one.logprob,
        induction=measured.induction,
        prefix_matching=measured.prefix_matching,
    )
