"""A key-value cache that grows without copying and forgets from the end."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.cache_utils import Cache, CacheLayerMixin

from engine.arena import Arena


class ArenaLayer(CacheLayerMixin):
    """Keys and values (1, H_kv, S, d_h) of one block.

    Every layer keeps its whole past, sliding windows included: the window is applied by the mask.
    Otherwise an edit further back than the window would have nothing to build on.
    """

    is_sliding = False
    is_croppable = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._keys = Arena()
        self._values = Arena()

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Note type and device; the arenas take theirs from the first rows."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append rows and return all of them, (1, H_kv, S + t, d_h)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._keys.append(key_states)
        self.values = self._values.append(value_states)
        return self.keys, self.values

    def extend(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Grow by rows that are yet to be written: (1, H_kv, C, d_h) each, see `Arena.extend`."""
        made = self._keys.extend(count), self._values.extend(count)
        self.keys, self.values = self._keys.rows(), self._values.rows()
        return made

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length of the keys a mask must span, and the position of the first."""
        return len(self._keys) + query_length, 0

    def get_seq_length(self) -> int:
        """How many tokens are held."""
        return len(self._keys)

    def get_max_length(self) -> int:
        """No maximum."""
        return -1

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last ``-tokens_to_remove`` tokens."""
        count = len(self._keys) - abs(tokens_to_remove)
        self._keys.keep(count)
        self._values.keep(count)

    def keep(self, count: int) -> None:
        """Forget all tokens from `count` on, also where keys and values are not of one length."""
        self._keys.keep(count)
        self._values.keep(count)

    def trim(self) -> None:
        """Give back room that is not needed."""
        for arena in (self._keys, self._values):
            arena.trim()
        if self.is_initialized:
            self.keys, self.values = self._keys.rows(), self._values.rows()

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._keys.nbytes + self._values.nbytes


class ArenaCache(Cache):
    """One `ArenaLayer` a block, made when the block first asks."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=ArenaLayer)

    def keep(self, count: int) -> None:
        """Forget all tokens from `count` on, whichever layers have them."""
        for layer in self.layers:
            if isinstance(layer, ArenaLayer):
                layer.keep(count)

    def trim(self) -> None:
        """Give back room that is not needed."""
        for layer in self.layers:
            if isinstance(layer, ArenaLayer):
                layer.trim()

    def keys_of(self, index: int) -> Tensor | None:
        """Keys (H_kv, S, d_h) of a block; None where it has none of its own."""
        layer = self.layers[index] if index < len(self.layers) else None
        keys = layer.keys if isinstance(layer, ArenaLayer) else None  # (1, H_kv, S, d_h)
        return None if keys is None else keys[0]

    @property
    def nbytes(self) -> int:
        """Bytes held by all layers."""
        return sum(layer.nbytes for layer in self.layers if isinstance(layer, ArenaLayer))


def knows_cache(model: nn.Module) -> bool:
    """Whether a model can build on what an earlier pass of it left."""
    return _argument(type(model).forward) is not None


def over(model: nn.Module, cache: Cache) -> dict[str, Any]:
    """What to call a model with, so that it builds on `cache` and adds to it."""
    argument = _argument(type(model).forward)
    assert argument is not None, f"{type(model).__name__} takes no cache"
    return {argument: cache, "use_cache": True}


@functools.cache
def _argument(forward: Callable[..., Any]) -> str | None:
    """Under which name a model's pass takes its cache; transformers 5.24 renamed it."""
    taken = inspect.signature(forward).parameters
    return next((name for name in ("cache", "past_key_values") if name in taken), None)
