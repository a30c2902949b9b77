"""Writing on from a latent point: what the window asks for, and the job that does it.

The engine's job is imported on the engine's thread, so that the window stays free of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.latent.values import Written
from engine.types import Request

if TYPE_CHECKING:
    from engine.engine import Engine

COUNT = 32
"""Tokens that are written."""

POINT, OWN = 0, 1
"""Who writes: the decoded point, and beside it the model's own state (`Written.which`)."""


@dataclass(frozen=True, slots=True)
class WritingChoice:
    """From where to write on, and how.

    `request` has the text as the window asks for it. `point` are Z numbers of the space of `layer`,
    decoded in place of the state of token `position` (None: the last), and it is after that token
    that the model writes. At `temperature` 0 the likeliest token is written each time; else tokens
    are drawn, with `seed`.
    """

    request: Request
    layer: int
    point: tuple[float, ...]
    position: int | None
    temperature: float = 0.0
    seed: int = 0
    count: int = COUNT


def writing_job(choice: WritingChoice) -> Callable[[Engine], Generator[Written, None, Any]]:
    """The job that writes on from the point and, for comparison, from the model's own state.

    Its steps are `Written` (engine/latent/values.py), `POINT` and `OWN` taking turns; its value is
    a pair of `engine.latent.continuation.Continuation`.
    """

    def run(engine: Engine) -> Generator[Written, None, Any]:
        from engine.latent.continuation import Writing, write_steps

        ids = [token.id for token in engine.read(choice.request)]
        if choice.position is not None:
            ids = ids[: choice.position + 1]
        loaded = engine.loaded
        assert loaded is not None  # else the engine could not have read
        writing = Writing(choice.count, choice.temperature, choice.seed)
        points = (choice.point, None)
        return (yield from write_steps(loaded, ids, choice.layer, points, choice.position, writing))

    return run
