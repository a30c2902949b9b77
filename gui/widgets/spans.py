"""Where tokens stand in a text that is being edited: pure functions, no Qt.

Python counts a text in characters (code points), Qt's text documents in UTF-16 units, two for a
character beyond U+FFFF. Tokens come with spans in characters of the text that was read; by then
the user may have typed on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import compress, count, zip_longest
from operator import is_not

import numpy as np

from engine.types import Ints, Token

_LONE = re.compile("[\ud800-\udfff]")
_FRAGMENT = re.compile("⟨[0-9A-F]{2}(?: [0-9A-F]{2})*⟩")
_MARKS = {" ": "·", "\n": "↵", "\r": "␍", "\t": "⇥", "\u00a0": "⍽"}


class Units:
    """Translate positions in `text` between characters and UTF-16 units.

    Positions are integers or integer arrays of any shape. A UTF-16 position within a surrogate
    pair belongs to the character the pair encodes.
    """

    def __init__(self, text: str) -> None:
        if text.isascii():
            self._wide = np.empty(0, np.int64)
        else:
            points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
            self._wide = np.flatnonzero(points > 0xFFFF).astype(np.int64)
        # The UTF-16 position of each wide character's second half.
        self._halves = self._wide + np.arange(1, len(self._wide) + 1)

    @property
    def extra(self) -> int:
        """How many more units than characters the text has."""
        return len(self._wide)

    def to_units(self, characters: Ints) -> Ints:
        """UTF-16 positions of character positions."""
        return characters + np.searchsorted(self._wide, characters, "left")

    def to_characters(self, units: Ints) -> Ints:
        """Character positions of UTF-16 positions."""
        return units - np.searchsorted(self._halves, units, "right")

    def unit(self, character: int) -> int:
        """UTF-16 position of one character position."""
        return character + int(np.searchsorted(self._wide, character, "left"))

    def character(self, unit: int) -> int:
        """Character position of one UTF-16 position."""
        return unit - int(np.searchsorted(self._halves, unit, "right"))


def without_lone_surrogates(text: str) -> tuple[str, int]:
    """Replace each half of a surrogate pair that has lost its other half by U+FFFD; count them."""
    if text.isascii() or not _LONE.search(text):
        return text, 0
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _LONE.subn("\ufffd", joined)


def common_ends(old: str, new: str) -> tuple[int, int]:
    """Lengths of the longest common prefix and of the longest common suffix of what is left."""
    most = min(len(old), len(new))
    prefix = _common(old, new, most)
    suffix = _common(old[prefix:][::-1], new[prefix:][::-1], most - prefix)
    return prefix, suffix


def _common(old: str, new: str, most: int) -> int:
    # Comparing slices is done in C: a search by halves is far faster than a loop over characters.
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Spans of T tokens, half open: `starts` (T,), `ends` (T,)."""

    starts: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    ends: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def of(
        cls, tokens: Sequence[Token], known: tuple[Sequence[Token], Spans] | None = None
    ) -> Spans:
        """The spans the tokens came with, in characters.

        `known` are tokens with their spans, to be asked only of those that come after the same.
        """
        before, spans = known or ((), cls())
        kept = same_start(before, tokens)
        starts = [token.start for token in tokens[kept:]]
        ends = [token.end for token in tokens[kept:]]
        return cls(
            np.concatenate([spans.starts[:kept], np.array(starts, np.int64)]),
            np.concatenate([spans.ends[:kept], np.array(ends, np.int64)]),
        )

    def moved(self, old: str, new: str) -> Spans:
        """The same tokens' spans after `old` was edited to `new`, in characters.

        What stands before the edit stays, what stands behind it shifts. A token that the edit
        falls into reaches round it, and one that makes up all that was replaced stands for what
        replaces it; where several were replaced, they keep empty spans.
        """
        if old == new or not len(self.starts):
            return self
        prefix, suffix = common_ends(old, new)
        tail, delta = len(old) - suffix, len(new) - len(old)
        starts = np.where(
            self.starts >= tail,
            self.starts + delta,
            np.where(self.starts <= prefix, self.starts, tail + delta),
        )
        ends = np.where(
            self.ends <= prefix,
            self.ends,
            np.where(self.ends >= tail, self.ends + delta, prefix),
        )
        return Spans(starts, np.maximum(starts, ends))

    def in_units(self, units: Units) -> Spans:
        """The same spans in UTF-16 units."""
        return Spans(units.to_units(self.starts), units.to_units(self.ends))


