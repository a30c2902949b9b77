"""A file of static word vectors, read once into a folder of the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.models.sources.amounts import hashed, stamp
from engine.models.sources.base import Fetched, Pinned, Source, Steps, safe_name
from engine.models.sources.process import run_module

if TYPE_CHECKING:
    from engine.models.catalogue import Entry


class Vectors(Source, frozen=True, tag="vectors"):
    """A file of word2vec or GloVe, or a folder with a table in safetensors and its vocabulary."""

    path: str

    @property
    def where(self) -> str:
        """The file or folder."""
        return str(self.file)

    @property
    def file(self) -> Path:
        """The file; a relative path is meant from where the program was started."""
        return Path(self.path).expanduser().absolute()

    @property
    def pattern(self) -> str:
        """Every folder read from a file of this name."""
        return f"{safe_name(self.file.stem)}@*"

    def same(self, origin: Mapping[str, str]) -> bool:
        """Whether `origin` tells of this very file, unchanged since."""
        try:
            return origin.get("stamp") == stamp(_weights(self.file))
        except (OSError, UserError):
            return False

    def pin(self, entry: Entry) -> Steps[Pinned]:
        """Look at how the file begins, then hash it."""
        from engine.models.vectors import layout_of

        size = layout_of(self.file).size
        weights = _weights(self.file)
        mark = stamp(weights)
        sha256 = yield from hashed(weights, f"Reading {entry.title}")
        return PinnedVectors(self.file, sha256, mark, size(weights.stat().st_size))


@dataclass(frozen=True)
class PinnedVectors:
    """A file of vectors whose content is known."""

    file: Path
    sha256: str
    stamp: str
    need: int

    @property
    def key(self) -> str:
        """The folder's name in the cache."""
        return f"{safe_name(self.file.stem)}@{self.sha256[:12]}"

    @property
    def origin(self) -> Mapping[str, str]:
        """The file, and what tells that it did not change."""
        return {
            "kind": "vectors",
            "path": str(self.file),
            "sha256": self.sha256,
            "stamp": self.stamp,
        }

    def fetch(self, entry: Entry, work: Path) -> Steps[Fetched]:
        """Read it, in a process of its own."""
        yield from run_module(
            "engine.models.vectors",
            [str(self.file), str(work / "model"), entry.title],
            f"Cannot read {self.file}",
            f"Reading {entry.title}",
        )
        return Fetched(work / "model", self.sha256)


def _weights(path: Path) -> Path:
    """The file that holds the numbers."""
    from engine.models.vectors import table_file

    found = table_file(path) if path.is_dir() else path
    if found is None or not found.is_file():
        raise UserError(f"Cannot open {path}", "there is no such file", "Check the path")
    return found
