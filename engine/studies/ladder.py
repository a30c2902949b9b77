"""The ladder: small models of the laboratory in sizes and depths, each with its checkpoints.

Transformers of one and of two layers and an LSTM beside them, in six widths, on each of three tasks
whose answers stand in the row or follow from it. ``ladder_job(folder)`` trains one after the other,
measures all checkpoints and writes the table that comes along (`emergence.SHIPPED`); stopped, it
goes on from where it was.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.lab.learning import Order, train_job
from engine.lab.settings import Settings, settings_for
from engine.studies.emergence import Standing, write_table
from engine.studies.standing import ROWS, run_steps
from engine.types import Progress

TASKS = ("recall", "addition", "repeat")
WIDTHS = (8, 16, 24, 32, 48, 64)
KINDS = (("transformer", 1), ("transformer", 2), ("lstm", 1))
STEPS = {"recall": 1000, "addition": 1500, "repeat": 1000}
COMMAND = "python main.py study ladder --out FOLDER"
TABLE = "ladder.jsonl"


@dataclass(frozen=True, slots=True)
class Rung:
    """A model of the ladder."""

    task: str
    arch: str
    layers: int
    width: int

    @property
    def name(self) -> str:
        """Its folder's name."""
        return f"{self.task}-{self.arch}-{self.layers}x{self.width}"

    def settings(self, steps: int | None = None) -> Settings:
        """How it is trained: the task's defaults, but for size and length of the run."""
        said: dict[str, object] = {"layers": self.layers, "width": self.width}
        steps = steps or STEPS[self.task]
        if self.arch == "transformer" and self.task == "addition":
            said["inner"] = 4 * self.width
        # Points of the curves only where there is a checkpoint.
        return settings_for(self.arch, self.task, **said, steps=steps, check_every=steps)

    def order(self, folder: Path, steps: int | None = None) -> Order:
        """What to train, in a folder of its own within `folder`."""
        settings = self.settings(steps)
        return Order(folder / self.name, settings, (), COMMAND, between(settings.steps))


def rungs() -> tuple[Rung, ...]:
    """Every model of the ladder, task by task, from the narrowest on."""
    return tuple(
        Rung(task, arch, layers, width)
        for task in TASKS
        for width in WIDTHS
        for arch, layers in KINDS
    )


def between(steps: int) -> frozenset[int]:
    """Steps half-way between two powers of two, below `steps`: 3, 6, 12, 24 and so on."""
    found, step = set(), 3
    while step < steps:
        found.add(step)
        step *= 2
    return frozenset(found)


def ladder_job(
    folder: Path,
    models: Sequence[Rung] | None = None,
    steps: int | None = None,
    rows: int = ROWS,
) -> Generator[Progress, None, tuple[Standing, ...]]:
    """Train and measure the ladder's models, one after the other, into `folder`.

    Parameters
    ----------
    models, steps
        By default all of `rungs`, each with the steps of its task.
    rows : int
        How many rows a checkpoint is asked.

    Raises
    ------
    UserError
        If the folder holds something else, or cannot be written to.
    """
    chosen = rungs() if models is None else tuple(models)
    found: list[Standing] = []
    for place, rung in enumerate(chosen):
        training = train_job(rung.order(folder, steps))
        while True:
            try:
                step = next(training)
            except StopIteration as stop:
                run = stop.value
                break
            share = (step.fraction or 0.0) + place
            text = f"{rung.name} ({place + 1} of {len(chosen)}): {step.text}"
            yield Progress(text, share / len(chosen))
        measuring = run_steps(run, rows=rows)
        while True:
            try:
                measured = next(measuring)
            except StopIteration as stop:
                found += stop.value
                break
            yield replace(measured, fraction=(place + 1) / len(chosen))
        write_table(folder / TABLE, found)
    return tuple(found)
