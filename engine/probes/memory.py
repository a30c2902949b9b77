"""What takes how much memory: weights, cache, states, queries, and what the probes keep."""

from __future__ import annotations

from engine import memory
from engine.probes.attention import ShownMap
from engine.probes.mosaic import Thumbnails
from engine.probes.spec import Pass, ProbeSpec
from engine.types import MemoryQuery, MemoryResult


def answer(passed: Pass, query: MemoryQuery) -> MemoryResult:
    """Count bytes; nothing is worked out for it."""
    loaded, trace = passed.loaded, passed.trace
    held, memos = trace.held, trace.memos.values()
    shown = sum(memo.nbytes for memo in memos if isinstance(memo, ShownMap))
    thumbnails = sum(memo.nbytes for memo in memos if isinstance(memo, Thumbnails))
    there = memory.room(loaded.reader.device)
    return MemoryResult(
        weights=sum(one.weight_bytes for one in (loaded, passed.second) if one is not None),
        cache=held.cache,
        states=held.states,
        queries=held.queries,
        masks=held.masks,
        maps=held.maps,
        shown=shown,
        thumbnails=thumbnails,
        memos=held.memos - shown - thumbnails,
        all_maps=trace.all_map_bytes,
        process=memory.resident(),
        free=there.free,
        total=there.total,
        bound=there.bound,
    )


PROBE = ProbeSpec(MemoryQuery, "", answer, last=True)
