"""Two models compared on the command line: the numbers are their own, what fails is one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from test_commandline import save_model

from gui.headless.text import SENTENCE
from main import main


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tmp_path_factory.mktemp("models")
    return [str(save_model(made / f"llama{seed}", "llama", seed)) for seed in (0, 1)]


def order(*words):
    return main(["export", "--view", "compare", *map(str, words)])


@pytest.mark.parametrize("context", ["", "Sea shells.\n"])
def test_exported_numbers_are_those_of_two_eager_passes(folders, tmp_path, context):
    out = tmp_path / "a.npz"
    words = ["--context", context] if context else []
    assert order("--model", folders[0], "--other-model", folders[1], "--out", out, *words) == 0
    with np.load(out) as file:
        numbers = dict(file)
    passes = []
    for folder, text in zip(folders, (SENTENCE, context + SENTENCE), strict=True):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32
        )
        ids = transformers.AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
        with torch.no_grad():
            passes.append(model.eval()(ids["input_ids"], output_hidden_states=True))
    assert numbers["models"].tolist() == ["llama0", "llama1"]
    a, b = (torch.from_numpy(column) for column in numbers["pairs"].T)
    states = [torch.stack(one.hidden_states)[:-1, 0] for one in passes]
    cosine = torch.cosine_similarity(states[0][:, a], states[1][:, b], dim=-1)
    np.testing.assert_allclose(numbers["shift"][:, :-1], 1 - cosine.T, atol=1e-4)
    q, p = (one.logits[0].log_softmax(-1) for one in passes)
    q, p = q[a[1:] - 1], p[b[1:] - 1]
    np.testing.assert_allclose(numbers["kl"][1:], (p.exp() * (p - q)).sum(-1), atol=1e-4)
    meta = json.loads(str(numbers["meta"]))
    assert (meta["model"], meta["model_b"]) == ("llama0", "llama1")
    assert meta["model_sha256"] != meta["model_b_sha256"]
    assert meta.get("context_b", "") == context


@pytest.mark.parametrize("suffix", [".pdf", ".csv"])
def test_a_picture_and_a_table_of_a_model_beside_itself(folders, tmp_path, suffix):
    out = tmp_path / f"a{suffix}"
    assert order("--model", folders[0], "--other-model", folders[0], "--out", out) == 0
    assert out.stat().st_size > 500


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--view tokens --other-model builtin", "only a comparison is of two models"),
        ("--view compare --model {0} --other-model builtin", "cut texts into different tokens"),
        ("--view compare --model {0} --other-model {0}/nothing", "Cannot"),
    ],
)
def test_what_fails_is_one_line_and_leaves_no_file(folders, tmp_path, capsys, words, says):
    out = tmp_path / "a.npz"
    words = words.format(folders[0]).split()
    assert main(["export", *words, "--out", str(out)]) != 0
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert said.err.count("\n") == 1
    assert not out.exists()
