"""What a projection is. A new one is one file beside this with a `PROJECTION` record.

All of a projection's choices are made before anything is computed, in a frozen `Settings` of its
own, and told with its picture. Shape letters: N points, F features, n new points.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.latent import projections
from engine.types import Floats, Progress

Of = Literal["raw", "states", "μ"]
"""What is drawn: states in the model's units, standardised states, or their μ in a latent space."""

LEAST = 12
"""Points that a picture takes at least."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting as a form shows it: `least` and `most` bound a number, `options` list words.

    Where the default is a tuple, a group of points is wanted: a form asks for a label.
    """

    name: str
    title: str
    says: str
    default: Any
    least: float | None = None
    most: float | None = None
    options: tuple[str, ...] = ()


def choice(
    default: Any, title: str, says: str, *bounds: float, options: tuple[str, ...] = ()
) -> Any:
    """A field of a `Settings`."""
    least, most = bounds or (None, None)
    told = {"title": title, "says": says, "least": least, "most": most, "options": options}
    return field(default=default, metadata=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What every projection is told."""

    points: int = choice(
        0, "Points", "How many states are drawn, evenly at random; 0 for all.", 0, 1_000_000
    )
    held_out: float = choice(
        0.2,
        "Held out",
        "Share that takes no part in fitting and is placed as new ones are.",
        0,
        0.9,
    )
    seed: int = choice(0, "Seed", "The same seed gives the same picture.", 0, 2**31 - 1)


def choices(settings: type[Settings]) -> tuple[Choice, ...]:
    """The settings of a projection in the order in which a form shows them: its own first."""
    common = {one.name for one in fields(Settings)}
    ordered = sorted(fields(settings), key=lambda one: one.name in common)
    return tuple(
        Choice(name=one.name, default=one.default, **one.metadata)
        for one in ordered
        if one.metadata
    )


def check(settings: Settings, title: str) -> None:
    """Check each setting against its bounds.

    Raises
    ------
    UserError
        That names the first that is out of them.
    """
    for one in choices(type(settings)):
        value = getattr(settings, one.name)
        number = isinstance(value, (int, float)) and one.least is not None and one.most is not None
        if number and not one.least <= value <= one.most:
            why, do = f"{one.title} is {value}", f"Choose from {one.least} to {one.most}"
            raise UserError(f"Cannot draw {title}", why, do)
        if one.options and value not in one.options:
            do = f"Choose one of: {', '.join(one.options)}"
            raise UserError(f"Cannot draw {title}", f"{one.title} is {value}", do)


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """What is fitted: `x` (N, F) float32, of which the rows `fitted` (M,) take part."""

    x: Floats
    fitted: NDArray[np.int64]

    @property
    def chosen(self) -> Floats:
        """The rows that take part, (M, F)."""
        return self.x[self.fitted]


class Fitted(ABC):
    """A fitted projection: the plane does not change any more, and new points get a place on it."""

    xy: Floats
    """(M, 2): the places of the points that were fitted."""

    placing: str
    """How a new point gets its place, in a sentence."""

    @abstractmethod
    def place(self, x: Floats) -> Floats:
        """Places (n, 2) of new points (n, F), each by itself."""


Steps = Generator[Progress, None, Fitted]


def _numbered(settings: Settings) -> tuple[str, str]:
    return "1", "2"


@dataclass(frozen=True, slots=True)
class ProjectionSpec:
    """A projection's entry.

    Parameters
    ----------
    key, title, says : str
        Stable name, name in a list, and a sentence for a tooltip.
    of : Of
        What it is given.
    settings : type
        Its `Settings`.
    fit : callable
        Fits it; the generator's value is the `Fitted`. Closing it ends the work at once.
    order : int
        Where it stands in a list.
    axes : callable
        What the axes are called, across and up, given its settings.
    """

    key: str
    title: str
    says: str
    of: Of
    settings: type[Settings]
    fit: Callable[[Cloud, Any], Steps]
    order: int
    axes: Callable[[Any], tuple[str, str]] = _numbered


@cache
def projection_specs() -> Mapping[str, ProjectionSpec]:
    """Find every projection there is, by its key, in the order of a list.

    Raises
    ------
    TypeError
        If a module in engine/latent/projections/ has no `PROJECTION` record.
    """
    specs = []
    for module in pkgutil.iter_modules(projections.__path__, f"{projections.__name__}."):
        if module.name.endswith(".spec"):
            continue
        spec = getattr(importlib.import_module(module.name), "PROJECTION", None)
        if not isinstance(spec, ProjectionSpec):
            raise TypeError(f"{module.name} has no PROJECTION record")
        specs.append(spec)
    return {spec.key: spec for spec in sorted(specs, key=lambda spec: spec.order)}
