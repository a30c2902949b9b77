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
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

import gui.figures
from engine.types import ModelInfo, Query, Snapshot, Stack

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class FigureOptions:
    """What of a view to show.

    `layer` None is the model's middle. `head` None is the mean over heads in a picture and all
    heads in the numbers. `stack` None is the model's first.
    """

    layer: int | None = None
    head: int | None = None
    stack: Stack | None = None
    scaling: Literal["linear", "log", "row"] = "linear"


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
    """

    key: str
    needs: frozenset[str]
    queries: Callable[[FigureOptions, ModelInfo], tuple[Query, ...]]
    draw: Callable[[Figure, Snapshot, FigureOptions], None]
    arrays: Callable[[Snapshot, FigureOptions], Arrays]
    table: Callable[[Snapshot, FigureOptions], list[list[object]]]


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
        if module.name.rpartition(".")[2] in ("spec", "style"):
            continue
        spec = getattr(importlib.import_module(module.name), "FIGURE", None)
        if not isinstance(spec, FigureSpec):
            raise TypeError(f"{module.name} has no FIGURE record")
        specs[spec.key] = spec
    return specs
