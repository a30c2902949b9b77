"""Training small models from the window: what is asked for, where runs lie, what is drawn of them.

A model is trained by ``main.py lab train`` in a process of its own: whatever it does, typing is not
held up, and its folder tells all that is drawn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from engine.errors import UserError
from engine.files import replacing
from engine.paths import RESOURCES, cache_dir
from engine.types import Floats
from gui.training import SAMPLES

if TYPE_CHECKING:
    from engine.lab.runs import Point, Run

Arch = Literal["transformer", "lstm"]

TASKS: Mapping[str, tuple[str, str]] = {
    "repeat": (
        "repeated random tokens",
        "Random tokens that come twice: only by looking back can the second half be told, which is "
        "induction.",
    ),
    "recall": (
        "key → value recall",
        "Pairs of a key and a value are listed, then the keys are asked for: only the context can "
        "tell their values.",
    ),
    "addition": ("addition", "Sums of two numbers, the sum written from its last digit on."),
    "text": ("next token of a text", "The next character of your own text."),
}


class Size(NamedTuple):
    """A task's own number: its word on the command line, its name, what it means, and its range."""

    word: str
    title: str
    about: str
    value: int
    low: int
    high: int


SIZES: Mapping[str, Size] = {
    "repeat": Size("vocabulary", "tokens", "How many different tokens there are.", 64, 2, 512),
    "recall": Size("pairs", "pairs", "How many pairs are listed in a row.", 8, 1, 26),
    "addition": Size("digits", "digits", "Digits of each of the two numbers.", 3, 1, 9),
    "text": Size("length", "row", "Characters that are read at a time.", 128, 2, 1024),
}

DEFAULTS: Mapping[tuple[str, str], Mapping[str, int]] = {
    ("transformer", "repeat"): {"layers": 2, "heads": 4, "width": 64, "mlp": 0, "steps": 800},
    ("transformer", "recall"): {"layers": 2, "heads": 4, "width": 64, "mlp": 0, "steps": 400},
    ("transformer", "addition"): {"layers": 2, "heads": 4, "width": 64, "mlp": 256, "steps": 1200},
    ("transformer", "text"): {"layers": 2, "heads": 4, "width": 64, "mlp": 256, "steps": 1000},
    ("lstm", "repeat"): {"layers": 1, "width": 128, "steps": 800},
    ("lstm", "recall"): {"layers": 1, "width": 128, "steps": 400},
    ("lstm", "addition"): {"layers": 1, "width": 128, "steps": 1200},
    ("lstm", "text"): {"layers": 1, "width": 128, "steps": 1000},
}
"""What a task was seen to be learnt with, as `engine.lab.settings.settings_for` has it. Looking
there would import torch on the window's thread."""

NO_HEADS = (
    "An LSTM has no attention: it carries a state from token to token. Open it in the explorer, "
    "and the panel Gates shows what its gates let through."
)


@dataclass(frozen=True, slots=True)
class LabChoice:
    """What the user wants trained: `numbers` by their words on the command line.

    `corpus` are files and folders, for a task that reads some.
    """

    arch: Arch
    task: str
    numbers: Mapping[str, int] = field(default_factory=dict)
    corpus: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path:
        """The run's: the same for the same choice and texts, so that it is gone on with."""
        told = [self.arch, self.task, sorted(self.numbers.items()), *map(_content, self.corpus)]
        name = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]
        return runs_dir() / f"{self.task}-{self.arch}-{name}"

    def words(self) -> list[str]:
        """What stands behind ``main.py``."""
        said = ["lab", "train", "--arch", self.arch, "--task", self.task]
        for word, value in self.numbers.items():
            said += [f"--{word}", str(value)]
        if self.corpus:
            said += ["--corpus", *map(str, self.corpus)]
        return [*said, "--out", str(self.folder), "--json"]


def runs_dir() -> Path:
    """Where the runs of the window lie, a folder each."""
    return cache_dir() / "lab"


