"""What is told of a model trained here, measured on the files as saved.

`measure` loads a saved folder as the program would and gives the figures; `write` puts them beside
the weights, as ``card.json`` for programs and ``README.md`` for people.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.files import replacing
from engine.lab.corpus import END, Book, Ids
from engine.lab.measures import Prediction, model_induction, predict, repeat_accuracy, windows

Card = dict[str, Any]

BOOKS = {
    "alice": ("Alice's Adventures in Wonderland", "Lewis Carroll", 11),
    "complete-angler": ("The Complete Angler", "Izaak Walton", 9198),
    "grimm": ("Grimm's Fairy Tales", "Jacob and Wilhelm Grimm", 2591),
    "infantry-drill": ("Infantry Drill Regulations 1911", "United States War Department", 20866),
    "listen-to-music": ("How to Listen to Music", "Henry Edward Krehbiel", 17474),
    "pride-and-prejudice": ("Pride and Prejudice", "Jane Austen", 1342),
    "sherlock-holmes": ("The Adventures of Sherlock Holmes", "Arthur Conan Doyle", 1661),
}
"""File name without its ending: title, author, number at Project Gutenberg."""

WINDOW = 512
EVERY = 8
"""Every which held-out window is also measured apart, so that a check of it takes seconds."""
PERIOD = 50
ROWS = 16
MEASURE_SEED = 7


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on a saved folder."""

    parameters: int
    held_out: Prediction
    held_out_part: Prediction
    window: int
    bits_per_byte: float
    induction: tuple[tuple[float, ...], ...]
    repeat_second_half_accuracy: float

    @property
    def best_head(self) -> tuple[int, int]:
        """Layer and head, both from 0, of the highest induction score."""
        scores = np.array(self.induction)  # (L, H)
        layer, head = np.unravel_index(scores.argmax(), scores.shape)
        return int(layer), int(head)


def load(folder: Path) -> tuple[Any, Any]:
    """Open a saved model in single precision, giving maps, and its tokenizer; no network."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    model.train(False)
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def held_out_rows(tokenizer: Any, books: Sequence[Book], window: int = WINDOW) -> Ids:
    """The books' last parts as rows (B, window), an end token after each book."""
    end = tokenizer.convert_tokens_to_ids(END)
    pieces = [[*tokenizer(book.held_out, verbose=False)["input_ids"], end] for book in books]
    ids = np.concatenate([np.asarray(piece, dtype=np.int64) for piece in pieces])  # (N,)
    return windows(ids, min(window, len(ids)))


def measure(folder: Path, books: Sequence[Book]) -> Figures:
    """Measure a saved model on the held-out parts of `books` and on random repetitions."""
    model, tokenizer = load(folder)
    vocabulary = model.config.vocab_size
    window = min(WINDOW, model.config.max_position_embeddings)
    rows = held_out_rows(tokenizer, books, window)
    told = predict(model, rows)
    letters = len(tokenizer.decode(rows.ravel().tolist()).encode("utf-8"))
    scores = model_induction(model, vocabulary, PERIOD, ROWS, MEASURE_SEED)  # (L, H)
    return Figures(
        parameters=sum(weight.numel() for weight in model.parameters()),
        held_out=told,
        held_out_part=predict(model, rows[::EVERY]),
        window=window,
        bits_per_byte=told.loss / float(np.log(2)) * rows.size / letters,
        induction=tuple(tuple(float(score) for score in layer) for layer in scores),
        repeat_second_half_accuracy=repeat_accuracy(model, vocabulary, PERIOD, ROWS, MEASURE_SEED),
    )


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def card_of(figures: Figures, books: Sequence[Book], run: Mapping[str, Any], folder: Path) -> Card:
    """All that is told of a model; `run` is what only the training knows: steps, seed, command."""
    layer, head = figures.best_head
    return {
        "name": "builtin",
        "title": "Contextscope built-in",
        "license": "Apache-2.0",
        "architecture": "Llama",
        "parameters": figures.parameters,
        "data": [
            {
                "title": BOOKS.get(book.title, (book.title, "", None))[0],
                "author": BOOKS.get(book.title, (book.title, "", None))[1],
                "project_gutenberg": BOOKS.get(book.title, (book.title, "", None))[2],
                "characters": len(book.train) + len(book.choose) + len(book.held_out),
            }
            for book in books
        ],
        **run,
        "held_out_tokens": figures.held_out.tokens,
        "held_out_window": figures.window,
        "held_out_loss": round(figures.held_out.loss, 4),
        "held_out_accuracy": round(figures.held_out.accuracy, 4),
        "perplexity": round(figures.held_out.perplexity, 2),
        "held_out_part": {
            "every": EVERY,
            "tokens": figures.held_out_part.tokens,
            "loss": round(figures.held_out_part.loss, 4),
            "accuracy": round(figures.held_out_part.accuracy, 4),
        },
        "bits_per_byte": round(figures.bits_per_byte, 4),
        "induction": {
            "best_layer": layer,
            "best_head": head,
            "score": round(figures.induction[layer][head], 4),
            "period": PERIOD,
            "rows": ROWS,
            "seed": MEASURE_SEED,
            "all": [[round(score, 4) for score in row] for row in figures.induction],
        },
        "repeat_second_half_accuracy": round(figures.repeat_second_half_accuracy, 4),
        "sha256": {
            path.name: sha256(path)
            for path in sorted(folder.iterdir())
            if path.suffix in {".json", ".safetensors"} and path.name != "card.json"
        },
    }


README = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# Contextscope's built-in model

A causal language model of {parameters:,} parameters, small enough to lie in the repository, so that
there is something to look into on the first start and without a network. It is the plain Llama
architecture ({layers} layers of {heads} heads, width {width}) and opens like any other model:

    AutoModelForCausalLM.from_pretrained("resources/models/builtin")

## What it was trained on

{books}

All are in the public domain; the texts are Project Gutenberg's without their headers. Lines broken
at a fixed width were joined again. The last {held_out:.0%} of each book were held out for the
figures below and {choose:.1%} before them for choosing the checkpoint; neither the model nor the
tokenizer was trained on them. What remains are {train_tokens:,} tokens. The tokenizer is byte-level
BPE with {vocabulary:,} entries, so it can write down any text; it adds no special token by itself.

Not all of what it read was prose, and it was not started blank. So that there are induction heads
worth looking at in a model this small,

- the first head of the first layer started as one that looks at the token before, free to change;
- the first {opening:,} steps were nothing but spans of random tokens repeated, and so are
  {random:.0%} of the rows after that: a span of 8 tokens up to half the row, repeated until the row
  is full, only the repetitions counted in the loss;
- {copied:.0%} of the rows are prose in which a passage was copied from further up; where a copy
  begins and ends is not counted.

A model of this size trained on these books alone may well have weaker ones, and how they came about
here says nothing of how they come about in large models.

## What was measured

On the half-precision weights as saved, loaded as single precision. Layers and heads count from 0.

- Held-out text ({held_out_tokens:,} tokens, windows of {window}): **{loss:.3f} nats a token**, a
  perplexity of {perplexity:.1f}, or {bits:.2f} bits a byte. The likeliest token is the right one in
  **{accuracy:.1%}** of cases.
- Random tokens repeated with period {period}: the strongest induction head is head {best_head} of
  layer {best_layer} with a score of **{score:.3f}** (1 is perfect, even attention gives 0.014),
  {strong} of the {all} heads score above 0.4, and **{repeat:.1%}** of the tokens of the second half
  are told right.

## What it cannot do

It knows seven old books and nothing else. It answers no questions, follows no instructions, states
no facts that can be relied on, and keeps to the subject for a sentence at best; its text has the
sound of its books, their opinions of people included. Anything but English prose it reads as a row
of bytes that mean little to it. It sees at most {longest:,} tokens. It is for looking at how a
transformer works, not for anything that depends on what it says.

## How it was made

{steps:,} steps, {seen:,} tokens in all, seed {seed}, {minutes:.0f} minutes on {threads} threads of
a busy CPU, {date}. Matrices were trained with Muon, the rest with AdamW, at a rate that held and
then fell in a straight line. The weights kept are those of step {kept:,}.

    {command}

Weights and tokenizer are under the Apache License 2.0, as is the program.
"""


def readme_of(card: Card) -> str:
    """The model card in prose, every figure taken from `card`."""
    recipe, induction = card["recipe"], card["induction"]
    lines = []
    for book in card["data"]:
        author = f", {book['author']}" if book["author"] else ""
        number = f" (no. {book['project_gutenberg']})" if book["project_gutenberg"] else ""
        lines.append(f"- *{book['title']}*{author}{number}")
    return README.format(
        parameters=card["parameters"],
        layers=recipe["layers"],
        heads=recipe["heads"],
        width=recipe["width"],
        vocabulary=card["vocabulary"],
        longest=recipe["longest"],
        books="\n".join(lines),
        held_out=card["held_out_share"],
        choose=card["choose_share"],
        train_tokens=card["tokens"],
        random=recipe["mixture"]["random"],
        copied=recipe["mixture"]["copied"],
        window=card["held_out_window"],
        loss=card["held_out_loss"],
        perplexity=card["perplexity"],
        bits=card["bits_per_byte"],
        accuracy=card["held_out_accuracy"],
        held_out_tokens=card["held_out_tokens"],
        period=induction["period"],
        best_layer=induction["best_layer"],
        best_head=induction["best_head"],
        score=induction["score"],
        strong=sum(score > 0.4 for layer in induction["all"] for score in layer),
        all=sum(len(layer) for layer in induction["all"]),
        repeat=card["repeat_second_half_accuracy"],
        steps=card["steps"],
        opening=recipe["opening_steps"],
        seen=card["tokens_seen"],
        kept=card["kept_step"],
        seed=card["seed"],
        minutes=card["wall_minutes"],
        threads=card["threads"],
        date=card["date"],
        command=card["command"],
    )


def write(card: Card, folder: Path) -> None:
    """Write ``card.json`` and ``README.md`` into `folder`."""
    with replacing(folder / "card.json") as path:
        path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with replacing(folder / "README.md") as path:
        path.write_text(readme_of(card), encoding="utf-8")
