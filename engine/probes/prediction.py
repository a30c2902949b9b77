"""What the model expects next, and how surprising each token was."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, to_numpy
from engine.types import NextQuery, NextResult

_ROWS = 64
"""Rows of logits computed at a time: bounds what is held to 64·V floats."""


@dataclass(slots=True)
class Surprises:
    """−log2 p of each token but the first, and the scores of the last position.

    `bits` (T − 1,): entry i is of token i + 1. `scores` (V,) are those that position `at` gives the
    token after it, which is the next token now and, once something is typed, a token to be judged:
    kept, so that no position goes through the output embedding twice.
    """

    bits: Tensor
    scores: Tensor | None = None
    at: int = -1
    judged: int = 0  # positions ever put through the output embedding

    def keep(self, count: int) -> None:
        """Forget tokens from `count` on."""
        self.bits = self.bits[: max(0, count - 1)]
        if self.at >= count:
            self.scores, self.at = None, -1

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.bits.nbytes + (0 if self.scores is None else self.scores.nbytes)


def answer(passed: Pass, query: NextQuery) -> NextResult:
    """The likeliest next tokens; surprise −log2 p(x_t | x_<t) in bits of each token there is."""
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
    assert done.scores is not None
    last = done.scores.softmax(dim=-1)  # (V,)
    best = torch.topk(last, min(query.count, len(last)))
    ids = tuple(int(id_) for id_ in best.indices.tolist())
    first = done.bits.new_full((1,), torch.nan)
    return NextResult(
        ids=ids,
        texts=tuple(passed.loaded.reader_of_text.show(id_) for id_ in ids),
        probabilities=to_numpy(best.values),
        surprise=to_numpy(torch.cat([first, done.bits])),
    )


def _judge(done: Surprises, passed: Pass, read: list[int]) -> None:
    """Bring surprises and last scores up to the tokens `read`."""
    final = passed.trace.final.rows()  # (T, D)
    last = len(read) - 1
    pieces = [done.bits]
    position = len(done.bits)  # the first position whose prediction has not been judged
    if done.scores is not None and done.at == position < last:
        pieces.append(_bits(done.scores[None], read[position + 1 : position + 2]))
        position += 1
    while position < last or done.at != last:
        high = min(position + _ROWS, last + 1)
        scores = passed.loaded.reader.logits(final[position:high]).float()  # (n, V)
        done.judged += high - position
        if high == last + 1:
            # A copy, so that the other rows' scores are let go.
            done.scores, done.at = scores[-1].clone(), last
            scores = scores[:-1]
        pieces.append(_bits(scores, read[position + 1 : position + 1 + len(scores)]))
        position = high
    done.bits = torch.cat(pieces)


def _bits(scores: Tensor, gold: list[int]) -> Tensor:
    """−log2 softmax(scores)[gold], for scores (n, V) and n tokens."""
    chosen = torch.tensor(gold, dtype=torch.long, device=scores.device)[:, None]
    return (scores.gather(1, chosen)[:, 0] - scores.logsumexp(dim=-1)) / -math.log(2)


PROBE = ProbeSpec(NextQuery, "next", answer)
