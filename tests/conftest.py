"""What holds for every test: no screen, no settings of the user's, no thread left behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Nothing here may depend on a hub, and what tries to reach one fails at once.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

# Pools that live as long as the process and belong to libraries.
_POOLS = ("tqdm_monitor", "ThreadPoolExecutor", "pytest_timeout", "QThread", "Dummy-")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--device``: where the engine's own tests run their models, in float32."""
    parser.addoption("--device", choices=("cpu", "cuda", "mps"), default="cpu")


def pytest_configure(config: pytest.Config) -> None:
    """Tell those tests."""
    os.environ["CONTEXTSCOPE_TEST_DEVICE"] = config.getoption("--device")


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has settings of its own."""
    folder = tmp_path_factory.mktemp("config")
    monkeypatch.setenv("CONTEXTSCOPE_CONFIG", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Fail a test that leaves a thread running."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while left := _new_threads(before):
        if time.monotonic() > deadline:
            pytest.fail(f"threads left running: {sorted(thread.name for thread in left)}")
        for thread in left:
            thread.join(0.05)


def _new_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    return [
        thread
        for thread in threading.enumerate()
        if thread not in before and thread.is_alive() and not thread.name.startswith(_POOLS)
    ]
