"""``main.py latent picture``: draw the states of texts by a projection, measure it, and save it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UserError
from engine.latent.projections.spec import ProjectionSpec, choices, projection_specs
from engine.latent.values import PictureQuery
from engine.models.catalogue import default, resolve
from engine.models.store import acquire, open_spec
from engine.types import ModelInfo, Query, Request, Result, Snapshot
from gui.exporters.spec import export, format_for
from gui.figures.spec import FigureOptions, figure_specs
from gui.headless.console import DONE, finish, say
from gui.headless.latent import PATIENCE, print_json, shown
from gui.qualities import MEASURES, columns

if TYPE_CHECKING:
    from engine.latent.pictured import PictureResult
    from engine.latent.quality import Quality
    from engine.types import Pooling

MOST: Mapping[str, int] = {"tokens": 60_000, "mean": 8_000, "last": 8_000}
"""How many tokens or sentences are read at most unless told otherwise; as the window's form has it.
"""

_NAME = "picture"  # what it is called while the command lasts


@dataclass(frozen=True, slots=True)
class Wanted:
    """What ``latent picture`` was asked for; None where it did not say."""

    model: str | None
    corpus: tuple[Path, ...]
    method: str
    out: Path | None
    device: str
    dtype: str
    layer: int | None
    label: str | None
    states: Pooling
    most: int | None
    first: bool
    text: str | None
    settings: Mapping[str, float | int | str]
    scale: int = 1


def draw(wanted: Wanted, as_json: bool) -> int:
    """Draw a picture, print how good it is beside PCA's, and save it where a file was named.

    Raises
    ------
    UserError
        If it cannot be done. What can be told without the model is told at once.
    """
    if wanted.out is not None:
        format_for(wanted.out)
    spec = projection_specs()[wanted.method]
    _check_settings(spec, wanted.settings)
    entry = resolve(wanted.model) if wanted.model is not None else default()
    source = open_spec(entry, finish(acquire(entry)))
    # Torch takes seconds to load; what is wrong with the words has been told by now.
    from engine.engine import Engine
    from engine.latent.drawing import Drawing, drawing_job

    engine = Engine()
    info = finish(engine.load_steps(source, wanted.device, wanted.dtype))
    assert engine.loaded is not None
    order = Drawing(
        name=_NAME,
        projection=wanted.method,
        layer=_layer(wanted, spec, info),
        settings=wanted.settings,
        states=wanted.states,
        corpus=wanted.corpus,
        label=wanted.label,
        most=MOST[wanted.states] if wanted.most is None else wanted.most,
        first=wanted.first,
        patience=PATIENCE,
    )
    drawn = finish(drawing_job(engine.loaded, order))
    if wanted.out is not None:
        options = FigureOptions(layer=order.layer, drawn=_NAME, states=wanted.states)
        if wanted.text:
            queries = figure_specs()["pictures"].queries(options, info)
            seen = engine.answer(Request(1, engine.epoch, wanted.text, queries))
            if seen.notice:
                say(seen.notice)
        else:
            results: dict[Query, Result] = {PictureQuery(_NAME): drawn}
            seen = Snapshot(Request(1, engine.epoch, ""), info, (), results=results)
        export(seen, "pictures", options, wanted.out, scale=wanted.scale)
    told = _told(drawn, wanted, info)
    if as_json:
        print_json(told)
        return DONE
    _print_figures(told, drawn)
    return DONE


def _layer(wanted: Wanted, spec: ProjectionSpec, info: ModelInfo) -> int:
    """The layer that was named; else the middle one, or the nearest that has a latent space."""
    if wanted.layer is not None:
        return wanted.layer
    middle = info.layers // 2
    if spec.of != "μ" or not info.latent_layers:
        return middle
    return min(info.latent_layers, key=lambda layer: (abs(layer - middle), layer))


def _check_settings(spec: ProjectionSpec, given: Mapping[str, object]) -> None:
    """Refuse what this projection has no use for."""
    known = [one.name for one in choices(spec.settings)]
    for name in given:
        if name not in known:
            own = ", ".join(f"--{one.replace('_', '-')}" for one in known)
            raise UserError(
                f"Cannot draw {spec.title}",
                f"it takes no --{name.replace('_', '-')}",
                f"Choose from {own}",
            )


def _told(drawn: PictureResult, wanted: Wanted, info: ModelInfo) -> dict[str, Any]:
    own, beside = drawn.held_out_quality, drawn.pca_held_out_quality
    fitted, flat = drawn.fitted_quality, drawn.pca_fitted_quality
    return {
        "out": None if wanted.out is None else str(wanted.out),
        "method": drawn.projection,
        "settings": asdict(drawn.settings),
        "model": info.name,
        "layer": drawn.layer,
        "states": "tokens" if drawn.states == "tokens" else "sentences",
        "pooling": drawn.states,
        "source": drawn.source,
        "collected_states": drawn.of,
        "drawn_states": len(drawn.xy),
        "held_out_states": int(drawn.held_out.sum()),
        "labels": list(drawn.label_names),
        **_measures("", own),
        **_measures("pca_", beside),
        **_measures("fitted_", fitted),
        **_measures("pca_fitted_", flat),
        "seconds": round(drawn.seconds, 2),
    }


def _measures(prefix: str, quality: Quality | None) -> dict[str, float | None]:
    """The three measures by the names that ``latent evaluate`` has for them; None where none is."""
    names = ("trustworthiness", "continuity", "knn_accuracy")
    if quality is None:
        return {f"{prefix}{name}": None for name in names}
    values = (quality.trustworthiness, quality.continuity, quality.accuracy)
    return {
        f"{prefix}{name}": value if math.isfinite(value) else None
        for name, value in zip(names, values, strict=True)
    }


def _print_figures(told: dict[str, Any], drawn: PictureResult) -> None:
    for name in ("method", "model", "layer", "states", "drawn_states", "held_out_states"):
        print(f"{name.ljust(15)}  {shown(told[name])}")
    print(f"{'of'.ljust(15)}  {drawn.source}")
    measured = columns(drawn)
    head = [f"{one.picture}, {one.points}" for one in measured]
    print("  ".join(["".ljust(15), *head]))
    for row, name in enumerate(MEASURES):
        cells = [one.said(row).rjust(len(over)) for one, over in zip(measured, head, strict=True)]
        print("  ".join([name.ljust(15), *cells]))
    if told["out"] is not None:
        print(f"Saved as {told['out']}.")
