"""Passes over many short texts at once, of which only the states of one layer are kept.

Texts of equal length run together, so nothing is padded and nothing masked: each row is what the
model makes of that text alone. A pass ends at the layer asked for; what lies above is not run.

Shape letters: B texts, T tokens, D model width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from engine.models.families.decoder import DecoderReader
from engine.models.families.encoder import EncoderReader
from engine.models.loader import Loaded

CLOSE = 1e-3
"""Largest difference, as a share of the largest state, at which two ways of running agree."""


class _Reached(Exception):  # noqa: N818 - the pass is over, with what was wanted
    def __init__(self, states: Tensor) -> None:
        self.states = states


class Passes:
    """Runs texts through a loaded model up to `layer`.

    Several at once where that gives what the model's own reader gives, which is tried once, with
    the first text. Else (models of two stacks, recurrent ones, soft caps) one by one.
    """

    def __init__(self, loaded: Loaded, layer: int) -> None:
        self.loaded, self.layer = loaded, layer
        self.runs = 0
        """Passes so far."""
        self._together: bool | None = None

    @torch.inference_mode()
    def states(self, rows: Sequence[list[int]]) -> Tensor:
        """States (B, T, D) float32 on the CPU of B texts of T token ids each."""
        if self._together is None:
            self._together = self._agrees(rows[0])
        self.runs += 1 if self._together else len(rows)
        if self._together:
            return self._at_once(rows).float().cpu().clone()
        return torch.stack([self._alone(row) for row in rows]).float().cpu()

    @property
    def gradual(self) -> bool:
        """Whether a text can be run a few tokens at a time."""
        return type(self.loaded.reader) is DecoderReader

    def gradually(self, ids: list[int], chunk: int) -> Iterator[Tensor | None]:
        """Run one text `chunk` tokens a step; the last step gives its states (1, T, D)."""
        trace = None
        for end in range(chunk, len(ids) + chunk, chunk):
            with torch.inference_mode():
                trace, _ = self.loaded.reader.read(trace, ids[:end], [], lambda: False)
                self.runs += 1
                rows = trace.states["decoder"][self.layer].rows()
                given = rows.float().cpu().clone()[None] if end >= len(ids) else None
            yield given

    def _alone(self, ids: list[int]) -> Tensor:
        info = self.loaded.info
        trace, _ = self.loaded.reader.read(None, ids, target_of(self.loaded), lambda: False)
        return trace.states[info.stacks[0]][self.layer].rows().clone()  # (T, D)

    def _at_once(self, rows: Sequence[list[int]]) -> Tensor:
        reader = self.loaded.reader
        blocks = reader.blocks[self.loaded.info.stacks[0]]
        with _stopping(blocks, self.layer):
            try:
                ids = torch.tensor(rows, dtype=torch.long, device=reader.device)  # (B, T)
                if isinstance(reader, DecoderReader):
                    reader.base(input_ids=ids, use_cache=False)
                else:
                    reader.model.base_model(input_ids=ids)
            except _Reached as reached:
                return reached.states
        raise RuntimeError("the pass did not come to the layer")

    def _agrees(self, ids: list[int]) -> bool:
        reader = self.loaded.reader
        if type(reader) not in (DecoderReader, EncoderReader):
            return False
        blocks = reader.blocks[self.loaded.info.stacks[0]]
        if len({id(block) for block in blocks}) < len(blocks):  # shared by layers: ALBERT
            return False
        try:
            both = self._at_once([ids, ids]).float()
        except RuntimeError:  # soft caps and sinks are worked out by hand, a text at a time
            return False
        alone = self._alone(ids).float()
        if both.shape != (2, *alone.shape):
            return False
        return bool((both - alone).abs().max() <= CLOSE * alone.abs().max())


class _stopping:  # noqa: N801 - used as a function
    """End every pass inside the block at the depth `layer` of `blocks`."""

    def __init__(self, blocks: Sequence[nn.Module], layer: int) -> None:
        self.blocks, self.layer = blocks, layer

    def __enter__(self) -> None:
        if self.layer < len(self.blocks):
            self.handle = self.blocks[self.layer].register_forward_pre_hook(
                self._before, with_kwargs=True
            )
        else:
            self.handle = self.blocks[-1].register_forward_hook(self._after)

    def __exit__(self, *_: object) -> None:
        self.handle.remove()

    @staticmethod
    def _before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise _Reached(args[0] if args else kwargs["hidden_states"])

    @staticmethod
    def _after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        raise _Reached(output if isinstance(output, Tensor) else output[0])


def target_of(loaded: Loaded) -> list[int]:
    """What the decoder of an encoder-decoder is given, which reads no text here: its start."""
    if loaded.info.kind != "encoder-decoder":
        return []
    config = loaded.reader.model.config
    start = config.decoder_start_token_id
    return [config.pad_token_id if start is None else start]
