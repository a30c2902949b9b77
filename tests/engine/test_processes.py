"""Processes that fetch and convert, and the places of sources."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.models.catalogue import resolve
from engine.models.sources import process
from engine.models.sources.base import Source
from engine.models.store import fetch
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


def test_stubborn_process_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATIENCE", 0.3)
    code = (
        "import signal, time, os; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    printed = b""

    def note(fresh: bytes) -> Progress:
        nonlocal printed
        printed += fresh
        return Progress("")

    steps = process.run(["-c", code], note)
    while not printed:
        next(steps)
    steps.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(printed), 0)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at /proc")
def test_process_ends_with_its_parent() -> None:
    child = "import time; from engine.models.sources.process import end_with_parent as e; e();"
    child += "print('up', flush=True); time.sleep(60)"
    parent = (
        "import os, subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", parent], cwd=ROOT, capture_output=True, text=True)
    pid = int(done.stdout)
    deadline = time.monotonic() + 60
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().split()[2]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os; os.kill(os.getpid(), 9)", "want of memory"),
        ("raise SystemExit('ValueError: so it is')", "ValueError: so it is"),
        ("raise OSError(28, 'No space left on device')", "disk is full"),
        ("raise SystemExit(7)", "code 7"),
    ],
)
def test_process_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    (tmp_path / "failing.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    steps = process.run_module("failing", [], "Cannot do it", "Doing it")
    with pytest.raises(UserError, match=why):
        list(steps)


def test_every_kind_of_source_tells_its_place() -> None:
    kinds = Source.__subclasses__()
    assert {kind.__struct_config__.tag for kind in kinds} == {
        "builtin",
        "wheel",
        "hub",
        "folder",
        "gguf",
        "vectors",
    }


def test_builtin_entry_is_in_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = resolve("builtin").source.place()
    assert place == ROOT / "resources" / "models" / "builtin"
    monkeypatch.setattr("engine.models.sources.folder.ROOT", tmp_path)
    with pytest.raises(UserError, match="Restore it from where the program came from"):
        fetch(resolve("builtin"))
