"""A picture of states that was drawn before, as it was drawn."""

from __future__ import annotations

from engine.latent.pictured import PictureResult
from engine.latent.pictures import pictures_of
from engine.latent.values import PictureQuery
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec


def answer(passed: Pass, query: PictureQuery) -> PictureResult:
    """Give the one of that name, or the newest."""
    kept = pictures_of(passed.loaded)
    name = query.picture or next(reversed(kept), "")
    if name not in kept:
        raise NotAnswerable("no picture of this model's states is kept, draw one first")
    return kept[name].result


PROBE = ProbeSpec(PictureQuery, "embedding", answer)
