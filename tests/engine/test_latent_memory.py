"""States that would not fit into memory are refused before they are collected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tinymodels
from hypothesis import given
from hypothesis import strategies as st
from test_latent_space import drain, prose

from engine.engine import Engine
from engine.errors import UserError
from engine.latent import corpus, corpus_memory
from engine.latent.corpus import Passages, Pooling, Text, collect_steps, units_steps
from engine.latent.corpus_cache import states_steps
from engine.latent.corpus_memory import Work, least, require_room
from engine.latent.corpus_texts import read_corpus
from engine.latent.drawing import Drawing, drawing_job
from engine.memory import MACHINE, Room

WIDTH = 32
TEXTS = [Text("one", prose(1, 90)), Text("two", prose(2, 40)), Text("row", "A dog.", row=True)]
CUT = Passages(tokens=400, length=16, sentences=60)
POOLINGS: list[Pooling] = ["tokens", "mean"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return tinymodels.open_engine(tinymodels.save_model("llama", tmp_path_factory.mktemp("llama")))


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say how many bytes are free."""

    def say(count: int) -> None:
        found = Room(count, 1 << 40, MACHINE)
        monkeypatch.setattr(corpus_memory, "room", lambda device: found)

    return say


def forbid(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError(f"{name} was run")

    monkeypatch.setattr(corpus, name, run)


@given(st.integers(10**5, 10**12), st.integers(2, 8192), st.floats(0, 8), st.integers(0, 10**6))
def test_as_many_as_are_said_to_fit_do(free: int, width: int, copies: float, most: int) -> None:
    work = Work(copies, most)
    fit = work.fitting(free, width)
    assert work.need(fit, width) <= free
    assert work.need(round(1.2 * fit) + 10, width) > free  # and that is not much too few
    require_room(fit, width, work, "tokens", Room(free, free, MACHINE))


def test_the_sentence_has_the_figures_and_the_way_out() -> None:
    there = Room(2_000_000_000, 8_000_000_000, MACHINE)
    with pytest.raises(UserError) as caught:
        require_room(1_000_000, 576, Work(copies=3), "tokens", there)
    told = caught.value.sentence
    for part in ("1,000,000 tokens", "9.6 GB", "2.0 GB of this machine", "at most 200,000 tokens"):
        assert part in told
    require_room(200_000, 576, Work(copies=3), "tokens", there)
    # What is only read, and of which little is drawn, takes less.
    require_room(700_000, 576, Work(copies=5, most=5000), "tokens", there)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_no_fewer_states_come_than_are_certain(
    engine: Engine, pooling: Pooling, share: float
) -> None:
    cutting = Passages(tokens=10**6, length=16, sentences=10**6, share=share)
    units = drain(units_steps(engine.loaded, TEXTS, cutting, pooling))  # type: ignore[arg-type]
    count = sum(corpus.counts_of(units, pooling))
    assert 0 < least(TEXTS, cutting, pooling) <= count
    assert least(TEXTS, CUT, pooling) <= (CUT.tokens if pooling == "tokens" else CUT.sentences)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_nothing_is_run_for_what_will_not_fit(
    engine: Engine, free: Any, pooling: Pooling, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.loaded is not None
    forbid(monkeypatch, "Passes")
    every = Passages(tokens=10**6, length=16, sentences=10**6)
    # Enough for what is certain, not for what there is.
    free(Work().need(least(TEXTS, every, pooling), WIDTH))
    with pytest.raises(UserError, match="Cannot collect the states of"):
        drain(collect_steps(engine.loaded, TEXTS, [1], every, pooling))


def test_what_certainly_will_not_fit_is_not_even_cut(
    engine: Engine, free: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.loaded is not None
    forbid(monkeypatch, "cut_to")
    free(1000)
    with pytest.raises(UserError, match="this machine are free"):
        drain(collect_steps(engine.loaded, TEXTS, [1], CUT))


def test_states_that_are_kept_are_not_read_back_where_they_would_not_fit(
    engine: Engine, free: Any, tmp_path: Path
) -> None:
    assert engine.loaded is not None
    kept = len(drain(states_steps(engine.loaded, TEXTS, 1, CUT, tmp_path)))
    assert len(drain(states_steps(engine.loaded, TEXTS, 1, CUT, tmp_path))) == kept
    free(Work().need(kept, WIDTH) // 2)
    with pytest.raises(UserError, match="Cannot collect"):
        drain(states_steps(engine.loaded, TEXTS, 1, CUT, tmp_path))


def test_texts_that_would_not_fit_are_not_read(free: Any, tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_text("The dog is running.", encoding="utf-8")
    (tmp_path / "large.txt").write_bytes(b"\xff" * 5_000_000)  # which would not be text either
    free(10_000_000)
    with pytest.raises(UserError, match="Cannot read 2 files: it takes about 20 MB"):
        read_corpus(tmp_path)
    assert len(read_corpus(tmp_path / "small.txt")) == 1


def test_a_picture_of_everything_is_refused_and_one_of_a_part_is_drawn(
    engine: Engine, free: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.loaded is not None
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    for text in TEXTS:
        (tmp_path / f"{text.label}.txt").write_text(text.text, encoding="utf-8")
    files = tuple(tmp_path / f"{text.label}.txt" for text in TEXTS)

    def order(points: int) -> Drawing:
        settings = {"points": points, "held_out": 0.1}
        return Drawing("x", "pca", 1, settings, corpus=files, first=True)

    drawn = drain(drawing_job(engine.loaded, order(0)))
    free(Work(6.0, 40).need(round(1.1 * drawn.of), WIDTH))
    with pytest.raises(UserError, match="Read at most"):
        drain(drawing_job(engine.loaded, order(0)))
    assert len(drain(drawing_job(engine.loaded, order(40))).xy) == 40
