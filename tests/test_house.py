"""The house rules that no linter holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCK = (
    "import sys\nfor name in ('PySide6', 'shiboken6', 'pyqtgraph'):\n    sys.modules[name] = None\n"
)


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def without_qt(*arguments: str) -> str:
    """What pytest prints of the engine's tests in a process that cannot import Qt."""
    given = ["-c", "tests/no_qt.ini", "--rootdir", ".", "-q", "-x", *arguments]
    plain = ["-p", "no:pytest-qt", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = python(f"{BLOCK}import pytest\nsys.exit(pytest.main({given + plain}))")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_the_engines_tests_are_found_and_the_engine_answers_where_there_is_no_qt() -> None:
    """None of their modules imports it; tests/engine/conftest.py keeps it from each test."""
    said = without_qt("tests/engine", "-k", "test_engine.py or test_runner.py")
    assert re.search(r"\d+ passed, \d{3,} deselected", said), said[-2000:]


def test_the_window_is_imported_without_torch() -> None:
    done = python(
        "import sys, gui.app, gui.view\n"
        "gui.view.view_specs()\n"
        "heavy = ('torch', 'transformers', 'matplotlib', 'sklearn')\n"
        "late = [name for name in heavy if name in sys.modules]\n"
        "sys.exit(str(late) if late else 0)",
        QT_QPA_PLATFORM="offscreen",
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_no_file_grows_past_500_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for folder in ("engine", "gui", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert not long


@pytest.mark.parametrize(
    "command",
    ["pip install -e . && python main.py", "pip install -e '.[test]' && pytest"],
)
def test_the_readme_gives_the_two_commands(command: str) -> None:
    assert f"    {command}\n" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_names_every_shortcut_of_the_sheet() -> None:
    done = python(
        "from gui.actions import action_specs\n"
        "keys = [key for spec in action_specs() for key in spec.shortcut.split(' | ') if key]\n"
        "print('\\n'.join(keys))",
        QT_QPA_PLATFORM="offscreen",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(done.stdout.split()) > 20
    missing = [keys for keys in done.stdout.split() if f"`{keys}`" not in readme]
    assert not missing
