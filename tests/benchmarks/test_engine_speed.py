"""What one answer costs on the built-in model. Figures to look at, never to assert.

``pytest tests/benchmarks`` prints the table; ``python main.py bench typing`` measures the whole way
from the keystroke to the picture, beside what transformers itself needs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from engine.engine import Engine
from engine.models.catalogue import resolve
from engine.models.store import fetch, open_spec
from engine.types import (
    AttentionQuery,
    EmbeddingQuery,
    LatentQuery,
    MosaicQuery,
    NextQuery,
    Request,
)
from gui.bench.texts import long_text

EVERYTHING = (
    EmbeddingQuery(2),
    AttentionQuery(2),
    MosaicQuery(),
    NextQuery(),
    LatentQuery(),
)


@pytest.fixture(scope="module")
def engine() -> Engine:
    made = Engine()
    entry = resolve("builtin")
    made.load(open_spec(entry, fetch(entry)), "cpu")
    return made


@pytest.mark.parametrize("characters", [200, 1600])
def test_one_more_character(engine: Engine, benchmark: Any, characters: int) -> None:
    text = long_text(characters + 400)
    ends = itertools.cycle(range(characters, characters + 400))

    def type_one() -> int:
        end = next(ends)
        return engine.answer(Request(1, 1, text[:end], EVERYTHING)).stats.suffix

    type_one()
    before = engine.passes
    benchmark.pedantic(type_one, rounds=20, warmup_rounds=2)
    assert engine.passes - before <= 22  # never more than one pass a character


def test_another_layer(engine: Engine, benchmark: Any) -> None:
    text = long_text(1600)
    engine.answer(Request(1, 1, text, EVERYTHING))
    layers = itertools.cycle(range(4))
    change: Callable[[], object] = lambda: engine.answer(  # noqa: E731
        Request(1, 1, text, (AttentionQuery(layer := next(layers)), EmbeddingQuery(layer)))
    )
    before = engine.passes
    benchmark.pedantic(change, rounds=20, warmup_rounds=2)
    assert engine.passes == before
