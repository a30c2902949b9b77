"""The residual stream of one layer, and its tokens' picture in their own principal components."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.frozen import FrozenRows
from engine.principal import SMALL, gram, plane, plane_of
from engine.probes.spec import Pass, ProbeSpec, host_copy, on_host, states_at, to_numpy
from engine.types import EmbeddingQuery, EmbeddingResult, Floats, Stack

MASSIVE = 2.0
"""A state longer than this many median lengths does not take part in the fit of the picture."""


def typical(norms: Tensor) -> Tensor:
    """Which states (T,) a picture is fitted to, by their lengths `norms` (T,).

    In the middle layers of many models the first token and a few others carry *massive activations*
    (Sun et al. 2024, 2402.17762): states tens of times longer than the rest, which would span the
    whole picture alone and press all other tokens into one point.
    """
    chosen = norms <= MASSIVE * norms.nanmedian()  # what overflowed does not take part
    # With fewer than three left there is no plane to speak of. Said without looking at the number,
    # for which the host would have to wait.
    return chosen | (chosen.sum() < 3)


class Pictured:
    """The states of the layer that was pictured last; `which` says whose they are."""

    def __init__(self, which: tuple[Stack, int], width: int) -> None:
        self.which = which
        self.shown: EmbeddingResult | None = None  # of all states, if it was worked out
        self._values, self._norms = FrozenRows((width,)), FrozenRows(())
        self._kept = 0

    def keep(self, count: int) -> None:
        """Forget tokens from `count` on."""
        if count < self._kept:
            self._kept, self.shown = count, None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        xy = None if self.shown is None else self.shown.xy
        return self._values.nbytes + self._norms.nbytes + (0 if xy is None else xy.nbytes)

    def bring(self, states: Tensor) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Copy what is new of `states` (T, D) on the CPU.

        Returns
        -------
        values, norms, fitted : ndarray
            (T, D), (T,) and (T,), read-only: states, lengths, and which of them are typical.
        """
        kept = self._kept
        new = states[kept:].float()
        for held, rows in ((self._values, new), (self._norms, new.norm(dim=-1))):
            held.keep(kept)
            if len(rows):
                held.append(rows.numpy())
        self._kept = len(states)
        values, norms = self._values.rows(), self._norms.rows()
        fitted: NDArray[np.bool_] = typical(torch.from_numpy(norms.copy())).numpy()
        fitted.setflags(write=False)
        return values, norms, fitted


def answer(passed: Pass, query: EmbeddingQuery) -> EmbeddingResult | Callable[[], EmbeddingResult]:
    """States, norms and picture of one layer."""
    stack, states = states_at(passed, query.layer, query.stack)
    if query.picture and on_host(states.device) and min(states.shape) > SMALL:
        return _pictured(passed, query.layer, stack, states)
    lengths = states.float().norm(dim=-1)
    values, norms = to_numpy(states), to_numpy(lengths)
    if not query.picture:
        return EmbeddingResult(query.layer, stack, values, norms, None, None)
    chosen = typical(lengths)
    matrix, marked = host_copy(gram(states, chosen)), host_copy(chosen)

    def finish() -> EmbeddingResult:
        xy, explained = plane(values, marked, matrix)
        return EmbeddingResult(
            query.layer, stack, values, norms, _floats(xy), _floats(explained), marked
        )

    return finish


def _pictured(passed: Pass, layer: int, stack: Stack, states: Tensor) -> EmbeddingResult:
    """The same by what was kept of the layer; one layer is kept, the last."""
    which = stack, layer
    # Until it is through, it is neither the old text's nor the new one's.
    kept = passed.trace.memos.pop("embedding", None)
    if not isinstance(kept, Pictured) or kept.which != which:
        kept = Pictured(which, states.shape[1])
    if kept.shown is None or len(kept.shown.values) != len(states):  # not just another head
        values, norms, fitted = kept.bring(states)
        xy, explained = plane_of(values, fitted)
        kept.shown = EmbeddingResult(
            layer, stack, values, norms, _floats(xy), _floats(explained), fitted
        )
    passed.trace.memos["embedding"] = kept
    return kept.shown


def _floats(array: NDArray[np.float64]) -> Floats:
    with np.errstate(over="ignore"):  # of a state that nearly overflowed
        narrow = array.astype(np.float32)
    narrow.setflags(write=False)
    return narrow


PROBE = ProbeSpec(
    EmbeddingQuery, "embedding", answer, slow=True, blocks=lambda _, query: query.layer
)
