"""Giving memory back: now and then, and truly."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from engine import heap
from engine.heap import REST, Heap, _trim, share_one_heap
from engine.paths import ROOT
from engine.runner import Runner
from engine.types import ModelInfo, Request, Snapshot


def test_memory_is_given_back_once_after_use() -> None:
    given: list[int] = []
    made = Heap(lambda: given.append(1))
    assert made.patience is None
    made.use()
    assert made.patience == REST
    made.tidy()
    assert given == [1]
    assert made.patience is None


def test_where_the_c_library_cannot_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _trim() is None
    assert not share_one_heap()
    made = Heap()
    made.use()
    assert made.patience is None  # so that nothing is woken for it
    made.tidy()


HOLES = """
import ctypes
from engine.heap import _trim
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = (ctypes.c_void_p,)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

pieces = []
for _ in range(1000):
    large = libc.malloc(64_000)
    ctypes.memset(large, 1, 64_000)
    pieces.append((large, libc.malloc(64)))  # what stays above each hole
full = resident()
for large, _ in pieces:
    libc.free(large)
freed = resident()
_trim()()
print(full - freed, freed - resident())
"""


@pytest.mark.skipif(_trim() is None, reason="the C library has no malloc_trim")
def test_holes_are_returned_to_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOLES],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    by_free, by_trim = map(int, done.stdout.split())
    assert by_trim > 40_000_000 > by_free


ONE_HEAP = """
import ctypes, sys, threading
from engine.heap import share_one_heap
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
asked = sys.argv[1] == "one" and share_one_heap()
places = []
thread = threading.Thread(target=lambda: places.append(libc.malloc(50_000)))
thread.start()
thread.join()
with open("/proc/self/maps") as file:
    heap = next(line.split()[0] for line in file if line.rstrip().endswith("[heap]"))
first, after = (int(end, 16) for end in heap.split("-"))
print(asked, first <= places[0] < after)
"""


@pytest.mark.skipif(_trim() is None, reason="another C library than glibc")
@pytest.mark.parametrize(("how", "told"), [("one", "True True"), ("many", "False False")])
def test_threads_take_their_memory_from_one_heap(how: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ONE_HEAP, how],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == told


SHAPES = """
import contextlib, io
import main
with contextlib.redirect_stdout(io.StringIO()):
    main.main(["models"])
import torch
from engine.memory import resident
with torch.inference_mode():
    for rows in (1, 2):
        torch.nn.functional.gelu(torch.zeros(rows, 256))
    before = resident()
    for rows in range(3, 303):
        torch.nn.functional.gelu(torch.zeros(rows, 256))
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is resident differs")
def test_texts_of_many_lengths_leave_no_compiled_loops_behind() -> None:
    known = {k: v for k, v in os.environ.items() if k != "ONEDNN_PRIMITIVE_CACHE_CAPACITY"}
    done = subprocess.run(
        [sys.executable, "-c", SHAPES],
        cwd=ROOT,
        env={**known, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    # Without a bound it is three times as much: see main.py.
    assert int(done.stdout) < 60_000_000


class Quick:
    """An engine that answers at once."""

    epoch = 0
    loaded = object()

    def answer(self, request: Request, *_: object) -> Snapshot:
        return Snapshot(request, _INFO, ())


def test_the_runner_gives_back_once_it_is_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    done = threading.Event()

    def tidy(given: Heap) -> None:
        told.append("tidy")
        given._used = False
        done.set()

    monkeypatch.setattr(heap, "REST", 0.2)
    monkeypatch.setattr(Heap, "tidy", tidy)
    runner = Runner(
        lambda event: told.append(event.request.text),  # type: ignore[union-attr]
        Quick,  # type: ignore[arg-type]
    )
    runner.start()
    for text in ("a", "ab"):
        runner.submit(Request(1, 0, text))
        assert done.wait(60)
        done.clear()
    # Nothing is run, so nothing is to be given back: the thread sleeps.
    assert not done.wait(0.5)
    runner.close()
    assert told == ["a", "tidy", "ab", "tidy"]


_INFO = ModelInfo(
    name="m", title="M", family="llama", kind="decoder", layers=1, heads=1, width=1, vocabulary=1,
    max_tokens=1, parameters=1, device="cpu", dtype="float32", provides=frozenset(),
)  # fmt: skip