def again(run: Run) -> list[str]:
    """What stands behind ``main.py`` to go on with a run that was stopped.

    All its settings are said, so that it need not have been begun here.
    """
    one = run.card.settings
    said = ["lab", "train", "--arch", one.arch, "--task", one.task]
    words: dict[str, object] = {
        "layers": one.layers, "width": one.width, "steps": one.steps, "batch": one.batch,
        "rate": one.rate, "decay": one.decay, "clip": one.clip, "check-every": one.check_every,
        "seed": one.seed,
        **one.options,
    }  # fmt: skip
    if one.arch != "lstm":
        words |= {"heads": one.heads, "mlp": one.inner, "positions": one.positions}
    for word, value in words.items():
        said += [f"--{word}", str(value)]
    if run.card.corpus:
        said += ["--corpus", *run.card.corpus]
    return [*said, "--out", str(run.folder), "--json"]


def found_runs() -> tuple[Run, ...]:
    """Every run there is, the one trained last first; what is damaged is left out."""
    from engine.lab.runs import CARD, CURVES, read_run

    def touched(folder: Path) -> float:
        curves = folder / CURVES
        return (curves if curves.is_file() else folder / CARD).stat().st_mtime

    found = []
    try:
        folders = [path.parent for path in runs_dir().glob(f"*/{CARD}")]
        for folder in sorted(folders, key=touched, reverse=True):
            try:
                found.append(read_run(folder))
            except UserError:
                continue
    except OSError:
        return tuple(found)
    return tuple(found)


def texts_for(paths: Sequence[Path], context: str) -> tuple[Path, ...]:
    """Files to train on: those named, or one made of the samples or of the context.

    What is made is named by its content, so that a run goes on with what it was begun with.

    Raises
    ------
    UserError
        If it cannot be written, or the context is empty.
    """
    if tuple(paths) not in ((), (SAMPLES,)):
        return tuple(path.absolute() for path in paths)
    name, text = ("samples", _samples()) if paths else ("context", context)
    if not text.strip():
        raise UserError(
            "Cannot train on the context", "it is empty", "Type a text, or choose other texts"
        )
    mark = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    path = runs_dir() / "texts" / f"{name}-{mark}.txt"
    if not path.is_file():
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8", errors="replace")
    return (path,)


def _samples() -> str:
    """The texts that come along, a row a paragraph."""
    rows = []
    for path in sorted((RESOURCES / "corpus").glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            rows += [str(json.loads(line)["text"]) for line in file if line.strip()]
    return "\n\n".join(rows) + "\n"


def _content(path: Path) -> list[object]:
    """What tells a file or folder from itself after it was changed."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    told = []
    for file in files:
        try:
            about = file.stat()
        except OSError:
            continue
        told.append((str(file), about.st_size, about.st_mtime_ns))
    return [str(path), told]


def joined(points: Sequence[Point], point: Point) -> tuple[Point, ...]:
    """Curves with one more point; of a run that went back to go on, what came after is dropped."""
    return (*(one for one in points if one.step < point.step), point)


def pace(points: Sequence[Point], steps: int) -> tuple[float, float] | None:
    """Tokens a second between the last two points, and about how many seconds are left."""
    if len(points) < 2:
        return None
    before, last = points[-2:]
    seconds = last.seconds - before.seconds
    if seconds <= 0 or last.step <= before.step:
        return None
    speed = (last.tokens - before.tokens) / seconds
    return speed, (steps - last.step) * seconds / (last.step - before.step)


def path_of(states: Floats, before: Floats | None = None) -> Floats:
    """Places (T, 2) of states (T, D) in their first two principal components.

    The sign of a component means nothing; it is chosen so that the picture lies like the one
    `before` it (T, 2), or else so that the last token lies to the right and above.
    """
    centred = states.astype(np.float64) - states.mean(axis=0, dtype=np.float64)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(states), 2))
    found = centred @ axes[:2].T
    places[:, : found.shape[1]] = found
    like = places[-1] if before is None or before.shape != places.shape else (
        (places * before).sum(axis=0)
    )  # fmt: skip
    return np.asarray(places * np.where(like < 0, -1.0, 1.0), np.float32)
