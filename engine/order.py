"""In which order the queries of a request are answered, and what is forgotten with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.probes.spec import probe_specs
from engine.types import Query, Request

if TYPE_CHECKING:
    from engine.models.loader import Loaded
    from engine.trace import Trace

SOON = 0.75
"""What is asked of this share of the blocks is answered while the others run."""


def is_last(query: Query) -> bool:
    """Whether a query is about what the answers to the others have left."""
    spec = probe_specs().get(type(query))
    return spec is not None and spec.last


def is_slow(query: Query) -> bool:
    """Whether a query is answered after the window was given the answers to the others."""
    spec = probe_specs().get(type(query))
    return spec is not None and (spec.slow or spec.last)


def foremost(queries: tuple[Query, ...], before: tuple[Query, ...] | None) -> tuple[Query, ...]:
    """What the window is given while the rest is worked out.

    Parameters
    ----------
    queries : tuple of Query
        What is asked.
    before : tuple of Query or None
        What was asked before of the same text, None where there are new tokens.

    Returns
    -------
    tuple of Query
        What is quick; but where another layer is asked for, its states: to work out a whole map
        takes longest then, and the window longest to draw the states.
    """
    slow = tuple(query for query in queries if is_slow(query) and not is_last(query))
    if before is not None and any(query not in before for query in slow):
        return slow
    return tuple(query for query in queries if not is_slow(query))


def forget_unasked(trace: Trace, request: Request) -> None:
    """Forget what probes keep only for as long as they are asked."""
    asked = {type(query) for query in request.queries}
    for spec in probe_specs().values():
        if spec.lends and spec.query not in asked:
            trace.memos.pop(spec.lends, None)


def soon(loaded: Loaded, queries: tuple[Query, ...]) -> list[tuple[int, tuple[Query, ...]]]:
    """What can be answered well before a pass is through, by how many blocks it takes.

    The slow ones come last.
    """
    stages: dict[int, list[Query]] = {}
    slow: list[Query] = []
    most = 0
    for query in queries:
        spec = probe_specs().get(type(query))
        blocks = None if spec is None or spec.blocks is None else spec.blocks(loaded.info, query)
        if blocks is None or not 0 <= blocks <= loaded.info.layers * SOON:
            continue
        most = max(most, blocks)
        slow.append(query) if is_slow(query) else stages.setdefault(blocks, []).append(query)
    found = [(blocks, tuple(stages[blocks])) for blocks in sorted(stages)]
    return [*found, (most, tuple(slow))] if slow else found


def scored(queries: tuple[Query, ...]) -> bool:
    """Whether one of them asks what the new tokens give the next one."""
    specs = [probe_specs().get(type(query)) for query in queries]
    return any(spec is not None and spec.scores for spec in specs)
