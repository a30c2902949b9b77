"""Tokens, their bytes and their place in the text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tinymodels
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from engine.errors import UserError
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


CHATML = (
    "{% if messages[0]['role'] != 'system' %}<s>system\nBe brief.</s>\n{% endif %}"
    "{% for message in messages %}<s>{{ message['role'] }}\n{{ message['content'] }}</s>\n"
    "{% endfor %}{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


def pieces(reader: TokenReader, text: str) -> list[str]:
    return [text[token.start : token.end] for token in reader.read(text)]


def with_template(template: str | None, folder: Path) -> TokenReader:
    tinymodels.save_tokenizer(folder)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    return TokenReader(tokenizer)


def bert() -> TokenReader:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "dog", "run", "##ning", "cafe", "."]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    return TokenReader(transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names))


def sentencepiece(closing: bool) -> TokenReader:
    """Unigram with ▁ for spaces, as Llama's (<s> in front) or T5's (</s> behind)."""
    words = ["<unk>", "<s>", "</s>", "▁the", "▁dog", "▁", "d", "o", "g", "s", "t", "h", "e", "é"]
    scores = [(word, -float(number)) for number, word in enumerate(words)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "$A </s>" if closing else "<s> $A", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return TokenReader(transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names))


@given(start=st.integers(0, 60), stop=st.integers(0, 60), new=st.text("dog the", max_size=4))
def test_merges_across_an_edit_are_those_of_the_whole_text(
    reader: TokenReader, start: int, stop: int, new: str
) -> None:
    text = tinymodels.TEXT[:60]
    edited = text[: min(start, stop)] + new + text[max(start, stop) :]
    assert [t.id for t in reader.read(edited)] == reader.tokenizer(edited)["input_ids"]


def test_a_character_more_may_change_the_token_before_it(reader: TokenReader) -> None:
    before, after = reader.read("the do"), reader.read("the dog")
    assert before[-1].id != after[-1].id
    assert pieces(reader, "the dog")[-1] == " dog"


def test_a_text_that_begins_with_a_space(reader: TokenReader) -> None:
    first = reader.read(" dog")[0]
    assert (first.text, first.data, first.start, first.end) == (" dog", b" dog", 0, 4)
    assert reader.read("dog")[0].id != first.id


def test_berts_frame_stands_for_no_text() -> None:
    text = "The Café dog, running."
    tokens = bert().read(text)
    assert [token.text for token in tokens if token.special] == ["[CLS]", "[UNK]", "[SEP]"]
    assert (tokens[0].start, tokens[0].end) == (0, 0)
    assert tokens[-1].start == tokens[-1].end
    shown = [text[token.start : token.end] for token in tokens[1:-1]]
    assert shown == ["The", "Café", "dog", ",", "run", "ning", "."]
    assert tokens[2].data == "Café".encode()


def test_llamas_opening_token_and_space_before_the_first_word() -> None:
    tokens = sentencepiece(closing=False).read("dog the")
    assert [(t.text, t.start, t.end, t.special) for t in tokens] == [
        ("<s>", 0, 0, True),
        (" dog", 0, 3, False),
        (" the", 3, 7, False),
    ]


def test_t5s_closing_token() -> None:
    tokens = sentencepiece(closing=True).read("dog é")
    assert (tokens[-1].text, tokens[-1].special) == ("</s>", True)
    assert tokens[-1].start == tokens[-1].end
    assert not any(token.special for token in tokens[:-1])


@pytest.mark.parametrize("text", ["The dog", " dog\n", "猫", "a</s>b", "the-text-of-the-user"])
def test_a_conversation_points_into_the_users_text(text: str, tmp_path: Path) -> None:
    reader = with_template(CHATML, tmp_path)
    tokens = reader.read_chat(text)
    rendered = f"<s>system\nBe brief.</s>\n<s>user\n{text}</s>\n<s>assistant\n"
    assert [t.id for t in tokens] == reader.tokenizer(rendered, add_special_tokens=False).input_ids
    own = [token for token in tokens if token.start < token.end]
    frame = [token for token in tokens if token.start == token.end]
    assert all(token.special for token in frame)
    assert [t.special for t in own] == [t.text in ("<s>", "</s>") for t in own]
    spans = sorted({(token.start, token.end) for token in own})
    assert "".join(text[start:end] for start, end in spans) == text
    assert [t.start for t in tokens] == sorted(t.start for t in tokens)
    assert "system" in "".join(token.text for token in frame)


def test_a_template_that_strips_the_text(tmp_path: Path) -> None:
    reader = with_template(CHATML.replace("['content']", "['content'] | trim"), tmp_path)
    text = "  The dog \n"
    own = [t for t in reader.read_chat(text) if t.start < t.end]
    assert text[own[0].start : own[-1].end] == "The dog"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (None, "no template"),
        ("{{ raise_exception('nobody may ask') }}", "nobody may ask"),
        ("{{ messages[0]['content'] | upper }}", "changes what was typed"),
        ("{% if %}", "refuses it"),
    ],
)
def test_a_template_that_will_not_do(template: str | None, why: str, tmp_path: Path) -> None:
    reader = with_template(template, tmp_path)
    assert reader.has_chat == (template is not None)
    with pytest.raises(UserError, match=why):
        reader.read_chat("dog")
