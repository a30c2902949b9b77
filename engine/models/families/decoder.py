"""Causal decoders: GPT-2, Llama, Qwen, Mistral, Gemma, GPT-NeoX, OPT and their kin.

What stands before an edit does not change, so its keys, values and states are kept and only the
suffix is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from engine.models.cache import ArenaCache, over
from engine.models.families.spec import FamilySpec, Ran, Reader, base_of, stack_of_blocks
from engine.models.fewrows import FEW
from engine.models.halfway import Halfway
from engine.models.lean import LONGEST, lean_step
from engine.models.recorder import listening
from engine.trace import Trace
from engine.types import Stack


class DecoderReader(Reader):
    """Runs the changed suffix over a cache of what stands before it."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._lean = lean_step(model)
        self._halfway: Halfway | None = None

    def find_blocks(self) -> Mapping[Stack, Sequence[nn.Module]]:
        """The one stack's blocks."""
        return {"decoder": stack_of_blocks(self.base, self.config.num_hidden_layers)}

    @property
    def base(self) -> Any:
        """The model without its head."""
        return base_of(self.model)

    @property
    def extra_bytes(self) -> int:
        """Those of the codes of weights out of a quantised file."""
        return 0 if self._lean is None else self._lean.nbytes

    def stack_of(self, module: nn.Module) -> Stack:
        """There is only one."""
        return "decoder"

    @property
    def has_next(self) -> bool:
        """A causal model is nothing but this."""
        return True

    @property
    def builds_on(self) -> bool:
        """What stands before an edit is kept."""
        return True

    def read(
        self,
        trace: Trace | None,
        ids: list[int],
        target_ids: list[int],
        cancelled: Callable[[], bool],
    ) -> tuple[Trace, Ran]:
        """Keep the common prefix, run the rest. See `Reader.read`."""
        trace = trace or Trace(cache=ArenaCache())
        cache = trace.cache
        assert isinstance(cache, ArenaCache)
        kept = common_prefix(trace.ids, ids)
        if kept < len(trace.ids):
            cache.crop(-(len(trace.ids) - kept))
            trace.keep(kept)
        suffix = ids[kept:]
        if not suffix:
            return trace, Ran(0, 0, kept)
        trace.fresh = None
        if kept and self._lean is not None and len(suffix) <= LONGEST:
            self._lean.run(suffix, cache, trace, self._halfway)
        else:
            recorder = self.recorder(trace, kept, True, cancelled)
            with listening(recorder, self.blocks):
                output = self.run(suffix, cache)
            self.note(trace, output)
        trace.ids = list(ids)
        return trace, Ran(1, len(suffix), kept)

    def read_telling(
        self,
        trace: Trace | None,
        ids: list[int],
        target_ids: list[int],
        cancelled: Callable[[], bool],
        halfway: Halfway | None,
    ) -> tuple[Trace, Ran]:
        """Do what `read` does; the step of a few tokens tells `halfway`."""
        self._halfway = halfway
        try:
            return self.read(trace, ids, target_ids, cancelled)
        finally:
            self._halfway = None

    def logits(self, final: Tensor) -> Tensor:
        """Scores (n, V) for states (n, D); of a few states by the way of a keystroke."""
        if self._lean is not None and 0 < len(final) <= FEW:
            return self._lean.scores(final)
        return super().logits(final)

    def run(self, suffix: list[int], cache: ArenaCache) -> Any:
        """Run tokens over the cache of those before them."""
        return self.base(input_ids=self.tensor(suffix), **over(self.base, cache))

    def note(self, trace: Trace, output: Any) -> None:
        """Add to a trace what no hook saw of a pass."""
        trace.final.append(output.last_hidden_state[0])


def common_prefix(one: list[Any], other: list[Any]) -> int:
    """How many tokens the two begin with alike."""
    alike, end = 0, min(len(one), len(other))
    if one[:end] == other[:end]:
        return end
    # By halves, each compared at once: a keystroke asks this of all tokens of the text.
    while alike < end:
        middle = (alike + end + 1) // 2
        if one[alike:middle] == other[alike:middle]:
            alike = middle
        else:
            end = middle - 1
    return alike


def accepts(config: Any) -> bool:
    """Whether a configuration is of a model that predicts the next token from those before."""
    if getattr(config, "is_encoder_decoder", False):
        return False
    return config.model_type in _CAUSAL or bool(getattr(config, "is_decoder", False))


# BERT and its kin can be bent into decoders, but that is not what their weights were trained for.
# XLNet predicts only what it is not shown; of a text as it stands every token sees every other.
_CAUSAL = (
    frozenset(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    - frozenset(MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    - {"xlnet"}
)

FAMILY = FamilySpec(
    key="decoder",
    kind="decoder",
    accepts=accepts,
    auto=lambda _config: "AutoModelForCausalLM",
    reader=DecoderReader,
)
