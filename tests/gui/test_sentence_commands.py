"""``main.py sentences``: train, measure, write, on a model small enough to be made here."""

from __future__ import annotations

import json

import pytest
from test_commandline import save_model, save_tokenizer

import main as program

NOUNS = ("dog", "fox", "sea", "park")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, "llama")
    save_tokenizer(folder)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    rows = [
        {"text": f"The {a} {verb} {b}.", "kind": verb}
        for a in NOUNS
        for verb in ("runs", "jumps")
        for b in (*NOUNS, "shells", "it", "shore", "by", "in", "she", "the")
    ]
    others = [{"text": f"A {one} is {two}.", "kind": "is"} for one in NOUNS for two in NOUNS]
    for name, part in (("some", rows[:70] + others), ("all", rows)):
        told = "".join(json.dumps(row) + "\n" for row in part)
        (tmp_path / f"{name}.jsonl").write_text(told, encoding="utf-8")
    return tmp_path


def run(capsys, *words):
    code = program.main([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_train_evaluate_write(capsys, model, place):
    out = place / "cache" / "drafts" / "mine.safetensors"
    train = ["sentences", "train", "--model", model, "--corpus", place / "some.jsonl", "--out", out]
    train += ["--z", 3, "--epochs", 2, "--batch", 16, "--label", "kind"]
    code, printed, error = run(capsys, *train, "--json")
    assert code == 0, error
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [line["number"] for line in lines[:2]] == [1, 2]
    assert {line["label"] for line in lines[2:]} == {"runs", "jumps", "is"}
    assert "| active units |" in out.with_suffix(".md").read_text(encoding="utf-8")

    own = ["--model", model]
    code, printed, _ = run(capsys, "sentences", "evaluate", *own, "--corpus", place / "all.jsonl")
    assert code == 0
    assert printed.startswith("| held-out sentences of | ")
    code, printed, error = run(
        capsys,
        "sentences",
        "write",
        *own,
        "--between",
        "The dog runs it.",
        "The lazy fox.",
        "--json",
    )
    assert code == 0
    assert [json.loads(line)["label"] for line in printed.splitlines()][::6] == ["0 %", "100 %"]
    assert "has not met" in error
    for way, count in (
        (("--here", "The dog runs it."), 1),
        (("--along", "The dog runs it.", "--dimension", 2, "--steps", 3), 3),
        (("--analogy", "The dog runs it.", "The fox runs it.", "The sea runs it."), 1),
        (("--prior", "--seed", 4, "--steps", 2), 2),
    ):
        code, printed, error = run(capsys, "sentences", "write", *own, *way, "--space", out)
        assert code == 0, error
        assert len(printed.splitlines()) == count


def test_what_cannot_be_done_is_one_sentence(capsys, model, place):
    own = ["--model", model]
    code, _, error = run(capsys, "sentences", "write", *own, "--prior")
    assert code == 1
    assert "there is no sentence space for it" in error
    code, _, error = run(capsys, "sentences", "train", *own, "--out", place / "x.safetensors")
    assert code == 1
    assert "--templates" in error
    code, _, error = run(
        capsys, "sentences", "write", *own, "--prior", "--space", place / "some.jsonl"
    )
    assert code == 1
    assert "damaged" in error
