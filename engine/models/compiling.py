"""Compiling loops, once on a machine.

numba keeps what it compiled and knows by a file's date whether that is still the file's. It does
not look at what was called from other files and compiled into it: after an update of those it would
run the old loops, over weights that lie in a new way. So what is kept is kept by the contents of
all files that call each other.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

from engine.paths import cache_dir

F = TypeVar("F", bound=Callable[..., Any])

TOGETHER = "kernels.py", "pairs.py", "blocks.py"
"""Files beside this one whose loops call each other's."""

_VERSIONS = 3
"""So many versions' loops are kept, as one may go back and forth."""

_ORDER = {"contract", "reassoc", "nsz", "arcp"}


def compiled(signature: str) -> Callable[[F], F]:
    """Compile for one signature, now; what was compiled before on this machine is read again.

    Sums may be added up in any order (``fastmath``), but infinities and what is no number stay so.
    The interpreter is let go of.
    """

    def compiler(cache: bool) -> Any:
        return numba.njit(signature, cache=cache, nogil=True, fastmath=_ORDER, error_model="numpy")

    def decorate(function: F) -> F:
        try:
            with _kept_in(folder()):
                found: F = compiler(True)(function)
        except (RuntimeError, OSError):  # there is no folder that may be written to
            found = compiler(False)(function)
        return found

    return decorate


@cache
def folder() -> Path:
    """Where this version's loops are kept."""
    here = Path(__file__).parent
    whole = hashlib.sha256(b"\0".join((here / name).read_bytes() for name in TOGETHER))
    found = cache_dir() / "compiled" / whole.hexdigest()[:16]
    if not found.is_dir():
        forget_old(found.parent, _VERSIONS - 1)
    return found


def forget_old(versions: Path, keep: int) -> None:
    """Remove the folders in `versions` but those that were made last."""
    with suppress(OSError):
        made = sorted(versions.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in made[keep:]:
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _kept_in(place: Path) -> Iterator[None]:
    """Have numba keep what it compiles in one place, and all else where it would."""
    before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = str(place)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before  # type: ignore[attr-defined]
