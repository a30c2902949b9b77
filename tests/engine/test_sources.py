"""Folders and wheels, and the cache they end up in."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import pytest
from filelock import FileLock
from hubserver import HubServer, hub_server
from modelfiles import model_files, write_folder, write_wheel
from sourcetools import assert_nothing_left, drive, drive_until, wheel_entry

from engine.errors import UserError
from engine.models import store
from engine.models.catalogue import resolve
from engine.models.sources import process
from engine.models.sources.amounts import BEAT
from engine.models.sources.base import Steps
from engine.models.store import acquire, fetch, models_dir, open_spec, read_manifest
from engine.paths import ROOT
from engine.types import Progress

WHEEL = "tiny_model-1.0-py3-none-any.whl"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    (tmp_path / "wheels").mkdir()
    members = {f"model/{name}": data for name, data in model_files().items()}
    members["__init__.py"] = b"raise SystemExit('never run')"
    # never taken out, and large: pip writes pieces of 256 kB
    members["model/pytorch_model.bin"] = bytes(1 << 20)
    return write_wheel(tmp_path / "wheels" / WHEEL, "tiny_model", members)


@pytest.fixture
def no_pip(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not about pip, do without the second that it takes."""

    def run(
        args: list[str], note: Callable[[bytes], Progress], _: object
    ) -> Steps[process.Finished]:
        shutil.copy(wheel, args[args.index("--dest") + 1])
        yield note(b"")
        return process.Finished(0, "", "")

    monkeypatch.setattr("engine.models.sources.wheel.run", run)


