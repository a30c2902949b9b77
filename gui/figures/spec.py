"""What a figure is: a picture fit for print, and the numbers behind it. No Qt, no torch.

A new figure is one file in gui/figures/ with a `FIGURE` record. The window and ``main.py export``
go through the same records, so a saved figure does not depend on the screen it was seen on.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

import gui.figures
from engine.errors import UserError
from engine.types import LatentPlane, ModelInfo, Pooling, Query, Result, Snapshot, Stack
from gui.turning import HOME, Turn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from engine.studies.emergence import Emergence
    from gui.prompting import Prompt
    from gui.studies.spec import Sheet


@dataclass(frozen=True, slots=True)
class FigureOptions:
    """What of a view to show.

    `layer` None is the model's middle. `head` None is the mean over heads in a picture and all
    heads in the numbers. `stack` None is the model's first. `picture` is how attention is drawn:
    as a map, or as lines from the queries to the keys. `temperature` is that of the next tokens.
    `drawn` names a picture of states, empty the newest.
    `plane` is that of a latent space, `states` whose states it shows; of three directions `turn` is
    from where they are seen. With `coloured` its cloud has the colours of its labels, or of `only`
    one of them.
    `contexts` stand before the text on either side of a comparison, and `second` is the other model
    that reads side B of it. `prompt` is the one that a task wrote into the text, None where there
    is none. `emergence` is a table of models and what of it is looked at, None for the one that
    comes along. `sheet` is what was measured by a job, a study say, which no snapshot holds.
    """

    layer: int | None = None
    head: int | None = None
    stack: Stack | None = None
    scaling: Literal["linear", "log", "row"] = "linear"
    picture: Literal["map", "lines"] = "map"
    temperature: float = 1.0
    drawn: str = ""
    plane: LatentPlane = "own"
    states: Pooling = "tokens"
    turn: Turn = HOME
    coloured: bool = False
    only: int | None = None
    contexts: tuple[str, str] = ("", "")
    second: ModelInfo | None = None
    prompt: Prompt | None = None
    emergence: Emergence | None = None
    sheet: Sheet[Any] | None = None

    def stack_of(self, model: ModelInfo) -> Stack:
        """The stack that is meant, of those `model` has."""
        return self.stack if self.stack in model.stacks else model.stacks[0]

    def depth_of(self, model: ModelInfo) -> int:
        """The depth in the residual stream that is meant, 0 to L; brought into range."""
        depth = model.depth(self.stack_of(model))
        return depth // 2 if self.layer is None else max(0, min(self.layer, depth))

    def block_of(self, model: ModelInfo) -> int:
        """The block, 0 to L − 1, that reads the state at that depth; at depth L the last one."""
        return max(0, min(self.depth_of(model), model.depth(self.stack_of(model)) - 1))


R = TypeVar("R", bound=Result)
Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class FigureSpec:
    """How one view becomes a figure or numbers.

    Parameters
    ----------
    key : str
        The view's key.
    needs : frozenset of str
        What the model must provide.
    queries : callable
        What must be asked for, given options and model.
    draw : callable
        Draw a snapshot that answers the queries into an empty matplotlib figure, sizing it.
    arrays : callable
        The numbers, by name, for NPZ and JSON; `tokens`, `ids` and `meta` are added for all.
    table : callable
        The same numbers as rows for CSV, the first being the header.
    textless : bool
        Whether there is something to show where the text has no tokens.
    made_of : callable or None
        Of a figure that is not of the model that is open: what it is of, for the record.
    own_record : bool
        Whether the options' sheet tells how it came about, and not the snapshot.
    """

    key: str
    needs: frozenset[str]
    queries: Callable[[FigureOptions, ModelInfo], tuple[Query, ...]]
    draw: Callable[[Figure, Snapshot, FigureOptions], None]
    arrays: Callable[[Snapshot, FigureOptions], Arrays]
    table: Callable[[Snapshot, FigureOptions], list[list[object]]]
    textless: bool = False
    made_of: Callable[[FigureOptions], Mapping[str, object]] | None = None
    own_record: bool = False


def answer_to(snapshot: Snapshot, query: Query, kind: type[R]) -> R:
    """The answer to `query` in `snapshot`.

    Raises
    ------
    UserError
        If the model refused the query, with its reason, or it was never asked.
    """
    result = snapshot.results.get(query)
    if isinstance(result, kind):
        return result
    reason = snapshot.refused.get(query) or "the answer at hand was given to another question"
    raise UserError("Cannot export this view", reason, "Choose another layer, view or model")


def sheet_figure(view: str, do: str) -> FigureSpec:
    """The figure of a `view` that shows what a job has measured, and not the open model.

    It is what `main.py study --out`, say, would save. Where nothing was measured yet, a `UserError`
    tells what to `do`.
    """

    def sheet(options: FigureOptions) -> Sheet[Any]:
        if options.sheet is None:
            raise UserError(f"Cannot export {view}", "nothing was measured yet", do)
        return options.sheet

    def arrays(_: Snapshot, options: FigureOptions) -> Arrays:
        found = sheet(options)
        numbers: Arrays = found.spec.arrays(found.study)
        return numbers

    return FigureSpec(
        key=view,
        needs=frozenset(),
        queries=lambda _options, _model: (),
        draw=lambda figure, _, options: sheet(options).draw(figure),
        arrays=arrays,
        table=lambda _, options: sheet(options).table(),
        textless=True,
        own_record=True,
    )


@cache
def figure_specs() -> Mapping[str, FigureSpec]:
    """Find every figure there is, by key.

    Raises
    ------
    TypeError
        If a module in gui/figures/ has no `FIGURE` record.
    """
    specs: dict[str, FigureSpec] = {}
    for module in pkgutil.iter_modules(gui.figures.__path__, "gui.figures."):
        if module.name.rpartition(".")[2] in gui.figures.SHARED:
            continue
        spec = getattr(importlib.import_module(module.name), "FIGURE", None)
        if not isinstance(spec, FigureSpec):
            raise TypeError(f"{module.name} has no FIGURE record")
        specs[spec.key] = spec
    return specs
