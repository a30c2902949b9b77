"""Writing files so that a reader sees the old one or the new one, never half of either."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; rename it over `path` if the block succeeds.

    Raises
    ------
    UserError
        If the folder cannot be written to or the disk is full. Nothing is left beside `path`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name[:40]}.", suffix=f".part{path.suffix}"
        )
    except OSError as error:
        raise disk_error(path, error) from error
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        # mkstemp makes files that only their owner may read; a saved figure is an ordinary file.
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o666 & ~umask)
        beside.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        beside.unlink(missing_ok=True)


def disk_error(path: Path, error: OSError) -> UserError:
    """Say in the user's terms why `path` could not be written."""
    what = f"Cannot write {path}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(what, "the disk is full", "Free some space and try again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(what, "the folder is not writable", "Choose another folder")
    if isinstance(error, (NotADirectoryError, IsADirectoryError, FileExistsError)):
        return UserError(what, "a file or folder of that name is in the way", "Choose another name")
    reason = error.strerror or str(error)
    return UserError(what, reason[:1].lower() + reason[1:], "Choose another place")
