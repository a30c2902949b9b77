"""Making a latent space, from texts to a file: the job behind the window's panel and the command.

``space_job(loaded, order)`` is a generator of progress, to be driven like any job: on the runner
(``runner.start_job("latent", lambda engine: space_job(engine.loaded, order))``), or by a loop. Its
steps are short, so that typing stays live. Not driving it is a pause (``runner.pause_job``);
closing it cancels, and what the last epoch left stays on disk for an order with ``resume``. What it
yields is `Progress` while texts are read and `Learning` while it learns: once an epoch with the
point of each curve (`Learning.epoch`) and where some held-out states lie by now
(`Learning.picture`), whose labels came before in `Collected`. Its value is the `Space` that was
saved.
"""

from __future__ import annotations

import datetime
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import UserError
from engine.latent import checkpoint
from engine.latent.card import Card, Plane
from engine.latent.checkpoint import Checkpoint
from engine.latent.corpus import Passages, Pooling, States
from engine.latent.corpus_cache import states_steps
from engine.latent.corpus_excerpts import Excerpts, excerpts_steps
from engine.latent.corpus_generated import Sampling, generate_steps
from engine.latent.corpus_texts import Text, read_corpus
from engine.latent.evaluation import measure, ordinary_rows
from engine.latent.pca import Pca
from engine.latent.quality import some
from engine.latent.reference import REFERENCE, save
from engine.latent.space import SUFFIX, Space, load, make
from engine.latent.training import (
    PLANE,
    Keeper,
    Settings,
    Split,
    Trained,
    TrainingStopped,
    train_steps,
)
from engine.models.loader import Loaded
from engine.types import ModelInfo, Progress

HALF = 1e-3
"""Largest relative change of the held-out ELBO for which weights are kept in half precision."""


SMOOTH = 0.03
"""Seconds a step takes, about, while somebody types."""


@dataclass(frozen=True, slots=True)
class Order:
    """What space to make.

    Parameters
    ----------
    out : Path
        The space's file; in `store.own_folder()` the window finds it too.
    corpus, label : paths and str
        What to read and which column of tables is the label; see `corpus_texts.read_corpus`.
    prompts, sampling : strings and Sampling
        Where there are prompts, the model goes on from them and that is read too.
    layer : int, optional
        0 to L; the middle if None.
    states : Pooling
        ``tokens``, or sentences as the ``mean`` of their tokens' states or the ``last`` one's.
    resume : bool
        Go on from what an earlier run of the same order left after its last epoch. Where there is
        nothing it starts anew.
    patience : float
        Seconds a step of collecting may take, about.
    command : str
        How it can be made again, for the card.
    """

    out: Path
    corpus: tuple[Path, ...] = ()
    label: str | None = None
    prompts: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    layer: int | None = None
    states: Pooling = "tokens"
    cutting: Passages = field(default_factory=Passages)
    settings: Settings = field(default_factory=Settings)
    resume: bool = False
    patience: float = SMOOTH
    command: str = ""


@dataclass(frozen=True, slots=True)
class Collected(Progress):
    """The states are there: `labels` (N,) index `names`, in the rows that `Learning.rows` counts.

    `resumed` is the epoch that training goes on from, 0 where it starts anew.
    """

    labels: NDArray[np.int64] | None = None
    names: tuple[str, ...] = ()
    resumed: int = 0


