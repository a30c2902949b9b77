"""A model on the Hugging Face hub, or on a server that speaks as it does.

The hub is spoken to by a process of its own (`engine.models.sources.hub_process`): a name that is
slow to resolve or a stalled connection then keeps nothing waiting, and it reads the environment
(HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE) at its start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.models.sources.base import Fetched, Pinned, Source, Steps, safe_name
from engine.models.sources.process import run_module

if TYPE_CHECKING:
    from engine.models.catalogue import Entry

MODULE = "engine.models.sources.hub_process"
ID = re.compile(
    r"(?!.*(--|\.\.))(?P<repo>\w[\w.-]{0,95}(/\w[\w.-]{0,95})?)(@(?P<revision>\w[\w./-]*))?",
    re.ASCII,
)

ENVIRONMENT = {
    # Plain HTTP: one file that grows is the progress, and there is no second cache.
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_VERBOSITY": "error",
}


class RemoteFile(msgspec.Struct, frozen=True):
    """A file of a repository. The hub knows the hash of large ones only."""

    name: str
    size: int = 0
    sha256: str = ""


class Found(msgspec.Struct, frozen=True):
    """What a repository holds at one commit, as far as it is wanted."""

    commit: str
    files: tuple[RemoteFile, ...]
    licence: str = ""


class Hub(Source, frozen=True, tag="hub"):
    """A repository and a revision of it: a branch, a tag or a commit."""

    repo: str
    revision: str = "main"

    @property
    def where(self) -> str:
        """The repository, and the server where it is not the usual one."""
        endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/")
        server = re.sub(r"^https?://", "", endpoint) or "huggingface.co"
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"{server}/{self.repo}{revision}"

    @property
    def pattern(self) -> str:
        """Every commit of the repository that is kept."""
        return f"{safe_name(self.repo)}@*"

    def same(self, origin: Mapping[str, str]) -> bool:
        """Whether `origin` was fetched for the same revision, or is the commit asked for.

        A branch that has moved on since is not looked for: what opened yesterday opens today, the
        same and without a network.
        """
        commit = origin.get("commit", "")
        return origin.get("repo") == self.repo and (
            origin.get("revision") == self.revision
            or (len(self.revision) >= 7 and commit.startswith(self.revision))
        )

    def pin(self, entry: Entry) -> Steps[Pinned]:
        """Ask which commit the revision is at, and what it holds."""
        result = yield from run_module(
            MODULE,
            ["find", self.repo, self.revision],
            f"Cannot open {self.repo}",
            f"Looking for {entry.title}",
            ENVIRONMENT,
        )
        return PinnedHub(self, msgspec.convert(result, Found))


@dataclass(frozen=True)
class PinnedHub:
    """A repository at one commit."""

    hub: Hub
    found: Found

    @property
    def key(self) -> str:
        """The folder's name in the cache."""
        return f"{safe_name(self.hub.repo)}@{self.found.commit[:12]}"

    @property
    def need(self) -> int:
        """Every file once."""
        return sum(file.size for file in self.found.files)

    @property
    def origin(self) -> Mapping[str, str]:
        """The repository, the commit, and what was asked for."""
        return {
            "kind": "hub",
            "repo": self.hub.repo,
            "revision": self.hub.revision,
            "commit": self.found.commit,
        }

    def fetch(self, entry: Entry, work: Path) -> Steps[Fetched]:
        """Download the files of the commit."""
        target = work / "model"
        target.mkdir()
        yield from run_module(
            MODULE,
            ["fetch", self.hub.repo, str(target), entry.title, _json(self.found)],
            f"Cannot download {entry.title}",
            f"Downloading {entry.title}",
            ENVIRONMENT,
        )
        expected = {file.name: file.sha256 for file in self.found.files if file.sha256}
        return Fetched(target, licence=self.found.licence, expected=expected)


def _json(found: Found) -> str:
    return msgspec.json.encode(found).decode()
