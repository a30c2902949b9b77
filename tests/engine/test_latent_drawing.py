"""The job that draws a picture: what it reads and says it read, what it refuses, what it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_latent_decode import LAYER, TEXT, ask, drain, with_space

from engine.engine import Engine
from engine.errors import UserError
from engine.latent import corpus_cache
from engine.latent.corpus_texts import read_corpus
from engine.latent.drawing import Drawing, drawing_job
from engine.latent.pictured import PictureResult
from engine.latent.pictures import pictures_of
from engine.latent.values import PictureQuery

WORDS = ("fox", "dog", "hound", "bird", "cat", "mouse", "horse", "cow")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return with_space("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two labels of eight sentences, and a README that is none of them."""
    monkeypatch.setattr(corpus_cache, "states_dir", lambda: tmp_path / "states")
    folder = tmp_path / "texts"
    folder.mkdir()
    for label, verb in (("run", "runs over"), ("sleep", "sleeps beside")):
        rows = [{"text": f"The quick {word} {verb} the lazy dog.", "kind": label} for word in WORDS]
        lines = "\n".join(json.dumps(row) for row in rows)
        (folder / f"{label}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "README.md").write_text("These are sentences.", encoding="utf-8")
    return folder


def drawn(engine: Engine, order: Drawing) -> PictureResult:
    assert engine.loaded is not None
    found = drain(drawing_job(engine.loaded, order))
    assert isinstance(found, PictureResult)
    return found


def test_tokens_are_read_named_and_kept(llama: Engine, corpus: Path) -> None:
    order = Drawing("one", "pca", LAYER, corpus=(corpus,))
    found = drawn(llama, order)
    assert found.label_names == ("run", "sleep")
    assert found.source == "texts, all 16 sentences"
    assert found.axes == ("PC 1", "PC 2")
    assert len(found.texts) == len(found.xy) == found.of
    assert all("[" in text for text in found.texts)
    later = drawn(llama, Drawing("two", "pca", LAYER, corpus=(corpus,), first=False))
    assert later.of == found.of - 16
    assert later.source.endswith("16 first tokens left out")
    query, newest, missing = PictureQuery("one"), PictureQuery(), PictureQuery("no such")
    answer = ask(llama, query, newest, missing)
    assert answer.results[query] is found
    assert answer.results[newest] is later
    assert "draw one first" in answer.refused[missing]


def test_sentences_are_their_own_captions(llama: Engine, corpus: Path) -> None:
    found = drawn(llama, Drawing("s", "pca", LAYER, states="mean", corpus=(corpus,)))
    assert sorted(found.texts) == sorted(text.text for text in read_corpus(corpus))
    assert found.states == "mean"
    few = drawn(llama, Drawing("f", "pca", LAYER, states="mean", corpus=(corpus,), most=14))
    assert few.source == "texts, 14 of 16 sentences"
    assert few.of == 14


def test_the_context_is_one_passage_with_one_label(llama: Engine) -> None:
    found = drawn(llama, Drawing("c", "pca", LAYER, text=TEXT * 3))
    assert found.label_names == ("context",)
    assert found.held_out_quality is None
    assert np.isnan(found.fitted_quality.accuracy)
    assert found.of == len(ask(llama, text=TEXT * 3).tokens)


def test_fitted_points_are_judged_by_the_others(llama: Engine, corpus: Path) -> None:
    found = drawn(llama, Drawing("q", "pca", LAYER, corpus=(corpus,)))
    assert found.fitted_quality.judged == int((~found.held_out).sum())
    assert 0 < found.fitted_quality.accuracy <= 1


def test_directions_lead_from_label_to_label(llama: Engine, corpus: Path) -> None:
    ends = {"left": "fox", "right": "sleep", "bottom": "run", "top": "sleep"}
    order = Drawing("d", "directions", LAYER, settings=ends, corpus=(corpus,))
    with pytest.raises(UserError, match=r"no state has the label fox. Choose from: run, sleep"):
        drawn(llama, order)
    with pytest.raises(UserError, match="the two directions are one"):
        drawn(
            llama,
            Drawing("d", "directions", LAYER, ends | {"left": "run"}, corpus=(corpus,)),
        )


def test_a_picture_given_up_is_forgotten(llama: Engine) -> None:
    drawn(llama, Drawing("old", "pca", LAYER, text=TEXT * 3))
    drawn(llama, Drawing("new", "pca", LAYER, text=TEXT * 3, forget=("old",)))
    assert llama.loaded is not None
    assert "new" in pictures_of(llama.loaded)
    assert "old" not in pictures_of(llama.loaded)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (Drawing("x", "pca", LAYER, text="A dog."), "it takes 12"),
        (Drawing("x", "pca", LAYER, text=""), "come to no token"),
        (Drawing("x", "vae", LAYER - 1, text=TEXT), "no latent space for layer 1"),
        (Drawing("x", "umap", LAYER, {"neighbours": 1}, text=TEXT), "Neighbours is 1"),
        (Drawing("x", "pca", 99, text=TEXT), "layer 99"),
        (Drawing("x", "pca", LAYER, corpus=(Path("/no/such"),)), "no such folder"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(llama: Engine, order: Drawing, why: str) -> None:
    with pytest.raises(UserError, match=why):
        drawn(llama, order)
