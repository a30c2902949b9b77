"""Where the tokens' states lie in a fitted picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.latent.pictures import Picture, pictures_of
from engine.latent.values import PlaceQuery, PlaceResult
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, states_at
from engine.types import Floats


@dataclass(slots=True)
class Places:
    """The tokens' places so far, `xy` (t, 2), in `picture`. `placed` counts rows ever placed."""

    picture: Picture
    xy: Floats
    placed: int = 0

    def keep(self, count: int) -> None:
        """Forget tokens from `count` on."""
        self.xy = self.xy[:count]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.xy.nbytes


def answer(passed: Pass, query: PlaceQuery) -> PlaceResult:
    """Place the states that are new; the picture stays as it is."""
    picture = pictures_of(passed.loaded).get(query.picture)
    if picture is None:
        raise NotAnswerable("This picture was not drawn yet for this model")
    _, states = states_at(passed, picture.layer, None)  # (T, D)
    key = f"place {query.picture}"
    kept = passed.trace.memos.get(key)
    if not isinstance(kept, Places) or kept.picture is not picture:
        kept = Places(picture, np.zeros((0, 2), dtype=np.float32))
    new = states[len(kept.xy) :]
    if len(new):
        kept.xy = np.concatenate([kept.xy, picture.place(new)])
        kept.placed += len(new)
        passed.trace.memos[key] = kept
    xy = kept.xy.copy()
    xy.setflags(write=False)
    return PlaceResult(query.picture, picture.layer, xy)


PROBE = ProbeSpec(PlaceQuery, "embedding", answer)
