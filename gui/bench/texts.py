"""Texts of any length to type into: the samples over and over, never twice the same."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import count, islice

from gui.samples import samples

_WORD = re.compile(r"[^\W\d_]{3,}")
_CHANGED = 0.3
"""The share of words that another word of the samples stands for, from the second round on."""


def pieces(seed: int = 0) -> Iterator[str]:
    """Sample after sample, without an end; each seed makes another text."""
    texts = [sample.text.strip() for sample in samples()]
    words = sorted({word for text in texts for word in _WORD.findall(text) if word.isascii()})
    for turn in count(seed):
        pick = random.Random(turn)
        order = list(texts)
        if turn:
            pick.shuffle(order)

        def other(match: re.Match[str], pick: random.Random = pick, turn: int = turn) -> str:
            return pick.choice(words) if turn and pick.random() < _CHANGED else match.group()

        for text in order:
            yield _WORD.sub(other, text) + "\n\n"


def long_text(characters: int, seed: int = 0) -> str:
    """At least so many characters."""
    made, length = [], 0
    for piece in pieces(seed):
        made.append(piece)
        length += len(piece)
        if length >= characters:
            break
    return "".join(made)


def keys(number: int, seed: int = 0) -> str:
    """So many characters that every keyboard has, forming words: what is typed key by key."""
    words = (
        word
        for piece in pieces(seed)
        for word in _WORD.findall(piece)
        if word.isascii() and word.islower()
    )
    return "".join(" " + word for word in islice(words, number))[:number]
