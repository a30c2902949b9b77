"""All blocks of a step in one call, and what is told of it before it is through."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tinymodels
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tinyquantised import CONFIGS, quantised

from engine.engine import Engine, never
from engine.models.families.decoder import DecoderReader
from engine.models.fewrows import FEW
from engine.models.halfway import Halfway, Meanwhile, Stage
from engine.models.lean import LeanStep
from engine.trace import Trace
from engine.types import (
    AttentionQuery,
    EmbeddingQuery,
    MosaicQuery,
    NextQuery,
    Query,
    Request,
    Snapshot,
)

CLOSE = 5e-5
EXACT = 1e-4  # what is promised of states
IDS = [5, 9, 30, 200, 7, 7, 12, 13, 14]


@pytest.fixture(scope="module")
def readers() -> dict[str, DecoderReader]:
    made = {f"{name} Q4_1": DecoderReader(quantised(name)) for name in CONFIGS}
    return {**made, "llama Q8_0": DecoderReader(quantised("llama", "Q8_0"))}


def alike(ours: Trace, theirs: Trace) -> None:
    for mine, other in zip(ours.states["decoder"], theirs.states["decoder"], strict=True):
        torch.testing.assert_close(mine.rows(), other.rows(), atol=EXACT, rtol=CLOSE)
    torch.testing.assert_close(ours.final.rows(), theirs.final.rows(), atol=CLOSE, rtol=CLOSE)
    for one, two in zip(ours.attention["decoder"], theirs.attention["decoder"], strict=True):
        torch.testing.assert_close(one.weights(), two.weights(), atol=CLOSE, rtol=CLOSE)
    assert ours.cache is not None
    assert theirs.cache is not None
    for depth in range(3):
        torch.testing.assert_close(
            ours.cache.keys_of(depth), theirs.cache.keys_of(depth), atol=CLOSE, rtol=CLOSE
        )


def told_at(told: list[Trace], *blocks: int) -> Halfway:
    return Halfway(tuple(Stage(count, told.append) for count in blocks))


@pytest.mark.parametrize("which", [*(f"{name} Q4_1" for name in CONFIGS), "llama Q8_0"])
@settings(deadline=None)
@given(
    ids=st.lists(st.integers(3, 300), min_size=2, max_size=30),
    cut=st.integers(1, 2 * FEW),
    depth=st.integers(0, 3),
)
@torch.inference_mode()
def test_one_call_leaves_what_the_modules_leave(
    which: str, readers: dict[str, DecoderReader], ids: list[int], cut: int, depth: int
) -> None:
    reader = readers[which]
    step = reader._lean
    assert isinstance(step, LeanStep)
    assert step.whole is not None
    begun, _ = reader.read(None, ids[: max(1, len(ids) - cut)], [], never)
    told: list[Trace] = []
    ours, _ = reader.read_telling(begun, ids, [], never, told_at(told, depth, depth, 3))
    reader._lean = None
    try:
        theirs, _ = reader.read(None, ids, [], never)
    finally:
        reader._lean = step
    alike(ours, theirs)
    assert len(told) == 3 * (min(cut, len(ids) - 1) <= FEW)


@torch.inference_mode()
def test_blocks_in_one_call_leave_what_they_leave_one_by_one(
    readers: dict[str, DecoderReader],
) -> None:
    for reader in readers.values():
        step = reader._lean
        assert step is not None
        whole = step.whole
        once, _ = reader.read(reader.read(None, IDS[:5], [], never)[0], IDS, [], never)
        step.whole = None
        try:
            each, _ = reader.read(reader.read(None, IDS[:5], [], never)[0], IDS, [], never)
        finally:
            step.whole = whole
        alike(once, each)
        assert once.fresh is not None
        assert each.fresh is not None
        np.testing.assert_allclose(once.fresh.weights, each.fresh.weights, atol=CLOSE)


def halted(step: LeanStep, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Lets the last blocks wait until what is returned is called; True if they had."""
    go, begun = threading.Event(), threading.Event()
    assert step.whole is not None
    made = step.whole.step

    def stepping(*args: object) -> Callable[[int, int], None]:
        run = made(*args)  # type: ignore[arg-type]

        def slowly(first: int, last: int) -> None:
            if first and last == 3:
                begun.set()
                assert go.wait(30)
            run(first, last)

        return slowly

    monkeypatch.setattr(step.whole, "step", stepping)

    def let() -> bool:
        waited = begun.wait(30)
        go.set()
        return waited

    return let


