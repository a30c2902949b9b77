"""GGUF files: read, refused, converted."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from modelfiles import TEMPLATE, write_gguf
from safetensors.numpy import load_file
from sourcetools import assert_nothing_left, drive, drive_until
from tokenizers import Tokenizer

from engine.errors import UserError
from engine.models import convert
from engine.models.catalogue import default, resolve
from engine.models.sources.gguf import read_header
from engine.models.store import fetch, models_dir, open_spec, read_manifest


@pytest.fixture(autouse=True)
def _own_cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("model") is None:
        path = request.getfixturevalue("tmp_path") / "cache"
        monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(path))


def test_convert(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "Tiny.F32.gguf"
    tensors = write_gguf(path)
    entry = resolve(str(path))
    assert not entry.in_cache()
    folder, seen = drive(entry)
    assert capfd.readouterr() == ("", "")
    # later stages may pass between two looks
    assert "Converting Tiny.F32: starting" in {progress.text for progress in seen}
    fractions = [progress.fraction or 0.0 for progress in seen]
    assert fractions == sorted(fractions)

    saved = load_file(folder / "model.safetensors")
    assert saved.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert saved[name].dtype == np.float32
        np.testing.assert_array_equal(saved[name], tensor, err_msg=name)

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode("the dog").tokens == ["the", "Ġdog"]
    assert tokenizer.encode("<|im_start|>the").tokens == ["<|im_start|>", "the"]
    # digits stand alone in this vocabulary, and so do the spaces before them
    assert tokenizer.encode("a  12").tokens == ["a", "ĠĠ", "1", "2"]
    for text in ("Naïve 🙂 中文\n\tx", " two  spaces "):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert (folder / "chat_template.jinja").read_text() == TEMPLATE

    spec = open_spec(entry, folder)
    assert (spec.name, spec.family, spec.kind) == ("Tiny.F32", "llama", "decoder")
    assert (spec.licence, spec.source) == ("mit", str(path))
    manifest = read_manifest(folder)
    assert manifest is not None
    assert spec.fingerprint == manifest.origin["sha256"]
    assert b"quantization" not in (folder / "config.json").read_bytes()
    assert_nothing_left()

    # It is known again without being read, and by its content where it was moved.
    assert drive(entry) == (folder, [])
    moved = path.rename(tmp_path / "elsewhere").rename(tmp_path / "Tiny.F32.gguf")
    assert fetch(resolve(str(moved))) == folder
    moved.touch()
    assert not entry.in_cache()
    assert fetch(entry) == folder


def test_cancel(tmp_path: Path) -> None:
    path = tmp_path / "Tiny.gguf"
    write_gguf(path)
    entry = resolve(str(path))
    steps = drive_until(entry, lambda p: p.text == "Converting Tiny: starting")
    steps.close()
    assert not list(models_dir().glob(".*.part"))
    assert not entry.in_cache()
    assert_nothing_left()


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _gguf(version: int = 3, kind: int = 0, **facts: int | str) -> bytes:
    """A file with one tensor of 32 numbers."""
    data = b"GGUF" + struct.pack("<IQQ", version, 1, len(facts))
    for key, value in facts.items():
        data += _text(key.replace("__", "."))
        data += struct.pack("<II", 4, value) if isinstance(value, int) else b"\x08\0\0\0"
        data += _text(value) if isinstance(value, str) else b""
    data += _text("token_embd.weight") + struct.pack("<IQIQ", 1, 32, kind, 0)
    return data + bytes(-len(data) % 32) + bytes(128)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a GGUF file"),
        (b"PK\3\4 a wheel", "not a GGUF file"),
        (b"GGUF", "damaged or was cut short"),
        (_gguf(general__architecture="llama")[:60], "damaged or was cut short"),
        (_gguf(general__architecture="llama")[:-64], "64 bytes of"),
        (_gguf(version=1, general__architecture="llama"), "version 1"),
        (_gguf(kind=9999, general__architecture="llama"), "does not know"),
        (_gguf(general__architecture="llama", split__count=3), "one of 3 parts"),
        (_gguf(), "no model in it"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + b"\xff" * 64, "damaged"),
    ],
)
def test_refused(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "some.gguf"
    path.write_bytes(data)
    with pytest.raises(UserError, match=why) as caught:
        fetch(resolve(str(path)))
    assert caught.value.what == f"Cannot open {path}"
    assert not models_dir().exists()


def test_header(tmp_path: Path) -> None:
    path = tmp_path / "some.gguf"
    path.write_bytes(_gguf(general__architecture="llama", tokenizer__ggml__pre="smollm"))
    header = read_header(path)
    assert (header.architecture, header.splitting, header.elements) == ("llama", "smollm", 32)


def test_family_that_transformers_cannot_convert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this process, which other tests have brought torch into.
    monkeypatch.setattr(convert, "_read_once", lambda: None)
    path = tmp_path / "some.gguf"
    path.write_bytes(_gguf(general__architecture="no-such-family"))
    with pytest.raises(UserError, match="transformers cannot read it") as caught:
        convert.convert(path, tmp_path / "out", "Some")
    assert caught.value.what == "Cannot convert some.gguf"


@pytest.mark.model
def test_default_model() -> None:
    folder = fetch(default())
    spec = open_spec(default(), folder)
    assert (spec.family, spec.kind, spec.licence) == ("llama", "decoder", "Apache-2.0")
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.files["model.safetensors"].size < default().disk
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    words = tokenizer.encode("The dog is running in the park.")
    spelt = ["The", "Ġdog", "Ġis", "Ġrunning", "Ġin", "Ġthe", "Ġpark", "."]
    assert words.tokens == spelt  # and no special token was added unasked
    for text in ("Naïve 🙂 中文 ok", "👩‍👩‍👧 family", " lead, trail ", "a\n\n\tb  12  3", ""):
        encoded = tokenizer.encode(text)
        assert tokenizer.decode(encoded.ids, skip_special_tokens=False) == text
    assert tokenizer.encode("  12").tokens == ["ĠĠ", "1", "2"]
    assert "<|im_start|>" in (folder / "chat_template.jinja").read_text()


@pytest.mark.model
def test_default_model_loads_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = fetch(default())
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    assert model.dtype == torch.float32
    inputs = tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    assert tokenizer.decode(logits[0, -1].argmax()) == " Paris"
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