@pytest.fixture
def index(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A package index that takes its time, with the wheel on it."""
    with hub_server() as server:
        server.wheels[WHEEL] = wheel.read_bytes()
        server.pause = 0.05
        server.piece = 32 << 10
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        yield server


# --- folders -------------------------------------------------------------------------------------


def test_folder_is_used_in_place(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine", model_files())
    entry = resolve(str(folder))
    found, seen = drive(entry)
    assert found == folder
    assert seen == []
    assert not models_dir().exists()
    spec = open_spec(entry, found)
    assert (spec.name, spec.family, spec.kind) == ("mine", "llama", "decoder")
    assert spec.source == str(folder)
    data = (folder / "model.safetensors").read_bytes()
    assert spec.fingerprint == hashlib.sha256(data).hexdigest()


def test_split_weights(tmp_path: Path) -> None:
    files = model_files()
    whole = files.pop("model.safetensors")
    other = model_files(seed=1)["model.safetensors"]
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": {"a": names[0], "b": names[1], "c": names[0]}}
    files |= {names[0]: whole, names[1]: other}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    folder = write_folder(tmp_path / "split", files)
    assert fetch(resolve(str(folder))) == folder
    spec = open_spec(resolve(str(folder)), folder)
    assert spec.fingerprint == hashlib.sha256(whole + other).hexdigest()
    (folder / names[1]).unlink()
    with pytest.raises(UserError, match="1 of its 2 weight files are missing, model-00002"):
        fetch(resolve(str(folder)))
    index["weight_map"]["b"] = "../elsewhere.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="lists no weight files"):
        fetch(resolve(str(folder)))


def _changed(**changes: bytes | None) -> dict[str, bytes]:
    names = {name.replace(".", "_"): name for name in model_files()}
    files = model_files()
    for key, data in changes.items():
        name = names.get(key, key.replace("__", "."))
        files.pop(name, None)
        if data is not None:
            files[name] = data
    return files


WEIGHTS = model_files()["model.safetensors"]
HEADER = int.from_bytes(WEIGHTS[:8], "little")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "no model in it"),
        ({"a.gguf": b""}, "holds GGUF files"),
        ({"adapter_config.json": b"{}"}, "an adapter"),
        (_changed(config_json=b"{"), "config.json is not valid JSON"),
        (_changed(config_json=b"[1]"), "holds no table"),
        (_changed(config_json=b"{}"), "model_type"),
        (_changed(config_json=b'{"model_type": "no-such-kind"}'), "knows no models of the kind"),
        (
            _changed(config_json=b'{"model_type": "own-kind", "auto_map": {"AutoModel": "x.Y"}}'),
            "bring their own code, and it is never run",
        ),
        (_changed(model_safetensors=None), "model.safetensors is missing"),
        (_changed(model_safetensors=None, model__gguf=b""), "holds GGUF files"),
        (_changed(model_safetensors=None, pytorch_model__bin=b"x"), "are a pickle"),
        (_changed(model_safetensors=None, other__safetensors=b"x"), "other.safetensors in it"),
        (_changed(model_safetensors=None, training_args__bin=b"x"), "no weights in it"),
        (_changed(model_safetensors=b""), "cut short"),
        (_changed(model_safetensors=WEIGHTS[:100]), "cut short"),
        (_changed(model_safetensors=WEIGHTS[: len(WEIGHTS) // 2]), "5. % of the weights"),
        (_changed(model_safetensors=WEIGHTS + b"x"), "longer than it should be"),
        (_changed(model_safetensors=b"\xff" * 8 + WEIGHTS[8:]), "damaged"),
        (_changed(model_safetensors=WEIGHTS[:8] + b"x" * HEADER), "not a safetensors file"),
        (_changed(model_safetensors=b"\x02" + bytes(7) + b"{}"), "holds no weights"),
        (
            _changed(model_safetensors=b"version https://git-lfs.github.com/spec/v1\noid x"),
            "placeholder of git-lfs",
        ),
        (_changed(tokenizer_json=None), "no tokenizer"),
    ],
)
def test_folder_refused(tmp_path: Path, files: dict[str, bytes], why: str) -> None:
    (tmp_path / "mine").mkdir()
    folder = write_folder(tmp_path / "mine", files)
    with pytest.raises(UserError, match=why) as caught:
        fetch(resolve(str(folder)))
    assert caught.value.what == f"Cannot open {folder}"


def test_pickle_refusal_says_how_to_convert(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "mine", _changed(model_safetensors=None, pytorch_model__bin=b"x")
    )
    with pytest.raises(UserError, match="save_pretrained"):
        fetch(resolve(str(folder)))


def test_folder_that_went_away(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine", model_files())
    entry = resolve(str(folder))
    shutil.rmtree(folder)
    assert not entry.in_cache()
    with pytest.raises(UserError, match="there is no such folder"):
        fetch(entry)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "gpt2"}, "decoder"),
        ({"model_type": "bert"}, "encoder"),
        ({"model_type": "bert", "is_decoder": True}, "decoder"),
        ({"model_type": "xlm-roberta"}, "encoder"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "encoder-decoder"),
    ],
)
def test_guess_kind(config: dict[str, object], kind: str) -> None:
    assert store.guess_kind(config) == kind


# --- wheels --------------------------------------------------------------------------------------


def test_wheel(wheel: Path) -> None:
    entry = wheel_entry(wheel)
    assert not entry.in_cache()
    folder, seen = drive(entry)
    assert entry.in_cache()
    assert {path.name for path in folder.iterdir()} == {*model_files(), "manifest.json"}
    for name, data in model_files().items():
        assert (folder / name).read_bytes() == data
    fractions = [progress.fraction for progress in seen]
    assert None not in fractions
    assert fractions == sorted(fractions)  # type: ignore[type-var]
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.fingerprint == hashlib.sha256(WEIGHTS).hexdigest()
    assert manifest.origin["sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert manifest.program
    spec = open_spec(entry, folder)
    assert spec.fingerprint == manifest.fingerprint
    assert spec.source == "tiny_model 1.0 on the package index"
    assert_nothing_left()
    assert drive(entry) == (folder, [])


@pytest.mark.usefixtures("no_pip")
def test_damaged_copy_is_replaced(wheel: Path) -> None:
    entry = wheel_entry(wheel)
    folder = fetch(entry)
    (folder / "model.safetensors").write_bytes(WEIGHTS[:100])
    assert not entry.in_cache()
    assert fetch(entry) == folder
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert_nothing_left()


@pytest.mark.usefixtures("no_pip")
def test_wheel_with_wrong_hash(wheel: Path) -> None:
    with pytest.raises(UserError, match="not the file it should be") as caught:
        fetch(wheel_entry(wheel, sha256="0" * 64))
    assert "SHA-256" in caught.value.sentence
    assert_nothing_left()


def test_wheel_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with pytest.raises(UserError, match=r"the package index has no tiny_model 1\.0"):
        fetch(wheel_entry(tmp_path / "wheels" / WHEEL))
    assert_nothing_left()


@pytest.mark.usefixtures("no_pip")
def test_wheel_without_the_member(wheel: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.txt"):
        fetch(wheel_entry(wheel, members=("config.json", "nowhere.txt")))
    assert_nothing_left()


def test_wheel_without_a_network(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_server() as server:
        closed = server.url
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", f"{closed}/simple")
    with pytest.raises(UserError, match="package index cannot be reached"):
        fetch(wheel_entry(wheel))
    assert_nothing_left()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("/usr/bin/python: No module named pip", "this Python has no pip"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("SSLError(CERTIFICATE_VERIFY_FAILED)", "certificate"),
        ("WARNING: x\nERROR: something else", "pip failed: something else"),
        ("", "pip failed: code 1"),
    ],
)
def test_what_pip_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, why: str
) -> None:
    def no_pip(*_: object) -> Iterator[Progress]:
        yield Progress("")
        return process.Finished(1, "", said)  # type: ignore[return-value]

    monkeypatch.setattr("engine.models.sources.wheel.run", no_pip)
    with pytest.raises(UserError, match=why):
        fetch(wheel_entry(tmp_path / WHEEL))
    assert_nothing_left()


def test_cancel_while_downloading(
    index: HubServer, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PATIENCE", 60)
    entry = wheel_entry(wheel)
    steps = drive_until(entry, lambda p: " of " in p.text and bool(p.fraction))
    assert list(models_dir().glob(".*.part"))
    before = time.monotonic()
    steps.close()
    assert time.monotonic() - before < process.PATIENCE  # it went when it was told to
    assert not list(models_dir().glob(".*.part"))
    assert not entry.in_cache()
    assert_nothing_left()
    # and the way is free for the next try
    index.pause = 0
    _, seen = drive(entry)
    assert not any("Another Contextscope" in progress.text for progress in seen)


def test_download_keeps_reporting(index: HubServer, wheel: Path) -> None:
    steps = acquire(wheel_entry(wheel))
    beats = [time.monotonic()]
    texts = set()
    for progress in steps:
        beats.append(time.monotonic())
        texts.add(progress.text)
    gaps = [b - a for a, b in pairwise(beats)]
    # In one piece the download would be most of the time.
    assert max(gaps) < sum(gaps) / 2
    assert median(gaps) < 5 * BEAT
    assert any(" of " in text for text in texts)


RACE = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from sourcetools import drive, wheel_entry
folder, seen = drive(wheel_entry(Path(sys.argv[3])))
print(folder)
print(any("Another Contextscope" in p.text for p in seen))
print("torch" in sys.modules, "transformers" in sys.modules, "huggingface_hub" in sys.modules)
"""


def test_two_programs_at_once(index: HubServer, wheel: Path) -> None:
    args = [sys.executable, "-c", RACE, str(ROOT), str(Path(__file__).parent), str(wheel)]
    programs = [subprocess.Popen(args, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [program.communicate(timeout=300)[0].split() for program in programs]
    assert [program.returncode for program in programs] == [0, 0]
    assert said[0][0] == said[1][0]
    assert sorted(words[1] for words in said) == ["False", "True"]
    assert all(words[2:] == ["False"] * 3 for words in said)
    assert index.got(".whl") == 1
    assert (Path(said[0][0]) / "model.safetensors").read_bytes() == WEIGHTS
    assert_nothing_left()


@pytest.mark.usefixtures("no_pip")
def test_cancel_while_waiting_for_another(wheel: Path) -> None:
    entry = wheel_entry(wheel)
    locks = models_dir() / ".locks"
    locks.mkdir(parents=True)
    with FileLock(locks / f"{entry.source.pattern}.lock"):
        steps = drive_until(entry, lambda p: p.text == "Another Contextscope is fetching Tiny")
        steps.close()
    fetch(entry)


@pytest.mark.usefixtures("no_pip")
def test_leftovers_are_swept(wheel: Path) -> None:
    entry = wheel_entry(wheel)
    names = {
        "mine": f".{entry.source.pattern}.abc.part",
        "old": ".other@1.abc.part",
        "young": ".other@2.abc.part",
    }
    for name in names.values():
        write_folder(models_dir() / name, {"model/file": b"x"})
    long_ago = time.time() - 3 * store.STALE
    old = models_dir() / names["old"]
    for path in (old, *old.rglob("*")):
        os.utime(path, (long_ago, long_ago))
    fetch(entry)
    assert [path.name for path in models_dir().glob(".*.part")] == [names["young"]]


def test_cache_that_cannot_be_written(
    tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="CONTEXTSCOPE_CACHE") as caught:
        fetch(wheel_entry(wheel))
    assert caught.value.what.startswith("Cannot keep Tiny in ")


@pytest.mark.usefixtures("no_pip")
def test_read_only_cache(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = wheel_entry(wheel)
    folder = fetch(entry)

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("mkdir", "rename", "unlink", "write_bytes", "chmod", "touch"):
        monkeypatch.setattr(Path, name, read_only)
    monkeypatch.setattr(store.tempfile, "mkdtemp", read_only)
    monkeypatch.setattr(store, "FileLock", read_only)
    assert fetch(entry) == folder  # what is there opens
    assert open_spec(entry, folder).fingerprint
    with pytest.raises(UserError, match="not writable"):
        fetch(wheel_entry(wheel, sha256="1" * 64))


def test_no_room(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"it takes 2\.\d MB .* has 1\.0 kB left"):
        fetch(wheel_entry(wheel))
    assert_nothing_left()


@pytest.mark.usefixtures("no_pip")
def test_disk_that_fills_up(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Iterator[Progress]:
        yield Progress("")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("engine.models.sources.wheel.copied", full)
    with pytest.raises(UserError, match="the disk is full"):
        fetch(wheel_entry(wheel))
    assert_nothing_left()
