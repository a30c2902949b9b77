"""The command line: exit codes, one line for each failure, and numbers that are the model's own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gui.headless.export
import gui.headless.models
import main as program
from engine.errors import UserError
from engine.types import Progress
from gui.figures.spec import figure_specs
from gui.headless import console
from gui.headless.text import SENTENCE, given_text

ROOT = Path(program.__file__).parent
LAYERS, HEADS, WIDTH = 2, 4, 32


def save_tokenizer(folder):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([SENTENCE], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder)


def save_model(folder, kind, seed=0):
    import torch
    import transformers

    torch.manual_seed(seed)
    if kind == "t5":
        config = transformers.T5Config(
            vocab_size=300,
            d_model=WIDTH,
            d_kv=8,
            d_ff=48,
            num_layers=LAYERS,
            num_heads=HEADS,
            decoder_start_token_id=0,
        )
        made = transformers.T5ForConditionalGeneration(config)
    else:
        config = transformers.LlamaConfig(
            vocab_size=300,
            hidden_size=WIDTH,
            intermediate_size=48,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=2,
            max_position_embeddings=128,
        )
        made = transformers.LlamaForCausalLM(config)
    made.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("t5"), "t5")


@pytest.fixture
def run(capfd, monkeypatch):
    """Run the program in this process; gives exit code, output and error output."""
    monkeypatch.delenv(console.TRACEBACK, raising=False)
    for name, value in (
        ("GOMP_SPINCOUNT", "100000"),
        ("OPENBLAS_NUM_THREADS", "1"),
        ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64"),
    ):
        monkeypatch.setenv(name, value)  # so that what the program sets is put back

    def once(*words):
        try:
            code = program.main([str(word) for word in words])
        except SystemExit as exit_:  # argparse's way out
            code = exit_.code
        return code, *capfd.readouterr()

    return once


def export(run, out, *words):
    return run("export", "--out", out, *words)


def load(path):
    with np.load(path, allow_pickle=False) as numbers:
        return dict(numbers)


def eager(folder, text, **how):
    import torch
    import transformers

    words = transformers.AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    made = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    with torch.no_grad():
        return made.eval()(words["input_ids"], output_attentions=True, output_hidden_states=True)


def one_line(code, out, err):
    return code == 1 and out == "" and err.startswith("contextscope: ") and err.count("\n") == 1


# --- wrong usage ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "export",
        "export --view attention",
        "export --out a.npz",
        "export --view nothing --out a.npz",
        "export --view tokens --out a.npz --text a --text-file b",
        "--text a export --view tokens --out a.npz --text-file b",
        "export --view tokens --out a.png --scale 5",
        "export --view tokens --out a.npz --layer x",
        "export --view attention --out a.npz --kind sideways",
        "export --view attention --out a.png --scaling cubic",
        "export --view latent --out a.png --plane 1",
        "export --view latent --out a.png --plane 1,1",
        "export --view latent --out a.png --plane 0,1",
        "export --view latent --out a.png --plane 1,2,3,4",
        "export --view latent --out a.png --plane sideways",
        "models get",
        "models lose x",
        "nonsense",
        "--device toaster",
        "--text a --text-file b",
    ],
)
def test_wrong_usage_exits_2(run, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*words.split())
    assert code == 2
    assert out == ""
    assert err.startswith("usage: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--view tokens --out {}/a.bmp", ".png"),
        ("--view tokens --out {}/a", "no suffix"),
        ("--view tokens --out {}/a.npz --text-file {}/none.txt", "there is no such file"),
        ("--view tokens --out {}/a.npz --text-file {}", "directory"),
        ("--view tokens --out {}/a.npz --model {}/none", "there is no such folder"),
        ("--view tokens --out {}/a.npz --model {}", "config.json"),
        ("--view task --out {}/a.npz", "no task was named"),
        ("--view task --out {}/a.npz --task nothing", "no task has that name"),
        ("--view compare --out {}/a.npz", "Give --context TEXT"),
    ],
)
def test_what_fails_before_a_model_is_loaded_is_one_line(run, tmp_path, words, says):
    code, out, err = run("export", *words.replace("{}", str(tmp_path)).split())
    assert one_line(code, out, err), err
    assert says in err
    assert "torch" not in err
    assert list(tmp_path.iterdir()) == []


def test_views_are_those_that_have_figures(run):
    code, out, _ = run("export", "--help")
    assert code == 0
    for key in figure_specs():
        assert key in out


# --- export, from end to end ----------------------------------------------------------------------


def test_export_in_a_process_without_qt_equals_eager_attention(llama, tmp_path):
    blocked = tmp_path / "blocked"
    for name in ("PySide6", "pyqtgraph", "superqt"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text(f"raise ImportError('{name} was imported')")
    out = tmp_path / "a.npz"
    words = ["--view", "attention", "--model", str(llama), "--layer", "1", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(blocked)}
    environment.pop("DISPLAY", None)
    environment.pop("QT_QPA_PLATFORM", None)
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "export", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    expected = eager(llama, SENTENCE).attentions[1][0].numpy()
    numbers = load(out)
    assert numbers["weights"].shape == expected.shape
    assert np.abs(numbers["weights"] - expected).max() < 1e-5
    assert numbers["layer"] == 1
    assert "".join(numbers["tokens"]) == SENTENCE
    meta = json.loads(str(numbers["meta"]))
    assert (meta["text"], meta["layer"], len(meta["model_sha256"])) == (SENTENCE, 1, 64)


def test_every_head_and_every_depth(run, llama, tmp_path):
    text, out = "The park.", tmp_path / "a.npz"
    expected = eager(llama, text)
    for view, flags, name, wanted in (
        ("attention", ("--layer", 0, "--head", 3), "weights", expected.attentions[0][0, 3]),
        ("embedding", ("--layer", 0), "values", expected.hidden_states[0][0]),
        ("embedding", ("--layer", 1), "values", expected.hidden_states[1][0]),
    ):
        done = export(run, out, "--view", view, "--model", llama, "--text", text, *flags)
        assert done == (0, "", "")
        numbers = load(out)
        assert np.abs(numbers[name] - wanted.numpy()).max() < 1e-5
        assert numbers["layer"] == flags[1]


def test_encoder_decoder_by_kind(run, t5, tmp_path):
    out, words = tmp_path / "a.npz", ("--model", t5, "--text", "The dog.", "--target", "a park")
    shapes = {}
    for kind in ("encoder", "decoder", "cross"):
        done = export(run, out, "--view", "attention", "--kind", kind, "--layer", 1, *words)
        assert done == (0, "", "")
        numbers = load(out)
        shapes[kind] = numbers["weights"].shape
        source, target = len(numbers["tokens"]), len(numbers["target_tokens"])
        assert np.allclose(numbers["weights"].sum(axis=-1), 1, atol=1e-5)
        assert json.loads(str(numbers["meta"]))["target"] == "a park"
    assert shapes == {
        "encoder": (HEADS, source, source),
        "decoder": (HEADS, target, target),
        "cross": (HEADS, target, source),
    }
    done = export(run, out, "--view", "embedding", "--kind", "cross", *words)
    assert one_line(*done)
    assert "--kind encoder or decoder" in done[2]


def test_a_picture_with_its_options(run, llama, tmp_path):
    file = tmp_path / "text.txt"
    file.write_bytes("\ufeffThe dog 犬.".encode())
    out = tmp_path / "new folder" / "a.svg"
    flags = ("--view", "attention", "--model", llama, "--head", 1, "--scaling", "log")
    assert export(run, out, *flags, "--text-file", file) == (0, "", "")
    drawing = out.read_text(encoding="utf-8")
    assert "layer 1 · head 1" in drawing
    assert "log scale" in drawing


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--view attention --layer 2", "--layer 0 to 1"),
        ("--view attention --layer -1", "--layer 0 to 1"),
        ("--view embedding --layer 3", "--layer 0 to 2"),
        ("--view attention --head 4", "--head 0 to 3"),
        ("--view attention --kind encoder", "--kind decoder"),
        ("--view latent", "latent space"),
    ],
)
def test_what_the_model_does_not_have_is_one_line(run, llama, tmp_path, flags, says):
    done = export(run, tmp_path / "a.npz", "--model", llama, *flags.split())
    assert one_line(*done), done
    assert says in done[2]
    assert list(tmp_path.iterdir()) == []


def test_empty_text_is_one_line(run, llama, tmp_path):
    done = export(run, tmp_path / "a.png", "--view", "tokens", "--model", llama, "--text", "")
    assert one_line(*done)
    assert "the text has no tokens" in done[2]


def test_text_that_is_cut_is_said(run, llama, tmp_path):
    words = ("--view", "tokens", "--model", llama, "--text", "dog " * 400)
    code, out, err = export(run, tmp_path / "a.npz", *words)
    assert (code, out, err.count("\n")) == (0, "", 1)
    assert "left out" in err
    assert "left out" in json.loads(str(load(tmp_path / "a.npz")["meta"]))["notice"]


def test_a_folder_in_the_way_is_one_line(run, llama, tmp_path):
    (tmp_path / "a.npz").mkdir()
    done = export(run, tmp_path / "a.npz", "--view", "tokens", "--model", llama)
    assert one_line(*done), done
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


# --- models ---------------------------------------------------------------------------------------


def test_table_of_models(run):
    code, out, err = run("models")
    assert (code, err) == (0, "")
    header, *rows = out.splitlines()
    assert header.split() == ["NAME", "FAMILY", "SIZE", "LICENCE", "IN", "CACHE"]
    column = header.index("IN CACHE")
    assert {row[column:] for row in rows} <= {"yes", "no"}
    assert any(row.startswith("smollm2-135m-instruct (default) ") for row in rows)
    assert any(row.startswith("builtin ") for row in rows)


def test_get_prints_the_folder(run, llama):
    assert run("models", "get", llama) == (0, f"{llama}\n", "")
    done = run("models", "get", "no such thing")
    assert one_line(*done)


# --- what surrounds them --------------------------------------------------------------------------


def test_options_before_and_after_the_command(monkeypatch, run):
    orders = []
    monkeypatch.setattr(gui.headless.export, "run", lambda order: orders.append(order) or 0)
    run("--model", "a", "--device", "cpu", "export", "--view", "tokens", "--out", "x.npz")
    run("--model", "a", "export", "--model", "b", "--view", "tokens", "--out", "x.npz")
    assert [order.model for order in orders] == ["a", "b"]
    assert [order.device for order in orders] == ["cpu", "auto"]
    assert {order.text for order in orders} == {SENTENCE}


def test_without_a_command_the_window_opens(monkeypatch, run):
    import gui.app

    calls = []
    monkeypatch.setattr(gui.app, "run", lambda **how: calls.append(how) or 0)
    assert run("--model", "gpt2", "--text", "a")[0] == 0
    assert run("--device", "cpu")[0] == 0
    assert calls == [
        {"model": "gpt2", "text": "a", "device": None, "dtype": None, "chat": None},
        {"model": None, "text": None, "device": "cpu", "dtype": None, "chat": None},
    ]


def test_a_system_without_qts_libraries_is_told(monkeypatch, run):
    monkeypatch.setitem(sys.modules, "gui.app", None)
    done = run()
    assert one_line(*done)
    assert "README" in done[2]


def test_interrupts_and_bugs_have_no_traceback(monkeypatch, run):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr(gui.headless.models, "show", stop)
    assert run("models") == (130, "", "contextscope: interrupted.\n")
    monkeypatch.setattr(gui.headless.models, "show", lambda: 1 // 0)
    done = run("models")
    assert one_line(*done)
    assert "ZeroDivisionError" in done[2]
    monkeypatch.setenv(console.TRACEBACK, "1")
    assert "Traceback" in run("models")[2]


def test_a_closed_pipe_is_silent(tmp_path):
    code = "import sys, main; sys.exit(main.main(['models']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_text_from_standard_input(monkeypatch):
    class Input:
        buffer = io.BytesIO("a\nλ".encode())

    monkeypatch.setattr(sys, "stdin", Input)
    assert given_text(None, "-") == "a\nλ"
    assert given_text("b", None) == "b"
    assert given_text(None, None) is None


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"ab\xff")
    with pytest.raises(UserError, match="not UTF-8 text, at byte 2"):
        given_text(None, str(tmp_path / "a.txt"))


def test_progress_is_for_terminals_only(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    def steps():
        yield Progress("Fetching\nit", 0.5)
        yield Progress("Unpacking")
        return "there"

    for stream, lines in ((io.StringIO(), 0), (Screen(), 2)):
        monkeypatch.setattr(sys, "stderr", stream)
        assert console.finish(steps()) == "there"
        assert stream.getvalue().count("ing") == lines
    assert " 50 %  Fetching it" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_what_was_begun_is_closed_when_it_fails():
    closed = []

    def steps():
        try:
            yield Progress("a")
            raise UserError("a", "b", "c")
        finally:
            closed.append(True)

    with pytest.raises(UserError):
        console.finish(steps())
    assert closed == [True]
