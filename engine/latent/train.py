"""Train a latent space on texts, from the command line.

``python -m engine.latent.train --model NAME --layer N --corpus FOLDER --out FILE`` collects token
states, trains a VAE on them, measures it on passages it has not seen and writes one file.
"""

from __future__ import annotations

import os

# Threads that spin while they wait take the cores from whatever else runs. Read once, by the
# OpenMP that torch brings, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import datetime
import shlex
import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import torch

from engine.errors import UserError
from engine.files import replacing
from engine.latent.card import Card, Plane, described
from engine.latent.corpus import (
    Passages,
    States,
    Text,
    collect_steps,
    collection_key,
    load_states,
    read_texts,
    save_states,
)
from engine.latent.evaluation import measure
from engine.latent.pca import Pca
from engine.latent.space import SUFFIX, Space, load, make
from engine.latent.training import PLANE, Learning, Settings, Trained, train_steps
from engine.models.catalogue import resolve
from engine.models.loader import Loaded, load_steps
from engine.models.store import acquire, open_spec
from engine.paths import cache_dir
from engine.types import ModelInfo, Progress

REFERENCE = 4000
"""Most held-out states shown behind a context."""

HALF = 1e-3
"""Largest relative change of the held-out ELBO for which weights are kept in half precision."""


def states_steps(
    loaded: Loaded, texts: Sequence[Text], layer: int, cutting: Passages, kept: Path
) -> Generator[Progress, None, States]:
    """The states of one layer, collected once and from then on read from the folder `kept`."""
    key = collection_key(loaded.info.fingerprint or loaded.info.name, texts, cutting)
    path = kept / f"{loaded.info.name.replace('/', '--')}-{key}-{layer}{SUFFIX}"
    states = load_states(path)
    if states is None:
        collected = yield from collect_steps(loaded, texts, [layer], cutting)
        states = collected[layer]
        save_states(path, states)
    return states


def space_steps(
    info: ModelInfo,
    states: States,
    settings: Settings,
    cutting: Passages,
    command: str = "",
    device: str = "cpu",
) -> Generator[Progress, None, Space]:
    """Train a VAE on states and measure it; the value is the space as it will be on disk.

    Raises
    ------
    UserError
        If there are too few states, or training stops being a matter of numbers.
    """
    begun = time.perf_counter()
    trained = yield from train_steps(states.values, states.passages, settings, device)
    split = trained.split
    yield Progress("Measuring the latent space", 1.0)
    learned = torch.from_numpy(split.train)
    with torch.no_grad():
        x = trained.vae.standard(states.values[learned])
    later = torch.from_numpy(states.positions[split.train] > states.positions.min())
    pca = Pca.of(x, settings.latent)
    ordinary = Pca.of(x[later], settings.latent) if bool(later.any()) else pca
    del x
    yield Progress("Measuring the latent space", 1.0)
    held_out = states.rows(split.held_out)
    rng = np.random.default_rng(settings.seed)
    shown = np.zeros(len(held_out), dtype=np.bool_)
    shown[rng.permutation(len(held_out))[:REFERENCE]] = True
    reference = held_out.rows(shown)
    card = _card(info, states, trained, cutting, command, device, time.perf_counter() - begun)
    space = make(trained.vae, pca, reference.values, reference.labels, card)
    figures = measure(space, held_out, ordinary, settings.seed)
    yield Progress("Measuring the latent space", 1.0)
    half = make(space.rounded().vae, pca, reference.values, reference.labels, card)
    rounded = measure(half, held_out, ordinary, settings.seed)
    if abs(rounded.elbo - figures.elbo) < HALF * abs(figures.elbo):
        told = msgspec.structs.replace(card, precision="float16", held_out=rounded)
        space = half
    else:
        told = msgspec.structs.replace(card, held_out=figures)
    told = msgspec.structs.replace(told, elbo_in_float32=figures.elbo)
    return Space(
        space.vae, space.origin, space.axes, space.reference, space.labels, space.pca, told
    )