def space_job(loaded: Loaded, order: Order) -> Generator[Progress, None, Space]:
    """Collect states, train on them, measure, save; the value is the space as its file has it.

    The card is written beside the file a second time, as Markdown.

    Raises
    ------
    UserError
        If the texts come to nothing or too little, the file cannot be written, or a checkpoint is
        damaged or of another training. Where training stops being a matter of numbers, what was
        learned until then is saved, and the sentence says so.
    """
    info = loaded.info
    layer = info.layers // 2 if order.layer is None else order.layer
    if order.out.suffix != SUFFIX:
        raise UserError(
            f"Cannot save a latent space as {order.out.name}",
            f"its file is one of safetensors ({SUFFIX})",
            f"Name it {order.out.stem or 'space'}{SUFFIX}",
        )
    yield Progress("Reading the texts", 0.0)
    texts: tuple[Text, ...] = read_corpus(order.corpus, order.label)
    if order.prompts:
        texts += yield from generate_steps(loaded, order.prompts, order.sampling)
    states = yield from states_steps(
        loaded, texts, layer, order.cutting, pooling=order.states, patience=order.patience
    )
    excerpts = yield from excerpts_steps(loaded, texts, order.cutting, order.states)
    digest = checkpoint.digest(states.values, model=info.fingerprint or info.name, layer=layer)
    keeper = Checkpoint(checkpoint.beside(order.out), order.settings, digest)
    moment = None
    if order.resume:
        moment = keeper.load()
    else:
        keeper.remove()
    yield Collected(
        f"{len(states):,} states of {len(states.names)} labels",
        0.0,
        labels=states.labels,
        names=states.names,
        resumed=0 if moment is None else moment.number,
    )
    making = space_steps(
        info,
        states,
        order.settings,
        order.cutting,
        order.command,
        info.device,
        keeper,
        excerpts=excerpts,
    )
    try:
        space = yield from making
    except TrainingStopped as stopped:
        trained = stopped.trained
        if trained is None or not trained.best:
            raise
        # What was learned is worth keeping, and the user is told what it is.
        space = yield from measured_steps(
            info, states, trained, order.cutting, order.command, info.device, excerpts=excerpts
        )
        save(space, order.out)
        raise UserError(stopped.what, f"{stopped.why} in {order.out.name}", stopped.do) from stopped
    save(space, order.out)
    keeper.remove()
    return load(order.out)


def space_steps(
    info: ModelInfo,
    states: States,
    settings: Settings,
    cutting: Passages,
    command: str = "",
    device: str = "cpu",
    keeper: Keeper | None = None,
    split: Split | None = None,
    excerpts: Excerpts | None = None,
) -> Generator[Progress, None, Space]:
    """Train a VAE on states and measure it; the value is the space as it will be on disk.

    `excerpts` are those of the states.

    Raises
    ------
    UserError
        If there are too few states, or training stops being a matter of numbers.
    """
    begun = time.perf_counter()
    trained = yield from train_steps(
        states.values, states.passages, settings, device, keeper, split
    )
    return (
        yield from measured_steps(info, states, trained, cutting, command, device, begun, excerpts)
    )


def measured_steps(
    info: ModelInfo,
    states: States,
    trained: Trained,
    cutting: Passages,
    command: str,
    device: str,
    begun: float | None = None,
    excerpts: Excerpts | None = None,
) -> Generator[Progress, None, Space]:
    """Make a space of a trained VAE, measured on what it has not seen."""
    settings = trained.settings
    split = trained.split
    yield Progress("Measuring the latent space", 1.0)
    learned = torch.from_numpy(split.train)
    with torch.no_grad():
        x = trained.vae.standard(states.values[learned])
    later = ordinary_rows(states)[learned]
    pca = Pca.of(x, settings.latent)
    ordinary = Pca.of(x[later], settings.latent) if bool(later.any()) else pca
    del x
    yield Progress("Measuring the latent space", 1.0)
    held_out = states.rows(split.held_out)
    shown = np.zeros(len(held_out), dtype=np.bool_)
    shown[some(len(held_out), REFERENCE, settings.seed)] = True
    reference = held_out.rows(shown)
    texts: tuple[str, ...] = ()
    if excerpts is not None and len(excerpts) == len(states):
        texts = excerpts.of(np.flatnonzero(split.held_out)[shown])
    seconds = time.perf_counter() - (time.perf_counter() if begun is None else begun)
    card = _card(info, states, trained, cutting, command, device, seconds)
    space = make(trained.vae, pca, reference.values, reference.labels, card, texts)
    figures = measure(space, held_out, ordinary, settings.seed)
    yield Progress("Measuring the latent space", 1.0)
    half = make(space.rounded().vae, pca, reference.values, reference.labels, card, texts)
    rounded = measure(half, held_out, ordinary, settings.seed)
    if abs(rounded.elbo - figures.elbo) < HALF * abs(figures.elbo):
        told = msgspec.structs.replace(card, precision="float16", held_out=rounded)
        space = half
    else:
        told = msgspec.structs.replace(card, held_out=figures)
    told = msgspec.structs.replace(told, elbo_in_float32=figures.elbo)
    # Those that chose the epoch had a say too.
    seen = states.rows(~split.held_out).marks
    return replace(space, card=told, seen=seen)


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
        states="tokens" if states.pooling == "tokens" else "sentences",
        pooling=states.pooling,
    )


def _plane(settings: Settings) -> Plane:
    """What the picture of a space trained so shows."""
    flat = settings.latent <= PLANE or settings.picture > 0
    return "first two dimensions of μ" if flat else "first two principal components of μ"
