"""A letter that takes back some of the last tokens makes the probes do its new rows only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tinyquantised import quantised

from engine.engine import Engine, never
from engine.estimate import TAKEN_BACK
from engine.models.fewrows import FEW
from engine.models.halfway import Halfway, Stage
from engine.probes import mosaic, prediction
from engine.probes.mosaic import Note, Thumbnails, block_size, shrink
from engine.probes.prediction import Surprises
from engine.probes.spec import Pass
from engine.trace import Trace
from engine.types import MosaicQuery, NextQuery

CLOSE = 5e-5
SIZE = 4  # so small that blocks have some rows, and become larger meanwhile
KINDS = (
    "coded",  # a pass leaves attention and scores of the rows it adds
    "llama",  # attention alone
    "gpt2",  # nothing, but its attention is plain
    "gemma2",  # nothing, and it is not
)


class Typing:
    """Tokens as they are typed, and what the probes keep of them."""

    def __init__(self, engine: Engine, ids: list[int]) -> None:
        assert engine.loaded is not None
        self.loaded, self.reader = engine.loaded, engine.loaded.reader
        self.ids: list[int] = []
        self.trace: Trace | None = None
        self.edit(0, ids)

    def edit(self, back: int, new: list[int], ask: bool = True, scores: bool = True) -> None:
        """Take back some tokens, run others and ask both probes."""
        self.ids = [*self.ids[: max(0, len(self.ids) - back)], *new] or [7]
        halfway = Halfway((Stage(1, lambda _trace: None),), scores=scores)
        with torch.inference_mode():
            self.trace, _ = self.reader.read_telling(self.trace, self.ids, [], never, halfway)
        if ask:
            self.ask()

    @torch.inference_mode()
    def ask(self) -> None:
        assert self.trace is not None
        passed = Pass(self.loaded, self.trace, (), ())
        self.told = mosaic.answer(passed, MosaicQuery(SIZE))
        self.next = prediction.answer(passed, NextQuery(5))()

    @property
    def thumbnails(self) -> Thumbnails:
        assert self.trace is not None
        memo = self.trace.memos[f"mosaic decoder {SIZE}"]
        assert isinstance(memo, Thumbnails)
        return memo

    @property
    def surprises(self) -> Surprises:
        assert self.trace is not None
        memo = self.trace.memos["surprise"]
        assert isinstance(memo, Surprises)
        return memo

    @property
    def counts(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Rows ever folded, positions ever judged."""
        return np.array([self.thumbnails.folded, self.surprises.judged])

    @torch.inference_mode()
    def check(self) -> None:
        """Compare with maps and scores that are worked out whole."""
        assert self.trace is not None
        count = len(self.ids)
        assert self.trace.ids == self.ids
        maps = torch.stack([layer.weights() for layer in self.trace.attention["decoder"]])
        block = block_size(count, count, SIZE)
        wanted = torch.stack([shrink(one, block) for one in maps])  # (L, H, s, s)
        np.testing.assert_allclose(self.told.maps, wanted.numpy(), atol=CLOSE)
        logits = self.reader.logits(self.trace.final.rows()).float()  # (T, V)
        bits = -logits.log_softmax(dim=-1) / np.log(2)
        gold = bits[:-1].gather(1, torch.tensor(self.ids[1:], dtype=torch.long)[:, None])[:, 0]
        assert len(self.next.surprise) == count
        np.testing.assert_allclose(self.next.surprise[1:], gold.numpy(), atol=1e-3)
        likeliest = torch.topk(logits[-1].softmax(dim=-1), 5).values
        np.testing.assert_allclose(self.next.probabilities, likeliest.numpy(), atol=CLOSE)
        last = self.surprises.last
        assert 1 <= len(last) <= TAKEN_BACK
        assert self.surprises.at == count - 1
        kept = torch.stack(last)
        torch.testing.assert_close(kept, logits[-len(last) :], atol=1e-3, rtol=CLOSE)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    found = {}
    for kind in KINDS:
        folder: Path = tmp_path_factory.mktemp(kind)
        if kind == "coded":
            quantised().save_pretrained(folder)
            tinymodels.save_tokenizer(folder)
        else:
            tinymodels.save_model(kind, folder)
        found[kind] = tinymodels.open_engine(folder, "cpu")
    return found


IDS = st.integers(3, 300)
EDITS = st.tuples(st.integers(0, 6), st.lists(IDS, max_size=6), st.booleans(), st.booleans())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(begun=st.lists(IDS, min_size=1, max_size=20), edits=st.lists(EDITS, max_size=12))
def test_after_any_edits_at_the_end_all_is_as_if_worked_out_anew(
    kind: str,
    engines: dict[str, Engine],
    begun: list[int],
    edits: list[tuple[int, list[int], bool, bool]],
) -> None:
    typing = Typing(engines[kind], begun)
    typing.check()
    for back, new, ask, scores in edits:
        typing.edit(back, new, ask, scores)
        if ask:
            typing.check()
    typing.ask()
    typing.check()


