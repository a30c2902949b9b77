"""What an appended token makes the probes do: its own rows, and nothing of what stood there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch

from engine.engine import Engine
from engine.probes import mosaic
from engine.probes.mosaic import Thumbnails
from engine.trace import LayerAttention, Trace
from engine.types import MosaicQuery, Query, Request, Snapshot

TEXT = tinymodels.TEXT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinymodels.save_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture
def engine(folder: Path) -> Engine:
    return tinymodels.open_engine(folder, "cpu")


def ask(engine: Engine, text: str, *queries: Query) -> Snapshot:
    return engine.answer(Request(1, engine.epoch, text, queries))


def trace_of(engine: Engine) -> Trace:
    assert engine._trace is not None
    return engine._trace


# --- all heads ------------------------------------------------------------------------------------


def test_few_rows_of_attention_are_those_of_the_general_way(engine: Engine) -> None:
    ask(engine, TEXT)
    with torch.inference_mode():
        for layer in trace_of(engine).attention["decoder"]:
            assert isinstance(layer, LayerAttention)
            assert layer.plain
            for start in (layer.rows - 1, layer.rows - 5):
                np.testing.assert_allclose(
                    layer.few_weights(start), layer.weights(start=start).numpy(), atol=1e-6
                )


@pytest.mark.parametrize("name", ["gemma2", "mistral", "gpt_oss", "bloom"])
def test_what_is_not_plain_attention_is_worked_out_the_general_way(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model(name, tmp_path), "cpu")
    ask(engine, TEXT, MosaicQuery())
    layers = trace_of(engine).attention["decoder"]
    plain = [isinstance(layer, LayerAttention) and layer.plain for layer in layers]
    few = counted(monkeypatch, "_fold_few")
    ask(engine, TEXT + " d", MosaicQuery())
    assert len(few) == sum(plain) < len(layers)


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """Notes which layers a function of the mosaic was called for."""
    calls: list[int] = []
    run = getattr(mosaic, name)

    def noting(kept: Thumbnails, index: int, *rest: Any) -> None:
        calls.append(index)
        run(kept, index, *rest)

    monkeypatch.setattr(mosaic, name, noting)
    return calls


def test_a_new_row_is_joined_to_its_block_where_it_stands(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, text = MosaicQuery(4), TEXT
    before = ask(engine, text, query).results[query].maps
    shown, many = before.copy(), counted(monkeypatch, "_fold_many")
    memo = trace_of(engine).memos["mosaic decoder 4"]
    assert isinstance(memo, Thumbnails)
    places, folded, runs = set(), memo.folded, 0
    for _ in range(5):
        text += " d"
        snapshot = ask(engine, text, query)
        assert memo.rows == snapshot.results[query].rows == len(snapshot.tokens)
        places.add(memo.maps.data_ptr())
        runs += snapshot.stats.suffix
    assert memo.folded == folded + runs
    assert not many
    assert len(places) <= 2, "thumbnails were copied within a block"
    assert np.array_equal(before, shown), "what was shown never changes"
    trace_of(engine).memos.clear()
    anew = ask(engine, text, query).results[query].maps
    np.testing.assert_allclose(snapshot.results[query].maps, anew, atol=1e-6)
