"""The vocabulary entries nearest to a token's state."""

from __future__ import annotations

import torch

from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, states_at, to_numpy
from engine.types import NeighboursQuery, NeighboursResult


def answer(passed: Pass, query: NeighboursQuery) -> NeighboursResult:
    """Cosine similarity of one state to every row of the input embedding, largest first."""
    _, states = states_at(passed, query.layer, query.stack)  # (T, D)
    if not 0 <= query.position < len(states):
        raise NotAnswerable("That token is no longer in the text")
    table = passed.loaded.embedding  # (V, E)
    if table.shape[1] != states.shape[1]:
        raise NotAnswerable("The input embedding of this model is narrower than its states")
    state = states[query.position].float()
    if not state.any():
        raise NotAnswerable("This token has no vector: it is not in the model's vocabulary")
    scores = (table @ state.to(table.dtype)).float()  # (V,)
    scores = scores / (passed.loaded.embedding_norms * state.norm()).clamp(min=1e-12)
    best = torch.topk(scores, min(query.count, len(scores)))
    ids = tuple(int(id_) for id_ in best.indices.tolist())
    return NeighboursResult(
        layer=query.layer,
        position=query.position,
        ids=ids,
        texts=tuple(passed.loaded.reader_of_text.show(id_) for id_ in ids),
        similarity=to_numpy(best.values),
    )


PROBE = ProbeSpec(NeighboursQuery, "embedding", answer)
