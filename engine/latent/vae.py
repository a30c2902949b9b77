"""The variational autoencoder over a model's states (Kingma & Welling 2013, 1312.6114).

    q(z|x) = N(μ(x), diag σ²(x)),   p(z) = N(0, I),   p(x|z) = N(f(z), s² I)

x is the standardised state. Encoder and decoder are each a line plus a multilayer perceptron. The
lines start as probabilistic principal component analysis (Tipping & Bishop 1999) and the
perceptrons at zero: before its first step the model is PCA of the same width, from there it can
only be better by what the curves add.

Shape letters: N states, D model width, Z latent width.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.latent.pca import axes_of
from engine.types import Progress

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation, for a Gaussian."""

ACTIVE = 0.01
"""Variance of μ over the data above which a unit is active (Burda et al. 2015, 1509.00519)."""


_COLUMNS = 32  # dimensions whose medians are found in one step
_ROWS = 2048  # states whose covariance is added up in one step


class Standardiser(nn.Module):
    """States to a scale on which all dimensions count, and back.

    Each dimension has its median taken off and is divided by 1.4826 times its median absolute
    deviation. Mean and standard deviation would not do: a few dimensions of the residual stream
    reach thousands of times their usual size, at the first token most of all ("massive
    activations", Sun et al. 2024, 2402.17762), and would set the scale. A state u that is still
    further out than any ordinary one is drawn in along its own direction: with r = ‖u‖/√D, knee
    c = 2 and κ = 0.1,

        x = u for r ≤ c,   x = u/r · c(1 + κ ln(1 + (r/c − 1)/κ)) beyond.

    Without this the first tokens alone are most of the variance (99.7 % at the middle of
    SmolLM2-135M), and neither PCA nor a VAE of few dimensions has room for anything else. The map
    is invertible and once differentiable; `log_volume` is its change of volume.
    """

    centre: Tensor
    scale: Tensor

    KNEE = 2.0
    KAPPA = 0.1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def fit(self, states: Tensor, columns: slice = slice(None)) -> None:
        """Measure centre and scale of `states` (N, D), of all dimensions or of some `columns`.

        A dimension that is constant keeps 1.
        """
        states = states[:, columns]
        centre = states.median(dim=0).values  # (D,)
        deviation = (states - centre).abs().median(dim=0).values * MAD_TO_SIGMA
        spread = states.std(dim=0, correction=0)
        # More than half of the values may be alike where a dimension is hardly ever used.
        scale = torch.where(deviation > 1e-6 * spread, deviation, spread)
        self.centre[columns] = centre
        self.scale[columns] = torch.where(scale > 0, scale, torch.ones_like(scale))

    def forward(self, states: Tensor) -> Tensor:
        """States (N, D) in the model's units to standardised ones."""
        u = (states.float() - self.centre) / self.scale
        far = (self._length(u) / self.KNEE).clamp(min=1)  # (N, 1)
        return u * (1 + self.KAPPA * torch.log1p((far - 1) / self.KAPPA)) / far

    def inverse(self, x: Tensor) -> Tensor:
        """Standardised states (N, D) back to the model's units."""
        far = (self._length(x) / self.KNEE).clamp(min=1)
        # A decoder may reach further than any state; e^20 is where float32 still has room.
        grown = 1 + self.KAPPA * ((far - 1) / self.KAPPA).clamp(max=20).expm1()
        return x * (grown / far) * self.scale + self.centre

    def log_volume(self, states: Tensor) -> Tensor:
        """Natural logarithm of |det dx/dh| of each state, (N,).

        ln p(h) = ln p(x) + log_volume(h): what is added to an ELBO of x to have that of h.
        """
        u = (states.float() - self.centre) / self.scale
        far = (self._length(u) / self.KNEE).clamp(min=1)[:, 0]  # (N,)
        drawn = 1 + self.KAPPA * torch.log1p((far - 1) / self.KAPPA)
        # One direction is along u and D − 1 are across it.
        along = -torch.log1p((far - 1) / self.KAPPA)
        across = (u.shape[-1] - 1) * (drawn / far).log()
        return along + across - self.scale.log().sum()

    @staticmethod
    def _length(u: Tensor) -> Tensor:
        return u.square().mean(dim=-1, keepdim=True).sqrt()


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers of GELU; the last layer starts at zero."""
    last = nn.Linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), last
    )


class VAE(nn.Module):
    """Encoder, decoder and noise.

    Parameters
    ----------
    width, latent, hidden : int
        D, Z and the width of the hidden layers.
    """

    log_noise: nn.Parameter
    """ln s² of the decoder's noise: one learned number, the same for all dimensions, so that what
    is maximised is the squared error that PCA minimises too."""

    def __init__(self, width: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.width, self.latent, self.hidden = width, latent, hidden
        self.standard = Standardiser(width)
        self.encoder_line = nn.Linear(width, latent)
        self.encoder_curve = perceptron(width, hidden, 2 * latent)
        self.log_variance = nn.Parameter(torch.zeros(latent))
        self.decoder_line = nn.Linear(latent, width)
        self.decoder_curve = perceptron(latent, hidden, width)
        self.log_noise = nn.Parameter(torch.zeros(()))

    def start_from(self, states: Tensor) -> None:
        """Fit the standardiser, and set the lines to probabilistic PCA of `states` (N, D)."""
        for _ in self.start_steps(states):
            pass

    def start_steps(self, states: Tensor) -> Generator[Progress, None, None]:
        """Do what `start_from` does, in steps short enough for somebody to type meanwhile."""
        for columns in torch.arange(self.width).split(_COLUMNS):
            self.standard.fit(states, slice(int(columns[0]), int(columns[-1]) + 1))
            yield Progress("Looking at the states")
        # No `torch.no_grad()` round a yield: whoever runs in between would be under it too. There
        # is nothing to differentiate here, the standardiser has no parameters.
        total = torch.zeros(self.width, dtype=torch.float64)
        moments = torch.zeros(self.width, self.width, dtype=torch.float64)
        for part in states.split(_ROWS):
            x = self.standard(part).double()  # (n, D)
            total += x.sum(dim=0)
            moments += x.T @ x
            yield Progress("Looking at the states")
        mean = total / len(states)
        covariance = moments / len(states) - torch.outer(mean, mean)
        values, vectors = axes_of(covariance)
        self._set_lines(
            mean,
            values[: self.latent],
            vectors[:, : self.latent],
            float(covariance.diagonal().sum()),
        )

    @torch.no_grad()
    def _set_lines(self, mean: Tensor, values: Tensor, vectors: Tensor, total: float) -> None:
        rest = total - values.sum()
        noise = (rest / max(1, self.width - self.latent)).clamp(min=1e-6)
        values = values.clamp(min=1.001 * noise)
        loadings = vectors * (values - noise).sqrt()  # (D, Z): W = U (Λ − s² I)^½
        self.decoder_line.weight.copy_(loadings)
        self.decoder_line.bias.copy_(mean)
        inward = loadings.T / values[:, None]  # (Z, D): M⁻¹ Wᵀ, M = Λ
        self.encoder_line.weight.copy_(inward)
        self.encoder_line.bias.copy_(-inward @ mean)
        self.log_variance.copy_((noise / values).log())  # s² M⁻¹
        self.log_noise.copy_(noise.log())

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """μ and ln σ², each (N, Z), of standardised states (N, D)."""
        bend, logvar = self.encoder_curve(x).chunk(2, dim=-1)
        # exp of less than −20 or more than 10 says nothing more and may overflow.
        mu: Tensor = self.encoder_line(x) + bend
        return mu, (self.log_variance + logvar).clamp(-20, 10)

    def mean(self, z: Tensor) -> Tensor:
        """Standardised states (N, D) that points (N, Z) decode to."""
        rebuilt: Tensor = self.decoder_line(z) + self.decoder_curve(z)
        return rebuilt

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Log-likelihood ln p(x|z) of each state, (N,), in nats, with the Gaussian's constant."""
        error = (x - self.mean(z)).square().sum(dim=-1)
        constant = self.width * (math.log(2 * math.pi) + self.log_noise)
        return -0.5 * (constant + error / self.log_noise.exp())


