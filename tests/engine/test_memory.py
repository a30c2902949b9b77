"""Memory: what a trace holds, what is refused beforehand, and what is left when it runs out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import engine as engine_module
from engine import memory
from engine.arena import Arena, capacity
from engine.engine import Engine
from engine.errors import UserError
from engine.estimate import weight_bytes
from engine.memory import Room, ran_out, room
from engine.models.catalogue import default, resolve
from engine.models.store import ModelSource, fetch, open_spec
from engine.types import (
    AttentionQuery,
    EmbeddingQuery,
    MemoryQuery,
    MemoryResult,
    MosaicQuery,
    NextQuery,
    Query,
    Request,
    Snapshot,
)

HERE = Path(__file__).resolve().parent
CPU = torch.device("cpu")
FULL = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
ALL = (AttentionQuery(1), MosaicQuery(), NextQuery(), EmbeddingQuery(2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinymodels.save_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture
def engine(folder: Path) -> Engine:
    return tinymodels.open_engine(folder)


def ask(engine: Engine, text: str, *queries: Query, limit: int | None = None) -> Snapshot:
    return engine.answer(Request(1, engine.epoch, text, queries, limit=limit))


def full(*_: object) -> Any:
    raise FULL


def source_of(folder: Path) -> ModelSource:
    entry = resolve(str(folder))
    return open_spec(entry, fetch(entry))


def told(snapshot: Snapshot) -> MemoryResult:
    found = snapshot.results[MemoryQuery()]
    assert isinstance(found, MemoryResult)
    return found


# --- what is held ---------------------------------------------------------------------------------


def test_what_a_trace_holds_is_what_its_shapes_say(engine: Engine) -> None:
    found = told(ask(engine, tinymodels.TEXT * 3, MemoryQuery(), *ALL))
    assert engine._trace is not None
    count = len(engine._trace.ids)
    assert count > 100
    layers, heads, key_heads, head_width, width = 3, 4, 2, 8, 32
    rows = 4 * capacity(count)
    assert found.cache == 2 * layers * key_heads * head_width * rows
    assert found.queries == layers * heads * head_width * rows
    assert found.states == (layers + 2) * width * rows
    assert found.all_maps == 4 * layers * heads * count**2
    assert found.shown == 4 * capacity(count) ** 2
    assert (found.masks, found.maps) == (0, 0)
    assert 0 < found.thumbnails <= 4 * layers * heads * 24**2
    assert found.trace == engine._trace.nbytes
    assert found.free < found.total
    assert found.process > 0


@pytest.mark.parametrize("name", ["llama", "mistral", "bert", "t5", "bloom", "mamba", "lfm2"])
def test_every_kind_of_model_is_accounted_for(name: str, tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model(name, tmp_path))
    # What it looks at is there once the others are answered, in whatever order they were asked.
    snapshot = ask(engine, tinymodels.TEXT, MemoryQuery(), *ALL)
    found = told(snapshot)
    assert engine._trace is not None
    assert found.trace == engine._trace.nbytes == snapshot.stats.trace_bytes
    assert (found.maps > 0) == (name == "bloom")
    assert (found.masks > 0) == (name in ("mistral", "t5"))
    assert (found.all_maps > 0) == (name != "mamba")
    assert (found.cache > 0) == (name in ("llama", "mistral", "bloom"))
    assert (found.shown > 0) == (AttentionQuery(1) in snapshot.results)


def test_a_map_of_the_mean_is_worked_out_in_pieces(engine: Engine) -> None:
    text = (tinymodels.TEXT * 9)[:900]
    whole = ask(engine, text, AttentionQuery(1, None), limit=256).results[AttentionQuery(1, None)]
    import engine.probes.attention as probe

    rows, probe.ROWS = probe.ROWS, 7
    try:
        mean = ask(engine, text, AttentionQuery(1), limit=256).results[AttentionQuery(1)]
    finally:
        probe.ROWS = rows
    np.testing.assert_allclose(mean.weights, whole.weights.mean(axis=0), atol=1e-6)


@pytest.mark.model
def test_a_trace_of_2048_tokens_holds_a_tenth_of_all_maps() -> None:
    entry, engine = default(), Engine()
    engine.load(open_spec(entry, fetch(entry)), "cpu")
    words = " ".join(f"word{n % 97} and" for n in range(1400))
    queries = (AttentionQuery(10), MosaicQuery(64), NextQuery(), MemoryQuery())
    # Not in one piece, so that arenas have had to grow; the last token is typed.
    for limit in (1900, 2047, 2048):
        found = told(ask(engine, words, *queries, limit=limit))
    assert engine._trace is not None
    assert len(engine._trace.ids) == 2048
    assert found.all_maps == 30 * 9 * 2048**2 * 4
    assert 10 * found.trace <= found.all_maps
    assert found.trace == engine._trace.nbytes


# --- how much there is ----------------------------------------------------------------------------


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_the_container_sets_the_bound_where_it_is_the_narrowest(tmp_path: Path) -> None:
    two = tmp_path / "two"
    (two / "proc/self").mkdir(parents=True)
    (two / "proc/self/cgroup").write_text("0::/a/b\n")
    mount = two / "sys/fs/cgroup"
    group(mount / "a/b", memory__max="max", memory__current=50, memory__stat="inactive_file 7")
    assert room(CPU, two).bound == "this machine"
    group(mount / "a", memory__max=1000, memory__current=900, memory__stat="inactive_file 70")
    assert room(CPU, two) == Room(170, 1000, "the container")

    one = tmp_path / "one"
    (one / "proc/self").mkdir(parents=True)
    (one / "proc/self/cgroup").write_text("9:cpu,memory:/docker/x\n3:pids:/docker/x\n")
    # A container sees its own group as the top one.
    group(
        one / "sys/fs/cgroup/memory",
        memory__limit_in_bytes=2000,
        memory__usage_in_bytes=3000,
        memory__stat="cache 5\ntotal_inactive_file 100",
    )
    assert room(CPU, one) == Room(0, 2000, "the container")
    group(one / "sys/fs/cgroup/memory", memory__limit_in_bytes=2**63 - 4096)
    assert room(CPU, one).bound == "this machine"


def test_the_limits_of_the_process_set_the_bound() -> None:
    resource = pytest.importorskip("resource")
    script = (
        "import resource, torch; from engine.memory import room\n"
        "limit = 1 << 40\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit >> 9, limit >> 9))\n"
        "there = room(torch.device('cpu'))\n"
        "print(there.total == limit >> 9, 0 < there.free < there.total, there.bound)"
    )
    assert resource
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=HERE.parents[1],
    )
    if room(CPU).free > 2 << 30:
        assert done.stdout.split(maxsplit=2)[:2] == ["True", "True"]
        assert "address space" in done.stdout


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (FULL, True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
        (None, False),
    ],
)
def test_running_out_is_known_by_all_its_names(error: Exception | None, said: bool) -> None:
    assert ran_out(error) is said
    outer = UserError("Cannot open it", "a file is damaged", "Try again")
    outer.__cause__ = error
    assert ran_out(outer) is said


# --- what is refused ------------------------------------------------------------------------------


@pytest.fixture
def small_passes_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "SMALL", 0)


def free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(memory, "room", lambda _device: Room(count, 10**9, "this machine"))


def test_a_pass_that_would_not_fit_is_refused_before_it_is_begun(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, small_passes_ask: None
) -> None:
    ask(engine, "The dog", *ALL)
    assert engine.loaded is not None
    held, passes = engine._trace, engine.passes
    text = tinymodels.TEXT * 2
    reader = engine.loaded.reader
    free(monkeypatch, reader.pass_bytes(None, 60, 60, ALL))
    with pytest.raises(UserError) as refused:
        ask(engine, text, *ALL)
    said = refused.value.sentence
    assert "of this machine are free" in said
    assert "kB" in said
    assert "half precision" in said
    assert engine.passes == passes
    assert engine._trace is held, "what was answered last is kept"
    # What it says would fit does.
    most = int(said.split("to about ")[1].split(" tokens")[0])
    assert 60 <= most < len(engine.loaded.reader_of_text.read(text))
    assert len(ask(engine, text, *ALL, limit=most).tokens) == most
    # Another layer of the same text runs no pass and is not refused.
    free(monkeypatch, reader.pass_bytes(None, 0, most, ALL))
    ask(engine, text, *ALL, limit=most)


def test_what_fits_once_the_trace_before_is_forgotten_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_passes_ask: None
) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model("bert", tmp_path))
    assert engine.loaded is not None
    ask(engine, tinymodels.TEXT)
    assert engine._trace is not None
    before, held = engine.loaded.reader, engine._trace.nbytes
    count = len(engine._trace.ids)
    free(monkeypatch, before.pass_bytes(None, count, count) - held // 2)
    seen: list[object] = []
    read = type(before).read

    def noting(self: Any, trace: object, *rest: Any) -> Any:
        seen.append(trace)
        return read(self, trace, *rest)

    monkeypatch.setattr(type(before), "read", noting)
    ask(engine, tinymodels.TEXT[:-1])
    assert seen == [None]


def test_a_small_pass_is_not_held_up_by_asking(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(memory, "room", asked.append)
    ask(engine, "The dog is running", *ALL)
    assert not asked


def test_a_model_that_would_not_fit_is_refused_and_the_one_before_stays(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = engine.loaded
    assert loaded is not None
    files = list(folder.glob("*.safetensors"))
    assert weight_bytes(files, 4) == loaded.weight_bytes
    assert weight_bytes(files, 2) == loaded.weight_bytes // 2
    free(monkeypatch, loaded.weight_bytes - 1)
    source = source_of(folder)
    with pytest.raises(UserError, match=r"of this machine are free\. Open a smaller model"):
        engine.load(source, "cpu")
    assert engine.loaded is loaded
    free(monkeypatch, loaded.weight_bytes)
    engine.load(source, "cpu")
    assert engine.loaded is not loaded


def test_running_out_while_loading_is_a_sentence_and_the_one_before_stays(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.models.families import decoder

    loaded = engine.loaded
    monkeypatch.setattr(decoder.DecoderReader, "find_blocks", full)
    with pytest.raises(UserError, match="memory ran out while it was read"):
        engine.load(source_of(folder), "cpu")
    assert engine.loaded is loaded
    assert ask(engine, "The dog", NextQuery()).results


# --- what is left when it runs out ----------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[Engine, Engine]:
    """Two engines that share one model: one meets full memory, the other knows the truth."""
    one, other = tinymodels.open_engine(folder), Engine()
    other.loaded, other.epoch = one.loaded, one.epoch
    return one, other


TEXTS = st.integers(0, 3).flatmap(
    lambda n: st.integers(1, len(tinymodels.TEXT)).map(lambda m: tinymodels.TEXT[:m] + "zq"[:n])
)


@settings(max_examples=30, deadline=None)
@given(first=TEXTS, failing=TEXTS, then=TEXTS, at=st.integers(0, 40))
def test_wherever_a_pass_fails_the_next_answer_is_right(
    pair: tuple[Engine, Engine], first: str, failing: str, then: str, at: int
) -> None:
    engine, truth = pair
    engine._trace = truth._trace = None
    ask(engine, first, *ALL)
    assert engine._trace is not None
    before = list(engine._trace.ids)
    left = [at]

    def failing_append(self: Arena, rows: torch.Tensor) -> torch.Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise FULL
        return append(self, rows)

    append, Arena.append = Arena.append, failing_append  # type: ignore[method-assign]
    said: UserError | None = None
    try:
        ask(engine, failing, *ALL)
    except UserError as error:
        said = error
    finally:
        Arena.append = append  # type: ignore[method-assign]
    if said is not None:
        assert "the memory of cpu is full" in said.sentence
        assert said.__cause__ is said.__context__ is None, "nothing of the pass hangs on it"
        kept = [] if engine._trace is None else engine._trace.ids
        assert kept == before[: len(kept)]
        if engine._trace is not None:
            assert engine._trace.held.cache == 2 * 3 * 2 * 8 * 4 * capacity(len(kept))
    found, right = ask(engine, then, *ALL), ask(truth, then, *ALL)
    assert found.tokens == right.tokens
    for query in ALL:
        one, other = found.results[query], right.results[query]
        for name in ("weights", "maps", "probabilities", "surprise", "values"):
            if hasattr(one, name):
                np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-4)


def test_what_stood_before_the_edit_is_not_run_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(ask(engine, tinymodels.TEXT).tokens)
    with monkeypatch.context() as patch:
        patch.setattr(engine_module.memory, "release", lambda _device: None)
        assert engine.loaded is not None
        block = engine.loaded.reader.blocks["decoder"][2]
        handle = block.register_forward_pre_hook(full)
        with pytest.raises(UserError):
            ask(engine, tinymodels.TEXT * 2)
        handle.remove()
    stats = ask(engine, tinymodels.TEXT + "z").stats
    assert stats.reused == count
    assert stats.suffix == 1


def test_a_probe_without_room_is_refused_and_the_others_are_answered(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.probes import mosaic

    with monkeypatch.context() as patch:
        patch.setattr(mosaic, "_fold", full)
        snapshot = ask(engine, "The dog is running", *ALL)
    assert "too full" in snapshot.refused[MosaicQuery()]
    assert set(snapshot.results) == set(ALL) - {MosaicQuery()}
    assert MosaicQuery() in ask(engine, "The dog is running", *ALL).results
    # What a probe leaves until its numbers have come is sheltered likewise.
    with monkeypatch.context() as patch:
        patch.setattr(engine_module.Engine, "_probe", lambda _self, passed, query: full)
        snapshot = ask(engine, "The dog is running", *ALL)
    assert set(snapshot.refused) == set(ALL)


# --- in a process of its own, with real limits ----------------------------------------------------

KINDS = ("llama", "mistral", "gpt2", "bert", "bloom", "t5")
needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are Linux's")


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What limited.py found, by case."""
    folder = tmp_path_factory.mktemp("wide")
    cases = ["pass", "load", *(f"peak {kind}" for kind in KINDS)]
    done = subprocess.run(
        [sys.executable, str(HERE / "limited.py"), str(folder), *cases],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@needs_linux
@pytest.mark.slow
def test_a_pass_under_a_real_limit_fails_in_a_sentence_and_a_shorter_text_is_right(
    limited: dict[str, dict[str, Any]],
) -> None:
    found = limited["pass"]
    assert "error" not in found, found["error"]
    assert "address space" in found["refused"]
    assert "shorten the text to about" in found["refused"].lower()
    assert "memory of cpu is full" in found["failed"]
    assert found["reused"] == found["before"]
    assert found["difference"] < 1e-4
    assert "memory ran out" in found["load"] or "address space" in found["load"]
    assert found["after"] == found["expected"]


@needs_linux
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_estimates_are_near_to_what_is_measured(
    kind: str, limited: dict[str, dict[str, Any]]
) -> None:
    found = limited[f"peak {kind}"]
    assert "error" not in found, found["error"]
    assert 0.75 < found["held"] / found["estimated_held"] < 1.1
    assert 0.5 < found["peak"] / found["estimated"] < 1.5


@needs_linux
@pytest.mark.slow
def test_the_estimate_of_a_load_is_near_to_what_is_measured(
    limited: dict[str, dict[str, Any]],
) -> None:
    found = limited["load"]
    assert "error" not in found, found["error"]
    # The pages of the file itself, half as large, are the system's to take back.
    assert 0.7 < found["peak"] / found["estimated"] < 1.8
