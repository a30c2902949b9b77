"""Which tokens of two sides stand for the same characters of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.probes.spec import Pass
from engine.types import Token


@dataclass(frozen=True, slots=True)
class Half:
    """One side while it is worked on: its pass, and the text's tokens within it."""

    passed: Pass
    context: str
    tokens: tuple[Token, ...]
    places: NDArray[np.int64]


def half_of(passed: Pass, context: str) -> Half:
    """The tokens of the text, their offsets counted from its beginning."""
    begin = len(context)
    places, tokens = [], []
    for place, token in enumerate(passed.tokens):
        if token.start < token.end and token.end > begin:
            places.append(place)
            moved = replace(token, start=token.start - begin, end=token.end - begin)
            tokens.append(moved if begin else token)
    return Half(passed, context, tuple(tokens), np.array(places, dtype=np.int64))


def aligned(one: Sequence[Token], other: Sequence[Token]) -> NDArray[np.int64]:
    """Indices (n, 2) of tokens that stand for the same characters of the same text.

    By their offsets in the text, which must agree at both ends: a token that a tokenizer merged
    across the boundary of context and text has no counterpart. Where several tokens share a
    character, they are paired in order if there are as many. Ids may differ: some tokenizers write
    the beginning of a text as no other place.
    """
    spans: dict[tuple[int, int], list[int]] = {}
    for index, token in enumerate(other):
        spans.setdefault((token.start, token.end), []).append(index)
    groups: dict[tuple[int, int], list[int]] = {}
    for index, token in enumerate(one):
        if token.start >= 0:
            groups.setdefault((token.start, token.end), []).append(index)
    pairs = [
        pair
        for span, mine in groups.items()
        if len(theirs := spans.get(span, [])) == len(mine)
        for pair in zip(mine, theirs, strict=True)
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
