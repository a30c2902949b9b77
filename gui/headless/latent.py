"""``main.py latent``: train a latent space, list those there are, measure one on other texts."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UserError
from gui.headless.console import DONE, finish, say
from gui.headless.opening import opened
from gui.headless.text import given_text

if TYPE_CHECKING:
    from engine.latent.card import Card
    from engine.latent.train import Order
    from engine.types import Pooling, Progress

PATIENCE = 0.5
"""Seconds a step of reading takes, about: nobody types meanwhile."""

LEAST = 20
"""Fewest states a space is measured with: each has ten neighbours to be looked at."""


@dataclass(frozen=True, slots=True)
class Training:
    """What ``latent train`` was asked for; None where it did not say."""

    model: str | None
    corpus: tuple[Path, ...]
    out: Path
    device: str
    settings: dict[str, Any]
    cutting: dict[str, Any]
    sampling: dict[str, Any]
    prompts: Path | None
    label: str | None
    layer: int | None
    states: Pooling
    resume: bool
    command: str


def train(given: Training, as_json: bool) -> int:
    """Train a space and print its card; with `as_json`, one line an epoch and the card's figures.

    Raises
    ------
    UserError
        If it cannot be done.
    """
    if not given.corpus and given.prompts is None:
        raise UserError(
            "Cannot train a latent space",
            "there is nothing to train on",
            "Name texts with --corpus, or prompts with --prompts",
        )
    loaded = opened(given.model, given.device)
    # These load torch, which takes seconds; what is wrong with the model has been told by now.
    from engine.latent.card import described
    from engine.latent.train import space_job

    order = _order(given)
    space = _followed(space_job(loaded, order), as_json)
    if as_json:
        print_json({"space": str(order.out), **dict(space.figures)})
    else:
        print(described(space.card), end="")
    return DONE


def _order(given: Training) -> Order:
    from engine.latent.corpus import Passages
    from engine.latent.corpus_generated import Sampling
    from engine.latent.train import Order
    from engine.latent.training import settings_for

    prompts: tuple[str, ...] = ()
    if given.prompts is not None:
        prompts = tuple((given_text(None, str(given.prompts)) or "").splitlines())
    return Order(
        out=given.out,
        corpus=given.corpus,
        label=given.label,
        prompts=tuple(prompt for prompt in prompts if prompt.strip()),
        sampling=Sampling(**given.sampling),
        layer=given.layer,
        states=given.states,
        cutting=Passages(**given.cutting),
        settings=replace(settings_for(given.states), **given.settings),
        resume=given.resume,
        patience=PATIENCE,
        command=given.command,
    )


def _followed(steps: Generator[Progress, None, Any], as_json: bool) -> Any:
    """Run a training to its end, with a line for each epoch."""
    from engine.latent.train import Collected
    from engine.latent.training import Learning

    def told() -> Generator[Progress, None, Any]:
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                return stop.value
            if isinstance(step, Collected) and step.resumed:
                say(f"going on from epoch {step.resumed}.")
            if isinstance(step, Learning) and step.epoch is not None:
                epoch = step.epoch
                if as_json:
                    print_json(
                        {
                            "epoch": epoch.number,
                            "elbo": epoch.choose.elbo,
                            "reconstruction": epoch.choose.reconstruction,
                            "kl": epoch.choose.kl,
                            "kl_per_dim": epoch.kl_per_dimension,
                            "active_units": epoch.active_units,
                            "mutual_information": epoch.mutual_information,
                            "train": asdict(epoch.train),
                        }
                    )
                else:
                    print(step.text, flush=True)
            yield step

    return finish(told())


def list_spaces(as_json: bool) -> int:
    """Print the spaces that come with the program and the user's own."""
    from engine.latent.store import found, own_folder

    with warnings_said():
        spaces = found()
    if as_json:
        for one in spaces:
            print_json(
                {"name": one.name, "path": str(one.path), "shipped": one.shipped, **_of(one.card)}
            )
        return DONE
    rows = [("NAME", "MODEL", "LAYER", "STATES", "Z", "ACTIVE", "EXPLAINED (PCA)", "FROM")]
    for one in spaces:
        card, held = one.card, one.card.held_out
        rows.append(
            (
                one.name,
                card.model,
                str(card.layer),
                card.states if card.pooling == "tokens" else f"{card.states}, {card.pooling}",
                str(card.latent),
                f"{held.active_units}" if held else "-",
                f"{held.explained_variance:.3f} ({held.pca_explained_variance:.3f})"
                if held
                else "-",
                "the program" if one.shipped else "you",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
    print(f"Your own lie in {own_folder()}.")
    return DONE


def _of(card: Card) -> dict[str, Any]:
    held = card.held_out
    told = {
        "model": card.model,
        "layer": card.layer,
        "states": card.states,
        "pooling": card.pooling,
        "z": card.latent,
    }
    if held is not None:
        told |= {
            "active_units": held.active_units,
            "elbo": held.elbo,
            "kl_per_dim": held.kl_per_dim,
            "explained_variance": held.explained_variance,
            "pca_explained_variance": held.pca_explained_variance,
        }
    return told


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What ``latent evaluate`` was asked for; None where it did not say."""

    space: str
    corpus: tuple[Path, ...]
    model: str | None
    device: str
    layer: int | None
    label: str | None
    cutting: dict[str, Any]


def evaluate(given: Evaluation, as_json: bool) -> int:
    """Measure a space on texts, leaving out every sentence that it was trained on.

    Raises
    ------
    UserError
        If the space is damaged or of another model or layer, or nothing is left to measure with.
    """
    from engine.latent.card import require
    from engine.latent.corpus import Passages
    from engine.latent.corpus_cache import states_steps
    from engine.latent.corpus_texts import read_corpus, unseen
    from engine.latent.evaluation import measure
    from engine.latent.space import load
    from engine.latent.store import named

    with warnings_said():
        path = named(given.space)
    space = load(path)
    card = space.card
    texts = read_corpus(given.corpus, given.label)
    fresh = unseen(texts, space.seen)
    what = f"Cannot measure {path.name}"
    if not fresh:
        raise UserError(
            what, "it was trained on every sentence of these texts", "Name texts it has not seen"
        )
    loaded = opened(given.model or card.model, given.device)
    require(card, loaded.info, given.layer)
    cutting = Passages(**given.cutting)
    steps = states_steps(
        loaded, fresh, card.layer, cutting, pooling=card.pooling, patience=PATIENCE
    )
    states = finish(steps)
    if len(states) < LEAST:
        raise UserError(
            what, f"the texts come to {len(states)} states, and it takes {LEAST}", "Add texts"
        )
    figures = measure(space, states)
    if figures.knn_accuracy is None:
        say(
            "The label accuracy cannot be told: all texts have one label. Name a folder of several "
            "files."
        )
    told = {
        "space": path.name,
        "model": card.model,
        "layer": card.layer,
        "states": card.states,
        "pooling": card.pooling,
        "z": card.latent,
        "held_out_states": figures.held_out_states,
        "labels": list(states.names),
        "explained_variance": figures.explained_variance,
        "pca_explained_variance": figures.pca_explained_variance,
        "elbo": figures.elbo,
        "kl_per_dim": list(figures.kl_per_dim),
        "active_units": figures.active_units,
        "knn_accuracy": figures.knn_accuracy,
        "pca_knn_accuracy": figures.pca_knn_accuracy,
        "trustworthiness": figures.trustworthiness,
        "pca_trustworthiness": figures.pca_trustworthiness,
    }
    if as_json:
        print_json(told)
        return DONE
    width = max(map(len, told))
    for name, value in told.items():
        print(f"{name.ljust(width)}  {shown(value)}")
    return DONE


def shown(value: Any) -> str:
    """A figure as a person reads it."""
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    return f"{value:.4f}" if isinstance(value, float) else "-" if value is None else str(value)


class warnings_said:  # noqa: N801 - used as a function
    """Print what the engine logs inside the block: which files were passed over, and why."""

    def __enter__(self) -> None:
        self.handler = logging.StreamHandler(sys.stderr)
        self.handler.setLevel(logging.WARNING)
        logging.getLogger("engine.latent").addHandler(self.handler)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("engine.latent").removeHandler(self.handler)


def print_json(told: dict[str, Any]) -> None:
    """Print one JSON object on a line of its own."""
    print(json.dumps(told, ensure_ascii=False), flush=True)
