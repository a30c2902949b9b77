"""Texts to begin with, each with a word on what to look at."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from engine.errors import UserError
from engine.paths import RESOURCES

FILE = RESOURCES / "samples.toml"


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text of the menu.

    Attributes
    ----------
    group, title : str
        Where it stands in the menu and what it is called there.
    text : str
        The context.
    about : str
        One sentence: what to look at.
    """

    group: str
    title: str
    text: str
    about: str


class _Shelf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sample: tuple[Sample, ...]


def read_samples(path: Path) -> tuple[Sample, ...]:
    """Read the samples of a TOML file, in its order.

    Raises
    ------
    UserError
        If the file is missing, damaged or has no samples.
    """
    what = f"Cannot read the sample texts in {path}"
    do = "Bring the file back from the program's own copy"
    try:
        shelf = msgspec.toml.decode(path.read_bytes(), type=_Shelf)
    except OSError as error:
        raise UserError(what, (error.strerror or str(error)).lower(), do) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(what, f"it is damaged ({error})", do) from error
    if not shelf.sample:
        raise UserError(what, "it holds none", do)
    return shelf.sample


@cache
def samples() -> tuple[Sample, ...]:
    """The samples that come with the program; the first is what a newcomer sees."""
    return read_samples(FILE)
