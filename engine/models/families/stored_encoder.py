"""Encoders outside the attention registry: MPNet, DeBERTa, XLNet, RoFormer and others.

XLNet is among them, although it was trained to predict: run as it stands, every token of it sees
every other. Some (FNet, Longformer) hand out no maps of tokens by tokens; they show all but those.
"""

from __future__ import annotations

from typing import Any

import transformers

from engine.models.families.encoder import EncoderReader
from engine.models.families.spec import FamilySpec
from engine.models.recorder import take_states
from engine.models.stored import EVERYTHING, habits, in_registry, model_class, store
from engine.trace import Trace


class StoredEncoderReader(EncoderReader):
    """Runs the whole text and keeps the maps that come out."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.habits = habits(model.base_model, self.blocks["encoder"], self.config.vocab_size)
        if self.habits.own_states:
            self.blocks = {}

    @property
    def has_attention(self) -> bool:
        """As it showed when it was tried."""
        return self.habits.maps

    def map_bytes(self, count: int) -> int:
        """All maps are held."""
        heads = self.config.num_attention_heads if self.habits.maps else 0
        return int(self.config.num_hidden_layers * heads * count**2 * self.model.dtype.itemsize)

    def run(self, ids: list[int]) -> Any:
        """Run all tokens, asking for the maps."""
        asked = {
            **EVERYTHING,
            "output_attentions": self.habits.maps,
            "output_hidden_states": self.habits.own_states,
        }
        return self.model.base_model(input_ids=self.tensor(ids), **asked)

    def note(self, trace: Trace, output: Any) -> None:
        """Keep maps, and states where the blocks could not be listened to."""
        trace.final.append(output[0][0])
        if self.habits.maps:
            store(trace, "encoder", output.attentions)
        if self.habits.own_states:
            take_states(trace, "encoder", output.hidden_states)


def _accepts(config: Any) -> bool:
    if getattr(config, "is_encoder_decoder", False):
        return False
    model = model_class(config, transformers.AutoModel)
    return model is not None and not in_registry(model)


FAMILY = FamilySpec(
    key="stored-encoder",
    kind="encoder",
    accepts=_accepts,
    auto=lambda _config: "AutoModel",
    reader=StoredEncoderReader,
    priority=1,
    attention=lambda _config: "eager",
)
