"""Where the program keeps things. Everything else asks here."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import PlatformDirs

ROOT = Path(__file__).resolve().parent.parent
RESOURCES = ROOT / "resources"

_DIRS = PlatformDirs("contextscope", appauthor=False)


def cache_dir() -> Path:
    """Downloaded and converted models. ``CONTEXTSCOPE_CACHE`` overrides the system's choice."""
    return Path(os.environ.get("CONTEXTSCOPE_CACHE") or _DIRS.user_cache_dir)


def config_dir() -> Path:
    """Settings and the last text. ``CONTEXTSCOPE_CONFIG`` overrides the system's choice."""
    return Path(os.environ.get("CONTEXTSCOPE_CONFIG") or _DIRS.user_config_dir)
