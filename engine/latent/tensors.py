"""Tensors to a file, whole or not at all, and what the system says when that fails."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from engine.files import replacing

_NUMBER = re.compile(r"os error (\d+)")


def write(path: Path, tensors: Mapping[str, Tensor], told: Mapping[str, str]) -> None:
    """Write `tensors`, and `told` beside them as the file's metadata.

    Raises
    ------
    UserError
        If the folder cannot be written to or the disk is full.
    """
    with replacing(path) as beside:
        try:
            save_file(dict(tensors), beside, dict(told))
        except SafetensorError as error:
            # It says in words what the system said as a number.
            number = _NUMBER.search(str(error))
            code = int(number.group(1)) if number else errno.EIO
            raise OSError(code, str(error).splitlines()[0]) from error
