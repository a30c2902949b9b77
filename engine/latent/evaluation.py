"""How good a space is on states it was not trained on, beside PCA of the same width."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from engine.latent.card import Figures
from engine.latent.corpus import States
from engine.latent.pca import Pca
from engine.latent.space import Space
from engine.latent.vae import (
    active_units,
    evidence_bound,
    explained_variance,
    kl_per_dimension,
    mutual_information,
)

LOOKED_AT = 4096
"""Most states that mutual information is estimated from: it takes the square of their number."""


def measure(space: Space, states: States, ordinary: Pca | None = None, seed: int = 0) -> Figures:
    """Measure a space on held-out states.

    Parameters
    ----------
    states : States
        Of texts, or of passages, that the space was not trained on.
    ordinary : Pca, optional
        The principal components of the standardised training states without first tokens; by
        default those the space has.
    seed : int
        Of the draws from the posterior.
    """
    generator = torch.Generator().manual_seed(seed)
    vae = space.vae
    x = vae.standard(states.values)  # (N, D)
    mu, logvar = vae.posterior(x)
    rebuilt = vae.mean(mu)
    later = torch.from_numpy(states.positions > states.positions.min())
    bound = evidence_bound(vae, x, generator)
    rng = np.random.default_rng(seed)
    some = torch.from_numpy(rng.permutation(len(states))[:LOOKED_AT])
    return Figures(
        held_out_states=len(states),
        elbo=bound.elbo,
        elbo_of_states=bound.elbo + float(vae.standard.log_volume(states.values).mean()),
        reconstruction=bound.reconstruction,
        kl=bound.kl,
        kl_per_dim=tuple(kl_per_dimension(mu, logvar).tolist()),
        active_units=active_units(mu),
        mutual_information=mutual_information(mu[some], logvar[some], generator),
        mutual_information_limit=math.log(len(some)),
        explained_variance=explained_variance(x, rebuilt),
        pca_explained_variance=explained_variance(x, space.pca.rebuild(x)),
        ordinary_explained_variance=explained_variance(x[later], rebuilt[later]),
        pca_ordinary_explained_variance=_pca(x[later], ordinary or space.pca),
    )


def _pca(x: Tensor, pca: Pca) -> float:
    return explained_variance(x, pca.rebuild(x))
