"""A second text run beside the one that is typed, or the same by another model; kept between keys.

What is compared with the text as it stands goes through the machinery that reads the text itself:
a `Trace` of its own, of which an edit leaves standing what comes before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from engine import memory
from engine.comparison import signature
from engine.models.families.decoder import common_prefix
from engine.models.text import without_surrogates
from engine.probes.spec import NotAnswerable, Pass
from engine.reading import Reading, read, read_target
from engine.trace import Trace

if TYPE_CHECKING:
    from engine.models.loader import Loaded

MEMO = "beside"
"""Under which name a trace keeps those of the texts beside it."""

SMALL = 64 << 20
"""A pass that takes no more bytes than this is tried, without asking whether they are there."""


@dataclass(slots=True)
class Beside:
    """The traces of texts beside one, by their place in the comparison and the model that read it.

    Each knows from its own tokens what an edit leaves true of it, so that nothing has to be
    forgotten with the text beside which it was run.
    """

    traces: dict[tuple[int, str], Trace] = field(default_factory=dict)

    def keep(self, count: int) -> None:
        """Forget nothing."""

    def take(self, place: int, model: str) -> Trace | None:
        """Take out what `model` has read at a place; what another has read there is let go."""
        found = self.traces.pop((place, model), None)
        for key in [key for key in self.traces if key[0] == place]:
            del self.traces[key]
        return found

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""
        return sum(trace.nbytes for trace in self.traces.values())


def behind(passed: Pass, context: str, place: int, other: Loaded | None = None) -> tuple[Pass, str]:
    """The pass over the text behind `context`, and the context as it was read.

    `other` is the model that shall read it, if that is not the pass's own: such a pass is always
    another one, while behind an empty context the pass's own model has read the text already.
    `place` tells the sides of one comparison apart: what was run for it last is what the new pass
    builds on.

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
    loaded, request = other or passed.loaded, passed.request
    model = signature(loaded.info)
    # Until the pass is through, the trace is neither the old text's nor the new one's.
    old = beside.take(place, model)
    if not context and other is None:
        return passed, ""
    assert request is not None  # the engine's passes know what was asked
    request = replace(request, text=context + passed.text)
    reading = read(loaded, request)
    _refuse_cut(passed, reading, context)
    ids = [token.id for token in reading.tokens]
    targets = passed.trace.target_ids
    if other is not None:
        aim = passed.text if request.target is None else request.target
        targets = [token.id for token in read_target(other, replace(request, target=aim))]
    _make_room(passed, loaded, old, ids)
    trace, ran = loaded.reader.read(old, ids, list(targets), passed.cancelled)
    passed.beside.append(ran)
    beside.traces[place, model] = trace
    passed.trace.memos[MEMO] = beside
    made = replace(passed, loaded=loaded, trace=trace, tokens=reading.tokens, text=reading.text)
    return made, context


def _refuse_cut(passed: Pass, reading: Reading, context: str) -> None:
    """Refuse what would be cut, but a text that was cut as short where it was typed."""
    count = len(reading.tokens) + reading.cut
    if reading.cut and context:
        raise NotAnswerable(
            f"Context and text are {count:,} tokens together, and {reading.why}: shorten one of "
            "them"
        )
    if reading.cut and len(reading.tokens) < len(passed.tokens):
        raise NotAnswerable(f"The text is {count:,} tokens, and {reading.why}: shorten it")


def _make_room(passed: Pass, loaded: Loaded, old: Trace | None, ids: list[int]) -> None:
    """Refuse what would not fit, before anything is allocated."""
    reader = loaded.reader
    kept = common_prefix(old.ids, ids) if old is not None and reader.builds_on else 0
    need = reader.pass_bytes(old if kept else None, len(ids) - kept, len(ids))
    if need <= SMALL:
        return
    there = memory.room(reader.device)
    if need > there.free:
        what, do = "The text with its context does not fit beside the text", "Shorten one of them"
        if loaded is not passed.loaded:
            what = f"What {loaded.info.title} makes of the text does not fit beside the other model"
            do = "Shorten the text"
        raise NotAnswerable(f"{what}: {memory.shortage(need, there)}. {do}")
