"""The models kept on this machine, and how one gets there.

Each lies in a folder of its own under ``cache_dir()/models``, named after what it holds, with a
manifest that was written last. A folder is made under another name beside and moved into place, so
that it is there whole or not at all; a lock keeps two programs from making the same one.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from engine.errors import UserError
from engine.files import disk_error
from engine.models.catalogue import Entry
from engine.models.sources.amounts import BEAT, CHUNK, hashed, size_text, within
from engine.models.sources.base import Fetched, Pinned, Steps
from engine.models.sources.folder import check_folder, read_json, weight_files
from engine.paths import ROOT, cache_dir
from engine.types import Kind, Progress

MANIFEST = "manifest.json"
STALE = 24 * 3600
"""Seconds after which a work folder that nothing was written to belongs to no living program."""

# Models that read their text in both directions, by config.json's model_type.
ENCODERS = """
    albert bert camembert convbert deberta deberta-v2 distilbert electra ernie esm eurobert
    flaubert funnel ibert layoutlm longformer luke mobilebert modernbert mpnet nystromformer
    rembert roberta roberta-prelayernorm roc_bert roformer splinter squeezebert xlm
    xlm-roberta xlm-roberta-xl xmod yoso big_bird megatron-bert nomic_bert
"""


class FileRecord(msgspec.Struct, frozen=True):
    """One file of a kept model."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What is known of a kept model; it is written when everything else is in place.

    `origin` is what its source goes by, `where` the same in words. `fingerprint` is the SHA-256 of
    the weights: of the weight files in the order of their names, or of the GGUF file that they were
    converted from.
    """

    name: str
    title: str
    where: str
    origin: dict[str, str]
    files: dict[str, FileRecord]
    fingerprint: str
    licence: str = ""
    created: str = ""
    program: str = ""
    format: int = 1


@dataclass(frozen=True)
class ModelSource:
    """What the engine loads: a folder, and what the user may want to know of it."""

    name: str
    title: str
    family: str
    kind: Kind
    folder: Path
    licence: str
    source: str

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the weights. Those of a folder of the user's are read for it, once."""
        manifest = read_manifest(self.folder)
        if manifest is not None:
            return manifest.fingerprint
        return _hash_of_files(weight_files(self.folder))


def models_dir() -> Path:
    """Where kept models lie."""
    return cache_dir() / "models"


def find(entry: Entry) -> Path | None:
    """The folder of a model that needs not be fetched, or None. Looks at names and sizes only."""
    place = entry.source.place()
    if place is not None:
        return place if (place / "config.json").is_file() else None
    found = []
    for folder in models_dir().glob(entry.source.pattern):
        manifest = read_manifest(folder)
        if manifest is not None and entry.source.same(manifest.origin):
            found.append((manifest.created, folder))
    return max(found)[1] if found else None


def acquire(entry: Entry) -> Steps[Path]:
    """Bring a model to this machine if need be; the value is a folder that can be loaded.

    A generator of `Progress`, to be driven on a thread that may wait. Closing it cancels the work:
    processes are ended and nothing half-made is left.

    Raises
    ------
    UserError
        If it cannot be had: why, and what to do about it.
    """
    root = models_dir()
    try:
        place = entry.source.place()
        if place is not None:
            entry.source.check()
            return place
        found = find(entry)
        if found is not None:
            return found
        pinned = yield from entry.source.pin(entry)
        final = root / pinned.key
        if read_manifest(final) is not None:
            return final
        root.mkdir(parents=True, exist_ok=True)
        return (yield from _make(entry, pinned, final))
    except OSError as error:
        said = disk_error(root, error)
        raise UserError(
            f"Cannot keep {entry.title} in {root}",
            said.why,
            "Free some space, or set CONTEXTSCOPE_CACHE to a folder that can be written to",
        ) from error


def fetch(entry: Entry) -> Path:
    """Do what `acquire` does, for a caller that has no use for its progress."""
    steps = acquire(entry)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return Path(stop.value)


def open_spec(entry: Entry, folder: Path) -> ModelSource:
    """Say what is in `folder`, that `acquire` gave for `entry`. Reads json only."""
    config = read_json(folder / "config.json", f"Cannot open {folder}")
    manifest = read_manifest(folder)
    where = manifest.where if manifest is not None else entry.source.where
    licence = entry.licence or (manifest.licence if manifest is not None else "")
    family = str(config.get("model_type", ""))
    kind = entry.kind or guess_kind(config)
    return ModelSource(entry.name, entry.title, family, kind, folder, licence, where)


