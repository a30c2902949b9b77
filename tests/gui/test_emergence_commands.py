"""``study emergence``, ``study ladder`` and ``lab evaluate --out``."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

import main as program
from engine.studies import ladder
from engine.studies.emergence import read_table


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab") / "run"
    words = "lab train --arch transformer --task recall --width 16 --steps 4 --batch 4 --pairs 3"
    assert program.main([*words.split(), "--out", str(folder)]) == 0
    return folder


def run(capsys, *words):
    code = program.main([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


def lines(printed):
    return [json.loads(line) for line in printed.splitlines()]


def table_of(path):
    """The rows of a CSV file, without its record."""
    text = path.read_text(encoding="utf-8").splitlines()
    return list(csv.reader(line for line in text if not line.startswith("#")))


def test_without_models_it_tells_the_shipped_ladder(capsys, tmp_path):
    code, out, err = run(capsys, "study", "emergence", "--task", "recall", "--json",
                         "--out", tmp_path / "e.npz")  # fmt: skip
    assert (code, err) == (0, "")
    rows = [line for line in lines(out) if "model" in line]
    ends = [line for line in lines(out) if "curve" in line]
    assert len(rows) == sum(row.task == "recall" for row in read_table())
    assert all(row["exact_match_low"] <= row["exact_match"] + 1e-6 for row in rows)
    assert {line["metric"] for line in ends} == {"exact_match", "edit_distance"}
    with np.load(tmp_path / "e.npz") as file:
        assert len(file["exact_match"]) == len(rows)
        assert set(file["curve_metric"].tolist()) == {"exact_match", "edit_distance"}
        meta = json.loads(str(file["meta"]))
    assert (meta["view"], meta["task"]) == ("study emergence", "recall")


@pytest.mark.parametrize("against", ["steps", "parameters", "compute"])
def test_it_is_drawn_against_each_axis(capsys, tmp_path, against):
    path = tmp_path / "e.svg"
    words = ("--against", against, "--beside", "brier", "--out", path)
    code, out, _ = run(capsys, "study", "emergence", *words)
    assert code == 0
    assert "breakthroughness" in out
    drawn = path.read_text(encoding="utf-8")
    for said in ("exact match", "Brier score", "linearity", "transformer, 2 layers", "LSTM"):
        assert said in drawn


def test_runs_are_measured_kept_as_a_table_and_read_again(capsys, trained, tmp_path):
    table = tmp_path / "t.jsonl"
    words = ("study", "emergence", "--models", trained, "--rows", 8, "--json")
    code, out, _ = run(capsys, *words, "--out", table)
    assert code == 0
    first = [line for line in lines(out) if "model" in line]
    assert [line["step"] for line in first] == [0, 1, 2, 4]
    code, out, _ = run(capsys, "study", "emergence", "--models", table, "--json")
    again = [line for line in lines(out) if "model" in line]
    assert [line["brier"] for line in again] == pytest.approx([x["brier"] for x in first], rel=1e-5)
    code, out, _ = run(capsys, *words[:-1], "--out", tmp_path / "t.csv")
    assert code == 0
    header, *rows = table_of(tmp_path / "t.csv")
    assert len(rows) == 4
    assert {"step", "exact_match", "brier_low", "compute"} <= set(header)
    assert "4 rows of the task recall" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--task", "dancing"], "there is nothing measured on dancing"),
        (["--models", "./none"], "no such folder"),
        (["--models", "none.jsonl"], "Cannot read the table"),
        (["--out", "x.doc"], "no format .doc"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(capsys, words, says):
    code, out, err = run(capsys, "study", "emergence", *words)
    assert (code, out) == (1, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_an_axis_that_is_not_known_is_refused(capsys, trained, tmp_path):
    table = tmp_path / "t.jsonl"
    run(capsys, "study", "emergence", "--models", trained, "--rows", 4, "--out", table)
    told = [{**line, "step": None, "tokens": None} for line in lines(table.read_text())]
    table.write_text("".join(json.dumps(line) + "\n" for line in told))
    code, _, err = run(capsys, "study", "emergence", "--models", table, "--against", "steps")
    assert code == 1
    assert "the steps of these models are not known" in err


def test_the_ladder_is_made_by_one_command(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "TASKS", ("recall",))
    monkeypatch.setattr(ladder, "WIDTHS", (8,))
    monkeypatch.setattr(ladder, "STEPS", {"recall": 2})
    code, out, _ = run(capsys, "study", "ladder", "--out", tmp_path / "l", "--json")
    assert code == 0
    assert [line["step"] for line in lines(out)] == 3 * [0, 1, 2]
    assert len(read_table(tmp_path / "l" / "ladder.jsonl")) == 9
    code, out, _ = run(capsys, "study", "ladder", "--out", tmp_path / "l")
    assert (code, "9 rows" in out) == (0, True)


@pytest.mark.parametrize("suffix", [".json", ".csv", ".npz", ".png", ".svg", ".pdf"])
def test_evaluate_saves_what_it_measures(capsys, trained, tmp_path, suffix):
    path = tmp_path / f"e{suffix}"
    code, out, _ = run(capsys, "lab", "evaluate", trained, "--json", "--out", path)
    assert code == 0
    (told,) = lines(out)
    assert path.stat().st_size > 100
    if suffix == ".csv":
        rows = dict(table_of(path))
        assert float(rows["loss"]) == pytest.approx(told["loss"], rel=1e-5)
        assert rows["task"] == "recall"
    if suffix == ".npz":
        with np.load(path) as file:
            assert float(file["loss"]) == pytest.approx(told["loss"])
            assert file["curve_step"].tolist() == [0, 1, 2, 3, 4]
    if suffix == ".svg":
        assert "held out" in path.read_text(encoding="utf-8")


def test_evaluate_refuses_a_format_before_it_measures(capsys, trained, tmp_path):
    code, out, err = run(capsys, "lab", "evaluate", trained, "--out", tmp_path / "e.doc")
    assert (code, out) == (1, "")
    assert "no format .doc" in err
