"""How good a space is on states it was not trained on, beside PCA of the same width."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
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

MAPPED = 1500
"""Most states that a picture's trustworthiness is measured with."""


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
    later = ordinary_rows(states)
    bound = evidence_bound(vae, x, generator)
    rng = np.random.default_rng(seed)
    some = torch.from_numpy(rng.permutation(len(states))[:LOOKED_AT])
    few = some[:MAPPED]
    picture, principal = space.project(mu), space.pca.scores(x)[:, :2]
    flat = space.origin + space.project(mu) @ torch.linalg.pinv(space.axes)  # back into (N, Z)
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
        picture_explained_variance=explained_variance(x, vae.mean(flat)),
        pca_picture_explained_variance=_pca(x, Pca(space.pca.mean, space.pca.axes[:, :2])),
        trustworthiness=trustworthiness(x[few], picture[few]),
        pca_trustworthiness=trustworthiness(x[few], principal[few]),
        knn_accuracy=knn_accuracy(picture[some], states.labels[some.numpy()]),
        pca_knn_accuracy=knn_accuracy(principal[some], states.labels[some.numpy()]),
    )


def ordinary_rows(states: States) -> Tensor:
    """Which states are not of a passage's first token, (N,) bool; all where they are sentences'."""
    later = torch.from_numpy(states.positions > states.positions.min())
    return later if bool(later.any()) else torch.ones_like(later)


def knn_accuracy(picture: Tensor, labels: NDArray[np.int64], neighbours: int = 10) -> float | None:
    """The share of points whose label is the commonest among their nearest others, 0 to 1.

    Each point is left out of its own neighbours. Of labels that are equally common the one of the
    lower number counts. None where all labels are alike: there is nothing to be told apart.

    Parameters
    ----------
    picture, labels : (N, 2) and (N,)
        `neighbours` is lowered to N − 1.
    """
    from sklearn.neighbors import NearestNeighbors  # type: ignore[import-untyped]  # takes a second

    count = len(labels)
    if len(np.unique(labels)) < 2:
        return None
    k = min(neighbours, count - 1)
    found = NearestNeighbors(n_neighbors=k).fit(picture.cpu().numpy()).kneighbors()[1]  # (N, k)
    votes = np.zeros((count, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(votes, (np.arange(count)[:, None], labels[found]), 1)
    return float((votes.argmax(axis=1) == labels).mean())


def trustworthiness(x: Tensor, picture: Tensor, neighbours: int = 10) -> float:
    """How far neighbours in a picture are neighbours in truth, 0 to 1 (Venna & Kaski 2001).

    1 − 2/(N k (2N − 3k − 1)) Σ_i Σ_{j ∈ U_k(i)} (r(i, j) − k), where U_k(i) are those of the k
    nearest to i in the picture that are not among its k nearest in truth, and r(i, j) says the
    how-manieth neighbour of i in truth j is.

    Parameters
    ----------
    x, picture : Tensor
        (N, D) and (N, 2), N > 1. k = `neighbours` is lowered to less than N / 2, where the measure
        is defined.
    """
    count = len(x)
    k = max(1, min(neighbours, (count - 1) // 2))
    apart = torch.cdist(x.double(), x.double()).fill_diagonal_(-1)
    order = apart.argsort(dim=1)  # itself first
    ranks = torch.empty_like(order)
    ranks.scatter_(1, order, torch.arange(count).expand(count, count).contiguous())
    near = torch.cdist(picture.double(), picture.double()).fill_diagonal_(torch.inf)
    chosen = near.topk(k, dim=1, largest=False).indices  # (N, k)
    intruding = (ranks.gather(1, chosen) - k).clamp(min=0).sum()
    return 1 - 2 * float(intruding) / (count * k * (2 * count - 3 * k - 1))


def _pca(x: Tensor, pca: Pca) -> float:
    return explained_variance(x, pca.rebuild(x))
