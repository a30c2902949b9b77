"""Without a screen the program says so, in one sentence, and does not abort."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import UserError
from gui.headless.display import require_display

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="there is always a screen on this system"
)


@pytest.mark.parametrize("display", ["", ":8731", "localhost:8731", "nonsense"])
def test_no_screen_is_a_sentence(display: str) -> None:
    with pytest.raises(UserError, match="Cannot open the window"):
        require_display({"DISPLAY": display})


@pytest.mark.parametrize(
    "environment", [{"QT_QPA_PLATFORM": "offscreen"}, {"WAYLAND_DISPLAY": "wayland-0"}]
)
def test_what_may_have_a_screen_is_left_to_qt(environment: dict[str, str]) -> None:
    require_display(environment)


@pytest.mark.parametrize("display", ["", ":8731"])
def test_the_program_exits_with_one_line(display: str) -> None:
    hidden = ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY", "DISPLAY")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [sys.executable, "main.py"],
        cwd=ROOT,
        env={**environment, "DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Cannot open the window" in done.stderr
