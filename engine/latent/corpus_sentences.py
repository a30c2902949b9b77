"""Where one sentence ends and the next begins: rules that are good enough for prose."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.types import Token

SHORTEST = 20
"""Characters; what is shorter joins the next sentence of its paragraph."""

LONGEST = 600
"""Characters; what is longer (a table, a list without stops) is cut at a space."""

# A stop, what may close after it, and then a space before something that can start a sentence.
_END = re.compile(r"(?<=[.!?…])[\"'”’»)\]_*]*\s+(?=[\"'“‘«(\[_*¿¡—-]*[^\W_a-z])|(?<=[。！？])\s*")
_PARAGRAPH = re.compile(r"\n\s*\n")
# What has a stop of its own and is followed by a name or a number.
_ABBREVIATED = re.compile(
    r"(?:^|[\s(\"'“‘])(?:Mr|Mrs|Ms|Mme|Mlle|Messrs|Dr|Prof|Rev|Hon|Capt|Col|Gen|Lt|Sgt|St|Mt|No|"
    r"Nos|Vol|Ch|Fig|Eq|pp?|cf|vs|viz|e\.g|i\.e|etc|ca|al|Jr|Sr|Inc|Ltd|Co|[A-Z])\.\s*$"
)


def spans(text: str) -> list[tuple[int, int]]:
    """Offsets in characters of the sentences of `text`, half open, rising; a paragraph ends one.

    Abbreviations and initials (``Mr.``, ``J.``) end none. What is shorter than `SHORTEST` joins the
    sentence after it, or the one before it at a paragraph's end. What has no letter or figure is
    left out.
    """
    found: list[tuple[int, int]] = []
    start = 0
    for match in [*_PARAGRAPH.finditer(text), None]:
        end = len(text) if match is None else match.start()
        found += _of_paragraph(text, start, end)
        start = end if match is None else match.end()
    return found


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, each on one line with single spaces."""
    return [plain(text[start:end]) for start, end in spans(text)]


def of_tokens(text: str, tokens: Sequence[Token]) -> list[tuple[tuple[int, int], list[int]]]:
    """The sentences of a text that was read as `tokens`: offsets as of `spans`, and the tokens.

    A token belongs to the first sentence it shares a character with; one that stands for no text,
    or for the space between two sentences alone, to none. A sentence without a token (it was cut
    off by the limit) is left out.
    """
    found: list[tuple[tuple[int, int], list[int]]] = []
    at = 0
    for start, end in spans(text):
        while at < len(tokens) and tokens[at].end <= start:
            at += 1
        inside: list[int] = []
        while at < len(tokens) and tokens[at].start < end:
            if tokens[at].start < tokens[at].end:
                inside.append(at)
            at += 1
        if inside:
            found.append(((start, end), inside))
    return found


def plain(sentence: str) -> str:
    """A sentence on one line with single spaces."""
    return " ".join(sentence.split())


def marks(found: Iterable[str]) -> NDArray[np.int64]:
    """A number for each sentence by which it is known again: 64 bits of its SHA-256, (n,).

    Of a million sentences, two have the same with a chance of 1 in 10⁷.
    """
    digests = [hashlib.sha256(plain(one).encode()).digest()[:8] for one in found]
    return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)


def _of_paragraph(text: str, start: int, end: int) -> list[tuple[int, int]]:
    pieces: list[tuple[int, int]] = []
    begun = start
    for match in _END.finditer(text, start, end):
        if match.end() - begun < SHORTEST or _ABBREVIATED.search(text[begun : match.end()][-16:]):
            continue
        pieces.append((begun, match.end()))
        begun = match.end()
    if begun < end:
        if pieces and end - begun < SHORTEST:
            pieces[-1] = (pieces[-1][0], end)
        else:
            pieces.append((begun, end))
    return [part for piece in pieces for part in _cut(text, *_stripped(text, *piece))]


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return end - len(piece.lstrip()), start + len(piece.rstrip())


def _cut(text: str, start: int, end: int) -> list[tuple[int, int]]:
    parts = []
    while end - start > LONGEST:
        space = text.rfind(" ", start + 1, start + LONGEST)
        stop = space if space > 0 else start + LONGEST
        parts.append((start, stop))
        start = stop + (text[stop : stop + 1] == " ")
    parts.append((start, end))
    return [(a, b) for a, b in parts if any(map(str.isalnum, text[a:b]))]
