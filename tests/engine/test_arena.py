"""Rows that grow at the end: always what ``cat`` gives, with bounded room, and given back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.arena import SPARE, SPARE_SHARE, Arena, capacity

EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 300)),
        st.tuples(st.just("keep"), st.integers(0, 900)),
        st.tuples(st.just("trim"), st.just(0)),
    ),
    max_size=12,
)


@given(EDITS)
def test_any_edits_leave_what_cat_would_leave(edits: list[tuple[str, int]]) -> None:
    arena, whole, number = Arena(), torch.zeros(2, 0, 3), 0
    arena.append(whole)
    for edit, count in edits:
        if edit == "append":
            rows = torch.arange(number, number + 6 * count).float().view(2, count, 3)
            number += 6 * count
            whole = torch.cat([whole, rows], dim=1)
            assert torch.equal(arena.append(rows), whole)
        elif edit == "keep":
            arena.keep(count)
            whole = whole[:, :count]
        else:
            arena.trim()
            assert arena.nbytes <= 2 * 3 * 4 * capacity(len(arena))
        assert len(arena) == whole.shape[1]
        assert torch.equal(arena.rows(), whole)


def test_the_room_is_a_sixteenth_however_the_rows_came() -> None:
    typed, pasted = Arena(), Arena()
    for _ in range(3000):
        typed.append(torch.zeros(1, 4))
    pasted.append(torch.zeros(3000, 4))
    for arena in (typed, pasted):
        assert 3000 * 16 <= arena.nbytes <= 3000 * (1 + 1 / SPARE_SHARE) * 16
    assert capacity(1) == 1 + SPARE


def test_typing_copies_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    arena, copied = Arena(), []
    moved = Arena._moved

    def counting(self: Arena, like: torch.Tensor, room: int) -> torch.Tensor:
        copied.append(len(self))
        return moved(self, like, room)

    monkeypatch.setattr(Arena, "_moved", counting)
    for _ in range(4000):
        arena.append(torch.zeros(1, 4))
    assert len(copied) < 40
    assert sum(copied) < 20 * 4000


def test_a_short_text_in_place_of_a_long_one_gives_the_room_back() -> None:
    arena = Arena()
    arena.append(torch.zeros(5000, 4))
    arena.keep(10)
    arena.append(torch.ones(1, 4))
    assert arena.nbytes == capacity(11) * 16
    assert torch.equal(arena.rows()[10:], torch.ones(1, 4))


def test_where_there_is_no_memory_nothing_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    arena = Arena()
    arena.append(torch.ones(10, 4))

    def full(*_: object) -> torch.Tensor:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Arena, "_moved", full)
        with pytest.raises(MemoryError):
            arena.append(torch.zeros(500, 4))
    assert torch.equal(arena.rows(), torch.ones(10, 4))
    assert len(arena.append(torch.zeros(500, 4))) == 510
