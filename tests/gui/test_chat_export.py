"""``export`` with a chat template and another precision, through the real engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

import tinymodels

import main as program

TEMPLATE = "<s>user {{ messages[0]['content'] }}</s>"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    return tinymodels.save_model("llama", tmp_path / "model")


def export(folder: Path, out: Path, *words: str) -> int:
    given = ["--view", "tokens", "--out", str(out), "--model", str(folder), "--text", "The dog"]
    return program.main(["export", *given, *words])


def test_the_template_is_in_the_file_and_in_its_record(folder: Path, tmp_path: Path) -> None:
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    plain, chat = tmp_path / "plain.npz", tmp_path / "chat.npz"
    assert export(folder, plain) == 0
    assert export(folder, chat, "--chat") == 0
    with np.load(plain) as one, np.load(chat) as other:
        assert len(other["ids"]) > len(one["ids"])
        assert json.loads(str(other["meta"]))["chat_template"] is True
        assert "chat_template" not in json.loads(str(one["meta"]))


def test_without_a_template_that_is_a_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "chat.npz"
    assert export(folder, out, "--chat") == 1
    assert "without a template" in capsys.readouterr().err
    assert not out.exists()


def test_fewer_digits_are_told_with_their_error(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "narrow.json"
    assert export(folder, out, "--dtype", "bfloat16") == 0
    meta = json.loads(out.read_text())["meta"]
    assert meta["dtype"] == "bfloat16"
    assert 0 < meta["dtype_error"] < 1
    assert "next-token probability" in meta["dtype_note"]