def sample(mu: Tensor, logvar: Tensor, generator: torch.Generator) -> Tensor:
    """Draw z = μ + σ⊙ε with ε ~ N(0, I), (N, Z): differentiable in μ and σ."""
    noise = torch.randn(mu.shape, generator=generator, device=mu.device)
    return mu + (0.5 * logvar).exp() * noise


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) of each state and unit, (N, Z), in nats.

    ½(μ² + σ² − ln σ² − 1), Kingma & Welling 2013, appendix B.
    """
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1)


def kl_per_dimension(mu: Tensor, logvar: Tensor) -> Tensor:
    """Mean over states of each unit's KL from the prior, (Z,), in nats."""
    return kl_divergence(mu, logvar).mean(dim=0)


def free_bits(kl: Tensor, least: float, share: Tensor | None = None) -> Tensor:
    """Σ_d max(λ, KL_d) of unit means `kl` (Z,) and λ = `least`, in nats.

    With `share` (Z,), each unit counts that much of once.

    A unit gains nothing from falling below λ, so it is not given up early in training (Kingma et
    al. 2016, 1606.04934).
    """
    kept = kl.clamp(min=least)
    return kept.sum() if share is None else (share * kept).sum()


def active_units(mu: Tensor) -> int:
    """How many units' μ (N, Z) vary over the states: #{d : Var_x(μ_d) > 0.01}.

    Burda et al. 2015 (1509.00519), section 5.2.
    """
    return int((mu.cpu().double().var(dim=0, correction=0) > ACTIVE).sum())


