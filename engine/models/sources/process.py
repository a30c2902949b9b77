"""Other processes, run so that the caller stays in charge.

What a process prints goes to temporary files, which cannot fill up and block it as a pipe would;
the caller looks at them between two reports. Closing the generator ends the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.errors import UserError
from engine.models.sources.amounts import BEAT
from engine.models.sources.base import Steps
from engine.paths import ROOT
from engine.types import Progress

PATIENCE = 3.0
"""Seconds a process has to end of its own accord before it is killed."""


@dataclass(frozen=True)
class Finished:
    """A process that came to its end."""

    code: int
    out: str
    err: str


class Line(msgspec.Struct, omit_defaults=True):
    """One line a process of ours prints: how far it is, why it failed, or what it found."""

    text: str = ""
    fraction: float | None = None
    error: tuple[str, str, str] | None = None
    result: dict[str, object] | None = None

    def say(self) -> None:
        """Print it, from inside such a process."""
        sys.stdout.buffer.write(msgspec.json.encode(self) + b"\n")
        sys.stdout.flush()


def run(
    args: Sequence[str], note: Callable[[bytes], Progress], env: Mapping[str, str] | None = None
) -> Steps[Finished]:
    """Run ``python args``, reporting `note` of what it printed since the last report.

    The process gets a pipe as its standard input that closes when this program dies in whatever
    way, so that it can end itself.
    """
    with tempfile.TemporaryDirectory(prefix="contextscope-", ignore_cleanup_errors=True) as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                [sys.executable, *args],
                stdin=subprocess.PIPE,
                stdout=out_file,
                stderr=err_file,
                cwd=ROOT,
                env={**os.environ, "PYTHONIOENCODING": "utf-8", **(env or {})},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        seen = 0
        try:
            while True:
                try:
                    process.wait(BEAT)
                    break
                except subprocess.TimeoutExpired:
                    fresh = _read(out, seen)
                    seen += len(fresh)
                    yield note(fresh)
        finally:
            _end(process)
        return Finished(
            process.returncode,
            _read(out, 0).decode("utf-8", "replace"),
            _read(err, 0).decode("utf-8", "replace"),
        )


def run_module(
    module: str, args: Sequence[str], what: str, first: str, env: Mapping[str, str] | None = None
) -> Steps[dict[str, object]]:
    """Run a module of ours that prints `Line` and give its result; its error is raised here.

    Parameters
    ----------
    what : str
        What did not happen if the process fails without a word.
    first : str
        What to report until the process says something itself.
    """
    latest = Progress(first, 0.0)
    rest = b""

    def note(fresh: bytes) -> Progress:
        nonlocal latest, rest
        *lines, rest = (rest + fresh).split(b"\n")
        for line in map(_parse, lines):
            if line is not None and line.text:
                latest = Progress(line.text, line.fraction)
        return latest

    yield latest
    finished = yield from run(["-m", module, *args], note, env)
    for line in map(_parse, finished.out.encode().split(b"\n")):
        if line is not None and line.error is not None:
            raise UserError(*line.error)
        if line is not None and line.result is not None:
            return line.result
    if "No space left on device" in finished.err:
        raise UserError(what, "the disk is full", "Free some space and try again")
    if finished.code in (-9, 137):
        raise UserError(
            what,
            "the system ended the process, most likely for want of memory",
            "Close other programs and try again, or choose a smaller model",
        )
    raise UserError(what, last_line(finished.err) or f"code {finished.code}", "Try again")


def last_line(text: str) -> str:
    """The last line of a program's complaint: the one that says what it is about."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def end_with_parent() -> None:
    """From inside a process started by `run`: end when the program that started it has died."""
    import threading

    def watch() -> None:
        # os.read, not sys.stdin: a thread that holds that object's lock upsets the interpreter's
        # own end.
        try:
            while os.read(0, 1):
                pass
        except OSError:
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _parse(line: bytes) -> Line | None:
    try:
        return msgspec.json.decode(line, type=Line)
    except msgspec.DecodeError:
        return None


def _read(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
    if process.stdin is not None:
        process.stdin.close()
    process.wait()
