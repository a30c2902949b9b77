"""Models that read a text as a stream: Mamba, RWKV, xLSTM; and those that attend in some layers.

What they carry from token to token has one place for all that came before: it cannot be cut back to
an edit. They are run whole, which costs them time in proportion to the text's length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers

from engine.models.families.decoder import DecoderReader, accepts
from engine.models.families.spec import FamilySpec, Ran
from engine.models.recorder import NAME, Recorder, listening
from engine.models.stored import in_registry, model_class
from engine.trace import LayerAttention, Trace

# What `layer_types` calls layers that attend.
_ATTEND = ("full_attention", "sliding_attention", "chunked_attention", "attention")


class RecurrentReader(DecoderReader):
    """Runs the whole text, unless it is the one already run."""

    @property
    def has_attention(self) -> bool:
        """Whether any layer attends, through the registry."""
        return self.model.config._attn_implementation == NAME and any(
            hasattr(module, "is_causal") for module in self.base.modules()
        )

    @property
    def builds_on(self) -> bool:
        """What it carries cannot be cut back."""
        return False

    def read(
        self,
        trace: Trace | None,
        ids: list[int],
        target_ids: list[int],
        cancelled: Callable[[], bool],
    ) -> tuple[Trace, Ran]:
        """Run all of `ids`. See `Reader.read`."""
        if trace is not None and trace.ids == ids:
            return trace, Ran(0, 0, len(ids))
        trace = Trace()
        if self.has_attention:
            trace.attention["decoder"] = [LayerAttention() for _ in self.blocks["decoder"]]
        recorder = Recorder(trace, self.stack_of, 0, False, cancelled, gaps=True)
        with listening(recorder, self.blocks):
            output = self.base(input_ids=self.tensor(ids), use_cache=False)
        trace.final.append(output[0][0])
        trace.ids = list(ids)
        return trace, Ran(1, len(ids), 0)


def _accepts(config: Any) -> bool:
    model = model_class(config, transformers.AutoModelForCausalLM) if accepts(config) else None
    if model is None:
        return False
    kinds = getattr(config.get_text_config(decoder=True), "layer_types", None) or ()
    return bool(model._is_stateful) or any(kind not in _ATTEND for kind in kinds)


def _attention(config: Any) -> str:
    model = model_class(config, transformers.AutoModelForCausalLM)
    return NAME if model is not None and in_registry(model) else "eager"


FAMILY = FamilySpec(
    key="recurrent",
    kind="decoder",
    accepts=_accepts,
    auto=lambda _config: "AutoModelForCausalLM",
    reader=RecurrentReader,
    priority=3,
    attention=_attention,
)
