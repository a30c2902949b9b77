"""What a keystroke pays for the latent view beyond the states it shows. Figures to look at.

A key at the end of a text leaves one new state in each layer; the view encodes it, projects it and
hands over the path so far. Its share of a keystroke is meant to be 2 ms at most.
"""

from __future__ import annotations

from typing import Any

import pytest

from engine.engine import Engine
from engine.models.catalogue import default, resolve
from engine.models.store import fetch, open_spec
from engine.probes import latent
from engine.probes.latent import SentencePosteriors
from engine.probes.spec import Pass
from engine.types import LatentPlane, LatentQuery

TEXT = "The dog is running in the park. It sees a fox and barks at it, and the fox runs away. " * 40


@pytest.fixture(scope="module", params=["builtin", pytest.param("", marks=pytest.mark.model)])
def engine(request: Any) -> Engine:
    """The built-in model, and the default one."""
    entry = resolve(request.param) if request.param else default()
    made = Engine()
    made.load(open_spec(entry, fetch(entry)), "cpu")
    return made


def passed_of(engine: Engine, count: int) -> Pass:
    """A text of `count` tokens that was run, with nothing asked of it yet."""
    assert engine.loaded is not None
    reader = engine.loaded.reader_of_text
    tokens = tuple(reader.read(TEXT))[:count]
    trace, _ = engine.loaded.reader.read(None, [one.id for one in tokens], [], lambda: False)
    return Pass(engine.loaded, trace, tokens, (), TEXT[: tokens[-1].end])


@pytest.mark.parametrize("tokens", [64, 512])
@pytest.mark.parametrize("plane", ["own", "components"])
def test_a_key_at_the_end(benchmark: Any, engine: Engine, tokens: int, plane: LatentPlane) -> None:
    """One state more than last time, in the space nearest to the middle."""
    passed, query = passed_of(engine, tokens), LatentQuery(plane=plane)
    result = latent.answer(passed, query)
    assert len(result.xy) == tokens
    assert result.plane == plane
    kept = passed.trace.memos[f"latent {result.layer}"]

    keys: list[int] = []  # in the whole suite there is one, and no warm-up

    def before() -> None:
        keys.append(1)
        kept.keep(tokens - 1)

    def key() -> int:
        return len(latent.answer(passed, query).xy)

    encoded = kept.encoded
    assert benchmark.pedantic(key, setup=before, rounds=200, warmup_rounds=5) == tokens
    assert kept.encoded - encoded == len(keys)  # one row a key, however long the text is


@pytest.mark.parametrize("tokens", [64, 512])
def test_a_key_before_sentences(benchmark: Any, engine: Engine, tokens: int) -> None:
    """The sentence that is being written, pooled and encoded anew, before a space of sentences."""
    assert engine.loaded is not None
    there = engine.loaded.sentence_spaces
    if not there:
        pytest.skip("no space of sentence states comes with this model")
    layer, pooling = next(iter(there))
    passed, query = passed_of(engine, tokens), LatentQuery(layer, states=pooling)
    result = latent.answer(passed, query)
    kept = passed.trace.memos[f"latent {layer} {pooling}"]
    assert isinstance(kept, SentencePosteriors)

    keys: list[int] = []  # in the whole suite there is one, and no warm-up

    def before() -> None:
        keys.append(1)
        kept.keep(tokens - 1)

    def key() -> int:
        return len(latent.answer(passed, query).xy)

    encoded, count = kept.encoded, len(result.xy)
    assert benchmark.pedantic(key, setup=before, rounds=100, warmup_rounds=3) == count
    assert kept.encoded - encoded == len(keys)
