"""The vocabulary entries nearest to a token's state."""

from __future__ import annotations

from collections.abc import Callable

import torch

from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, states_at, to_ints, to_numpy
from engine.types import NeighboursQuery, NeighboursResult


def answer(passed: Pass, query: NeighboursQuery) -> Callable[[], NeighboursResult]:
    """Cosine similarity of one state to every row of the input embedding, largest first."""
    _, states = states_at(passed, query.layer, query.stack)  # (T, D)
    if not 0 <= query.position < len(states):
        raise NotAnswerable("That token is no longer in the text")
    table = passed.loaded.embedding  # (V, E)
    if table.shape[1] != states.shape[1]:
        raise NotAnswerable("The input embedding of this model is narrower than its states")
    state = states[query.position].float()
    scores = (table @ state.to(table.dtype)).float()  # (V,)
    length = state.norm()
    scores = scores / (passed.loaded.embedding_norms * length).clamp(min=1e-12)
    best = torch.topk(scores, min(query.count, len(scores)))
    found, similarity, norm = to_ints(best.indices), to_numpy(best.values), to_numpy(length)

    def finish() -> NeighboursResult:
        if norm == 0:
            raise NotAnswerable("This token has no vector: it is not in the model's vocabulary")
        ids = tuple(found.tolist())
        texts = tuple(passed.loaded.reader_of_text.show(id_) for id_ in ids)
        return NeighboursResult(query.layer, query.position, ids, texts, similarity)

    return finish


PROBE = ProbeSpec(NeighboursQuery, "embedding", answer)
