"""``main.py lab``: train and evaluate, and one sentence for whatever cannot be done."""

from __future__ import annotations

import json

import pytest
import torch

import main as program

TINY = ["--layers", 2, "--width", 16, "--steps", 6, "--batch", 4, "--check-every", 3]
POINT = {"step", "loss", "accuracy", "train_loss", "in_context_score", "induction_score"}
MEASURES = {"loss", "perplexity", "accuracy", "induction_score", "in_context_score"}


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def poem(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text("the rose is red, the violet is blue.\n" * 30, encoding="utf-8")
    return path


def run(capsys, *words):
    code = program.main(["lab", *(str(word) for word in words)])
    told = capsys.readouterr()
    return code, told.out, told.err


def train(capsys, out, task, *more, arch="transformer"):
    return run(capsys, "train", "--arch", arch, "--task", task, "--out", out, *TINY, *more)


@pytest.mark.parametrize("arch", ["transformer", "lstm"])
def test_train_and_evaluate(capsys, tmp_path, arch):
    code, printed, error = train(capsys, tmp_path / "run", "repeat", "--json", arch=arch)
    assert (code, error) == (0, "")
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4, 6]
    assert all(line.keys() >= POINT for line in lines)

    code, printed, _ = run(capsys, "evaluate", tmp_path / "run", "--json")
    assert code == 0
    (told,) = map(json.loads, printed.splitlines())
    assert told.keys() >= MEASURES | {"second_half_accuracy"}
    assert (told["arch"], told["task"], told["steps"]) == (arch, "repeat", 6)
    assert (told["induction_score"] is None) == (arch == "lstm")
    assert told["loss"] == pytest.approx(lines[-1]["loss"], abs=0.1)

    code, printed, _ = run(capsys, "evaluate", tmp_path / "run")
    assert {line.split()[0] for line in printed.splitlines()} == told.keys()


def test_a_run_goes_on_by_itself_and_is_not_done_twice(capsys, tmp_path, monkeypatch):
    from engine.lab import learning

    plain, calls = learning._learnt, 0

    def interrupted(model, rows):
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return plain(model, rows)

    monkeypatch.setattr(learning, "_learnt", interrupted)
    assert train(capsys, tmp_path / "run", "recall")[0] == 130
    code, printed, error = train(capsys, tmp_path / "run", "recall")
    assert (code, "going on from step 4" in error) == (0, True)
    assert printed.splitlines()[0].startswith("Step 6 of 6, held-out loss")
    assert "recall: attention only, 2 layers, width 16, seed 0" in printed.splitlines()[-1]
    code, printed, error = train(capsys, tmp_path / "run", "recall", "--json")
    assert (code, "nothing was left to train" in error) == (0, True)
    assert json.loads(printed)["step"] == 6


def test_texts_are_learnt_and_others_judged(capsys, tmp_path, poem):
    words = ["--corpus", poem, "--length", 16]
    assert (
        train(capsys, tmp_path / "run", "text", *words, "--mlp", 8, "--positions", "learned")[0]
        == 0
    )
    code, printed, error = run(capsys, "evaluate", tmp_path / "run", "--json")
    own = json.loads(printed)
    assert (code, error) == (0, "")
    assert own["tokens"] == 110
    assert "second_half_accuracy" not in own
    other = tmp_path / "other.txt"
    other.write_text("the ROSE is red", encoding="utf-8")
    code, printed, error = run(capsys, "evaluate", tmp_path / "run", "--json", "--corpus", other)
    assert code == 0
    assert json.loads(printed)["tokens"] == 14
    assert "4 of 14 tokens are unknown" in error
    other.write_text("t", encoding="utf-8")
    code, printed, error = run(capsys, "evaluate", tmp_path / "run", "--corpus", other)
    assert (code, printed) == (1, "")
    assert "comes to 1 token." in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["repeat", "--heads", 3], "a width of 16 cannot be shared out among 3 heads"),
        (["repeat", "--digits", 3], "the task repeat has no digits"),
        (["repeat", "--corpus", "poem.txt"], "its rows are made, not read"),
        (["text"], "none were named"),
        (["text", "--corpus", "nothing.txt"], "there is no such file"),
        (["text", "--corpus", "byte.txt"], "they leave 1 character to learn from"),
        (["repeat", "--rate", "1e4", "--steps", 60], "The training was stopped: the loss was"),
        (["repeat", "--threads", 0], "Choose 1 thread or more"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(capsys, tmp_path, monkeypatch, poem, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "byte.txt").write_bytes(b"a")
    code, _, error = train(capsys, tmp_path / "run", *words)
    assert code == 1
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_folder_with_something_else_is_left_alone(capsys, tmp_path, poem):
    code, printed, error = train(capsys, tmp_path, "repeat")
    assert (code, printed) == (1, "")
    assert "something that is not a run" in error
    assert [path.name for path in tmp_path.iterdir()] == ["poem.txt"]
    code, _, error = run(capsys, "evaluate", tmp_path)
    assert code == 1
    assert "it holds no run.json" in error


def test_wrong_words_leave_with_two(capsys, tmp_path):
    with pytest.raises(SystemExit) as left:
        train(capsys, tmp_path / "run", "chess")
    assert left.value.code == 2
