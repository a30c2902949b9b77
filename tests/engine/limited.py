"""Run in a process of its own by test_memory.py: real limits, real peaks. Prints JSON.

Importing torch takes longer than a case; each case runs in a fork of the process that has.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import numpy as np  # noqa: E402
import tinymodels  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from engine import memory  # noqa: E402
from engine.engine import Engine  # noqa: E402
from engine.errors import UserError  # noqa: E402
from engine.estimate import weight_bytes  # noqa: E402
from engine.models.catalogue import resolve  # noqa: E402
from engine.models.store import ModelSource, fetch, open_spec  # noqa: E402
from engine.types import AttentionQuery, NextQuery, Query, Request, Snapshot  # noqa: E402

MB = 1 << 20
QUERIES = (AttentionQuery(1), NextQuery())
LONG = tinymodels.TEXT * 100

WIDE: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "max_position_embeddings": 4096,
}
GROUPED = {**WIDE, "num_key_value_heads": 2}

CASES: dict[str, tuple[Any, str, int]] = {
    "llama": (transformers.LlamaConfig(**GROUPED), "AutoModelForCausalLM", 2000),
    "mistral": (
        transformers.MistralConfig(**GROUPED, sliding_window=64),
        "AutoModelForCausalLM",
        2000,
    ),
    "gpt2": (
        transformers.GPT2Config(vocab_size=320, n_embd=384, n_layer=6, n_head=6, n_positions=2048),
        "AutoModelForCausalLM",
        2000,
    ),
    "bert": (transformers.BertConfig(**WIDE), "AutoModel", 2000),
    "bloom": (
        transformers.BloomConfig(vocab_size=320, hidden_size=256, n_layer=6, n_head=8),
        "AutoModelForCausalLM",
        700,
    ),
    "t5": (
        transformers.T5Config(
            vocab_size=320,
            d_model=384,
            d_kv=64,
            d_ff=1536,
            num_layers=4,
            num_decoder_layers=4,
            num_heads=6,
            decoder_start_token_id=2,
        ),
        "AutoModelForSeq2SeqLM",
        1000,
    ),
}


def made(name: str, root: Path, dtype: torch.dtype = torch.float32) -> ModelSource:
    folder = root / f"{name}-{dtype}".replace(".", "-")
    if not (folder / "tokenizer.json").is_file():
        config, auto, _ = CASES[name]
        torch.manual_seed(0)
        model = getattr(transformers, auto).from_config(config, dtype=dtype)
        model.save_pretrained(folder)
        tinymodels.save_tokenizer(folder)
        del model
        gc.collect()
    entry = resolve(str(folder))
    return open_spec(entry, fetch(entry))


def ask(engine: Engine, text: str, limit: int, *queries: Query) -> Snapshot:
    return engine.answer(Request(1, engine.epoch, text, queries, limit=limit))


def sentence(work: Any) -> str:
    try:
        work()
    except UserError as error:
        return error.sentence
    return "it went through"


def under_a_limit(root: Path) -> dict[str, object]:
    source, engine = made("llama", root), Engine()
    engine.load(source, "cpu")
    first = tinymodels.TEXT
    before = len(ask(engine, first, 4000, *QUERIES).tokens)
    limit = psutil.Process().memory_info().vms + 100 * MB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    refused = sentence(lambda: ask(engine, LONG, 4000, *QUERIES))
    # Another program takes what there seemed to be.
    room, lie = memory.room, memory.Room(1 << 40, 1 << 40, "this machine")
    memory.room = lambda _device: lie
    failed = sentence(lambda: ask(engine, LONG, 4000, *QUERIES))
    found = ask(engine, first + " dog", 4000, *QUERIES)
    engine._trace = None
    right = ask(engine, first + " dog", 4000, *QUERIES)
    difference = max(
        float(
            np.abs(getattr(found.results[query], name) - getattr(right.results[query], name)).max()
        )
        for query, name in zip(QUERIES, ("weights", "probabilities"), strict=True)
    )
    tight = psutil.Process().memory_info().vms + 20 * MB
    resource.setrlimit(resource.RLIMIT_AS, (tight, limit))
    load = sentence(lambda: engine.load(source, "cpu"))
    memory.room = room
    after = len(ask(engine, first, 4000, *QUERIES).tokens)
    return {
        "before": before,
        "refused": refused,
        "failed": failed,
        "reused": found.stats.reused,
        "difference": difference,
        "load": load,
        "after": after,
        "expected": before,
    }


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def _from_now() -> int:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def peak_of_a_pass(name: str, root: Path) -> dict[str, object]:
    count = CASES[name][2]
    engine = Engine()
    engine.load(made(name, root), "cpu")
    ask(engine, tinymodels.TEXT, 50)  # what is read and imported at the first pass
    engine._trace = None
    assert engine.loaded is not None
    reader = engine.loaded.reader
    estimated = reader.pass_bytes(None, count, count)
    begun = _from_now()
    snapshot = ask(engine, LONG, count)
    assert len(snapshot.tokens) == count
    assert engine._trace is not None
    return {
        "estimated": estimated,
        "peak": _status("VmHWM") - begun,
        "estimated_held": reader.sizes.held(count) + reader.map_bytes(count) * 25 // 16,
        "held": engine._trace.nbytes,
    }


def peak_of_a_load(root: Path) -> dict[str, object]:
    # Stored in half precision, so that reading it takes memory of the program's own.
    source = made("llama", root, torch.bfloat16)
    Engine().load(made("bert", root), "cpu")  # what is imported by the first
    begun = _from_now()
    engine = Engine()
    engine.load(source, "cpu")
    return {
        "estimated": weight_bytes(source.folder.glob("*.safetensors"), 4),
        "peak": _status("VmHWM") - begun,
    }


def run(case: str, root: Path) -> dict[str, object]:
    if case == "pass":
        return under_a_limit(root)
    if case == "load":
        return peak_of_a_load(root)
    return peak_of_a_pass(case.removeprefix("peak "), root)


def forked(case: str, root: Path) -> dict[str, object]:
    """What a case finds, or why it failed."""
    found = root / "found.json"
    found.write_text('{"error": "the process was ended"}', encoding="utf-8")
    child = os.fork()
    if child == 0:
        try:
            told = run(case, root)
        except BaseException:
            told = {"error": traceback.format_exc()}
        found.write_text(json.dumps(told), encoding="utf-8")
        os._exit(0)
    os.waitpid(child, 0)
    return dict(json.loads(found.read_text(encoding="utf-8")))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(json.dumps({case: forked(case, folder) for case in sys.argv[2:]}))
