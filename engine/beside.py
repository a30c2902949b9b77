"""A second text run beside the one that is typed, through the same reader, and kept between keys.

What is compared with the text as it stands goes through the machinery that reads the text itself:
a `Trace` of its own, of which an edit leaves standing what comes before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from engine import memory
from engine.models.families.decoder import common_prefix
from engine.models.text import without_surrogates
from engine.probes.spec import NotAnswerable, Pass
from engine.reading import read
from engine.trace import Trace

MEMO = "beside"
"""Under which name a trace keeps those of the texts beside it."""

SMALL = 64 << 20
"""A pass that takes no more bytes than this is tried, without asking whether they are there."""


@dataclass(slots=True)
class Beside:
    """The traces of texts beside one, by their place in the comparison.

    Each knows from its own tokens what an edit leaves true of it, so that nothing has to be
    forgotten with the text beside which it was run.
    """

    traces: dict[int, Trace] = field(default_factory=dict)

    def keep(self, count: int) -> None:
        """Forget nothing."""

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""
        return sum(trace.nbytes for trace in self.traces.values())


def behind(passed: Pass, context: str, place: int) -> tuple[Pass, str]:
    """The pass over the text behind `context`, and the context as it was read.

    An empty one is the pass there is. `place` tells contexts of one comparison apart: what was run
    for it last is what the new pass builds on.

    Raises
    ------
    NotAnswerable
        If context and text are too long together, or would not fit into memory.
    engine.errors.Cancelled
        If `passed.cancelled` said so.
    """
    context = without_surrogates(context)
    kept = passed.trace.memos.get(MEMO)
    beside = kept if isinstance(kept, Beside) else Beside()
    if not context:
        beside.traces.pop(place, None)
        return passed, ""
    loaded, request = passed.loaded, passed.request
    assert request is not None  # the engine's passes know what was asked
    reading = read(loaded, replace(request, text=context + passed.text))
    if reading.cut:
        raise NotAnswerable(
            f"Context and text are {len(reading.tokens) + reading.cut:,} tokens together, and "
            f"{reading.why}: shorten one of them"
        )
    ids = [token.id for token in reading.tokens]
    # Until the pass is through, the trace is neither the old text's nor the new one's.
    old = beside.traces.pop(place, None)
    _make_room(passed, old, ids)
    trace, ran = loaded.reader.read(old, ids, list(passed.trace.target_ids), passed.cancelled)
    passed.beside.append(ran)
    beside.traces[place] = trace
    passed.trace.memos[MEMO] = beside
    made = replace(passed, trace=trace, tokens=reading.tokens, text=reading.text)
    return made, context


def _make_room(passed: Pass, old: Trace | None, ids: list[int]) -> None:
    """Refuse what would not fit, before anything is allocated."""
    reader = passed.loaded.reader
    kept = common_prefix(old.ids, ids) if old is not None and reader.builds_on else 0
    need = reader.pass_bytes(old if kept else None, len(ids) - kept, len(ids))
    if need <= SMALL:
        return
    there = memory.room(reader.device)
    if need > there.free:
        raise NotAnswerable(
            "The text with its context does not fit beside the text: "
            + memory.shortage(need, there)
            + ". Shorten one of them"
        )
