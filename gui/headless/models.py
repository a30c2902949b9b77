"""``main.py models``: what can be opened by name, and fetching it."""

from __future__ import annotations

from engine.models.catalogue import Entry, catalogue, resolve
from engine.models.sources.amounts import size_text
from engine.models.store import acquire
from gui.headless.console import DONE, finish


def show() -> int:
    """Print the catalogue as a table."""
    rows = [("NAME", "FAMILY", "SIZE", "LICENCE", "IN CACHE"), *map(_row, catalogue())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return DONE


def _row(entry: Entry) -> tuple[str, str, str, str, str]:
    size = ("~" if entry.approximate else "") + size_text(entry.size) if entry.size else "-"
    name = f"{entry.name} (default)" if entry.default else entry.name
    cached = "yes" if entry.in_cache() else "no"
    return name, entry.family or "-", size, entry.licence or "-", cached


def get(name: str) -> int:
    """Bring a model to this machine if it is not there yet, and print its folder."""
    print(finish(acquire(resolve(name))))
    return DONE
