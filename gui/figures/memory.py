"""What takes how much memory: bars, and the bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.types import MemoryQuery, MemoryResult, ModelInfo, Query, Snapshot
from gui.accounting import Section, amount, sections
from gui.figures import colour, lettering, style
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, answer_to

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BAR, _ROW, _HEAD, _NUMBER = 2.6, 0.19, 0.3, 0.7
"""Inches: the longest bar, the pitch of lines, a section's title, room for a number."""

_FILL = "#5a9bc4"


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """The bytes."""
    return (MemoryQuery(),)


def _answer(snapshot: Snapshot) -> MemoryResult:
    return answer_to(snapshot, MemoryQuery(), MemoryResult)


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw both sections, each to its own scale, which is written beside its title."""
    model, found = snapshot.model, _answer(snapshot)
    parts = sections(found)
    title = style.heading(model, "memory")
    about = (
        f"{style.counted(len(snapshot.tokens), 'token')}, {model.dtype} on {model.device}; filled "
        "is held, hatched was never made, hollow is free"
    )
    names = [line.label for section in parts for line in section.lines]
    label = max(lettering.width(name, style.TEXT, mono=False, bold=True) for name in names) + 0.1
    top = style.title_height(about)
    height = top + sum(_HEAD + _ROW * len(section.lines) + 0.1 for section in parts)
    width = 2 * style.MARGIN + label + _BAR + _NUMBER
    style.sized(figure, width, height + style.MARGIN, title, about)
    for section in parts:
        _draw_section(figure, section, style.MARGIN, label, top)
        top += _HEAD + _ROW * len(section.lines) + 0.1


def _draw_section(figure: Figure, section: Section, left: float, label: float, top: float) -> None:
    scale = f"{section.title} · a full bar is {amount(section.full)}"
    style.write(figure, left, top + 0.12, scale, color=colour.MUTED, va="center")
    count = len(section.lines)
    on = style.axes(figure, left + label, top + _HEAD - 0.04, _BAR, _ROW * count)
    on.set(xlim=(0, section.full), ylim=(count, 0))
    on.axis("off")
    for index, line in enumerate(section.lines):
        middle = top + _HEAD - 0.04 + _ROW * (index + 0.5)
        weight = "bold" if line.kind == "sum" else "normal"
        held = line.kind in ("held", "sum")
        bar = on.barh(
            index + 0.5,
            line.bytes,
            height=0.64,
            facecolor=_FILL if held else "white",
            edgecolor=_FILL if held else colour.MUTED,
            linewidth=0.5,
            hatch="////" if line.kind == "never" else None,
        )
        bar[0].set_clip_on(False)
        style.write(figure, left, middle, line.label, weight=weight, va="center_baseline")
        end = left + label + _BAR * line.bytes / section.full + 0.06
        said = amount(line.bytes)
        style.write(
            figure, end, middle, said, size=style.SMALL, weight=weight, va="center_baseline"
        )


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """Bytes by name, whole numbers: all that `MemoryResult` tells, and `trace`, their sum."""
    found = _answer(snapshot)
    named = {name: getattr(found, name) for name in MemoryResult.__slots__ if name != "bound"}
    return {
        name: np.array(count, np.int64) for name, count in {**named, "trace": found.trace}.items()
    }


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """A row for each name."""
    return [
        ["part", "bytes"],
        *([name, int(count)] for name, count in arrays(snapshot, options).items()),
    ]


FIGURE = FigureSpec(
    key="memory",
    needs=frozenset({"embedding"}),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
)
