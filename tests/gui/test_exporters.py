"""Files: each view in each format reads back, says what made it, is whole or not there."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_comparisons import PROMPT
from made_snapshots import HEADS, LATENT, LAYERS, SENTENCE, WIDTH, WORDS, model, snapshot
from made_studies import kshot_sheet, sheets
from PIL import Image

from engine.errors import UserError
from gui.exporters.record import json_text, record, version
from gui.exporters.spec import export, format_for, format_specs, picture_bytes
from gui.figures.spec import FigureOptions, figure_specs

T = len(WORDS)
KEYS = sorted(figure_specs())
SUFFIXES = tuple(format_specs())
MEASURED = {"study": "accuracy", "laboratory": "accuracy"}
"""What a job measured and no text has, and a name in its numbers."""
CHOSEN = FigureOptions(layer=3, head=2, prompt=PROMPT, sheet=kshot_sheet())
FIXED = {"date": "2026-01-02T03:04:05+00:00"}
AWKWARD = 'a\0\x0b\ud800\ufffe<&>"$_^ \U0001f600'


def made(key, options=CHOSEN, info=None, **changes):
    info = info or model()
    return snapshot(figure_specs()[key].queries(options, info), info, **changes)


def saved(folder: Path, key: str, suffix: str, options=CHOSEN, seen=None, **how) -> Path:
    path = folder / f"{key}{suffix}"
    export(seen or made(key, options), key, options, path, **how)
    return path


def xml_text(path, tag):
    (found,) = ET.parse(path).iter(f"{{http://purl.org/dc/elements/1.1/}}{tag}")
    return found.text


def read_record(path: Path) -> dict:
    """The record in a file, however its format keeps it."""
    match path.suffix:
        case ".png":
            return json.loads(Image.open(path).text["Contextscope"])
        case ".svg":
            return json.loads(xml_text(path, "description"))
        case ".pdf":
            raw = path.read_bytes()
            at = raw.index(b"/Keywords ") + len(b"/Keywords ")
            return json.loads(pdf_string(raw[at:]))
        case ".npz":
            return json.loads(str(np.load(path)["meta"]))
        case ".json":
            return json.loads(path.read_text("ascii"))["meta"]
        case ".csv":
            lines = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ")]
            pairs = (line.partition(": ") for line in lines)
            return {key: json.loads(value) for key, _, value in pairs}
    raise AssertionError(path)


def pdf_string(raw: bytes) -> str:
    """Read one literal string of a PDF: parentheses and backslashes are escaped."""
    out, index = bytearray(), 1
    assert raw[:1] == b"("
    while raw[index : index + 1] != b")":
        if raw[index : index + 1] == b"\\":
            index += 1
            out += {b"n": b"\n", b"r": b"\r"}.get(raw[index : index + 1], raw[index : index + 1])
        else:
            out += raw[index : index + 1]
        index += 1
    data = bytes(out)
    return data.decode("utf-16") if data[:2] == b"\xfe\xff" else data.decode("ascii")


def read_table(path: Path) -> list[dict]:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    body = "".join(line for line in lines if not line.startswith("# "))
    return list(csv.DictReader(io.StringIO(body, newline="")))


def test_the_formats_there_are():
    assert set(SUFFIXES) == {".png", ".svg", ".pdf", ".npz", ".csv", ".json"}
    assert SUFFIXES[0] == ".png"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("key", KEYS)
def test_every_view_in_every_format(tmp_path, key, suffix):
    path = saved(tmp_path, key, suffix)
    assert path.stat().st_size > 200
    match suffix:
        case ".png":
            Image.open(path).verify()
        case ".svg":
            assert ET.parse(path).getroot().tag.endswith("svg")
        case ".pdf":
            raw = path.read_bytes()
            assert raw.startswith(b"%PDF-")
            assert raw.rstrip().endswith(b"%%EOF")
        case ".npz" | ".json" if figure_specs()[key].made_of is not None:
            # Of a table of models and not of the text.
            text = path.read_text() if suffix == ".json" else str(np.load(path)["meta"])
            assert SENTENCE not in text
            assert "table" in text
        case ".npz" if key in MEASURED:
            with np.load(path, allow_pickle=False) as numbers:
                assert {MEASURED[key], "meta"} <= set(numbers)
        case ".json" if key in MEASURED:
            assert len(json.loads(path.read_text())[MEASURED[key]]) == 4
        case ".npz":
            with np.load(path, allow_pickle=False) as numbers:
                assert numbers["tokens"].tolist() == list(WORDS)
                assert numbers["ids"].tolist() == list(range(100, 100 + T))
        case ".csv":
            rows = read_table(path)
            # One of training has a row for each latent dimension, what a job measured one for each
            # point of its curve, the others for each token.
            assert len(rows) >= (2 if key == "training" else 4 if key in MEASURED else T)
            assert None not in rows[0]
        case ".json":
            assert json.loads(path.read_text())["tokens"] == list(WORDS)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_record_says_what_made_it(tmp_path, suffix):
    seen = made("attention")
    seen = replace(seen, request=replace(seen.request, text=AWKWARD))
    found = read_record(saved(tmp_path, "attention", suffix, seen=seen))
    assert found.pop("date").endswith("+00:00")
    assert found == {
        "program": "Contextscope",
        "version": version(),
        "view": "attention",
        "model": "made",
        "model_title": "Made-135M",
        "model_source": "made by the test",
        "model_sha256": "ab" * 32,
        "device": "cpu",
        "dtype": "float32",
        "text": AWKWARD,
        "token_count": T,
        "layer": 3,
        "head": 2,
        "stack": "decoder",
        "scaling": "linear",
    }


def test_the_record_has_what_the_view_has():
    of = {key: record(made(key), figure_specs()[key], CHOSEN) for key in KEYS}
    assert of["latent"]["latent_sha256"] == "cd" * 32
    assert of["latent"]["layer"] == 3
    assert of["latent"]["latent_z"] == LATENT
    assert (of["latent"]["latent_date"], of["latent"]["latent_seed"]) == ("2026-01-01", 0)
    assert "head" not in of["embedding"]
    assert "layer" not in of["tokens"]
    assert record(made("attention", FigureOptions()), figure_specs()["attention"], FigureOptions())[
        "head"
    ] == ("all")
    cut = replace(made("tokens"), notice="The last 3 tokens are left out.")
    assert "left out" in record(cut, figure_specs()["tokens"], CHOSEN)["notice"]
    both = made("attention", FigureOptions(), model("encoder-decoder"))
    assert record(both, figure_specs()["attention"], FigureOptions())["target"] == SENTENCE


def test_what_a_job_measured_tells_how_it_came_about_and_needs_no_text(tmp_path):
    for at, one in enumerate(sheets()):
        seen = made("study", words=())
        path = tmp_path / f"{at}.json"
        export(seen, "study", replace(CHOSEN, sheet=one), path)
        found = read_record(path)
        assert found["view"] == f"study {one.spec.key}"
        assert "text" not in found
        assert set(one.spec.arrays(one.study)) <= set(json.loads(path.read_text()))
    with pytest.raises(UserError, match="nothing was measured yet"):
        export(made("study"), "study", FigureOptions(), tmp_path / "a.csv")


def test_the_date_can_be_fixed_by_the_environment(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    found = record(made("tokens"), figure_specs()["tokens"], CHOSEN)
    assert found["date"] == "1970-01-01T00:00:00+00:00"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_snapshot_gives_the_same_bytes(tmp_path, suffix):
    seen = made("latent")
    first = saved(tmp_path, "latent", suffix, seen=seen, meta=FIXED).read_bytes()
    assert saved(tmp_path, "latent", suffix, seen=seen, meta=FIXED).read_bytes() == first


def test_png_pixels_grow_with_the_scale(tmp_path):
    sizes = []
    for scale in (1, 4):
        with Image.open(saved(tmp_path, "attention", ".png", scale=scale)) as picture:
            sizes.append(picture.size)
            assert picture.info["dpi"][0] == pytest.approx(150 * scale, rel=1e-3)
    assert np.abs(np.array(sizes[1]) / np.array(sizes[0]) - 4).max() < 0.02
    with pytest.raises(ValueError, match="scale"):
        saved(tmp_path, "attention", ".png", scale=5)


def test_svg_text_is_text(tmp_path):
    words = {
        "".join(node.itertext()) for node in ET.parse(saved(tmp_path, "attention", ".svg")).iter()
    }
    assert "running" in words
    assert "Made-135M · attention · layer 3 · head 2" in words


def test_npz_attention(tmp_path):
    seen = made("attention")
    (result,) = seen.results.values()
    numbers = np.load(saved(tmp_path, "attention", ".npz", seen=seen))
    assert numbers["weights"].shape == (T, T)
    assert np.array_equal(numbers["weights"], result.weights)
    assert (numbers["layer"], numbers["head"]) == (3, 2)
    everything = np.load(saved(tmp_path, "attention", ".npz", FigureOptions(layer=1)))
    assert everything["weights"].shape == (HEADS, T, T)
    assert everything["layer"] == 1


@pytest.mark.parametrize("stack", ["encoder", "decoder", "cross"])
def test_npz_attention_of_an_encoder_decoder(tmp_path, stack):
    options = FigureOptions(layer=1, stack=stack)
    seen = made("attention", options, model("encoder-decoder"))
    numbers = np.load(saved(tmp_path, "attention", ".npz", options, seen))
    target = len(numbers["target_tokens"])
    shapes = {"encoder": (T, T), "decoder": (target, target), "cross": (target, T)}
    assert numbers["weights"].shape == (HEADS, *shapes[stack])
    assert len(numbers["target_ids"]) == target


def test_npz_embedding(tmp_path):
    for layer in (0, LAYERS):
        options = FigureOptions(layer=layer)
        seen = made("embedding", options)
        (result,) = seen.results.values()
        numbers = np.load(saved(tmp_path, "embedding", ".npz", options, seen))
        assert numbers["layer"] == layer
        assert numbers["values"].shape == (T, WIDTH)
        assert np.array_equal(numbers["values"], result.values)
        assert np.array_equal(numbers["norms"], result.norms)
        assert np.array_equal(numbers["xy"], result.xy)


def test_npz_latent(tmp_path):
    seen = made("latent")
    (result,) = seen.results.values()
    numbers = np.load(saved(tmp_path, "latent", ".npz", seen=seen))
    assert numbers["mu"].shape == numbers["logvar"].shape == (T, LATENT)
    assert numbers["xy"].shape == (T, 2)
    assert numbers["layer"] == 3
    for name in ("mu", "logvar", "xy", "covariance", "reference"):
        assert np.array_equal(numbers[name], getattr(result, name))
    assert numbers["label_names"].tolist() == ["Emma", "Alice", "Ulysses"]


def test_npz_tokens_and_mosaic(tmp_path):
    numbers = np.load(saved(tmp_path, "tokens", ".npz"))
    assert np.isnan(numbers["surprise"][0])
    assert len(numbers["next_tokens"]) == len(numbers["next_probabilities"]) == 8
    numbers = np.load(saved(tmp_path, "mosaic", ".npz"))
    assert numbers["maps"].shape == (LAYERS, HEADS, T, T)
    assert (numbers["rows"], numbers["columns"]) == (T, T)


def test_json_has_null_for_what_is_no_number(tmp_path):
    content = json.loads(saved(tmp_path, "tokens", ".json").read_text())
    assert content["surprise"][0] is None
    assert len(content["surprise"]) == T


def test_csv_numbers_are_those_of_the_snapshot(tmp_path):
    seen = made("attention", FigureOptions(layer=2))
    (result,) = seen.results.values()
    rows = read_table(saved(tmp_path, "attention", ".csv", FigureOptions(layer=2), seen))
    assert len(rows) == HEADS * T
    row = rows[1 * T + 3]
    assert (row["head"], row["query"], row["token"]) == ("1", "3", " running")
    assert np.float32(row["2  is"]) == result.weights[1, 3, 2]
    seen = made("embedding")
    (result,) = seen.results.values()
    row = read_table(saved(tmp_path, "embedding", ".csv", seen=seen))[4]
    assert np.float32(row["norm"]) == result.norms[4]
    assert np.float32(row["d7"]) == result.values[4, 7]


def test_tokens_that_no_file_can_hold(tmp_path):
    words = ("\ud800", "x\0", 'say "a,b"\n', "# not a comment")
    seen = made("tokens", words=words)
    kept = ["\\ud800", "x␀", 'say "a,b"\n', "# not a comment"]
    assert np.load(saved(tmp_path, "tokens", ".npz", seen=seen))["tokens"].tolist() == kept
    assert json.loads(saved(tmp_path, "tokens", ".json", seen=seen).read_text())["tokens"] == kept
    rows = read_table(saved(tmp_path, "tokens", ".csv", seen=seen))
    assert [row["token"] for row in rows if row["part"] == "context"] == kept
    for suffix in (".png", ".svg", ".pdf"):
        saved(tmp_path, "tokens", suffix, seen=seen)


def test_unknown_suffix_names_the_formats(tmp_path):
    for name in ("a.bmp", "a"):
        with pytest.raises(UserError) as caught:
            format_for(tmp_path / name)
        assert all(suffix in caught.value.sentence for suffix in SUFFIXES)
    assert format_for(Path("A.PNG")).suffix == ".png"


def test_nothing_to_show_is_said(tmp_path):
    empty = replace(made("tokens"), tokens=())
    with pytest.raises(UserError, match="no tokens"):
        saved(tmp_path, "tokens", ".npz", seen=empty)
    without = made("latent", info=model(provides=frozenset({"embedding"})))
    with pytest.raises(UserError, match="latent"):
        saved(tmp_path, "latent", ".png", seen=without)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"tokens{suffix}"
    path.write_bytes(b"the old one")

    class Full(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > 150:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    whole = Path.open

    def opened(self, mode="r", **how):
        return Full(self, "w") if "w" in mode else whole(self, mode, **how)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(UserError, match="the disk is full"):
        saved(tmp_path, "tokens", suffix)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_way_is_said(tmp_path):
    (tmp_path / "folder").write_text("")
    with pytest.raises(UserError, match="in the way"):
        export(made("tokens"), "tokens", CHOSEN, tmp_path / "folder" / "a.json")


def test_a_new_file_can_be_read_by_others(tmp_path):
    previous = os.umask(0o022)
    try:
        assert saved(tmp_path, "tokens", ".json").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(previous)


def test_picture_for_the_clipboard():
    with Image.open(io.BytesIO(picture_bytes(made("latent"), "latent", CHOSEN))) as picture:
        assert picture.format == "PNG"
        assert picture.info["dpi"][0] == pytest.approx(300, rel=1e-3)
    assert picture_bytes(made("latent"), "latent", CHOSEN, suffix=".svg").startswith(b"<?xml")


def test_json_text_is_one_line_of_what_files_allow():
    text = json_text({"a": AWKWARD, "b": np.float32(1.5), "c": Path("x")})
    text.encode("utf-8")
    assert "\n" not in text
    assert json.loads(text) == {"a": AWKWARD, "b": 1.5, "c": "x"}
