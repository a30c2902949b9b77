"""A key-value cache that grows without copying and forgets from the end."""

from __future__ import annotations

from typing import Any

from torch import Tensor
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

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._keys.nbytes + self._values.nbytes


class ArenaCache(Cache):
    """One `ArenaLayer` a block, made when the block first asks."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=ArenaLayer)

    @property
    def nbytes(self) -> int:
        """Bytes held by all layers."""
        return sum(layer.nbytes for layer in self.layers if isinstance(layer, ArenaLayer))
