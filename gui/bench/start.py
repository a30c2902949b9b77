"""``main.py bench start``: from the start of the process to the first pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from engine.errors import UserError
from engine.models.catalogue import default
from engine.models.store import find
from engine.paths import ROOT
from gui.headless.console import DONE, say

BUILTIN = "builtin"
FIRST_PAINT = "first-paint"
PATIENCE = 180.0
"""Seconds after which a start is given up."""

_LOOK = 0.05  # seconds between two looks at the timeline
_END = 15.0  # seconds in which the program has to end when it is told to


@dataclass(frozen=True, slots=True)
class Start:
    """One start: milliseconds to each event, and what had been imported at the first paint."""

    first_paint_ms: float
    builtin_live_ms: float | None
    default_live_ms: float | None
    imported: tuple[str, ...]


def run(repeats: int, as_json: bool) -> int:
    """Start the program `repeats` times and print the medians.

    Raises
    ------
    UserError
        If it ends, or takes too long, before everything was on the screen.
    """
    entry = default()
    cached = find(entry) is not None
    if not cached:
        say(f"{entry.title} is not on this machine: python main.py models get {entry.name}")
    starts = [once(entry.name if cached else None) for _ in range(repeats)]
    heavy = sorted({name for start in starts for name in start.imported})
    found = {
        "case": "start",
        "first_paint_ms": median(start.first_paint_ms for start in starts),
        "builtin_live_ms": _median(start.builtin_live_ms for start in starts),
        "default_live_ms": _median(start.default_live_ms for start in starts),
        "heavy_before_first_paint": heavy,
        "default_model": entry.name,
        "repeats": repeats,
    }
    if as_json:
        print(json.dumps({**found, "runs": [asdict(start) for start in starts]}))
        return DONE
    rows = (
        ("first paint", found["first_paint_ms"]),
        ("built-in model live", found["builtin_live_ms"]),
        (f"{entry.title} live", found["default_live_ms"]),
    )
    for what, ms in rows:
        print(f"{what:<32}{'-' if ms is None else f'{ms:,.0f} ms':>12}")
    print(f"heavy modules before the first paint: {', '.join(heavy) or 'none'}")
    return DONE


def once(model: str | None) -> Start:
    """Start the program and end it when `model` is live, or the built-in one where that is None."""
    last = f"live {model or BUILTIN}"
    with tempfile.TemporaryDirectory(prefix="contextscope-bench-") as folder:
        file = Path(folder) / "timeline"
        with _started(Path(folder), file, model or BUILTIN) as program:
            deadline = time.monotonic() + PATIENCE
            while last not in (events := read(file)):
                if program.poll() is not None or time.monotonic() > deadline:
                    raise UserError(
                        "Cannot time the start",
                        "the program ended by itself"
                        if program.poll() is not None
                        else f"nothing was to be seen after {PATIENCE:.0f} seconds",
                        "Start it with python main.py and see what it says",
                    )
                time.sleep(_LOOK)
    first, imported = events[FIRST_PAINT]
    nothing = (None, ())
    return Start(
        first_paint_ms=first,
        builtin_live_ms=events.get(f"live {BUILTIN}", nothing)[0],
        default_live_ms=events.get(f"live {model}", nothing)[0],
        imported=imported,
    )


def _median(times: Iterable[float | None]) -> float | None:
    """The median of what is there; None where nothing is."""
    there = [time for time in times if time is not None]
    return median(there) if there else None


def read(file: Path) -> dict[str, tuple[float, tuple[str, ...]]]:
    """What a timeline says so far: milliseconds and imported modules, by event."""
    if not file.exists():
        return {}
    whole, _, _ = file.read_text(encoding="utf-8").rpartition("\n")
    lines = [json.loads(line) for line in whole.splitlines()]
    return {line["event"]: (line["ms"], tuple(line["imported"])) for line in lines}


@contextmanager
def _started(folder: Path, file: Path, model: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "QT_QPA_PLATFORM": "offscreen",
        "CONTEXTSCOPE_CONFIG": str(folder / "config"),
        "CONTEXTSCOPE_TIMELINE": str(file),
        "CONTEXTSCOPE_STARTED": repr(time.time()),
    }
    program = subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), "--model", model],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield program
    finally:
        program.terminate()
        try:
            program.wait(_END)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
