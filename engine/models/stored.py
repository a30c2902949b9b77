"""Models that compute attention by themselves: what they hand out is kept as it is.

Bloom, Falcon, GPT-Neo, MPNet, DeBERTa, XLNet and others do not go through transformers' registry of
attention functions, so that nobody can listen to their queries and keys. They are run with
``output_attentions`` and their maps are kept: L·H·T² numbers, 0.4 GB in float32 for 24 layers of 16
heads at 512 tokens, 1.6 GB at 1024. `Reader.map_bytes` says it beforehand.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from engine.trace import AttentionMaps, Trace
from engine.types import Stack

_STEP = 64  # rows and columns that a buffer grows by at least


@dataclass(slots=True)
class StoredAttention(AttentionMaps):
    """Maps of one layer, (H, T, S), in a buffer with room to grow.

    Where the stack is causal, rows are added at the end as the text grows: what stands right of the
    diagonal stays zero.
    """

    _buffer: Tensor | None = field(default=None)
    _rows: int = 0
    _columns: int = 0

    @property
    def heads(self) -> int:
        """H, or 0 where nothing was stored."""
        return 0 if self._buffer is None else self._buffer.shape[0]

    @property
    def rows(self) -> int:
        """T."""
        return self._rows

    @property
    def columns(self) -> int:
        """S."""
        return self._columns

    def append(self, maps: Tensor) -> None:
        """Write the rows `maps` (H, t, S) below those there are."""
        rows, columns = self._rows + maps.shape[1], maps.shape[2]
        old = self._buffer
        if old is None or rows > old.shape[1] or columns > old.shape[2]:
            shape = (maps.shape[0], _room(rows), _room(columns))
            self._buffer = maps.new_zeros(shape)
            if old is not None:
                self._buffer[:, : self._rows, : self._columns] = self._kept(old)
        assert self._buffer is not None
        self._buffer[:, self._rows : rows, :columns] = maps
        # A longer row may have stood here before an edit.
        self._buffer[:, self._rows : rows, columns:] = 0
        self._rows, self._columns = rows, columns

    def _kept(self, buffer: Tensor) -> Tensor:
        return buffer[:, : self._rows, : self._columns]

    def weights(self, head: int | None = None, start: int = 0, stop: int | None = None) -> Tensor:
        """Return the rows as the model gave them, in float32."""
        if self._buffer is None:
            raise RuntimeError("no attention was stored for this layer")
        stop = self._rows if stop is None else stop
        heads = slice(None) if head is None else slice(head, head + 1)
        return self._kept(self._buffer)[heads, start:stop].float()

    def keep(self, count: int) -> None:
        """Forget rows and columns from `count` on."""
        self._rows, self._columns = min(self._rows, count), min(self._columns, count)

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer."""
        return 0 if self._buffer is None else self._buffer.nbytes

    @property
    def map_bytes(self) -> int:
        """All of them."""
        return self.nbytes


def _room(needed: int) -> int:
    """Room for a quarter more, so that typing does not copy everything at each key."""
    return -(-(needed + max(needed // 4, 1)) // _STEP) * _STEP


def store(trace: Trace, stack: Stack, attentions: Sequence[Tensor]) -> None:
    """Add each layer's new rows (1, H, t, S) to a trace."""
    layers = trace.attention.setdefault(stack, [])
    while len(layers) < len(attentions):
        layers.append(StoredAttention())
    for layer, maps in zip(layers, attentions, strict=True):
        assert isinstance(layer, StoredAttention)
        layer.append(maps[0])


def model_class(config: PreTrainedConfig, auto: Any) -> type[PreTrainedModel] | None:
    """The class that one of transformers' Auto classes makes of a configuration."""
    mapping = auto._model_mapping
    if type(config) not in mapping:
        return None
    found = mapping[type(config)]
    model: type[PreTrainedModel] = found[0] if isinstance(found, tuple) else found
    return model


def in_registry(model: type[PreTrainedModel]) -> bool:
    """Whether a model sends its attention through transformers' registry."""
    return hasattr(inspect.getmodule(model), "ALL_ATTENTION_FUNCTIONS")


@dataclass(frozen=True, slots=True)
class Habits:
    """How a model that computes attention by itself can be read, found out by trying.

    `maps`: it hands out a map of tokens by tokens for each layer. `own_states`: its blocks cannot
    be listened to, and the states it hands out have to do.
    """

    maps: bool
    own_states: bool


EVERYTHING = {
    "output_attentions": True,
    "output_hidden_states": True,
    "use_cache": False,
    "return_dict": True,
}
"""What asks a model for its maps and states, and for no cache."""


def habits(base: nn.Module, blocks: Sequence[nn.Module], vocabulary: int) -> Habits:
    """Run a few tokens and look at what comes out.

    Raises
    ------
    LookupError
        If the model gives neither blocks that can be listened to nor all of its states.
    """
    count = 5
    device = next(base.parameters()).device
    ids = torch.arange(1, count + 1, device=device)[None] % vocabulary
    seen: dict[tuple[int, str], Tensor] = {}
    handles = []
    for depth, block in enumerate(blocks[-2:]):
        handles.append(block.register_forward_pre_hook(_keep_in(seen, depth), with_kwargs=True))
        handles.append(block.register_forward_hook(_keep_out(seen, depth)))
    try:
        with torch.inference_mode():
            output = base(input_ids=ids, **EVERYTHING)
    finally:
        for handle in handles:
            handle.remove()
    maps = getattr(output, "attentions", None) or ()
    square = len(maps) > 0 and all(
        one is not None
        and one.ndim == 4
        and one.shape[2:] == (count, count)
        and torch.allclose(one.float().sum(-1), one.new_ones(()).float(), atol=1e-2)
        for one in maps
    )
    states = getattr(output, "hidden_states", None) or ()
    width = output[0].shape[-1]
    heard = len(seen) == 2 * len(blocks[-2:]) and all(
        state.numel() == count * width and count in state.shape[:2] and state.shape[-1] == width
        for state in seen.values()
    )
    if heard and len(blocks) > 1:
        # What is no block (a list of attentions, say) does not hand its output to the next.
        heard = torch.equal(seen[0, "out"], seen[1, "in"])
    if not heard and len(states) != len(blocks) + 1:
        raise LookupError("they hand their states out in no way that is known")
    return Habits(maps=square, own_states=not heard)


def _keep_in(seen: dict[tuple[int, str], Tensor], depth: int) -> Callable[..., None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        state = args[0] if args else kwargs.get("hidden_states")
        if isinstance(state, Tensor):
            seen[depth, "in"] = state

    return hook


def _keep_out(seen: dict[tuple[int, str], Tensor], depth: int) -> Callable[..., None]:
    def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        state = output if isinstance(output, Tensor) else output[0]
        if isinstance(state, Tensor):
            seen[depth, "out"] = state

    return hook
