"""Bidirectional encoders: BERT, RoBERTa, DistilBERT, ALBERT, ELECTRA, ModernBERT and their kin.

Every token sees every other, so any edit changes everything: they are run whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from engine.models.families.spec import FamilySpec, Ran, Reader, stack_of_blocks
from engine.models.recorder import listening
from engine.trace import Trace
from engine.types import Stack


class EncoderReader(Reader):
    """Runs the whole text, unless it is the one already run."""

    def find_blocks(self) -> Mapping[Stack, Sequence[nn.Module]]:
        """The one stack's blocks; a model that shares one among all layers repeats it."""
        count = self.config.num_hidden_layers
        groups = getattr(self.config, "num_hidden_groups", None)
        if groups is not None:  # ALBERT: layers of one group are one module
            modules = stack_of_blocks(self.model.base_model, groups)
            return {"encoder": [modules[i * groups // count] for i in range(count)]}
        return {"encoder": stack_of_blocks(self.model.base_model, count)}

    def stack_of(self, module: nn.Module) -> Stack:
        """There is only one."""
        return "encoder"

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
        recorder = self.recorder(trace, 0, False, cancelled)
        with listening(recorder, self.blocks):
            output = self.run(ids)
        self.note(trace, output)
        trace.ids = list(ids)
        return trace, Ran(1, len(ids), 0)

    def run(self, ids: list[int]) -> Any:
        """Run all tokens."""
        return self.model.base_model(input_ids=self.tensor(ids))

    def note(self, trace: Trace, output: Any) -> None:
        """Add to a trace what no hook saw of a pass."""
        trace.final.append(output.last_hidden_state[0])


def _accepts(config: Any) -> bool:
    return not getattr(config, "is_encoder_decoder", False)


FAMILY = FamilySpec(
    key="encoder",
    kind="encoder",
    accepts=_accepts,
    # The masked-language head is not looked at, and sentence encoders come without one.
    auto=lambda _config: "AutoModel",
    reader=EncoderReader,
    priority=-1,
)
