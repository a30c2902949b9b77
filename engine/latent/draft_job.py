"""Making a sentence space and writing from one: the jobs behind the window and the command line.

Both are generators of progress, to be driven like any job; their steps are short, and closing one
cancels it. What the last epoch of a training left stays on disk for an order with ``resume``.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.errors import UserError
from engine.latent import draft_file as files
from engine.latent.corpus_sentences import marks, plain
from engine.latent.corpus_texts import Text, read_corpus
from engine.latent.draft_evaluation import measure_steps
from engine.latent.draft_file import Card, DraftSpace
from engine.latent.draft_templates import sentences as from_templates
from engine.latent.draft_texts import end_of, short_sentences
from engine.latent.draft_training import Settings, split, train_steps
from engine.latent.draft_vae import LONGEST
from engine.latent.draft_values import REACH, Line, SentencesWritten, Wish
from engine.latent.draft_writing import WEIGHT, able, encode, write_steps
from engine.latent.paths import between, prior, traversal
from engine.models.loader import Loaded
from engine.types import Progress

TEMPLATES = "templates"
"""The label of sentences by rules."""


@dataclass(frozen=True, slots=True)
class DraftOrder:
    """What sentence space to make: of the texts `corpus`, and `templates` sentences by rules."""

    out: Path
    corpus: tuple[Path, ...] = ()
    label: str | None = None
    templates: int = 0
    settings: Settings = field(default_factory=Settings)
    weight: float = WEIGHT
    written: int = 60
    resume: bool = False
    command: str = ""


def make_steps(loaded: Loaded, order: DraftOrder) -> Generator[Progress, None, DraftSpace]:
    """Read texts, train, measure, save; the value is the space as its file has it.

    Raises
    ------
    UserError
        If the model cannot write, the texts come to too little, the loss is no longer a number, or
        a file cannot be read or written.
    """
    able(loaded)
    if order.out.suffix != files.SUFFIX:
        raise UserError(
            f"Cannot save a sentence space as {order.out.name}",
            f"its file is one of safetensors ({files.SUFFIX})",
            f"Name it {order.out.stem or 'space'}{files.SUFFIX}",
        )
    begun = time.perf_counter()
    yield Progress("Reading the texts", 0.0)
    texts = read_corpus(order.corpus, order.label) if order.corpus else ()
    if order.templates:
        made = from_templates(order.templates, order.settings.seed)
        texts += tuple(Text(TEMPLATES, one, row=True) for one in made)
    reading = short_sentences(loaded, texts)
    train, held_out = split(reading.labels.tolist(), order.settings)
    learned = reading.rows(train)
    info = loaded.info
    named = files.digest(learned.texts, model=info.fingerprint or info.name)
    keeper = files.Checkpoint(files.checkpoint_of(order.out), order.settings, named)
    if not order.resume:
        keeper.remove()
    end = end_of(loaded)
    vae, epochs = yield from train_steps(learned.ids, end, loaded.embedding, order.settings, keeper)
    counts = np.bincount(learned.labels, minlength=len(learned.names)).tolist()
    card = Card(
        model=info.name,
        title=info.title,
        fingerprint=info.fingerprint,
        shape=vae.shape,
        settings=order.settings,
        data=dict(zip(learned.names, counts, strict=True)),
        epochs=epochs,
        weight=order.weight,
        seconds=round(time.perf_counter() - begun, 1),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=order.command,
        torch=torch.__version__.split("+")[0],
    )
    vae = files.rounded(vae)
    measured = yield from measure_steps(
        loaded, vae, reading.rows(held_out), order.weight, order.written
    )
    card = msgspec.structs.replace(card, held_out=measured)
    space = DraftSpace(vae, card, torch.from_numpy(marks(learned.texts)))
    files.save(space, order.out)
    keeper.remove()
    return files.load(order.out)


def evaluate_steps(
    loaded: Loaded, space: DraftSpace, texts: tuple[Text, ...], written: int = 60
) -> Generator[Progress, None, tuple[files.Row, ...]]:
    """Measure a space on the short sentences of texts, less those that it was trained on.

    Raises
    ------
    UserError
        If nothing is left to measure with, or the space is of another model.
    """
    files.require(space.card, loaded.info)
    reading = short_sentences(loaded, texts)
    seen = set(space.seen.tolist())
    fresh = [row for row, mark in enumerate(marks(reading.texts).tolist()) if mark not in seen]
    if not fresh:
        raise UserError(
            "Cannot measure this sentence space",
            "the texts hold no sentence of 3 to 14 tokens that it was not trained on",
            "Name other texts",
        )
    return (
        yield from measure_steps(loaded, space.vae, reading.rows(fresh), space.card.weight, written)
    )


def wish_steps(
    loaded: Loaded, space: DraftSpace, wish: Wish
) -> Generator[Progress, None, SentencesWritten]:
    """Write the sentences that are wished for; the value has them all.

    Raises
    ------
    UserError
        If a sentence is missing or longer than the space reads, or the dimension is none of it.
    """
    files.require(space.card, loaded.info)
    labels, points = points_of(loaded, space, wish)
    texts = yield from write_steps(loaded, space.vae, points, space.card.weight)
    lines = tuple(Line(label, text) for label, text in zip(labels, texts, strict=True))
    note, figures = _note(loaded, space, wish), files.figures(space.card)
    return SentencesWritten("Written", 1.0, lines=lines, note=note, figures=figures)


def points_of(loaded: Loaded, space: DraftSpace, wish: Wish) -> tuple[tuple[str, ...], Tensor]:
    """Labels and points (P, Z) of a wish."""
    latent = space.card.shape.latent
    needed = {"here": 1, "dimension": 1, "between": 2, "analogy": 3, "prior": 0}[wish.way]
    given = [plain(one) for one in wish.sentences[:needed]]
    if len(given) < needed or not all(given):
        raise UserError(
            "Cannot write sentences", f"this takes {needed} of them to start from", "Fill them in"
        )
    ids = [loaded.reader_of_text.ids(one) for one in given]
    for sentence, each in zip(given, ids, strict=True):
        if len(each) > LONGEST:
            raise UserError(
                f"Cannot place “{sentence}”",
                f"it has {len(each)} tokens, and this space reads at most {LONGEST}",
                "Shorten it",
            )
    mu = encode(space.vae, loaded, ids)[0].tolist() if ids else []
    if wish.way == "here":
        return ("as written back",), torch.tensor(mu)
    if wish.way == "between":
        shares = np.linspace(0, 1, wish.steps)
        way = between(mu[0], mu[1], wish.steps)
        return tuple(f"{100 * share:.0f} %" for share in shares), torch.tensor(way)
    if wish.way == "dimension":
        if not 0 <= wish.dimension < latent:
            raise UserError(
                "Cannot write sentences",
                f"there is no dimension {wish.dimension} in this space of {latent}",
                f"Choose from 0 to {latent - 1}",
            )
        values = np.linspace(-REACH, REACH, wish.steps).tolist()
        labels = tuple(f"{value:+.1f}" for value in values)
        return labels, torch.tensor(traversal(mu[0], wish.dimension, values))
    if wish.way == "analogy":
        a, b, c = torch.tensor(mu)
        return ("a − b + c",), (a - b + c)[None]
    drawn = prior(wish.steps, latent, wish.seed)
    return tuple(f"draw {index + 1}" for index in range(len(drawn))), torch.tensor(drawn)


def _note(loaded: Loaded, space: DraftSpace, wish: Wish) -> str:
    """Which words of the sentences the space has never seen; empty where it knows all."""
    known = set(space.vae.vocabulary.tolist())
    strange: dict[str, None] = {}
    for sentence in wish.sentences:
        for token in loaded.reader_of_text.read(plain(sentence)):
            if token.id not in known:
                strange[token.text.strip() or token.text] = None
    if not strange:
        return ""
    said = ", ".join(f"“{one}”" for one in list(strange)[:6])
    return f"This space has not met {said}: such words do not come back."
