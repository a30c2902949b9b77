"""How far a model that computes with fewer digits is from the same model in float32.

It is measured and not looked up, because it depends on the weights, the device and how its kernels
round: a short text is run through both, and the largest difference of what is shown is told.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import UserError
from engine.files import replacing
from engine.models.loader import Loaded
from engine.paths import cache_dir
from engine.types import ModelInfo, Precision, Progress

TOKENS = 32
"""How many tokens are run through both."""

TEXT = (
    "The dog is running in the park. In 1969 three people flew to the moon; two of them walked on "
    "it. She asked: “Why not?” and he answered that nobody knew. def area(r): return 3.14159 * r"
)
"""What is run: plain words, a year, marks of speech and a line of a program."""


def compared(model: Loaded, ids: Sequence[int], target_ids: Sequence[int]) -> tuple[str, Tensor]:
    """What of a model is compared, and its numbers, float32 on the CPU.

    Returns
    -------
    str, Tensor
        ``"next-token probability"`` and (T, V), or, of a model that predicts nothing,
        ``"attention weight"`` and all its maps one after another (n,).

    Raises
    ------
    UserError
        If the model has neither.
    """
    info, reader = model.info, model.reader
    with torch.inference_mode():
        trace, _ = reader.read(None, list(ids), list(target_ids), lambda: False)
        if "next" in info.provides:
            scores = reader.logits(trace.final.rows()).float()  # (T, V)
            return "next-token probability", scores.softmax(dim=-1).cpu()
        maps = [
            layer.weights().flatten().cpu()
            for layers in trace.attention.values()
            for layer in layers
            if layer.heads
        ]
    if not maps:
        raise UserError(
            f"Cannot measure the precision of {info.title}",
            "it has neither predictions nor attention to compare",
            "Choose float32 to be sure of its numbers",
        )
    return "attention weight", torch.cat(maps)


def difference(
    model: Loaded, exact: Loaded, ids: Sequence[int], target_ids: Sequence[int]
) -> Precision:
    """The largest difference of `model` from `exact`, its like in float32, over the tokens `ids`.

    NaN where numbers of the narrower type ran over.
    """
    what, found = compared(model, ids, target_ids)
    _, expected = compared(exact, ids, target_ids)
    return Precision(float((found - expected).abs().max()), what, len(ids))


def under(text: str, steps: Generator[Progress, None, Loaded]) -> Generator[Progress, None, Loaded]:
    """The same steps, told as those of another work."""
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            loaded: Loaded = stop.value
            return loaded
        yield Progress(text, step.fraction)


def remembered(info: ModelInfo) -> Precision | None:
    """What was measured before of these weights on such a device."""
    found = _read().get(_key(info)) if info.fingerprint else None
    if not isinstance(found, dict):
        return None
    error, what, tokens = found.get("error"), found.get("of"), found.get("tokens")
    if not isinstance(what, str) or not isinstance(tokens, int):
        return None
    if error is None:
        return Precision(math.nan, what, tokens)
    return Precision(float(error), what, tokens) if isinstance(error, (int, float)) else None


def remember(info: ModelInfo, found: Precision) -> None:
    """Keep what was measured for the next start, where the weights can be known again."""
    if not info.fingerprint:
        return
    kept = _read()
    error = found.error if math.isfinite(found.error) else None
    kept[_key(info)] = {"error": error, "of": found.of, "tokens": found.tokens}
    with replacing(_path()) as beside:
        beside.write_text(json.dumps(kept, indent=1), encoding="ascii")


def _key(info: ModelInfo) -> str:
    device = torch.device(info.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{info.fingerprint} {info.dtype} {name} torch {torch.__version__}"


def _path() -> Path:
    return cache_dir() / "precision.json"


def _read() -> dict[str, object]:
    try:
        found = json.loads(_path().read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}  # it can be measured again
    return found if isinstance(found, dict) else {}
