"""The frozen values of a prompt's answer: how likely each, and which parts were attended to."""

from __future__ import annotations

from dataclasses import dataclass

from engine.types import Floats, Ints, Query, Result


@dataclass(frozen=True, slots=True)
class AnswersQuery(Query):
    """How likely each of `answers` comes next, and how much attention goes to parts of the text.

    An answer brings the space that stands before it. `ranges` are parts of the text in characters,
    half open; a token belongs to the part that it begins in.
    """

    answers: tuple[str, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class AnswersResult(Result):
    """What comes after the text.

    Attributes
    ----------
    ids : Ints (A,)
        The first token of each answer, as it stands right after the text; −1 where the tokenizer
        would merge the answer into the text's last token, so that nothing predicts it.
    counted : Ints (A,)
        How many of its first tokens tell each answer from the others: 1, unless some begin alike.
    probabilities : Floats (A,)
        p(those tokens | text); NaN where there is none.
    shares : Floats (A,)
        The same among these answers alone, which sum to 1.
    ranks : Ints (A,)
        How many tokens of the vocabulary are likelier; −1 where there is none.
    mass : Floats (L, H, R) or None
        What the last token's row gives to the tokens of each part, by layer and head. None where
        attention cannot be seen.
    tokens : Ints (R, 2)
        The tokens of each part: the first, and the one after the last.
    """

    ids: Ints
    counted: Ints
    probabilities: Floats
    shares: Floats
    ranks: Ints
    mass: Floats | None
    tokens: Ints
