"""What a probe is. A new one is one file beside this with a `PROBE` record."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

import engine.probes
from engine.trace import Trace
from engine.types import Floats, Query, Result, Stack, Token

if TYPE_CHECKING:
    from engine.models.loader import Loaded


class NotAnswerable(Exception):  # noqa: N818 - an outcome, told in the panel
    """A query this model or this text has no answer to; the message says why, for the user."""


@dataclass(frozen=True, slots=True)
class Pass:
    """All a probe may look at: the loaded model, the trace, and what its tokens are."""

    loaded: Loaded
    trace: Trace
    tokens: tuple[Token, ...]
    target_tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """A probe's entry: the query it answers, what the model must provide, and the answer."""

    query: type[Query]
    needs: str
    answer: Callable[[Pass, Any], Result]


@cache
def probe_specs() -> Mapping[type[Query], ProbeSpec]:
    """Find every probe there is, by the query it answers.

    Raises
    ------
    TypeError
        If a module in engine/probes/ has no `PROBE` record.
    """
    specs: dict[type[Query], ProbeSpec] = {}
    for module in pkgutil.iter_modules(engine.probes.__path__, "engine.probes."):
        if module.name == "engine.probes.spec":
            continue
        spec = getattr(importlib.import_module(module.name), "PROBE", None)
        if not isinstance(spec, ProbeSpec):
            raise TypeError(f"{module.name} has no PROBE record")
        specs[spec.query] = spec
    return specs


def to_numpy(tensor: Tensor) -> Floats:
    """Copy a tensor off the device into a read-only float32 array of the same shape."""
    array = np.array(tensor.detach().float().cpu().numpy(), dtype=np.float32, copy=True)
    array.setflags(write=False)
    return array


def states_at(passed: Pass, layer: int, stack: Stack | None) -> tuple[Stack, Tensor]:
    """The residual stream (T, D) at depth `layer`, 0 to L, of `stack` or of the model's first.

    Raises
    ------
    NotAnswerable
        If the model has no such depth, naming those it has.
    """
    info = passed.loaded.info
    chosen: Stack = stack or info.stacks[0]
    chosen = "decoder" if chosen == "cross" else chosen
    arenas = passed.trace.states.get(chosen)
    if arenas is None:
        raise NotAnswerable(f"{info.title} has no {chosen} states")
    if not 0 <= layer < len(arenas):
        raise NotAnswerable(
            f"{info.title} has layers 0 (input embeddings) to {len(arenas) - 1}, not {layer}"
        )
    return chosen, arenas[layer].rows()
