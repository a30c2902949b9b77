"""From texts to the short sentences that a sentence space is trained on, as tokens.

Shape letters: N sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.latent.corpus_sentences import plain, sentences
from engine.latent.corpus_texts import Text
from engine.latent.draft_vae import LONGEST
from engine.models.loader import Loaded

SHORTEST = 3
"""Tokens of the shortest sentence."""

_ENDS = (".", "!", "?")


@dataclass(frozen=True, slots=True)
class Reading:
    """Short sentences as a model's tokens.

    `texts` (N), `ids` (N) the tokens of each without the one that ends it; `labels` (N,) index
    `names`.
    """

    texts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def rows(self, rows: Sequence[int]) -> Reading:
        """Those of some rows, in their order."""
        return Reading(
            tuple(self.texts[row] for row in rows),
            tuple(self.ids[row] for row in rows),
            self.labels[list(rows)],
            self.names,
        )


def short_sentences(loaded: Loaded, texts: Iterable[Text]) -> Reading:
    """The sentences of `texts` of 3 to 14 tokens, each once.

    A row of a table is one sentence; any other text is cut into them. One that does not begin with
    a capital letter or end with a stop is a heading or half a sentence, and left out.
    """
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    for text in texts:
        for sentence in [plain(text.text)] if text.row else sentences(text.text):
            whole = sentence[:1].isupper() and sentence.endswith(_ENDS)
            if not whole or sentence in found:
                continue
            ids = tuple(loaded.reader_of_text.ids(sentence))
            if SHORTEST <= len(ids) <= LONGEST:
                found[sentence] = ids, text.label
    names = tuple(dict.fromkeys(label for _, label in found.values()))
    return Reading(
        tuple(found),
        tuple(ids for ids, _ in found.values()),
        np.array([names.index(label) for _, label in found.values()], dtype=np.int64),
        names,
    )


def end_of(loaded: Loaded) -> int:
    """The token that ends a sentence: that of a line's end.

    Raises
    ------
    UserError
        If the model's vocabulary has none.
    """
    ids = loaded.reader_of_text.ids("\n")
    if not ids:
        raise UserError(
            f"Cannot make sentences with {loaded.info.title}",
            "its vocabulary has no end of a line",
            "Open another causal model",
        )
    return ids[-1]


def start_of(loaded: Loaded) -> tuple[int, ...]:
    """The tokens before a sentence: what begins a text, if the model has that, and a line's end."""
    reader = loaded.reader_of_text
    begins = getattr(getattr(reader, "tokenizer", None), "bos_token_id", None)
    return (*((int(begins),) if begins is not None else ()), end_of(loaded))
