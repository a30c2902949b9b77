"""Encoder-decoders: T5, BART, Marian and their kin. Three kinds of attention, two of states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import transformers
from torch import Tensor, nn

from engine.models.families.spec import FamilySpec, Ran, Reader, stack_of_blocks
from engine.models.recorder import listening
from engine.models.stored import in_registry, model_class
from engine.trace import Trace
from engine.types import Stack

# What transformers' families call the attention that looks from the decoder to the encoder.
_CROSS = ("EncDecAttention", "encoder_attn", "crossattention", "cross_attn")


class EncoderDecoderReader(Reader):
    """Runs the text through the encoder and the target through the decoder."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._stacks: dict[int, Stack] = {}
        for name, module in model.named_modules():
            if any(part in _CROSS for part in name.split(".")):
                self._stacks[id(module)] = "cross"
            else:
                self._stacks[id(module)] = "decoder" if "decoder." in name else "encoder"

    def find_blocks(self) -> Mapping[Stack, Sequence[nn.Module]]:
        """Blocks of the encoder and of the decoder."""
        config = self.model.config
        encoder, decoder = self.model.get_encoder(), self.model.get_decoder()
        below = config.num_hidden_layers
        above = getattr(config, "decoder_layers", None)
        above = above or getattr(config, "num_decoder_layers", None) or below
        return {
            "encoder": stack_of_blocks(encoder, getattr(config, "encoder_layers", below)),
            "decoder": stack_of_blocks(decoder, above),
        }

    def stack_of(self, module: nn.Module) -> Stack:
        """Known from where in the model the module stands."""
        return self._stacks[id(module)]

    @property
    def has_next(self) -> bool:
        """The decoder predicts the target's next token."""
        return self.model.get_output_embeddings() is not None

    def head_inputs(self, states: Tensor) -> dict[str, Any]:
        """With the encoder's part said to be done."""
        return {
            "encoder_outputs": (states,),
            "decoder_input_ids": self._nothing(),
            "use_cache": False,
        }

    def read(
        self,
        trace: Trace | None,
        ids: list[int],
        target_ids: list[int],
        cancelled: Callable[[], bool],
    ) -> tuple[Trace, Ran]:
        """Run text and target. See `Reader.read`."""
        if trace is not None and trace.ids == ids and trace.target_ids == target_ids:
            return trace, Ran(0, 0, len(ids) + len(target_ids))
        trace = Trace()
        recorder = self.recorder(trace, 0, False, cancelled)
        # Through the parts, because some families' whole (T5's) hides the decoder's last state.
        with listening(recorder, self.blocks):
            encoded = self.model.get_encoder()(input_ids=self.tensor(ids))
            output = self.model.get_decoder()(
                input_ids=self.tensor(target_ids),
                encoder_hidden_states=encoded.last_hidden_state,
                use_cache=False,
            )
        trace.final.append(output.last_hidden_state[0])
        trace.ids, trace.target_ids = list(ids), list(target_ids)
        return trace, Ran(1, len(ids) + len(target_ids), 0)


def _accepts(config: Any) -> bool:
    if not getattr(config, "is_encoder_decoder", False):
        return False
    model = model_class(config, transformers.AutoModelForSeq2SeqLM)
    return model is not None and in_registry(model)


FAMILY = FamilySpec(
    key="encoder-decoder",
    kind="encoder-decoder",
    accepts=_accepts,
    auto=lambda _config: "AutoModelForSeq2SeqLM",
    reader=EncoderDecoderReader,
    priority=1,
)
