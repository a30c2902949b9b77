"""The residual stream of one layer, and its tokens' picture in their own principal components."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.probes.spec import Pass, ProbeSpec, states_at, to_numpy
from engine.types import EmbeddingQuery, EmbeddingResult

MASSIVE = 2.0
"""A state longer than this many median lengths does not take part in the fit of the picture."""


def typical(norms: Tensor) -> Tensor:
    """Which states (T,) a picture is fitted to, by their lengths `norms` (T,).

    In the middle layers of many models the first token and a few others carry *massive activations*
    (Sun et al. 2024, 2402.17762): states tens of times longer than the rest, which would span the
    whole picture alone and press all other tokens into one point.
    """
    chosen = norms <= MASSIVE * norms.median()
    # With fewer than three left there is no plane to speak of.
    return chosen if int(chosen.sum()) >= 3 else torch.ones_like(chosen)


SMALL = 96
"""Up to this many rows or columns all components are found at once; that is quick enough."""


def principal_plane(states: Tensor, fitted: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """First two principal components of some rows of `states`, and where all rows lie in them.

    Parameters
    ----------
    states : Tensor
        (T, D), T ≥ 1.
    fitted : Tensor, optional
        (T,) boolean: the rows to fit to; all by default.

    Returns
    -------
    xy : Tensor
        (T, 2) scores of the rows about the fitted rows' mean; zero where there is no second
        direction. The sign is such that each component's largest loading is positive, so that the
        picture does not flip while one types.
    explained : Tensor
        (2,) share of the fitted rows' total variance along each.
    """
    states = states.double()
    chosen = states if fitted is None else states[fitted]  # (F, D)
    mean = chosen.mean(dim=0)
    centred = chosen - mean
    values, loadings = _leading(centred)  # (≤2,), (D, ≤2)
    # Directions in which nothing varies are noise of the arithmetic.
    loadings = loadings * (values > 1e-12 * values.max().clamp(min=1e-12))
    largest = loadings.gather(0, loadings.abs().argmax(dim=0, keepdim=True))  # (1, ≤2)
    loadings = loadings * torch.where(largest < 0, -1.0, 1.0)
    scores = (states - mean) @ loadings  # (T, ≤2)
    xy = scores.new_zeros(len(states), 2)
    xy[:, : scores.shape[1]] = scores
    total = centred.square().sum()
    explained = scores.new_zeros(2)
    if total > 0:
        explained[: len(values)] = values / total
    return xy, explained


def _leading(centred: Tensor) -> tuple[Tensor, Tensor]:
    """The two largest eigenvalues (≤2,) of the scatter of (F, D) rows, and their directions."""
    rows, width = centred.shape
    # The smaller of the two Gram matrices has the same non-zero eigenvalues.
    gram = centred @ centred.T if rows <= width else centred.T @ centred  # (n, n)
    values, vectors = _two_of(gram)
    if rows > width:
        return values, vectors
    loadings = centred.T @ vectors  # (D, ≤2), of length √eigenvalue
    return values, loadings / loadings.norm(dim=0).clamp(min=1e-12)


def _two_of(gram: Tensor) -> tuple[Tensor, Tensor]:
    """The two largest eigenvalues of a symmetric (n, n) matrix, falling, and vectors (n, ≤2)."""
    if len(gram) > SMALL:
        # Lanczos iterations for two cost a fifth of a decomposition into all, which at 512 tokens
        # took longer than half a forward pass. Begun at a fixed vector, so that the same states
        # give the same picture.
        from scipy.sparse.linalg import (  # type: ignore[import-untyped]
            ArpackNoConvergence,
            eigsh,
        )

        matrix = gram.cpu().numpy()
        try:
            found = eigsh(matrix, k=2, v0=matrix.diagonal(), tol=1e-10)
        except ArpackNoConvergence:
            pass  # near ties; they are found together with all the others
        else:
            values, vectors = (torch.from_numpy(part.copy()).to(gram.device) for part in found)
            return values.flip(0).clamp(min=0), vectors.flip(1)
    values, vectors = torch.linalg.eigh(gram)
    return values.flip(0)[:2].clamp(min=0), vectors.flip(1)[:, :2]


def answer(passed: Pass, query: EmbeddingQuery) -> EmbeddingResult:
    """States, norms and picture of one layer."""
    stack, states = states_at(passed, query.layer, query.stack)
    norms = states.float().norm(dim=-1)
    xy = explained = fitted = None
    if query.picture:
        chosen = typical(norms)
        plane, share = principal_plane(states, chosen)
        xy, explained = to_numpy(plane), to_numpy(share)
        fitted = chosen.cpu().numpy()
        fitted.setflags(write=False)
    return EmbeddingResult(
        layer=query.layer,
        stack=stack,
        values=to_numpy(states),
        norms=to_numpy(norms),
        xy=xy,
        explained=explained,
        fitted=fitted,
    )


PROBE = ProbeSpec(EmbeddingQuery, "embedding", answer)
