"""A picture of a cloud of states: fitted as a job, measured, and kept, so that typing has a place.

Shape letters: N states drawn, D model width, Z latent width, T tokens.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import UserError
from engine.latent.corpus import States
from engine.latent.pictured import PictureResult
from engine.latent.placing import Lines, principal_steps
from engine.latent.projections.spec import (
    LEAST,
    Cloud,
    Fitted,
    Of,
    Settings,
    check,
    projection_specs,
)
from engine.latent.quality import Quality, label_accuracy, measure_steps, own_accuracy, some
from engine.latent.space import Space
from engine.latent.vae import Standardiser
from engine.models.families.spec import Reader
from engine.models.loader import Loaded
from engine.types import Floats, Ints, Progress

__all__ = ["Picture", "PictureResult", "picture_steps", "pictures_of"]  # one is given on

_ROWS = 2048  # states standardised or encoded at once


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A fitted picture, as `engine.probes.place` and `engine.probes.picture` use it."""

    layer: int
    of: Of
    standard: Standardiser
    space: Space | None
    fitted: Fitted
    result: PictureResult

    def place(self, states: Tensor) -> Floats:
        """Places (T, 2) of states (T, D) in the model's units."""
        return self.fitted.place(_features(self.of, self.standard, self.space, states))


_kept: WeakKeyDictionary[Reader, dict[str, Picture]] = WeakKeyDictionary()


def pictures_of(loaded: Loaded) -> dict[str, Picture]:
    """The pictures fitted for a loaded model, by name. They go when the model goes."""
    return _kept.setdefault(loaded.reader, {})


def picture_steps(
    loaded: Loaded,
    states: States,
    projection: str,
    settings: Settings,
    name: str = "",
    texts: Sequence[str] = (),
    source: str = "",
) -> Generator[Progress, None, PictureResult]:
    """Fit a projection to `states`, measure it beside PCA, and keep it under `name`.

    Held out are whole passages, drawn with the settings' seed. Neighbours are those of the
    standardised states, whatever is drawn, so that all pictures are held to the same truth.

    Parameters
    ----------
    projection : str
        The key of one of `engine.latent.projections`.
    name : str
        By default the projection's key; a picture of that name is replaced.
    texts : sequence of str
        What each of `states` is called when it is pointed at, or nothing.
    source : str
        What the states are from, and what was left out of it, in words.

    Raises
    ------
    UserError
        If a setting is out of bounds, there are too few states, or μ is wanted and there is no
        space for this layer.
    """
    begun = time.perf_counter()
    spec = projection_specs()[projection]
    what = f"Cannot draw {spec.title}"
    check(settings, spec.title)
    space = loaded.spaces.get(states.layer)
    if spec.of == "μ" and space is None:
        why = f"there is no latent space for layer {states.layer} of {loaded.info.title}"
        raise UserError(what, why, "Train one, or choose a layer that has one")
    rows = some(len(states), settings.points or len(states), settings.seed)
    held = _held_out(states.passages[rows], settings.held_out, settings.seed)
    if (~held).sum() < LEAST:
        why = f"{int((~held).sum())} points are left to fit, and it takes {LEAST}"
        raise UserError(what, why, "Add texts, or hold out less")
    values = states.values[torch.from_numpy(rows)]  # (N, D)
    if not bool(torch.isfinite(values).all()):
        raise UserError(what, "some states are not numbers", "Collect them again")
    standard = _standardiser(space, values[torch.from_numpy(~held)])
    truth = yield from _all_features("states", standard, None, values)
    drawn = truth
    if spec.of != "states":
        drawn = yield from _all_features(spec.of, standard, space, values)
    mu: Floats | None = drawn if spec.of == "μ" else None
    if mu is None and space is not None:
        mu = yield from _all_features("μ", standard, space, values)
    cloud = Cloud(drawn, np.flatnonzero(~held))
    fitted = yield from spec.fit(cloud, settings)
    yield Progress("Placing what was held out", 0.9)
    xy = np.empty((len(rows), 2), dtype=np.float32)
    xy[~held], xy[held] = fitted.xy, fitted.place(drawn[held])
    labels = states.labels[rows]
    own = yield from _judged("this picture", truth, xy, labels, held, settings.seed)
    mean, axes = yield from principal_steps(truth[~held], 2)
    flat = Lines(truth, mean, axes).xy
    beside = yield from _judged("PCA's", truth, flat, labels, held, settings.seed)
    for array in (rows, xy, held, labels, mu):
        if array is not None:
            array.setflags(write=False)
    result = PictureResult(
        name=name or projection,
        projection=projection,
        title=spec.title,
        axes=spec.axes(settings),
        settings=settings,
        layer=states.layer,
        states=states.pooling,
        of=len(states),
        rows=rows,
        xy=xy,
        held_out=held,
        labels=labels,
        label_names=states.names,
        texts=tuple(texts[row] for row in rows) if texts else (),
        mu=mu,
        placing=fitted.placing,
        fitted_quality=own[0],
        held_out_quality=own[1],
        pca_fitted_quality=beside[0],
        pca_held_out_quality=beside[1],
        seconds=time.perf_counter() - begun,
        source=source,
    )
    kept = pictures_of(loaded)
    kept.pop(result.name, None)  # the newest stands last
    kept[result.name] = Picture(states.layer, spec.of, standard, space, fitted, result)
    return result


