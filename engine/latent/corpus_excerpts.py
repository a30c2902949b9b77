"""What stood in the text where a state is from: a few words round a token, or a sentence.

It is cut anew from the texts, as they were cut to be run: that takes no pass of the model, so that
states which were collected earlier have their excerpts too.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from itertools import accumulate

import numpy as np

from engine.latent.corpus import Passages, Pooling, Text, Unit, units_steps
from engine.models.loader import Loaded
from engine.types import Ints, Progress

LONGEST = 80
"""Characters of an excerpt."""

_SPACES = re.compile(r"\s+")
_NEAR = 4 * LONGEST  # characters looked at on either side: runs of spaces become one


class Excerpts:
    """Excerpts of the states that `corpus.collect_steps` makes of the same texts, by row.

    Parameters
    ----------
    units : sequence of Unit
        What was run, in order.
    pooling : Pooling
        Whether a unit gave a state for each of its tokens, or one.
    """

    def __init__(self, units: Sequence[Unit], pooling: Pooling) -> None:
        self._units, self._tokens = units, pooling == "tokens"
        counts = (len(unit.places) if self._tokens else 1 for unit in units)
        self._ends = np.array(list(accumulate(counts)), dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def of(self, rows: Ints) -> tuple[str, ...]:
        """The excerpts of the states in these rows (n,), each on one line."""
        found = []
        for row, index in zip(rows.tolist(), self._ends.searchsorted(rows, "right"), strict=True):
            unit = self._units[int(index)]
            if self._tokens:
                first = int(self._ends[index]) - len(unit.places)
                found.append(round_token(unit.text, *unit.places[row - first]))
            else:
                found.append(shortened(unit.text))
        return tuple(found)


def excerpts_steps(
    loaded: Loaded, texts: Sequence[Text], cutting: Passages, pooling: Pooling
) -> Generator[Progress, None, Excerpts]:
    """The value has the excerpts of all states of `texts`."""
    units = yield from units_steps(loaded, texts, cutting, pooling)
    return Excerpts(units, pooling)


def round_token(text: str, start: int, end: int) -> str:
    """The token at `start` to `end` of a text, ``‹marked›``, with what stands round it."""
    raw = text[start:end]
    token = _spaced(raw)
    word = token.strip() or ("¶" if "\n" in raw else "␣")
    word = shortened(word, LONGEST // 2)
    before = _spaced(text[max(0, start - _NEAR) : start]).lstrip()
    after = _spaced(text[end : end + _NEAR]).rstrip()
    if token.strip():
        before += " " * (token[:1] == " " and before[-1:] != " ")
        after = " " * (token[-1:] == " " and after[:1] != " ") + after
    room = LONGEST - len(word) - 2
    right = min(len(after), max(room // 3, room - len(before)))
    left = room - right
    if len(before) > left:
        before = "…" + before[len(before) - left + 1 :]
    if len(after) > right:
        after = after[: max(0, right - 1)] + "…"
    return f"{before}‹{word}›{after}".strip()


def shortened(text: str, most: int = LONGEST) -> str:
    """A text on one line, its end cut off where it is longer than `most` characters."""
    line = _spaced(text).strip()
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _spaced(text: str) -> str:
    return _SPACES.sub(" ", text)
