"""The picture's products, folded in a row at a time: what they fold, and that they are right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tinymodels
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import principal
from engine.arena import capacity
from engine.engine import Engine
from engine.frozen import FrozenRows
from engine.principal import principal_plane
from engine.probes import embedding
from engine.probes.embedding import Pictured, typical
from engine.scatter import Scatter, plane_of
from engine.types import EmbeddingQuery, EmbeddingResult, NextQuery, Query, Request

WIDTH = 40

EXACT = 5e-6
"""Products are of single precision, and what is shown of them is as well."""


@pytest.fixture(autouse=True, scope="module")
def small_models_fold_too() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "SMALL", 8)
        patch.setattr(principal, "SMALL", 8)
        yield


GENERATOR = torch.Generator().manual_seed(5)
# A slope of lengths, so that no two components tie, and lengths near the bound of what is typical.
STATES = torch.randn(110, WIDTH, generator=GENERATOR) * torch.linspace(3, 0.2, WIDTH) + 2
STATES *= torch.linspace(0.3, 2.6, 110)[torch.randperm(110, generator=GENERATOR), None]


def check(pictured: Pictured, states: torch.Tensor) -> None:
    values, norms, fitted = pictured.bring(states)
    assert np.array_equal(values, states.numpy())
    np.testing.assert_allclose(norms, states.norm(dim=-1).numpy(), rtol=1e-6)
    assert np.array_equal(fitted, typical(torch.from_numpy(norms.copy())).numpy())
    xy, explained = pictured.scatter.plane(values)
    anew, share = principal_plane(states, torch.from_numpy(fitted.copy()))
    extent = float(np.ptp(anew.numpy(), axis=0).max()) or 1.0
    np.testing.assert_allclose(xy, anew.numpy(), atol=EXACT * extent)
    np.testing.assert_allclose(explained, share.numpy(), atol=EXACT)


@given(
    st.sampled_from([30, 75, 90]),
    st.lists(
        st.tuples(st.integers(0, 100), st.lists(st.integers(0, 109), max_size=30)),
        min_size=1,
        max_size=6,
    ),
)
@settings(deadline=None, max_examples=60)
def test_any_edits_give_the_picture_of_all_rows_anew(
    count: int, edits: list[tuple[int, list[int]]]
) -> None:
    pictured, rows = Pictured(("decoder", 1), WIDTH), list(range(count))
    check(pictured, STATES[rows])
    for cut, new in edits:
        kept = max(3, len(rows) - cut)
        pictured.keep(kept)
        rows = (rows[:kept] + new)[:120]
        check(pictured, STATES[rows])


EVEN = STATES / STATES.norm(dim=-1, keepdim=True)
"""All of a length: none leaves the picture."""


def test_of_few_rows_no_products_are_kept() -> None:
    pictured = Pictured(("decoder", 1), WIDTH)
    for count in (40, 60, 61, 2 * WIDTH):
        check(pictured, EVEN[:count])
    assert pictured.scatter.folded == 0
    assert pictured.scatter._square.size == 0


def test_an_appended_row_is_folded_in_alone() -> None:
    pictured = Pictured(("decoder", 1), WIDTH)
    check(pictured, EVEN[:90])
    assert pictured.scatter.folded == 0  # nobody may ever ask again
    check(pictured, EVEN[:91])
    assert pictured.scatter.folded == 91
    check(pictured, EVEN[:92])
    assert pictured.scatter.folded == 92
    pictured.keep(90)
    check(pictured, torch.cat([EVEN[:90], EVEN[-2:]]))
    assert pictured.scatter.folded == 92 + 2 + 2  # two taken out, two put in
    pictured.keep(70)
    check(pictured, EVEN[:70])
    assert pictured.scatter._square.size == 0


def test_a_row_whose_part_changes_is_all_that_is_folded() -> None:
    # The last row is just too long to be typical, until another long one lifts the median.
    lengths = torch.ones(101)
    lengths[:49], lengths[99], lengths[100] = 1.2, 2.3, 1.2
    states = EVEN[:101] * lengths[:, None]
    pictured = Pictured(("decoder", 1), WIDTH)
    check(pictured, states[:100])
    check(pictured, states[:100])
    fitted = pictured.bring(states[:100])[2]
    assert fitted.sum() == 99
    before = pictured.scatter.folded
    assert before == 100
    check(pictured, states)
    assert pictured.bring(states)[2].all()
    assert pictured.scatter.folded == before + 2


def test_an_overflow_is_gone_with_its_row() -> None:
    pictured = Pictured(("decoder", 1), WIDTH)
    check(pictured, STATES[:60])
    spoilt = STATES[:61].clone()
    spoilt[60] = torch.nan
    pictured.bring(spoilt)
    pictured.keep(60)
    check(pictured, STATES[:60])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_row_that_overflowed_is_left_out_of_the_picture(bad: float) -> None:
    states = EVEN[:60].clone()
    states[7, 3] = bad
    pictured = Pictured(("decoder", 1), WIDTH)
    values, _, fitted = pictured.bring(states)
    xy, explained = pictured.scatter.plane(values)
    assert np.flatnonzero(~fitted).tolist() == [7]
    assert np.flatnonzero(~np.isfinite(xy).all(axis=1)).tolist() == [7]
    assert 0 < explained[1] <= explained[0] < 1
    nothing, none = plane_of(np.full((9, WIDTH), np.nan, np.float32), np.ones(9, np.bool_))
    assert np.isnan(nothing).all()
    assert not none.any()


# --- kept with the trace --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("llama")
    return tinymodels.open_engine(tinymodels.save_model("llama", folder), "cpu")


LONG = tinymodels.TEXT * 3


def ask(engine: Engine, text: str, *queries: Query) -> dict[Query, object]:
    return dict(engine.answer(Request(1, engine.epoch, text, queries)).results)


def kept(engine: Engine) -> Pictured:
    assert engine._trace is not None
    memo = engine._trace.memos["embedding"]
    assert isinstance(memo, Pictured)
    return memo


def test_a_view_folds_in_what_is_typed_and_a_hidden_one_nothing(engine: Engine) -> None:
    text, query = LONG, EmbeddingQuery(2)
    ask(engine, text[:-9], query)
    before = ask(engine, text, query)[query]
    assert isinstance(before, EmbeddingResult)
    shown, folded = before.values.copy(), kept(engine).scatter.folded
    ask(engine, text + " d", query)
    # A token more, one that the text's end was cut into anew, and rows whose part changed.
    assert 0 < kept(engine).scatter.folded - folded <= 8 < len(shown)
    held, folded = kept(engine).nbytes, kept(engine).scatter.folded
    for end in range(20):
        ask(engine, text + " dog" * end, NextQuery())
    assert kept(engine).scatter.folded == folded
    assert kept(engine).shown is None
    assert kept(engine).nbytes < held
    assert np.array_equal(before.values, shown), "what was shown never changes"


def test_a_picture_is_worked_out_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    query = EmbeddingQuery(1)
    first = ask(engine, LONG, query)[query]
    with monkeypatch.context() as patch:
        patch.setattr(Scatter, "plane", None)
        assert ask(engine, LONG, query, NextQuery())[query] is first
    ask(engine, LONG + " d", NextQuery())
    assert ask(engine, LONG, query)[query] is first
    ask(engine, LONG[:-20], NextQuery())
    again = ask(engine, LONG, query)[query]
    assert isinstance(first, EmbeddingResult)
    assert isinstance(again, EmbeddingResult)
    assert again is not first
    np.testing.assert_allclose(again.values, first.values, atol=1e-4)


def test_one_layer_is_kept_and_its_bytes_are_told(engine: Engine) -> None:
    ask(engine, LONG, EmbeddingQuery(1), EmbeddingQuery(2))
    assert engine._trace is not None
    assert [name for name in engine._trace.memos if "embedding" in name] == ["embedding"]
    assert kept(engine).which == ("decoder", 2)
    count, width = len(engine._trace.ids), 32
    assert count > 2 * width
    rows = capacity(count)
    held = 4 * rows * (width + 1) + 8 * width * 2 + (1 + 8) * count
    assert kept(engine).nbytes == held
    ask(engine, LONG + " d", EmbeddingQuery(2))
    assert engine._trace is not None
    count = len(engine._trace.ids)
    assert capacity(count) > rows >= count  # there was room
    held = 4 * rows * (width + 1) + 8 * width * (width + 2) + (1 + 8) * count
    assert kept(engine).nbytes == held


# --- rows that are shown as they lie --------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), max_size=12))
def test_views_of_frozen_rows_keep_what_they_show(edits: list[tuple[int, int]]) -> None:
    frozen, whole, number = FrozenRows((2,)), np.zeros((0, 2), np.float32), 0
    views = []
    for cut, more in edits:
        kept = max(0, len(whole) - cut)
        frozen.keep(kept)
        new = np.arange(number, number + 2 * more, dtype=np.float32).reshape(more, 2)
        number += 2 * more
        frozen.append(new)
        whole = np.concatenate([whole[:kept], new])
        views.append((frozen.rows(), whole))
    for view, meant in views:
        assert np.array_equal(view, meant)
        assert not view.flags.writeable


def test_rows_put_behind_those_shown_are_not_copied() -> None:
    frozen = FrozenRows((3,))
    for _ in range(4000):
        frozen.append(np.zeros((1, 3), np.float32))
        frozen.rows()
    assert frozen.moved < 40
    assert frozen.nbytes <= capacity(4000) * 12
