"""The latent spaces that come with the program: whole, of the right model, and as good as said."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.engine import Engine
from engine.latent.card import described, require
from engine.latent.corpus import Passages, collect_steps, read_texts
from engine.latent.corpus_excerpts import LONGEST
from engine.latent.corpus_sentences import marks
from engine.latent.evaluation import knn_accuracy, measure
from engine.latent.space import Space, load, read_card
from engine.models.catalogue import default, resolve
from engine.models.store import fetch, find, open_spec
from engine.paths import RESOURCES, ROOT
from engine.types import LatentQuery, LatentResult, Request

SHIPPED = sorted((RESOURCES / "latent").glob("*.safetensors"))
BOOKS = ROOT.parent / "shared" / "data" / "books"

needs_books = pytest.mark.skipif(
    not BOOKS.is_dir(), reason="the books the spaces were trained on are not at ../shared/data"
)
each = pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
models = pytest.mark.parametrize(
    "name", ["builtin", pytest.param(default().name, marks=pytest.mark.model)]
)


def drain(steps: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


_engines: dict[str, Engine] = {}


def engine_of(name: str) -> Engine:
    """The model, loaded once."""
    if name not in _engines:
        entry = resolve(name)
        engine = Engine()
        engine.load(open_spec(entry, fetch(entry)), "cpu")
        _engines[name] = engine
    return _engines[name]


def test_both_models_have_one() -> None:
    assert {read_card(path).model for path in SHIPPED} >= {"builtin", default().name}


@each
def test_it_is_small(path: Path) -> None:
    assert path.stat().st_size <= 3_000_000


@each
def test_its_card_meets_what_is_asked_of_a_space(path: Path) -> None:
    card = load(path).card
    assert path.stem == card.key
    held = card.held_out
    assert held is not None
    assert held.held_out_states >= (1000 if card.states == "tokens" else 200)
    assert held.active_units >= 0.75 * card.latent
    assert min(held.kl_per_dim) > 0.5
    assert len(held.kl_per_dim) == card.latent
    assert held.explained_variance > held.pca_explained_variance
    assert held.ordinary_explained_variance > held.pca_ordinary_explained_variance
    assert held.picture_explained_variance > held.pca_picture_explained_variance
    assert held.trustworthiness > held.pca_trustworthiness
    assert 0 < held.mutual_information <= held.mutual_information_limit + 0.5
    assert held.elbo == pytest.approx(held.reconstruction - held.kl)
    # Half precision on disk is for spaces that do not suffer from it.
    assert abs(held.elbo - card.elbo_in_float32) <= 1e-3 * abs(card.elbo_in_float32)
    assert card.command
    assert path.with_suffix(".md").read_text(encoding="utf-8") == described(card)


@each
def test_it_knows_what_it_must_not_be_measured_with(path: Path) -> None:
    space = load(path)
    assert len(space.seen) > 1000
    assert (np.diff(space.seen) > 0).all()


@each
def test_books_are_told_apart_better_than_by_pca(path: Path) -> None:
    card = read_card(path)
    if card.states == "tokens":
        pytest.skip("what book a word is from cannot be told by the word")
    held = card.held_out
    assert held is not None
    assert held.knn_accuracy is not None
    assert held.pca_knn_accuracy is not None
    assert held.knn_accuracy >= held.pca_knn_accuracy + 0.1


@each
def test_its_figures_are_of_what_it_is_shown_against(path: Path) -> None:
    """What is seen behind a context bears out the card: every unit is used, and used much."""
    space, held = load(path), read_card(path).held_out
    assert held is not None
    assert space.points is not None
    spread = torch.tensor(space.points).var(dim=0)
    assert int((spread > 0.01).sum()) == held.active_units
    assert float(spread.min()) > 0.3
    found = knn_accuracy(torch.tensor(space.reference), space.labels)
    if held.knn_accuracy is not None and space.card.states == "sentences":
        assert found == pytest.approx(held.knn_accuracy, abs=0.03)


@each
def test_there_are_states_to_show_behind_a_context(path: Path) -> None:
    space = load(path)
    assert len(space.reference) >= (1000 if space.card.states == "tokens" else 200)
    assert np.isfinite(space.reference).all()
    assert set(space.labels.tolist()) == set(range(len(space.label_names)))


@each
def test_they_can_be_seen_in_every_plane(path: Path) -> None:
    space = load(path)
    assert space.points is not None
    mu = torch.tensor(space.points)
    # The points are those of the picture, which was rounded as they were.
    own = space.picture()
    assert np.abs(own.project(mu).numpy() - space.reference).max() < 0.02
    components = space.picture("components")
    assert components.plane == "components"
    assert len(components.reference) == len(space.labels)
    assert components.reference.var(axis=0).sum() >= own.reference.var(axis=0).sum() - 1e-3
    last = space.card.latent - 1
    if last > 1:
        assert space.picture((last, 0)).reference.tolist() == space.points[:, [last, 0]].tolist()


@each
def test_what_they_are_from_can_be_searched(path: Path) -> None:
    space = load(path)
    assert len(space.texts) == len(space.labels)
    assert max(map(len, space.texts)) <= LONGEST
    assert all("‹" in text for text in space.texts) == (space.card.states == "tokens")
    alice = {space.label_names[space.labels[row]] for row in _with(space, "Alice")}
    assert "alice" in alice
    assert _with(space, "Holmes")


def _with(space: Space, word: str) -> list[int]:
    plain = (text.replace("‹", "").replace("›", "") for text in space.texts)
    return [row for row, text in enumerate(plain) if word in text]


@needs_books
@each
def test_each_is_from_the_book_its_label_names(path: Path) -> None:
    space = load(path)
    whole = {text.label: " ".join(text.text.split()) for text in read_texts(BOOKS)}
    for row in range(0, len(space.labels), 29):
        told = space.texts[row].replace("¶", " ").replace("␣", " ")
        plain = " ".join(told.replace("‹", "").replace("›", "").strip("…").split())
        assert plain in whole[space.label_names[space.labels[row]]]


@each
def test_no_sentence_it_was_trained_on_is_shown(path: Path) -> None:
    space = load(path)
    if space.card.states == "tokens":
        pytest.skip("an excerpt round a token is not a whole sentence")
    whole = [text for text in space.texts if not text.endswith("…")]
    assert len(whole) > 20
    assert not set(marks(whole).tolist()) & set(space.seen.tolist())


@each
def test_decoding_what_was_encoded_keeps_what_the_card_says(path: Path) -> None:
    """Points of the prior go through the decoder and back near to where they came from."""
    space = load(path)
    z = torch.randn(500, space.card.latent, generator=torch.Generator().manual_seed(0))
    states = space.decode(z)
    assert torch.isfinite(states).all()
    mu, _ = space.encode(states)
    assert (mu - z).square().mean() < 0.5 * z.square().mean()


@models
def test_the_model_it_was_trained_for_takes_it(name: str) -> None:
    info = engine_of(name).loaded.info  # type: ignore[union-attr]
    mine = [path for path in SHIPPED if read_card(path).model == name]
    for path in mine:
        require(read_card(path), info)
    # The user may have more of their own.
    tokens = {read_card(path).layer for path in mine if read_card(path).states == "tokens"}
    assert tokens <= set(info.latent_layers)
    assert "latent" in info.provides


@models
def test_a_sentence_lies_among_the_reference_states(name: str) -> None:
    engine = engine_of(name)
    text = "The dog is running in the park."
    snapshot = engine.answer(Request(1, engine.epoch, text, (LatentQuery(),)))
    result = snapshot.results[LatentQuery()]
    assert isinstance(result, LatentResult)
    assert len(result.xy) == len(snapshot.tokens)
    low, high = result.reference.min(axis=0), result.reference.max(axis=0)
    assert ((result.xy > low) & (result.xy < high)).all()
    assert (np.linalg.eigvalsh(result.covariance) > 0).all()


@needs_books
@models
def test_the_cards_figures_are_found_again(name: str) -> None:
    """On other passages of the same texts a few hundred states come near to what the card says."""
    engine = engine_of(name)
    assert engine.loaded is not None
    space = engine.loaded.spaces[min(engine.loaded.spaces)]
    texts = read_texts(BOOKS)
    cutting = Passages(tokens=900, length=32)
    states = drain(collect_steps(engine.loaded, texts, [space.card.layer], cutting))
    found, said = measure(space, states[space.card.layer]), space.card.held_out
    assert said is not None
    assert found.active_units == said.active_units
    assert found.explained_variance > found.pca_explained_variance
    assert found.ordinary_explained_variance == pytest.approx(
        said.ordinary_explained_variance, abs=0.08
    )
    assert found.elbo == pytest.approx(said.elbo, rel=0.1)


def test_a_space_is_at_hand_for_the_model_in_the_cache() -> None:
    """Without opening the default model: its weights are the ones the spaces were trained for."""
    entry = default()
    folder = find(entry)
    if folder is None:
        pytest.skip("the default model is not on this machine")
    fingerprint = open_spec(entry, folder).fingerprint
    cards = [read_card(path) for path in SHIPPED]
    assert {card.fingerprint for card in cards if card.model == entry.name} == {fingerprint}
