"""The sentences of a context, and their states made of its tokens' states.

Sentences are cut as the corpus cuts them, and their states pooled as there; but each token has read
what stands before its sentence too, which it has not where a sentence is read alone.

Shape letters: S sentences, T tokens, D model width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.latent.corpus import pooled
from engine.latent.corpus_sentences import plain, spans
from engine.types import Kind, Pooling, Token


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence on one line, and its tokens `start` to `stop`, half open."""

    text: str
    start: int
    stop: int


def sentences_of(text: str, tokens: Sequence[Token]) -> list[Sentence]:
    """The sentences of a text that have tokens, in order. A token belongs to one sentence at most.

    Parameters
    ----------
    tokens : sequence of Token
        Of the text or of its beginning, with offsets into it.
    """
    begins = np.array([token.start for token in tokens], dtype=np.int64)
    ends = np.array([token.end for token in tokens], dtype=np.int64)
    body = (ends > begins) & ~np.array([token.special for token in tokens], dtype=np.bool_)
    found: list[Sentence] = []
    after = 0
    for start, end in spans(text):
        there = np.flatnonzero(body & (ends > start) & (begins < end))
        there = there[there >= after]
        if len(there):
            after = int(there[-1]) + 1
            found.append(Sentence(plain(text[start:end]), int(there[0]), after))
    return found


def pooled_states(
    rows: Tensor, sentences: Sequence[Sentence], pooling: Pooling, kind: Kind, longest: int
) -> Tensor:
    """States (S, D) of sentences from those of a context's tokens (T, D).

    As `corpus.pooled_over` has it, a causal model's first place is left out of a sentence that has
    another one. Of a sentence, the first `longest` tokens count.
    """
    made = []
    for sentence in sentences:
        start, stop = sentence.start, min(sentence.stop, sentence.start + longest)
        if kind == "decoder" and start == 0 and stop > 1:
            start = 1
        made.append(pooled(rows[start:stop], pooling))
    return torch.cat(made)
