from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from engine.paths import RESOURCES

FOLDER = RESOURCES / "corpus"
FILES = sorted(FOLDER.glob("*.jsonl"))
SENTIMENTS = {"positive", "negative", "neutral"}
LANGUAGES = ("en", "fr", "es", "de", "zh")
# What a sentence of a language must have in it: Chinese characters, or none.
HAN = re.compile(r"[\u4e00-\u9fff]")

Row = dict[str, str]


def rows(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def everything() -> list[Row]:
    return [row for file in FILES for row in rows(file)]


def test_there_are_enough_subjects() -> None:
    assert len(FILES) >= 8


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_subject_is_complete_and_balanced(file: Path) -> None:
    given = rows(file)
    assert len(given) >= 60
    assert {frozenset(row) for row in given} == {
        frozenset({"text", "subject", "sentiment", "language"})
    }
    assert {row["subject"] for row in given} == {file.stem}
    sentiments = Counter(row["sentiment"] for row in given)
    assert set(sentiments) == SENTIMENTS
    assert max(sentiments.values()) - min(sentiments.values()) <= 2
    languages = Counter(row["language"] for row in given)
    assert set(languages) == set(LANGUAGES)
    assert 0.55 <= languages["en"] / len(given) <= 0.65
    assert min(languages.values()) >= 6


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentiment_does_not_follow_from_the_language(language: str) -> None:
    counts = Counter(row["sentiment"] for row in everything() if row["language"] == language)
    assert set(counts) == SENTIMENTS
    assert max(counts.values()) - min(counts.values()) <= 2


def test_no_sentence_stands_twice() -> None:
    # Case and punctuation do not make a sentence another one.
    texts = Counter(re.sub(r"\W+", " ", row["text"]).strip().casefold() for row in everything())
    assert [text for text, count in texts.items() if count > 1] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_sentences_are_clean_text(file: Path) -> None:
    for row in rows(file):
        text = row["text"]
        assert text == unicodedata.normalize("NFC", text)
        assert text == " ".join(text.split())
        assert all(char.isprintable() for char in text)
        chinese = row["language"] == "zh"
        assert bool(HAN.search(text)) is chinese, text
        if chinese:
            assert 10 <= len(text) <= 60, text
            assert text[-1] in "。！？", text
        else:
            assert 6 <= len(text.split()) <= 28, text
            assert text[-1] in ".!?", text
            assert text[0].isupper() or text[0] in "¡¿", text
        if row["language"] == "en":
            assert text.isascii(), text


def test_the_readme_states_the_counts() -> None:
    table = {}
    for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 9 and cells[1].isdigit():
            table[cells[0]] = [int(cell) for cell in cells[1:]]
    order = [*LANGUAGES, "positive", "negative", "neutral"]
    for name in [*(file.stem for file in FILES), "all"]:
        given = [row for row in everything() if name in (row["subject"], "all")]
        counts = Counter([row["language"] for row in given] + [row["sentiment"] for row in given])
        assert table.pop(name) == [counts[column] for column in order]
    assert not table