def mutual_information(
    mu: Tensor, logvar: Tensor, generator: torch.Generator, rows: int = 256
) -> float:
    """Information the latent point has of which state it came from, in nats.

    E KL(q(z|x) ‖ p) − KL(q(z) ‖ p) with q(z) the mixture of the N posteriors (Hoffman & Johnson
    2016, "ELBO surgery"). The first term is exact, the second estimated from one z a state, so the
    difference may dip below 0. N states cannot be told apart by more than ln N nats: of a space
    that carries more, about ln N is what comes out.
    """
    z = sample(mu, logvar, generator)  # (N, Z)
    # Not every accelerator has double precision.
    z, mu, logvar = z.cpu().double(), mu.cpu().double(), logvar.cpu().double()
    count = len(mu)
    precision = (-logvar).exp()
    constant = (math.log(2 * math.pi) + logvar).sum(dim=-1)  # (N,)
    marginal = mu.new_zeros(())
    for part in z.split(rows):
        # Σ_d (z − μ)²/σ², multiplied out so that no (n, N, Z) is held.
        distance = (
            part.square() @ precision.T
            - 2 * part @ (mu * precision).T
            + (mu.square() * precision).sum(dim=-1)
        )  # (n, N)
        inside = -0.5 * (distance.clamp(min=0) + constant)
        marginal += (inside.logsumexp(dim=-1) - math.log(count)).sum()
    prior = -0.5 * (z.square() + math.log(2 * math.pi)).sum()
    aggregate = (marginal - prior) / count  # KL(q(z) ‖ p)
    return float(kl_divergence(mu, logvar).sum(dim=-1).mean() - aggregate)


@dataclass(frozen=True, slots=True)
class Bound:
    """Means over states, in nats a state: ``elbo = reconstruction − kl``."""

    elbo: float
    reconstruction: float
    kl: float


@torch.no_grad()
def evidence_bound(vae: VAE, x: Tensor, generator: torch.Generator, samples: int = 4) -> Bound:
    """The ELBO (β = 1) of standardised states `x` (N, D): a lower bound of the mean ln p(x).

    The expectation over q(z|x) is estimated from `samples` draws a state; constants are included.
    """
    mu, logvar = vae.posterior(x)
    draws = [vae.log_likelihood(x, sample(mu, logvar, generator)).mean() for _ in range(samples)]
    fit = float(torch.stack(draws).mean())
    kl = float(kl_divergence(mu, logvar).sum(dim=-1).mean())
    return Bound(fit - kl, fit, kl)


@torch.no_grad()
def explained_variance(x: Tensor, rebuilt: Tensor) -> float:
    """1 − Σ‖x − x̂‖² / Σ‖x − x̄‖² over the rows of `x` and `rebuilt`, (N, D) each."""
    x, rebuilt = x.cpu().double(), rebuilt.cpu().double()
    total = (x - x.mean(dim=0)).square().sum()
    return float(1 - (x - rebuilt).square().sum() / total)
