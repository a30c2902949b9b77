"""The frozen values of sentences written from points: what crosses to the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.types import Progress

Way = Literal["here", "between", "dimension", "analogy", "prior"]
"""How points are made of sentences; see `draft_job.points`."""

STEPS = 7
"""Points of a walk."""

REACH = 2.5
"""How far a walk along a dimension goes to both sides of 0, in the prior's standard deviations."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be written.

    `sentences` are as many as the way takes: one (``here``, ``dimension``), two (``between``),
    three (``analogy``: a − b + c) or none (``prior``, drawn with `seed`). `dimension` counts
    from 0.
    """

    way: Way
    sentences: tuple[str, ...]
    dimension: int = 0
    seed: int = 0
    steps: int = STEPS


@dataclass(frozen=True, slots=True)
class Line:
    """A written sentence: the `label` of its point, and the `text`."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class SentencesWritten(Progress):
    """What was written: `lines`, what the space has not met (`note`), and how good it is."""

    lines: tuple[Line, ...] = ()
    note: str = ""
    figures: str = ""
