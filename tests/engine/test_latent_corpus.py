"""Texts with labels, sentences, batched passes, sentence states, the cache, generated texts."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.engine import Engine
from engine.errors import UserError
from engine.latent import corpus, corpus_cache
from engine.latent.corpus import Passages, States, collect_steps, load_states
from engine.latent.corpus_cache import states_steps, trim
from engine.latent.corpus_generated import Sampling, draw, generate_steps
from engine.latent.corpus_passes import Passes
from engine.latent.corpus_sentences import LONGEST, marks, sentences, spans
from engine.latent.corpus_texts import Text, label_columns, read_corpus, unseen
from engine.types import Progress

LAYER = 2
TEXTS = (
    Text("a", "The dog is running in the park. The fox jumps over the lazy dog again. " * 12),
    Text("b", "She sells sea shells by the sea shore. The shells are in the sea, and by it. " * 12),
)
CUT = Passages(tokens=400, length=16, sentences=30)


def drain(steps: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return tinymodels.open_engine(tinymodels.save_model("llama", tmp_path_factory.mktemp("llama")))


# --- sentences ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Mr. Bennet was among the earliest. He had always intended to visit.",
            ["Mr. Bennet was among the earliest.", "He had always intended to visit."],
        ),
        (
            '"What is his name?" she asked him. "Bingley, of course."',
            ['"What is his name?" she asked him.', '"Bingley, of course."'],
        ),
        (
            "It was written by J. R. Smith in 1902. Nobody has read it since.",
            ["It was written by J. R. Smith in 1902.", "Nobody has read it since."],
        ),
        (
            "CHAPTER THE FIRST OF MANY\n\nIt begins\non two lines here.",
            ["CHAPTER THE FIRST OF MANY", "It begins on two lines here."],
        ),
        ("Yes. No. That was all he had to say.", ["Yes. No. That was all he had to say."]),
        (
            "这是第一个句子，它有足够的长度来说明问题。这是第二个句子，它也有足够的长度来说明问题。",
            [
                "这是第一个句子，它有足够的长度来说明问题。",
                "这是第二个句子，它也有足够的长度来说明问题。",
            ],
        ),
        ("* * * * * * * * * * * * * * *", []),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet='ab C.!?\n"Mr。', max_size=2000))
def test_no_letter_is_lost_or_counted_twice(text: str) -> None:
    places = spans(text)
    assert all(0 <= a < b <= len(text) and b - a <= LONGEST for a, b in places)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(places))
    kept = "".join(text[a:b] for a, b in places)
    assert [c for c in kept if c.isalnum()] == [c for c in text if c.isalnum()]


# --- texts ----------------------------------------------------------------------------------------


def test_labels_are_the_files_or_the_subfolders(tmp_path: Path) -> None:
    (tmp_path / "sea").mkdir()
    (tmp_path / "sea" / "one.txt").write_text("Waves.", encoding="utf-8")
    (tmp_path / "sea" / "two.md").write_text("Salt.", encoding="utf-8")
    (tmp_path / "land.txt").write_text("Hills.", encoding="utf-8")
    (tmp_path / ".hidden.txt").write_text("No.", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    found = {(text.label, text.text) for text in read_corpus(tmp_path)}
    assert found == {("sea", "Waves."), ("sea", "Salt."), ("land", "Hills.")}
    assert read_corpus((tmp_path / "land.txt",) * 2) == (Text("land", "Hills."),) * 2


def test_any_column_of_a_table_can_be_the_label(tmp_path: Path) -> None:
    rows = [
        {"text": "It rains, and\nit is cold.", "subject": "weather", "sentiment": "negative"},
        {"text": "The soup is good.", "subject": "food", "sentiment": "positive"},
    ]
    lines = tmp_path / "rows.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    table = tmp_path / "rows.csv"
    table.write_text(
        'text,subject,sentiment\n"It rains, and\nit is cold.",weather,negative\n'
        "The soup is good.,food,positive\n",
        encoding="utf-8",
    )
    for path in (lines, table):
        subjects = read_corpus(path)
        assert subjects[0] == Text("weather", "It rains, and it is cold.", row=True)
        assert [t.label for t in subjects] == ["weather", "food"]
        assert [t.label for t in read_corpus(path, "sentiment")] == ["negative", "positive"]
        assert label_columns(path) == ("subject", "sentiment")
        with pytest.raises(UserError, match="no column mood; there are text, subject, sentiment"):
            read_corpus(path, "mood")


def test_the_samples_that_come_along_can_be_named() -> None:
    texts = read_corpus(Path("samples"))
    assert len({text.label for text in texts}) >= 2
    assert {"subject", "sentiment", "language"} <= set(label_columns(Path("samples")))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.jsonl", b'{"text": "fine"}\n{"text": ', "line 2 is not JSON"),
        ("a.jsonl", b"[1]", "line 1 is no object"),
        ("a.txt", b"caf\xe9", "not UTF-8 text, at byte 3"),
        ("a.csv", b"words,label\nx,y\n", "no column text"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=why):
        read_corpus(tmp_path)


def test_what_was_seen_is_left_out() -> None:
    text = Text("x", "The first sentence is here. The second one follows it. Then comes the third.")
    first, second, third = sentences(text.text)
    assert unseen([text], marks([second])) == (Text("x", first), Text("x", third))
    assert unseen([text], marks([])) == (text,)
    assert unseen([text], marks([first, second, third])) == ()
    row = Text("x", "Two sentences in a row. Both are one state.", row=True)
    assert unseen([row], marks([first])) == (row,)
    assert unseen([row], marks([row.text])) == ()


# --- passes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "gemma2", "t5", "mistral"])
def test_many_texts_at_once_give_what_each_gives_alone(tmp_path: Path, family: str) -> None:
    if family not in tinymodels.FAMILIES:
        pytest.skip(f"there is no tiny {family}")
    loaded = tinymodels.open_engine(tinymodels.save_model(family, tmp_path)).loaded
    assert loaded is not None
    rng = np.random.default_rng(0)
    rows = rng.integers(3, 300, (5, 9)).tolist()
    for layer in range(loaded.info.layers + 1):
        passes = Passes(loaded, layer)
        found = passes.states(rows)
        one_by_one = torch.stack([Passes(loaded, layer)._alone(row) for row in rows]).float()
        torch.testing.assert_close(found, one_by_one, atol=1e-4, rtol=1e-4)
        if family in ("llama", "gpt2", "bert"):
            assert passes.runs == 1
        passes = Passes(loaded, layer)
        if passes.gradual:
            last = list(passes.gradually(rows[0], 4))
            assert [part is None for part in last] == [True, True, False]
            assert last[-1] is not None
            torch.testing.assert_close(last[-1][0], one_by_one[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_sentences_state_is_made_of_its_tokens(engine: Engine, pooling: Any) -> None:
    assert engine.loaded is not None
    found: States = drain(collect_steps(engine.loaded, TEXTS, [LAYER], CUT, pooling))[LAYER]
    assert len(found) == 30
    assert np.bincount(found.labels).tolist() == [15, 15]
    assert found.pooling == pooling
    tokens = engine.loaded.reader_of_text.read(sentences(TEXTS[0].text)[0])
    trace, _ = engine.loaded.reader.read(None, [t.id for t in tokens], [], lambda: False)
    # The first place of a causal model's text is left out: its state says nothing of the sentence.
    places = [i for i, token in enumerate(tokens) if i and not token.special]
    rows = trace.states["decoder"][LAYER].rows()[places]
    expected = rows.mean(dim=0) if pooling == "mean" else rows[-1]
    torch.testing.assert_close(found.values[0], expected, atol=1e-5, rtol=1e-5)
    # Neighbours are held out together, and each state's sentence is known again.
    assert np.unique(found.passages[found.labels == 0]).tolist() == [0, 1, 2]
    assert len(found.marks) == len(found)
    assert found.marks[0] == marks(sentences(TEXTS[0].text)[:1])[0]


def test_all_sentences_of_a_passage_count_as_read(engine: Engine) -> None:
    assert engine.loaded is not None
    found: States = drain(collect_steps(engine.loaded, TEXTS, [0], CUT))[0]
    assert set(found.marks.tolist()) <= set(
        marks(one for text in TEXTS for one in sentences(text.text)).tolist()
    )
    assert set(found.marked.tolist()) == set(found.passages.tolist())
    first = found.rows(found.passages == 0)
    assert 0 < len(first.marks) < len(found.marks)


def test_patience_decides_how_much_a_step_runs_but_not_what_comes_of_it(engine: Engine) -> None:
    assert engine.loaded is not None

    def collected(patience: float) -> tuple[int, torch.Tensor]:
        steps = list_of(collect_steps(engine.loaded, TEXTS, [LAYER], CUT, "mean", patience))  # type: ignore[arg-type]
        return sum(step.text.startswith("Reading") for step in steps[0]), steps[1][LAYER].values

    hurried, one = collected(1e-9)
    patient, other = collected(60.0)
    assert hurried == 30  # a sentence a step
    assert patient < hurried
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def list_of(steps: Generator[Progress, None, Any]) -> tuple[list[Progress], Any]:
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return seen, stop.value


# --- the cache ------------------------------------------------------------------------------------


def test_states_are_collected_once(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.loaded is not None
    runs = []
    real = collect_steps

    def counted(*args: Any, **kwargs: Any) -> Any:
        runs.append(args[2])
        return real(*args, **kwargs)

    monkeypatch.setattr(corpus_cache, "collect_steps", counted)

    def collect(texts: Any = TEXTS, layer: int = LAYER, pooling: Any = "mean") -> States:
        found: States = drain(
            states_steps(engine.loaded, texts, layer, CUT, tmp_path, pooling)  # type: ignore[arg-type]
        )
        return found

    first, again = collect(), collect()
    assert runs == [[LAYER]]
    assert torch.equal(first.values, again.values)
    assert np.array_equal(first.marks, again.marks)
    assert again.pooling == "mean"
    for other in ({"layer": 1}, {"pooling": "last"}, {"texts": TEXTS[:1]}):
        collect(**other)
    assert len(runs) == 4
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:500])
    assert torch.equal(collect().values, first.values)
    assert len(runs) == 5


def test_the_oldest_states_are_dropped(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "middle", "old"]):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(bytes(100))
        os.utime(path, (1000 - age, 1000 - age))
    trim(tmp_path, 250)
    assert {path.stem for path in tmp_path.iterdir()} == {"new", "middle"}
    trim(tmp_path, 10, newest=tmp_path / "middle.safetensors")
    assert {path.stem for path in tmp_path.iterdir()} == {"middle"}


def test_a_file_of_no_known_kind_of_states_is_passed_over(tmp_path: Path, engine: Engine) -> None:
    assert engine.loaded is not None
    found: States = drain(collect_steps(engine.loaded, TEXTS, [0], CUT))[0]
    path = tmp_path / "x.safetensors"
    corpus.save_states(path, found)
    assert load_states(path) is not None
    path.write_bytes(path.read_bytes().replace(b'"tokens"', b'"tokenz"'))
    assert load_states(path) is None


# --- generated texts ------------------------------------------------------------------------------


def test_the_model_writes_the_same_texts_from_the_same_seed(engine: Engine) -> None:
    assert engine.loaded is not None
    sampling = Sampling(texts=2, tokens=6, seed=3)
    prompts = ["The dog", "She sells", " "]
    seen, texts = list_of(generate_steps(engine.loaded, prompts, sampling))
    assert [text.label for text in texts] == ["The dog", "The dog", "She sells", "She sells"]
    assert all(text.text.startswith(text.label) for text in texts)
    assert len(seen) <= 2 * 2 * 6
    assert drain(generate_steps(engine.loaded, prompts, sampling)) == texts
    other = drain(generate_steps(engine.loaded, prompts, Sampling(texts=2, tokens=6, seed=4)))
    assert other != texts
    with pytest.raises(UserError, match="no prompt"):
        drain(generate_steps(engine.loaded, [""], sampling))


def test_an_encoder_writes_nothing(tmp_path: Path) -> None:
    loaded = tinymodels.open_engine(tinymodels.save_model("bert", tmp_path)).loaded
    assert loaded is not None
    with pytest.raises(UserError, match="predicts no next token"):
        drain(generate_steps(loaded, ["The"], Sampling()))


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    scores = torch.tensor([2.0, 1.0, 0.0, -1.0])
    generator = torch.Generator().manual_seed(0)
    assert draw(scores, Sampling(temperature=0), generator) == 0
    whole = Sampling(temperature=0.5, top_p=1.0)
    drawn = np.bincount([draw(scores, whole, generator) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(drawn, (scores / 0.5).softmax(dim=0).numpy(), atol=0.03)
    # 0.644 and 0.237 have more than 0.7 together, so the others are never drawn.
    nucleus = Sampling(temperature=1.0, top_p=0.7)
    assert {draw(scores, nucleus, generator) for _ in range(500)} == {0, 1}
