"""What each study looks like as it is measured: curves and queries, losses, maps of heads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPalette, QResizeEvent, QStandardItemModel
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSplitter, QVBoxLayout, QWidget

from engine.studies.values import Heads, Interval, Point, Positions, Record
from engine.types import Floats
from gui import theme
from gui.widgets import form
from gui.widgets.effect_bars import EffectBars
from gui.widgets.heatmap import HeatMap
from gui.widgets.legend import number
from gui.widgets.line_plot import Line, LinePlot
from gui.widgets.records_table import RecordsTable
from gui.widgets.token_axis import Marks

_BINS = 24
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

_MEASURES: tuple[tuple[str, str, str], ...] = (
    ("accuracy", "accuracy", "Share of the queries that were answered right."),
    (
        "macro_f1",
        "macro-F1",
        "Mean over the labels of F1 = 2·TP / (2·TP + FP + FN), so that rare labels count as much.",
    ),
    (
        "gold_logprob",
        "log p of the right answer",
        "log p(right answer | prompt) in nats, mean over the queries: it changes smoothly where "
        "accuracy jumps.",
    ),
)
_CONTROL = {
    "accuracy": "shuffled_accuracy",
    "macro_f1": "shuffled_macro_f1",
    "gold_logprob": "shuffled_gold_logprob",
}


class _Splitter(QSplitter):
    """Two parts beside each other where it is wide, else one above the other."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Turn where the other way gives squarer parts."""
        wide = self.width() > 2 * self.height()
        self.setOrientation(Qt.Orientation.Horizontal if wide else Qt.Orientation.Vertical)
        super().resizeEvent(event)


class KShotPage(QWidget):
    """The curve of the measure that is chosen, and the queries behind it."""

    opened = Signal(object)
    """A `Record` whose prompt is wanted in the context."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.points: tuple[Point, ...] = ()
        self.chance: float | None = None
        self.measure = form.combo("Measure", "What is drawn against the number of examples.")
        for key, title, _ in _MEASURES:
            self.measure.addItem(title, key)
        self.k = form.combo("Queries after k examples", "Which queries the table lists.")
        self.k.addItem("any k", None)
        self.wrong = form.check("wrong only", "List only the queries that were not answered right.")
        self.plot = LinePlot(*_titled("accuracy"), axis="examples in the context")
        self.table = RecordsTable()
        over = QHBoxLayout()
        over.setContentsMargins(8, 0, 8, 2)
        over.setSpacing(8)
        over.addWidget(form.named("measure", self.measure))
        over.addStretch(1)
        over.addWidget(form.named("queries after", self.k))
        over.addWidget(self.wrong)
        split = _Splitter(Qt.Orientation.Vertical)
        split.setChildrenCollapsible(False)
        split.addWidget(self.plot)
        split.addWidget(self.table)
        split.setSizes([500, 400])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(over)
        layout.addWidget(split, 1)
        self.measure.currentIndexChanged.connect(lambda _: self._draw())
        self.k.currentIndexChanged.connect(lambda _: self._choose())
        self.wrong.toggled.connect(lambda _: self._choose())
        self.table.opened.connect(self.opened)

    def clear(self, chance: float | None) -> None:
        """Begin anew; `chance` is one over the number of labels, if there are any."""
        self.chance = chance
        self.table.clear()
        while self.k.count() > 1:
            self.k.removeItem(1)
        self.set_points(())

    def set_points(self, points: Sequence[Point]) -> None:
        """Draw the curve as far as it is measured."""
        self.points = tuple(points)
        known = {self.k.itemData(index) for index in range(self.k.count())}
        for point in self.points:
            if point.k not in known:
                self.k.addItem(f"{point.k} examples" if point.k != 1 else "1 example", point.k)
        there = self.chance is not None
        items = self.measure.model()
        if isinstance(items, QStandardItemModel):
            items.item(1).setEnabled(there)  # answers that are generated are no classes
        if not there and self.measure.currentData() == "macro_f1":
            self.measure.setCurrentIndex(0)
        self._draw()

    def add_records(self, records: Sequence[Record]) -> None:
        """List more queries."""
        self.table.add(records)

    def _choose(self) -> None:
        self.table.choose(self.k.currentData(), self.wrong.isChecked())

    def _draw(self) -> None:
        measure: str = self.measure.currentData()
        self.plot.set_title(*_titled(measure))
        places = {point.k: float(at) for at, point in enumerate(self.points)}

        def line(name: str, key: str, role: str, dashed: bool) -> Line:
            there = [(p, found) for p in self.points if (found := _interval(p, key)) is not None]
            return Line(
                name,
                tuple(places[point.k] for point, _ in there),
                tuple(found.value for _, found in there),
                tuple(found.low for _, found in there),
                tuple(found.high for _, found in there),
                role=role,
                dashed=dashed,
            )

        lines = [
            line("answers as they are", measure, "accent", False),
            line("answers by chance", _CONTROL[measure], "muted", True),
        ]
        share = measure != "gold_logprob"
        level = (self.chance, "chance") if self.chance and measure == "accuracy" else None
        self.plot.set_lines(
            [one for one in lines if one.y],
            ticks={at: str(k) for k, at in places.items()},
            level=level,
            bounds=(0.0, 1.0) if share else None,
        )


class PositionPage(QWidget):
    """Loss against the place in a text, and the in-context learning score."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = LinePlot(
            "Loss by position, nats",
            "−log p(token | what stands before it), mean over the texts, at each position and as a "
            "mean over neighbours; the band is a 95 % bootstrap interval over texts. The upright "
            "lines are the two positions of the in-context learning score.",
            axis="position in the text, tokens",
        )
        self.score = QLabel()
        self.score.setFont(theme.tabular(theme.ui_font(theme.NORMAL)))
        self.score.setContentsMargins(8, 0, 8, 2)
        self.score.setWordWrap(True)
        self.score.setToolTip(
            "<p>Loss at the late position less loss at the early one, mean over the texts (Olsson "
            "et al. 2022, 2209.11895). Below 0: what stood between them helped.</p>"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.score)
        layout.addWidget(self.plot, 1)

    def clear(self) -> None:
        """Begin anew."""
        self.score.setText("")
        self.plot.set_lines(())

    def set_curve(self, curve: Floats, marks: Sequence[float] = ()) -> None:
        """Draw the loss so far (T,), which is NaN for the first token."""
        self._draw(curve, None, marks)

    def set_study(self, study: Positions) -> None:
        """Draw the whole, with its intervals, and tell the score."""
        self._draw(study.curve, (study.low, study.high), (study.early, study.late))
        score = study.score
        self.score.setText(
            f"In-context learning score {number(score.value)} nats, 95 % interval "
            f"{number(score.low)} to {number(score.high)}: loss at position {study.late:,} less "
            f"that at {study.early:,}, {len(study.losses)} texts."
        )

    def _draw(
        self, curve: Floats, band: tuple[Floats, Floats] | None, marks: Sequence[float]
    ) -> None:
        count = len(curve)
        places = tuple(float(place) for place in range(1, count))
        edges = np.unique(np.geomspace(1, max(2, count), _BINS).astype(int)).tolist()
        parts = [(a, b) for a, b in pairwise(edges) if b <= count]

        def mean(values: Floats) -> tuple[float, ...]:
            return tuple(float(np.nanmean(values[a:b])) for a, b in parts)

        middles = tuple(math.sqrt(a * (b - 1)) for a, b in parts)
        low, high = (mean(band[0]), mean(band[1])) if band is not None else ((), ())
        lines = [
            Line("each position", places, tuple(curve[1:].tolist()), role="muted", thin=True),
            Line("mean over neighbours", middles, mean(curve), low, high),
        ]
        ticks = {float(tick): f"{tick:,}" for tick in _TICKS if tick < count}
        self.plot.set_lines(lines, ticks=ticks, marks=marks, logarithmic=True)


