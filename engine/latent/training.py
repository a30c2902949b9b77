"""Training a VAE on collected states, as a job that can be interleaved with anything else.

Shape letters: N states, D model width, Z latent width.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.errors import UserError
from engine.latent.vae import (
    VAE,
    Bound,
    active_units,
    evidence_bound,
    free_bits,
    kl_divergence,
    kl_per_dimension,
    mutual_information,
    sample,
)
from engine.types import Floats, Pooling, Progress

PLANE = 2
"""Dimensions of the picture."""

LEAST = 50
"""Fewest states to train on: with less than this nothing can be said of how good a space is."""
LOOKED_AT = 1024
"""Most states that mutual information is estimated from, and that are drawn, while training."""
_PART = 1024  # states measured in one step
_COMPARED = 4096  # most of the states trained on that are measured beside those that choose


@dataclass(frozen=True, slots=True)
class Settings:
    """How a VAE is trained.

    Parameters
    ----------
    latent, hidden : int
        Z and the width of the perceptrons' hidden layers.
    beta, warm_up : float
        Weight of the KL term, and the share of all steps over which it grows from 0 to that.
    free_bits : float
        Nats a unit below which its KL is not pressed.
    dropout, noise : float
        What of its input the encoder does not see while training: the share of dimensions set to 0
        (the others growing to make up for it), and the standard deviation of noise added to
        standardised states. The decoder is to rebuild the whole state all the same, so that the
        map rests on no single dimension (Vincent et al. 2008; Im et al. 2017, 1511.06406).
    picture : float
        Share of each step's states that are rebuilt from the first two dimensions alone ("nested
        dropout", Rippel et al. 2014, 1402.0915). The picture is then these two: they carry what can
        be told in two dimensions, where the first two principal components of μ carry two parts in
        Z of it, all units varying alike. 0 leaves it at the principal components; where Z is 2
        there is nothing to leave out.
    rate, decay : float
        AdamW's learning rate at the start of the cosine and its decay of the perceptrons' weights.
    seed : int
        Of the split, the first weights, the order of the states and ε. The same seed gives the same
        weights on the same device with the same number of threads.
    """

    latent: int = 8
    hidden: int = 256
    beta: float = 1.0
    warm_up: float = 0.1
    free_bits: float = 0.5
    dropout: float = 0.0
    noise: float = 0.0
    picture: float = 0.5
    epochs: int = 40
    batch: int = 256
    rate: float = 1e-3
    decay: float = 0.01
    seed: int = 20911


def settings_for(pooling: Pooling) -> Settings:
    """What a space is trained with where nobody says otherwise.

    Sentences are few, so that what is learned of them by heart is held back: the encoder sees less
    of each. A space of two dimensions tells them apart better in its picture than the first two of
    eight do. On second halves of seven books, having learned from 2,800 sentences of the first,
    their ten nearest told the book of 59 % by all-MiniLM-L6-v2 and of 49 % with a token's settings;
    in PCA's picture it was 47 %.
    """
    if pooling == "tokens":
        return Settings()
    return Settings(latent=PLANE, dropout=0.3, noise=1.0, epochs=80, decay=0.05)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Which states are trained on, which choose the epoch that is kept, and which judge; (N,)."""

    train: NDArray[np.bool_]
    choose: NDArray[np.bool_]
    held_out: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Epoch:
    """What was measured after an epoch: a point of each curve.

    `train` is of (at most 4096) states trained on, everything else of those that choose, which are
    held out from training. All in nats a standardised state.
    """

    number: int
    train: Bound
    choose: Bound
    kl_per_dimension: tuple[float, ...]
    active_units: int
    mutual_information: float


@dataclass(frozen=True, slots=True)
class Learning(Progress):
    """A step of training; with `epoch`, what was measured at the end of one.

    `picture` (n, 2) float32, read-only, is then where at most 1024 held-out states lie by now, and
    `rows` (n,) says which of the states given to `train_steps` they are: always the same ones, in
    the same order, so that a map can let its points move.
    """

    epoch: Epoch | None = None
    picture: Floats | None = None
    rows: NDArray[np.int64] | None = None