@torch.inference_mode()
def test_what_is_through_is_there_while_the_rest_is_run(
    readers: dict[str, DecoderReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = readers["llama Q4_1"]
    assert reader._lean is not None
    let = halted(reader._lean, monkeypatch)
    begun, _ = reader.read(None, IDS[:8], [], never)
    seen = []

    def tell(trace: Trace) -> None:
        states = [trace.states["decoder"][depth].rows().clone() for depth in (0, 1, 2)]
        maps = [trace.attention["decoder"][block].weights() for block in (0, 1)]
        seen.append((states, maps))
        assert let(), "the other blocks were not begun"

    trace, ran = reader.read_telling(begun, IDS, [], never, Halfway((Stage(2, tell),)))
    assert (ran.passes, ran.suffix, ran.reused) == (1, 1, 8)
    ((states, maps),) = seen
    for depth in (0, 1, 2):
        torch.testing.assert_close(states[depth], trace.states["decoder"][depth].rows())
    for depth in (0, 1):
        torch.testing.assert_close(maps[depth], trace.attention["decoder"][depth].weights())


@torch.inference_mode()
def test_scores_are_worked_out_by_the_pass_where_they_are_asked_for(
    readers: dict[str, DecoderReader],
) -> None:
    reader = readers["llama Q4_1"]
    for ids in (IDS, [*IDS[:7], 99, 100, 101]):
        for asked in (True, False):
            begun, _ = reader.read(None, IDS[:8], [], never)
            trace, _ = reader.read_telling(
                begun, ids, [], never, Halfway((Stage(1, lambda _trace: None),), scores=asked)
            )
            assert trace.fresh is not None
            if not asked:
                assert trace.fresh.scores is None
                continue
            assert trace.fresh.scores is not None
            wanted = reader.logits(trace.final.rows()[trace.fresh.start :])
            torch.testing.assert_close(trace.fresh.scores, wanted, atol=CLOSE, rtol=CLOSE)
            assert trace.fresh.nbytes == trace.fresh.weights.nbytes + wanted.nbytes


@torch.inference_mode()
def test_a_failure_of_who_is_told_waits_for_the_rest(readers: dict[str, DecoderReader]) -> None:
    reader = readers["llama Q4_1"]
    begun, _ = reader.read(None, IDS[:8], [], never)

    def tell(_trace: Trace) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        reader.read_telling(begun, IDS, [], never, Halfway((Stage(1, tell),)))
    assert not [one for one in threading.enumerate() if one.name == "step"]
    begun.mend()
    again, _ = reader.read(begun, IDS, [], never)
    alike(again, reader.read(None, IDS, [], never)[0])


def test_after_a_piece_that_fails_none_is_begun() -> None:
    done: list[int] = []

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), Meanwhile([fail, lambda: done.append(1)]) as work:
        work.wait(1)
    with pytest.raises(ValueError, match="no"), Meanwhile([lambda: done.append(2), fail]) as work:
        work.wait(1)
    with pytest.raises(KeyError), Meanwhile([fail]):
        raise KeyError
    assert done == [2]


# --- answers --------------------------------------------------------------------------------------

TEXT = "the dog is in a park " * 3


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("quantised")
    quantised().save_pretrained(folder)
    tinymodels.save_tokenizer(folder)
    return tinymodels.open_engine(folder)


def test_answers_about_the_first_blocks_come_while_the_others_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.loaded is not None
    reader = engine.loaded.reader
    assert isinstance(reader, DecoderReader)
    assert reader._lean is not None
    first, picture, behind = AttentionQuery(0, 0), EmbeddingQuery(2), AttentionQuery(2, 0)
    queries: tuple[Query, ...] = (NextQuery(), picture, MosaicQuery(), first, behind)
    early: list[Snapshot] = []

    def asked(text: str) -> Snapshot:
        early.clear()
        return engine.answer(Request(1, engine.epoch, text, queries), never, early.append)

    asked(TEXT)
    assert [set(one.results) for one in early] == [set()], "a whole text is drawn at once"
    early.clear()
    logits = reader.logits
    monkeypatch.setattr(reader, "logits", lambda final: pytest.fail("scored twice"))
    let = halted(reader._lean, monkeypatch)
    went: list[bool] = []
    take = early.append

    class Taking(list[Snapshot]):
        def append(self, snapshot: Snapshot) -> None:
            take(snapshot)
            if len(early) == 3:
                went.append(let())

    request = Request(2, engine.epoch, TEXT + " d", queries)
    whole = engine.answer(request, never, Taking().append)
    assert went == [True], "the last block was through before"
    assert [set(one.results) for one in early] == [
        set(),
        {first},
        {first, picture},
        {first, picture, behind},
    ]
    assert all(one.more and one.tokens == whole.tokens for one in early)
    assert set(whole.results) == set(queries)
    monkeypatch.undo()
    fresh = Request(3, engine.epoch, TEXT + " d", queries)
    engine._trace = None
    anew = engine.answer(fresh)
    assert reader.logits == logits
    ours, theirs = whole.results[NextQuery()], anew.results[NextQuery()]
    assert ours.ids == theirs.ids
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=CLOSE)
    np.testing.assert_allclose(ours.surprise, theirs.surprise, atol=1e-3)
    for query in (first, behind):
        np.testing.assert_allclose(
            whole.results[query].weights, anew.results[query].weights, atol=CLOSE
        )
    np.testing.assert_allclose(
        whole.results[picture].values, anew.results[picture].values, atol=1e-4
    )
    np.testing.assert_allclose(
        whole.results[MosaicQuery()].maps, anew.results[MosaicQuery()].maps, atol=CLOSE
    )
