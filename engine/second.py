"""The second model of a comparison: whether it can be compared with the first, and in what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.comparison import identity
from engine.probes.spec import NotAnswerable, Pass

if TYPE_CHECKING:
    from engine.models.loader import Loaded

_SAID = {"decoder": "a decoder", "encoder": "an encoder", "encoder-decoder": "an encoder-decoder"}


def second_of(passed: Pass, model: str) -> Loaded | None:
    """The model of the `identity` `model`, which shall read the other side; None if it is empty.

    Raises
    ------
    NotAnswerable
        If it is not the second model at hand, or it and the first cannot be compared token by
        token: they are of different kinds, or their tokens are not the same.
    """
    if not model:
        return None
    first, second = passed.loaded, passed.second
    if second is None or identity(second.info) != model:
        why = passed.alone if second is None and passed.alone else "The second model is not open"
        raise NotAnswerable(f"{why}: choose it again beside context B")
    one, other = first.info, second.info
    names = named(first, second)
    if not first.reader_of_text.vocabulary().agrees(second.reader_of_text.vocabulary()):
        raise NotAnswerable(
            f"{names[0]} and {names[1]} cut texts into different tokens, so these cannot be "
            "compared one by one: choose a model with the same tokenizer beside context B"
        )
    if one.kind != other.kind:
        raise NotAnswerable(
            f"{names[0]} is {_SAID[one.kind]} and {names[1]} {_SAID[other.kind]}: choose two of a "
            "kind to compare"
        )
    if first.reader.device != second.reader.device:
        raise NotAnswerable(
            f"{names[0]} runs on {one.device} and {names[1]} on {other.device}: choose the second "
            "again beside context B"
        )
    request = passed.request
    if request is not None and request.chat and "chat" not in other.provides:
        raise NotAnswerable(
            f"{names[1]} came without a template for conversations: turn Edit ▸ Chat template off"
        )
    return second


def named(first: Loaded, second: Loaded) -> tuple[str, str]:
    """What two models are called beside each other, told apart by more where titles are alike."""
    one, other = first.info, second.info
    if one.title != other.title or identity(one) == identity(other):
        return one.title, other.title
    return f"{one.title} ({one.name})", f"{other.title} ({other.name})"
