"""A GGUF file, converted once into a folder of the cache."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from engine.errors import UserError
from engine.models.sources.amounts import hashed, size_text, stamp, within
from engine.models.sources.base import Fetched, Pinned, Source, Steps, safe_name
from engine.models.sources.process import run_module

if TYPE_CHECKING:
    from engine.models.catalogue import Entry

# struct letters of the metadata's value types; 8 is a string and 9 an array
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_SCALARS[12] = "d"
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself, as far as it matters here.

    `splitting` is llama.cpp's name for how text is split before merges apply.
    """

    architecture: str
    elements: int
    licence: str
    splitting: str

    @property
    def converted_size(self) -> int:
        """About how large the converted folder is: float32, and some for the tokenizer."""
        return self.elements * 4 + 16_000_000


class Gguf(Source, frozen=True, tag="gguf"):
    """A .gguf file on this machine."""

    path: str

    @property
    def where(self) -> str:
        """The file."""
        return str(self.file)

    @property
    def file(self) -> Path:
        """The file; a relative path is meant from where the program was started."""
        return Path(self.path).expanduser().absolute()

    @property
    def pattern(self) -> str:
        """Every folder converted from a file of this name."""
        return f"{safe_name(self.file.stem)}@*"

    def same(self, origin: Mapping[str, str]) -> bool:
        """Whether `origin` tells of this very file, unchanged since."""
        return self.file.is_file() and origin.get("stamp") == stamp(self.file)

    def pin(self, entry: Entry) -> Steps[Pinned]:
        """Look at the header, then hash the file."""
        header = read_header(self.file)
        try:
            mark = stamp(self.file)
            sha256 = yield from hashed(self.file, f"Reading {entry.title}")
        except OSError as error:
            raise _unreadable(self.file, error) from error
        return PinnedGguf(self.file, sha256, mark, header)


@dataclass(frozen=True)
class PinnedGguf:
    """A GGUF file whose content is known."""

    file: Path
    sha256: str
    stamp: str
    header: Header

    @property
    def key(self) -> str:
        """The folder's name in the cache."""
        return f"{safe_name(self.file.stem)}@{self.sha256[:12]}"

    @property
    def need(self) -> int:
        """The converted folder."""
        return self.header.converted_size

    @property
    def origin(self) -> Mapping[str, str]:
        """The file, and what tells that it did not change."""
        return {
            "kind": "gguf",
            "path": str(self.file),
            "sha256": self.sha256,
            "stamp": self.stamp,
        }

    def fetch(self, entry: Entry, work: Path) -> Steps[Fetched]:
        """Convert it."""
        return converted(self.file, work / "model", entry.title, self.sha256)


def converted(file: Path, target: Path, title: str, sha256: str = "") -> Steps[Fetched]:
    """Convert a GGUF file into the folder `target`, in a process of its own."""
    header = read_header(file)
    if not sha256:
        sha256 = yield from within(hashed(file, f"Converting {title}"), 0.0, 0.02)
    yield from run_module(
        "engine.models.convert",
        [str(file), str(target), title],
        f"Cannot convert {file.name}",
        f"Converting {title}",
        {
            # Two busy torch processes make each other several times slower while they spin.
            "OMP_WAIT_POLICY": "PASSIVE",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        },
    )
    return Fetched(target, sha256, header.licence)


def read_header(file: Path) -> Header:
    """Read the header of a GGUF file and compare its length with what the header promises.

    The gguf library reads this too, but takes a second over a vocabulary and does not notice a
    file that was cut short.
    """
    what = f"Cannot open {file}"
    again = "Copy or download it again"
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise UserError(what, "it is not a GGUF file", "Choose a .gguf file")
            header, end = _parse(stream, what)
    except FileNotFoundError:
        raise UserError(what, "there is no such file", "Check the path") from None
    except OSError as error:
        raise _unreadable(file, error) from error
    except (struct.error, EOFError, UnicodeDecodeError, KeyError, OverflowError, MemoryError):
        raise UserError(what, "it is damaged or was cut short", again) from None
    if end > size:
        raise UserError(
            what,
            f"it was cut short: {size_text(end - size)} of {size_text(end)} are missing",
            again,
        )
    return header


def _parse(stream: IO[bytes], what: str) -> tuple[Header, int]:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    version, tensors, keys = _unpack(stream, "IQQ")
    if version not in (2, 3):
        raise UserError(
            what,
            f"its format is version {version & 0xFFFF}, and only 2 and 3 can be read",
            "Convert the model again with a current llama.cpp",
        )
    facts: dict[str, object] = {}
    for _ in range(keys):
        key = _string(stream)
        facts[key] = _value(stream, _unpack(stream, "I")[0])
    parts = facts.get("split.count")
    if isinstance(parts, int) and parts > 1:
        raise UserError(
            what,
            f"it is one of {parts} parts of a model",
            "Join them with llama-gguf-split --merge, and open the result",
        )
    elements = end = 0
    for _ in range(tensors):
        _string(stream)
        shape = _unpack(stream, f"{_unpack(stream, 'I')[0]}Q")
        kind, offset = _unpack(stream, "IQ")
        try:
            block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        except (ValueError, KeyError):
            raise UserError(
                what,
                f"it is quantised in a way that the installed gguf library does not know ({kind})",
                "Update the gguf package, or choose another quantisation",
            ) from None
        count = math.prod(shape)
        elements += count
        end = max(end, offset + count // block * block_bytes)
    alignment = facts.get("general.alignment", 32)
    alignment = alignment if isinstance(alignment, int) and alignment > 0 else 32
    start = -(-stream.tell() // alignment) * alignment
    architecture = facts.get("general.architecture")
    if not isinstance(architecture, str) or not tensors:
        raise UserError(what, "there is no model in it", "Choose another .gguf file")
    licence = str(facts.get("general.license", ""))
    splitting = str(facts.get("tokenizer.ggml.pre", ""))
    return Header(architecture, elements, licence, splitting), start + end


def _unpack(stream: IO[bytes], layout: str) -> tuple[int, ...]:
    layout = "<" + layout
    size = struct.calcsize(layout)
    return struct.unpack(layout, _take(stream, size))


def _take(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


def _string(stream: IO[bytes]) -> str:
    return _take(stream, _unpack(stream, "Q")[0]).decode("utf-8")


def _value(stream: IO[bytes], kind: int) -> object:
    """One value of the metadata. Arrays, vocabularies above all, are stepped over."""
    if kind == _STRING:
        return _string(stream)
    if kind != _ARRAY:
        return _unpack(stream, _SCALARS[kind])[0]
    inner, count = _unpack(stream, "IQ")
    if inner == _STRING:
        for _ in range(count):
            _take(stream, _unpack(stream, "Q")[0])
    else:
        _take(stream, count * struct.calcsize(_SCALARS[inner]))
    return None


def _unreadable(file: Path, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(
        f"Cannot open {file}", f"it cannot be read ({reason})", "Check its permissions"
    )
