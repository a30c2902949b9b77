"""The states that a latent space is shown against, and giving them to a space anew.

Files of older spaces hold where these lie in one picture only. Collected again they are kept as in
a space that is trained today: each state's μ, of which any plane can be drawn, and what stood in
the text. Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch

from engine.errors import UserError
from engine.files import replacing
from engine.latent.card import described, require
from engine.latent.corpus import Passages, Text, run_steps, units_steps
from engine.latent.corpus_excerpts import Excerpts
from engine.latent.corpus_memory import Work, require_room
from engine.latent.corpus_texts import named
from engine.latent.quality import some
from engine.latent.space import Space
from engine.models.loader import Loaded
from engine.types import Progress

REFERENCE = 4000
"""Most held-out states shown behind a context."""

LEAST = 20
"""Fewest states that a space can be shown against, as many as it is measured with at least."""


def refresh_steps(
    loaded: Loaded,
    space: Space,
    texts: tuple[Text, ...],
    cutting: Passages,
    command: str = "",
    patience: float = 0.25,
) -> Generator[Progress, None, Space]:
    """Show a space against states of `texts`; the value is the space with them.

    The texts are cut as for a training, and a passage or sentence with a sentence that the space
    was trained on or chosen by is left out before it is run. Of the rest at most `REFERENCE` states
    are kept, drawn with the seed of the training: of the texts of the training, cut as then, these
    are the ones it held out.

    Parameters
    ----------
    command : str
        How this can be done again, for the card.
    patience : float
        Seconds a step of collecting may take, about.

    Raises
    ------
    UserError
        If the space is of another model, nothing is left to show, or it would not fit into memory.
    """
    card = space.card
    require(card, loaded.info)
    units = yield from units_steps(loaded, texts, cutting, card.pooling)
    known = set(space.seen.tolist())
    fresh = [unit for unit in units if known.isdisjoint(unit.marks.tolist())]
    excerpts = Excerpts(fresh, card.pooling)
    if len(excerpts) < LEAST:
        raise UserError(
            f"Cannot show {card.name} against these texts",
            f"what it was not trained on comes to {len(excerpts)} states, and it takes {LEAST}",
            "Add texts it has not seen",
        )
    names = named(texts)
    require_room(len(excerpts), card.width, Work(copies=1, most=REFERENCE), card.pooling)
    states = yield from run_steps(loaded, fresh, card.layer, names, card.pooling, patience)
    rows = some(len(states), REFERENCE, card.seed)
    there, labels = np.unique(states.labels[rows], return_inverse=True)
    told = tuple(names[index] for index in there.tolist())
    yield Progress("Placing the states", 1.0)
    values = states.values[torch.from_numpy(rows)]
    made = replace(space, card=msgspec.structs.replace(card, reference=command))
    return made.against(values, labels, told, excerpts.of(rows))


def save(space: Space, out: Path) -> None:
    """Write a space, and its card beside it a second time, as Markdown.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    space.save(out)
    with replacing(out.with_suffix(".md")) as beside:
        beside.write_text(described(space.card), encoding="utf-8")
