"""What a probe is. A new one is one file beside this with a `PROBE` record."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

import engine.probes
from engine.trace import Trace
from engine.types import Floats, Ints, ModelInfo, Query, Request, Result, Stack, Token

if TYPE_CHECKING:
    from engine.models.families.spec import Ran
    from engine.models.loader import Loaded

_PINNED = 64 << 20
"""Bytes up to which a copy goes through pinned memory, which the system cannot swap out."""

Answer = Result | Callable[[], Result]
"""A result, or what makes it once the numbers it depends on have come."""


class NotAnswerable(Exception):  # noqa: N818 - an outcome, told in the panel
    """A query this model or this text has no answer to; the message says why, for the user."""


@dataclass(frozen=True, slots=True)
class Pass:
    """All a probe may look at: the loaded model, the trace, and what its tokens are.

    `text` is what the tokens' offsets count in, and `request` what was asked. A probe that runs
    another text beside this one adds what that took to `beside`, and ends where `cancelled` says
    so. `second` is the other model that the text can be read by, None without one; `alone` then
    says why there is none any more, where one was closed.
    """

    loaded: Loaded
    trace: Trace
    tokens: tuple[Token, ...]
    target_tokens: tuple[Token, ...]
    text: str = ""
    request: Request | None = None
    cancelled: Callable[[], bool] = lambda: False
    beside: list[Ran] = field(default_factory=list)
    second: Loaded | None = None
    alone: str = ""


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """A probe's entry: the query it answers, what the model must provide, and the answer.

    `needs` is empty where every model will do. With `last`, it is answered after all others, as it
    looks at what they have kept. With `slow`, it takes so long that the window is better given the
    others' answers meanwhile. `lends` names a memo that is forgotten as soon as nobody asks any
    more, because it is as large as the trace itself. `blocks` says of a model and a query how many
    blocks must have run before it can be answered: all, where it is None or says so. With `scores`
    it asks what the new tokens give the next one, which a pass had better work out itself.

    `answer` queues its work on the device and gives the result, whose arrays are filled when
    `wait_for` returns. What it can only say once it has seen numbers, it says in a function that it
    gives instead and that is called after the wait: looking at a number earlier makes the host wait
    for the device before the other probes' work is queued.
    """

    query: type[Query]
    needs: str
    answer: Callable[[Pass, Any], Answer]
    last: bool = False
    slow: bool = False
    lends: str = ""
    blocks: Callable[[ModelInfo, Any], int | None] | None = None
    scores: bool = False


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
    """Copy a tensor off the device into a read-only float32 array of the same shape.

    From an accelerator the copy is only begun: the numbers are there when `wait_for` returns.
    """
    array: Floats = host_copy(tensor.detach().float())
    return array


def to_ints(tensor: Tensor) -> Ints:
    """Do the same with whole numbers or truth values; the array is int64."""
    array: Ints = host_copy(tensor.detach().long())
    return array


def on_host(device: torch.device) -> bool:
    """Whether what lies on `device` can be shown where it lies, without a copy."""
    return device.type == "cpu"


def host_copy(tensor: Tensor) -> NDArray[Any]:
    """A read-only array of a tensor's numbers, in memory of its own; see `to_numpy`."""
    if tensor.device.type == "cuda" and tensor.nbytes <= _PINNED:
        # Only to pinned memory does CUDA copy beside other work. The buffer lives as long as the
        # array does, and the device works in order: what is queued later cannot spoil the copy.
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        host.copy_(tensor, non_blocking=True)
    else:
        host = torch.empty(tensor.shape, dtype=tensor.dtype)
        host.copy_(tensor)
    array: NDArray[Any] = host.numpy()
    array.setflags(write=False)
    return array


def wait_for(device: torch.device) -> None:
    """Let the device finish what it was given; every begun copy is then whole."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


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
