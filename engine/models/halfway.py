"""Being told of a pass before it is through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.trace import Trace


@dataclass(frozen=True, slots=True)
class Halfway:
    """Once `blocks` of a stack's blocks are through, `tell` takes the trace as it is then.

    States up to that depth and the attention of those blocks are whole; the rest is being written.
    With `scores`, what the new rows give the next token is worked out too, behind the last block.
    """

    blocks: int
    tell: Callable[[Trace], None]
    scores: bool = False