@dataclass(frozen=True, slots=True)
class Share:
    """A token's part in a stretch of text: `column` of `columns` that share [start, end)."""

    token: int
    start: int
    end: int
    column: int
    columns: int


class SpanIndex:
    """Answers which tokens stand in a stretch of text, for thousands of tokens.

    Tokens that share one span (bytes of one character) share its picture: each has a column of it.
    """

    def __init__(self, spans: Spans) -> None:
        count = len(spans.starts)
        starts, ends = spans.starts, spans.ends
        order = np.lexsort((np.arange(count), ends, starts))
        self.order, self.starts, self.ends = order, starts[order], ends[order]
        # Spans may overlap, so the ends need not rise; their running maximum does.
        self._reach = np.maximum.accumulate(self.ends) if count else self.ends
        fresh = np.ones(count, bool)
        fresh[1:] = (np.diff(self.starts) != 0) | (np.diff(self.ends) != 0)
        group = np.cumsum(fresh) - 1
        first = np.flatnonzero(fresh)
        self.shares = np.bincount(group)[group] if count else group
        self.columns = np.arange(count) - (first[group] if count else group)

    def _near(self, start: int, end: int) -> slice:
        """Where those that meet [start, end) stand, and maybe others between them."""
        low = int(np.searchsorted(self._reach, start, "right"))
        return slice(low, int(np.searchsorted(self.starts, end, "left")))

    def fingerprint(self, start: int, end: int, origin: int) -> tuple[bytes, ...]:
        """Bytes that are the same where `between` is, positions being counted from `origin`."""
        near = self._near(start, end)
        placed = (self.starts[near] - origin, self.ends[near] - origin)
        parts = (*placed, self.order[near], self.columns[near], self.shares[near])
        return tuple(part.tobytes() for part in parts)

    def between(self, start: int, end: int) -> list[Share]:
        """The tokens whose spans are not empty and meet [start, end), by where they start."""
        near = self._near(start, end)
        return [
            Share(
                int(self.order[k]),
                int(self.starts[k]),
                int(self.ends[k]),
                int(self.columns[k]),
                int(self.shares[k]),
            )
            for k in range(near.start, near.stop)
            if self.ends[k] > max(start, self.starts[k])
        ]


def first_change(
    old: SpanIndex, old_shades: Sequence[int], new: SpanIndex, new_shades: Sequence[int]
) -> int | None:
    """The position from which on tokens stand elsewhere or in another shade; None if nowhere.

    Parameters
    ----------
    old_shades, new_shades : sequences
        A shade for each token.
    """
    most = min(len(old.starts), len(new.starts))
    same = (old.starts[:most] == new.starts[:most]) & (old.ends[:most] == new.ends[:most])
    same &= old.order[:most] == new.order[:most]
    if old_shades != new_shades:
        shades = np.array(old_shades), np.array(new_shades)
        same &= shades[0][old.order[:most]] == shades[1][new.order[:most]]
    first = most if same.all() else int(np.argmin(same))
    # Both are sorted by where their tokens start.
    starts = [int(index.starts[first]) for index in (old, new) if first < len(index.starts)]
    return min(starts, default=None)


def same_start(old: Sequence[object], new: Sequence[object]) -> int:
    """How many at the beginning are the same objects: those of a text that was typed on are."""
    # No step of this is one of Python's, so that a thousand cost what a few would.
    return next(compress(count(), map(is_not, old, new)), min(len(old), len(new)))


