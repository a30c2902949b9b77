"""What a family is. A new one is one file beside this with a `FAMILY` record.

A family says which configurations it takes, through which of transformers' Auto classes they are
loaded, and how a pass is run so that a `Trace` comes of it.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn

from engine.estimate import Sizes
from engine.models import families
from engine.models.halfway import Halfway
from engine.models.recorder import NAME, Recorder
from engine.trace import Trace
from engine.types import Kind, Query, Stack


@dataclass(frozen=True, slots=True)
class Ran:
    """What it took to bring a trace up to date."""

    passes: int
    suffix: int
    reused: int


def added(ran: Sequence[Ran]) -> Ran:
    """What several took together."""
    return Ran(
        sum(one.passes for one in ran),
        sum(one.suffix for one in ran),
        sum(one.reused for one in ran),
    )


class Reader(ABC):
    """Runs one loaded model.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In evaluation mode, with the recorder's attention, on its device.
    """

    _sent: tuple[list[int], Tensor | None] = ([], None)  # tokens, and where they are on the device

    def __init__(self, model: Any) -> None:
        self.model = model
        self.config = model.config.get_text_config(decoder=True)
        self.device: torch.device = model.device
        self.blocks = self.find_blocks()

    @property
    def builds_on(self) -> bool:
        """Whether a pass adds to the trace of the one before, and does not replace it."""
        return False

    @abstractmethod
    def find_blocks(self) -> Mapping[Stack, Sequence[nn.Module]]:
        """The blocks of each stack that has a residual stream, in order."""

    @abstractmethod
    def stack_of(self, module: nn.Module) -> Stack:
        """Which stack an attention module belongs to."""

    @abstractmethod
    def read(
        self,
        trace: Trace | None,
        ids: list[int],
        target_ids: list[int],
        cancelled: Callable[[], bool],
    ) -> tuple[Trace, Ran]:
        """Bring a trace up to date with `ids`, running no token that an edit left as it was.

        Raises
        ------
        engine.errors.Cancelled
            If `cancelled` said so between two blocks. `trace` is then to be mended, as it is
            where memory ran out.
        """

    def read_telling(
        self,
        trace: Trace | None,
        ids: list[int],
        target_ids: list[int],
        cancelled: Callable[[], bool],
        halfway: Halfway | None,
    ) -> tuple[Trace, Ran]:
        """Do what `read` does; where it can, tell `halfway` of the pass before it is through."""
        return self.read(trace, ids, target_ids, cancelled)

    @property
    def has_next(self) -> bool:
        """Whether the model predicts a next token."""
        return False

    @property
    def has_attention(self) -> bool:
        """Whether the model attends, and lets that be seen."""
        return True

    @property
    def extra_bytes(self) -> int:
        """Bytes held beside the weights, so that a keystroke is quick."""
        return 0

    @property
    def has_gates(self) -> bool:
        """Whether it is made of layers with gates, which can be seen."""
        return False

    def map_bytes(self, count: int) -> int:
        """Bytes of attention maps that a trace of `count` tokens has to hold, as some must."""
        return 0

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return int(self.model.dtype.itemsize)

    @cached_property
    def sizes(self) -> Sizes:
        """What the bytes of a pass depend on."""
        depths = [len(modules) for modules in self.blocks.values()]
        return Sizes.of(
            self.config,
            depths or [int(self.config.num_hidden_layers)],
            self.itemsize,
            cached=self.builds_on,
            eager=self.map_bytes(1) > 0,
        )

    def pass_bytes(
        self, trace: Trace | None, new: int, count: int, queries: Sequence[Query] = ()
    ) -> int:
        """About how many bytes it takes to run `new` of `count` tokens and to answer `queries`.

        Those that `trace`, to which the pass adds, holds already are not among them.
        """
        held = passing = 0
        if new:
            # Maps are held in buffers with room, and all the new rows are there before they are.
            maps = self.map_bytes(count)
            held = self.sizes.held(count) + maps * 25 // 16
            held = max(0, held - (0 if trace is None else trace.nbytes))
            passing = self.sizes.passing(new, count) + maps * new // count
        return held + max(passing, self.sizes.asking(queries, new, count))

    def logits(self, final: Tensor) -> Tensor:
        """Scores over the vocabulary (n, V) for states (n, D) after the final norm.

        The model's own ``forward`` works them out, with all but its head passed over, so that
        whatever its family does there is done: scales (Granite, Cohere), caps (Gemma 2), biases
        (BART), further layers.
        """
        with _giving(self.model, final[None]):
            scores: Tensor = self.model(**self.head_inputs(final[None])).logits[0]
        return scores

    def head_inputs(self, states: Tensor) -> dict[str, Any]:
        """What ``forward`` must be given so that it comes as far as its head."""
        return {"input_ids": self._nothing(), "use_cache": False}

    def recorder(
        self, trace: Trace, start: int, cached: bool, cancelled: Callable[[], bool]
    ) -> Recorder:
        """Make the listener for one pass."""
        return Recorder(trace, self.stack_of, start, cached, cancelled)

    def tensor(self, ids: list[int]) -> Tensor:
        """`ids` as (1, n) on the model's device.

        The end of what was sent last is not sent again: what a pass has read is what a probe then
        asks about.
        """
        sent, there = self._sent
        if ids and there is not None and sent[-len(ids) :] == ids:
            return there[:, -len(ids) :]
        made = torch.tensor([ids], dtype=torch.long)
        if not ids:
            return made.to(self.device)
        if self.device.type == "cuda":  # from pinned memory, the host need not wait for it
            made = made.pin_memory().to(self.device, non_blocking=True)
        else:
            made = made.to(self.device)
        self._sent = list(ids), made
        return made

    def _nothing(self) -> Tensor:
        """A token (1, 1) that is not looked at; made on the device, where it costs no copy."""
        return torch.zeros(1, 1, dtype=torch.long, device=self.device)


class _States(tuple[Tensor]):
    """An output that has a last state, and nothing of all that a head may look for besides."""

    @property
    def last_hidden_state(self) -> Tensor:
        """(1, n, D)."""
        return self[0]

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


@contextmanager
def _giving(model: Any, states: Tensor) -> Iterator[None]:
    """Let all of `model` but its head do nothing and give `states` (1, n, D)."""
    base, decoder = base_of(model), model.get_decoder()
    parts = [base] if base is not model else []
    # Some heads ask the decoder within it (OPT's), or there is no whole below the head (T5's). Else
    # what goes by that name may be a part of the head (ModernBERT's).
    if decoder is not base and decoder is not model and decoder in base.modules():
        parts.append(decoder)
    for part in parts:
        part.forward = lambda *_args, **_kwargs: _States((states,))
    try:
        yield
    finally:
        for part in parts:
            part.__dict__.pop("forward", None)  # the class's own shows again


@dataclass(frozen=True, slots=True)
class FamilySpec:
    """A family's entry.

    Parameters
    ----------
    key : str
        Stable name.
    kind : Kind
        What its models are.
    accepts : callable
        Whether a transformers configuration is of this family. The family of the highest
        `priority` that accepts a configuration takes it.
    auto : callable
        Names the transformers Auto class that loads it, for a configuration.
    reader : callable
        Makes the `Reader` of a loaded model.
    priority : int
        See `accepts`.
    attention : callable
        Names the attention its models are loaded with, for a configuration.
    """

    key: str
    kind: Kind
    accepts: Callable[[Any], bool]
    auto: Callable[[Any], str]
    reader: Callable[[Any], Reader]
    priority: int = 0
    attention: Callable[[Any], str] = lambda _config: NAME


@cache
def family_specs() -> tuple[FamilySpec, ...]:
    """Find every family there is, the most particular first.

    Raises
    ------
    TypeError
        If a module in engine/models/families/ has no `FAMILY` record.
    """
    specs = []
    for module in pkgutil.iter_modules(families.__path__, f"{families.__name__}."):
        if module.name.endswith(".spec"):
            continue
        spec = getattr(importlib.import_module(module.name), "FAMILY", None)
        if not isinstance(spec, FamilySpec):
            raise TypeError(f"{module.name} has no FAMILY record")
        specs.append(spec)
    return tuple(sorted(specs, key=lambda spec: -spec.priority))


def base_of(model: Any) -> Any:
    """A model without its head; the model itself where it is not built around such a part."""
    # Llama 4 names its part otherwise than it says it does.
    return model.base_model if model.base_model is not model else getattr(model, "model", model)


def stack_of_blocks(root: nn.Module, count: int) -> Sequence[nn.Module]:
    """Find the list of `count` blocks nearest to the root of a stack.

    Raises
    ------
    LookupError
        If there is none: the family needs a file of its own.
    """
    lists = [
        (name.count("."), module)
        for name, module in root.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    if not lists:
        raise LookupError(f"no list of {count} blocks in {type(root).__name__}")
    found = min(lists, key=lambda entry: entry[0])[1]
    return list(found)
