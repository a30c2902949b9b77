"""Words to the terminal: a line when something fails, a running line while something lasts."""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeVar

from engine.errors import UserError

if TYPE_CHECKING:
    from engine.types import Progress

NAME = "contextscope"
DONE, FAILED, INTERRUPTED = 0, 1, 130

TRACEBACK = "CONTEXTSCOPE_TRACEBACK"
"""Set this variable to see where in the program a failure arose."""

T = TypeVar("T")


def guarded(command: Callable[[], int]) -> int:
    """Run `command` and give its exit code; whatever stops it becomes one line and a code.

    Returns
    -------
    int
        What `command` returned, 1 if it failed, 130 if it was interrupted.
    """
    try:
        code = command()
        sys.stdout.flush()  # so that a closed pipe is met here and not at exit
        return code
    except KeyboardInterrupt:
        say("interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        say((error if isinstance(error, UserError) else _unforeseen(error)).sentence)
        return FAILED


def _unforeseen(error: Exception) -> UserError:
    if isinstance(error, OSError) and error.errno is not None:
        where = f" ({error.filename})" if error.filename else ""
        why = f"{error.strerror}{where}"
        return UserError("Cannot go on", why[:1].lower() + why[1:], "Check the file or its folder")
    kind = type(error).__name__
    why = f"something in the program went wrong ({kind}: {error})"
    return UserError("Cannot go on", why, f"Report it with what {TRACEBACK}=1 shows")


def say(sentence: str) -> None:
    """Write one line to standard error."""
    print(f"{NAME}: {' '.join(sentence.split())}", file=sys.stderr)


def finish(steps: Generator[Progress, None, T]) -> T:
    """Run `steps` to its value; on a terminal, keep one line that tells how far it is."""
    shows = sys.stderr.isatty()
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as stop:
                value: T = stop.value
                return value
            if shows:
                _redraw(progress)
    finally:
        steps.close()  # what was interrupted leaves nothing half-made
        if shows:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _redraw(progress: Progress) -> None:
    share = "" if progress.fraction is None else f"{100 * progress.fraction:3.0f} %  "
    line = f"{share}{' '.join(progress.text.split())}"
    room = shutil.get_terminal_size().columns - 1
    print(f"\r\x1b[K{line[:room]}", end="", file=sys.stderr, flush=True)