def kept_tokens(old: Sequence[Token], new: Sequence[Token]) -> tuple[int, int]:
    """How many tokens at the beginning, and of the rest at the end, are the same in both."""
    most = min(len(old), len(new))
    prefix = same_start(old, new)
    while prefix < most and old[prefix].id == new[prefix].id:
        prefix += 1
    suffix = 0
    while suffix < most - prefix and old[-1 - suffix].id == new[-1 - suffix].id:
        suffix += 1
    return prefix, suffix


def carry_index(index: int, old: Sequence[Token], new: Sequence[Token]) -> int | None:
    """Where the token `index` of `old` stands in `new`; None when it is gone.

    A token that became another while it was typed (``dog`` from ``do``) counts as the same.
    """
    prefix, suffix = kept_tokens(old, new)
    if index < prefix:
        return index
    if index >= len(old) - suffix:
        return index + len(new) - len(old)
    return index if index < len(new) - suffix else None


def carry_shades(
    old: Sequence[Token], shades: Sequence[int], new: Sequence[Token], count: int
) -> tuple[int, ...]:
    """Give each new token one of `count` shades: its old one where it stays, never its neighbours'.

    Shades by index would make every token behind an insertion change its colour.
    """
    prefix, suffix = kept_tokens(old, new)
    made = list(shades[:prefix])
    tail = list(shades[len(old) - suffix :]) if suffix else []
    following = tail[0] if tail else -1
    for position in range(prefix, len(new) - suffix):
        last = position == len(new) - suffix - 1
        before = made[-1] if made else -1
        shade = (before + 1) % count
        while shade == before or (last and shade == following):
            shade = (shade + 1) % count
        made.append(shade)
    if made and tail and made[-1] == tail[0]:
        around = {made[-1], tail[1] if len(tail) > 1 else -1}
        tail[0] = next(shade for shade in range(count) if shade not in around)
    return tuple(made + tail)


def visible(text: str) -> str:
    """`text` with marks for what cannot be seen: spaces, ends of lines, tabs, controls."""
    if text.isprintable() and " " not in text and not _is_mark(text[:1]):
        return text
    # A fragment of bytes, ⟨F0 9F⟩, is such a mark itself, its spaces are none of the text's.
    fragments = _FRAGMENT.findall(text)
    shown = "".join(
        "".join(_drawn(character) for character in plain) + fragment
        for plain, fragment in zip_longest(_FRAGMENT.split(text), fragments, fillvalue="")
    )
    # A combining mark alone needs something to stand on.
    return "◌" + shown if _is_mark(text[:1]) else shown


def _drawn(character: str) -> str:
    if character in _MARKS:
        return _MARKS[character]
    return character if character.isprintable() else f"⟨U+{ord(character):04X}⟩"


def _is_mark(character: str) -> bool:
    return bool(character) and unicodedata.category(character).startswith("M")


def token_tip(index: int, token: Token) -> str:
    """What a token is, in rich text: its text, place, id, bytes and characters."""
    rows = [("token", f"{index}" + (", special" if token.special else "")), ("id", f"{token.id}")]
    if token.data:
        shown = token.data[:24].hex(" ").upper() + (" …" if len(token.data) > 24 else "")
        rows.append(("bytes", shown))
    if token.end > token.start:
        last = token.end - 1
        rows.append(
            ("character", f"{token.start}")
            if last == token.start
            else ("characters", f"{token.start}–{last}")
        )
    body = "".join(f"<tr><td>{name}&nbsp;&nbsp;</td><td>{value}</td></tr>" for name, value in rows)
    title = escape(shortened(visible(token.text), 48))
    return f"<b><code>{title}</code></b><table>{body}</table>"


def shortened(text: str, most: int) -> str:
    """`text`, or its two ends with … between them where it has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]}…{text[-(most // 3 - 1) :]}"


def is_fragment(text: str) -> bool:
    """Whether a token's text stands for bytes that are no character by themselves."""
    return _FRAGMENT.search(text) is not None
