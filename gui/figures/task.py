"""A task's query: how likely each answer is, and what the last token attended to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.tasks.answers import AnswersQuery, AnswersResult
from engine.types import ModelInfo, Query, Snapshot
from gui import prompting
from gui.figures import colour, lettering, style
from gui.figures.numbers import plain, text_array
from gui.figures.spec import Arrays, FigureOptions, FigureSpec, answer_to

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAME, _BAR, _ROW, _HEAD, _NUMBER = 2.9, 2.0, 0.19, 0.28, 0.5
"""Inches: the longest name, the longest bar, the pitch of lines, a title, room for a number."""

_FILL = "#5a9bc4"


def queries(options: FigureOptions, model: ModelInfo) -> tuple[Query, ...]:
    """The answers and parts of the prompt; neither, where none was filled."""
    return (AnswersQuery() if options.prompt is None else options.prompt.asked,)


def _answer(snapshot: Snapshot, options: FigureOptions) -> AnswersResult:
    return answer_to(snapshot, queries(options, snapshot.model)[0], AnswersResult)


def _lists(
    found: AnswersResult, options: FigureOptions
) -> list[tuple[str, list[str], NDArray[np.floating]]]:
    """A title, names and values of each list there is."""
    prompt = options.prompt
    if prompt is None:
        return []
    made: list[tuple[str, list[str], NDArray[np.floating]]] = []
    if prompt.answers:
        names = [
            answer.strip() + (" (right)" if index == prompt.right else "")
            for index, answer in enumerate(prompt.answers)
        ]
        made.append(("p(answer | prompt)", names, found.probabilities))
    shares = prompting.mass(found, None)
    if shares is not None:
        names = [part.name for part in prompt.parts]
        made.append(("attention of the last token, mean of all heads", names, shares))
    return made


def draw(figure: Figure, snapshot: Snapshot, options: FigureOptions) -> None:
    """Draw a bar for each answer and for each part of the prompt."""
    found, lists = _answer(snapshot, options), _lists(_answer(snapshot, options), options)
    about = prompting.verdict(found, options.prompt) if options.prompt else "no task was filled"
    width = style.MARGIN * 2 + _NAME + _BAR + _NUMBER
    about = lettering.elide(lettering.drawable(about), style.TEXT, width, mono=False)
    top = style.title_height(about)
    height = top + sum(_HEAD + _ROW * len(names) + 0.1 for _, names, _ in lists) + style.MARGIN
    title = style.heading(snapshot.model, "task")
    style.sized(figure, width, max(height, 1.1), title, about)
    for said, names, values in lists:
        _draw_list(figure, said, names, values, top)
        top += _HEAD + _ROW * len(names) + 0.1


def _draw_list(
    figure: Figure, said: str, names: list[str], values: NDArray[np.floating], top: float
) -> None:
    left = style.MARGIN + _NAME
    style.write(figure, style.MARGIN, top + 0.12, said, color=colour.MUTED, va="center")
    finite = np.nan_to_num(values)
    full = float(finite.max(initial=0.0)) or 1.0
    on = style.axes(figure, left, top + _HEAD - 0.04, _BAR, _ROW * len(names))
    on.set(xlim=(0, full), ylim=(len(names), 0))
    on.axis("off")
    on.barh(np.arange(len(names)) + 0.5, finite, height=0.64, color=_FILL)
    for index, name in enumerate(names):
        middle = top + _HEAD - 0.04 + _ROW * (index + 0.5)
        shown = lettering.elide(lettering.drawable(name), style.TEXT, _NAME - 0.1, mono=False)
        style.write(figure, style.MARGIN, middle, shown, va="center_baseline")
        number = f"{values[index]:.3g}" if np.isfinite(values[index]) else "none"
        end = left + _BAR * finite[index] / full + 0.06
        style.write(figure, end, middle, number, size=style.SMALL, va="center_baseline")


def arrays(snapshot: Snapshot, options: FigureOptions) -> Arrays:
    """`answers`, `answer_ids`, `counted`, `probabilities`, `shares`, `ranks` (A,), `right`.

    `parts` (R,) names, `part_tokens` (R, 2), and where attention is seen `mass` (L, H, R).
    """
    found, prompt = _answer(snapshot, options), options.prompt
    numbers: dict[str, Any] = {
        "answers": text_array(prompt.answers if prompt else ()),
        "answer_ids": found.ids,
        "counted": found.counted,
        "probabilities": found.probabilities,
        "shares": found.shares,
        "ranks": found.ranks,
        "right": np.array(prompt.right if prompt else -1, np.int64),
        "parts": text_array(part.name for part in prompt.parts) if prompt else text_array(()),
        "part_tokens": found.tokens,
    }
    if found.mass is not None:
        numbers["mass"] = found.mass
    return numbers


def table(snapshot: Snapshot, options: FigureOptions) -> list[list[object]]:
    """A row for each answer, then one for each part."""
    rows: list[list[object]] = [["what", "name", "value"]]
    for what, (_, names, values) in zip(
        ("answer", "attention"), _lists(_answer(snapshot, options), options), strict=False
    ):
        rows += [[what, name, value] for name, value in zip(names, plain(values), strict=True)]
    return rows


FIGURE = FigureSpec(
    key="task",
    needs=frozenset({"next"}),
    queries=queries,
    draw=draw,
    arrays=arrays,
    table=table,
)
