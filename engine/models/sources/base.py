"""What all sources have in common.

A `Source` is a plain value, as written in the catalogue: it says where a model is to be had. It
takes three steps to a folder that can be loaded, each a generator of `Progress`:

- `Source.place` names the folder at once where the model is used where it lies. Otherwise
- `Source.pin` settles what exactly is meant (a commit, the hash of a file) and gives a `Pinned`,
- `Pinned.fetch` makes the folder inside a work folder. `engine.models.store` moves it into the
  cache, under the name `Pinned.key`, once all of it is there.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import msgspec

from engine.types import Progress

if TYPE_CHECKING:
    from engine.models.catalogue import Entry

T = TypeVar("T")

Steps: TypeAlias = Generator[Progress, None, T]
"""Work that tells how far it is. It returns a T; closing it cancels it and cleans up."""


@dataclass(frozen=True)
class Fetched:
    """A folder that was made, inside the work folder, ready to be moved into the cache.

    `fingerprint` is the SHA-256 of the weights as their source has them where those are not the
    files in `folder`: dequantised values could differ in a last bit with the next release of
    a library, and the fingerprint is to mean the same on every machine.
    `expected` are hashes, by file name, that the source promised and that are still to be checked.
    """

    folder: Path
    fingerprint: str = ""
    licence: str = ""
    expected: Mapping[str, str] = field(default_factory=dict)


class Pinned(Protocol):
    """A source of which it is settled what exactly it gives."""

    @property
    def key(self) -> str:
        """The name of the model's folder in the cache; the same content has the same name."""

    @property
    def need(self) -> int:
        """How many bytes of disk fetching takes, at its worst moment."""

    @property
    def origin(self) -> Mapping[str, str]:
        """What the manifest keeps of the source, for `Source.same`."""

    def fetch(self, entry: Entry, work: Path) -> Steps[Fetched]:
        """Make the folder inside `work`."""


class Source(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """A place a model can come from. The subclasses are what the catalogue may write."""

    @property
    def where(self) -> str:
        """The place, in words for the user."""
        raise NotImplementedError

    @property
    def pattern(self) -> str:
        """A glob for the folders in the cache that may hold this model."""
        return ""

    def place(self) -> Path | None:
        """The model's folder where it is used in place, else None. Does not look into it."""
        return None

    def check(self) -> None:
        """Raise `UserError` if the folder named by `place` cannot be loaded."""

    def same(self, origin: Mapping[str, str]) -> bool:
        """Whether a folder whose manifest has this `origin` is what this source would give."""
        return False

    def pin(self, entry: Entry) -> Steps[Pinned]:
        """Settle what exactly is to be fetched."""
        raise NotImplementedError


def safe_name(text: str) -> str:
    """`text` as part of a folder's name on any system."""
    return re.sub(r"[^A-Za-z0-9._@-]+", "-", text.replace("/", "--")).strip(".-")[:80] or "model"
