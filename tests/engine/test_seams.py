"""A text read in parts, from the seam before an edit on, is read as a whole text is."""

from __future__ import annotations

import json
from typing import Any

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors, trainers

from engine.engine import Engine
from engine.models.catalogue import default
from engine.models.seams import common_start, cuts_at_blanks, last_seam
from engine.models.store import fetch, open_spec
from engine.models.text import TokenReader

SAID = "the dog is in a park, isn't it? the 12 dogs we're fed at 7 by one, two people who'll go."


def made(*added: str, trimmed: bool | None = None, **changes: Any) -> Any:
    """A small byte-level tokenizer of the kind that is cut at blanks."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(**{"add_prefix_space": False, **changes}),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([SAID, "    four  blanks\n\n and a\ttab "], trainer)
    tokenizer.add_tokens([AddedToken(one, normalized=False) for one in added])
    if trimmed is not None:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=trimmed)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def described(tokenizer: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return found


TOKENIZERS = {
    "plain": made(),
    "added": made("<|end|>", "dog>", "  ", "x"),
    "untrimmed": made(trimmed=False),
}

PIECE = st.one_of(
    st.sampled_from(
        [*SAID.split(" "), " ", "  ", "     ", "\n", " the", "'", "'ll", "l", "7", "é", "狗", "🐕"]
        + ["<|end", "|>", "<|end|>", "dog>", " a b c d e ", "́"]
    ),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=3),
)


@given(
    which=st.sampled_from(sorted(TOKENIZERS)),
    start=st.lists(PIECE, max_size=30),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 6), st.lists(PIECE, max_size=4)), max_size=6
    ),
)
def test_a_text_after_edits_is_read_as_one_that_is_new(
    which: str, start: list[str], edits: list[tuple[float, int, list[str]]]
) -> None:
    reader, fresh = (TokenReader(TOKENIZERS[which]) for _ in range(2))
    text = " ".join(start)
    assert reader.read(text) == fresh.read(text)
    for where, taken, put in edits:
        at = round(where * len(text))
        text = text[:at] + "".join(put) + text[at + taken :]
        fresh._readings.clear()
        assert reader.read(text) == fresh.read(text)


SAMPLE = st.text(st.sampled_from("ab 1.'\n"), max_size=40)


@given(SAMPLE, SAMPLE)
def test_words_are_cut_at_a_seam_whatever_follows(before: str, after: str) -> None:
    tokenizer = TOKENIZERS["plain"].backend_tokenizer
    seam = last_seam(before, len(before))
    whole = before + after
    if not seam:
        return
    cut = [piece for _, piece in tokenizer.pre_tokenizer.pre_tokenize_str(whole)]
    assert any(start == seam for start, _ in cut)
    assert whole[seam] == " "


def test_a_keystroke_at_the_end_reads_a_word_or_two(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = TOKENIZERS["plain"]
    reader = TokenReader(tokenizer)
    text = " ".join([SAID] * 40)
    reader.read(text)
    given_texts: list[str] = []
    call = type(tokenizer).__call__

    def noted(self: Any, text: str, **options: Any) -> Any:
        given_texts.append(text)
        return call(self, text, **options)

    monkeypatch.setattr(type(tokenizer), "__call__", noted)
    for typed in " the dogs ":
        text += typed
        reader.read(text)
    assert len(given_texts) == len(" the dogs ")
    assert max(map(len, given_texts)) < 20
    reader.read("a" + text)
    assert given_texts[-1] == "a" + text


@pytest.mark.parametrize(
    "tokenizer",
    [
        made(add_prefix_space=True),
        made(use_regex=False),
        made("new york"),
        made(trimmed=True),
        transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordPiece())),
    ],
    ids=["prefix space", "no rule", "spans a seam", "trimmed", "word pieces"],
)
def test_other_tokenizers_read_the_whole(tokenizer: Any) -> None:
    assert not cuts_at_blanks(described(tokenizer), 0)


def test_one_that_adds_tokens_reads_the_whole() -> None:
    assert cuts_at_blanks(described(TOKENIZERS["plain"]), 0)
    assert not cuts_at_blanks(described(TOKENIZERS["plain"]), 2)


@given(SAMPLE, SAMPLE, SAMPLE)
def test_common_start(start: str, one: str, other: str) -> None:
    count = common_start(start + one, start + other)
    assert (start + one)[:count] == (start + other)[:count]
    assert (start + one)[count : count + 1] != (start + other)[count : count + 1] or one == other


@pytest.mark.model
def test_the_default_models_tokenizer_is_cut_at_blanks() -> None:
    entry, engine = default(), Engine()
    engine.load(open_spec(entry, fetch(entry)), "cpu")
    assert engine.loaded is not None
    tokenizer = engine.loaded.reader_of_text.tokenizer
    assert cuts_at_blanks(described(tokenizer), tokenizer.num_special_tokens_to_add())
