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
    """−log2 p of each token but the first, (T − 1,): entry i is of token i + 1."""

    bits: Tensor

    def keep(self, count: int) -> None:
        """Forget tokens from `count` on."""
        self.bits = self.bits[: max(0, count - 1)]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.bits.nbytes


def answer(passed: Pass, query: NextQuery) -> NextResult:
    """The likeliest next tokens; surprise −log2 p(x_t | x_<t) in bits of each token there is."""
    reader, trace = passed.loaded.reader, passed.trace
    # An encoder-decoder predicts the target, each entry of which is the next one's context.
    read = trace.target_ids if trace.target_ids else trace.ids
    if not read:
        raise NotAnswerable("There is no token yet")
    final = trace.final.rows()  # (T, D)
    kept = trace.memos.get("surprise")
    done = kept if isinstance(kept, Surprises) else Surprises(final.new_zeros(0).float())
    pieces = [done.bits]
    for low in range(len(done.bits), len(read) - 1, _ROWS):
        high = min(low + _ROWS, len(read) - 1)
        scores = reader.logits(final[low:high]).float()  # (n, V)
        gold = torch.tensor(read[low + 1 : high + 1], device=scores.device)[:, None]
        chosen = scores.gather(1, gold)[:, 0] - scores.logsumexp(dim=-1)
        pieces.append(chosen / -math.log(2))
    done.bits = torch.cat(pieces)
    trace.memos["surprise"] = done
    last = reader.logits(final[-1:]).float()[0].softmax(dim=-1)  # (V,)
    best = torch.topk(last, min(query.count, len(last)))
    ids = tuple(int(id_) for id_ in best.indices.tolist())
    first = done.bits.new_full((1,), torch.nan)
    return NextResult(
        ids=ids,
        texts=tuple(passed.loaded.reader_of_text.show(id_) for id_ in ids),
        probabilities=to_numpy(best.values),
        surprise=to_numpy(torch.cat([first, done.bits])),
    )


PROBE = ProbeSpec(NextQuery, "next", answer)
