"""What a model says after a text and a few tokens more: of answers that begin alike.

The tokens are run over the cache of the text, and taken back. What is predicted after them is kept
with the text's trace, until an edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from engine.models.families.decoder import common_prefix
from engine.probes.spec import Pass

MEMO = "continuations"
MOST = 16
"""So many continuations are run for a text at most."""

Ids = tuple[int, ...]


@dataclass(slots=True)
class Continuations:
    """ln p (V,) of what comes after the text's first `count` tokens and some more."""

    count: int
    known: dict[Ids, Tensor] = field(default_factory=dict)

    def keep(self, count: int) -> None:
        """Forget all of it where an edit changes the text."""
        if count < self.count:
            self.count, self.known = -1, {}

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(one.nbytes for one in self.known.values())


def told_apart(answers: Sequence[Ids]) -> list[int]:
    """How many of its first tokens tell each answer from the others.

    An answer with which another begins is not told from that one, however many are looked at.
    """
    found = []
    for answer in answers:
        others = (list(other) for other in answers if other != answer)
        alike = max((common_prefix(list(answer), other) for other in others), default=0)
        found.append(min(len(answer), alike + 1))
    return found


def said_after(passed: Pass, more: Iterable[Ids]) -> dict[Ids, Tensor]:
    """Ln p (V,) of the token after the text and each of `more`, not all of them where many.

    Raises
    ------
    engine.errors.Cancelled
        If `passed.cancelled` said so.
    """
    trace, count = passed.trace, len(passed.trace.ids)
    kept = trace.memos.get(MEMO)
    if not isinstance(kept, Continuations) or kept.count != count:
        kept = Continuations(count)
    wanted = list(dict.fromkeys(more))[:MOST]
    missing = [ids for ids in wanted if ids not in kept.known]
    for ids, scores in zip(missing, _run(passed, missing), strict=True):
        kept.known[ids] = scores
    trace.memos[MEMO] = kept
    return {ids: kept.known[ids] for ids in wanted}


def _run(passed: Pass, continuations: list[Ids]) -> list[Tensor]:
    """Run each behind the text; the text's trace is as before when this returns."""
    reader, trace = passed.loaded.reader, passed.trace
    text, fresh, through = list(trace.ids), trace.fresh, False
    targets = list(trace.target_ids)
    found = []
    # A model that reads every text as a whole would have to read this one again.
    base = trace if reader.builds_on else None
    try:
        for ids in continuations:
            made, ran = reader.read(base, [*text, *ids], targets, passed.cancelled)
            passed.beside.append(ran)
            final = made.final.rows()[-1:]  # (1, D)
            found.append(reader.logits(final)[0].float().log_softmax(dim=-1))
        if base is not None:
            reader.read(base, text, targets, passed.cancelled)
        through = True
    finally:
        if base is not None:
            if not through:
                trace.ids = text
                trace.mend()
            trace.fresh = fresh
    return found
