"""What is kept of the layer whose states are pictured, and that its picture is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tinymodels
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arena import capacity
from engine.engine import Engine
from engine.frozen import FrozenRows
from engine.principal import plane_of, principal_plane
from engine.probes import embedding
from engine.probes.embedding import Pictured, typical
from engine.types import EmbeddingQuery, EmbeddingResult, NextQuery, Query, Request

WIDTH = 40

EXACT = 1e-9
"""Of the extent of a picture, and of the shares of variance; it is shown in single precision."""


@pytest.fixture(autouse=True, scope="module")
def small_models_have_wide_pictures_too() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "SMALL", 8)
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
    xy, explained = plane_of(values, fitted)
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


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_row_that_overflowed_is_left_out_of_the_picture(bad: float) -> None:
    states = EVEN[:60].clone()
    states[7, 3] = bad
    pictured = Pictured(("decoder", 1), WIDTH)
    values, _, fitted = pictured.bring(states)
    xy, explained = plane_of(values, fitted)
    assert np.flatnonzero(~fitted).tolist() == [7]
    assert np.flatnonzero(~np.isfinite(xy).all(axis=1)).tolist() == [7]
    assert 0 < explained[1] <= explained[0] < 1
    nothing, none = plane_of(np.full((9, WIDTH), np.nan, np.float32), np.ones(9, np.bool_))
    assert np.isnan(nothing).all()
    assert not none.any()


def test_a_row_that_nearly_overflowed_leaves_the_others_their_picture() -> None:
    states = EVEN[:60].clone()
    states[7] = 3e38 * torch.sign(states[7])
    pictured = Pictured(("decoder", 1), WIDTH)
    values, _, fitted = pictured.bring(states)
    assert np.flatnonzero(~fitted).tolist() == [7]
    xy, explained = plane_of(values, fitted)
    anew, share = principal_plane(states[torch.from_numpy(fitted.copy())])
    np.testing.assert_allclose(xy[fitted], anew.numpy(), atol=1e-9)
    np.testing.assert_allclose(explained, share.numpy(), atol=1e-9)
    assert np.isinf(embedding._floats(np.array([1e39]))).all()
    # Squares that single precision does not hold: lengths are then not known, and no plane is.
    assert np.isnan(plane_of(np.ascontiguousarray(1e20 * values[8:]), fitted[8:])[0]).all()


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


def test_a_hidden_view_costs_nothing(engine: Engine) -> None:
    query = EmbeddingQuery(2)
    before = ask(engine, LONG, query)[query]
    assert isinstance(before, EmbeddingResult)
    shown, held = before.values.copy(), kept(engine).nbytes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "plane_of", None)
        for end in range(20):
            ask(engine, LONG[:-20] + " dog" * end, NextQuery())
    assert kept(engine).shown is None
    assert kept(engine).nbytes < held
    assert np.array_equal(before.values, shown), "what was shown never changes"


def test_a_picture_is_worked_out_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    query = EmbeddingQuery(1)
    first = ask(engine, LONG, query)[query]
    with monkeypatch.context() as patch:
        patch.setattr(embedding, "plane_of", None)
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
    # Values and lengths with room to grow, and where they are seen.
    assert kept(engine).nbytes == 4 * capacity(count) * (width + 1) + 8 * count


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
