"""``main.py latent picture`` and ``latent refresh``, on a model small enough to be made here."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_commandline import save_model, save_tokenizer
from test_latent_commands import run, train, write_texts

from engine.latent.projections.spec import choices, projection_specs
from gui.headless import latent_arguments

QUICK = ["--layer", 1, "--states", "mean", "--most", 200]
MEASURES = {
    f"{whose}{name}"
    for whose in ("", "pca_", "fitted_", "pca_fitted_")
    for name in ("trustworthiness", "continuity", "knn_accuracy")
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, "llama")
    save_tokenizer(folder)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    write_texts(tmp_path / "texts")
    write_texts(tmp_path / "others", seed=1, count=60)
    return tmp_path


def draw(capsys, model, place, method, *more):
    words = ["latent", "picture", "--model", model, "--corpus", place / "texts"]
    return run(capsys, *words, "--method", method, *QUICK, *more)


OWN = {
    "pca": [],
    "identity": ["--first", 3, "--second", 5],
    "directions": ["--left", "land", "--right", "water", "--bottom", "land", "--top", "land"],
}


def test_every_projection_and_each_of_its_settings_has_a_word():
    specs = projection_specs()
    fields = {field for _, field, _, _ in latent_arguments._DRAWING}
    assert fields == {one.name for spec in specs.values() for one in choices(spec.settings)}
    assert latent_arguments.methods() == sorted(specs)


@pytest.mark.parametrize("method", ["pca", "identity"])
def test_the_numbers_are_printed_and_saved(capsys, model, place, method):
    out = place / "drawn.npz"
    code, printed, _ = draw(capsys, model, place, method, *OWN[method], "--out", out, "--json")
    assert code == 0
    told = json.loads(printed)
    assert set(told) >= MEASURES
    assert told["method"] == method
    assert told["layer"] == 1
    assert told["labels"] == ["land", "water"]
    assert told["held_out_states"] > 0
    for name in MEASURES:
        assert 0 <= told[name] <= 1
    with np.load(out, allow_pickle=False) as saved:
        assert saved["xy"].shape == (told["drawn_states"], 2)
        assert saved["held_out"].sum() == told["held_out_states"]
        assert saved["token_xy"].shape == (0, 2)
        assert len(saved["texts"]) == told["drawn_states"]
        assert saved["quality"][1, 0] == pytest.approx(told["trustworthiness"])
        assert json.loads(str(saved["meta"]))["model"] == told["model"]
    if method == "pca":
        assert told["trustworthiness"] == pytest.approx(told["pca_trustworthiness"])
    code, printed, _ = draw(capsys, model, place, method, *OWN[method])
    assert code == 0
    assert "trustworthiness" in printed
    assert f"{told['continuity']:.3f}" in printed


def test_tokens_are_drawn_and_a_context_placed(capsys, model, place):
    out = place / "drawn.svg"
    words = ["--states", "tokens", "--most", 2000, "--points", 200, "--held-out", 0.3]
    words += ["--text", "The dog is running.", "--out", out]
    code, printed, _ = draw(capsys, model, place, "pca", *words)
    assert code == 0
    assert "first tokens left out" in printed
    assert out.read_text(encoding="utf-8").startswith("<?xml")
    table = out.with_suffix(".csv")
    code, *_ = draw(capsys, model, place, "pca", *words[:-1], table)
    assert code == 0
    rows = table.read_text(encoding="utf-8").splitlines()
    assert sum(row.startswith("context") for row in rows) >= 4
    assert sum(row.startswith(("fitted", "held out")) for row in rows) == 200


@pytest.mark.parametrize(
    ("method", "more", "said"),
    [
        ("pca", ["--out", "x.doc"], "there is no format .doc"),
        ("pca", ["--perplexity", 5], "takes no --perplexity"),
        ("umap", ["--metric", "round"], "Choose one of: euclidean, cosine"),
        ("umap", ["--neighbours", 190, "--points", 100], "have no 190 neighbours"),
        ("identity", ["--first", 99], "there are 32 dimensions"),
        ("directions", ["--left", "land"], "wants four labels"),
        ("directions", OWN["directions"], "two groups have one mean"),
        ("pca", ["--held-out", 3], "Choose from 0 to 0.9"),
        ("pca", ["--layer", 77], "layers 0 to"),
        ("vae", [], "there is no latent space for layer 1"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(capsys, model, place, method, more, said):
    code, printed, error = draw(capsys, model, place, method, *more)
    assert code == 1
    assert printed == ""
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_missing_folder_is_a_sentence(capsys, model, place):
    words = ["latent", "picture", "--model", model, "--method", "pca", "--corpus", place / "none"]
    code, _, error = run(capsys, *words)
    assert code == 1
    assert "no such folder" in error


def test_refresh_gives_an_old_space_its_reference(capsys, model, place):
    out, code, *_ = train(capsys, model, place, "--states", "mean")
    assert code == 0
    before = out.read_bytes()
    words = ["latent", "refresh", "mine", "--model", model, "--corpus", place / "others"]
    code, printed, _ = run(capsys, *words, "--out", place / "new.safetensors", "--json")
    assert code == 0
    told = json.loads(printed)
    assert told["states"] == sum(told["labels"].values()) == 120
    assert set(told["labels"]) == {"land", "water"}
    assert out.read_bytes() == before
    assert "it is shown against" in (place / "new.md").read_text(encoding="utf-8")
    # In its own file where no other is named.
    code, printed, _ = run(capsys, *words)
    assert code == 0
    assert "120 states: land (60), water (60)" in printed
    assert out.read_bytes() != before

    code, _, error = run(capsys, *words[:5], "--layer", 2, *words[5:])
    assert code == 1
    assert "the layer is 2" in error
    code, _, error = run(capsys, *words[:-1], place / "others" / "none.txt")
    assert code == 1
    assert "no such folder or file" in error
