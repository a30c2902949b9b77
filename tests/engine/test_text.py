"""Tokens, their bytes and their place in the text."""

from __future__ import annotations

import pytest
import tinymodels
import transformers
from hypothesis import given
from hypothesis import strategies as st

from engine.models.text import TokenReader, byte_letters, show_bytes, without_surrogates


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> TokenReader:
    folder = tmp_path_factory.mktemp("tokenizer")
    tinymodels.save_tokenizer(folder)
    return TokenReader(transformers.AutoTokenizer.from_pretrained(folder))


def test_byte_letters_are_gpt2s() -> None:
    letters = byte_letters()
    assert len(letters) == 256
    assert set(letters.values()) == set(range(256))
    assert letters["Ġ"] == 0x20
    assert letters["Ċ"] == 0x0A
    assert letters["a"] == ord("a")


@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_the_bytes_of_the_tokens_are_the_bytes_of_the_text(reader: TokenReader, text: str) -> None:
    tokens = reader.read(text)
    plain = [token for token in tokens if not token.special]
    if len(plain) == len(tokens):
        assert b"".join(token.data for token in tokens) == text.encode()
    for token in tokens:
        assert 0 <= token.start <= token.end <= len(text)
    starts = [token.start for token in tokens]
    assert starts == sorted(starts)


def test_fragments_are_shown_as_bytes(reader: TokenReader) -> None:
    tokens = reader.read("🐕")
    assert len(tokens) == 4
    assert [token.text for token in tokens] == ["⟨F0⟩", "⟨9F⟩", "⟨90⟩", "⟨95⟩"]
    assert {(token.start, token.end) for token in tokens} == {(0, 1)}


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"dog", "dog"),
        ("猫".encode(), "猫"),
        (b"\xe7\x8c", "⟨E7 8C⟩"),
        (b"\x8c", "⟨8C⟩"),
        (b"a\xe7\x8cb", "a⟨E7 8C⟩b"),
        (b"\xf0\x9f", "⟨F0 9F⟩"),
        (b"", ""),
    ],
)
def test_show_bytes(data: bytes, shown: str) -> None:
    assert show_bytes(data) == shown


@given(st.binary(max_size=12))
def test_no_bytes_are_shown_as_replacement_characters(data: bytes) -> None:
    shown = show_bytes(data)
    assert "�" not in shown or "�".encode() in data


def test_lone_surrogates_are_replaced_and_pairs_joined() -> None:
    assert without_surrogates("a\ud800b") == "a�b"
    assert without_surrogates("\ud83d\udc15") == "🐕"
    assert without_surrogates("plain é") == "plain é"


def test_special_tokens_are_marked(reader: TokenReader) -> None:
    tokens = reader.read("<s>a")
    assert tokens[0].special
    assert tokens[0].text == "<s>"
    assert not tokens[1].special
