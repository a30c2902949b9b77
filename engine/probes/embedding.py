"""The residual stream of one layer, and its tokens' picture in their own principal components."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.probes.spec import Pass, ProbeSpec, states_at, to_numpy
from engine.types import EmbeddingQuery, EmbeddingResult


def principal_plane(states: Tensor) -> tuple[Tensor, Tensor]:
    """First two principal components of the rows of `states`.

    Parameters
    ----------
    states : Tensor
        (T, D), T ≥ 1.

    Returns
    -------
    xy : Tensor
        (T, 2) scores of the centred rows; zero where there is no second direction. The sign is
        such that each component's largest loading is positive, so that the picture does not flip.
    explained : Tensor
        (2,) share of the total variance along each.
    """
    centred = states.double() - states.double().mean(dim=0)  # (T, D)
    tokens, width = centred.shape
    # The smaller of the two Gram matrices has the same non-zero eigenvalues.
    if tokens <= width:
        values, vectors = torch.linalg.eigh(centred @ centred.T)  # (T,), (T, T)
        values = values.flip(0)[:2].clamp(min=0)
        scores = vectors.flip(1)[:, :2] * values.sqrt()  # (T, ≤2)
        loadings = centred.T @ scores  # (D, ≤2), scaled
    else:
        values, vectors = torch.linalg.eigh(centred.T @ centred)  # (D,), (D, D)
        values = values.flip(0)[:2].clamp(min=0)
        loadings = vectors.flip(1)[:, :2]
        scores = centred @ loadings
    largest = loadings.gather(0, loadings.abs().argmax(dim=0, keepdim=True))  # (1, ≤2)
    scores = scores * torch.where(largest < 0, -1.0, 1.0)
    total = centred.square().sum()
    xy = scores.new_zeros(tokens, 2)
    xy[:, : scores.shape[1]] = scores
    explained = scores.new_zeros(2)
    if total > 0:
        explained[: len(values)] = values / total
    return xy, explained


def answer(passed: Pass, query: EmbeddingQuery) -> EmbeddingResult:
    """States, norms and picture of one layer."""
    stack, states = states_at(passed, query.layer, query.stack)
    xy = explained = None
    if query.picture:
        plane, share = principal_plane(states)
        xy, explained = to_numpy(plane), to_numpy(share)
    return EmbeddingResult(
        layer=query.layer,
        stack=stack,
        values=to_numpy(states),
        norms=to_numpy(states.float().norm(dim=-1)),
        xy=xy,
        explained=explained,
    )


PROBE = ProbeSpec(EmbeddingQuery, "embedding", answer)
