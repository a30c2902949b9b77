"""What the model expects next, and how surprising each token was."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.estimate import JUDGED
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, to_ints, to_numpy
from engine.trace import Trace
from engine.types import NextQuery, NextResult


@dataclass(slots=True)
class Surprises:
    """−log2 p of each token but the first, and the scores of the last position.

    `bits` (T − 1,): entry i is of token i + 1. `scores` (V,) are those that position `at` gives the
    token after it, which is the next token now and, once something is typed, a token to be judged:
    kept, so that no position goes through the output embedding twice. `before` (V,) are those of
    the position before it: a letter that joins the last token takes that one back.
    """

    bits: Tensor
    scores: Tensor | None = None
    at: int = -1
    before: Tensor | None = None
    judged: int = 0  # positions ever put through the output embedding

    def keep(self, count: int) -> None:
        """Forget tokens from `count` on."""
        self.bits = self.bits[: max(0, count - 1)]
        if self.at < count:
            return
        back = self.before if self.at == count else None
        self.scores, self.before = back, None
        self.at = -1 if back is None else count - 1

    def show(self, position: int, scores: Tensor, before: Tensor | None) -> None:
        """Keep the scores (V,) of a position, and of the one before where they are at hand."""
        if before is None and self.at == position - 1:
            before = self.scores
        self.scores, self.at, self.before = scores, position, before

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        held = (self.bits, self.scores, self.before)
        return sum(0 if one is None else one.nbytes for one in held)


def answer(passed: Pass, query: NextQuery) -> Callable[[], NextResult]:
    """The likeliest next tokens; surprise −log2 p(x_t | x_<t) in bits of each token there is.

    Another temperature is another softmax of the scores that are kept with the trace.
    """
    if not query.temperature > 0:
        raise NotAnswerable(f"A temperature is above 0, not {query.temperature:g}")
    done = _judged(passed)
    assert done.scores is not None
    last = (done.scores / query.temperature).softmax(dim=-1)  # (V,)
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
    scores = _judged(passed).scores
    assert scores is not None
    return scores


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
    final = passed.trace.final.rows()  # (T, D)
    last = len(read) - 1
    pieces = [done.bits]
    position = len(done.bits)  # the first position whose prediction has not been judged
    # What typing adds is what the pass has just sent to the device; `tensor` knows it again.
    gold = passed.loaded.reader.tensor(read[position + 1 :])[0]  # (n,)
    begin = position
    if done.scores is not None and done.at == position < last:
        pieces.append(_bits(done.scores[None], gold[:1]))
        position += 1
    while position < last or done.at != last:
        high = min(position + JUDGED, last + 1)
        scores = _fresh_scores(passed.trace, position, high)  # (n, V)
        if scores is None:
            scores = passed.loaded.reader.logits(final[position:high]).float()
        done.judged += high - position
        if high == last + 1:
            # Copies, so that the other rows' scores are let go.
            before = scores[-2].clone() if len(scores) > 1 else None
            done.show(last, scores[-1].clone(), before)
            scores = scores[:-1]
        low = position - begin
        pieces.append(_bits(scores, gold[low : low + len(scores)]))
        position = high
    done.bits = torch.cat(pieces)


def _fresh_scores(trace: Trace, start: int, stop: int) -> Tensor | None:
    """Those of positions `start` to `stop`, where the pass has worked them out."""
    fresh = trace.fresh
    if fresh is None or fresh.scores is None or not fresh.start <= start:
        return None
    return fresh.scores[start - fresh.start : stop - fresh.start]


def _bits(scores: Tensor, gold: Tensor) -> Tensor:
    """−log2 softmax(scores)[gold], for scores (n, V) and n tokens (n,)."""
    return (scores.gather(1, gold[:, None])[:, 0] - scores.logsumexp(dim=-1)) / -math.log(2)


PROBE = ProbeSpec(NextQuery, "next", answer, slow=True, scores=True)
