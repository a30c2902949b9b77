"""The hub, spoken to for real through its own library, on a server of ours."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from hubserver import COMMIT, HubServer, Repo, hub_server
from modelfiles import model_files, write_folder
from sourcetools import assert_nothing_left, drive, drive_until

from engine.errors import UserError
from engine.models.catalogue import resolve
from engine.models.sources.hub import RemoteFile
from engine.models.sources.hub_process import explain, find, wanted
from engine.models.store import fetch, models_dir, open_spec, read_manifest


@pytest.fixture(autouse=True)
def _own_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HF_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        files = model_files()
        files["pytorch_model.bin"] = b"a pickle"
        files["onnx/model.onnx"] = b"another format"
        files["README.md"] = b"words"
        server.repos["owner/tiny"] = Repo(files)
        yield server


def test_fetches_what_is_needed_at_one_commit(
    hub: HubServer, capfd: pytest.CaptureFixture[str]
) -> None:
    entry = resolve("owner/tiny")
    assert not entry.in_cache()
    folder, seen = drive(entry)
    assert capfd.readouterr() == ("", "")  # nothing reaches the terminal
    assert {path.name for path in folder.iterdir()} == {*model_files(), "manifest.json"}
    for name, data in model_files().items():
        assert (folder / name).read_bytes() == data
    assert all(COMMIT in path for _, path in hub.requests if "/resolve/" in path)
    assert not any(path.endswith((".bin", ".onnx", ".md")) for _, path in hub.requests)
    assert folder.name == f"owner--tiny@{COMMIT[:12]}"
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.origin["commit"] == COMMIT
    spec = open_spec(entry, folder)
    assert spec.licence == "mit"
    assert spec.source == f"{hub.url.removeprefix('http://')}/owner/tiny"
    assert seen[0].text == "Looking for tiny"
    assert_nothing_left()
    # the second time nobody is asked
    hub.requests.clear()
    assert fetch(resolve("owner/tiny")) == folder
    assert fetch(resolve(f"owner/tiny@{COMMIT}")) == folder
    assert not resolve("owner/tiny@other").in_cache()
    assert hub.requests == []


def test_revisions_are_steps_of_one_curve(hub: HubServer) -> None:
    """As Pythia has them: ``owner/name@step1000``."""
    from engine.studies.standing import Order, emergence_job

    hub.repos["owner/tiny"].refs = ("step1", "step1000")
    names = ("owner/tiny@step1000", "owner/tiny@step1", "owner/tiny@step7")
    steps = emergence_job(Order(names, rows=4, device="cpu"))
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            study = stop.value
            break
    assert [(row.model, row.step) for row in study.rows] == [("tiny", 1000), ("tiny", 1)]
    (curve,) = study.curves("logprob")
    assert curve.x.tolist() == [1, 1000]
    (said,) = study.refused
    assert "step7" in said


def test_split_weights(hub: HubServer) -> None:
    files = model_files()
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    files[names[0]] = files.pop("model.safetensors")
    files[names[1]] = model_files(seed=1)["model.safetensors"]
    index = json.dumps({"weight_map": {"a": names[0], "b": names[1]}}).encode()
    files["model.safetensors.index.json"] = index
    hub.repos["owner/split"] = Repo(files)
    folder = fetch(resolve("owner/split"))
    assert {path.name for path in folder.iterdir()} == {*files, "manifest.json"}
    del files[names[1]]
    hub.repos["owner/half"] = Repo(files)
    with pytest.raises(UserError, match=f"lacks {names[1]}"):
        fetch(resolve("owner/half"))
    assert_nothing_left()


def test_broken_connection_is_taken_up_again(hub: HubServer) -> None:
    hub.drop = 1
    folder = fetch(resolve("owner/tiny"))
    assert (folder / "model.safetensors").read_bytes() == model_files()["model.safetensors"]


@pytest.mark.parametrize("text", ["owner/nowhere", "nowhere", "owner/gated"])
def test_refused(hub: HubServer, text: str) -> None:
    hub.repos["owner/gated"] = Repo(model_files(), gated=True)
    why = "accepted their terms" if "gated" in text else "knows no such model, or it is private"
    with pytest.raises(UserError, match=why):
        fetch(resolve(text))
    assert_nothing_left()


@pytest.mark.parametrize(
    ("repo", "revision", "why"),
    [
        ("owner/tiny", "v9", "has no such revision"),
        ("owner/busy", "main", "too many requests"),
        ("owner/broken", "main", "answered with error 503"),
        ("owner//tiny", "main", "not the id of a model"),
    ],
)
def test_what_the_hub_says(hub: HubServer, repo: str, revision: str, why: str) -> None:
    hub.repos["owner/busy"] = Repo({}, status=429)
    hub.repos["owner/broken"] = Repo({}, status=503)
    try:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of many kinds, and told apart
            find(repo, revision)
        assert why in explain("Cannot open it", repo, caught.value).why
    finally:
        huggingface_hub.close_session()


def test_contents_that_are_not_the_announced_ones(hub: HubServer) -> None:
    true = model_files()["model.safetensors"]
    hub.repos["owner/tiny"].lies["model.safetensors"] = true[:-1] + bytes([true[-1] ^ 1])
    with pytest.raises(UserError, match=r"model\.safetensors arrived damaged"):
        fetch(resolve("owner/tiny"))
    assert_nothing_left()


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_server() as server:
        closed = server.url
    monkeypatch.setenv("HF_ENDPOINT", closed)
    with pytest.raises(UserError, match=f"{closed} cannot be reached"):
        fetch(resolve("gpt2"))
    assert not models_dir().exists()


def test_offline(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE keeps the program from the network"):
        fetch(resolve("owner/tiny"))
    assert hub.requests == []


def test_copy_of_another_program_is_used(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "hf" / "hub" / "models--owner--kept"
    write_folder(kept / "snapshots" / COMMIT, model_files())
    write_folder(kept / "refs", {"main": COMMIT.encode()})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = fetch(resolve("owner/kept"))
    assert folder.name == f"owner--kept@{COMMIT[:12]}"
    assert hub.requests == []
    # with a network too, after asking which commit is the newest
    monkeypatch.delenv("HF_HUB_OFFLINE")
    write_folder(
        tmp_path / "hf" / "hub" / "models--owner--tiny" / "snapshots" / COMMIT, model_files()
    )
    fetch(resolve("owner/tiny"))
    assert not any("/resolve/" in path for _, path in hub.requests)


def test_cancel(hub: HubServer) -> None:
    hub.pause = 0.1
    entry = resolve("owner/tiny")
    steps = drive_until(entry, lambda p: " of " in p.text and bool(p.fraction))
    steps.close()
    assert not list(models_dir().glob(".*.part"))
    assert not entry.in_cache()
    assert not [t for t in threading.enumerate() if t.name.startswith("contextscope")]
    assert_nothing_left()


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["model.safetensors"], "config.json is missing"),
        (["adapter_config.json", "adapter_model.safetensors"], "an adapter"),
        (["a.gguf", "README.md"], "GGUF files only"),
        (["config.json", "pytorch_model.bin"], "are a pickle"),
        (["config.json", "pytorch_model.bin"], "save_pretrained"),
        (["config.json", "tf_model.h5"], "no safetensors"),
    ],
)
def test_repositories_that_cannot_be_used(names: list[str], why: str) -> None:
    with pytest.raises(UserError, match=why):
        wanted([RemoteFile(name) for name in names], "Cannot open it")


def test_one_form_of_the_weights_is_enough() -> None:
    names = ["config.json", "model.safetensors", "model.fp16.safetensors", "vocab.txt"]
    names += ["model-00001-of-00001.safetensors", "consolidated.safetensors", "merges.txt"]
    found = wanted([RemoteFile(name) for name in names], "")
    assert {file.name for file in found} == {
        "config.json",
        "model.safetensors",
        "vocab.txt",
        "merges.txt",
    }
