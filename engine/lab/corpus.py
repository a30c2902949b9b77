"""Books as tokens, and the rows that the built-in model is trained on.

A row is prose, prose in which a passage was copied from further up, or random tokens repeated. The
last two cannot be predicted from what English is like, only from what stands in the context: they
are what makes a model this small learn to look back.

Shape letters: B rows, T tokens, V vocabulary, N tokens of a text.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from engine.errors import UserError

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
Kind = Literal["prose", "copied", "random"]

END = "<|endoftext|>"
SHORTEST_SPAN = 8
CHOOSE = 0.025
HELD_OUT = 0.05


@dataclass(frozen=True, slots=True)
class Book:
    """One text, cut where nothing of a later part can be seen in an earlier one."""

    title: str
    train: str
    choose: str
    held_out: str


def unwrap(text: str) -> str:
    """Join lines broken at a fixed width, so that the model learns to write as people type.

    A blank line stays a paragraph's end; an indented line (verse, a table) keeps its own line.
    """
    text = text.replace("\r\n", "\n").lstrip("\ufeff").strip()
    text = re.sub(r"[ \t]+\n", "\n", text)
    text = re.sub(r"(?<=\S)\n(?=\S)", " ", text)
    return re.sub(r"\n{3,}", "\n\n", text)


def read_books(
    folder: Path, choose: float = CHOOSE, held_out: float = HELD_OUT
) -> tuple[Book, ...]:
    """Read every ``.txt`` of a folder, by name, and cut each into three parts.

    Parameters
    ----------
    folder : Path
        Where the texts lie, UTF-8.
    choose, held_out : float
        Shares at the end of each book that are not trained on: the first to pick the best
        checkpoint, the last for the figures that are reported.

    Raises
    ------
    UserError
        If there is no text to read.
    """
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise UserError(
            f"Cannot train on {folder}",
            "it holds no .txt file",
            "Name a folder of plain texts with --books",
        )
    books = []
    for path in paths:
        try:
            text = unwrap(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"Cannot read {path}", str(error), "Use plain texts in UTF-8"
            ) from error
        # Cut at a character, not at a token: the tokenizer must not have seen the rest either.
        first = round(len(text) * (1 - choose - held_out))
        second = round(len(text) * (1 - held_out))
        books.append(Book(path.stem, text[:first], text[first:second], text[second:]))
    return tuple(books)


def train_tokenizer(texts: list[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE: every byte is in the alphabet, so no text at all is unknown to it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


def stream(tokenizer: Tokenizer, texts: list[str]) -> Ids:
    """All texts as one row of tokens (N,), the end token after each."""
    end = tokenizer.token_to_id(END)
    pieces = [[*tokenizer.encode(text).ids, end] for text in texts]
    return np.concatenate([np.asarray(piece, dtype=np.int64) for piece in pieces])


@dataclass(frozen=True, slots=True)
class Mixture:
    """What the rows of a training step are.

    `lengths` are the row lengths to draw from with the given `weights`; a step holds `budget`
    tokens whatever the length. `random` and `copied` are the shares of rows of those kinds;
    `natural` is the share of random rows that draw tokens as often as the books use them.
    """

    budget: int = 2048
    lengths: tuple[int, ...] = (128, 256, 512, 1024)
    weights: tuple[float, ...] = (0.2, 0.5, 0.2, 0.1)
    random: float = 0.20
    natural: float = 0.5
    copied: float = 0.10


def batch(
    ids: Ids, mixture: Mixture, vocabulary: int, rng: np.random.Generator
) -> tuple[Ids, Mask]:
    """Rows for one step and which of their tokens are worth predicting.

    Returns
    -------
    rows : (B, T + 1) int64
        Inputs are ``rows[:, :-1]``, targets ``rows[:, 1:]``.
    counted : (B, T) bool
        The targets that enter the loss.
    """
    length = int(rng.choice(mixture.lengths, p=mixture.weights)) + 1
    count = max(1, mixture.budget // (length - 1))
    shares = (mixture.random, mixture.copied, 1 - mixture.random - mixture.copied)
    made = []
    for kind in rng.choice(3, size=count, p=shares):
        if kind == 0:
            pool = (
                ids if rng.random() < mixture.natural else np.arange(1, vocabulary)
            )  # 0 is the end token
            made.append(random_row(length, pool, rng))
        else:
            start = int(rng.integers(0, len(ids) - length + 1))
            row = ids[start : start + length].copy()
            made.append(
                copied_row(row, rng) if kind == 1 else (row, np.ones(length - 1, dtype=np.bool_))
            )
    # B times (T + 1,) -> (B, T + 1), and B times (T,) -> (B, T)
    return np.stack([row for row, _ in made]), np.stack([counted for _, counted in made])


def random_row(length: int, pool: Ids, rng: np.random.Generator) -> tuple[Ids, Mask]:
    """A span of tokens drawn from `pool` repeated to the row's end; only what repeats is counted.

    The span's length is log-uniform from 8 to half the row: with a uniform draw most rows would
    hold barely one repetition, and the loss hardly anything to learn looking back from.
    """
    shortest = min(SHORTEST_SPAN, length // 2)
    drawn = math.exp(rng.uniform(math.log(shortest), math.log(length // 2)))
    period = max(shortest, int(drawn))
    span = rng.choice(pool, size=period)
    row = np.tile(span, -(-length // period))[:length]
    counted = np.ones(length - 1, dtype=np.bool_)
    # Target t of the (T,) targets is token t + 1 of the row. The span itself is noise, and that it
    # starts again cannot be told before its first token was seen again.
    counted[:period] = False
    return row, counted


def copied_row(row: Ids, rng: np.random.Generator) -> tuple[Ids, Mask]:
    """Write a passage of `row` over a later part of it; where it begins and ends is not counted."""
    length = len(row)
    longest = max(2, length // 4)
    size = int(rng.integers(min(SHORTEST_SPAN, longest), longest + 1))
    source = int(rng.integers(0, length - 2 * size + 1))
    target = int(rng.integers(source + size, length - size + 1))
    row[target : target + size] = row[source : source + size]
    counted = np.ones(length - 1, dtype=np.bool_)
    counted[target - 1] = False
    if target + size < length:
        counted[target + size - 1] = False
    return row, counted
