"""What a study has found so far, kept on disk, so that it goes on after a kill and is not redone.

A study lies in a folder of its own under ``cache_dir()/studies``, named by a hash of all that its
numbers depend on: the model's weights, the task or texts, the settings. Each part of it is a JSON
file. Together they take no more than `CAP`; studies used longest ago go first.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from engine.errors import UserError
from engine.files import replacing
from engine.paths import cache_dir

CAP = 256 << 20
"""Bytes that all kept studies may take together."""

log = logging.getLogger(__name__)

T = TypeVar("T")


def studies_dir() -> Path:
    """Where studies are kept."""
    return cache_dir() / "studies"


class Weighed(Protocol):
    """What a model's numbers are known by: a `ModelInfo`, or as much of it as is known unloaded."""

    @property
    def name(self) -> str:
        """What the model is called."""

    @property
    def fingerprint(self) -> str:
        """A hash of its weights, or nothing."""

    @property
    def dtype(self) -> str:
        """What it computes in."""


class Kept:
    """The parts of one study.

    Parameters
    ----------
    study : str
        Which study.
    info : Weighed
        The model; weights that were not hashed are known by the model's name.
    depends : object
        All else its numbers depend on, of what msgspec can write as JSON.
    fresh : bool
        Forget what was kept.
    """

    def __init__(self, study: str, info: Weighed, depends: object, fresh: bool = False) -> None:
        told = [study, info.fingerprint or info.name, info.dtype, depends]
        self.folder = studies_dir() / f"{study}-{digest(told)}"
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        elif self.folder.is_dir():
            os.utime(self.folder)  # it was used now

    def load(self, name: str, kind: type[T]) -> T | None:
        """A part, or None where it was not kept or is damaged."""
        try:
            return msgspec.json.decode(self._path(name).read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):
            return None  # it is measured again

    def save(self, name: str, part: Any) -> None:
        """Keep a part. Where that fails the study goes on; it will only have to be done again."""
        try:
            with replacing(self._path(name)) as beside:
                beside.write_bytes(msgspec.json.encode(part))
        except UserError as error:
            log.warning("%s", error.sentence)

    def trim(self) -> None:
        """Delete the studies that were used longest ago, until all take no more than `CAP`."""
        trim(studies_dir(), CAP, self.folder)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def digest(of: object) -> str:
    """A name for a value that msgspec can write as JSON, alike only where all of it is."""
    return hashlib.sha256(msgspec.json.encode(of)).hexdigest()[:16]


def trim(folder: Path, cap: int, newest: Path | None = None) -> None:
    """Delete the folders within `folder` used longest ago, until `cap` bytes are left.

    `newest` stays, however large it is.
    """
    found = []
    for one in folder.iterdir() if folder.is_dir() else ():
        if one.is_dir():
            size = sum(path.stat().st_size for path in one.glob("*.json"))
            found.append((one.stat().st_mtime, size, one))
    over = sum(size for _, size, _ in found) - cap
    for _, size, one in sorted(found):
        if over <= 0:
            return
        if one != newest:
            shutil.rmtree(one, ignore_errors=True)
            over -= size
