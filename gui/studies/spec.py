"""How a study becomes lines of JSON, a table, arrays and a figure, in all formats of exports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.studies.values import Interval
from gui.exporters.record import PROGRAM, Record, json_text, now, version
from gui.exporters.spec import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Line = dict[str, Any]
Arrays = Mapping[str, NDArray[np.generic]]

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class StudySpec(Generic[S]):
    """A kind of study.

    Parameters
    ----------
    key : str
        Its name on the command line.
    lines : callable
        What ``--json`` prints, an object a line.
    table : callable
        The numbers as rows for CSV and the terminal, the first being the header.
    arrays : callable
        The numbers, by name, for NPZ and JSON; `meta` is added.
    draw : callable
        Draw it into an empty matplotlib figure, sizing it.
    texts : callable
        What may be written into the figure.
    """

    key: str
    lines: Callable[[S], list[Line]]
    table: Callable[[S], list[list[object]]]
    arrays: Callable[[S], Arrays]
    draw: Callable[[Figure, S], None]
    texts: Callable[[S], list[str]]


@dataclass(frozen=True, slots=True, eq=False)
class Sheet(Generic[S]):
    """A study as a `gui.exporters.spec.Printable`."""

    spec: StudySpec[S]
    study: S
    meta: Record
    scale: int = 2

    def draw(self, figure: Figure) -> None:
        """Draw it into an empty figure, sizing it."""
        self.spec.draw(figure, self.study)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All numbers by name, and the record as `meta`."""
        return {"meta": np.array(json_text(self.meta), np.str_), **self.spec.arrays(self.study)}

    def table(self) -> list[list[object]]:
        """The same numbers as rows."""
        return self.spec.table(self.study)

    def texts(self) -> list[str]:
        """What may be written into the figure."""
        return self.spec.texts(self.study)


def sheet(spec: StudySpec[S], study: S, made: Mapping[str, object], scale: int = 2) -> Sheet[S]:
    """A study to be saved, with the record of what it was `made` of."""
    record: dict[str, object] = {
        "program": PROGRAM,
        "version": version(),
        "view": f"study {spec.key}",
        **made,
        "date": now().isoformat(timespec="seconds"),
    }
    return Sheet(spec, study, MappingProxyType(record), scale)


def export_study(
    spec: StudySpec[S], study: S, path: Path, made: Mapping[str, object], scale: int = 2
) -> None:
    """Save a study in the format that the suffix of `path` picks.

    Parameters
    ----------
    made : mapping
        What it was made of, for the record in the file.
    scale : int
        1 to 4, of a PNG.

    Raises
    ------
    UserError
        If the suffix is unknown or the file cannot be written.
    """
    save(sheet(spec, study, made, scale), path)


def spread(name: str, found: Interval | None) -> Line:
    """An interval as three entries; those of one that is not there are null."""
    if found is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def columns(rows: list[Line]) -> list[list[object]]:
    """Objects with the same keys as a table."""
    names = list(rows[0]) if rows else []
    return [list(names), *([row[name] for name in names] for row in rows)]
