"""Training a latent space from the window: what is asked for, and what comes of it.

The engine's job is imported on the engine's thread, so that the window stays free of torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from engine.paths import cache_dir
from engine.types import ModelInfo, Progress

if TYPE_CHECKING:
    from engine.engine import Engine

Pooling = Literal["tokens", "mean", "last"]

SAMPLES = Path("samples")
"""Stands for the texts that come with the program."""


class EpochLike(Protocol):
    """What is drawn of `engine.latent.training.Epoch`."""

    number: int
    train: Any
    choose: Any
    kl_per_dimension: tuple[float, ...]
    active_units: int
    mutual_information: float


@dataclass(frozen=True, slots=True)
class TrainingChoice:
    """What the user wants a space of.

    `settings` are fields of `engine.latent.training.Settings`; with `resume` the training goes on
    from the last epoch that was kept.
    """

    model: str
    layer: int
    states: Pooling
    corpus: tuple[Path, ...]
    settings: Mapping[str, float]
    resume: bool = False

    @property
    def out(self) -> Path:
        """The space's file in the user's folder: one for each model, layer and kind of states."""
        name = re.sub(r"[^\w.-]+", "-", f"{self.model}-{self.layer}-{self.states}").strip("-.")
        return cache_dir() / "latent" / f"{name}.safetensors"


@dataclass(frozen=True, slots=True)
class SpaceMade:
    """A space was saved in `path`; `model` is what the model provides now."""

    path: Path
    layer: int
    states: Pooling
    model: ModelInfo


def training_job(
    choice: TrainingChoice,
) -> Callable[[Engine], Generator[Progress, None, SpaceMade]]:
    """The job that trains, saves and opens a space; its value is a `SpaceMade`."""

    def run(engine: Engine) -> Generator[Progress, None, SpaceMade]:
        from engine.errors import UserError
        from engine.latent.train import Order, space_job
        from engine.latent.training import settings_for

        loaded = engine.loaded
        if loaded is None or loaded.info.name != choice.model:
            raise UserError(
                "Cannot train a latent space",
                f"{choice.model} is no longer the model that is open",
                "Start once more",
            )
        settings: dict[str, Any] = dict(choice.settings)
        order = Order(
            out=choice.out,
            corpus=choice.corpus,
            layer=choice.layer,
            states=choice.states,
            settings=replace(settings_for(choice.states), **settings),
            resume=choice.resume,
            command="trained in the window",
        )
        choice.out.parent.mkdir(parents=True, exist_ok=True)
        yield from space_job(loaded, order)
        info = engine.take_space(choice.out)
        return SpaceMade(choice.out, choice.layer, choice.states, info or loaded.info)

    return run
