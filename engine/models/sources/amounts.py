"""Amounts of bytes in words, and files worked through piece by piece."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import IO

from engine.models.sources.base import Steps, T
from engine.types import Progress

CHUNK = 1 << 20
BEAT = 0.1
"""Seconds between two reports while something runs: a window that asks is never kept waiting."""


def size_text(size: float) -> str:
    """`size` bytes for people, in powers of ten as file managers show them."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            value = size / scale
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return f"{size:.0f} bytes"


def of_text(done: float, total: float) -> str:
    """How much of a known (or, with 0, unknown) amount was done."""
    if total <= 0:
        return size_text(done)
    return f"{size_text(min(done, total))} of {size_text(total)}"


def within(steps: Steps[T], low: float, high: float) -> Steps[T]:
    """Run `steps` as the part from `low` to `high` of something longer."""
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            fraction = None if step.fraction is None else low + step.fraction * (high - low)
            yield Progress(step.text, fraction, step.job)
    finally:
        steps.close()


def hashed(path: Path, text: str) -> Steps[str]:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    total = path.stat().st_size or 1
    done, beat = 0, time.monotonic()
    yield Progress(text, 0.0)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if time.monotonic() - beat > BEAT:
                beat = time.monotonic()
                yield Progress(text, min(done / total, 1.0))
    return digest.hexdigest()


def stamp(file: Path) -> str:
    """What changes when a file does, without reading it."""
    stat = file.stat()
    return f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}"


def copied(source: IO[bytes], target: Path, total: int, text: str) -> Steps[None]:
    """Write everything that can be read from `source` to `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    done, beat = 0, time.monotonic()
    with target.open("wb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if time.monotonic() - beat > BEAT:
                beat = time.monotonic()
                yield Progress(text, min(done / max(total, 1), 1.0))
