"""The models offered by name, and what else the user may write for a model."""

from __future__ import annotations

import functools
import os
import tomllib
from pathlib import Path

import msgspec

from engine.errors import UserError
from engine.models.sources.folder import Builtin, Folder
from engine.models.sources.gguf import Gguf
from engine.models.sources.hub import ID, Hub
from engine.models.sources.vectors import Vectors
from engine.models.sources.wheel import Wheel
from engine.paths import RESOURCES
from engine.types import Kind

FILE = RESOURCES / "models.toml"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model that can be opened.

    `size` is how many bytes have to be fetched and `disk` how many the finished folder takes, 0
    where that is not known; `approximate` says that they are round figures. An entry made from what
    the user typed knows neither family nor kind; `engine.models.store.open_spec` reads both.
    """

    name: str
    title: str
    source: Builtin | Wheel | Hub | Folder | Gguf | Vectors
    about: str = ""
    family: str = ""
    kind: Kind | None = None
    licence: str = ""
    size: int = 0
    disk: int = 0
    approximate: bool = False
    default: bool = False

    def in_cache(self) -> bool:
        """Whether it opens without fetching or converting anything. Reads next to nothing."""
        from engine.models import store

        return store.find(self) is not None


class _Catalogue(msgspec.Struct, forbid_unknown_fields=True):
    model: tuple[Entry, ...]


@functools.cache
def catalogue() -> tuple[Entry, ...]:
    """The entries of resources/models.toml, in the order they are offered in."""
    return read(FILE)


def read(file: Path) -> tuple[Entry, ...]:
    """Read a catalogue.

    Raises
    ------
    UserError
        If the file cannot be read, or says something that no model can be made of.
    """
    what = f"Cannot read the list of models in {file}"
    do = "Correct the file, or restore it from where the program came from"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(what, getattr(error, "strerror", None) or str(error), do) from error
    try:
        entries = msgspec.convert(tomllib.loads(text), _Catalogue).model
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UserError(what, str(error), do) from error
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(what, f"it has two models of the name {twice[0]}", do)
    if sum(entry.default for entry in entries) != 1:
        raise UserError(what, "exactly one model must have default = true", do)
    return entries


def default() -> Entry:
    """The model that is opened unless the user says otherwise."""
    return next(entry for entry in catalogue() if entry.default)


def resolve(text: str) -> Entry:
    """The model meant by `text`: a name, an id on the hub, a folder or a file.

    A file is a .gguf, or word vectors: .txt and .vec as text, .bin as word2vec's.

    A name of the catalogue comes first; ``./gpt2`` is the folder. The hub's id may be followed by
    a revision: ``owner/name@revision``.

    Raises
    ------
    UserError
        If it can be none of these. Whether a folder holds a model or the hub has one of that id is
        found out by `engine.models.store.acquire`.
    """
    text = text.strip()
    for entry in catalogue():
        source = entry.source
        if text.lower() == entry.name or (isinstance(source, Hub) and text == source.repo):
            return entry
    what = f"Cannot open {text or 'a model'}"
    if not text:
        raise UserError(what, "no model was named", f"Try {default().name}")
    path = Path(text).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise UserError(what, "there is no such file", "Check the path")
        return Entry(path.stem, path.stem, Gguf(str(path.absolute())))
    if path.suffix.lower() == ".safetensors" and path.is_file():
        path = path.parent
    if _holds_vectors(path):
        path = path.absolute()
        return Entry(path.stem, path.stem, Vectors(str(path)), kind="encoder")
    if path.is_dir():
        path = path.absolute()
        name = path.resolve().name or str(path)
        return Entry(name, name, Folder(str(path)))
    if path.is_file():
        raise UserError(
            what,
            "a file of this kind holds no model that can be read",
            "Choose a .gguf file, word vectors (.txt, .vec or word2vec's .bin), or a folder with "
            "config.json and model.safetensors",
        )
    looks_like_path = text.startswith((".", "~", os.sep)) or path.is_absolute() or "\\" in text
    match = ID.fullmatch(text)
    if looks_like_path or match is None:
        raise UserError(
            what,
            "there is no such folder" if looks_like_path else "that is not the id of a model",
            f"Give a name such as {default().name}, owner/name on the hub, a folder or a .gguf "
            "file",
        )
    repo, revision = match["repo"], match["revision"] or "main"
    return Entry(text, repo.split("/")[-1], Hub(repo, revision))


def _holds_vectors(path: Path) -> bool:
    """Whether a file or folder is to be read as word vectors. Looks at names, and at a .bin."""
    from engine.models.vectors import looks_binary, table_file

    if path.is_dir():
        return table_file(path) is not None
    suffix = path.suffix.lower()
    try:
        return path.is_file() and (
            suffix in (".txt", ".vec") or (suffix == ".bin" and looks_binary(path))
        )
    except OSError:
        return False
