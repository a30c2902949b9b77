"""The engine's tests run as where Qt is not installed, also in a process that has it."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

QT = ("PySide6", "shiboken6", "pyqtgraph", "superqt", "qtpy")
ROOT = Path(__file__).resolve().parents[2]
OURS = tuple(str(ROOT / folder) + "/" for folder in ("engine", "gui", "tests/engine"))


@pytest.fixture(autouse=True, scope="module")
def without_qt() -> Iterator[None]:
    """Let every import of Qt by our own files fail while a module of these tests runs.

    The modules themselves stay: pytest-qt, which looks after its events between two tests, needs
    them.
    """
    stock = builtins.__import__

    def guarded(name: str, given: Mapping[str, Any] | None = None, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] in QT and (given or {}).get("__file__", "").startswith(OURS):
            raise ModuleNotFoundError(f"{name} is not for the engine", name=name)
        return stock(name, given, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "__import__", guarded)
        yield
