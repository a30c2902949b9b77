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
    there = [i for i, one in enumerate(tokens) if one.start < one.end and not one.special]
    begins = np.array([tokens[i].start for i in there], dtype=np.int64)
    ends = np.array([tokens[i].end for i in there], dtype=np.int64)
    places = spans(text)
    # Both rise: the first token that ends behind a sentence's start, the first that begins behind
    # its end.
    firsts = ends.searchsorted([start for start, _ in places], "right").tolist()
    stops = begins.searchsorted([end for _, end in places], "left").tolist()
    found: list[Sentence] = []
    after = 0
    for (start, end), begun, stop in zip(places, firsts, stops, strict=True):
        first = max(begun, after)
        if first < stop:
            after = stop
            found.append(Sentence(plain(text[start:end]), there[first], there[stop - 1] + 1))
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
