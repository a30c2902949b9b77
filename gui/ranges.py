"""Keeps a pinned range on the tokens it was put on, while the text and the model change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QObject

from engine.types import Snapshot, Token
from gui.session import Range, Session
from gui.widgets.spans import Spans, kept_tokens


class RangeKeeper(QObject):
    """Moves a session's range as snapshots come, and remembers it in characters.

    With the same model the range is carried in tokens, so that special tokens and the bytes of one
    character stay in it; another model cuts the text differently, and the range becomes the tokens
    that its characters lie in. What is typed inside belongs to the range, what is typed at its
    ends does not; a range of which nothing is left is lifted.
    """

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._tokens: tuple[Token, ...] = ()
        self._text = ""
        self._model = ""
        self._waiting: Range | None = None

    def restore(self, characters: Range | None) -> None:
        """Pin these characters of the text as soon as a model has cut it into tokens."""
        self._waiting = characters
        self._text = self._session.text

    def characters(self) -> Range | None:
        """The range in characters of the text that was answered last; None without one."""
        if self._session.range is None:
            return self._waiting
        return _characters(self._tokens, self._session.range)

    def take(self, snapshot: Snapshot) -> None:
        """Bring the range to the tokens of `snapshot`."""
        session, tokens, text = self._session, snapshot.tokens, snapshot.request.text
        moved: Range | None = None
        if session.range is not None or self._waiting is not None:
            if session.range is not None and self._model == snapshot.model.name:
                moved = carry_range(session.range, self._tokens, tokens)
            else:
                held = self.characters()
                if held is not None:
                    held = _edited(held, self._text, text)
                    moved = tokens_in(tokens, held)
            self._waiting = None
            session.pin_range(moved)
        self._tokens, self._text, self._model = tokens, text, snapshot.model.name


def carry_range(held: Range, old: Sequence[Token], new: Sequence[Token]) -> Range | None:
    """Where the tokens `held` of `old` stand in `new`; None when none of them is left."""
    prefix, suffix = kept_tokens(old, new)
    tail, delta, last = len(old) - suffix, len(new) - len(old), len(new) - suffix
    start, end = held
    if start >= tail:
        start += delta
    elif start > prefix:
        start = min(start, last)
    if end > prefix:
        end = end + delta if end >= tail else min(end, last)
    return (start, end) if start < end <= len(new) else None


def _characters(tokens: Sequence[Token], held: Range) -> Range | None:
    part = [token for token in tokens[held[0] : held[1]] if token.end > token.start]
    return (min(t.start for t in part), max(t.end for t in part)) if part else None


def _edited(held: Range, old: str, new: str) -> Range:
    span = Spans(np.array([held[0]]), np.array([held[1]])).moved(old, new)
    return int(span.starts[0]), int(span.ends[0])


def tokens_in(tokens: Sequence[Token], held: Range) -> Range | None:
    """The tokens that the characters `held` lie in; None where there are none."""
    inside = [
        index
        for index, token in enumerate(tokens)
        if token.end > held[0] and token.start < held[1] and token.end > token.start
    ]
    return (inside[0], inside[-1] + 1) if inside else None
