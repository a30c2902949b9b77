"""Which arrays are known to begin alike."""

from __future__ import annotations

import gc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine import lineage
from engine.frozen import FrozenRows, FrozenSquare


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12), st.booleans())
def test_what_is_said_to_be_the_same_is(steps: list[tuple[int, int]], square: bool) -> None:
    held = FrozenSquare() if square else FrozenRows((3,))
    shown, number = [held.rows()], 0
    for taken, added in steps:
        held.keep(max(0, len(held) - taken))
        for _ in range(added):
            number += 1
            width = len(held) + 1 if square else 3
            held.append(np.full((1, width), number, np.float32))
        new = held.rows()
        for old in shown:
            same = lineage.shared_rows(old, new)
            if same is not None:
                columns = min(old.shape[1], new.shape[1])
                np.testing.assert_array_equal(old[:same, :columns], new[:same, :columns])
        shown.append(new)


def test_a_row_that_is_replaced_leaves_those_before_it_known() -> None:
    held = FrozenRows((2,))
    held.append(np.arange(20, dtype=np.float32).reshape(10, 2))
    old = held.rows()
    held.keep(9)
    held.append(np.zeros((1, 2), np.float32))
    assert lineage.shared_rows(old, held.rows()) == 9
    assert lineage.shared_rows(held.rows(), old) is None
    assert lineage.shared_rows(old[1:], held.rows()) is None, "it begins elsewhere"
    assert lineage.shared_rows(old.copy(), held.rows()) is None


def test_nothing_is_remembered_of_what_is_gone() -> None:
    gc.collect()
    before = len(lineage._origins)
    held = FrozenSquare()
    for _ in range(5):
        held.keep(0)
        held.append(np.ones((3, 3), np.float32))
    assert len(lineage._origins) == before + 1
    del held
    assert len(lineage._origins) == before
