"""Writing sentences from points: what the window asks for, and the job that does it.

The engine's job is imported on the engine's thread, so that the window stays free of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.latent.draft_values import SentencesWritten, Wish
from engine.types import Progress

if TYPE_CHECKING:
    from engine.engine import Engine


def drafting_job(wish: Wish) -> Callable[[Engine], Generator[Progress, None, SentencesWritten]]:
    """The job that writes what is wished for; its value is a `SentencesWritten`."""

    def run(engine: Engine) -> Generator[Progress, None, SentencesWritten]:
        from engine.latent.draft_file import load, path_for
        from engine.latent.draft_job import wish_steps

        loaded = engine.loaded
        path = None if loaded is None else path_for(loaded.info)
        if loaded is None or path is None:
            raise UserError(
                "Cannot write sentences",
                "there is no sentence space for the model that is open",
                "Train one with `main.py sentences train`",
            )
        yield Progress("Placing the sentences", 0.0)
        return (yield from wish_steps(loaded, load(path), wish))

    return run
