"""Fewer digits: what they cost is measured, told, and stays within what is promised.

Held to float32 on the same machine, so it runs with any ``--device``. The tolerance is of its own:
bfloat16 has 8 bits, so a number is off by up to 2⁻⁹ of itself at each of some dozen roundings on
its way; random models with wide weights, as these are, are harder on it than trained ones.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tinymodels
import torch

from engine import precision
from engine.engine import Engine
from engine.errors import UserError
from engine.models.loader import pick_dtype
from engine.paths import cache_dir
from engine.types import (
    AttentionQuery,
    EmbeddingQuery,
    MosaicQuery,
    NextQuery,
    Precision,
    Query,
    Request,
)

STATES = 0.06
"""How far all states of a layer may be off, as a share of their length together."""
WEIGHTS = 0.04
"""How far the weights of a map may be off on the mean."""

NARROW = ("bfloat16", "float16")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))


def ask(engine: Engine, text: str, *queries: Query):
    return engine.answer(Request(1, engine.epoch, text, queries))


def measure(engine: Engine) -> Precision:
    found: list[Precision] = []

    def whole():
        found.append((yield from engine.measure_steps()))

    for step in whole():
        assert step.text
    return found[0]


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral", "gemma3", "bert", "bloom"])
def test_bfloat16_stays_near_float32_through_edits(name: str, tmp_path: Path) -> None:
    folder = tinymodels.save_model(name, tmp_path / "model")
    exact = tinymodels.open_engine(folder, dtype="float32")
    narrow = tinymodels.open_engine(folder, dtype="bfloat16")
    assert narrow.loaded is not None
    assert narrow.loaded.info.dtype == "bfloat16"
    layers = narrow.loaded.info.layers
    queries: list[Query] = [EmbeddingQuery(layer) for layer in range(layers + 1)]
    queries += [AttentionQuery(layer, None) for layer in range(layers)]
    queries.append(MosaicQuery(8))
    for end in (40, 44, 41, 90):
        text = tinymodels.TEXT[:end]
        expected, found = (ask(engine, text, *queries) for engine in (exact, narrow))
        assert not found.refused
        for query in queries:
            one, other = expected.results[query], found.results[query]
            if isinstance(query, EmbeddingQuery):
                off = np.linalg.norm(one.values - other.values) / np.linalg.norm(one.values)
                assert off < STATES
            elif isinstance(query, AttentionQuery):
                assert np.abs(one.weights - other.weights).mean() < WEIGHTS
                np.testing.assert_allclose(other.weights.sum(-1), 1, atol=2e-2)


@pytest.mark.parametrize("dtype", NARROW)
def test_the_error_is_the_largest_difference_of_a_probability(dtype: str, tmp_path: Path) -> None:
    folder = tinymodels.save_model("llama", tmp_path / "model")
    narrow = tinymodels.open_engine(folder, "cpu", dtype)
    said = measure(narrow)
    assert said.of == "next-token probability"
    assert said.tokens == precision.TOKENS
    exact = tinymodels.open_engine(folder, "cpu", "float32")
    whole = NextQuery(tinymodels.VOCABULARY)
    text = precision.TEXT
    worst = 0.0
    assert exact.loaded is not None
    tokens = exact.loaded.reader_of_text.read(text)[: precision.TOKENS]
    for count in range(1, len(tokens) + 1):
        shares = []
        for engine in (exact, narrow):
            request = Request(1, engine.epoch, text, (whole,), limit=count)
            result = engine.answer(request).results[whole]
            share = np.zeros(tinymodels.VOCABULARY)
            share[list(result.ids)] = result.probabilities
            shares.append(share)
        worst = max(worst, float(np.abs(shares[0] - shares[1]).max()))
    assert 0 < said.error < 1
    # The same text in one pass and token by token is rounded at other places.
    assert said.error == pytest.approx(worst, rel=0.9, abs=0.02)


def test_float32_is_as_it_is_and_bert_is_compared_by_its_attention(tmp_path: Path) -> None:
    folder = tinymodels.save_model("llama", tmp_path / "model")
    assert measure(tinymodels.open_engine(folder, "cpu", "float32")).error < 1e-5
    bert = tinymodels.open_engine(
        tinymodels.save_model("bert", tmp_path / "bert"), "cpu", "float16"
    )
    assert measure(bert).of == "attention weight"


def test_what_was_measured_is_said_and_remembered(tmp_path: Path) -> None:
    folder = tinymodels.save_model("llama", tmp_path / "model")
    engine = tinymodels.open_engine(folder, "cpu", "bfloat16")
    assert engine.loaded is not None
    assert engine.loaded.info.precision is None
    said = measure(engine)
    assert ask(engine, "The dog").model.precision == said
    assert ask(engine, "The dog").stats.passes == 0  # the trace is kept
    again = tinymodels.open_engine(folder, "cpu", "bfloat16")
    assert again.loaded is not None
    assert again.loaded.info.precision == said
    other = tinymodels.open_engine(folder, "cpu", "float16")
    assert other.loaded is not None
    assert other.loaded.info.precision is None
    exact = tinymodels.open_engine(folder, "cpu", "float32")
    assert exact.loaded is not None
    assert exact.loaded.info.precision is None


@pytest.mark.parametrize("junk", ["", "[]", "{", '{"a": 1}'])
def test_a_damaged_memory_of_it_is_measured_anew(junk: str, tmp_path: Path) -> None:
    folder = tinymodels.save_model("llama", tmp_path / "model")
    cache_dir().mkdir(parents=True, exist_ok=True)
    (cache_dir() / "precision.json").write_text(junk)
    engine = tinymodels.open_engine(folder, "cpu", "bfloat16")
    said = measure(engine)
    kept = json.loads((cache_dir() / "precision.json").read_text())
    assert said.error in [entry["error"] for entry in kept.values() if isinstance(entry, dict)]


def test_numbers_that_run_over_are_told(tmp_path: Path) -> None:
    model = tinymodels.make("llama")
    for parameter in model.model.layers[0].mlp.parameters():
        parameter.data *= 300
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    tinymodels.save_tokenizer(folder)
    assert math.isnan(measure(tinymodels.open_engine(folder, "cpu", "float16")).error)
    again = tinymodels.open_engine(folder, "cpu", "float16")
    assert again.loaded is not None
    assert again.loaded.info.precision is not None
    assert math.isnan(again.loaded.info.precision.error)


def test_the_type_is_float32_on_a_cpu_unless_it_is_chosen() -> None:
    cpu = torch.device("cpu")
    assert pick_dtype("auto", cpu) == torch.float32
    assert pick_dtype("bfloat16", cpu) == torch.bfloat16
    assert pick_dtype("float32", torch.device("cuda")) == torch.float32
    with pytest.raises(UserError, match="int8"):
        pick_dtype("int8", cpu)
    with pytest.raises(UserError, match="is_available"):
        pick_dtype("is_available", cpu)
