"""Rows of the laboratory's tasks: what stands in them, and which tokens are worth predicting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labruns import POEM, SHORT

from engine.errors import UserError
from engine.lab.tasks import addition, recall, repeat, text
from engine.lab.tasks.spec import Rows, Task, task_specs

SPECS = task_specs()


def written(task: Task, rows: Rows) -> list[str]:
    return [task.tokenizer.decode(row.tolist()) for row in rows.ids]


def made(key: str, folder: Path, **options: object) -> Task:
    spec = SPECS[key]
    corpus = []
    if spec.reads:
        corpus = [folder / "poem.txt"]
        corpus[0].write_text(POEM * 12, encoding="utf-8")
    return spec.make(spec.options(**{**SHORT[key], **options}), corpus)


@pytest.mark.parametrize("key", sorted(SPECS))
def test_rows_are_of_one_kind_and_depend_on_the_generator_alone(key: str, tmp_path: Path) -> None:
    task = made(key, tmp_path)
    one, other = (task.rows(np.random.default_rng(4), 5) for _ in range(2))
    assert np.array_equal(one.ids, other.ids)
    assert one.ids.shape == (5, task.length)
    assert one.learnt.shape == one.judged.shape == (5, task.length - 1)
    assert one.ids.min() > 0
    assert one.ids.max() < task.vocabulary
    assert one.learnt[one.judged].all()
    assert not np.array_equal(one.ids, task.rows(np.random.default_rng(5), 5).ids)
    held_out = task.held_out(6)
    assert np.array_equal(held_out.ids, task.held_out(6).ids)
    assert 0 <= task.early < task.late <= held_out.ids.shape[1] - 2
    # What is typed is read as the same tokens, character by character.
    for row, told in zip(one.ids, written(task, one), strict=True):
        assert task.tokenizer.encode(told).ids == row.tolist()


def test_repeat_repeats_spans_of_different_lengths(tmp_path: Path) -> None:
    task = made("repeat", tmp_path)
    assert isinstance(task, repeat.Repeat)
    rows = task.rows(np.random.default_rng(0), 40)
    periods = {repeat.period(row) for row in rows.ids}
    assert periods >= {3, 4, 5, 6}
    assert task.spans() == (3, 4, 6)
    mask = repeat.repeated(np.array([[1, 2, 3, 1, 2, 3, 1, 2]]))
    # Targets 0 to 6 are tokens 1 to 7; the repetition begins with token 3, which is not counted.
    assert mask.tolist() == [[False, False, False, True, True, True, True]]


def test_recall_asks_for_every_key_that_was_listed(tmp_path: Path) -> None:
    task = made("recall", tmp_path)
    rows = task.rows(np.random.default_rng(0), 20)
    for row, judged in zip(written(task, rows), rows.judged, strict=True):
        listed = {row[i]: row[i + 1] for i in range(0, 6, 2)}
        asked = {row[i]: row[i + 1] for i in range(6, 12, 2)}
        assert len(listed) == 3
        assert listed == asked
        assert all(key in recall.KEYS and value in recall.VALUES for key, value in listed.items())
        assert [row[t + 1] for t in np.flatnonzero(judged)] == list(asked.values())


@pytest.mark.parametrize("digits", [1, 2, 5])
def test_sums_are_right_and_those_held_out_are_never_trained_on(
    digits: int, tmp_path: Path
) -> None:
    task = made("addition", tmp_path, digits=digits)
    learnt, held_out = task.rows(np.random.default_rng(1), 400), task.held_out(100)
    seen: list[set[str]] = []
    for rows in (learnt, held_out):
        told = written(task, rows)
        for one in told:
            question, answer = one.split("=")
            a, b = question.split("+")
            assert len(a) == len(b) == digits
            assert int(a) + int(b) == int(answer[::-1])
        assert [
            "".join(np.array(list(one))[1:][m]) for one, m in zip(told, rows.judged, strict=True)
        ] == [one.split("=")[1] for one in told]
        seen.append({one.split("=")[0] for one in told})
    assert not seen[0] & seen[1]
    pairs = np.random.default_rng(0).integers(0, 10**digits, (4000, 2))
    assert 0.05 < addition.is_held_out(pairs).mean() < 0.16


def test_each_held_out_token_of_a_text_is_judged_once(tmp_path: Path) -> None:
    task = made("text", tmp_path)
    assert isinstance(task, text.Text)
    rows = task.held_out(10**6)
    judged = rows.ids[:, 1:][rows.judged]
    whole = (POEM * 12)[round(len(POEM) * 12 * 0.9) :]
    assert task.tokenizer.decode(judged.tolist()) == whole[1:]
    assert len(task.held_out(2)) == 2
    assert task.unknown == 0


def test_what_is_held_out_may_be_shorter_than_a_row(tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("abcd" * 10, encoding="utf-8")
    task = text.make(text.Options(length=30), [path])
    assert task.rows(np.random.default_rng(0), 2).ids.shape == (2, 30)
    assert task.held_out(9).ids.shape == (1, 4)
    assert (task.early, task.late) == (0, 2)


def test_a_vocabulary_of_pieces_and_one_of_characters(tmp_path: Path) -> None:
    assert made("text", tmp_path).vocabulary == len(set(POEM)) + 1
    pieces = made("text", tmp_path, tokens="bpe", vocabulary=300)
    # The text has no more pairs worth joining.
    assert 257 < pieces.vocabulary <= 300
    assert pieces.tokenizer.decode(pieces.tokenizer.encode("naïve 👩 blue").ids) == "naïve 👩 blue"


def test_unseen_characters_are_unknown_and_counted(tmp_path: Path) -> None:
    task = made("text", tmp_path)
    task.tokenizer.save(str(tmp_path / "tokenizer.json"))
    other = tmp_path / "other.txt"
    other.write_text("the ROSE is red and red", encoding="utf-8")
    again = text.again(text.Options(length=16), [other], tmp_path)
    assert again.unknown == 4


def test_the_last_part_of_each_text_is_held_out(tmp_path: Path) -> None:
    for name, letter in (("one", "a"), ("two", "b")):
        (tmp_path / f"{name}.txt").write_text(letter * 90 + "z" * 10, encoding="utf-8")
    task = text.make(text.Options(length=8), [tmp_path])
    assert task.tokenizer.token_to_id("z") is None
    assert task.unknown == 19  # the first of all is no target


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x", "1 character"),
        (b"", "empty"),
        (b"\xff\xfe" * 100, "not UTF-8"),
        (b"abcdefgh", "a row takes 16"),
    ],
)
def test_texts_that_will_not_do(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said):
        text.make(text.Options(length=16), [path])


def test_a_text_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        text.make(text.Options(), [tmp_path / "nothing.txt"])
    with pytest.raises(UserError, match=r"no \.txt or \.md"):
        text.make(text.Options(), [tmp_path])
    with pytest.raises(UserError, match="none were named"):
        text.make(text.Options(), [])


@pytest.mark.parametrize(
    ("key", "options", "said"),
    [
        ("repeat", {"shortest": 7}, "do not lie twice"),
        ("repeat", {"vocabulary": 1}, "vocabulary of 1"),
        ("repeat", {"vocabulary": 10_000}, "Choose from 2 to"),
        ("recall", {"pairs": 27}, "27 pairs"),
        ("addition", {"digits": 0}, "0 digits"),
        ("text", {"tokens": "bpe", "vocabulary": 10}, "does not hold all bytes"),
        ("text", {"length": 1}, "predicts nothing"),
    ],
)
def test_options_that_cannot_be(
    key: str, options: dict[str, int], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        made(key, tmp_path, **options)
    if not SPECS[key].reads:
        with pytest.raises(UserError, match="made, not read"):
            SPECS[key].make(SPECS[key].options(), [tmp_path])
