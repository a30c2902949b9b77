"""Whether the states of texts fit into memory, told before a model makes them for minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from engine.errors import UserError
from engine.latent.corpus_sentences import LONGEST
from engine.memory import MACHINE, Room, room, shortage
from engine.types import Pooling

if TYPE_CHECKING:
    from engine.latent.corpus import Passages
    from engine.latent.corpus_texts import Text

NUMBER = 4
"""Bytes of one number of a state: float32."""

BESIDE = 400
"""Bytes that a state takes besides its numbers: where it stands, what it is called, what it is of.
"""

TEXT = 4
"""Bytes of memory for each byte of a text's file, while it is read and joined into paragraphs."""

CHARACTERS = 12
"""No tokenizer makes fewer tokens of prose than one of so many characters."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is done with states once they are there.

    Parameters
    ----------
    copies : float
        How many times it holds them besides; the default is a training's.
    most : int
        Of at most so many of them; 0 for all.
    """

    copies: float = 3.0
    most: int = 0

    def need(self, count: int, width: int) -> int:
        """Bytes that `count` states of `width` numbers and the work on them take, about."""
        worked_on = min(count, self.most or count)
        numbers = (count + self.copies * worked_on) * width * NUMBER
        return round(numbers) + count * BESIDE

    def fitting(self, free: int, width: int) -> int:
        """How many states `free` bytes are enough for, to two figures."""
        alone = width * NUMBER + BESIDE
        count = int(free / (alone + self.copies * width * NUMBER))
        if self.most and count > self.most:
            count = int((free - self.copies * self.most * width * NUMBER) / alone)
        figures: int = 10 ** max(0, len(str(count)) - 2)
        return count // figures * figures


def least(texts: Sequence[Text], cutting: Passages, pooling: Pooling) -> int:
    """How many states `texts` come to at the very least, known before they are cut."""
    found: dict[str, int] = {}
    each = CHARACTERS if pooling == "tokens" else LONGEST
    for text in texts:
        count = 1 if text.row else int(cutting.share * len(text.text)) // each
        found[text.label] = found.get(text.label, 0) + count
    if pooling == "tokens":
        return min(cutting.tokens, sum(found.values()))
    return sum(min(cutting.sentences // len(found), count) for count in found.values())


def require_room(
    count: int, width: int, work: Work, pooling: Pooling, there: Room | None = None
) -> None:
    """Check that `count` states of `width` numbers fit into memory.

    Raises
    ------
    UserError
        If they do not, with what they take, what is free and how many fit.
    """
    there = there or room(torch.device("cpu"))
    need = work.need(count, width)
    if need <= there.free:
        return
    noun = "tokens" if pooling == "tokens" else "sentences"
    fit = work.fitting(there.free, width)
    ways = f"Read at most {fit:,} {noun}" if fit else "Choose a smaller model"
    raise UserError(
        f"Cannot collect the states of {count:,} {noun}",
        shortage(need, there),
        ways + (" or close other programs" if there.bound == MACHINE else ""),
    )


def require_room_for_texts(files: Sequence[Path], there: Room | None = None) -> None:
    """Check that the texts in `files` fit into memory.

    Raises
    ------
    UserError
        If they do not, with what they take and what is free.
    """
    there = there or room(torch.device("cpu"))
    need = TEXT * sum(file.stat().st_size for file in files)
    if need > there.free:
        raise UserError(
            f"Cannot read {len(files):,} file{'s' * (len(files) != 1)}",
            shortage(need, there),
            "Choose fewer texts",
        )
