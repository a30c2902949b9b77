"""What keeps an accelerator busy: no waiting within a pass, and copies of what is drawn only.

There may be no accelerator where this runs. What makes a host wait for one can be seen on any
device: operations whose answer is a number in Python, and the copies, all of which go through one
function.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from engine import engine as engine_module
from engine.engine import Engine
from engine.models import recorder as recorder_module
from engine.probes import spec
from engine.types import (
    AttentionQuery,
    EmbeddingQuery,
    MosaicQuery,
    NeighboursQuery,
    NextQuery,
    Query,
    Request,
)

WAITING = frozenset(
    {
        *("_local_scalar_dense", "item", "equal", "is_nonzero", "nonzero", "masked_select"),
        *("_unique2", "unique_dim", "unique_consecutive", "bincount", "repeat_interleave.Tensor"),
    }
)
"""Operations that cannot end before the device has said a number."""

# Not ours to change: Mamba's and RWKV's own code, written out step by step, and mixtures of experts
# that ask which experts have tokens at all.
THEIRS = ("gpt_oss", "llama4", "mamba", "rwkv", "lfm2")


class Calls(TorchFunctionMode):
    """Notes calls that copy to the host; on a CPU they dispatch nothing."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.tolist, Tensor.cpu):
            self.seen.append(func.__name__)
        return func(*args, **(kwargs or {}))


class Watch(TorchDispatchMode):
    """Notes what makes the host wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._calls = Calls(self.seen)

    def __enter__(self) -> Watch:
        self._calls.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._calls.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        full = func.name().removeprefix("aten::")
        name = full.partition(".")[0]
        chosen = name in ("index", "index_put", "index_put_") and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1]
        )
        if full in WAITING or name in WAITING or chosen:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def opened(name: str, folder: Path) -> Engine:
    return tinymodels.open_engine(tinymodels.save_model(name, folder))


def ask(engine: Engine, text: str, *queries: Query) -> Any:
    return engine.answer(Request(1, engine.epoch, text, queries))


def test_the_watch_sees_what_makes_a_host_wait() -> None:
    ones = torch.ones(3)
    for act in (
        lambda: ones.sum().item(),
        lambda: bool(ones.any()),
        lambda: torch.equal(ones, ones * 1),
        lambda: ones[ones > 0],
        lambda: ones.nonzero(),
        lambda: ones.sum().tolist(),
        lambda: ones.cpu(),
    ):
        with torch.inference_mode(), Watch() as watch:
            act()
        assert watch.seen


@pytest.mark.parametrize("name", [n for n in tinymodels.FAMILIES if n not in THEIRS])
def test_no_pass_waits_between_its_first_block_and_its_last(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(name, tmp_path)
    watch = Watch()
    inside: list[str] = []
    listening = recorder_module.Recorder.state

    def noting(recorder: Any, stack: Any, depth: int, hidden: Tensor) -> None:
        # Before the first block of a stack that is run whole, transformers looks once for padding.
        # In the decoders, which run at each key, nothing may wait at all.
        if depth == 0 and name not in tinymodels.CAUSAL:
            watch.seen.clear()
        listening(recorder, stack, depth, hidden)
        inside.append(stack)

    monkeypatch.setattr(recorder_module.Recorder, "state", noting)
    with watch:
        for end in (40, 45, 44, 80):
            ask(engine, tinymodels.TEXT[:end])
    assert inside
    assert watch.seen == []


@pytest.mark.parametrize("name", ["llama", "bert", "t5", "bloom"])
def test_probes_look_at_no_number_before_all_their_work_is_queued(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(name, tmp_path)
    watch = Watch()
    waits: list[int] = []

    def waiting(_device: torch.device) -> None:
        waits.append(len(watch.seen))
        watch.seen.clear()

    monkeypatch.setattr(engine_module, "wait_for", waiting)
    queries = (
        AttentionQuery(1, "mean"),
        AttentionQuery(0, 2),
        EmbeddingQuery(2),
        MosaicQuery(8),
        NeighboursQuery(0, 1),
        NextQuery(),
    )
    for end in (40, 45):
        with watch:
            snapshot = ask(engine, tinymodels.TEXT[:end], *queries)
        assert len(snapshot.results) >= 4
    assert waits == [0, 0]


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_only_what_is_drawn_is_copied(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(name, tmp_path)
    copied: list[int] = []
    copy = spec.host_copy

    def counting(tensor: Tensor) -> Any:
        copied.append(tensor.nbytes)
        return copy(tensor)

    monkeypatch.setattr(spec, "host_copy", counting)
    monkeypatch.setattr("engine.probes.embedding.host_copy", counting)
    # What lies on the host is shown where it lies; elsewhere it has to come over.
    for probe in ("attention", "embedding"):
        monkeypatch.setattr(f"engine.probes.{probe}.on_host", lambda _device: False)
    count = len(ask(engine, tinymodels.TEXT[:60]).tokens)
    assert copied == []
    assert engine.loaded is not None
    width = engine.loaded.info.width
    for query, drawn in (
        (AttentionQuery(1, 0), 4 * count * count),
        (AttentionQuery(1, "mean"), 4 * count * count),
        (EmbeddingQuery(1, picture=False), 4 * count * (width + 1)),
        # The picture takes the smaller Gram matrix, in double precision, and which rows it fits.
        (EmbeddingQuery(2), 4 * count * (width + 1) + 8 * min(count, width) ** 2 + count),
    ):
        copied.clear()
        ask(engine, tinymodels.TEXT[:60], query)
        assert sum(copied) == drawn
    copied.clear()
    ask(engine, tinymodels.TEXT[:60], NextQuery(5), MosaicQuery(8))
    assert sum(copied) < 4 * count * width


def test_tokens_go_to_the_device_once_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened("llama", tmp_path)
    sent: list[int] = []
    make = torch.tensor

    def counting(data: Any, *args: Any, **kwargs: Any) -> Tensor:
        made: Tensor = make(data, *args, **kwargs)
        if made.dtype == torch.long:
            sent.append(made.numel())
        return made

    monkeypatch.setattr(torch, "tensor", counting)
    for end in (40, 41, 60, 30, 59):
        sent.clear()
        snapshot = ask(engine, tinymodels.TEXT[:end], NextQuery(), EmbeddingQuery(1))
        assert sum(sent) == snapshot.stats.suffix


def test_the_picture_is_that_of_the_states_that_are_copied(tmp_path: Path) -> None:
    engine = opened("llama", tmp_path)
    result = ask(engine, tinymodels.TEXT, EmbeddingQuery(2)).results[EmbeddingQuery(2)]
    fitted = result.values[result.fitted].astype(np.float64)
    centred = fitted - fitted.mean(0)
    spread = np.linalg.svd(centred, compute_uv=False) ** 2
    np.testing.assert_allclose(result.explained, (spread / spread.sum())[:2], atol=1e-6)
    places = result.xy[result.fitted]
    np.testing.assert_allclose((places**2).sum(0), spread[:2], rtol=1e-4)
