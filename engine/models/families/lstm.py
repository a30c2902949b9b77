"""LSTMs (Hochreiter & Schmidhuber 1997) as the laboratory trains them: a family of our own.

The classic listing: an embedding, LSTM layers, a dense softmax over the vocabulary. It is written
as transformers writes a model, so that it is saved, loaded and listened to like any other. Its
residual stream is what passes from layer to layer: depth 0 the embedding, depth l the hidden states
of layer l. Nothing in it attends.

Shape letters: B rows, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedConfig
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput
from transformers.modeling_utils import PreTrainedModel

from engine.models.families.recurrent import RecurrentReader
from engine.models.families.spec import FamilySpec
from engine.models.sources.folder import LSTM


class LstmConfig(PreTrainedConfig):
    """V, D and the number of layers, by transformers' names."""

    model_type = LSTM

    def __init__(
        self,
        vocab_size: int = 64,
        hidden_size: int = 64,
        num_hidden_layers: int = 1,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        kwargs.setdefault("tie_word_embeddings", False)
        super().__init__(**kwargs)


class LstmLayer(nn.Module):
    """One layer, from states to hidden states."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, batch_first=True)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, T, D) → (B, T, D), from a state of zeros."""
        hidden: Tensor = self.lstm(hidden_states)[0]
        return hidden


class _LstmPreTrained(PreTrainedModel):
    config_class = LstmConfig
    base_model_prefix = "model"

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: torch's own start of an LSTM is the classic one."""


class LstmModel(_LstmPreTrained):
    """Embedding and layers."""

    def __init__(self, config: LstmConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        layers = (LstmLayer(config.hidden_size) for _ in range(config.num_hidden_layers))
        self.layers = nn.ModuleList(layers)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_ids: Tensor, **_: Any) -> BaseModelOutput:
        """(B, T) → (B, T, D); whatever else transformers hands to its models means nothing here."""
        hidden = self.embed_tokens(input_ids)
        for layer in self.layers:
            hidden = layer(hidden)
        return BaseModelOutput(last_hidden_state=hidden)


class LstmForCausalLM(_LstmPreTrained):
    """An LSTM that predicts the next token."""

    def __init__(self, config: LstmConfig) -> None:
        super().__init__(config)
        self.model = LstmModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_ids: Tensor, **_: Any) -> CausalLMOutput:
        """(B, T) → scores (B, T, V)."""
        hidden = self.model(input_ids=input_ids).last_hidden_state
        return CausalLMOutput(logits=self.lm_head(hidden))


AutoConfig.register(LSTM, LstmConfig, exist_ok=True)
AutoModel.register(LstmConfig, LstmModel, exist_ok=True)
AutoModelForCausalLM.register(LstmConfig, LstmForCausalLM, exist_ok=True)


class LstmReader(RecurrentReader):
    """Runs the whole text. What the gates did is worked out again where it is asked for."""

    @property
    def has_gates(self) -> bool:
        """They are what it is made of."""
        return True

    def gates(self, layer: int, below: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """What layer `layer`, from 0, did at each token.

        Parameters
        ----------
        below, hidden : Tensor
            (T, D), what it read and what it gave, as a trace has them.

        Returns
        -------
        dict of Tensor
            ``input``, ``forget``, ``output`` (0 to 1), ``candidate`` (−1 to 1) and ``cell``, (T, D)
            each: cell_t = forget ⊙ cell_{t−1} + input ⊙ candidate, hidden = output ⊙ tanh(cell).
        """
        lstm: Any = self.blocks["decoder"][layer]
        lstm = lstm.lstm
        before = torch.cat([hidden.new_zeros(1, hidden.shape[1]), hidden[:-1]])  # (T, D)
        scores = below @ lstm.weight_ih_l0.T + lstm.bias_ih_l0  # (T, 4·D)
        scores = scores + before @ lstm.weight_hh_l0.T + lstm.bias_hh_l0
        enter, forget, candidate, output = scores.chunk(4, dim=1)  # torch's order
        enter, forget, output = enter.sigmoid(), forget.sigmoid(), output.sigmoid()
        candidate = candidate.tanh()
        # Not hidden / output: where a gate is shut nothing would be left to divide.
        cell = torch.empty_like(hidden)
        now = hidden.new_zeros(hidden.shape[1])
        for t in range(len(hidden)):
            now = forget[t] * now + enter[t] * candidate[t]
            cell[t] = now
        return {
            "input": enter,
            "forget": forget,
            "output": output,
            "candidate": candidate,
            "cell": cell,
        }


FAMILY = FamilySpec(
    key="lstm",
    kind="decoder",
    accepts=lambda config: config.model_type == LSTM,
    auto=lambda _config: "AutoModelForCausalLM",
    reader=LstmReader,
    priority=4,
    attention=lambda _config: "eager",
)
