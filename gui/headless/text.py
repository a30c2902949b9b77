"""The text that the command line names."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.errors import UserError

SENTENCE = "The dog is running in the park."
"""What is read where no text is given."""


def given_text(text: str | None, file: str | None) -> str | None:
    """The text given by itself or in a file of UTF-8 (``-``: standard input); None if neither.

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    if file is None:
        return text
    what = f"Cannot read {'standard input' if file == '-' else file}"
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"it is not UTF-8 text, at byte {error.start}"
        raise UserError(what, why, "Save it as UTF-8 and try again") from error
    except FileNotFoundError as error:
        raise UserError(what, "there is no such file", "Check the path") from error
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        why = getattr(error, "strerror", None) or str(error)
        raise UserError(what, why[:1].lower() + why[1:], "Choose another file") from error
