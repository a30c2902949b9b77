"""``main.py lab``: train a small model, measure one."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.errors import UserError
from gui.headless.console import DONE, finish, say

if TYPE_CHECKING:
    from engine.lab.learning import Learning
    from engine.lab.runs import Point


@dataclass(frozen=True, slots=True)
class Training:
    """What ``lab train`` was asked for; `said` are settings and options by their field."""

    arch: str
    task: str
    out: Path
    corpus: tuple[Path, ...]
    said: dict[str, Any]
    threads: int
    command: str


def train(given: Training, as_json: bool) -> int:
    """Train a model, with a line for each point of its curves.

    Raises
    ------
    UserError
        If it cannot be done, or the training diverges.
    """
    # No torch yet: what is wrong with the words is told at once.
    from engine.lab.settings import settings_for

    settings = settings_for(given.arch, given.task, **given.said)
    if given.threads < 1:
        raise UserError("Cannot train this model", "it takes a core", "Choose 1 thread or more")
    from engine.lab.learning import Order, train_job

    _use_threads(given.threads)
    order = Order(given.out, settings, given.corpus, given.command)
    run = finish(_told(train_job(order), as_json))
    if not as_json:
        print(f"{run.title}: {run.card.parameters:,} parameters, in {run.folder}.")
    return DONE


def _told(steps: Generator[Learning, None, Any], as_json: bool) -> Generator[Learning, None, Any]:
    """Print each point as it comes."""
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            return stop.value
        if step.resumed:
            last = step.resumed[-1]
            if step.step < last.step:
                say("the folder holds this run at its end already; nothing was left to train.")
                _print_point(last, as_json, step.text)
            else:
                say(f"going on from step {last.step:,}.")
        if step.point is not None:
            _print_point(step.point, as_json, step.text)
        yield step


def _print_point(point: Point, as_json: bool, text: str) -> None:
    if as_json:
        told = msgspec.to_builtins(point)
        best = point.best_head
        told["induction_score"] = None if best is None else best[2]
        _print(told)
        return
    if point.best_head is not None:
        layer, head, score = point.best_head
        text += f"; induction {score:.2f} (L{layer}H{head})"
    print(text, flush=True)


def evaluate(folder: Path, corpus: tuple[Path, ...], as_json: bool, out: Path | None = None) -> int:
    """Print the measures of a model, and save them where a file is named.

    Raises
    ------
    UserError
        If there is no such model, the texts will not do, or the file cannot be written.
    """
    from engine.lab.runs import read_run
    from gui.exporters.spec import format_for
    from gui.studies.evaluation import STUDY, measures
    from gui.studies.spec import export_study

    if out is not None:
        format_for(out)
    read_run(folder)  # before torch is loaded
    from engine.lab import evaluation

    found = evaluation.evaluate(folder, corpus)
    if found.unknown:
        say(f"{found.unknown:,} of {found.tokens:,} tokens are unknown to this model.")
    told = measures(found)
    if out is not None:
        made: dict[str, object] = {
            "model": str(folder),
            "model_title": found.run.title,
            "trained_with": found.run.card.command,
            "command": shlex.join(["python", "main.py", *sys.argv[1:]]),
        }
        export_study(STUDY, found, out, made)
    if as_json:
        _print(told)
        return DONE
    width = max(map(len, told))
    for name, value in told.items():
        print(f"{name.ljust(width)}  {_shown(value)}")
    return DONE


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"layer {value[0]}, head {value[1]}"
    return f"{value:.4f}" if isinstance(value, float) else "-" if value is None else str(value)


def _use_threads(count: int) -> None:
    from engine.lab.models import use_threads

    use_threads(count)


def _print(told: dict[str, Any]) -> None:
    print(json.dumps(told, ensure_ascii=False), flush=True)
