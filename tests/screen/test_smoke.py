"""The real program on a virtual X screen: it opens, answers keys, and closes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageGrab

ROOT = Path(__file__).resolve().parent.parent.parent
WIDTH, HEIGHT = 1280, 800

pytestmark = [
    pytest.mark.screen,
    pytest.mark.skipif(
        not (shutil.which("Xvfb") and shutil.which("xdotool")),
        reason="needs Xvfb and xdotool, which are not installed here",
    ),
]


class Program:
    """The program as a user starts it, on a screen; what it says goes to a file."""

    def __init__(self, screen: Screen, folder: Path, *arguments: str) -> None:
        self.config = folder / "config"
        self._log = folder / "stderr.txt"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "main.py", *arguments],
                cwd=ROOT,
                env={**screen.environment, "CONTEXTSCOPE_CONFIG": str(self.config)},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        return self._log.read_text(errors="replace") or "nothing"

    def wait(self) -> int:
        return self._process.wait(120)

    def kill(self) -> None:
        if self.running:
            self._process.send_signal(signal.SIGABRT)  # faulthandler then tells where it stands
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(60)


class Screen:
    """A virtual X screen: what is on it, and keys for the window that has the focus."""

    def __init__(self, display: str) -> None:
        self.display = display
        self.environment = {
            **os.environ,
            "DISPLAY": display,
            "QT_QPA_PLATFORM": "xcb",
            "PYTHONFAULTHANDLER": "1",
        }

    def grab(self) -> np.ndarray:
        """The pixels, (height, width, 3)."""
        return np.asarray(ImageGrab.grab(xdisplay=self.display).convert("RGB"))

    def do(self, *arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env=self.environment, check=True, timeout=60)

    def wait(
        self,
        program: Program,
        wanted: Callable[[np.ndarray], bool],
        what: str,
        seconds: float = 300,
    ) -> np.ndarray:
        deadline = time.monotonic() + seconds
        while not wanted(picture := self.grab()):
            assert program.running, f"the program ended: {program.said()}"
            if time.monotonic() > deadline:
                program.kill()
                pytest.fail(f"the screen never showed {what}; the program said: {program.said()}")
            time.sleep(0.1)
        return picture


@pytest.fixture
def screen() -> Iterator[Screen]:
    read, write = os.pipe()
    server = subprocess.Popen(
        [
            "Xvfb",
            "-displayfd",
            str(write),
            "-screen",
            "0",
            f"{WIDTH}x{HEIGHT}x24",
            "-nolisten",
            "tcp",
        ],
        pass_fds=(write,),
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as told:
            yield Screen(f":{told.readline().strip()}")
    finally:
        server.terminate()
        server.wait(60)


def shades(picture: np.ndarray) -> int:
    """How many pixels of the context's panel have the shade of a token."""
    from gui.theme import DARK, LIGHT

    panel = picture[80 : HEIGHT // 2, : WIDTH // 2].reshape(-1, 3)
    colours = [
        [int(shade[i : i + 2], 16) for i in (1, 3, 5)] for shade in (*DARK.tokens, *LIGHT.tokens)
    ]
    return int(sum((panel == colour).all(axis=1).sum() for colour in colours))


QUARTERS = {
    "context": (slice(80, 350), slice(0, 640)),
    "embeddings": (slice(400, 760), slice(0, 640)),
    "attention": (slice(120, 350), slice(690, 1280)),
    "latent": (slice(570, 760), slice(690, 1280)),
}


def test_the_program_opens_answers_keys_and_closes(screen: Screen, tmp_path: Path) -> None:
    program = Program(screen, tmp_path, "--model", "builtin", "--text", "The dog is")
    try:
        screen.wait(program, lambda picture: shades(picture) > 1000, "tokens")
        # No window manager gives the window the focus here, without which it has no shortcuts.
        screen.do("search", "--onlyvisible", "--name", "^Contextscope", "windowfocus", "%1")
        # Views settle one after the other; two equal pictures in a row are the settled window.
        before = settled(screen)
        screen.do("type", "--delay", "80", " running in the park.")
        screen.wait(program, lambda picture: shades(picture) > 1.5 * shades(before), "more tokens")
        # Each view draws when it comes to its turn.
        for name, (rows, columns) in QUARTERS.items():
            shown = before[rows, columns]
            screen.wait(
                program,
                lambda picture, at=(rows, columns), shown=shown: (
                    (picture[at] != shown).any(axis=-1).mean() > 0.005
                ),
                f"a change by typing in the {name} view",
            )
        screen.do("key", "ctrl+q")
        assert program.wait() == 0
        assert "Traceback" not in program.said()
        assert (program.config / "settings.json").exists()
    finally:
        program.kill()


def settled(screen: Screen) -> np.ndarray:
    """The screen once it has stood still for a while, but for a blinking caret and the clock."""
    last = screen.grab()
    for _ in range(100):
        time.sleep(0.4)
        picture = screen.grab()
        if (picture[:760] != last[:760]).any(axis=-1).mean() < 0.0005:
            return picture
        last = picture
    pytest.fail("the window does not come to rest")
