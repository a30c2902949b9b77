"""What the model expects next, and how surprising each token was."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.estimate import JUDGED, TAKEN_BACK
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, to_ints, to_numpy
from engine.types import NextQuery, NextResult


@dataclass(slots=True)
class Surprises:
    """−log2 p of each token but the first, and the scores of the last positions.

    `bits` (T − 1,): entry i is of token i + 1. `last` are the scores (V,) that the positions up to
    `at` give the token after each, `TAKEN_BACK` at most. Those of `at` are of the next token now
    and, once something is typed, of a token to be judged: kept, so that no position goes through
    the output embedding twice. A letter that takes back some of the last tokens leaves one of the
    others in its place.
    """

    bits: Tensor
    last: list[Tensor] = field(default_factory=list)
    at: int = -1
    judged: int = 0  # positions ever put through the output embedding

    def keep(self, count: int) -> None:
        """Forget tokens from `count` on."""
        self.bits = self.bits[: max(0, count - 1)]
        if self.at >= count:
            self.last = self.last[: max(0, len(self.last) - (self.at - count + 1))]
            self.at = count - 1 if self.last else -1

    def of(self, position: int) -> Tensor | None:
        """The scores (V,) of a position, where they are kept."""
        back = self.at - position
        return self.last[-1 - back] if 0 <= back < len(self.last) else None

    def note(self, position: int, scores: Tensor) -> None:
        """Keep the scores (V,) of the position after `at`, or of one that no other is kept of."""
        if position != self.at + 1:
            self.last = []
        self.last = [*self.last[1 - TAKEN_BACK :], scores]
        self.at = position

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.bits.untyped_storage().nbytes() + sum(one.nbytes for one in self.last)


def answer(passed: Pass, query: NextQuery) -> Callable[[], NextResult]:
    """The likeliest next tokens; surprise −log2 p(x_t | x_<t) in bits of each token there is.

    Another temperature is another softmax of the scores that are kept with the trace.
    """
    if not query.temperature > 0:
        raise NotAnswerable(f"A temperature is above 0, not {query.temperature:g}")
    done = _judged(passed)
    last = (done.last[-1] / query.temperature).softmax(dim=-1)  # (V,)
    best = torch.topk(last, min(query.count, len(last)))
    first = done.bits.new_full((1,), torch.nan)
    found, shares = to_ints(best.indices), to_numpy(best.values)
    surprise = to_numpy(torch.cat([first, done.bits]))

    def finish() -> NextResult:
        ids = tuple(found.tolist())
        texts = tuple(passed.loaded.reader_of_text.show(id_) for id_ in ids)
        return NextResult(ids, texts, shares, surprise, temperature=query.temperature)

    return finish


def last_scores(passed: Pass) -> Tensor:
    """The scores (V,) of what comes after the last token, which are kept with the trace."""
    return _judged(passed).last[-1]


def _judged(passed: Pass) -> Surprises:
    """What is kept of all predictions, brought up to date."""
    trace = passed.trace
    # An encoder-decoder predicts the target, each entry of which is the next one's context.
    read = trace.target_ids if trace.target_ids else trace.ids
    if not read:
        raise NotAnswerable("There is no token yet")
    kept = trace.memos.get("surprise")
    done = (
        kept if isinstance(kept, Surprises) else Surprises(trace.final.rows().new_zeros(0).float())
    )
    _judge(done, passed, read)
    trace.memos["surprise"] = done
    return done


def _judge(done: Surprises, passed: Pass, read: list[int]) -> None:
    """Bring surprises and last scores up to the tokens `read`."""
    last = len(read) - 1
    begin = position = len(done.bits)  # the first position whose prediction has not been judged
    if position == last == done.at:
        return
    pieces = [done.bits]
    # What typing adds is what the pass has just sent to the device; `tensor` knows it again.
    gold = passed.loaded.reader.tensor(read[position + 1 :])[0]  # (n,)
    while position <= last:
        scores = _scores(done, passed, position, last + 1)  # (n, V)
        high = position + len(scores)
        # Copies, so that the other rows' scores are let go.
        for at in range(max(position, last + 1 - TAKEN_BACK), high):
            if done.of(at) is None:
                done.note(at, scores[at - position].clone())
        judged = scores[: last - position]
        low = position - begin
        pieces.append(_bits(judged, gold[low : low + len(judged)]))
        position = high
    done.bits = torch.cat(pieces)


def _scores(done: Surprises, passed: Pass, start: int, stop: int) -> Tensor:
    """Scores (n, V) of positions from `start` on, of as many as come from one place, n ≥ 1."""
    kept = done.of(start)
    if kept is not None:
        return kept[None]
    found, stop, fresh = None, min(stop, start + JUDGED), passed.trace.fresh
    if fresh is not None and fresh.scores is not None:
        found = fresh.scores[start - fresh.start :] if fresh.start <= start else None
        stop = min(stop, fresh.start)
    if found is None:
        found = passed.loaded.reader.logits(passed.trace.final.rows()[start:stop]).float()
    done.judged += len(found)
    return found


def _bits(scores: Tensor, gold: Tensor) -> Tensor:
    """−log2 softmax(scores)[gold], for scores (n, V) and n tokens (n,)."""
    return (scores.gather(1, gold[:, None])[:, 0] - scores.logsumexp(dim=-1)) / -math.log(2)


PROBE = ProbeSpec(NextQuery, "next", answer, slow=True, scores=True)