class HeadsPage(QWidget):
    """Two maps, layers by heads, and what switching the highest off does."""

    headChosen = Signal(int, int)
    """Layer and head that were clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.maps = {
            "induction": HeatMap(),
            "prefix_matching": HeatMap(),
        }
        self.effects = EffectBars()
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 0, 4, 4)
        row.setSpacing(8)
        for (key, shown), (title, about) in zip(self.maps.items(), _SCORES, strict=True):
            label = QLabel(title)
            label.setFont(theme.ui_font(theme.SMALL))
            label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
            label.setToolTip(f"<p>{about}</p>")
            shown.setAccessibleName(title)
            shown.setToolTip("")
            shown.set_legend("score")
            shown.set_readout(self._reader(key))
            shown.cellClicked.connect(self.headChosen)
            column = QVBoxLayout()
            column.setContentsMargins(0, 0, 0, 0)
            column.setSpacing(0)
            column.addWidget(label)
            column.addWidget(shown, 1)
            row.addLayout(column, 2)
        row.addWidget(self.effects, 2)
        self._scores: dict[str, Floats] = {}
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._scores = {}
        for shown in self.maps.values():
            shown.set_data(np.zeros((0, 0), np.float32))
        self.effects.set_effects((), "What switching heads off does is measured after the scores.")

    def set_scores(self, induction: Floats, matching: Floats) -> None:
        """Draw the scores (L, H) so far."""
        self._scores = {"induction": induction, "prefix_matching": matching}
        layers, heads = induction.shape
        for key, shown in self.maps.items():
            shown.set_data(self._scores[key], levels=(0.0, 1.0))
            shown.set_labels([f"L{at}" for at in range(layers)], [f"H{at}" for at in range(heads)])

    def set_study(self, study: Heads) -> None:
        """Draw the whole."""
        self.set_scores(study.induction, study.prefix_matching)
        none = "No head was switched off, as none was to be." if not study.refused else ""
        self.effects.set_effects(study.effects, study.refused or none)

    def mark(self, layer: int, head: int | None) -> None:
        """Mark the head that is open in the other views."""
        for shown in self.maps.values():
            shown.set_marks(Marks(selected=layer), Marks(selected=head))

    def _reader(self, key: str) -> Callable[[int, int], str]:
        def told(layer: int, head: int) -> str:
            scores = self._scores.get(key)
            if scores is None or not (layer < scores.shape[0] and head < scores.shape[1]):
                return ""
            value = float(scores[layer, head])
            said = number(value) if math.isfinite(value) else "does not attend"
            return f"layer {layer}, head {head}: {said}\nA click opens it."

        return told


_SCORES = (
    (
        "Induction score",
        "Random tokens repeated twice with period N: mean of A[i, i − N + 1] over i ≥ N. A head "
        "that looks at what followed the last copy of the current token has 1.",
    ),
    (
        "Prefix matching",
        "A block of 25 random tokens four times: what a token gives to all tokens that followed "
        "earlier copies of it (Olsson et al. 2022, 2209.11895).",
    ),
)


def _titled(measure: str) -> tuple[str, str]:
    title, about = next((title, about) for key, title, about in _MEASURES if key == measure)
    about += (
        " Bands are 95 % bootstrap intervals over draws and queries. The dashed line is the "
        "control, whose examples have answers drawn by chance (Min et al. 2022, 2202.12837)."
    )
    return title[:1].upper() + title[1:], about


def _interval(point: Point, key: str) -> Interval | None:
    found: Interval | None = getattr(point, key)
    return found
