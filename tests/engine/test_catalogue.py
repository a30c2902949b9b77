from __future__ import annotations

import os
from pathlib import Path

import pytest
from modelfiles import model_files, write_folder

from engine.errors import UserError
from engine.models.catalogue import Entry, catalogue, default, read, resolve
from engine.models.sources.folder import Folder
from engine.models.sources.gguf import Gguf
from engine.models.sources.hub import Hub


def test_catalogue_has_what_people_look_for() -> None:
    names = [entry.name for entry in catalogue()]
    assert names[:3] == ["builtin", "smollm2-135m-instruct", "all-minilm-l6-v2"]
    assert {"gpt2", "distilgpt2", "bert-base-uncased", "t5-small", "pythia-70m"} <= set(names)
    assert default().name == "smollm2-135m-instruct"


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.name)
def test_entry_is_complete(entry: Entry) -> None:
    assert entry.title
    assert entry.about.endswith(".")
    assert "\n" not in entry.about
    assert entry.family
    assert entry.kind is not None
    assert entry.licence
    assert entry.size > 0
    assert entry.source.where
    assert resolve(entry.name) is entry
    assert resolve(f" {entry.name.upper()} ") is entry


def test_resolve_ids() -> None:
    assert resolve("openai-community/gpt2").name == "gpt2"
    entry = resolve("owner/Some_Model-1.5")
    assert entry.source == Hub("owner/Some_Model-1.5")
    assert entry.title == "Some_Model-1.5"
    assert entry.kind is None
    assert resolve("owner/name@refs/pr/1").source == Hub("owner/name", "refs/pr/1")
    assert resolve("opt-125m").source == Hub("opt-125m")


def test_resolve_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "gpt2", model_files())
    monkeypatch.chdir(tmp_path)
    assert isinstance(resolve("gpt2").source, Hub)
    for text in ("./gpt2", str(folder), f"gpt2{os.sep}", str(folder / "model.safetensors")):
        entry = resolve(text)
        assert entry.source == Folder(str(folder))
        assert entry.name == "gpt2"
        assert entry.in_cache()
    (tmp_path / "Some.Q4.gguf").write_bytes(b"GGUF")
    entry = resolve("Some.Q4.gguf")
    assert entry.source == Gguf(str(tmp_path / "Some.Q4.gguf"))
    assert entry.name == "Some.Q4"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no model was named"),
        ("./nowhere", "no such folder"),
        ("~/nowhere/at-all", "no such folder"),
        ("/nowhere/at-all", "no such folder"),
        ("nowhere.gguf", "no such file"),
        ("a/b/c", "not the id"),
        ("what is this?", "not the id"),
        ("owner/näme", "not the id"),
        ("owner/a..b", "not the id"),
    ],
)
def test_resolve_refuses(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        resolve(text)


def test_resolve_refuses_other_files(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(b"pickle")
    with pytest.raises(UserError, match="holds no model that can be read"):
        resolve(str(file))


GOOD = """
[[model]]
name = "a"
title = "A"
default = true
source = { kind = "hub", repo = "a/a" }
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[model", "array declaration"),
        ("", "`model`"),
        (GOOD + "colour = 1", "colour"),
        (GOOD.replace("hub", "ftp"), "ftp"),
        (GOOD.replace("repo", "depot"), "depot"),
        (GOOD.replace("true", "false"), "exactly one"),
        (GOOD + GOOD, "two models of the name a"),
    ],
)
def test_bad_catalogue(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "models.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=why) as caught:
        read(file)
    assert str(file) in caught.value.sentence


def test_good_and_missing_catalogue(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    with pytest.raises(UserError, match="No such file"):
        read(file)
    file.write_text(GOOD)
    assert [entry.title for entry in read(file)] == ["A"]
