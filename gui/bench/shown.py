"""Whether what the views show is the answer to the text as it stands, computed afresh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

from engine.types import MemoryResult, Result, Snapshot
from gui.view import View

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.models.store import ModelSource
    from gui.bench.stage import Stage
    from gui.widgets.panel import Panel

CLOSE = 1e-4
"""How far a number may lie from the fresh one: absolutely, and of its size beyond one."""

PIXELS = 0.002
"""The share of a picture's points that may have another colour: rounding at the edge of one."""

_LOOKS = 30
_LEVELS = 12  # of 255 by which a colour must differ to be another one
Picture = NDArray[np.uint8]

_PLANE = frozenset({"xy", "covariance"})
"""Fields in the units of a picture, whose extent and not each number says what is close."""


class Drawn:
    """Notes which answer each view drew last."""

    def __init__(self, stage: Stage) -> None:
        self.seq: dict[str, int] = {}
        stage.window.controller.viewDrawn.connect(self._note)

    def _note(self, key: str, snapshot: Snapshot) -> None:
        self.seq[key] = snapshot.request.seq


def check(stage: Stage, source: ModelSource, drawn: Drawn) -> tuple[dict[str, str], float]:
    """Hold every visible view against a new engine's answer to the same request.

    A view must have drawn the newest answer; that answer's numbers must be the new engine's; and
    when the new answer is drawn the picture must not change.

    Returns
    -------
    dict of str to str, float
        What is wrong, by view; and how far the farthest number lies from the fresh one.
    """
    shown = stage.latest
    fresh = stage.runner.call(lambda engine: _fresh(engine, source, shown))
    wrong: dict[str, str] = {}
    if shown.request.text != stage.window.session.text:
        wrong["window"] = "the newest answer is not that of the text"
    if [token.id for token in shown.tokens] != [token.id for token in fresh.tokens]:
        wrong["window"] = "the tokens are not those of the text"
        return wrong, float("inf")
    apart = {
        query: distance(shown.results.get(query), fresh.results.get(query))
        for query in shown.request.queries
    }
    panels = {key: p for key, p in stage.window.panels.items() if p.applicable and p.isVisible()}
    before = _at_rest(stage, panels)
    stage.window.controller.take(fresh)
    after = _at_rest(stage, panels)
    for key, panel in panels.items():
        changed = other_points(before[key], after[key])
        why = _why_stale(panel, shown, drawn.seq.get(key), apart, changed)
        if why:
            wrong[key] = why
    return wrong, max(apart.values(), default=0.0)


def _fresh(engine: Engine, source: ModelSource, shown: Snapshot) -> Snapshot:
    other = type(engine)()
    other.load(source, shown.model.device)
    answer = other.answer(replace(shown.request, epoch=other.epoch))
    results = dict(answer.results)
    for query, told in shown.results.items():
        found = results.get(query)
        if isinstance(told, MemoryResult) and isinstance(found, MemoryResult):
            # What a process holds is no matter of the text alone; what is one has to agree.
            results[query] = replace(told, weights=found.weights, all_maps=found.all_maps)
    return replace(answer, request=shown.request, results=MappingProxyType(results))


def _at_rest(stage: Stage, panels: Mapping[str, Panel]) -> dict[str, Picture]:
    """Every view's picture once its points have moved to where they belong."""
    found: dict[str, Picture] = {}
    for _ in range(_LOOKS):
        stage.settle()  # on a busy machine a pause between two frames passes for rest
        last, found = found, {key: _picture(panel.view) for key, panel in panels.items()}
        if last and all(other_points(last[key], found[key]) <= PIXELS / 4 for key in found):
            break
    return found


def _why_stale(
    panel: Panel,
    shown: Snapshot,
    seq: int | None,
    apart: Mapping[Any, float],
    changed: float,
) -> str:
    if seq != shown.request.seq:
        return f"drew answer {seq}, the newest is {shown.request.seq}"
    far = max((apart.get(query, float("inf")) for query in panel.view.queries()), default=0.0)
    if far > CLOSE and shown.tokens:
        return f"its numbers lie {far:.2g} from those of a new engine"
    if changed > PIXELS:
        return f"{100 * changed:.1f} % of its picture change when the answer is drawn anew"
    return ""


def distance(one: Result | None, other: Result | None) -> float:
    """How far the numbers of two answers lie apart, in units of 1 + their size."""
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    farthest = 0.0
    for field in fields(other):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if not isinstance(b, np.ndarray):
            continue
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if a.shape != b.shape or (np.isnan(a) != np.isnan(b)).any():
            return float("inf")
        size = np.abs(np.nan_to_num(b))
        if field.name in _PLANE:
            size = size.max(initial=0.0)
        farthest = max(
            farthest, float(np.max(np.nan_to_num(np.abs(a - b)) / (1 + size), initial=0))
        )
    return farthest


def other_points(one: Picture, other: Picture) -> float:
    """The share of points (height, width, 4) whose colour is another one."""
    if one.shape != other.shape:
        return 1.0
    return float((np.abs(one.astype(int) - other.astype(int)) > _LEVELS).any(axis=-1).mean())


def _picture(view: View) -> Picture:
    image = view.grab().toImage().convertToFormat(QImage.Format.Format_RGBA8888)
    points = np.frombuffer(image.constBits(), np.uint8)
    return points.reshape(image.height(), image.width(), 4).copy()
