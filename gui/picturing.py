"""Drawing a picture of states from the window: what is asked for, and the job that does it.

The engine's job is imported on the engine's thread, so that the window stays free of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.types import Progress
from gui.training import Pooling

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.latent.pictured import PictureResult

Setting = float | int | str


@dataclass(frozen=True, slots=True)
class PictureChoice:
    """What the user wants drawn, and of which model; see `engine.latent.drawing.Drawing`.

    `title` is what the projection is called.
    """

    model: str
    fingerprint: str
    title: str
    name: str
    projection: str
    layer: int
    states: Pooling
    corpus: tuple[Path, ...]
    text: str = ""
    label: str | None = None
    most: int = 0
    first: bool = False
    settings: Mapping[str, Setting] = field(default_factory=dict)
    forget: tuple[str, ...] = ()


def picture_job(
    choice: PictureChoice,
) -> Callable[[Engine], Generator[Progress, None, PictureResult]]:
    """The job that draws; its value is a `PictureResult`."""

    def run(engine: Engine) -> Generator[Progress, None, PictureResult]:
        from engine.latent.drawing import Drawing, drawing_job

        loaded = engine.loaded
        if loaded is None or loaded.info.fingerprint != choice.fingerprint:
            raise _changed(choice)
        order = Drawing(
            name=choice.name,
            projection=choice.projection,
            layer=choice.layer,
            settings=choice.settings,
            states=choice.states,
            corpus=choice.corpus,
            label=choice.label,
            text=choice.text,
            most=choice.most,
            first=choice.first,
            forget=choice.forget,
        )
        steps = drawing_job(loaded, order)
        try:
            while True:
                try:
                    progress = next(steps)
                except StopIteration as stop:
                    drawn: PictureResult = stop.value
                    return drawn
                yield progress
                if engine.loaded is not loaded:
                    raise _changed(choice)
        finally:
            steps.close()

    return run


def _changed(choice: PictureChoice) -> UserError:
    return UserError(
        f"Cannot draw {choice.title}",
        f"{choice.model} is no longer the model that is open",
        "Draw once more",
    )