@dataclass(slots=True, eq=False)
class Moment:
    """All that training goes on from: where it is after an epoch, to the last bit.

    `best` is the epoch whose weights are in `kept`. `optimizer` is AdamW's own `state_dict`, less
    what `Settings` say; `order` and `noise` are states of random number generators, bytes.
    """

    number: int
    best: int
    epochs: list[Epoch]
    vae: dict[str, Tensor]
    kept: dict[str, Tensor]
    log_noise: Tensor
    optimizer: dict[int, dict[str, Tensor]]
    order: Tensor
    noise: Tensor


class Keeper(Protocol):
    """Where training leaves a `Moment` after each epoch, and finds the last one."""

    def load(self) -> Moment | None:
        """The last one kept, or None."""

    def save(self, moment: Moment) -> None:
        """Keep this one in its place."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A VAE on the CPU, with the weights of its best epoch, and how it came about."""

    vae: VAE
    settings: Settings
    split: Split
    epochs: tuple[Epoch, ...]
    best: int


class TrainingStopped(UserError):  # noqa: N818 - it is an outcome, with weights to go on with
    """Training could not go on; `trained` holds the last good weights, if there were any."""

    def __init__(self, why: str, do: str, trained: Trained | None) -> None:
        super().__init__("The training of the latent space was stopped", why, do)
        self.trained = trained


def split_passages(passages: NDArray[np.int64], seed: int, share: float = 0.1) -> Split:
    """Set whole passages aside, `share` of them to choose by and `share` to judge by.

    Neighbouring tokens' states are alike, so that a split among tokens would judge by what was
    trained on.

    Parameters
    ----------
    passages : (N,) int64
        Which passage each state is of.

    Raises
    ------
    UserError
        If there are fewer than three passages.
    """
    there = np.unique(passages)
    if len(there) < 3:
        raise UserError(
            "Cannot train a latent space",
            f"the texts come to {len(there)} passages, and some must be kept to judge by",
            "Add texts",
        )
    order = np.random.default_rng(seed).permutation(there)
    count = max(1, round(share * len(there)))
    held_out = np.isin(passages, order[:count])
    choose = np.isin(passages, order[count : 2 * count])
    return Split(~(held_out | choose), choose, held_out)


