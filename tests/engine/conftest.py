"""The engine's tests run as where Qt is not installed, also in a process that has it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

QT = ("PySide6", "shiboken6", "pyqtgraph", "superqt", "qtpy")


@pytest.fixture(autouse=True, scope="module")
def without_qt() -> Iterator[None]:
    """Let every import of Qt fail while a module of these tests runs."""
    loaded = [name for name in sys.modules if name.partition(".")[0] in QT]
    with pytest.MonkeyPatch.context() as patch:
        for name in {*QT, *loaded}:
            patch.setitem(sys.modules, name, None)
        yield
