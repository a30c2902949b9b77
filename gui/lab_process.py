"""A training in a process of its own, whose lines are the points of its curves."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Literal

import psutil  # type: ignore[import-untyped]
from PySide6.QtCore import QObject, QProcess, Signal

from engine.paths import ROOT

NICE = 15
"""How far the training stands back behind whatever else this machine does."""

NAME = "contextscope:"
"""What the command line begins its sentences with."""

Ended = Literal["done", "stopped", "failed"]


class LabProcess(QObject):
    """Runs ``main.py lab train``; one training at a time.

    Signals
    -------
    pointed(bytes)
        A line of JSON: a point of the curves.
    told(str)
        A sentence it said meanwhile.
    ended(str, str)
        How it ended, see `Ended`, and the sentence it ended with.
    """

    pointed = Signal(bytes)
    told = Signal(str)
    ended = Signal(str, str)

    def __init__(self, parent: QObject | None = None, program: Sequence[str] = ()) -> None:
        super().__init__(parent)
        self._program = list(program) or [sys.executable, str(ROOT / "main.py")]
        self._process: QProcess | None = None
        self._half = b""
        self._said = ""
        self._stopped = False
        self.paused = False

    @property
    def running(self) -> bool:
        """Whether a training is under way, at rest or not."""
        return self._process is not None

    def start(self, words: Sequence[str]) -> None:
        """Begin; the one before must be over."""
        assert self._process is None
        process = QProcess(self)
        self._process, self._half, self._said = process, b"", ""
        self._stopped = self.paused = False
        process.setWorkingDirectory(str(ROOT))
        process.started.connect(self._stand_back)
        process.readyReadStandardOutput.connect(self._read)
        process.readyReadStandardError.connect(self._hear)
        process.errorOccurred.connect(self._on_error)
        process.finished.connect(self._on_finished)
        process.start(self._program[0], [*self._program[1:], *words])

    def pause(self, rests: bool) -> None:
        """Let it rest where it is, or go on."""
        found = self._running()
        if found is None:
            return
        with contextlib.suppress(psutil.Error):
            if rests:
                found.suspend()
            else:
                found.resume()
            self.paused = rests

    def stop(self) -> None:
        """End it at once: what it learnt since its last point is lost, the rest is on disk."""
        if self._process is not None:
            self._stopped = True
            self._process.kill()

    def close(self) -> None:
        """End it, and wait until it is gone; nothing is told any more."""
        process, self._process = self._process, None
        if process is None:
            return
        process.blockSignals(True)
        process.kill()
        process.waitForFinished(2000)
        process.deleteLater()

    def _running(self) -> psutil.Process | None:
        process = self._process
        number = int(process.processId()) if process is not None else 0
        try:
            return psutil.Process(number) if number else None
        except psutil.Error:
            return None

    def _stand_back(self) -> None:
        found = self._running()
        low = getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", NICE)
        # A machine that refuses has the training at the window's own priority.
        with contextlib.suppress(psutil.Error, OSError):
            if found is not None and (sys.platform == "win32" or found.nice() < low):
                found.nice(low)

    def _read(self) -> None:
        if self._process is None:
            return
        text = self._half + bytes(self._process.readAllStandardOutput().data())
        *lines, self._half = text.split(b"\n")
        for line in lines:
            if line.strip():
                self.pointed.emit(line)

    def _hear(self) -> None:
        if self._process is None:
            return
        text = bytes(self._process.readAllStandardError().data()).decode("utf-8", "replace")
        for line in text.splitlines():
            # Libraries warn there too; what is for the user has the program's name before it.
            if line.startswith(NAME):
                said = line.removeprefix(NAME).strip()
                self._said = said[:1].upper() + said[1:]
                self.told.emit(self._said)

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            program = self._program[0]
            self._end("failed", f"Cannot train: {program} could not be started. Start once more.")

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self._hear()
        if self._stopped:
            self._end("stopped", "")
        elif code == 0 and status == QProcess.ExitStatus.NormalExit:
            self._end("done", self._said)
        else:
            lost = "The training ended before its last step; go on with it to continue."
            self._end("failed", self._said or lost)

    def _end(self, how: Ended, sentence: str) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()
            self.ended.emit(how, sentence)
