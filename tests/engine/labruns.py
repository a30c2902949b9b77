"""Runs of the laboratory small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.lab.learning import Learning, Order, train_job
from engine.lab.runs import Run
from engine.lab.settings import settings_for

TINY: dict[str, Any] = {"layers": 2, "width": 16, "steps": 8, "batch": 4, "check_every": 3}
SHORT: dict[str, dict[str, Any]] = {
    "repeat": {"vocabulary": 8, "length": 12, "shortest": 3},
    "recall": {"pairs": 3},
    "addition": {"digits": 1},
    "text": {"length": 16},
}
POEM = "the rose is red, the violet is blue, the honey is sweet, and so are you.\n"


def order(out: Path, task: str = "repeat", arch: str = "transformer", **said: Any) -> Order:
    """An order for a tiny model."""
    given = {**TINY, **({"heads": 2} if arch == "transformer" else {}), **SHORT[task], **said}
    corpus: tuple[Path, ...] = ()
    if task == "text":
        poem = out.parent / "poem.txt"
        poem.write_text(POEM * 12, encoding="utf-8")
        corpus = (poem,)
    return Order(out, settings_for(arch, task, **given), corpus)


def train(order: Order) -> tuple[Run, list[Learning]]:
    """Run a job to its end."""
    steps, seen = train_job(order), []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return stop.value, seen
