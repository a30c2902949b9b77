"""``main.py export``: a view of a text, saved as a picture or as numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.errors import UserError
from engine.models.catalogue import default, resolve
from engine.models.store import acquire, open_spec
from engine.tasks.taskfile import find_task
from engine.types import (
    LatentPlane,
    LatentQuery,
    LatentResult,
    ModelInfo,
    Pooling,
    Request,
    Snapshot,
    Stack,
)
from gui.comparing import joined
from gui.exporters.spec import check_applies, export, format_for
from gui.figures.spec import FigureOptions, figure_specs
from gui.headless.console import DONE, finish, say
from gui.mapping import MapChoice, map_job
from gui.planes import layers_of, states_of
from gui.precision import measure_at_once
from gui.prompting import Choice, Prompt, write

if TYPE_CHECKING:
    from engine.engine import Engine


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asked for; None where it did not say."""

    view: str
    out: Path
    text: str
    model: str | None = None
    target: str | None = None
    layer: int | None = None
    head: int | None = None
    kind: Stack | None = None
    scaling: Literal["linear", "log", "row"] = "linear"
    scale: int = 1
    device: str = "auto"
    dtype: str = "auto"
    chat: bool = False
    context: str | None = None
    other_model: str | None = None
    task: str | None = None
    k: int = 4
    seed: int = 0
    plane: LatentPlane = "own"
    states: Pooling = "tokens"
    by_label: bool = False


def run(order: Order) -> int:
    """Load the model, read the text, save the view.

    Raises
    ------
    UserError
        If the order cannot be carried out. What can be told without the model is told at once.
    """
    format_for(order.out)
    prompt = prompt_for(order)
    if prompt is not None:
        order = replace(order, text=prompt.text)
    contexts = contexts_for(order)
    entry = resolve(order.model) if order.model is not None else default()
    beside = resolve(order.other_model) if order.other_model is not None else None
    source = open_spec(entry, finish(acquire(entry)))
    other = open_spec(beside, finish(acquire(beside))) if beside is not None else None
    # Torch takes seconds to load; what is wrong with the order has been told by now.
    from engine.engine import Engine

    engine = Engine()
    info = finish(engine.load_steps(source, order.device, order.dtype))
    if measure_at_once(info):
        finish(engine.measure_steps())
    options = replace(options_for(order, info), prompt=prompt, contexts=contexts)
    if other is not None:
        loaded = finish(engine.load_second_steps(other, dtype=order.dtype))
        options = replace(options, second=loaded.info)
    queries = figure_specs()[order.view].queries(options, info)
    request = Request(1, engine.epoch, order.text, queries, target=order.target, chat=order.chat)
    for query in queries:
        if isinstance(query, LatentQuery) and query.plane == "umap":
            _fit(engine, info, query)
    snapshot = engine.answer(request)
    _check_plane(snapshot, order.plane)
    export(snapshot, order.view, options, order.out, scale=order.scale)
    if snapshot.notice:
        say(snapshot.notice)
    return DONE


def prompt_for(order: Order) -> Prompt | None:
    """The prompt of the task that was ordered; None for a view of another thing.

    Raises
    ------
    UserError
        If no task was named, or there is none of that name.
    """
    if order.view != "task":
        return None
    if order.task is None:
        raise UserError(
            "Cannot export task", "no task was named", "Give --task NAME, or a .toml file"
        )
    return write(find_task(order.task), Choice(k=order.k, seed=order.seed))


def contexts_for(order: Order) -> tuple[str, str]:
    """What stands before the text on either side of a comparison.

    Raises
    ------
    UserError
        If a comparison is ordered without a context or another model, or a model for another view.
    """
    if order.other_model is not None and order.view != "compare":
        why = "only a comparison is of two models"
        raise UserError(f"Cannot export {order.view}", why, "Leave --other-model out")
    context = joined(order.context or "", order.text)
    if order.view == "compare" and not context and order.other_model is None:
        raise UserError(
            "Cannot export compare",
            "no context to compare the text under, and no other model",
            "Give --context TEXT or --other-model NAME",
        )
    return "", context


def options_for(order: Order, info: ModelInfo) -> FigureOptions:
    """What of the view to show, checked against the model.

    Raises
    ------
    UserError
        If the model has no such layer, head or kind of attention.
    """
    what = f"Cannot export {order.view}"
    check_applies(figure_specs()[order.view], info)
    if order.chat and "chat" not in info.provides:
        why = f"{info.title} came without a template for conversations"
        raise UserError(what, why, "Leave --chat out")
    kinds = info.stacks
    if order.view == "embedding":  # cross-attention has queries and keys, but no stream of its own
        kinds = tuple(kind for kind in kinds if kind != "cross")
    if order.kind is not None and order.kind not in kinds:
        have = " or ".join(kinds)
        raise UserError(what, f"{info.title} has no {order.kind} here", f"Give --kind {have}")
    options = replace(
        FigureOptions(order.layer, order.head, order.kind, order.scaling),
        plane=order.plane,
        states=order.states,
        coloured=order.by_label,
    )
    depth = info.depth(options.stack_of(info))
    layers: dict[str, range | tuple[int, ...]] = {
        "attention": range(depth),
        "mosaic": range(depth),
        "embedding": range(depth + 1),
        "latent": layers_of(info, states_of(info, order.states)),
    }
    _check(what, info, "layer", order.layer, layers.get(order.view))
    _check(what, info, "head", order.head, range(info.heads))
    return options


def _fit(engine: Engine, info: ModelInfo, query: LatentQuery) -> None:
    """Fit the picture that bends, as the window does, or find it where it was kept."""
    layers = layers_of(info, query.states)
    layer = query.layer
    if layer is None and layers:
        layer = min(layers, key=lambda one: (abs(one - info.layers / 2), one))
    if layer is None:
        return  # the query's refusal says what there is
    made = finish(map_job(MapChoice(info.title, info.fingerprint, layer, query.states))(engine))
    if made.remark:
        say(made.remark)


def _check_plane(snapshot: Snapshot, wanted: LatentPlane) -> None:
    """Refuse what a latent space cannot show; in the window it would show its own plane."""
    for found in snapshot.results.values():
        if isinstance(found, LatentResult) and wanted not in ("own", found.plane):
            raise UserError(
                "Cannot export latent",
                f"the space of layer {found.layer} cannot show it: it has {found.mu.shape[1]} "
                f"dimensions and {'keeps' if found.planes else 'does not keep'} its reference μ",
                "Choose another plane, or give none",
            )


def _check(
    what: str, info: ModelInfo, name: str, value: int | None, known: range | tuple[int, ...] | None
) -> None:
    if value is None or known is None or value in known:
        return
    have = f"{known[0]} to {known[-1]}" if isinstance(known, range) else _list(known)
    why = f"{info.title} has no {name} {value} here"
    raise UserError(what, why, f"Give --{name} {have}")


def _list(numbers: tuple[int, ...]) -> str:
    return " or ".join(map(str, numbers))
