"""Where tokens stand in a text that is edited, and how tokens are written."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.types import Token
from gui.widgets.spans import (
    SpanIndex,
    Spans,
    Units,
    carry_index,
    carry_shades,
    common_ends,
    is_fragment,
    kept_tokens,
    same_start,
    shortened,
    visible,
    without_lone_surrogates,
)

TEXTS = st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from("a😀𠀀\n\u0301"))
COUNT = 6


def words(text: str) -> tuple[Token, ...]:
    """A token for each word with the space before it, and for each other character."""
    found = re.finditer(r" ?\w+|[^\w]", text)
    return tuple(
        Token(hash(m.group()) % 997, m.group(), m.group().encode(), m.start(), m.end())
        for m in found
    )


@given(TEXTS, st.data())
def test_units_are_those_of_utf16_and_come_back(text, data):
    units = Units(text)
    places = np.arange(len(text) + 1)
    expected = [len(text[:i].encode("utf-16-le")) // 2 for i in places]
    assert units.to_units(places).tolist() == expected
    assert units.to_characters(np.array(expected, np.int64)).tolist() == places.tolist()
    one = data.draw(st.integers(0, len(text)))
    assert units.unit(one) == expected[one]
    assert units.character(expected[one]) == one
    assert units.extra == sum(ord(c) > 0xFFFF for c in text)


def test_the_second_half_of_a_pair_belongs_to_its_character():
    assert [Units("a😀b").character(unit) for unit in range(5)] == [0, 1, 1, 2, 3]


@given(TEXTS, st.integers(0, 9), TEXTS)
def test_spans_that_are_known_are_not_asked_for_again(text, keep, other):
    old = words(text)
    new = (*old[:keep], *words(other))
    assert same_start(old, new) >= min(keep, len(old))
    known, plain = Spans.of(new, (old, Spans.of(old))), Spans.of(new)
    np.testing.assert_array_equal(known.starts, plain.starts)
    np.testing.assert_array_equal(known.ends, plain.ends)


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_spans_beside_an_edit_keep_their_text(before, gone, come, after):
    old, new = before + gone + after, before + come + after
    starts = np.arange(len(old))
    moved = Spans(starts, starts + 1).moved(old, new)
    prefix, suffix = common_ends(old, new)
    assert old[:prefix] == new[:prefix]
    assert prefix + suffix <= min(len(old), len(new))
    for index in range(len(old)):
        start, end = int(moved.starts[index]), int(moved.ends[index])
        assert 0 <= start <= end <= len(new)
        if index < prefix or index >= len(old) - suffix:
            assert new[start:end] == old[index]
        else:
            alone = len(old) - prefix - suffix == 1
            assert new[start:end] == (new[prefix : len(new) - suffix] if alone else "")


def test_a_token_typed_into_reaches_round_what_was_typed():
    moved = Spans(np.array([0, 3]), np.array([3, 7])).moved("The dog", "The doog")
    assert (moved.starts.tolist(), moved.ends.tolist()) == ([0, 3], [3, 8])


def test_what_is_typed_between_two_tokens_belongs_to_neither():
    moved = Spans(np.array([0, 3]), np.array([3, 7])).moved("The dog", "The! dog")
    assert (moved.starts.tolist(), moved.ends.tolist()) == ([0, 4], [3, 8])


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=12), st.integers(0, 30))
def test_the_index_finds_what_a_plain_search_finds(pairs, place):
    starts = np.array([start for start, _ in pairs], np.int64)
    ends = starts + np.array([length for _, length in pairs], np.int64)
    found = SpanIndex(Spans(starts, ends)).between(place, place + 2)
    plain = [i for i in range(len(pairs)) if starts[i] < place + 2 and ends[i] > place]
    assert sorted(share.token for share in found) == [i for i in plain if ends[i] > starts[i]]


def test_tokens_of_one_character_share_it():
    index = SpanIndex(Spans(np.array([0, 1, 1, 2]), np.array([1, 2, 2, 3])))
    assert [(s.token, s.column, s.columns) for s in index.between(0, 3)] == [
        (0, 0, 1),
        (1, 0, 2),
        (2, 1, 2),
        (3, 0, 1),
    ]


IDS = st.lists(st.integers(0, 4), max_size=14)


@given(IDS, IDS)
def test_shades_stay_and_neighbours_differ(old_ids, new_ids):
    old, new = (tuple(Token(i, "x", b"x", 0, 1) for i in ids) for ids in (old_ids, new_ids))
    shades = carry_shades((), (), old, COUNT)
    carried = carry_shades(old, shades, new, COUNT)
    assert len(carried) == len(new)
    assert all(a != b for a, b in pairwise(carried))
    prefix, suffix = kept_tokens(old, new)
    assert carried[:prefix] == shades[:prefix]
    # Only the first token behind the edit may have to give way to its new neighbour.
    kept = range(1, suffix)
    assert all(carried[-i] == shades[-i] for i in kept)


def test_an_index_follows_its_token():
    old, new = words("a b c d"), words("a x y c d")
    assert [carry_index(i, old, new) for i in range(4)] == [0, 1, 3, 4]
    assert carry_index(1, words("a b"), words("a")) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" dog", "·dog"),
        ("a\n\tb", "a↵⇥b"),
        ("⟨F0 9F⟩", "⟨F0 9F⟩"),
        (" ⟨E2⟩ x", "·⟨E2⟩·x"),
        ("\u0301", "◌\u0301"),
        ("\u200d", "⟨U+200D⟩"),
        ("\u00a0", "⍽"),
        ("क", "क"),
        ("", ""),
    ],
)
def test_the_invisible_is_shown(text, shown):
    assert visible(text) == shown


def test_fragments_and_long_texts():
    assert is_fragment(" ⟨F0 9F⟩")
    assert not is_fragment("⟨x⟩")
    assert shortened("a" * 30, 9) == "aaaaaa…aa"


def test_lone_surrogates_are_replaced_and_pairs_joined():
    assert without_lone_surrogates("a\ud800b") == ("a\ufffdb", 1)
    assert without_lone_surrogates("\ud83d\ude00\ude00") == ("😀\ufffd", 1)
    assert without_lone_surrogates("😀") == ("😀", 0)
