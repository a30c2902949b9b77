"""A space of sentences that writes: what it is trained on, how it learns, what comes back."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch

from engine.engine import Engine
from engine.errors import UserError
from engine.latent import draft_file as files
from engine.latent.corpus_texts import Text
from engine.latent.draft_evaluation import measure_steps
from engine.latent.draft_file import DraftSpace
from engine.latent.draft_job import DraftOrder, evaluate_steps, make_steps, points_of, wish_steps
from engine.latent.draft_templates import sentences
from engine.latent.draft_texts import end_of, short_sentences, start_of
from engine.latent.draft_training import Settings, split, train_steps
from engine.latent.draft_vae import LONGEST, PLACES, DraftVAE, Shape, lengths, unit
from engine.latent.draft_values import Wish
from engine.latent.draft_writing import able, encode, spread, write_steps
from engine.models.loader import Loaded

SMALL = Settings(latent=4, encoder=16, decoder=24, negatives=8, epochs=3, batch=16, held_out=20)
NOUNS = ("dog", "fox", "sea", "park")
VERBS = ("sells", "runs", "jumps")


def finish(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("llama")
    engine: Engine = tinymodels.open_engine(tinymodels.save_model("llama", folder), "cpu")
    assert engine.loaded is not None
    return engine.loaded


def few() -> list[Text]:
    made = [f"The {a} {v} {b}." for a in NOUNS for v in VERBS for b in (*NOUNS, "shells", "it")]
    return [Text("made", one, row=True) for one in made]


def corpus(folder: Path) -> Path:
    path = folder / "made.jsonl"
    path.write_text("".join(f'{{"text": "{one.text}"}}\n' for one in few()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made(loaded: Loaded, tmp_path_factory: pytest.TempPathFactory) -> tuple[DraftSpace, Path]:
    folder = tmp_path_factory.mktemp("space")
    order = DraftOrder(folder / "space.safetensors", (corpus(folder),), settings=SMALL, written=4)
    return finish(make_steps(loaded, order)), order.out


# --- sentences -----------------------------------------------------------------------------------


def test_sentences_by_rules_are_different_and_the_same_again() -> None:
    found = sentences(400, 3)
    assert len(set(found)) == 400
    assert found == sentences(400, 3)
    assert found != sentences(400, 4)
    assert all(one[0].isupper() and one[-1] in ".?" for one in found)
    assert not any("  " in one or " a a" in one or " a e" in one for one in found)
    assert not any(one.startswith(("I is", "He were", "They was", "We am")) for one in found)


def test_only_whole_short_sentences_are_taken_and_each_once(loaded: Loaded) -> None:
    texts = [
        Text("one", "The dog runs.", row=True),
        Text("two", "The dog runs.", row=True),
        Text("two", "A heading", row=True),
        Text("two", "the fox runs.", row=True),
        Text("two", "The fox " + "runs and " * LONGEST + "runs.", row=True),
        Text("two", "The sea is  in the park. The fox runs by the sea shore!"),
    ]
    found = short_sentences(loaded, texts)
    assert found.texts[:2] == ("The dog runs.", "The sea is in the park.")
    assert found.names == ("one", "two")
    assert found.labels.tolist() == [0] + [1] * (len(found) - 1)
    assert all(3 <= len(ids) <= LONGEST for ids in found.ids)
    part = found.rows([1])
    assert part.texts == found.texts[1:2]
    assert part.labels.tolist() == [1]


def test_some_of_each_label_are_held_out() -> None:
    labels = [0] * 100 + [1] * 50 + [2] * 5
    train, held_out = split(labels, replace(SMALL, held_out=7))
    assert sorted(train + held_out) == list(range(155))
    assert [sum(labels[row] == label for row in held_out) for label in range(3)] == [7, 5, 0]
    assert (train, held_out) == split(labels, replace(SMALL, held_out=7))


# --- the autoencoder -----------------------------------------------------------------------------


def test_a_draft_is_a_distribution_at_each_place_and_its_length_ends_before_the_end() -> None:
    torch.manual_seed(0)
    vae = DraftVAE(Shape(8, 3, 12, 16, 10))
    vae.vocabulary.copy_(torch.arange(10))
    words = unit(torch.randn(12, 8), vae.vocabulary)
    assert float(words.norm(dim=-1).mean()) == pytest.approx(1.0, abs=1e-5)
    draft = vae.draft(torch.randn(5, 3), words)
    assert draft.shape == (5, PLACES, 10)
    torch.testing.assert_close(draft.exp().sum(dim=-1), torch.ones(5, PLACES))
    made = torch.zeros(4, PLACES, 10)
    made[0, 4:, 9] = 1  # ends at place 4
    made[1, 0, 9] = 1  # ends at once
    made[2, 3, 9] = made[2, 7, 9] = 1  # the first end counts
    made[:, :, 2] = 0.5
    assert lengths(made) == [4, 1, 3, LONGEST]


def test_tokens_a_draft_does_not_know_are_less_likely_than_all_it_knows() -> None:
    draft = torch.tensor([[[0.7, 0.2, 0.1]]]).log()
    found = spread(draft, torch.tensor([4, 0, 2]), 6)[0, 0]
    assert found[[4, 0, 2]].exp().tolist() == pytest.approx([0.7, 0.2, 0.1])
    assert found[[1, 3, 5]].tolist() == pytest.approx([math.log(0.1) - 2] * 3)


def test_it_learns_to_give_sentences_back(loaded: Loaded) -> None:
    reading = short_sentences(loaded, few())
    settings = replace(SMALL, latent=8, epochs=30, beta=0.01, rate=1e-2)
    vae, epochs = finish(train_steps(reading.ids, end_of(loaded), loaded.embedding, settings))
    assert epochs[-1].reconstruction < 0.5 * epochs[0].reconstruction
    mu, _ = encode(vae, loaded, reading.ids)
    found = vae.vocabulary[vae.draft(mu, unit(loaded.embedding, vae.vocabulary)).argmax(dim=-1)]
    right = [
        one[: len(ids)].tolist() == list(ids) for one, ids in zip(found, reading.ids, strict=1)
    ]
    # Blind to the point, all drafts were one, and at most one sentence in 72 came back.
    assert np.mean(right) > 0.1


def test_a_stopped_training_goes_on_to_the_same_weights(loaded: Loaded, tmp_path: Path) -> None:
    ids = short_sentences(loaded, few()).ids
    end, table = end_of(loaded), loaded.embedding
    whole, curve = finish(train_steps(ids, end, table, SMALL))
    keeper = files.Checkpoint(tmp_path / "x.checkpoint.safetensors", SMALL, "these")
    steps = train_steps(ids, end, table, SMALL, keeper)
    for step in steps:
        if step.epoch is not None and step.epoch.number == 2:
            break
    steps.close()
    again, other = finish(train_steps(ids, end, table, SMALL, keeper))
    assert curve == other
    for one, two in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    with pytest.raises(UserError, match="other settings or other sentences"):
        replace(keeper, sentences="others").load()
    keeper.path.write_bytes(b"cut short")
    with pytest.raises(UserError, match="damaged or cut short"):
        keeper.load()


def test_too_little_and_what_is_no_number_are_said(loaded: Loaded) -> None:
    ids = short_sentences(loaded, few()).ids
    with pytest.raises(UserError, match="10 short sentences"):
        finish(train_steps(ids[:10], end_of(loaded), loaded.embedding, SMALL))
    with pytest.raises(UserError, match="no longer a number in epoch 1"):
        finish(train_steps(ids, end_of(loaded), loaded.embedding * float("nan"), SMALL))
    with pytest.raises(UserError, match="4 heads"):
        finish(train_steps(ids, end_of(loaded), loaded.embedding, replace(SMALL, encoder=10)))


# --- writing -------------------------------------------------------------------------------------


def by_the_book(loaded: Loaded, vae: DraftVAE, z: torch.Tensor, weight: float) -> list[int]:
    """The likeliest token at each place by whole passes: what one beam finds."""
    start = list(start_of(loaded))
    draft = vae.draft(z, unit(loaded.embedding, vae.vocabulary))
    led = weight * spread(draft, vae.vocabulary, len(loaded.embedding))[0]
    length, ids = lengths(draft)[0], list(start)
    for place in range(PLACES):
        with torch.inference_mode():
            trace, _ = loaded.reader.read(None, ids, [], lambda: False)
            scores = loaded.reader.logits(trace.final.rows()[-1:])[0].float().log_softmax(dim=-1)
        scores = scores + led[place]
        if place < max(1, length - 1):
            scores[start[-1]] = float("-inf")
        best = int(scores.argmax())
        if best == start[-1] or place == LONGEST:
            break
        ids.append(best)
    return ids[len(start) :]


def test_one_beam_takes_the_likeliest_of_model_and_draft_together(
    loaded: Loaded, made: tuple[DraftSpace, Path]
) -> None:
    vae = made[0].vae
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(2))
    found = finish(write_steps(loaded, vae, z, weight=30.0, beams=1))
    tokenizer: Any = loaded.reader_of_text
    for row, text in zip(z, found, strict=True):
        ids = by_the_book(loaded, vae, row[None], 30.0)
        assert text == tokenizer.tokenizer.decode(ids).strip()
    assert len(set(found)) > 1


def test_points_are_written_alone_as_in_a_batch(
    loaded: Loaded, made: tuple[DraftSpace, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = loaded.reader.logits

    def picky(final: torch.Tensor) -> torch.Tensor:
        assert final.is_contiguous()  # as the head of a quantised model wants it
        return scores(final)

    monkeypatch.setattr(loaded.reader, "logits", picky)
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(5))
    together = finish(write_steps(loaded, made[0].vae, z))
    alone = [finish(write_steps(loaded, made[0].vae, row[None]))[0] for row in z]
    assert list(together) == alone


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_models_that_write_nothing_say_why(name: str, tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model(name, tmp_path), "cpu")
    assert engine.loaded is not None
    with pytest.raises(UserError, match="Cannot write sentences"):
        able(engine.loaded)


# --- the job, its file and what is measured ------------------------------------------------------


def test_a_space_is_saved_with_its_card_and_read_again(
    loaded: Loaded, made: tuple[DraftSpace, Path]
) -> None:
    space, path = made
    again = files.load(path)
    assert again.card == space.card
    assert not files.checkpoint_of(path).exists()
    for one, two in zip(
        space.vae.state_dict().values(), again.vae.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two)
    (row,) = space.card.held_out
    assert row.label == "made"
    assert (row.sentences, row.written) == (7, 4)
    assert 0 <= row.accuracy <= 1
    assert row.perplexity > 1
    told = path.with_suffix(".md").read_text(encoding="utf-8")
    assert f"| token accuracy: with its point | {row.accuracy:.3f} |" in told
    assert "made (65)" in told
    files.require(space.card, loaded.info)
    with pytest.raises(UserError, match="other weights"):
        files.require(space.card, replace(loaded.info, fingerprint="another"))


def test_the_models_own_figures_are_those_of_a_whole_pass(
    loaded: Loaded, made: tuple[DraftSpace, Path]
) -> None:
    reading = short_sentences(loaded, few()).rows([0, 9, 20])
    (row,) = finish(measure_steps(loaded, made[0].vae, reading, written=1))
    start, right, errors, count = list(start_of(loaded)), 0, 0.0, 0
    for ids in reading.ids:
        with torch.inference_mode():
            trace, _ = loaded.reader.read(None, [*start, *ids], [], lambda: False)
            states = trace.final.rows()[len(start) - 1 :]
            scores = loaded.reader.logits(states).float().log_softmax(dim=-1)
        target = torch.tensor([*ids, start[-1]])
        right += int((scores.argmax(dim=-1) == target)[:-1].sum())
        errors -= float(scores.gather(1, target[:, None]).sum())
        count += len(ids)
    assert row.model_accuracy == pytest.approx(right / count)
    assert row.model_perplexity == pytest.approx(math.exp(errors / (count + 3)), rel=1e-3)


def test_sentences_that_were_trained_on_are_not_measured_with(
    loaded: Loaded, made: tuple[DraftSpace, Path]
) -> None:
    (row,) = finish(evaluate_steps(loaded, made[0], tuple(few()), written=1))
    assert row.sentences == 7
    known = [one for one in few() if one.text == "The dog sells dog."]
    fresh = finish(evaluate_steps(loaded, made[0], tuple(few()[:30]), written=1))
    assert fresh[0].sentences < 30
    assert len(known) == 1
    with pytest.raises(UserError, match="no sentence of 3 to 14 tokens"):
        finish(evaluate_steps(loaded, made[0], (Text("x", "A heading", row=True),)))


def test_points_are_made_of_sentences(loaded: Loaded, made: tuple[DraftSpace, Path]) -> None:
    space = made[0]
    a, b, c = "The dog runs sea.", "The fox runs sea.", "The fox jumps it."
    mu, _ = encode(space.vae, loaded, [loaded.reader_of_text.ids(one) for one in (a, b, c)])
    labels, way = points_of(loaded, space, Wish("between", (a, b), steps=5))
    assert labels == ("0 %", "25 %", "50 %", "75 %", "100 %")
    torch.testing.assert_close(way[[0, 2, 4]], torch.stack([mu[0], (mu[0] + mu[1]) / 2, mu[1]]))
    _, sum_ = points_of(loaded, space, Wish("analogy", (a, b, c)))
    torch.testing.assert_close(sum_[0], mu[0] - mu[1] + mu[2])
    labels, along = points_of(loaded, space, Wish("dimension", (a,), dimension=2, steps=3))
    assert labels == ("-2.5", "+0.0", "+2.5")
    torch.testing.assert_close(along[:, 2], torch.tensor([-2.5, 0.0, 2.5]))
    torch.testing.assert_close(along[:, :2], mu[0, :2].expand(3, -1))
    _, drawn = points_of(loaded, space, Wish("prior", (), seed=4, steps=3))
    assert drawn.shape == (3, 4)
    torch.testing.assert_close(points_of(loaded, space, Wish("here", (b, "x")))[1], mu[1:2])


def test_a_wish_is_written_and_strange_words_are_named(
    loaded: Loaded, made: tuple[DraftSpace, Path]
) -> None:
    wish = Wish("between", ("The dog runs sea.", "The fox jumps over the lazy."), steps=3)
    done = finish(wish_steps(loaded, made[0], wish))
    assert [line.label for line in done.lines] == ["0 %", "50 %", "100 %"]
    assert "has not met" in done.note
    again = finish(wish_steps(loaded, made[0], replace(wish, sentences=("The dog runs sea.",) * 2)))
    assert again.lines[0].text == done.lines[0].text
    assert again.note == ""
    assert again.figures == files.figures(made[0].card)
    assert "model alone" in again.figures


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (Wish("between", ("The dog runs.", " ")), "takes 2"),
        (Wish("here", ("The dog " + "runs and " * 20 + "runs.",)), "at most 14"),
        (Wish("dimension", ("The dog runs.",), dimension=4), "no dimension 4"),
    ],
)
def test_what_cannot_be_written_is_said(
    loaded: Loaded, made: tuple[DraftSpace, Path], wish: Wish, why: str
) -> None:
    with pytest.raises(UserError, match=why):
        finish(wish_steps(loaded, made[0], wish))


def test_the_shipped_space_says_how_good_it_is() -> None:
    (path,) = files.folders()[0].glob("*.safetensors")
    space = files.load(path)
    card = space.card
    assert path.stat().st_size < 4 << 20
    assert card.model == path.stem == "smollm2-135m-instruct"
    assert path.with_suffix(".md").read_text(encoding="utf-8") == files.described(card)
    assert set(card.data) == {row.label for row in card.held_out} == {"templates", "written"}
    assert len(space.seen) == sum(card.data.values())
    told = files.figures(card)
    assert told.endswith("32 of 32 units active")
    assert f"{min(row.perplexity for row in card.held_out):.1f}–" in told
    for row in card.held_out:
        assert row.accuracy > 2 * row.model_accuracy
        assert row.accuracy > 2 * row.other_accuracy
        assert row.perplexity < row.model_perplexity / 5
        assert row.active_units == card.shape.latent


def test_damaged_files_are_refused_or_passed_over(
    loaded: Loaded,
    made: tuple[DraftSpace, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path))
    assert files.path_for(loaded.info) is None
    folder = tmp_path / "drafts"
    folder.mkdir()
    (folder / "zz.safetensors").write_bytes(b"nothing")
    files.save(made[0], folder / "mine.safetensors")
    assert files.path_for(loaded.info) == folder / "mine.safetensors"
    with pytest.raises(UserError, match="damaged"):
        files.load(folder / "zz.safetensors")
    with pytest.raises(UserError, match="no such file"):
        files.load(folder / "none.safetensors")
    with pytest.raises(UserError, match="one of safetensors"):
        finish(make_steps(loaded, DraftOrder(tmp_path / "x.bin", templates=100)))
