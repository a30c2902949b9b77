"""Fitting the UMAP picture of a latent space from the window: what is asked for, and the job.

The engine's job is imported on the engine's thread, so that the window stays free of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.types import Pooling, Progress

if TYPE_CHECKING:
    from engine.engine import Engine


@dataclass(frozen=True, slots=True)
class MapChoice:
    """Which space shall be drawn: that of a layer and of such states, of the model that is open."""

    model: str
    fingerprint: str
    layer: int
    states: Pooling


@dataclass(frozen=True, slots=True)
class MapMade:
    """The picture is there; `remark` says in a sentence why it could not be kept on disk."""

    choice: MapChoice
    remark: str = ""


def map_job(choice: MapChoice) -> Callable[[Engine], Generator[Progress, None, MapMade]]:
    """The job that fits; its value is a `MapMade`."""

    def run(engine: Engine) -> Generator[Progress, None, MapMade]:
        from engine.latent.bent import bent_steps

        loaded = engine.loaded
        if loaded is None or loaded.info.fingerprint != choice.fingerprint:
            why = f"{choice.model} is no longer the model that is open"
            raise UserError("Cannot draw UMAP of μ", why, "Choose it once more")
        if choice.states == "tokens":
            space = loaded.spaces.get(choice.layer)
        else:
            space = loaded.sentence_spaces.get((choice.layer, choice.states))
        if space is None:
            why = f"there is no latent space for layer {choice.layer} of {choice.model}"
            raise UserError("Cannot draw UMAP of μ", why, "Choose another layer")
        return MapMade(choice, (yield from bent_steps(space)))

    return run
