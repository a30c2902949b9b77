"""What a state is called when it is pointed at: its token among its neighbours, or its sentence."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from engine.latent.corpus import States, Text
from engine.latent.corpus_sentences import marks, plain, spans
from engine.models.loader import Loaded
from engine.types import Progress

BEFORE, AFTER = 8, 4
"""Tokens that are shown round one."""

_ROWS = 4096
_LONG = 240  # characters of a sentence


def caption_steps(
    loaded: Loaded, states: States, texts: Sequence[Text]
) -> Generator[Progress, None, tuple[str, ...]]:
    """A caption for each of N states, in their order.

    Of tokens: ``… the old [dog] runs …``. Of sentences: the sentence, as far as `texts` hold it.
    """
    if states.pooling == "tokens":
        return (yield from _of_tokens(loaded, states))
    return (yield from _of_sentences(states, texts))


def sentence_steps(texts: Sequence[Text]) -> Generator[Progress, None, dict[int, str]]:
    """Every sentence of `texts` by its mark, see `corpus_sentences.marks`."""
    found: dict[int, str] = {}
    for text in texts:
        whole = text.text
        parts = [whole] if text.row else [whole[start:end] for start, end in spans(whole)]
        found.update(zip(marks(parts).tolist(), map(plain, parts), strict=True))
        yield Progress("Counting sentences", 0.0)
    return found


def _of_tokens(loaded: Loaded, states: States) -> Generator[Progress, None, tuple[str, ...]]:
    reader = loaded.reader_of_text
    known = {one: reader.token(one).text for one in np.unique(states.ids).tolist()}
    shown = [known[one] for one in states.ids.tolist()]
    # Where a passage begins and ends, for each of its states.
    edges = np.flatnonzero(np.diff(states.passages)) + 1
    starts = np.concatenate([[0], edges])
    ends = np.concatenate([edges, [len(states)]])
    captions: list[str] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        for row in range(start, end):
            first, last = max(start, row - BEFORE), min(end, row + 1 + AFTER)
            head = "…" * (first > start) + "".join(shown[first:row])
            tail = "".join(shown[row + 1 : last]) + "…" * (last < end)
            own = shown[row]
            bare = own.lstrip(" ")
            captions.append(f"{head}{own[: len(own) - len(bare)]}[{bare}]{tail}")
            if not len(captions) % _ROWS:
                yield Progress("Reading what the states stand for", 0.0)
    return tuple(captions)


def _of_sentences(
    states: States, texts: Sequence[Text]
) -> Generator[Progress, None, tuple[str, ...]]:
    known = yield from sentence_steps(texts)
    # A sentence is one state and has one mark, in the same order.
    found = (known.get(mark, "") for mark in states.marks.tolist())
    return tuple(one if len(one) <= _LONG else one[: _LONG - 1] + "…" for one in found)
