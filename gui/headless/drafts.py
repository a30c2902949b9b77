"""``main.py sentences``: train a space of sentences that writes, measure it, write from it."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.errors import UserError
from engine.latent.draft_values import Wish
from gui.headless.console import DONE, finish, say
from gui.headless.opening import opened

if TYPE_CHECKING:
    from engine.latent.draft_file import DraftSpace
    from engine.models.loader import Loaded
    from engine.types import Progress


@dataclass(frozen=True, slots=True)
class Training:
    """What ``sentences train`` was asked for."""

    model: str | None
    device: str
    corpus: tuple[Path, ...]
    label: str | None
    templates: int
    out: Path
    settings: dict[str, Any]
    resume: bool
    command: str


def train(given: Training, as_json: bool) -> int:
    """Train a space and print its card; with `as_json`, a line an epoch and the figures.

    Raises
    ------
    UserError
        If it cannot be done.
    """
    if not given.corpus and not given.templates:
        raise UserError(
            "Cannot train a sentence space",
            "there is nothing to train on",
            "Name texts with --corpus, or how many sentences by rules with --templates",
        )
    loaded = opened(given.model, given.device)
    from engine.latent.draft_file import described
    from engine.latent.draft_job import DraftOrder, make_steps
    from engine.latent.draft_training import Settings

    order = DraftOrder(
        out=given.out,
        corpus=given.corpus,
        label=given.label,
        templates=given.templates,
        settings=Settings(**given.settings),
        resume=given.resume,
        command=given.command,
    )
    space = finish(_told(make_steps(loaded, order), as_json))
    if as_json:
        for row in space.card.held_out:
            print(msgspec.json.encode(row).decode())
    else:
        print(described(space.card), end="")
    return DONE


def _told(
    steps: Generator[Progress, None, DraftSpace], as_json: bool
) -> Generator[Progress, None, DraftSpace]:
    """Do `steps`, with a line for each epoch."""
    from engine.latent.draft_training import Drafting

    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            space: DraftSpace = stop.value
            return space
        if isinstance(step, Drafting) and step.epoch is not None:
            told = msgspec.json.encode(step.epoch).decode() if as_json else step.text
            print(told, flush=True)
        yield step


def evaluate(
    model: str | None,
    device: str,
    path: Path | None,
    corpus: tuple[Path, ...],
    label: str | None,
    as_json: bool,
) -> int:
    """Measure a space on texts, leaving out every sentence that it was trained on.

    Raises
    ------
    UserError
        If there is no space, or nothing is left to measure with.
    """
    loaded = opened(model, device)
    from engine.latent.corpus_texts import read_corpus
    from engine.latent.draft_file import table
    from engine.latent.draft_job import evaluate_steps

    space = _space(loaded, path)
    rows = finish(evaluate_steps(loaded, space, read_corpus(corpus, label)))
    if as_json:
        for row in rows:
            print(msgspec.json.encode(row).decode())
    else:
        print("\n".join(table(rows)))
    return DONE


def write(model: str | None, device: str, path: Path | None, wish: Wish, as_json: bool) -> int:
    """Write sentences from points.

    Raises
    ------
    UserError
        If there is no space, or a sentence is too long for it.
    """
    loaded = opened(model, device)
    from engine.latent.draft_job import wish_steps

    done = finish(wish_steps(loaded, _space(loaded, path), wish))
    for line in done.lines:
        told = {"label": line.label, "text": line.text}
        print(json.dumps(told, ensure_ascii=False) if as_json else f"{line.label}  {line.text}")
    if done.note:
        say(done.note)
    return DONE


def _space(loaded: Loaded, path: Path | None) -> DraftSpace:
    from engine.latent.draft_file import load, path_for

    found = path_for(loaded.info) if path is None else path
    if found is None:
        raise UserError(
            f"Cannot write sentences with {loaded.info.title}",
            "there is no sentence space for it",
            "Train one with `main.py sentences train`",
        )
    return load(found)