def guess_kind(config: Mapping[str, object]) -> Kind:
    """What kind of model a config.json describes."""
    if config.get("is_encoder_decoder"):
        return "encoder-decoder"
    if config.get("model_type") in ENCODERS.split() and not config.get("is_decoder"):
        return "encoder"
    return "decoder"


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder in which every file it lists is there and as long as it says."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        sizes = all((folder / n).stat().st_size == f.size for n, f in manifest.files.items())
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    return manifest if sizes and manifest.files else None


def _make(entry: Entry, pinned: Pinned, final: Path) -> Steps[Path]:
    locks = final.parent / ".locks"
    locks.mkdir(exist_ok=True)
    # The generator may be closed by another thread than the one that ran it.
    lock = FileLock(locks / f"{pinned.key}.lock", thread_local=False)
    yield from _wait_for(lock, entry.title)
    try:
        if read_manifest(final) is not None:
            return final  # the other program made it
        # With the lock held, what lies beside under this name was left by a program that died.
        _sweep(final.parent, pinned.key)
        _check_room(entry, pinned.need, final.parent)
        with _work_folder(final) as work:
            fetched = yield from within(pinned.fetch(entry, work), 0.0, 0.9)
            yield from within(_seal(entry, pinned, fetched), 0.9, 1.0)
            if final.exists():  # damaged, or its manifest would have been read
                final.rename(work / "damaged")
            fetched.folder.rename(final)
        return final
    finally:
        lock.release()


def _wait_for(lock: FileLock, title: str) -> Steps[None]:
    while True:
        try:
            lock.acquire(blocking=False)
            return
        except Timeout:
            yield Progress(f"Another Contextscope is fetching {title}")
            time.sleep(BEAT)


def _seal(entry: Entry, pinned: Pinned, fetched: Fetched) -> Steps[None]:
    """Check the folder that was made and write its manifest."""
    folder = fetched.folder
    check_folder(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    records = {}
    for number, path in enumerate(paths):
        name = path.relative_to(folder).as_posix()
        steps = hashed(path, f"Checking {entry.title}")
        sha256 = yield from within(steps, number / len(paths), (number + 1) / len(paths))
        if fetched.expected.get(name, sha256) != sha256:
            raise UserError(
                f"Cannot use the download of {entry.title}",
                f"{name} arrived damaged (its SHA-256 is not the one that was announced); it was "
                "thrown away",
                "Try again",
            )
        records[name] = FileRecord(path.stat().st_size, sha256)
    weights = weight_files(folder)
    fingerprint = fetched.fingerprint
    if not fingerprint:
        only = records[weights[0].name].sha256 if len(weights) == 1 else ""
        fingerprint = only or _hash_of_files(weights)
    manifest = Manifest(
        name=entry.name,
        title=entry.title,
        where=entry.source.where,
        origin=dict(pinned.origin),
        files=records,
        fingerprint=fingerprint,
        licence=entry.licence or fetched.licence,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        program=_version(),
    )
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    (folder / MANIFEST).write_bytes(text + b"\n")
    umask = os.umask(0)
    os.umask(umask)
    for path in (folder, *folder.rglob("*")):
        # mkdtemp and some writers keep others out; a shared cache is to be readable.
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


@contextmanager
def _work_folder(final: Path) -> Iterator[Path]:
    """A folder beside `final` that is gone afterwards."""
    work = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.", suffix=".part"))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sweep(root: Path, key: str) -> None:
    """Remove what programs that died left behind."""
    for folder in root.glob(".*.part"):
        try:
            newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
        except OSError:
            continue  # somebody is at work in it
        if folder.name.startswith(f".{key}.") or time.time() - newest > STALE:
            shutil.rmtree(folder, ignore_errors=True)


def _check_room(entry: Entry, need: int, root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < need:
        raise UserError(
            f"Cannot fetch {entry.title}",
            f"it takes {size_text(need)} of disk for a while and {root} has {size_text(free)} left",
            "Free some space, or set CONTEXTSCOPE_CACHE to a folder on a larger disk",
        )


def _hash_of_files(paths: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])
