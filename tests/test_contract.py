"""What other tools rely on: exports of the real models equal transformers' eager attention."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.models.catalogue import resolve
from engine.models.store import fetch
from main import main

ROOT = Path(__file__).resolve().parent.parent
SENTENCE = "The dog is running in the park."


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "main.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DISPLAY": "", **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def export(view: str, out: Path, *arguments: str) -> Path:
    """Export in this process: the command line without the seconds that torch takes to import."""
    assert main(["export", "--view", view, *arguments, "--out", str(out)]) == 0
    return out


def truth(name: str, auto: str) -> Any:
    """The same pass as transformers runs it, eagerly and with everything kept."""
    import torch
    import transformers

    folder = fetch(resolve(name))
    model = getattr(transformers, auto).from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        inputs = tokenizer(SENTENCE, return_tensors="pt")
        output = model.eval()(**inputs, output_attentions=True, output_hidden_states=True)
    return output, inputs["input_ids"][0].tolist()


MODELS = [
    pytest.param("builtin", "AutoModelForCausalLM", 2, id="builtin"),
    pytest.param(
        "smollm2-135m-instruct", "AutoModelForCausalLM", 10, id="default", marks=pytest.mark.model
    ),
    pytest.param("all-minilm-l6-v2", "AutoModel", 3, id="minilm", marks=pytest.mark.model),
]


@pytest.mark.parametrize(("name", "auto", "layer"), MODELS)
def test_exports_equal_transformers(name: str, auto: str, layer: int, tmp_path: Path) -> None:
    output, ids = truth(name, auto)
    common = ("--model", name, "--text", SENTENCE, "--layer", str(layer))
    with np.load(export("attention", tmp_path / "a.npz", *common), allow_pickle=False) as file:
        np.testing.assert_allclose(
            file["weights"], output.attentions[layer][0].numpy(), atol=1e-5, rtol=0
        )
        assert file["ids"].tolist() == ids
        assert len(file["tokens"]) == len(ids)
        assert int(file["layer"]) == layer
        meta = json.loads(str(file["meta"]))
    assert SENTENCE in json.dumps(meta)
    assert resolve(name).title in json.dumps(meta)

    one = export("attention", tmp_path / "h.npz", *common, "--head", "1")
    with np.load(one, allow_pickle=False) as file:
        np.testing.assert_allclose(
            file["weights"], output.attentions[layer][0, 1].numpy(), atol=1e-5, rtol=0
        )

    with np.load(export("embedding", tmp_path / "e.npz", *common), allow_pickle=False) as file:
        np.testing.assert_allclose(
            file["values"], output.hidden_states[layer][0].numpy(), atol=1e-3, rtol=1e-4
        )


def test_the_plane_of_a_latent_space_can_be_chosen(tmp_path: Path) -> None:
    wanted = {"own": ("z₁", "z₂"), "2,5": ("z₂", "z₅"), "1,2,8": ("z₁", "z₂", "z₈")}
    for plane, axes in wanted.items():
        export("latent", out := tmp_path / "a.npz", "--model", "builtin", "--plane", plane)
        with np.load(out) as numbers:
            assert tuple(numbers["axis_names"]) == axes
            assert numbers["xy"].shape[1] == len(axes)
            for column, axis in enumerate(axes):
                dimension = "₁₂₃₄₅₆₇₈".index(axis[1])
                np.testing.assert_allclose(
                    numbers["xy"][:, column], numbers["mu"][:, dimension], atol=1e-6
                )


@pytest.mark.parametrize(
    "name", ["builtin", pytest.param("smollm2-135m-instruct", marks=pytest.mark.model)]
)
def test_latent_exports_hold_the_posterior(name: str, tmp_path: Path) -> None:
    file = export("latent", tmp_path / "l.npz", "--model", name, "--text", SENTENCE)
    with np.load(file, allow_pickle=False) as arrays:
        tokens, width = arrays["mu"].shape
        assert arrays["logvar"].shape == (tokens, width)
        assert arrays["xy"].shape == (tokens, 2)
        assert len(arrays["tokens"]) == tokens
        assert np.isfinite(arrays["mu"]).all()
        assert arrays["layer"].shape == ()


@pytest.mark.parametrize("view", ["tokens", "embedding", "attention", "latent", "mosaic"])
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf", "npz", "csv", "json"])
def test_every_view_in_every_format(view: str, suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"{view}.{suffix}"
    export(view, out, "--model", "builtin", "--text", SENTENCE)
    assert out.stat().st_size > 200


def test_without_a_display_or_qt(tmp_path: Path) -> None:
    blocked = (
        "import sys\n"
        "for name in ('PySide6', 'shiboken6', 'pyqtgraph', 'superqt'): sys.modules[name] = None\n"
        "from main import main\n"
        f"sys.exit(main(['export', '--view', 'tokens', '--model', 'builtin', '--out',"
        f" {str(tmp_path / 'a.json')!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocked], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "a.json").read_text())["tokens"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("export", "--view", "attention"), 2),
        (("export", "--view", "nothing", "--out", "a.png"), 2),
        (("export", "--view", "attention", "--out", "a.png", "--layer", "x"), 2),
        (("export", "--view", "attention", "--out", "a.xyz", "--model", "builtin"), 1),
        (
            ("export", "--view", "attention", "--out", "a.npz", "--model", "no/such-folder-here/x"),
            1,
        ),
        (("export", "--view", "tokens", "--out", "a.npz", "--text-file", "missing.txt"), 1),
        (("models", "get", "no-such-model-of-ours"), 1),
    ],
)
def test_exit_codes(arguments: tuple[str, ...], code: int, tmp_path: Path) -> None:
    given = [str(tmp_path / a) if a.startswith("a.") else a for a in arguments]
    done = run(*given, HF_HUB_OFFLINE="1")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_layer_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path / "a.npz"))
    given = ["export", "--view", "attention", "--model", "builtin", "--layer", "99", *out]
    assert main(given) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_table_of_models() -> None:
    done = run("models")
    assert done.returncode == 0
    for word in ("builtin", "smollm2-135m-instruct", "all-minilm-l6-v2", "gpt2", "Apache-2.0"):
        assert word in done.stdout
