"""Runs of the laboratory made of numbers, in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.lab.runs import Card, Point, Probe, Run, write_card, write_curves, write_probe
from engine.lab.settings import Settings
from gui.studies import lab
from gui.studies.spec import sheet


def lab_point(step: int, heads: bool = True, **changes) -> Point:
    scores = ((0.1, 0.2), (0.05, min(1.0, step / 100))) if heads else None
    told = {
        "step": step,
        "tokens": step * 100,
        "train_loss": 4.0 / (1 + step) if step else None,
        "train_accuracy": 0.5 if step else None,
        "loss": 4.0 / (1 + step / 10),
        "accuracy": min(1.0, step / 100),
        "in_context_score": -step / 100,
        "second_half_accuracy": None,
        "by_position": (1.0, 0.5),
        "induction": scores,
        "seconds": step / 10,
    }
    return Point(**(told | changes))


def lab_run(folder: Path = Path("run"), arch: str = "transformer", ended="done", **said) -> Run:
    heads = 2 if arch == "transformer" else 0
    options = {"vocabulary": 8, "length": 12, "shortest": 3}
    settings = Settings(
        **{"arch": arch, "options": options, "heads": heads, "width": 16, "steps": 100, **said}
    )
    card = Card(settings, "", (), 1000, 9, 12, 1, 10, "python main.py lab train", ended=ended)
    steps = (0, 1, 10, 100) if ended == "done" else (0, 1, 10)
    return Run(folder, card, tuple(lab_point(step, arch == "transformer") for step in steps))


def probe(step: int = 100, heads: bool = True, count: int = 6) -> Probe:
    rng = np.random.default_rng(step)
    maps = np.tril(rng.random((2, 2, count, count))).astype(np.float32)
    maps /= maps.sum(axis=-1, keepdims=True)
    states = rng.normal(size=(count, 16)).astype(np.float32)
    return Probe(step, tuple("abcdef"[:count]), maps if heads else None, states)


def keep(folder: Path, **how) -> Run:
    """Write a run as a training leaves it, but for its weights."""
    folder.mkdir(parents=True)
    run = lab_run(folder, **how)
    write_card(folder, run.card)
    write_curves(folder, run.points)
    write_probe(folder, probe(heads=run.card.settings.arch == "transformer"))
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return run


def lab_sheet(count: int = 2):
    runs = tuple(lab_run(Path(f"run-{at}"), seed=at) for at in range(count))
    return sheet(lab.STUDY, runs, lab.made_of(runs))
