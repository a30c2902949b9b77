"""The residual stream of one layer, and its tokens' picture in their own principal components."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.probes.spec import Pass, ProbeSpec, host_copy, states_at, to_numpy
from engine.types import EmbeddingQuery, EmbeddingResult, Floats

MASSIVE = 2.0
"""A state longer than this many median lengths does not take part in the fit of the picture."""


def typical(norms: Tensor) -> Tensor:
    """Which states (T,) a picture is fitted to, by their lengths `norms` (T,).

    In the middle layers of many models the first token and a few others carry *massive activations*
    (Sun et al. 2024, 2402.17762): states tens of times longer than the rest, which would span the
    whole picture alone and press all other tokens into one point.
    """
    chosen = norms <= MASSIVE * norms.median()
    # With fewer than three left there is no plane to speak of. Said without looking at the number,
    # for which the host would have to wait.
    return chosen | (chosen.sum() < 3)


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
    if fitted is None:
        fitted = torch.ones(len(states), dtype=torch.bool, device=states.device)
    matrix = gram(states, fitted).cpu().numpy()
    xy, explained = plane(states.cpu().numpy(), fitted.cpu().numpy(), matrix)
    return torch.from_numpy(xy), torch.from_numpy(explained)


def gram(states: Tensor, fitted: Tensor) -> Tensor:
    """The smaller Gram matrix of the centred rows `fitted` (T,) of (T, D) states, on their device.

    Returns
    -------
    Tensor
        (n, n), n the smaller of T and D. Rows that do not take part are zero, which adds nothing
        but eigenvalues of zero.
    """
    # Apple's GPUs have no double precision.
    wide = states.float() if states.device.type == "mps" else states.double()
    weight = fitted.to(wide.dtype)[:, None]  # (T, 1)
    centred = (wide - (wide * weight).sum(dim=0) / weight.sum()) * weight
    rows, width = centred.shape
    # Both matrices have the same non-zero eigenvalues.
    return centred @ centred.T if rows <= width else centred.T @ centred


def plane(
    states: NDArray[Any], fitted: NDArray[np.bool_], matrix: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What `principal_plane` says, of states (T, D), fitted (T,) and their `gram`, on the host."""
    states = states.astype(np.float64)
    chosen = states[fitted]  # (F, D)
    mean = chosen.mean(axis=0)
    matrix = matrix.astype(np.float64)
    values, vectors = _two_of(matrix)  # (≤2,), (n, ≤2)
    if len(states) <= states.shape[1]:
        vectors = (chosen - mean).T @ vectors[fitted]  # (D, ≤2), of length √eigenvalue
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=0), 1e-12)
    # Directions in which nothing varies are noise of the arithmetic.
    loadings = vectors * (values > 1e-12 * max(values.max(), 1e-12))
    largest = np.take_along_axis(loadings, np.abs(loadings).argmax(axis=0)[None], axis=0)
    loadings = loadings * np.where(largest < 0, -1.0, 1.0)
    xy, explained = np.zeros((len(states), 2)), np.zeros(2)
    xy[:, : loadings.shape[1]] = (states - mean) @ loadings
    total = np.trace(matrix)
    if total > 0:
        explained[: len(values)] = values / total
    return xy, explained


def _two_of(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two largest eigenvalues of a symmetric (n, n) matrix, falling, and vectors (n, ≤2)."""
    if len(matrix) > SMALL:
        # Lanczos iterations for two cost a fifth of a decomposition into all, which at 512 tokens
        # took longer than half a forward pass. Begun at a fixed vector, so that the same states
        # give the same picture.
        from scipy.sparse.linalg import (  # type: ignore[import-untyped]
            ArpackNoConvergence,
            eigsh,
        )

        with contextlib.suppress(ArpackNoConvergence):  # near ties; they are found with the others
            values, vectors = eigsh(matrix, k=2, v0=matrix.diagonal(), tol=1e-10)
            return values[::-1].clip(min=0), vectors[:, ::-1]
    values, vectors = np.linalg.eigh(matrix)
    return values[::-1][:2].clip(min=0), vectors[:, ::-1][:, :2]


def answer(passed: Pass, query: EmbeddingQuery) -> EmbeddingResult | Callable[[], EmbeddingResult]:
    """States, norms and picture of one layer."""
    stack, states = states_at(passed, query.layer, query.stack)
    lengths = states.float().norm(dim=-1)
    values, norms = to_numpy(states), to_numpy(lengths)
    if not query.picture:
        return EmbeddingResult(query.layer, stack, values, norms, None, None)
    chosen = typical(lengths)
    matrix, marked = host_copy(gram(states, chosen)), host_copy(chosen)

    def finish() -> EmbeddingResult:
        xy, explained = plane(values, marked, matrix)
        return EmbeddingResult(
            layer=query.layer,
            stack=stack,
            values=values,
            norms=norms,
            xy=_floats(xy),
            explained=_floats(explained),
            fitted=marked,
        )

    return finish


def _floats(array: NDArray[np.float64]) -> Floats:
    narrow = array.astype(np.float32)
    narrow.setflags(write=False)
    return narrow


PROBE = ProbeSpec(EmbeddingQuery, "embedding", answer)
