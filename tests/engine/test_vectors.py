"""Static word vectors: their files, and the model they make."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.engine import Engine
from engine.errors import UserError
from engine.latent.corpus import Passages
from engine.latent.train import Order, space_job
from engine.latent.training import Settings
from engine.models.catalogue import resolve
from engine.models.sources.folder import Folder
from engine.models.sources.vectors import Vectors
from engine.models.store import fetch, find, open_spec
from engine.models.vectors import batches, convert, layout_of
from engine.models.vectors_model import UNKNOWN, WordReader
from engine.types import (
    AttentionQuery,
    EmbeddingQuery,
    LatentQuery,
    NeighboursQuery,
    Query,
    Request,
    Snapshot,
)

WORDS = ["the", "dog", "cat", "park", "New", "猫", "犬", "café", "well", "known", "."]
WIDTH = 6
TABLE = np.random.default_rng(5).normal(size=(len(WORDS), WIDTH)).astype(np.float32)


def line(word: str, row: np.ndarray) -> str:
    return word + " " + " ".join(repr(float(number)) for number in row) + "\n"


def glove(folder: Path) -> Path:
    path = folder / "glove.txt"
    path.write_text("".join(map(line, WORDS, TABLE)), encoding="utf-8")
    return path


def word2vec_text(folder: Path) -> Path:
    path = folder / "some.vec"
    text = f"{len(WORDS)} {WIDTH}\n" + "".join(map(line, WORDS, TABLE))
    path.write_text(text, encoding="utf-8")
    return path


def word2vec_binary(folder: Path, end: bytes = b"\n") -> Path:
    path = folder / "some.bin"
    rows = (w.encode() + b" " + row.tobytes() + end for w, row in zip(WORDS, TABLE, strict=True))
    path.write_bytes(f"{len(WORDS)} {WIDTH}\n".encode() + b"".join(rows))
    return path


def table(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    place = folder / "table"
    place.mkdir()
    save_file({"weight": torch.from_numpy(TABLE).to(dtype)}, place / "vectors.safetensors")
    (place / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(WORDS)}))
    return place


def read(path: Path) -> tuple[list[str], np.ndarray]:
    layout = layout_of(path)
    found = list(batches(path, layout))
    return [word for words, _ in found for word in words], np.concatenate([v for _, v in found])


@pytest.mark.parametrize("write", [glove, word2vec_text, word2vec_binary, table])
def test_each_form_is_read_as_it_was_written(write: Callable[[Path], Path], tmp_path: Path) -> None:
    words, vectors = read(write(tmp_path))
    assert words == WORDS
    np.testing.assert_array_equal(vectors, TABLE)


def test_binary_without_line_feeds(tmp_path: Path) -> None:
    words, vectors = read(word2vec_binary(tmp_path, b""))
    assert words == WORDS
    np.testing.assert_array_equal(vectors, TABLE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tables_of_other_types(dtype: torch.dtype, tmp_path: Path) -> None:
    _, vectors = read(table(tmp_path, dtype))
    expected = torch.from_numpy(TABLE).to(dtype).float().numpy()
    np.testing.assert_array_equal(vectors, expected)


def test_a_vocabulary_with_a_word_a_line(tmp_path: Path) -> None:
    place = table(tmp_path)
    (place / "vocab.json").unlink()
    (place / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    assert read(place)[0] == WORDS


def test_words_of_glove_that_hold_spaces(tmp_path: Path) -> None:
    path = tmp_path / "g.txt"
    path.write_text(line("the", TABLE[0]) + line(". . .", TABLE[1]))
    words, vectors = read(path)
    assert words == ["the", ". . ."]
    np.testing.assert_array_equal(vectors, TABLE[:2])


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def changed(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    return path


def without_words(folder: Path) -> Path:
    place = table(folder)
    (place / "vocab.json").write_text('["one"]')
    return place


def not_finite(folder: Path) -> Path:
    return changed(word2vec_binary(folder), TABLE[3].tobytes()[:4], struct.pack("<f", np.nan))


def prose(folder: Path) -> Path:
    path = folder / "notes.txt"
    path.write_text("Dear diary,\ntoday nothing happened.\n")
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.txt"
    path.touch()
    return path


def two_tensors(folder: Path) -> Path:
    place = table(folder)
    tensor = torch.zeros(2, 2)
    save_file({"a": tensor, "b": tensor.clone()}, place / "vectors.safetensors")
    return place


BROKEN: list[tuple[Callable[[Path], Path], str]] = [
    (lambda folder: cut(glove(folder), 0.97), "cut short"),
    (lambda folder: cut(word2vec_text(folder), 0.5), "cut short|says 11"),
    (lambda folder: cut(word2vec_binary(folder), 0.5), "cut short"),
    (lambda folder: cut(table(folder) / "vectors.safetensors", 0.9).parent, "cut short"),
    (lambda folder: cut(table(folder) / "vectors.safetensors", 0.02).parent, "does not hold"),
    (lambda folder: changed(glove(folder), b"cat ", b"cat"), "not 6 numbers in"),
    (lambda folder: changed(glove(folder), b"cat ", b"cat nan"), "not 6 numbers in"),
    (lambda folder: changed(word2vec_text(folder), b"11 6", b"12 6"), "holds 11 words"),
    (lambda folder: changed(word2vec_binary(folder), b"11 6", b"11 5"), "damaged"),
    (lambda folder: changed(word2vec_binary(folder), b"11 6", b"0 6"), "no vectors"),
    (not_finite, "damaged"),
    (without_words, "1 words and its table 11 rows"),
    (two_tensors, "does not hold one table"),
    (prose, "no word vectors in it"),
    (empty, "no word vectors in it"),
]


@pytest.mark.parametrize(("write", "why"), BROKEN)
def test_broken_files_are_told_in_a_sentence(
    write: Callable[[Path], Path], why: str, tmp_path: Path
) -> None:
    path = write(tmp_path)
    with pytest.raises(UserError, match=why):
        convert(path, tmp_path / "out", "Broken")


def test_what_is_written_can_be_loaded_by_anyone(tmp_path: Path) -> None:
    convert(glove(tmp_path), tmp_path / "out", "GloVe")
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    np.testing.assert_array_equal(tensors["vectors"].numpy(), TABLE)
    np.testing.assert_allclose(tensors["norms"].numpy(), np.linalg.norm(TABLE, axis=1), rtol=1e-6)


def test_resolve_knows_vectors_by_name_and_a_bin_by_how_it_begins(tmp_path: Path) -> None:
    for path in (glove(tmp_path), word2vec_text(tmp_path), word2vec_binary(tmp_path)):
        entry = resolve(str(path))
        assert entry.source == Vectors(str(path))
        assert (entry.name, entry.kind) == (path.stem, "encoder")
    place = table(tmp_path)
    assert resolve(str(place)).source == Vectors(str(place))
    assert resolve(str(place / "vectors.safetensors")).source == Vectors(str(place))
    (place / "config.json").write_text("{}")
    assert resolve(str(place)).source == Folder(str(place))
    pickle = tmp_path / "pytorch_model.bin"
    pickle.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(UserError, match="holds no model"):
        resolve(str(pickle))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("vectors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTEXTSCOPE_CACHE", str(folder / "cache"))
        entry = resolve(str(glove(folder)))
        assert find(entry) is None
        made = fetch(entry)
        assert find(entry) == made
        assert fetch(entry) == made
        engine = Engine()
        engine.load(open_spec(entry, made), "cpu")
    return engine


def ask(engine: Engine, text: str, *queries: Query) -> Snapshot:
    return engine.answer(Request(1, engine.epoch, text, queries))


def test_what_such_a_model_is(engine: Engine) -> None:
    assert engine.loaded is not None
    info = engine.loaded.info
    assert (info.kind, info.layers, info.heads, info.width) == ("encoder", 0, 0, WIDTH)
    assert (info.vocabulary, info.parameters) == (len(WORDS), TABLE.size)
    assert info.provides == {"embedding"}
    assert info.source.endswith("glove.txt")
    assert len(info.fingerprint) == 64


def test_a_words_state_is_its_vector(engine: Engine) -> None:
    query = EmbeddingQuery(0)
    for text, rows in (
        ("The dog", [0, 1]),
        ("The dog park.", [0, 1, 3, 10]),
        ("the cat park", [0, 2, 3]),
        ("the cat zebra", [0, 2, None]),
    ):
        values = ask(engine, text, query).results[query].values
        expected = [np.zeros(WIDTH) if row is None else TABLE[row] for row in rows]
        np.testing.assert_array_equal(values, np.stack(expected).astype(np.float32))
    assert ask(engine, "the cat zebra park").stats.suffix == 1


def test_neighbours(engine: Engine) -> None:
    known, unknown = NeighboursQuery(0, 1, 3), NeighboursQuery(0, 2, 3)
    snapshot = ask(engine, "the dog zebra", known, unknown, AttentionQuery(0), EmbeddingQuery(1))
    result = snapshot.results[known]
    cosine = TABLE @ TABLE[1] / np.linalg.norm(TABLE, axis=1) / np.linalg.norm(TABLE[1])
    order = np.argsort(-cosine)[:3]
    assert result.texts == tuple(WORDS[number] for number in order)
    np.testing.assert_allclose(result.similarity, cosine[order], atol=1e-6)
    assert "no vector" in snapshot.refused[unknown]
    assert "provides no attention" in snapshot.refused[AttentionQuery(0)]
    assert EmbeddingQuery(1) in snapshot.refused


def test_a_latent_space_of_words_is_trained_and_shown(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    texts = tmp_path / "texts.txt"
    known = [word for word in WORDS if word.isascii() and word != "."]
    lines = (" ".join(rng.choice(known, 7)) + "." for _ in range(120))
    texts.write_text("\n".join(lines), encoding="utf-8")
    order = Order(
        out=tmp_path / "words.safetensors",
        corpus=(texts,),
        layer=0,
        cutting=Passages(tokens=800, length=16),
        settings=Settings(latent=2, hidden=16, epochs=3, batch=64, seed=1),
    )
    assert engine.loaded is not None
    for _ in space_job(engine.loaded, order):
        pass
    before = engine.loaded
    try:
        info = engine.take_space(order.out)
        assert info is not None
        assert info.provides == {"embedding", "latent"}
        result = ask(engine, "the dog park", LatentQuery(0)).results[LatentQuery(0)]
        assert result.mu.shape == (3, 2)
        other = ask(engine, "park the dog", LatentQuery(0)).results[LatentQuery(0)]
        np.testing.assert_allclose(other.mu, result.mu[[2, 0, 1]], atol=1e-5)
    finally:
        engine.loaded = before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The CAT.", ["the", "cat", "."]),
        ("well-known café", ["well", None, "known", "café"]),
        ("new New", [None, "New"]),
        ("猫犬x猫", ["猫", "犬", None, "猫"]),
        ("हिन्दी 👩‍👩‍👧 e\u0301a", [None, None, None]),
        ("dog's", ["dog", None, None]),
        ("", []),
    ],
)
def test_words_are_found_and_what_is_not_is_marked(text: str, words: list[str | None]) -> None:
    reader = WordReader(WORDS)
    tokens = reader.read(text)
    found = [None if token.id == UNKNOWN else WORDS[token.id] for token in tokens]
    assert found == words
    assert [token.special for token in tokens] == [word is None for word in words]
    for token in tokens:
        assert token.text == text[token.start : token.end]
    assert [t.start for t in tokens] == sorted(t.start for t in tokens)
