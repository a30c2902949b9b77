"""The real program on a virtual X screen: it opens, answers keys, and closes."""

from __future__ import annotations

import os
import shutil
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


class Screen:
    """A virtual X screen: what is on it, and keys for the window that has the focus."""

    def __init__(self, display: str) -> None:
        self.display = display
        self.environment = {**os.environ, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb"}

    def grab(self) -> np.ndarray:
        """The pixels, (height, width, 3)."""
        return np.asarray(ImageGrab.grab(xdisplay=self.display).convert("RGB"))

    def do(self, *arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env=self.environment, check=True, timeout=60)

    def wait(self, wanted: Callable[[np.ndarray], bool], seconds: float = 120) -> np.ndarray:
        deadline = time.monotonic() + seconds
        while not wanted(picture := self.grab()):
            assert time.monotonic() < deadline, "the screen did not come to show it"
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
        server.wait(10)


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
    program = subprocess.Popen(
        [sys.executable, "main.py", "--model", "builtin", "--text", "The dog is"],
        cwd=ROOT,
        env={**screen.environment, "CONTEXTSCOPE_CONFIG": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        screen.wait(lambda picture: shades(picture) > 1000)
        # No window manager gives the window the focus here, without which it has no shortcuts.
        screen.do("search", "--onlyvisible", "--name", "^Contextscope", "windowfocus", "%1")
        # Views settle one after the other; two equal pictures in a row are the settled window.
        before = settled(screen)
        screen.do("type", "--delay", "80", " running in the park.")
        screen.wait(lambda picture: shades(picture) > 1.5 * shades(before))
        after = settled(screen)
        for name, (rows, columns) in QUARTERS.items():
            changed = (before[rows, columns] != after[rows, columns]).any(axis=-1).mean()
            assert changed > 0.005, f"typing changed nothing in the {name} view"
        screen.do("key", "ctrl+q")
        assert program.wait(30) == 0
        assert "Traceback" not in (program.stderr.read() if program.stderr else "")
        assert (tmp_path / "settings.json").exists()
    finally:
        if program.poll() is None:
            program.kill()
        program.wait(10)
        if program.stderr:
            program.stderr.close()


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
