"""What is seen of a training: curves of the runs that are drawn, and into one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QGridLayout, QLabel, QStackedWidget, QVBoxLayout, QWidget

from gui import theme
from gui.laboratory import NO_HEADS, path_of
from gui.widgets.attention_stats import causal_mask
from gui.widgets.heatmap import HeatMap
from gui.widgets.legend import number
from gui.widgets.line_plot import Line, LinePlot
from gui.widgets.path_plot import PathPlot
from gui.widgets.token_axis import Marks

if TYPE_CHECKING:
    from engine.lab.runs import Point, Probe, Run

_ABOUT = "One run: held out in the accent, trained on dashed. Several: held out, a colour each."


class _Mapped(QWidget):
    """A heat map under a title, or a sentence in its place."""

    def __init__(self, title: str, about: str) -> None:
        super().__init__()
        self.title = QLabel(title)
        self.title.setFont(theme.ui_font(theme.SMALL))
        self.title.setContentsMargins(4, 2, 0, 0)
        self.title.setToolTip(f"<p>{about}</p>")
        self.map = HeatMap()
        self.map.setMinimumSize(80, 60)
        self.map.setAccessibleName(title)
        self._says = QLabel()
        self._says.setWordWrap(True)
        self._says.setFont(theme.ui_font(theme.SMALL))
        self._says.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self._says.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._says.setContentsMargins(8, 0, 8, 0)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.map)
        self._stack.addWidget(self._says)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.title)
        layout.addWidget(self._stack, 1)

    @property
    def message(self) -> str:
        """What is said in the map's place; empty where it is shown."""
        return self._says.text() if self._stack.currentIndex() else ""

    def say(self, sentence: str) -> None:
        """Say something in the map's place; nothing shows the map."""
        self._says.setText(sentence)
        self._stack.setCurrentIndex(int(bool(sentence)))


