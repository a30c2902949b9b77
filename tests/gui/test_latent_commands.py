"""``main.py latent``: train, list and evaluate, on a model small enough to be made here."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_commandline import save_model, save_tokenizer

import main as program

WORDS = ["dog", "park", "sea", "shore", "fox", "shells", "lazy", "running", "the", "in", "by"]
FIGURES = {
    "explained_variance",
    "pca_explained_variance",
    "elbo",
    "kl_per_dim",
    "active_units",
    "knn_accuracy",
    "pca_knn_accuracy",
    "trustworthiness",
    "pca_trustworthiness",
}


def write_texts(folder, count=150, seed=0):
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for name, words in (("land", WORDS[:6]), ("water", WORDS[4:])):
        lines = (" ".join(rng.choice(words, 8)).capitalize() + "." for _ in range(count))
        (folder / f"{name}.txt").write_text(" ".join(lines), encoding="utf-8")


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


def run(capsys, *words):
    code = program.main([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


def train(capsys, model, place, *more):
    out = place / "cache" / "latent" / "mine.safetensors"
    words = ["latent", "train", "--model", model, "--layer", 1, "--corpus", place / "texts"]
    words += ["--out", out, "--z", 2, "--width", 8, "--epochs", 2, "--batch", 64, *more]
    code, printed, error = run(capsys, *words)
    return out, code, printed, error


@pytest.mark.parametrize("states", ["tokens", "mean", "last"])
def test_train_list_evaluate(capsys, model, place, states):
    out, code, printed, _ = train(
        capsys, model, place, "--states", states, "--tokens", 1500, "--length", 20, "--json"
    )
    assert code == 0
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [line["epoch"] for line in lines[:-1]] == [0, 1, 2]
    assert all(len(line["kl_per_dim"]) == 2 for line in lines[:-1])
    assert all(line["elbo"] == line["reconstruction"] - line["kl"] for line in lines[:-1])
    assert lines[-1]["pooling"] == states
    assert "--json" not in lines[-1]["command"]
    assert out.is_file()

    code, printed, _ = run(capsys, "latent", "list", "--json")
    listed = {line["name"]: line for line in map(json.loads, printed.splitlines())}
    assert code == 0
    assert listed["mine"]["layer"] == 1
    assert not listed["mine"]["shipped"]
    assert listed["builtin-2"]["shipped"]
    code, printed, _ = run(capsys, "latent", "list")
    assert code == 0
    assert "mine" in printed
    assert str(out.parent) in printed

    told = {}
    for corpus in ("others", "texts"):
        words = ["latent", "evaluate", "mine", "--model", model, "--corpus", place / corpus]
        code, printed, _ = run(capsys, *words, "--json")
        assert code == 0
        told[corpus] = json.loads(printed)
        assert set(told[corpus]) >= FIGURES
        assert 0 <= told[corpus]["knn_accuracy"] <= 1
        assert told[corpus]["labels"] == ["land", "water"]
    if states == "mean":
        # Of the texts it was trained on, only what was held out is measured: 2 times 150 sentences.
        assert told["texts"]["held_out_states"] < 0.3 * 300
        assert told["others"]["held_out_states"] == 120


def test_what_cannot_be_measured_is_a_sentence(capsys, model, place, tmp_path):
    out, code, _, _ = train(capsys, model, place, "--states", "mean")
    assert code == 0
    evaluate = ["latent", "evaluate", out, "--corpus", place / "others"]

    other = tmp_path / "other"
    other.mkdir()
    save_model(other, "llama", seed=1)
    save_tokenizer(other)
    code, _, error = run(capsys, *evaluate, "--model", other)
    assert code == 1
    assert "trained for" in error
    assert model.name in error
    assert other.name in error

    code, _, error = run(capsys, *evaluate, "--model", model, "--layer", 2)
    assert code == 1
    assert "layer 1" in error
    assert "the layer is 2" in error

    code, _, error = run(capsys, "latent", "evaluate", "nothing", "--corpus", place / "others")
    assert code == 1
    assert "builtin-2" in error

    alone = place / "others" / "land.txt"
    code, printed, error = run(capsys, *evaluate[:3], "--corpus", alone, "--model", model, "--json")
    assert code == 0
    assert json.loads(printed)["knn_accuracy"] is None
    assert "one label" in error

    (place / "few.txt").write_text("The dog is running in the park.", encoding="utf-8")
    code, _, error = run(capsys, *evaluate[:3], "--corpus", place / "few.txt", "--model", model)
    assert code == 1
    assert "1 states, and it takes 20" in error

    out.write_bytes(out.read_bytes()[:-100])
    code, _, error = run(capsys, *evaluate, "--model", model)
    assert code == 1
    assert "damaged" in error


def test_training_is_refused_in_a_sentence(capsys, model, place):
    _, code, _, error = train(capsys, model, place, "--z", 99)
    assert code == 1
    assert "not fewer than the states' 32" in error
    code, _, error = run(
        capsys, "latent", "train", "--model", model, "--out", place / "x.safetensors"
    )
    assert code == 1
    assert "nothing to train on" in error


def test_a_model_can_be_trained_on_what_it_writes_itself(capsys, model, place):
    (place / "prompts.txt").write_text("The dog\nShe sells\n", encoding="utf-8")
    out = place / "own.safetensors"
    code, printed, _ = run(
        capsys, "latent", "train", "--model", model, "--out", out, "--layer", 1, "--prompts",
        place / "prompts.txt", "--texts-per-prompt", 12, "--text-length", 12, "--length", 8,
        "--z", 2, "--width", 8, "--epochs", 1,
    )  # fmt: skip
    assert code == 0
    assert "The dog (" in printed
    assert out.is_file()
