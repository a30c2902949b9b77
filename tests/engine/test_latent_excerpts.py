"""What stood where a reference state is from: excerpts, and their way into a space's file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
from hypothesis import given
from hypothesis import strategies as st
from test_latent_decode import LAYER, drain, space_of

from engine.engine import Engine
from engine.errors import UserError
from engine.latent.corpus import Passages, Pooling, Text, collect_steps
from engine.latent.corpus_excerpts import LONGEST, excerpts_steps, round_token, shortened
from engine.latent.corpus_sentences import sentences
from engine.latent.space import load
from engine.latent.train import space_steps
from engine.latent.training import Settings

TEXTS = [
    Text("park", "The dog is running in the park. It sees a fox and barks at it. " * 20),
    Text("sea", "She sells sea shells by the sea shore,\nall day long. The shells are hers. " * 20),
]
CUT = Passages(tokens=300, length=12, sentences=40)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return tinymodels.open_engine(tinymodels.save_model("llama", tmp_path_factory.mktemp("llama")))


def collected(engine: Engine, pooling: Pooling) -> tuple[Any, Any]:
    assert engine.loaded is not None
    states = drain(collect_steps(engine.loaded, TEXTS, [LAYER], CUT, pooling))[LAYER]
    return states, drain(excerpts_steps(engine.loaded, TEXTS, CUT, pooling))


def test_each_token_stands_marked_in_its_own_context(engine: Engine) -> None:
    states, excerpts = collected(engine, "tokens")
    assert engine.loaded is not None
    assert len(excerpts) == len(states)
    found = excerpts.of(np.arange(len(states)))
    for row, text in enumerate(found):
        marked = text[text.index("‹") + 1 : text.index("›")]
        token = engine.loaded.reader_of_text.token(int(states.ids[row])).text
        assert marked == (token.strip() or ("¶" if "\n" in token else "␣"))
        plain = text.replace("‹", "").replace("›", "").strip("…")
        whole = " ".join(TEXTS[states.labels[row]].text.split())
        assert " ".join(plain.replace("␣", " ").replace("¶", " ").split()) in whole
    # Of a passage, the first token has nothing before it.
    assert found[int(np.flatnonzero(states.positions == 0)[0])].startswith("‹")


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_of_a_sentence_it_is_the_sentence(engine: Engine, pooling: Pooling) -> None:
    states, excerpts = collected(engine, pooling)
    assert len(excerpts) == len(states)
    rows = np.array([3, 0, len(states) - 1])
    for row, text in zip(rows, excerpts.of(rows), strict=True):
        assert text in sentences(TEXTS[states.labels[row]].text)


@pytest.mark.parametrize(
    ("text", "start", "end", "expected"),
    [
        ("The dog runs.", 3, 7, "The ‹dog› runs."),
        ("The dog", 0, 3, "‹The› dog"),
        ("The\n\ndog", 3, 5, "The‹¶›dog"),
        ("a  b", 1, 3, "a‹␣›b"),
        ("running", 3, 7, "run‹ning›"),
        ("x" * 200, 100, 101, "…" + "x" * 51 + "‹x›" + "x" * 24 + "…"),
        ("", 0, 0, "‹␣›"),
    ],
)
def test_a_token_among_its_neighbours(text: str, start: int, end: int, expected: str) -> None:
    assert round_token(text, start, end) == expected


@given(st.text(max_size=300), st.integers(0, 300), st.integers(0, 300))
def test_excerpts_are_short_and_on_one_line(text: str, one: int, other: int) -> None:
    start, end = sorted((min(one, len(text)), min(other, len(text))))
    for found in (round_token(text, start, end), shortened(text)):
        assert len(found) <= LONGEST
        assert "\n" not in found
    assert "‹" in round_token(text, start, end)


def test_a_trained_space_keeps_them_in_its_file(engine: Engine, tmp_path: Path) -> None:
    states, excerpts = collected(engine, "tokens")
    assert engine.loaded is not None
    quick = Settings(latent=3, hidden=8, epochs=1, batch=64, seed=1)
    made = drain(space_steps(engine.loaded.info, states, quick, CUT, excerpts=excerpts))
    assert len(made.texts) == len(made.labels) > 0
    told = {"park": "dog running park fox sees barks", "sea": "sells shells shore day long hers"}
    for text, label in zip(made.texts, made.labels, strict=True):
        other = told["sea" if made.label_names[label] == "park" else "park"]
        assert not set(other.split()) & set(text.replace("‹", "").replace("›", "").split())
    path = tmp_path / "space.safetensors"
    made.save(path)
    assert load(path).texts == made.texts
    few = dataclasses.replace(made, texts=made.texts[1:])
    few.save(path)
    with pytest.raises(UserError, match="texts do not fit"):
        load(path)


def test_odd_characters_survive_and_none_are_needed(engine: Engine, tmp_path: Path) -> None:
    space = space_of(engine, 3)
    path = tmp_path / "space.safetensors"
    space.save(path)
    assert load(path).texts == ()
    texts = tuple(f"é {i}\u2028 🦊" for i in range(len(space.labels)))
    dataclasses.replace(space, texts=texts).save(path)
    assert load(path).texts == texts
