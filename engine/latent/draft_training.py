"""Training a sentence space, as a job that can be interleaved with anything else.

No pass of the model is needed: what is learned from are its input embeddings. A batch holds
sentences of one length. Of the words a draft could be made of, each step compares those of its
batch and some drawn at random (sampled softmax): the table has thousands, a batch a few hundred.

Shape letters: N sentences, n their tokens, D model width, V words.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as all the world calls it
from torch import Tensor, nn

from engine.errors import UserError
from engine.latent.draft_vae import DraftVAE, Shape, unit
from engine.latent.vae import free_bits, kl_divergence, sample
from engine.types import Progress

LEAST = 50
"""Fewest sentences to train on."""

_MEASURED = 3000  # sentences whose tokens give the encoder's scale
_WARM = 200  # steps in which the learning rate grows


@dataclass(frozen=True, slots=True)
class Settings:
    """How a sentence space is trained.

    Parameters
    ----------
    latent, encoder, decoder : int
        Z and the widths of the two halves; the encoder's is a multiple of 4.
    beta, warm_up : float
        Weight of the KL term, and the share of all steps over which it grows from 0 to that. Below
        1 a sentence comes back more exactly, and what lies between two is less sure to be one.
    free_bits : float
        Nats a unit below which its KL is not pressed.
    negatives : int
        Words drawn at random that a step compares with, beside its own.
    rate : float
        AdamW's highest learning rate; it grows for 200 steps and then falls to 0.
    held_out : int
        Most sentences of each label that are kept to measure with; never more than a tenth.
    """

    latent: int = 32
    encoder: int = 256
    decoder: int = 384
    beta: float = 0.1
    warm_up: float = 0.5
    free_bits: float = 0.05
    negatives: int = 400
    epochs: int = 14
    batch: int = 96
    rate: float = 2e-3
    held_out: int = 300
    seed: int = 20911


@dataclass(frozen=True, slots=True)
class Epoch:
    """Means over an epoch's sentences, in nats a sentence: −E ln p(s|z) and KL.

    `reconstruction` is among the words compared, so less than among all.
    """

    number: int
    reconstruction: float
    kl: float


@dataclass(frozen=True, slots=True)
class Drafting(Progress):
    """A step of training; with `epoch`, what one came to."""

    epoch: Epoch | None = None


@dataclass(slots=True, eq=False)
class Moment:
    """All that training goes on from, after an epoch."""

    epochs: list[Epoch]
    vae: dict[str, Tensor]
    optimizer: dict[int, dict[str, Tensor]]
    random: Tensor


class Keeper(Protocol):
    """Where training leaves a `Moment` after each epoch, and finds the last one."""

    def load(self) -> Moment | None:
        """The last one kept, or None."""

    def save(self, moment: Moment) -> None:
        """Keep this one in its place."""


def split(labels: Sequence[int], settings: Settings) -> tuple[list[int], list[int]]:
    """Rows to train on and rows to measure with, of each label some, chosen by the seed."""
    order = np.random.default_rng(settings.seed).permutation(len(labels)).tolist()
    counts: dict[int, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    room = {label: min(settings.held_out, count // 10) for label, count in counts.items()}
    train, held_out = [], []
    for row in order:
        if room[labels[row]]:
            room[labels[row]] -= 1
            held_out.append(row)
        else:
            train.append(row)
    return train, held_out


def train_steps(
    ids: Sequence[Sequence[int]],
    end: int,
    embedding: Tensor,
    settings: Settings,
    keeper: Keeper | None = None,
) -> Generator[Drafting, None, tuple[DraftVAE, list[Epoch]]]:
    """Train a space of sentences; the value is it, on the CPU, and its curve.

    Yields after each step. With a `keeper` it goes on from where the last one was stopped, with the
    same weights as if it had not been.

    Parameters
    ----------
    ids : N sequences
        The tokens of each sentence to train on.
    end : int
        The token that ends one.
    embedding : (V', D) Tensor
        The model's input embeddings.

    Raises
    ------
    UserError
        If there are too few sentences, or the loss is no longer a number.
    """
    what = "Cannot train a sentence space"
    if len(ids) < LEAST:
        why = f"the texts come to {len(ids)} short sentences, and it takes {LEAST}"
        raise UserError(what, why, "Add texts with sentences of 3 to 14 tokens")
    if settings.encoder % 4 or settings.latent < 1:
        why = f"width {settings.encoder} cannot be shared among 4 heads, or Z is below 1"
        raise UserError(what, why, "Choose a multiple of 4, and a Z of at least 1")
    words = torch.tensor([*sorted({one for each in ids for one in each} - {end}), end])
    place = {int(token): index for index, token in enumerate(words)}
    known = [torch.tensor([place[one] for one in (*each, end)]) for each in ids]
    table = embedding[words.to(embedding.device)].float().cpu()  # (V, D)
    with torch.random.fork_rng(devices=[]):  # the process's own random numbers stay as they are
        torch.manual_seed(settings.seed)
        width = int(embedding.shape[1])
        shape = Shape(width, settings.latent, settings.encoder, settings.decoder, len(words))
        vae = DraftVAE(shape)
    vae.vocabulary.copy_(words)
    seen = table[torch.cat([one[:-1] for one in known[:_MEASURED]])]
    vae.centre.copy_(seen.mean(dim=0))
    vae.scale.copy_(seen.std(dim=0).clamp(min=1e-6))
    optimizer = torch.optim.AdamW(vae.parameters(), lr=settings.rate, weight_decay=0.01)
    random = torch.Generator().manual_seed(settings.seed)
    epochs: list[Epoch] = []
    moment = None if keeper is None else keeper.load()
    if moment is not None:
        epochs = list(moment.epochs)
        vae.load_state_dict(moment.vae)
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": moment.optimizer, "param_groups": groups})
        random.set_state(moment.random)
    targets = unit(table, torch.arange(len(table)))
    lengths = np.array([len(one) for one in known])
    per_epoch = sum(
        -(-int((lengths == length).sum()) // settings.batch) for length in set(lengths.tolist())
    )
    steps = per_epoch * settings.epochs
    for number in range(len(epochs) + 1, settings.epochs + 1):
        step, total = (number - 1) * per_epoch, np.zeros(2)
        for rows in _batches(lengths, settings.batch, random):
            share = step / steps
            for group in optimizer.param_groups:
                group["lr"] = settings.rate * min(1.0, (step + 1) / _WARM) * (1 - share) ** 0.7
            beta = settings.beta * min(1.0, share / settings.warm_up if settings.warm_up else 1.0)
            right = torch.stack([known[row] for row in rows])  # (N, n + 1)
            error, kl = _terms(vae, table, targets, right, settings, random)
            loss = (error + beta * free_bits(kl, settings.free_bits)) / 10
            if not torch.isfinite(loss):
                raise UserError(
                    "The training of the sentence space was stopped",
                    f"the loss was no longer a number in epoch {number}",
                    "Lower the learning rate",
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
            optimizer.step()
            step += 1
            total += len(rows) * np.array([float(error.detach()), float(kl.detach().sum())])
            yield Drafting(f"Training the sentence space: epoch {number}", step / steps)
        means = total / len(known)
        epochs.append(Epoch(number, float(means[0]), float(means[1])))
        if keeper is not None:
            state = optimizer.state_dict()["state"]
            keeper.save(Moment(list(epochs), vae.state_dict(), state, random.get_state()))
        text = f"epoch {number}: reconstruction {means[0]:.2f} nat, KL {means[1]:.2f} nat"
        yield Drafting(text, step / steps, epoch=epochs[-1])
    return vae.eval().requires_grad_(False), epochs


def _batches(
    lengths: np.ndarray[tuple[int, ...], np.dtype[np.int64]], size: int, random: torch.Generator
) -> list[list[int]]:
    """Rows of one length each, all of them, in an order that is drawn."""
    found: list[list[int]] = []
    for length in sorted(set(lengths.tolist())):
        rows = torch.from_numpy(np.flatnonzero(lengths == length))
        mixed = rows[torch.randperm(len(rows), generator=random)]
        found += [part.tolist() for part in mixed.split(size)]
    return [found[index] for index in torch.randperm(len(found), generator=random).tolist()]


def _terms(
    vae: DraftVAE,
    table: Tensor,
    targets: Tensor,
    right: Tensor,
    settings: Settings,
    random: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """−E ln p(s|z) in nats a sentence, among some words, and each unit's KL (Z,).

    `right` (N, n + 1) index the words, `targets` (V, D) are their unit embeddings.
    """
    mu, logvar = vae.posterior(table[right[:, :-1]])
    vectors = vae.vectors(sample(mu, logvar, random), right.shape[1])
    others = torch.randint(len(table), (settings.negatives,), generator=random)
    some, at = torch.unique(torch.cat([right.flatten(), others]), return_inverse=True)
    scores = vae.scores(vectors, targets[some], some)
    error = F.cross_entropy(scores.flatten(0, 1), at[: right.numel()], reduction="sum") / len(right)
    return error, kl_divergence(mu, logvar).mean(dim=0)
