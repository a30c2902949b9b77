"""What holds for every test: no screen, no settings of the user's, no thread left behind."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Nothing here may depend on a hub, and what tries to reach one fails at once.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
# Workers share the processors; two that run as many threads as there are only wait for each other.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _WORKERS)))

# How slow a machine is must not decide what a test finds.
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

# The marks of tests that take long, the longest first.
_LONG = ("model", "screen", "slow")
# Pools that live as long as the process and belong to libraries.
_POOLS = ("tqdm_monitor", "ThreadPoolExecutor", "pytest_timeout", "QThread", "Dummy-")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--device``: where the engine's own tests run their models, in float32."""
    parser.addoption("--device", choices=("cpu", "cuda", "mps"), default="cpu")


def pytest_configure(config: pytest.Config) -> None:
    """Tell those tests."""
    os.environ["CONTEXTSCOPE_TEST_DEVICE"] = config.getoption("--device")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Spread whole folders over as many workers as there are processors, four at most.

    A file or a single test begins sooner without, and what is measured is measured alone.
    """
    asked = [Path(config.invocation_params.dir, each.partition("::")[0]) for each in config.args]
    alone = all(path.is_file() or path.name == "benchmarks" for path in asked)
    return 0 if alone else min(4, os.cpu_count() or 1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long, and leave what needs the default model to one worker.

    Each worker begins with a stretch of the list, the first with the front of it; whoever is done
    takes tests from the end of another's stretch.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: [not item.get_closest_marker(mark) for mark in _LONG])


def pytest_collection_finish() -> None:
    """Spare the garbage collector what was imported: it took most of the time of a model's opening.

    The engine collects before it loads, and torch, transformers and Qt are half a million objects.
    """
    gc.collect()
    gc.freeze()


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
    deadline = time.monotonic() + 60
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