class LabPage(QWidget):
    """Curves of the runs that are drawn; heads, attention and path of the one looked into."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.loss = LinePlot("Loss, nats", f"Mean −log p of the judged tokens. {_ABOUT}", "step")
        self.accuracy = LinePlot(
            "Accuracy", f"Share of the judged tokens that were the likeliest. {_ABOUT}", "step"
        )
        self.learning = LinePlot(
            "In-context score, nats",
            "Loss at a late token of held-out rows less that at an early one (Olsson et al. 2022, "
            "2209.11895); below 0 where the context helped.",
            "step",
        )
        self.best = LinePlot(
            "Best head's induction score",
            "The highest induction score of all heads; an LSTM has none.",
            "step",
        )
        self.heads = _Mapped(
            "Induction score by head",
            "Random tokens repeated twice with period N: mean of A[i, i − N + 1] over i ≥ N. A "
            "head that looks at what followed the last copy of the current token has 1.",
        )
        self.attention = _Mapped(
            "Attention of a probe text",
            "A held-out row, always the same, in the model of the last point. A click on a head of "
            "the map beside it shows that head.",
        )
        self.path = PathPlot(
            "Latent path of the probe text",
            "The states before the output embedding in their own first two principal components, "
            "in reading order, in the model of the last point.",
        )
        self.probe: Probe | None = None
        self._head: tuple[int, int] | None = None  # chosen by a click
        self._point: Point | None = None
        self._places: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None = None
        self._middle = QStackedWidget()
        self._middle.addWidget(self.heads)
        self._middle.addWidget(self.best)
        self.legend = QLabel()
        self.legend.setFont(theme.ui_font(theme.SMALL))
        self.legend.setContentsMargins(4, 0, 4, 2)
        self.legend.setWordWrap(True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setAccessibleName("Runs that are drawn")
        pictures = QWidget()
        grid = QGridLayout(pictures)
        grid.setContentsMargins(4, 0, 4, 4)
        grid.setSpacing(4)
        cells = (self.loss, self.accuracy, self.learning, self._middle, self.attention, self.path)
        for at, cell in enumerate(cells):
            grid.addWidget(cell, at // 3, at % 3)
        for column in range(3):
            grid.setColumnStretch(column, 1)
        for row in range(2):
            grid.setRowStretch(row, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.legend)
        layout.addWidget(pictures, 1)
        self.heads.map.set_legend("score")
        self.heads.map.set_readout(self._tell_head)
        self.heads.map.cellClicked.connect(self._choose)
        self.attention.map.set_legend("weight", "after the query")
        self.attention.map.set_readout(self._tell_weight)

    # --- what is drawn ---------------------------------------------------------------------------

    def set_runs(self, runs: Sequence[Run]) -> None:
        """Draw the curves of these."""
        several = len(runs) > 1
        self.legend.setVisible(several)
        self.legend.setText(
            "&nbsp; ".join(
                f'<span style="color:{theme.category(at)}">■</span>&nbsp;{_unbroken(run.title)}'
                for at, run in enumerate(runs)
            )
            if several
            else ""
        )
        measures: tuple[tuple[LinePlot, str, str, tuple[float, float] | None], ...] = (
            (self.loss, "loss", "train_loss", None),
            (self.accuracy, "accuracy", "train_accuracy", (0.0, 1.0)),
            (self.learning, "in_context_score", "", None),
        )
        for plot, held, trained, bounds in measures:
            if several:
                lines = [_line(run, attrgetter(held), run.title, at) for at, run in enumerate(runs)]
            else:
                lines = [_line(run, attrgetter(held), "held out", "accent") for run in runs]
                lines += [
                    _line(run, attrgetter(trained), "trained", "muted") for run in runs if trained
                ]
            plot.set_lines(lines, bounds=bounds, named=not several)
        self.best.set_lines(
            [_line(run, _best, run.title, at) for at, run in enumerate(runs)],
            bounds=(0.0, 1.0),
            named=False,
        )
        self._middle.setCurrentIndex(int(several))

    def look_into(self, run: Run | None, probe: Probe | None) -> None:
        """Show heads, attention and path of a run as it is now."""
        self._point = run.points[-1] if run is not None and run.points else None
        self.probe = probe
        scores = self._point.induction if self._point is not None else None
        lstm = run is not None and run.card.settings.arch == "lstm"
        self.heads.say(NO_HEADS if lstm else "")
        if scores:
            values = np.array(scores, np.float32)
            self.heads.map.set_data(values, levels=(0.0, 1.0))
            self.heads.map.set_labels(
                [f"L{at}" for at in range(values.shape[0])],
                [f"H{at}" for at in range(values.shape[1])],
            )
            if self._head is not None and not (
                self._head[0] < values.shape[0] and self._head[1] < values.shape[1]
            ):
                self._head = None
        else:
            self.heads.map.set_data(np.zeros((0, 0), np.float32))
        self._show_attention(lstm)
        if probe is None:
            self._places = None
            self.path.set_path(np.zeros((0, 2), np.float32), ())
            return
        self._places = path_of(probe.states, self._places)
        self.path.set_path(self._places, probe.tokens)

    @property
    def head(self) -> tuple[int, int] | None:
        """Whose attention is shown: the head that was clicked, or the one that scores highest."""
        if self._head is not None:
            return self._head
        best = self._point.best_head if self._point is not None else None
        return (best[0], best[1]) if best is not None else None

    def _show_attention(self, lstm: bool) -> None:
        probe, head = self.probe, self.head
        self.attention.say(NO_HEADS if lstm else "")
        maps = probe.attention if probe is not None else None
        if probe is None or maps is None or head is None or not _within(head, maps.shape):
            self.attention.title.setText("Attention of a probe text")
            self.attention.map.set_data(np.zeros((0, 0), np.float32))
            return
        layer, number_ = head
        self.attention.title.setText(f"Attention of a probe text · L{layer}H{number_}")
        weights = maps[layer, number_]
        self.attention.map.set_data(weights, levels=(0.0, 1.0), masked=causal_mask(*weights.shape))
        self.attention.map.set_labels(probe.tokens, probe.tokens)
        self.heads.map.set_marks(Marks(selected=layer), Marks(selected=number_))

    def _choose(self, layer: int, head: int) -> None:
        if layer >= 0 and head >= 0:
            self._head = (layer, head)
            self._show_attention(False)

    def _tell_head(self, layer: int, head: int) -> str:
        scores = self._point.induction if self._point is not None else None
        if not scores or layer >= len(scores) or head >= len(scores[layer]):
            return ""
        return f"layer {layer}, head {head}: {number(scores[layer][head])}\nA click shows its map."

    def _tell_weight(self, row: int, column: int) -> str:
        probe, head = self.probe, self.head
        if probe is None or probe.attention is None or head is None:
            return ""
        weight = float(probe.attention[head[0], head[1], row, column])
        return f"{probe.tokens[row]} → {probe.tokens[column]}: {number(weight)}"


def _unbroken(text: str) -> str:
    """As rich text that is not broken between two lines."""
    return escape(text).replace(" ", "&nbsp;")


def _within(head: tuple[int, int], shape: tuple[int, ...]) -> bool:
    return head[0] < shape[0] and head[1] < shape[1]


def _best(point: Point) -> float | None:
    found = point.best_head
    return found[2] if found is not None else None


def _line(run: Run, of: Callable[[Point], float | None], name: str, role: str | int) -> Line:
    """A curve of a run, of the points that have it."""
    there = [(point.step, value) for point in run.points if (value := of(point)) is not None]
    return Line(
        name,
        tuple(float(step) for step, _ in there),
        tuple(float(value) for _, value in there),
        role=role,
        dashed=role == "muted",
    )
