"""Long texts cut into windows of equal length, in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.errors import UserError
from engine.latent.corpus_texts import Text
from engine.models.loader import Loaded

LENGTH = 512
"""Tokens of a window unless the score looks further, or the model reads fewer."""

_CHARACTERS = 400_000  # of a text; what lies beyond is not read


@dataclass(frozen=True, slots=True)
class Looking:
    """What of texts is measured.

    The score is the loss at position `late` less that at `early`, the first token being at 0, each
    the mean over `around` positions on either side as well; `texts` is the most windows that are
    read, spread evenly.
    """

    early: int = 50
    late: int = 500
    around: int = 0
    texts: int = 32


@dataclass(frozen=True, slots=True)
class Window:
    """What is read at a time: tokens, and what they are from."""

    name: str
    ids: tuple[int, ...]


def windows(
    loaded: Loaded, texts: Sequence[Text], looking: Looking, what: str
) -> tuple[Window, ...]:
    """Cut texts into windows of equal length that do not overlap.

    Each begins with the tokens that the model's tokenizer puts before every text. Rows of a table
    with the same label are read as one text, a paragraph each.

    Raises
    ------
    UserError
        If the positions make no sense or lie beyond what the model reads, or no text reaches them.
    """
    early, late, around = looking.early, looking.late, looking.around
    info = loaded.info
    if around < 0 or looking.texts < 1 or not 0 < early - around <= early < late:
        raise UserError(
            what,
            f"the loss at position {late} cannot be held against that at {early}",
            "Give a late position behind an early one that is at least 1",
        )
    furthest = late + around
    if furthest >= info.max_tokens:
        why = f"position {furthest:,} lies beyond the {info.max_tokens:,} tokens {info.title} reads"
        raise UserError(what, why, "Look at earlier positions")
    whole = [(text.label, *_cut(loaded, text.text[:_CHARACTERS])) for text in _joined(texts)]
    longest = max((len(lead) + len(body) for _, lead, body in whole), default=0)
    if longest <= furthest:
        why = f"the longest text has {longest:,} tokens, and the score looks at position {furthest}"
        raise UserError(what, why, "Name longer texts, or look at earlier positions")
    length = min(max(LENGTH, furthest + 1), info.max_tokens, longest)
    found = []
    for name, lead, body in whole:
        step = length - len(lead)
        starts = range(0, len(body) - step + 1, step)
        found += [Window(name, lead + body[start : start + step]) for start in starts]
    chosen = np.unique(np.linspace(0, len(found) - 1, min(looking.texts, len(found))).astype(int))
    return tuple(found[index] for index in chosen.tolist())


def _cut(loaded: Loaded, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What a tokenizer puts before every text, and the tokens of this one."""
    tokens = loaded.reader_of_text.read(text)
    lead = next((at for at, token in enumerate(tokens) if not token.special), len(tokens))
    body = tuple(token.id for token in tokens[lead:] if not token.special)
    return tuple(token.id for token in tokens[:lead]), body


def _joined(texts: Sequence[Text]) -> list[Text]:
    """The texts, those that are rows of tables joined where they follow others of their label."""
    joined: list[Text] = []
    for text in texts:
        if text.row and joined and joined[-1].row and joined[-1].label == text.label:
            joined[-1] = replace(joined[-1], text=f"{joined[-1].text}\n\n{text.text}")
        else:
            joined.append(text)
    return joined
