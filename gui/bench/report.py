"""What was measured, as lines of JSON or as a table with the ratios."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from engine.types import ModelInfo
    from gui.bench.stage import Measured


@dataclass(frozen=True, slots=True)
class Line:
    """One case at one length.

    Times are milliseconds; `passes` and `suffix_tokens` means over the repeats. `peak_mb` is the
    most memory the whole process held while the case ran, the floors' weights among it, and
    `added_mb` by how much that is more than before it. None where there is nothing to tell: a floor
    has no window whose loop could be late.
    """

    case: str
    tokens: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    passes: float
    suffix_tokens: float
    loop_late_p99_ms: float | None
    peak_mb: float | None
    added_mb: float | None
    repeats: int
    model: str
    device: str
    dtype: str
    each_ms: tuple[float, ...]

    @classmethod
    def of(cls, case: str, tokens: int, runs: Sequence[Measured], info: ModelInfo) -> Line:
        """Sum up the repeats of a case."""
        times = [run.ms for run in runs]
        late = [sample for run in runs for sample in run.late]
        peaks = [run.peak for run in runs if run.peak is not None]
        added = [
            run.peak - run.before for run in runs if run.peak is not None and run.before is not None
        ]
        return cls(
            case=case,
            tokens=tokens,
            p50_ms=round(median(times), 2),
            p95_ms=_percentile(times, 95),
            max_ms=round(max(times), 2),
            passes=_plain(fmean(run.passes for run in runs)),
            suffix_tokens=_plain(fmean(run.suffix for run in runs)),
            loop_late_p99_ms=_percentile(late, 99) if late else None,
            peak_mb=round(max(peaks) / 1e6, 1) if peaks else None,
            added_mb=round(max(added) / 1e6, 1) if added else None,
            repeats=len(runs),
            model=info.name,
            device=info.device,
            dtype=info.dtype,
            each_ms=tuple(round(time, 2) for time in times),
        )


class Report:
    """Prints lines as they come, and at the end, in a table, how they compare."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._lines: list[Line] = []

    def add(self, line: Line) -> None:
        """Take a line; JSON is printed at once."""
        self._lines.append(line)
        if self._as_json:
            print(json.dumps(asdict(line)), flush=True)

    def end(self) -> None:
        """Print the table, where one is wanted."""
        if self._as_json or not self._lines:
            return
        first = self._lines[0]
        print(f"{first.model}, {first.dtype} on {first.device}\n")
        print(table(self._lines))
        said = ratios(self._lines)
        if said:
            print()
            print("\n".join(said))


_COLUMNS = {
    "CASE": "case",
    "TOKENS": "tokens",
    "P50 MS": "p50_ms",
    "P95 MS": "p95_ms",
    "MAX MS": "max_ms",
    "PASSES": "passes",
    "SUFFIX": "suffix_tokens",
    "LOOP LATE P99 MS": "loop_late_p99_ms",
    "PEAK MB": "peak_mb",
    "ADDED MB": "added_mb",
    "REPEATS": "repeats",
}


def table(lines: Sequence[Line]) -> str:
    """One row a line."""
    rows = [list(_COLUMNS)]
    rows += [[_cell(getattr(line, name)) for name in _COLUMNS.values()] for line in lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not number else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def ratios(lines: Sequence[Line]) -> list[str]:
    """How the cases compare at each length."""
    said = []
    for tokens in dict.fromkeys(line.tokens for line in lines):
        at = {line.case: line for line in lines if line.tokens == tokens}
        append, step, eager = (at.get(case) for case in ("append", "floor-step", "floor-eager"))
        parts = []
        if append and step:
            # Each character is followed by its own step, so that drift cancels in the pairs.
            pairs = zip(append.each_ms, step.each_ms, strict=True)
            paired = median(one / other for one, other in pairs)
            parts.append(f"append / floor-step {paired:.2f}")
        if append and eager:
            parts.append(f"floor-eager / append {eager.p50_ms / append.p50_ms:.1f}")
        if append and "middle" in at:
            parts.append(f"middle / append {at['middle'].p50_ms / append.p50_ms:.1f}")
        if parts:
            said.append(f"{tokens} tokens: {', '.join(parts)}")
    return said


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _plain(value: float) -> float:
    """A mean without its decimals where it has none."""
    return int(value) if value == int(value) else round(value, 2)


def _percentile(values: Sequence[float], share: float) -> float:
    return round(float(np.percentile(values, share)), 2)
