"""What transformers itself takes for the same work: the floors a benchmark compares with.

A model of its own, from the same folder and with the same weights, that no code of ours touches:
stock modules, stock attention, a stock cache. It runs on the thread that the engine runs on, so
with the same number of threads of torch's.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from engine.memory import room
from engine.models.cache import over
from engine.types import Kind, ModelInfo

_AUTO: dict[Kind, str] = {
    "decoder": "AutoModelForCausalLM",
    "encoder": "AutoModel",
    "encoder-decoder": "AutoModelForSeq2SeqLM",
}


class Floors:
    """A stock model beside ours.

    Parameters
    ----------
    folder : Path
        Where the weights lie.
    info : ModelInfo
        What our engine made of the same folder: kind, device and type are taken from it.
    """

    def __init__(self, folder: Path, info: ModelInfo) -> None:
        self.info = info
        self.device = torch.device(info.device)
        auto = getattr(transformers, _AUTO[info.kind])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model = auto.from_pretrained(
                folder,
                dtype=getattr(torch, info.dtype),
                attn_implementation="sdpa",
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
        self.model.to(self.device).eval().requires_grad_(False)
        self._cache: Any = None
        self._held: list[int] = []

    @torch.inference_mode()
    def step(self, ids: Sequence[int], suffix: int) -> float:
        """Milliseconds of one pass of the last `suffix` of `ids` over a cache of those before.

        Bringing the cache there is not counted. For decoders only.
        """
        before = len(ids) - suffix
        self._bring(list(ids[:before]))
        rest = self._tensor(ids[before:])
        begun = self._now()
        self.model(input_ids=rest, **over(self.model, self._cache))
        took = self._now() - begun
        self._held = list(ids)
        return took * 1e3

    @torch.inference_mode()
    def eager(self, ids: Sequence[int]) -> float:
        """Milliseconds of one full eager pass of `ids`, all attentions and hidden states kept."""
        self.model.set_attn_implementation("eager")
        read = self._tensor(ids)
        more: dict[str, Any] = {}
        if self.info.kind == "encoder-decoder":
            more["decoder_input_ids"] = read
        if self.info.kind == "decoder":
            more["use_cache"] = False
        try:
            begun = self._now()
            kept = self.model(
                input_ids=read, output_attentions=True, output_hidden_states=True, **more
            )
            took = self._now() - begun
            del kept
        finally:
            self.model.set_attn_implementation("sdpa")
            gc.collect()
        return took * 1e3

    def eager_bytes(self, count: int) -> int:
        """About how many bytes `eager` takes for `count` tokens, above the weights."""
        info = self.info
        size: int = self.model.dtype.itemsize
        stacks = 3 if info.kind == "encoder-decoder" else 1
        maps = stacks * max(info.layers, info.decoder_layers) * info.heads * count**2 * size
        passing = 4 * info.heads * count**2 * 4  # scores, mask, float32 softmax, its copy
        states = (info.layers + info.decoder_layers + 1) * count * info.width * size
        logits = count * info.vocabulary * size if info.kind != "encoder" else 0
        return maps + passing + states + 2 * logits

    def free_bytes(self) -> int:
        """How many bytes the device can still give."""
        return room(self.device).free

    def _bring(self, wanted: list[int]) -> None:
        """Let the cache hold `wanted`, running what it lacks."""
        common = 0
        for one, other in zip(self._held, wanted, strict=False):
            if one != other:
                break
            common += 1
        surplus = len(self._held) - common
        if self._cache is None or common == 0 or (surplus and not self._forget(surplus)):
            self._cache, common = transformers.DynamicCache(config=self.model.config), 0
        if common < len(wanted):
            rest = self._tensor(wanted[common:])
            self.model(input_ids=rest, logits_to_keep=1, **over(self.model, self._cache))
        self._held = wanted

    def _forget(self, count: int) -> bool:
        """Take the last `count` tokens out of the cache; False where it cannot be done."""
        try:
            self._cache.crop(-count)
        except (ValueError, RuntimeError, NotImplementedError):
            return False  # a sliding window has let go of what would have to come back
        return True

    def _tensor(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor([list(ids)], dtype=torch.long, device=self.device)

    def _now(self) -> float:
        """Seconds, once the device has done what it was given."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        return time.perf_counter()
