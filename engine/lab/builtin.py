"""Train the model that comes with the program.

    python -m engine.lab.builtin --books ../shared/data/books --out resources/models/builtin

A Llama small enough to lie in the repository, with a tokenizer of its own, saved in half precision
as transformers saves any model. The same seed, books, machine and number of threads give the same
weights; a run that was stopped goes on from its last checkpoint.
"""

from __future__ import annotations

import os

# Two threads that spin while they wait take the cores from whatever else runs. Read once, by the
# OpenMP that torch brings, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import dataclasses
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from engine.errors import UserError
from engine.files import replacing
from engine.lab import card
from engine.lab.corpus import CHOOSE, END, HELD_OUT, read_books, stream, train_tokenizer
from engine.lab.training import Checked, Recipe, build, fit


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, longest: int, out: Path) -> None:
    """Write weights in half precision and the tokenizer as transformers reads them."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        model_max_length=longest,
        clean_up_tokenization_spaces=False,
    )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        copy = LlamaForCausalLM(model.config)
        copy.load_state_dict(model.state_dict())
        copy.half().save_pretrained(name)
        wrapped.save_pretrained(name)
        for path in sorted(Path(name).iterdir()):
            with replacing(out / path.name) as beside:
                beside.write_bytes(path.read_bytes())


def run(
    folder: Path, out: Path, recipe: Recipe, work: Path, command: str
) -> Iterator[Checked | card.Card]:
    """Train on the books of `folder`, save into `out` and measure what was saved.

    Yields
    ------
    Checked or Card
        A look at the model every `recipe.check_every` steps; at the end, the card.

    Raises
    ------
    UserError
        If the books are missing or too short for one row of each part.
    """
    books = read_books(folder)
    texts = [book.train for book in books]
    tokenizer = train_tokenizer(texts, recipe.vocabulary)
    ids = stream(tokenizer, texts)
    choose = stream(tokenizer, [book.choose for book in books])
    held_out = stream(tokenizer, [book.held_out for book in books])
    need = max(recipe.mixture.lengths) + 1
    if len(ids) < need or min(len(choose), len(held_out)) < 2 * len(books) + 2:
        raise UserError(
            f"Cannot train on {folder}",
            f"its texts come to {len(ids)} tokens and a row needs {need}",
            "Add longer texts",
        )
    model = build(recipe, tokenizer.get_vocab_size())
    work.mkdir(parents=True, exist_ok=True)
    last = Checked(0, 0, math.nan, math.nan, math.nan, 0.0)
    for last in fit(model, ids, choose, recipe, work):
        yield last
    save(model, tokenizer, recipe.longest, out)
    told = {
        "vocabulary": tokenizer.get_vocab_size(),
        "tokens": len(ids),
        "tokens_seen": recipe.tokens,
        "choose_share": CHOOSE,
        "held_out_share": HELD_OUT,
        "steps": recipe.steps,
        "kept_step": last.kept,
        "seed": recipe.seed,
        "recipe": dataclasses.asdict(recipe),
        "wall_minutes": round(last.seconds / 60, 1),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__.split("+")[0],
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
    }
    made = card.card_of(card.measure(out, books), books, told, out)
    card.write(made, out)
    yield made


def main(arguments: list[str] | None = None) -> int:
    """Train from the command line."""
    parser = argparse.ArgumentParser(prog="python -m engine.lab.builtin", description=__doc__)
    parser.add_argument("--books", type=Path, required=True, help="folder of plain texts")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    parser.add_argument("--seed", type=int, default=Recipe().seed)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "contextscope-builtin",
        help="folder for the checkpoint that a stopped run goes on from",
    )
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    recipe = Recipe(steps=given.steps, seed=given.seed)
    command = (
        f"python -m engine.lab.builtin --books {given.books} --out {given.out}"
        f" --steps {given.steps} --seed {given.seed} --threads {given.threads}"
    )
    try:
        for seen in run(given.books, given.out, recipe, given.work, command):
            print(seen, flush=True)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
