"""What was compiled is kept by what it was compiled from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.models import compiling
from engine.models.compiling import compiled, folder, forget_old
from engine.paths import ROOT


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path))
    folder.cache_clear()
    yield tmp_path
    folder.cache_clear()


def test_other_contents_of_the_files_have_a_place_of_their_own(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = folder()
    assert first.parent == elsewhere / "compiled"
    folder.cache_clear()
    assert folder() == first
    folder.cache_clear()
    monkeypatch.setattr(compiling, "TOGETHER", compiling.TOGETHER[:2])
    assert folder() != first


def test_all_files_whose_loops_call_each_other_are_looked_at() -> None:
    here = Path(compiling.__file__).parent
    callers = {
        path.name
        for path in here.glob("*.py")
        if "import compiled" in path.read_text(encoding="utf-8")
    }
    assert callers == set(compiling.TOGETHER)


def test_the_versions_made_last_are_kept(tmp_path: Path) -> None:
    for age, name in enumerate("abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "loop.nbc").write_bytes(b"x")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    forget_old(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    forget_old(tmp_path / "none", 2)


KEPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numba
from looping import twice
from engine.models.compiling import folder
print(twice(21.0), sum(twice.stats.cache_hits.values()), len(list(folder().rglob("*.nbc"))))
print(numba.config.CACHE_DIR)
"""

LOOPING = """
from engine.models.compiling import compiled

@compiled("float64(float64)")
def twice(number):
    return 2 * number
"""


def test_a_second_start_reads_what_the_first_compiled(tmp_path: Path) -> None:
    (tmp_path / "looping.py").write_text(LOOPING, encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"},
        "PYTHONPATH": str(ROOT),
        "CONTEXTSCOPE_CACHE": str(tmp_path / "cache"),
    }
    for hits in (0, 1):
        done = subprocess.run(
            [sys.executable, "-c", KEPT, str(tmp_path)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == ["42.0", str(hits), "1"]


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / "compiled").write_bytes(b"a file")
    double = compiled("float64(float64)")(lambda number: 2 * number)
    assert double(4.0) == 8.0