def _card(
    info: ModelInfo,
    states: States,
    trained: Trained,
    cutting: Passages,
    command: str,
    device: str,
    seconds: float,
) -> Card:
    counts = Counter(states.labels.tolist())
    return Card(
        model=info.name,
        title=info.title,
        fingerprint=info.fingerprint,
        layer=states.layer,
        width=info.width,
        latent=trained.settings.latent,
        hidden=trained.settings.hidden,
        settings=asdict(trained.settings),
        data={name: counts[label] for label, name in enumerate(states.names)},
        label_names=states.names,
        passages=len(np.unique(states.passages)),
        passage_length=cutting.length,
        train_states=int(trained.split.train.sum()),
        choose_states=int(trained.split.choose.sum()),
        plane=_plane(trained.settings),
        epochs=trained.settings.epochs,
        best_epoch=trained.best,
        seconds=round(seconds, 1),
        seed=trained.settings.seed,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=command,
        torch=torch.__version__.split("+")[0],
        device=device,
    )


def _plane(settings: Settings) -> Plane:
    """What the picture of a space trained so shows."""
    flat = settings.latent <= PLANE or settings.picture > 0
    return "first two dimensions of μ" if flat else "first two principal components of μ"


def open_steps(model: str, device: str) -> Generator[Progress, None, Loaded]:
    """Bring a model here and load it."""
    entry = resolve(model)
    folder = yield from acquire(entry)
    return (yield from load_steps(open_spec(entry, folder), device))


def run(given: argparse.Namespace, command: str) -> Generator[Progress, None, Space]:
    """Do what the command line says; the value is the space as it was read back from its file.

    The card is written beside it a second time, as Markdown.
    """
    texts = read_texts(given.corpus)
    loaded = yield from open_steps(given.model, given.device)
    layer = loaded.info.layers // 2 if given.layer is None else given.layer
    cutting = Passages(tokens=given.tokens, length=given.passage)
    states = yield from states_steps(loaded, texts, layer, cutting, given.states)
    settings = Settings(
        latent=given.z,
        hidden=given.hidden,
        beta=given.beta,
        warm_up=given.warm_up,
        free_bits=given.free_bits,
        picture=given.picture,
        epochs=given.epochs,
        batch=given.batch,
        rate=given.rate,
        decay=given.decay,
        seed=given.seed,
    )
    space = yield from space_steps(
        loaded.info, states, settings, cutting, command, loaded.info.device
    )
    space.save(given.out)
    with replacing(given.out.with_suffix(".md")) as beside:
        beside.write_text(described(space.card), encoding="utf-8")
    return load(given.out)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    usual, cutting = Settings(), Passages()
    made = argparse.ArgumentParser(
        prog="python -m engine.latent.train",
        description="Train a latent space of a model's token states on texts.",
    )
    made.add_argument("--model", required=True, help="name, id, folder or file")
    made.add_argument("--layer", type=int, help="0 to L; the middle unless given")
    made.add_argument("--corpus", type=Path, required=True, help="folder of plain texts")
    made.add_argument("--out", type=Path, required=True, help="the space's file")
    made.add_argument("--z", type=int, default=usual.latent, help="latent dimensions")
    made.add_argument("--hidden", type=int, default=usual.hidden)
    made.add_argument("--beta", type=float, default=usual.beta)
    made.add_argument("--warm-up", type=float, default=usual.warm_up)
    made.add_argument("--free-bits", type=float, default=usual.free_bits)
    made.add_argument(
        "--picture",
        type=float,
        default=usual.picture,
        help="share of states rebuilt from the picture's two dimensions alone while training",
    )
    made.add_argument("--epochs", type=int, default=usual.epochs)
    made.add_argument("--batch", type=int, default=usual.batch)
    made.add_argument("--rate", type=float, default=usual.rate)
    made.add_argument("--decay", type=float, default=usual.decay)
    made.add_argument("--seed", type=int, default=usual.seed)
    made.add_argument("--tokens", type=int, default=cutting.tokens)
    made.add_argument("--passage", type=int, default=cutting.length, help="tokens a passage")
    made.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--states", type=Path, default=cache_dir() / "states", help="kept states")
    return made


def told_again(words: Sequence[str]) -> str:
    """The command to repeat this with; where states are kept changes nothing and is left out."""
    left_out = {i + k for i, word in enumerate(words) if word == "--states" for k in (0, 1)}
    kept = [word for i, word in enumerate(words) if i not in left_out]
    return shlex.join(["python", "-m", "engine.latent.train", *kept])


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, save, and print the card."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    given = parser().parse_args(words)
    torch.set_num_threads(given.threads)
    steps = run(given, told_again(words))
    shown = ""
    try:
        while True:
            step = next(steps)
            if step.text != shown and (not isinstance(step, Learning) or step.epoch):
                print(shown := step.text, flush=True)
    except StopIteration as stop:
        card = stop.value.card
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(msgspec.json.format(msgspec.json.encode(card), indent=1).decode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
