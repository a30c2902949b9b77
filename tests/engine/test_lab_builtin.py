"""The model that comes with the program: how it is trained, measured, saved and described."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from engine.errors import UserError
from engine.lab import builtin, card, corpus, measures, muon, training
from engine.paths import RESOURCES, ROOT

FOLDER = RESOURCES / "models" / "builtin"
BOOKS = ROOT.parent / "shared" / "data" / "books"
CARD = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))

needs_books = pytest.mark.skipif(
    not BOOKS.is_dir(), reason="the books the figures were measured on are not at ../shared/data"
)

TINY = training.Recipe(
    vocabulary=300,
    width=32,
    layers=2,
    heads=2,
    inner=48,
    longest=64,
    steps=12,
    warm_up=2,
    check_every=4,
    opening_steps=2,
    opening=corpus.Mixture(128, (32,), (1.0,), random=1.0, natural=0.0, copied=0.0),
    mixture=corpus.Mixture(budget=256, lengths=(32, 64), weights=(0.5, 0.5)),
)


@pytest.fixture(scope="module")
def saved() -> tuple[Any, Any]:
    return card.load(FOLDER)


@pytest.fixture(autouse=True)
def _same_threads() -> Any:
    """Sums depend on the number of threads; what the rest of the suite chose must not matter."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def write_books(folder: Path, sentences: int = 400) -> Path:
    """Two synthetic texts made of few words, easy to get better at."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    for name in ("one", "two"):
        words = rng.choice(["the cat sat.", "a dog ran.", "we saw it."], size=sentences)
        (folder / f"{name}.txt").write_text("\n".join(words), encoding="utf-8")
    return folder


def train(tmp_path: Path, out: str, recipe: training.Recipe = TINY, work: str = "") -> list[Any]:
    books = tmp_path / "books"
    if not books.exists():
        write_books(books)
    return list(
        builtin.run(books, tmp_path / out, recipe, tmp_path / (work or f"{out}-work"), "test")
    )


# --- the saved model -----------------------------------------------------------------------------


def test_the_folder_is_small_and_in_half_precision() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8 * 2**20
    with safe_open(FOLDER / "model.safetensors", "np") as weights:
        kinds = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    assert kinds == {"F16"}


def test_the_card_names_the_files_it_was_made_for() -> None:
    assert set(CARD["sha256"]) == {
        path.name
        for path in FOLDER.iterdir()
        if path.name not in {"card.json", "README.md"} and not path.name.startswith(".")
    }
    for name, digest in CARD["sha256"].items():
        assert card.sha256(FOLDER / name) == digest, name


def test_the_prose_of_the_card_says_what_the_card_says() -> None:
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == card.readme_of(CARD)
    assert CARD["license"] == "Apache-2.0"
    assert len(CARD["data"]) == 7


def test_it_opens_as_any_model_and_has_the_size_it_claims(saved: tuple[Any, Any]) -> None:
    model, tokenizer = saved
    assert model.config.model_type == "llama"
    assert model.config.max_position_embeddings == tokenizer.model_max_length == 1024
    parameters = sum(weight.numel() for weight in model.parameters())
    assert parameters == CARD["parameters"]
    assert 1_000_000 <= parameters <= 3_000_000
    assert len(tokenizer) == model.config.vocab_size == CARD["vocabulary"]


@settings(deadline=None, max_examples=100)
@example("naïve café, “quoted” – it’s 3.14")
@example("👩‍👩‍👧 says 你好世界 and ありがとう\t\n\n  two  spaces . , ! ")
@example("def f(x):\r\n    return x  # tabs\tand\x00nul")
@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_text_survives_the_tokenizer(saved: tuple[Any, Any], text: str) -> None:
    _, tokenizer = saved
    ids = tokenizer(text, verbose=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert ids == tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def test_its_heads_score_what_the_card_says(saved: tuple[Any, Any]) -> None:
    model, _ = saved
    told = CARD["induction"]
    # Another seed than the card's: the score is the head's, not that of a few lucky tokens.
    scores = measures.model_induction(model, CARD["vocabulary"], told["period"], 8, seed=123)
    assert scores.shape == (model.config.num_hidden_layers, model.config.num_attention_heads)
    assert scores[told["best_layer"], told["best_head"]] == pytest.approx(told["score"], abs=0.05)
    assert scores == pytest.approx(np.array(told["all"]), abs=0.05)
    assert told["score"] > 0.4
    accuracy = measures.repeat_accuracy(model, CARD["vocabulary"], told["period"], 8, seed=123)
    assert accuracy == pytest.approx(CARD["repeat_second_half_accuracy"], abs=0.05)


@needs_books
def test_it_predicts_held_out_text_as_well_as_the_card_says(saved: tuple[Any, Any]) -> None:
    model, tokenizer = saved
    rows = card.held_out_rows(tokenizer, corpus.read_books(BOOKS))
    assert rows.size - len(rows) == CARD["held_out_tokens"]
    part = CARD["held_out_part"]
    told = measures.predict(model, rows[:: part["every"]])
    assert told.tokens == part["tokens"]
    assert told.loss == pytest.approx(part["loss"], abs=0.02)
    assert told.accuracy == pytest.approx(part["accuracy"], abs=0.01)
    # The part is a fair one: it says nearly what the whole says.
    assert part["loss"] == pytest.approx(CARD["held_out_loss"], abs=0.2)
    assert np.exp(CARD["held_out_loss"]) == pytest.approx(CARD["perplexity"], abs=0.01)


def test_a_long_context_costs_no_sense(saved: tuple[Any, Any]) -> None:
    """The last quarter of 1024 repeated tokens is told right as the second half of 100 is."""
    model, _ = saved
    ids = np.tile(measures.repeated_tokens(2, 64, CARD["vocabulary"], seed=5), 8)
    assert ids.shape == (2, 1024)
    assert measures.predict(model, ids, first=768).accuracy > 0.5


# --- the measures --------------------------------------------------------------------------------


def test_a_perfect_head_scores_one_and_an_even_one_what_the_definition_says() -> None:
    period, size = 50, 100
    perfect = np.zeros((size, size))
    for row in range(size):
        perfect[row, max(0, row - period + 1)] = 1
    even = np.tril(np.ones((size, size)))
    even /= even.sum(axis=1, keepdims=True)
    previous = np.eye(size, k=-1)
    scores = measures.induction_scores(np.stack([perfect, even, previous]), period)
    assert scores.tolist() == pytest.approx([1.0, 0.0138, 0.0], abs=5e-5)


def test_the_score_is_read_from_the_second_appearance_only() -> None:
    """By hand, N = 2, T = 4: rows 2 and 3, keys 1 and 2."""
    maps = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0.5, 0.25, 0.25, 0], [0, 0, 0.75, 0.25]])
    assert measures.induction_scores(maps, 2) == pytest.approx((0.25 + 0.75) / 2)


class Echo(torch.nn.Module):
    """Gives the token `period` − 1 places back odds of e^bonus against every other."""

    def __init__(self, vocabulary: int, period: int, bonus: float) -> None:
        super().__init__()
        self.vocabulary, self.period, self.bonus = vocabulary, period, bonus

    def forward(self, ids: torch.Tensor, use_cache: bool = False) -> Any:
        guesses = torch.roll(ids, self.period - 1, dims=1)  # (B, T)
        logits = torch.nn.functional.one_hot(guesses, self.vocabulary) * self.bonus  # (B, T, V)
        return type("Output", (), {"logits": logits})


def test_loss_and_accuracy_match_values_by_hand() -> None:
    ids = measures.repeated_tokens(rows=3, period=6, vocabulary=40, seed=1)
    assert ids.shape == (3, 12)
    assert (ids[:, :6] == ids[:, 6:]).all()
    assert ids.min() >= 1
    even = measures.predict(Echo(40, 6, bonus=0.0), ids)
    assert even.loss == pytest.approx(np.log(40))
    assert even.perplexity == pytest.approx(40)
    assert even.tokens == 3 * 11
    sure = measures.predict(Echo(40, 6, bonus=2.0), ids, first=7)
    # p = e² / (e² + 39)
    assert sure.loss == pytest.approx(np.log(1 + 39 * np.exp(-2.0)))
    assert (sure.accuracy, sure.tokens) == (1.0, 3 * 5)
    assert measures.repeat_accuracy(Echo(40, 6, bonus=2.0), 40, period=6, rows=3) == 1.0
    assert measures.repeat_accuracy(Echo(40, 5, bonus=2.0), 40, period=6, rows=3) < 0.5


def test_nothing_predicted_is_no_number() -> None:
    nothing = measures.predict(Echo(5, 1, 1.0), np.zeros((0, 4), dtype=np.int64))
    assert np.isnan(nothing.loss)
    assert np.isnan(nothing.accuracy)
    assert nothing.tokens == 0


# --- the rows ------------------------------------------------------------------------------------


@given(st.integers(3, 200), st.integers(0, 2**32 - 1))
def test_random_rows_count_only_what_repeats(length: int, seed: int) -> None:
    row, counted = corpus.random_row(length, np.arange(1, 1000), np.random.default_rng(seed))
    assert (row.shape, counted.shape) == ((length,), (length - 1,))
    period = int(np.argmax(counted))
    assert min(corpus.SHORTEST_SPAN, length // 2) <= period <= max(1, length // 2)
    assert counted[period:].all()
    assert (row[period:] == row[:-period]).all()


@given(st.integers(8, 200), st.integers(0, 2**32 - 1))
def test_copied_rows_hold_a_passage_twice(length: int, seed: int) -> None:
    before = np.arange(1000, 1000 + length)
    row, counted = corpus.copied_row(before.copy(), np.random.default_rng(seed))
    changed = np.flatnonzero(row != before)
    start, stop = changed[0], changed[-1] + 1
    assert (changed == np.arange(start, stop)).all()
    source = row[start] - 1000
    assert (row[start:stop] == before[source : source + stop - start]).all()
    assert source + len(changed) <= start
    left_out = {int(place) for place in np.flatnonzero(~counted)}
    assert left_out == {start - 1, stop - 1} - {length - 1}


def test_a_step_holds_its_budget_whatever_the_length() -> None:
    mixture = corpus.Mixture(budget=512, lengths=(32, 64, 128), weights=(0.3, 0.4, 0.3))
    ids = np.arange(1, 1001)
    widths = set()
    for seed in range(12):
        rows, counted = corpus.batch(ids, mixture, 2000, np.random.default_rng(seed))
        assert rows.shape == (counted.shape[0], counted.shape[1] + 1)
        assert counted.size == 512
        widths.add(counted.shape[1])
    assert widths == {32, 64, 128}


def test_lines_broken_at_a_width_are_joined_and_verse_is_kept() -> None:
    text = "\ufeffIt is a\r\ntruth.  \n\n\n\n\nNew\nparagraph\n\n  Verse one\n  verse two\n"
    assert corpus.unwrap(text) == "It is a truth.\n\nNew paragraph\n\n  Verse one\n  verse two"


def test_the_parts_of_a_book_are_apart_and_whole(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("".join(f"{n:03d} " for n in range(1000)), encoding="utf-8")
    (book,) = corpus.read_books(tmp_path)
    whole = book.train + book.choose + book.held_out
    assert whole == (tmp_path / "b.txt").read_text(encoding="utf-8").strip()
    assert len(book.held_out) == pytest.approx(0.05 * len(whole), abs=1)
    assert len(book.choose) == pytest.approx(0.025 * len(whole), abs=2)


# --- the optimiser -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 6), (4, 12), (12, 4)])
def test_muon_moves_every_direction_by_about_the_rate(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(shape))
    weight.grad = torch.randn(shape)
    muon.Muon([weight]).step(rate=0.1)
    lengths = torch.linalg.svdvals(weight.detach()) / (0.1 * max(1, shape[0] / shape[1]) ** 0.5)
    assert lengths.min() > 0.5
    assert lengths.max() < 1.3
    assert (weight * weight.grad).sum() < 0


def test_muon_goes_on_from_what_it_kept() -> None:
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(3, 5)) for _ in range(2)]
    optimiser = muon.Muon(weights)
    for weight in weights:
        weight.grad = torch.randn(3, 5)
    optimiser.step(rate=0.1)
    copies = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    other = muon.Muon(copies)
    other.load_state_dict(optimiser.state_dict())
    for weight, copy in zip(weights, copies, strict=True):
        weight.grad = copy.grad = torch.ones(3, 5)
    optimiser.step(rate=0.1)
    other.step(rate=0.1)
    for weight, copy in zip(weights, copies, strict=True):
        assert torch.equal(weight, copy)


# --- training ------------------------------------------------------------------------------------


def test_a_few_steps_help_and_leave_a_folder_that_opens(tmp_path: Path) -> None:
    *checks, told = train(tmp_path, "out")
    assert [check.step for check in checks] == [4, 8, 12]
    assert checks[-1].choose_loss < checks[0].choose_loss
    assert checks[-1].loss < checks[0].loss
    model, tokenizer = card.load(tmp_path / "out")
    text = "the cat sat.\na 🐕 ran."
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert model.config.hidden_size == 32
    written = json.loads((tmp_path / "out" / "card.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(told))
    assert told["held_out_loss"] < np.log(told["vocabulary"])
    assert [book["title"] for book in told["data"]] == ["one", "two"]
    assert "What it cannot do" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path) -> None:
    recipe = dataclasses.replace(TINY, steps=4)
    one, two = train(tmp_path, "a", recipe)[-1], train(tmp_path, "b", recipe)[-1]
    other = train(tmp_path, "c", dataclasses.replace(recipe, seed=1))[-1]
    assert one["sha256"] == two["sha256"]
    assert other["sha256"]["model.safetensors"] != one["sha256"]["model.safetensors"]
    assert other["sha256"]["tokenizer.json"] == one["sha256"]["tokenizer.json"]


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole = train(tmp_path, "whole")[-1]
    run = builtin.run(tmp_path / "books", tmp_path / "halves", TINY, tmp_path / "work", "test")
    assert next(run).step == 4
    run.close()
    again = train(tmp_path, "halves", work="work")
    assert [check.step for check in again[:-1]] == [4, 8, 12]
    assert again[-1]["sha256"] == whole["sha256"]


def test_a_run_told_to_end_sooner_before_its_rate_falls_is_a_short_run(tmp_path: Path) -> None:
    short = dataclasses.replace(TINY, steps=8)
    assert training.falls_from(short) >= 4
    whole = train(tmp_path, "short", short)[-1]
    long = builtin.run(tmp_path / "books", tmp_path / "long", TINY, tmp_path / "work", "test")
    next(long)
    long.close()
    assert train(tmp_path, "long", short, work="work")[-1]["sha256"] == whole["sha256"]


def test_every_token_that_is_looked_at_is_told() -> None:
    assert TINY.tokens == 2 * 128 + 10 * 256
    assert dataclasses.replace(TINY, steps=1).tokens == 128


def test_a_model_starts_with_a_head_that_looks_one_token_back() -> None:
    model = training.build(dataclasses.replace(training.Recipe(), layers=1), 3072)
    model.set_attn_implementation("eager")
    ids = measures.repeated_tokens(2, 40, 3072, seed=0)
    maps = measures.attention_maps(model, ids)  # (2, 1, 5, 80, 80)
    looking = np.diagonal(maps, -1, -2, -1).mean(axis=(0, 1, 3))  # (5,)
    assert looking[0] > 0.8
    assert looking[1:].max() < 0.2


def test_the_rate_warms_up_holds_and_falls() -> None:
    recipe = training.Recipe(steps=100, warm_up=10, fall=0.4)
    rates = [training.rate_at(step, recipe) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:61] == pytest.approx([1.0] * 52)
    assert rates[80] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.025)


def test_too_little_text_is_said_in_words(tmp_path: Path) -> None:
    books = write_books(tmp_path / "short", sentences=4)
    with pytest.raises(UserError, match="Add longer texts"):
        list(builtin.run(books, tmp_path / "out", TINY, tmp_path / "work", "test"))
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match=r"holds no \.txt file"):
        list(builtin.run(tmp_path / "none", tmp_path / "out", TINY, tmp_path / "work", "test"))
    assert not (tmp_path / "out").exists()


def test_the_command_line_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    out = str(tmp_path / "out")
    code = builtin.main(["--books", str(tmp_path), "--out", out, "--threads", str(threads)])
    assert code == 1
    assert "holds no .txt file" in capsys.readouterr().err