def _judged(
    whose: str,
    truth: Floats,
    xy: Floats,
    labels: Ints,
    held: NDArray[np.bool_],
    seed: int,
) -> Generator[Progress, None, tuple[Quality, Quality | None]]:
    said = f"Measuring {whose} quality"
    own = own_accuracy(xy[~held], labels[~held])
    yield Progress(said, 0.92)
    steps = [measure_steps(truth[~held], xy[~held], own, int((~held).sum()), seed)]
    yield Progress(said, 0.93)
    if held.any():
        accuracy = label_accuracy(xy[~held], labels[~held], xy[held], labels[held])
        steps.append(measure_steps(truth[held], xy[held], accuracy, int(held.sum()), seed))
        yield Progress(said, 0.95)
    found = []
    for one in steps:
        while True:
            try:
                next(one)
            except StopIteration as stop:
                found.append(stop.value)
                break
            yield Progress(said, 0.97)
        yield Progress(said, 0.98)
    return found[0], found[1] if len(found) > 1 else None


def _held_out(passages: Ints, share: float, seed: int) -> NDArray[np.bool_]:
    """Marks whole passages, as near to `share` of the states as the next one goes over."""
    held = np.zeros(len(passages), dtype=np.bool_)
    for passage in np.random.default_rng(seed).permutation(np.unique(passages)).tolist():
        there = passages == passage
        if held.sum() + there.sum() > share * len(passages):
            break
        held |= there
    return held


def _standardiser(space: Space | None, values: Tensor) -> Standardiser:
    if space is not None:
        return space.vae.standard
    standard = Standardiser(values.shape[1])
    standard.fit(values.float())
    return standard


def _all_features(
    of: Of, standard: Standardiser, space: Space | None, values: Tensor
) -> Generator[Progress, None, Floats]:
    parts = []
    for start in range(0, len(values), _ROWS):
        parts.append(_features(of, standard, space, values[start : start + _ROWS]))
        yield Progress(f"Preparing {len(values):,} states", 0.0)
    return np.concatenate(parts)


@torch.inference_mode()
def _features(of: Of, standard: Standardiser, space: Space | None, values: Tensor) -> Floats:
    """What is drawn of states (n, D), (n, F)."""
    values = values.float().to(standard.centre.device)
    if of == "raw":
        found = values
    elif of == "states":
        found = standard(values)
    else:
        assert space is not None
        found, _ = space.encode(values)
    array: Floats = found.cpu().numpy()
    return array
