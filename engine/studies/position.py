"""Loss by position over long texts, and the in-context learning score, as a job.

The score (Olsson et al. 2022, 2209.11895) is the loss at a late position less that at an early one,
in nats, averaged over texts: negative means that what stood between them helped.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.latent.corpus_texts import Text
from engine.models.loader import Loaded
from engine.studies import bootstrap
from engine.studies.kept import Kept, digest
from engine.studies.runs import Runs
from engine.studies.values import Interval, Placed, Positions, shown
from engine.studies.windows import Looking, windows
from engine.types import Progress

VERSION = 1
_WHAT = "Cannot measure the loss by position"


@dataclass(frozen=True, slots=True)
class Order:
    """What to read and where to look; `patience` is about how many seconds a step takes."""

    texts: tuple[Text, ...]
    looking: Looking = field(default_factory=Looking)
    patience: float = 0.03
    fresh: bool = False


def position_job(loaded: Loaded, order: Order) -> Generator[Progress, None, Positions]:
    """Measure the loss at every position; what was measured of a text is kept and not redone.

    Raises
    ------
    UserError
        If the model does not write text, the texts are too short, or memory would not do.
    """
    runs = Runs(loaded, _WHAT, order.patience)
    yield Progress("Cutting the texts into tokens", 0.0)
    cut = windows(loaded, order.texts, order.looking, _WHAT)
    runs.require_room(len(cut[0].ids), "Look at earlier positions")
    kept = Kept("position", loaded.info, VERSION, order.fresh)
    rows: list[list[float]] = []
    for place, window in enumerate(cut):
        name = digest(window.ids)
        found = kept.load(name, list[float])
        if found is None or len(found) != len(window.ids) - 1:
            text = f"Reading text {place + 1} of {len(cut)}"
            steps = runs.losses(window.ids)
            while True:
                try:
                    next(steps)
                except StopIteration as stop:
                    found = stop.value
                    break
                yield Progress(text, place / len(cut))
            kept.save(name, found)
        assert found is not None
        rows.append(found)
        yield Placed(
            f"Read {place + 1} of {len(cut)} texts",
            (place + 1) / len(cut),
            curve=shown(_padded(np.mean(rows, axis=0))),
        )
    runs.forget()
    kept.trim()
    losses = np.array(rows)  # (N, T - 1)
    drawn = bootstrap.resamples(1, len(losses))
    curve, low, high = bootstrap.means(losses, drawn)
    looking = order.looking
    return Positions(
        model=loaded.info.name,
        title=loaded.info.title,
        early=looking.early,
        late=looking.late,
        around=looking.around,
        losses=shown(np.stack([_padded(row) for row in losses])),
        curve=shown(_padded(curve)),
        low=shown(_padded(low)),
        high=shown(_padded(high)),
        score=score(losses, looking, drawn),
        names=tuple(window.name for window in cut),
    )


def score(losses: NDArray[np.float64], looking: Looking, drawn: bootstrap.Ints) -> Interval:
    """The in-context learning score of losses (N, T − 1), those of all tokens but the first."""

    def at(position: int) -> NDArray[np.float64]:
        part = losses[:, position - 1 - looking.around : position + looking.around]
        there: NDArray[np.float64] = part.mean(axis=1)
        return there

    return bootstrap.mean(at(looking.late) - at(looking.early), drawn)


def _padded(row: NDArray[np.float64]) -> NDArray[np.float32]:
    """Values by position (T,): of the first token there is none."""
    return np.concatenate([[np.nan], row]).astype(np.float32)
