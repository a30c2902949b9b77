"""``main.py study``: kshot, position and heads, on a model small enough to be made here."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from test_commandline import save_model, save_tokenizer

import main as program

SENTENCE = "The quick brown fox jumps over the lazy dog in the park by the sea shore. "
TASK = """
key = "tiny"
title = "Tiny"
about = "Made for a test."
instruction = "Again."
input = "A {input}\\n"
output = "B: {output}"
scoring = "labels"
labels = ["dog", "fox"]
examples = [
%s]
"""
CONTRACT = {"k", "accuracy", "low", "high", "gold_logprob", "shuffled_accuracy", "macro_f1"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, "llama")
    save_tokenizer(folder)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    rows = "".join(
        f'    {{ input = "{word} {at}", output = "{("dog", "fox")[at % 2]}" }},\n'
        for at, word in enumerate(SENTENCE.split())
    )
    (tmp_path / "tiny.toml").write_text(TASK % rows, encoding="utf-8")
    (tmp_path / "long.txt").write_text(SENTENCE * 20, encoding="utf-8")
    return tmp_path


def run(capsys, *words):
    code = program.main([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


def lines(printed):
    return [json.loads(line) for line in printed.splitlines()]


def test_kshot(capsys, model, place):
    words = ["study", "kshot", "--model", model, "--task", place / "tiny.toml"]
    words += ["--k", "0,1,2", "--seeds", 2, "--queries", 6]
    code, printed, _ = run(capsys, *words, "--json", "--out", place / "curve.json")
    assert code == 0
    told = lines(printed)
    assert [line["k"] for line in told] == [0, 1, 2]
    for line in told:
        assert set(line) >= CONTRACT
        assert 0 <= line["low"] <= line["accuracy"] <= line["high"] <= 1
        assert line["gold_logprob"] < 0
        assert 0 <= line["shuffled_accuracy"] <= 1
        assert line["task"] == "tiny"
    data = json.loads((place / "curve.json").read_text(encoding="utf-8"))
    assert data["accuracy"] == [line["accuracy"] for line in told]
    assert data["meta"]["model"] == model.name
    # Each query can be opened again.
    assert len(data["record_prompt"]) == 2 * 6 * 5
    assert data["record_prompt"][0].startswith("Again.\n\nA ")
    assert np.shape(data["record_logprobs"]) == (60, 2)
    assert data["tokens"] < data["tokens_prompt_by_prompt"]

    # A second time nothing is run: all of it was kept, in whatever form it is asked for.
    for suffix in ("csv", "npz", "svg", "pdf", "png"):
        code, again, _ = run(capsys, *words, "--json", "--out", place / f"curve.{suffix}")
        assert (code, again) == (0, printed)
    with (place / "curve.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert [float(row["accuracy"]) for row in rows] == data["accuracy"]
    with np.load(place / "curve.npz", allow_pickle=False) as arrays:
        assert arrays["accuracy"].tolist() == data["accuracy"]
        assert arrays["record_gold"].shape == (60,)
    svg = (place / "curve.svg").read_text(encoding="utf-8")
    assert "answers drawn by chance" in svg
    assert "chance" in svg

    code, printed, _ = run(capsys, *words)
    assert code == 0
    assert printed.splitlines()[0].split()[:4] == ["k", "accuracy", "low", "high"]
    assert "prompt by prompt it would be" in printed
    code, printed, _ = run(capsys, *words, "--no-shuffled", "--no-instruction", "--json")
    assert code == 0
    assert lines(printed)[2]["shuffled_accuracy"] is None


def test_position(capsys, model, place):
    words = ["study", "position", "--model", model, "--text", place / "long.txt"]
    words += ["--early", 10, "--late", 100, "--texts", 2]
    code, printed, _ = run(capsys, *words, "--json", "--out", place / "p.npz")
    assert code == 0
    *each, score = lines(printed)
    assert [line["position"] for line in each] == list(range(1, score["tokens"]))
    with np.load(place / "p.npz", allow_pickle=False) as arrays:
        losses = arrays["losses"]
    assert score["icl_score"] == pytest.approx((losses[:, 100] - losses[:, 10]).mean(), abs=1e-5)
    assert score["icl_score_low"] <= score["icl_score"] <= score["icl_score_high"]
    assert each[99]["loss"] == pytest.approx(losses[:, 100].mean(), abs=1e-5)
    code, printed, _ = run(capsys, *words, "--out", place / "p.svg")
    assert code == 0
    assert "In-context learning score: " in printed
    assert "in-context learning score" in (place / "p.svg").read_text(encoding="utf-8")


def test_heads(capsys, model, place):
    words = ["study", "heads", "--model", model, "--corpus", place / "long.txt", "--early", 10]
    words += ["--late", 100, "--texts", 1, "--sequences", 2, "--period", 12, "--top", 2]
    code, printed, _ = run(capsys, *words, "--json", "--out", place / "h.json")
    assert code == 0
    told = lines(printed)
    scores = [line for line in told if "layer" in line]
    effects = [line for line in told if "off" in line]
    assert [line["off"] for line in effects] == ["none", "top", "random"]
    highest = sorted(scores, key=lambda line: -line["induction"])[:2]
    assert effects[1]["heads"] == [[line["layer"], line["head"]] for line in highest]
    data = json.loads((place / "h.json").read_text(encoding="utf-8"))
    assert np.array(data["induction"]).size == len(scores)
    assert data["heads_off"][0] == ""
    assert data["icl_score"][1][0] == effects[1]["icl_score"]
    code, printed, _ = run(capsys, *words, "--out", place / "h.svg")
    assert code == 0
    assert "prefix_matching" in printed
    assert "crosses: the 2 heads" in (place / "h.svg").read_text(encoding="utf-8")
    # What the model reads is too short for the default positions, of texts nobody named.
    words = [word for word in words if word not in ("--corpus", place / "long.txt")]
    code, printed, error = run(capsys, *words[:4], "--top", 1, "--sequences", 1, "--json")
    assert code == 0
    assert "reads too few tokens" in error
    assert lines(printed)[-1]["icl_score"] is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("kshot", "--task", "no-such"), "Choose one of antonyms, capitals"),
        (("kshot", "--task", "missing.toml"), "no such file"),
        (("kshot", "--task", "empty.toml"), "it has no examples"),
        (("kshot", "--task", "half.toml"), "it has no “output”"),
        (("kshot", "--task", "sentiment", "--k", "0,200"), "200 examples are to be shown"),
        (("kshot", "--task", "tiny.toml", "--k", "14", "--queries", "1"), "Show at most"),
        (("kshot", "--task", "sentiment", "--out", "a.xyz"), "there is no format .xyz"),
        (("position", "--text", "missing.txt"), "no such folder or file"),
        (("position", "--text", "long.txt"), "lies beyond the 128 tokens"),
        (("position", "--text", "short.txt", "--late", "100"), "the longest text has"),
        (("heads", "--period", "999"), "reads"),
    ],
)
def test_bad_input_is_one_sentence(capsys, model, place, monkeypatch, words, says):
    monkeypatch.chdir(place)
    whole = (place / "tiny.toml").read_text(encoding="utf-8")
    head = whole[: whole.index("examples")]
    (place / "empty.toml").write_text(head + "examples = []\n", encoding="utf-8")
    half = whole.replace('output = "B: {output}"\n', "")
    (place / "half.toml").write_text(half, encoding="utf-8")
    (place / "short.txt").write_text("The dog.", encoding="utf-8")
    code, printed, error = run(capsys, "study", *words, "--model", model)
    assert (code, printed) == (1, "")
    assert len(error.strip().splitlines()) == 1
    assert says in error
    assert not (place / "a.xyz").exists()


@pytest.mark.parametrize("k", ["x", "-1", "1,,2"])
def test_a_k_that_is_no_number_is_wrong_usage(capsys, model, k):
    with pytest.raises(SystemExit) as left:
        run(capsys, "study", "kshot", "--model", model, "--task", "sentiment", f"--k={k}")
    assert left.value.code == 2