def typed(engine: Engine, count: int) -> Typing:
    """A text of `count` tokens, the last few of which came one by one."""
    ids = [3 + 7 * place % 290 for place in range(count)]
    typing = Typing(engine, ids[:-5])
    for one in ids[-5:]:
        typing.edit(0, [one])
    return typing


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("back", range(1, TAKEN_BACK))
@pytest.mark.parametrize("count", [47, 49])  # at 48 a block of sixteen rows begins
def test_of_tokens_that_are_taken_back_only_those_in_their_place_are_worked_out(
    kind: str, back: int, count: int, engines: dict[str, Engine]
) -> None:
    typing = typed(engines[kind], count)
    assert typing.thumbnails.block == 16
    for new in ([11], [12, 13][: max(1, back - 1)], [14] * back):
        before = typing.counts
        typing.edit(back, new)
        assert (typing.counts - before).tolist() == [len(new), len(new)]
        typing.check()
        for one in range(20, 20 + TAKEN_BACK):
            typing.edit(0, [one])


def test_what_a_pass_has_scored_does_not_go_through_the_output_embedding_again(
    engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    typing = typed(engines["coded"], 27)
    rows: list[int] = []
    logits = typing.reader.logits

    def counted(final: torch.Tensor) -> torch.Tensor:
        rows.append(len(final))
        return logits(final)

    monkeypatch.setattr(typing.reader, "logits", counted)
    typing.edit(2, [11])
    typing.edit(0, [12])
    typing.edit(3, [13, 14])
    assert rows == [], "two were merged, three cut anew"
    before = typing.surprises.judged
    typing.edit(TAKEN_BACK + 1, [15, 16])
    assert rows == [1], "only the position before those that are new"
    assert typing.surprises.judged - before == 3
    typing.check()


@pytest.mark.parametrize("kind", ["coded", "llama"])
def test_what_a_pass_has_attended_is_not_worked_out_again(
    kind: str, engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    typing = typed(engines[kind], 30)
    stops: set[int] = set()
    for name in ("_fold_few", "_fold_many"):
        run = getattr(mosaic, name)

        def noting(kept: Thumbnails, index: int, layer: Any, stop: int, run: Any = run) -> None:
            stops.add(stop)
            run(kept, index, layer, stop)

        monkeypatch.setattr(mosaic, name, noting)
    typing.edit(2, [11])
    assert not stops
    typing.thumbnails.notes = []
    before = typing.thumbnails.folded
    typing.edit(2, [13, 14])  # of 29 rows 27 stay, 24 of which are whole blocks
    assert max(stops) == 27
    assert typing.thumbnails.folded - before == 27 - 24 + 2
    typing.check()


@pytest.mark.parametrize("kind", KINDS[:3])
def test_of_the_last_rows_of_a_whole_text_there_are_notes(
    kind: str, engines: dict[str, Engine]
) -> None:
    typing = Typing(engines[kind], list(range(10, 39)))
    before = typing.thumbnails.folded
    typing.edit(3, [11])
    assert typing.thumbnails.folded == before + 1
    typing.check()


def test_a_row_of_blocks_less_after_two_rows_and_one_back(engines: dict[str, Engine]) -> None:
    typing = Typing(engines["gpt2"], list(range(10, 33)))
    typing.edit(0, [1, 2])
    assert typing.told.maps.shape[-2:] == (4, 4)
    typing.edit(2, [3])  # the maps are a part of what they were, and no larger for the new row
    assert typing.told.maps.shape[-2:] == (3, 3)
    typing.check()


def test_what_was_noted_of_smaller_blocks_is_not_taken(engines: dict[str, Engine]) -> None:
    typing = typed(engines["coded"], 32)
    typing.edit(0, [11])
    assert typing.thumbnails.block == 16
    typing.edit(3, [12, 13, 14])
    typing.check()


def test_so_many_are_kept_and_all_are_counted(engines: dict[str, Engine]) -> None:
    typing = typed(engines["coded"], 41)
    for one in range(10):
        typing.edit(0, [one + 5])
    thumbnails, surprises = typing.thumbnails, typing.surprises
    begun = [one.begun for one in thumbnails.notes]
    assert begun == [46, 47, 49, 50], "at 48 a block begins, which needs none"
    assert thumbnails.nbytes == thumbnails.maps.nbytes + sum(
        one.cells.nbytes for one in thumbnails.notes
    )
    assert len(surprises.last) == TAKEN_BACK
    vocabulary = typing.loaded.info.vocabulary
    assert surprises.nbytes == 4 * (len(typing.ids) - 1) + TAKEN_BACK * 4 * vocabulary
    held = thumbnails.maps.nbytes
    typing.edit(12, [], ask=False)
    assert [one.begun for one in typing.thumbnails.notes] == []
    assert typing.thumbnails.nbytes == held, "what lies behind the maps is held still"
    assert typing.surprises.last == []
    typing.ask()
    typing.check()


def test_the_newest_note_that_serves_is_taken() -> None:
    maps = torch.full((1, 1, 3, 3), 9.0)
    notes = [Note(begun, torch.full((1, 1, 3), float(begun))) for begun in (9, 10, 11)]
    kept = Thumbnails(4, maps, rows=12, notes=list(notes))
    kept.keep(10)
    assert (kept.rows, kept.notes) == (10, notes[:2])
    assert kept.maps[0, 0, 2].tolist() == [10, 10, 10]
    kept.note()
    assert kept.notes == notes[:2], "it is noted already"
    kept.keep(8)
    assert (kept.rows, kept.notes, kept.maps.shape) == (8, [], (1, 1, 2, 2))


def test_more_rows_at_once_than_a_pass_tells_of(engines: dict[str, Engine]) -> None:
    typing = typed(engines["coded"], 24)
    typing.edit(2, list(range(5, 6 + FEW)))
    assert typing.trace is not None
    assert typing.trace.fresh is None
    typing.check()