def train_steps(
    states: Tensor,
    passages: NDArray[np.int64],
    settings: Settings,
    device: torch.device | str = "cpu",
    keeper: Keeper | None = None,
    split: Split | None = None,
) -> Generator[Learning, None, Trained]:
    """Train a VAE; the value has the weights of the epoch with the best ELBO on `choose`.

    AdamW over a cosine, gradients clipped to length 1. Yields after each step, so that whoever
    drives the generator can serve others in between, or let it rest. Closing it stops the training.
    With a `keeper` it goes on from where the last one to be stopped was, with the same weights and
    curves as if it had not been.

    Parameters
    ----------
    states : Tensor
        (N, D), in the model's units.
    passages : (N,) int64
        Which passage each state is of: passages are held out whole.
    split : Split, optional
        Which are held out; by default that of `split_passages`.

    Raises
    ------
    TrainingStopped
        If a state or the loss is not a number.
    UserError
        If there are too few states for the latent width.
    """
    split = split or split_passages(passages, settings.seed)
    moment = None if keeper is None else keeper.load()
    yield Learning("Looking at the states", 0.0)
    vae = (yield from _fresh_steps(states, split, settings, moment)).to(device)
    x = vae.standard(states[torch.from_numpy(split.train)].to(device))
    yield Learning("Looking at the states", 0.0)
    check = vae.standard(states[torch.from_numpy(split.choose)].to(device))
    log_noise = nn.Parameter(vae.log_noise.detach().clone())
    optimizer = _optimizer(vae, log_noise, settings)
    order = torch.Generator().manual_seed(settings.seed)
    noise = torch.Generator(device).manual_seed(settings.seed)
    per_epoch = -(-len(x) // settings.batch)
    steps = per_epoch * settings.epochs
    drawn = np.flatnonzero(split.choose)[:LOOKED_AT].astype(np.int64)
    kept = copy.deepcopy(vae)
    if moment is None:
        best, epochs = 0, [(yield from _measure_steps(vae, x, check, 0, settings))]
    else:
        best, epochs = moment.best, list(moment.epochs)
        kept.load_state_dict(moment.kept)
        with torch.no_grad():
            log_noise.copy_(moment.log_noise)
        optimizer.load_state_dict(
            {"state": moment.optimizer, "param_groups": optimizer.state_dict()["param_groups"]}
        )
        order.set_state(moment.order)
        noise.set_state(moment.noise)

    def trained() -> Trained:
        return Trained(kept.cpu(), settings, split, tuple(epochs), best)

    def learnt() -> Learning:
        share = epochs[-1].number / settings.epochs if settings.epochs else 1.0
        picture = picture_of(vae, check[:LOOKED_AT])
        return Learning(told(epochs[-1]), share, epoch=epochs[-1], picture=picture, rows=drawn)

    yield learnt()
    for number in range(len(epochs), settings.epochs + 1):
        step = (number - 1) * per_epoch
        for part in torch.randperm(len(x), generator=order).split(settings.batch):
            share = step / steps
            for group in optimizer.param_groups:
                group["lr"] = settings.rate * 0.5 * (1 + math.cos(math.pi * share))
            beta = settings.beta * min(1.0, share / settings.warm_up if settings.warm_up else 1.0)
            loss = _loss(vae, x[part.to(x.device)], log_noise, beta, settings, noise)
            if not torch.isfinite(loss):
                raise TrainingStopped(
                    f"the loss was no longer a number in epoch {number}"
                    + (f"; the weights of epoch {best} are kept" if best else ""),
                    "Lower the learning rate",
                    trained(),
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
            optimizer.step()
            step += 1
            yield Learning(f"Training the latent space: epoch {number}", step / steps)
        epochs.append((yield from _measure_steps(vae, x, check, number, settings)))
        if epochs[-1].choose.elbo > epochs[best].choose.elbo:
            best, kept = number, copy.deepcopy(vae)
        if keeper is not None:
            keeper.save(
                Moment(
                    number=number,
                    best=best,
                    epochs=list(epochs),
                    vae=vae.state_dict(),
                    kept=kept.state_dict(),
                    log_noise=log_noise.detach(),
                    optimizer=optimizer.state_dict()["state"],
                    order=order.get_state(),
                    noise=noise.get_state(),
                )
            )
        yield learnt()
    return trained()


@torch.no_grad()
def picture_of(vae: VAE, x: Tensor) -> Floats:
    """The first two dimensions of μ of standardised states `x` (N, D): (N, 2), read-only."""
    mu, _ = vae.posterior(x)
    flat = np.zeros((len(x), PLANE), dtype=np.float32)
    flat[:, : vae.latent] = mu[:, :PLANE].float().cpu().numpy()
    flat.setflags(write=False)
    return flat


def _fresh_steps(
    states: Tensor, split: Split, settings: Settings, moment: Moment | None
) -> Generator[Learning, None, VAE]:
    """A model that stands where probabilistic PCA of the training states does, or a moment's."""
    width, count = states.shape[1], int(split.train.sum())
    if not torch.isfinite(states).all():
        raise TrainingStopped(
            "some of the states are not numbers", "Collect the states again", None
        )
    if count < max(LEAST, 2 * settings.latent):
        raise UserError(
            "Cannot train a latent space",
            f"there are {count} states to train on and it takes {max(LEAST, 2 * settings.latent)}",
            "Add texts",
        )
    if not 0 < settings.latent < width:
        raise UserError(
            "Cannot train a latent space",
            f"{settings.latent} latent dimensions are not fewer than the states' {width}",
            f"Choose from 1 to {width - 1}",
        )
    with torch.random.fork_rng(devices=[]):  # the process's own random numbers stay as they are
        torch.manual_seed(settings.seed)
        vae = VAE(width, settings.latent, settings.hidden)
    if moment is None:
        for step in vae.start_steps(states[torch.from_numpy(split.train)]):
            yield Learning(step.text, 0.0)
    else:
        vae.load_state_dict(moment.vae)
    return vae


def _optimizer(vae: VAE, log_noise: nn.Parameter, settings: Settings) -> torch.optim.AdamW:
    curves = {"encoder_curve", "decoder_curve"}
    named = list(vae.named_parameters())
    decayed = [p for name, p in named if name.split(".")[0] in curves and p.ndim == 2]
    known = {id(p) for p in decayed}
    rest = [p for _, p in named if id(p) not in known]
    groups = [
        {"params": decayed, "weight_decay": settings.decay},
        {"params": [*rest, log_noise], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.rate)


def _loss(
    vae: VAE, x: Tensor, log_noise: Tensor, beta: float, settings: Settings, noise: torch.Generator
) -> Tensor:
    """−E ln p(x|z) + β Σ_d max(λ, KL_d), in nats a dimension of the state.

    The first rows are decoded from the picture's two dimensions alone, the others being 0; of them
    only these two are charged, and their error has a variance `log_noise` of its own.
    """
    mu, logvar = vae.posterior(_hidden_from(x, settings, noise))
    kl = kl_divergence(mu, logvar)  # (N, Z)
    flat = round(settings.picture * len(x)) if vae.latent > PLANE else 0
    seen = torch.ones_like(mu)
    seen[:flat, PLANE:] = 0
    rebuilt = vae.mean(sample(mu, logvar, noise) * seen)
    error = (x - rebuilt).square().mean(dim=-1)  # (N,)
    spread = torch.cat([log_noise.expand(flat), vae.log_noise.expand(len(x) - flat)])
    fit = -0.5 * (math.log(2 * math.pi) + spread + error / spread.exp()).mean()
    counted = seen.sum(dim=0)  # (Z,)
    charged = (kl * seen).sum(dim=0) / counted.clamp(min=1)
    cost = free_bits(charged, settings.free_bits, counted / len(x))
    return beta * cost / vae.width - fit


def _hidden_from(x: Tensor, settings: Settings, noise: torch.Generator) -> Tensor:
    """What the encoder sees of states (N, D) while training."""
    if settings.noise:
        x = x + settings.noise * torch.randn(x.shape, generator=noise, device=x.device)
    if settings.dropout:
        seen = torch.rand(x.shape, generator=noise, device=x.device) >= settings.dropout
        x = x * seen / (1 - settings.dropout)
    return x


def _measure_steps(
    vae: VAE, x: Tensor, check: Tensor, number: int, settings: Settings
) -> Generator[Learning, None, Epoch]:
    # The same ε each time: epochs are compared with each other.
    noise = torch.Generator(x.device).manual_seed(settings.seed)
    telling = f"Measuring epoch {number}" if number else "Looking at the states"
    share = number / max(1, settings.epochs)
    bounds = []
    for whole in (x[: min(len(check), _COMPARED)], check):
        parts = []
        for part in whole.split(_PART):
            parts.append((evidence_bound(vae, part, noise, samples=1), len(part)))
            yield Learning(telling, share)
        bounds.append(mean_bound(parts))
    with torch.no_grad():
        mu, logvar = (
            torch.cat(both)
            for both in zip(*(vae.posterior(part) for part in check.split(_PART)), strict=True)
        )
    yield Learning(telling, share)
    rows = min(len(check), LOOKED_AT)
    return Epoch(
        number=number,
        train=bounds[0],
        choose=bounds[1],
        kl_per_dimension=tuple(kl_per_dimension(mu, logvar).tolist()),
        active_units=active_units(mu),
        mutual_information=mutual_information(mu[:rows], logvar[:rows], noise),
    )


def mean_bound(parts: Sequence[tuple[Bound, int]]) -> Bound:
    """The bound of all states, from those of parts and how many states each has."""
    count = sum(size for _, size in parts)
    fit = sum(bound.reconstruction * size for bound, size in parts) / count
    kl = sum(bound.kl * size for bound, size in parts) / count
    return Bound(fit - kl, fit, kl)


def told(epoch: Epoch) -> str:
    """An epoch in a sentence."""
    return (
        f"Epoch {epoch.number}: ELBO {epoch.train.elbo:.1f} nats a state, "
        f"{epoch.choose.elbo:.1f} on texts not trained on; {epoch.active_units} active units"
    )
