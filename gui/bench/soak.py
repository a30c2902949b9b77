"""``main.py bench soak``: thousands of random edits in the real window, and what piles up."""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from engine.models.catalogue import default, resolve
from engine.models.store import acquire, open_spec
from gui.bench.memory import resident
from gui.headless.console import DONE, FAILED, finish, say

if TYPE_CHECKING:
    from gui.bench.edits import RandomEdits
    from gui.bench.stage import Stage

FLAT = 0.02
"""By which share the last tenth may differ from the second; the first one warms up."""

SAMPLES = 100
"""How often memory is looked at; less often where the edits are few."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done: so many `edits` to a model, the same ones for the same `seed`."""

    model: str | None
    device: str
    edits: int
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    `requests` were asked and `answers` came, fewer where edits overtook each other. `memory_mb`
    is the median of each tenth, at rest, when the engine has given back what it does not need;
    `objects` (what Python's collector tracks) and `widgets` (Qt's objects in the window) are
    counted at its end; a ratio is that of the last tenth to the second. `stale` says what is wrong
    with each view that does not show the final text; `apart` is how far the farthest number lies
    from a new engine's, in units of one plus its size.
    """

    case: str
    model: str
    device: str
    dtype: str
    seed: int
    edits: int
    kinds: dict[str, int]
    requests: int
    answers: int
    passes: int
    suffix_tokens: int
    longest: int
    seconds: float
    memory_mb: tuple[float, ...]
    memory_ratio: float | None
    objects: tuple[float, ...]
    objects_ratio: float | None
    widgets: tuple[float, ...]
    widgets_ratio: float | None
    flat: bool
    stale: dict[str, str]
    apart: float


def run(plan: Plan, as_json: bool) -> int:
    """Edit, and print what came of it; 1 where something piled up or a picture is stale.

    Raises
    ------
    UserError
        If the model cannot be had, or the window fails.
    """
    entry = resolve(plan.model) if plan.model is not None else default()
    source = open_spec(entry, finish(acquire(entry)))
    # Before Qt is loaded: nothing may come up on the screen, or wait for it.
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from gui.bench.edits import RandomEdits
    from gui.bench.shown import Drawn, check
    from gui.bench.stage import Stage, application

    with application(), tempfile.TemporaryDirectory(prefix="contextscope-soak-") as folder:
        stage = Stage(plan.model or entry.name, plan.device, Path(folder))
        try:
            info = stage.open()
            drawn, edits = Drawn(stage), RandomEdits(stage, plan.seed)
            begun = time.perf_counter()
            course = _Course(stage, edits)
            course.go(plan.edits)
            took = time.perf_counter() - begun
            for panel in stage.window.panels.values():
                panel.show()
            stage.catch_up()
            stage.settle()
            # Panels that come make others smaller, and a map keeps its range until it draws points.
            edits.write()
            stage.catch_up()
            stage.settle()
            runner = stage.runner
            counts = runner.asked, runner.answers, runner.passes, runner.suffix
            stale, apart = check(stage, source, drawn)
        finally:
            stage.close()
    ratios = [ratio(tenths) for tenths in (course.memory, course.objects, course.widgets)]
    outcome = Outcome(
        "soak", info.name, info.device, info.dtype, plan.seed, plan.edits, dict(edits.done),
        *counts, course.longest, round(took, 1),
        course.memory, ratios[0], course.objects, ratios[1], course.widgets, ratios[2],
        flat(ratios), stale, float(f"{apart:.3g}"),
    )  # fmt: skip
    print(json.dumps(asdict(outcome)) if as_json else in_words(outcome))
    return DONE if outcome.flat and not stale else FAILED


class _Course:
    """The edits one after another; memory at rest each hundredth of them, objects each tenth."""

    def __init__(self, stage: Stage, edits: RandomEdits) -> None:
        self.longest = 0
        self.memory: tuple[float, ...] = ()
        self.objects: tuple[float, ...] = ()
        self.widgets: tuple[float, ...] = ()
        self._stage = stage
        self._edits = edits

    def go(self, number: int) -> None:
        """Do `number` edits."""
        memory: list[float] = []
        objects: list[float] = []
        widgets: list[float] = []
        samples = min(SAMPLES, max(10, number // 20))
        looks = {number * part // samples for part in range(1, samples + 1)}
        ends = {number * part // 10 for part in range(1, 11)}
        # In the middle of each tenth at least, so that every tenth has seen a long text.
        bursts = {max(1, number * part // SAMPLES) for part in range(5, SAMPLES, 10)}
        bursts |= set(range(50, number, 100))
        for edit in range(1, number + 1):
            self._edits.one(burst=edit in bursts)
            if not self._edits.hurries:
                self._stage.catch_up()
                self.longest = max(self.longest, self._stage.window.token_count)
            if edit in looks:
                self._stage.catch_up()
                self._stage.rest()
                memory.append(round((resident() or 0) / 1e6, 1))
                tell(edit, number, memory[-1])
            if edit in ends:
                gc.collect()
                # What was imported before the engine was made is counted apart.
                objects.append(len(gc.get_objects()) + gc.get_freeze_count())
                widgets.append(len(self._stage.window.findChildren(_object())))
        self.memory, self.objects, self.widgets = map(tenths, (memory, objects, widgets))


def _object() -> type:
    from PySide6.QtCore import QObject

    return QObject


def tell(edit: int, number: int, megabytes: float) -> None:
    """Say how far it is; on a terminal in one running line."""
    line = f"{edit:,} of {number:,} edits, {megabytes:,.0f} MB"
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="" if edit < number else "\n", file=sys.stderr, flush=True)
    else:
        say(line)


def tenths(samples: Sequence[float]) -> tuple[float, ...]:
    """The medians of ten runs of samples in a row; fewer where there are not so many samples."""
    parts = min(10, len(samples))
    return tuple(
        median(samples[len(samples) * part // parts : len(samples) * (part + 1) // parts])
        for part in range(parts)
    )


def ratio(course: Sequence[float]) -> float | None:
    """The last tenth as a multiple of the second; None where nothing can be said."""
    if len(course) < 3 or not course[1]:
        return None
    return round(course[-1] / course[1], 4)


def flat(ratios: Sequence[float | None]) -> bool:
    """Whether nothing has grown, or shrunk, by more than `FLAT`."""
    return all(each is None or abs(each - 1) <= FLAT for each in ratios)


def in_words(outcome: Outcome) -> str:
    """The outcome as a few lines."""
    lines = [
        f"{outcome.model}, {outcome.dtype} on {outcome.device}, seed {outcome.seed}",
        f"{outcome.edits:,} edits in {outcome.seconds:,.0f} s: {outcome.requests:,} requests, "
        f"{outcome.answers:,} answers, {outcome.passes:,} passes of {outcome.suffix_tokens:,} "
        f"tokens, the longest context {outcome.longest:,}",
        "",
    ]
    for name, course, times in (
        ("memory, MB", outcome.memory_mb, outcome.memory_ratio),
        ("objects", outcome.objects, outcome.objects_ratio),
        ("widgets", outcome.widgets, outcome.widgets_ratio),
    ):
        told = "-" if times is None else f"× {times:.3f}"
        lines.append(f"{name:<12}{told:>9}   {'  '.join(f'{each:,.0f}' for each in course)}")
    lines.append("")
    lines.append("nothing piled up" if outcome.flat else "SOMETHING PILED UP")
    lines += [f"STALE {view}: {why}" for view, why in outcome.stale.items()]
    if not outcome.stale:
        lines.append(f"every view shows the final text, to {outcome.apart:.1g}")
    return "\n".join(lines)
