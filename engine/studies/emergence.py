"""Whether an ability appears at once or by degrees: the measures, and curves of a table of them.

The same answers are told by a metric that jumps (exact match) and by metrics that do not (token
edit distance, Brier score, log p of the right tokens), as Schaeffer et al. (2023, 2304.15004) ask.
Where the tokens of an answer are right independently with probability p, exact match of L tokens
is about p^L and the edit distance about L(1 − p). No torch in here: a window draws the curves.

Shape letters: N answers, L tokens of an answer, n points of a curve.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import UserError
from engine.files import replacing
from engine.paths import RESOURCES
from engine.studies.values import Interval

SHIPPED = RESOURCES / "ladder" / "ladder.jsonl"
"""The table that comes along: see the README beside it."""

RISE = 0.1
"""By how much a score of heads must grow for it to be told where."""

Against = Literal["parameters", "compute", "steps"]
Metric = Literal["exact_match", "edit_distance", "brier", "logprob"]
CONTINUOUS: tuple[Metric, ...] = ("edit_distance", "brier", "logprob")
FALLING: tuple[Metric, ...] = ("edit_distance", "brier")
"""Metrics of which less is better."""

Floats64 = NDArray[np.float64]


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model does on a task after so many steps: a row of the table.

    Attributes
    ----------
    task, model, family : str
        Which task; which model, however far trained; and which models it is one size of.
    parameters : int
        Numbers that are learnt.
    step, tokens : int or None
        Updates made, and tokens seen by them; None where it is not known.
    answers : int
        How many were asked for, and
    length : float
        of how many tokens they are, on average.
    exact_match : Interval
        Share of answers that are right in every token.
    edit_distance : Interval
        Tokens to change, add or leave out until the answer is right, averaged over answers.
    brier : Interval
        Σ_k (p_k − y_k)², averaged over tokens and answers, or over labels; 0 to 2.
    logprob : Interval
        log p of the right answer a token, nats, averaged over answers.
    induction : float or None
        The highest induction score of a head, on random tokens shown twice; None where there is
        none to measure.
    prefix_matching : float or None
        The highest share of attention that a head gives, in the task's own rows, to what followed
        earlier copies of a token.
    """

    task: str
    model: str
    family: str
    parameters: int
    step: int | None
    tokens: int | None
    answers: int
    length: float
    exact_match: Interval
    edit_distance: Interval
    brier: Interval
    logprob: Interval
    induction: float | None = None
    prefix_matching: float | None = None

    @property
    def compute(self) -> float | None:
        """Floating-point operations of the training, about 6 for each parameter and token."""
        return None if self.tokens is None else 6.0 * self.parameters * self.tokens

    def at(self, against: Against) -> float | None:
        """Where it stands on an axis; None where that is not known."""
        if against == "steps":
            return None if self.step is None else float(self.step)
        return self.compute if against == "compute" else float(self.parameters)

    def metric(self, name: Metric) -> Interval:
        """A metric by its name."""
        found: Interval = getattr(self, name)
        return found


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric along an axis.

    Attributes
    ----------
    name, family : str
        Of the model, or of the family where each point is another size.
    x, value, low, high : (n,) float64
        In ascending x; `low` and `high` are the 95 % bootstrap interval.
    linearity, breakthroughness : float
        See `linearity`; positive where the metric gets better.
    rise, matching : float or None
        Where the induction score, and prefix matching, first pass half of their way; see `rise`.
    largest : bool
        Whether it is of the largest model of its family, or of all of them.
    """

    name: str
    family: str
    x: Floats64
    value: Floats64
    low: Floats64
    high: Floats64
    linearity: float
    breakthroughness: float
    rise: float | None
    matching: float | None
    largest: bool


@dataclass(frozen=True, slots=True, eq=False)
class Emergence:
    """A table, and what of it is to be looked at.

    `metric` jumps and `beside` does not, or any two; `refused` says in sentences what could not be
    measured; `source` is the name of the file it was read from, if it was.
    """

    rows: tuple[Standing, ...] = field(repr=False)
    task: str
    against: Against = "steps"
    metric: Metric = "exact_match"
    beside: Metric = "edit_distance"
    refused: tuple[str, ...] = ()
    source: str = ""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the table, in its order."""
        return tuple(dict.fromkeys(row.task for row in self.rows))

    @property
    def chosen(self) -> tuple[Standing, ...]:
        """The rows of the task looked at."""
        return tuple(row for row in self.rows if row.task == self.task)

    @property
    def axes(self) -> tuple[Against, ...]:
        """What the task's rows can be drawn against: two points of a curve at least."""
        return tuple(
            name for name in get_args(Against)
            if any(len(one.x) > 1 for one in curves(self.chosen, name, self.metric))
        )  # fmt: skip

    def curves(self, metric: Metric) -> tuple[Curve, ...]:
        """One for each model, or each family where sizes are compared."""
        return curves(self.chosen, self.against, metric)


# --- measures -----------------------------------------------------------------------------------


