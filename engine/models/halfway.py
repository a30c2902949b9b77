"""Being told of a pass before it is through."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.trace import Trace


@dataclass(frozen=True, slots=True)
class Stage:
    """Once `blocks` of a stack's blocks are through, `tell` takes the trace as it is then.

    States up to that depth and the attention of those blocks are whole; the rest is being written.
    """

    blocks: int
    tell: Callable[[Trace], None]


@dataclass(frozen=True, slots=True)
class Halfway:
    """What is told of a pass, stage by stage from the first blocks to the last.

    With `scores`, what the new rows give the next token is worked out too, behind the last block.
    """

    stages: tuple[Stage, ...]
    scores: bool = False


class Meanwhile:
    """Pieces of work that are done one after the other on another thread, until the block ends.

    Parameters
    ----------
    pieces : sequence of callable
        After one that fails none is begun.
    """

    def __init__(self, pieces: Sequence[Callable[[], None]]) -> None:
        self._pieces = pieces
        self._over = [threading.Event() for _ in pieces]
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="step")

    def __enter__(self) -> Meanwhile:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._thread.join()
        if kind is None and self._failed is not None:
            raise self._failed

    def wait(self, index: int) -> None:
        """Wait until a piece is done; raise what ended it or another."""
        self._over[index].wait()
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        for piece, over in zip(self._pieces, self._over, strict=True):
            try:
                if self._failed is None:
                    piece()
            except BaseException as error:  # it is raised on the thread that waits
                self._failed = error
            finally:
                over.set()
