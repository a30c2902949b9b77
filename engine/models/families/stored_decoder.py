"""Causal decoders outside the attention registry: Bloom, Falcon, GPT-Neo, MPT and others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers

from engine.models.cache import ArenaCache, knows_cache, over
from engine.models.families.decoder import DecoderReader, accepts
from engine.models.families.spec import FamilySpec, Ran
from engine.models.recorder import take_states
from engine.models.stored import EVERYTHING, habits, in_registry, model_class, store
from engine.trace import Trace


class StoredDecoderReader(DecoderReader):
    """Runs the changed suffix and keeps the maps that come out; all of the text where no cache is.

    The first GPT knows no cache.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        base = self.base
        self.habits = habits(base, self.blocks["decoder"], self.config.vocab_size)
        if self.habits.own_states:
            self.blocks = {}
        self._caches = knows_cache(base)

    @property
    def has_attention(self) -> bool:
        """As it showed when it was tried."""
        return self.habits.maps

    @property
    def builds_on(self) -> bool:
        """Where there is a cache."""
        return self._caches

    def map_bytes(self, count: int) -> int:
        """All maps are held."""
        heads = self.config.num_attention_heads if self.habits.maps else 0
        return int(self.config.num_hidden_layers * heads * count**2 * self.model.dtype.itemsize)

    def read(
        self,
        trace: Trace | None,
        ids: list[int],
        target_ids: list[int],
        cancelled: Callable[[], bool],
    ) -> tuple[Trace, Ran]:
        """Keep the common prefix where there is a cache. See `Reader.read`."""
        if not self._caches and trace is not None and trace.ids != ids:
            trace = None
        return super().read(trace, ids, target_ids, cancelled)

    def run(self, suffix: list[int], cache: ArenaCache) -> Any:
        """Run tokens over the cache of those before them, asking for the maps."""
        asked: dict[str, Any] = {
            **EVERYTHING,
            "output_attentions": self.habits.maps,
            "output_hidden_states": self.habits.own_states,
        }
        if self._caches:
            asked |= over(self.base, cache)
        return self.base(input_ids=self.tensor(suffix), **asked)

    def note(self, trace: Trace, output: Any) -> None:
        """Keep maps, and states where the blocks could not be listened to."""
        trace.final.append(output[0][0])
        if self.habits.maps:
            store(trace, "decoder", output.attentions)
        if self.habits.own_states:
            take_states(trace, "decoder", output.hidden_states)


def _accepts(config: Any) -> bool:
    model = model_class(config, transformers.AutoModelForCausalLM) if accepts(config) else None
    return model is not None and not in_registry(model)


FAMILY = FamilySpec(
    key="stored-decoder",
    kind="decoder",
    accepts=_accepts,
    auto=lambda _config: "AutoModelForCausalLM",
    reader=StoredDecoderReader,
    priority=2,
    attention=lambda _config: "eager",
)