def edit_distance(said: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """The fewest tokens to change, add or leave out to get from `said` to `right` (Levenshtein)."""
    row = list(range(len(right) + 1))
    for at, one in enumerate(said, 1):
        before, row[0] = row[0], at
        for place, other in enumerate(right, 1):
            change = before + (one != other)
            before = row[place]
            row[place] = min(change, before + 1, row[place - 1] + 1)
    return row[-1]


def brier(probabilities: ArrayLike, right: ArrayLike) -> Floats64:
    """Σ_k (p_k − y_k)² of probabilities (…, K) where the class `right` (…) came true: (…)."""
    p = np.asarray(probabilities, np.float64)
    gold = np.take_along_axis(p, np.asarray(right, np.int64)[..., None], axis=-1)[..., 0]
    found: Floats64 = (p**2).sum(axis=-1) - 2 * gold + 1
    return found


def independent(p: float, length: float) -> tuple[float, float]:
    """Exact match and edit distance of L tokens that are each right with probability p."""
    return p**length, length * (1 - p)


def linearity(values: ArrayLike) -> float:
    """Range of scores (n,) over the root-mean-square step, with the sign of their change.

    BIG-bench (2206.04615, Appendix B). Scores stand in the order of scale; the sign is positive
    where the highest comes after the lowest. 0 where nothing changes.
    """
    return _over(values, lambda squares: float(np.mean(squares)))


def breakthroughness(values: ArrayLike) -> float:
    """Range of scores (n,) over the root-median-square step, with the sign of their change.

    Boundless (±inf) where the scores change but most of the steps do not change them at all.
    """
    return _over(values, lambda squares: float(np.median(squares)))


def _over(values: ArrayLike, middle: object) -> float:
    scores = np.asarray(values, np.float64)
    assert callable(middle)
    if len(scores) < 2:
        return 0.0
    span = float(scores.max() - scores.min())
    if span == 0:
        return 0.0
    sign = 1.0 if scores.argmax() > scores.argmin() else -1.0
    step = math.sqrt(middle(np.diff(scores) ** 2))
    return sign * (span / step if step > 0 else math.inf)


def rise(x: Sequence[float], scores: Sequence[float | None]) -> float | None:
    """Where a score of heads (n,) first passes half of its way from the first to the highest.

    None where it grows by less than `RISE`, or a score is missing.
    """
    known = [score for score in scores if score is not None]
    if not known or len(known) < len(scores) or max(known) - known[0] < RISE:
        return None
    half = (known[0] + max(known)) / 2
    return next(place for place, score in zip(x, known, strict=True) if score >= half)


# --- curves -------------------------------------------------------------------------------------


def curves(rows: Iterable[Standing], against: Against, metric: Metric) -> tuple[Curve, ...]:
    """The curves of one task's rows, those of a family together, in the order of the rows."""
    lines: dict[tuple[str, str], list[tuple[float, Standing]]] = {}
    for row in _last(rows) if against == "parameters" else rows:
        place = row.at(against)
        if place is not None:
            name = row.family if against == "parameters" else row.model
            lines.setdefault((row.family, name), []).append((place, row))
    most: dict[str, int] = {}
    for (family, _), found in lines.items():
        most[family] = max(most.get(family, 0), *(row.parameters for _, row in found))
    order = list(dict.fromkeys(family for family, _ in lines))
    made = [
        _curve(name, family, found, metric, most[family])
        for (family, name), found in sorted(
            lines.items(), key=lambda item: (order.index(item[0][0]), item[1][0][1].parameters)
        )
    ]
    return tuple(made)


def _last(rows: Iterable[Standing]) -> list[Standing]:
    """Of each model the row of its last step."""
    found: dict[str, Standing] = {}
    for row in rows:
        before = found.get(row.model)
        if before is None or (row.step or 0) >= (before.step or 0):
            found[row.model] = row
    return list(found.values())


def _curve(
    name: str, family: str, found: list[tuple[float, Standing]], metric: Metric, most: int
) -> Curve:
    found = sorted(found, key=lambda pair: pair[0])
    x = [place for place, _ in found]
    told = [row.metric(metric) for _, row in found]
    value = np.array([one.value for one in told])
    better = -value if metric in FALLING else value
    return Curve(
        name=name,
        family=family,
        x=np.array(x),
        value=value,
        low=np.array([one.low for one in told]),
        high=np.array([one.high for one in told]),
        linearity=linearity(better),
        breakthroughness=breakthroughness(better),
        rise=rise(x, [row.induction for _, row in found]),
        matching=rise(x, [row.prefix_matching for _, row in found]),
        largest=any(row.parameters == most for _, row in found),
    )


# --- the table on disk --------------------------------------------------------------------------


def write_table(path: Path, rows: Iterable[Standing]) -> None:
    """Write a table, a JSON object a line, whole or not at all; numbers in six digits.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    with replacing(path) as beside:
        beside.write_bytes(b"".join(msgspec.json.encode(_rounded(row)) + b"\n" for row in rows))


def read_table(path: Path = SHIPPED) -> tuple[Standing, ...]:
    """Read a table; by default the one that comes along.

    Raises
    ------
    UserError
        If there is none, or it is damaged.
    """
    what = f"Cannot read the table {path.name}"
    try:
        lines = path.read_bytes().splitlines()
        rows = tuple(msgspec.json.decode(line, type=Standing) for line in lines if line.strip())
    except OSError as error:
        raise UserError(what, error.strerror or str(error), "Check the path") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        do = "Make it again with study ladder, or name another"
        raise UserError(what, f"it is damaged ({error})", do) from error
    if not rows:
        raise UserError(what, "it is empty", "Make it again with study ladder, or name another")
    return rows


def _rounded(row: Standing) -> object:
    def of(value: object) -> object:
        if isinstance(value, dict):
            return {name: of(one) for name, one in value.items()}
        return float(f"{value:.6g}") if isinstance(value, float) else value

    return of(msgspec.to_builtins(row))
