"""How abilities emerge with size, compute or steps: a metric that jumps beside one that doesn't."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QPalette, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel, QFlowLayout

from engine.errors import UserError
from engine.studies.emergence import SHIPPED, Against, Emergence, read_table
from engine.types import Query, Snapshot
from gui import theme
from gui.figures.spec import FigureOptions
from gui.session import Session
from gui.studies.emergence import AXES, METRICS, NAMES, about_of, number, short
from gui.view import View, ViewSpec
from gui.widgets.emergence_plot import EmergencePlot

_EMPTY = (
    "See an ability appear: at once under one metric, by degrees under another. The measured "
    "models that come with the program are drawn here; study emergence measures others."
)
_STYLES = ("solid", "dashed", "dotted", "dash-dot")


class EmergenceView(View):
    """Choose task, axis and metrics of a table of models; read each line's figures below."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.study: Emergence | None = None
        self.models = _combo(
            "Models",
            "Which measured models: those that come with the program, or a table that "
            "<i>study emergence --out TABLE.jsonl</i> or <i>study ladder</i> has written.",
        )
        self.task = _combo("Task", "What the models are asked.")
        self.against = _combo(
            "Against",
            "The axis: learnt parameters of the last checkpoints, floating-point operations of the "
            "training (6 for each parameter and token), or updates of the weights.",
        )
        self.left = _combo(
            "Metric on the left",
            "Exact match jumps: of L tokens that are right with probability p, it is about p^L.",
        )
        self.right = _combo(
            "Metric on the right",
            "Token edit distance, Brier score and log p of the right tokens change by degrees: of "
            "L tokens that are right with probability p, the edit distance is about L·(1 − p).",
        )
        for metric in METRICS:
            self.left.addItem(NAMES[metric], metric)
            self.right.addItem(NAMES[metric], metric)
        self.right.setCurrentIndex(1)
        self._form = QWidget()
        flow = QFlowLayout(self._form)
        flow.setContentsMargins(8, 4, 8, 4)
        flow.setHorizontalSpacing(8)
        flow.setVerticalSpacing(4)
        for name, field in (
            ("models", self.models),
            ("task", self.task),
            ("against", self.against),
            ("left", self.left),
            ("right", self.right),
        ):
            flow.addWidget(_named(name, field))
        self.plots = (EmergencePlot(), EmergencePlot())
        pictures = QHBoxLayout()
        pictures.setContentsMargins(4, 0, 4, 0)
        pictures.setSpacing(4)
        for plot in self.plots:
            pictures.addWidget(plot, 1)
            plot.pointed.connect(self._tell)
        self.note = QElidingLabel()
        self.note.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.note.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.note.setContentsMargins(8, 2, 8, 2)
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.legend.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.legend.setContentsMargins(8, 0, 8, 4)
        self.legend.setAccessibleName("What each line comes to")
        self.legend.setToolTip(
            "<p>Linearity is the range of a line's values over the root-mean-square step from one "
            "to the next, breakthroughness the range over the root-median-square step (BIG-bench): "
            "∞ where most steps change nothing. ▼ is where the best head's induction score has "
            "risen half of its way, ◆ where its prefix matching in the task's own rows has.</p>"
        )
        scroll = QScrollArea()
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setWidget(self.legend)
        for ground in (scroll.viewport(), self.legend):
            ground.setAutoFillBackground(False)
        scroll.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._scroll = scroll
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._form)
        layout.addLayout(pictures, 1)
        layout.addWidget(self.note)
        layout.addWidget(scroll)
        self._offer("the program's ladder")
        self.models.activated.connect(self._choose_models)
        for field in (self.task, self.against, self.left, self.right):
            field.activated.connect(self._chosen)

    # --- what the window asks -------------------------------------------------------------------

    def queries(self) -> tuple[Query, ...]:
        """Nothing: it is not of the model that is open."""
        return ()

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Draw nothing of a snapshot."""

    def caption(self) -> str:
        """The task and the axis."""
        study = self.study
        return "" if study is None else f"{study.task} · against {AXES[study.against]}"

    def figure_options(self) -> FigureOptions:
        """The table and what of it is shown."""
        return replace(super().figure_options(), emergence=self.study)

    def minimumSizeHint(self) -> QSize:
        """Small enough for a crowded window."""
        return QSize(200, 140)

    # --- events ---------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """Read the table that comes along when it is first looked at."""
        super().showEvent(event)
        if self.study is None:
            self.open_table(SHIPPED, "the program's ladder")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the form the height that its lines take at this width."""
        super().resizeEvent(event)
        self._fit()

    def event(self, event: QEvent) -> bool:
        """Do the same when fields have become wider."""
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._fit()
        return done

    def changeEvent(self, event: QEvent) -> None:
        """Write the legend in the colours of a new theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self.study is not None:
            self._write_legend(self.study)

    def _fit(self) -> None:
        flow = self._form.layout()
        if flow is not None:
            self._form.setMinimumHeight(flow.heightForWidth(self.width()))

    # --- choosing -------------------------------------------------------------------------------

    def open_table(self, path: Path, shown: str = "") -> None:
        """Show a table of measured models; one that cannot be read leaves what is shown."""
        try:
            rows = read_table(path)
        except UserError as error:
            self._say(error.sentence)
            return
        self._offer(shown or path.name)
        self.set_study(Emergence(rows, rows[0].task, source=path.name))

    def set_study(self, study: Emergence) -> None:
        """Show a study, with what of it is looked at."""
        self.study = study
        self.task.clear()
        for task in study.tasks:
            self.task.addItem(task, task)
        self._show(study)

    def _chosen(self) -> None:
        if self.study is None:
            return
        self._show(
            replace(
                self.study,
                task=self.task.currentData(),
                against=self.against.currentData() or self.study.against,
                metric=self.left.currentData(),
                beside=self.right.currentData(),
            )
        )

    def _show(self, study: Emergence) -> None:
        axes = study.axes or tuple(a for a in get_args(Against) if a == "parameters")
        if study.against not in axes:
            study = replace(study, against=axes[-1])
        self.study = study
        self.against.clear()
        for axis in axes:
            self.against.addItem(AXES[axis], axis)
        for field, value in (
            (self.task, study.task),
            (self.against, study.against),
            (self.left, study.metric),
            (self.right, study.beside),
        ):
            field.setCurrentIndex(max(0, field.findData(value)))
        families = tuple(dict.fromkeys(curve.family for curve in study.curves(study.metric)))
        for plot, metric in zip(self.plots, (study.metric, study.beside), strict=True):
            plot.set_curves(study.curves(metric), families, study.against, metric)
        self._say(about_of(study))
        self._write_legend(study)
        self.captionChanged.emit()

    def _write_legend(self, study: Emergence) -> None:
        muted = theme.current().muted
        left, right = study.curves(study.metric), study.curves(study.beside)
        families = list(dict.fromkeys(curve.family for curve in left))

        def cells(*said: str) -> str:
            return "<td>" + "&nbsp;&nbsp;</td><td>".join(said) + "</td></tr>"

        def small(said: str) -> str:
            return f"<span style='color:{muted}'>{said}</span>"

        rows = [
            "<tr>" + cells("", *map(small, (NAMES[study.metric], NAMES[study.beside]))),
            "<tr>" + cells("", *map(small, ("linearity / breakthroughness",) * 2)),
        ]
        for one, other in zip(left, right, strict=True):
            if not one.largest:
                continue
            place = families.index(one.family)
            dash = ("━━", "━ ━", "┅┅", "━ ·")[place % len(_STYLES)]
            name = f"<span style='color:{theme.category(place)}'>{dash}</span>&nbsp;{one.name}"
            marks = (("▼", one.rise), ("◆", one.matching))
            told = "".join(f" {mark}{short(at)}" for mark, at in marks if at is not None)
            figures = (
                f"{number(each.linearity)} / {number(each.breakthroughness)}"
                for each in (one, other)
            )
            rows.append("<tr>" + cells(name + told, *figures))
        self.legend.setText(f"<table cellspacing='0' cellpadding='0'>{''.join(rows)}</table>")
        self._scroll.setFixedHeight(min(130, self.legend.sizeHint().height() + 14))

    def _tell(self, sentence: str) -> None:
        if self.study is not None:
            self._say(sentence or about_of(self.study))

    def _say(self, sentence: str) -> None:
        self.note.setText(sentence)
        self.note.setToolTip(sentence)

    def _offer(self, shown: str) -> None:
        self.models.clear()
        self.models.addItem(shown, "shown")
        if shown != "the program's ladder":
            self.models.addItem("the program's ladder", "ladder")
        self.models.addItem("a table …", "file")

    def _choose_models(self) -> None:
        what: Any = self.models.currentData()
        self.models.setCurrentIndex(0)
        if what == "ladder":
            self.open_table(SHIPPED, "the program's ladder")
        elif what == "file":
            dialog = QFileDialog(self, "Open a table of measured models")
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
            dialog.setNameFilter("Tables of study emergence (*.jsonl)")
            dialog.fileSelected.connect(lambda name: self.open_table(Path(name)))
            dialog.open()


def _combo(name: str, about: str) -> QComboBox:
    field = QComboBox()
    field.setFont(theme.ui_font(theme.SMALL))
    field.setAccessibleName(name)
    field.setToolTip(f"<p>{about}</p>")
    return field


def _named(name: str, field: QWidget) -> QWidget:
    pair = QWidget()
    label = QLabel(name)
    label.setFont(theme.ui_font(theme.SMALL))
    label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
    label.setBuddy(field)
    layout = QHBoxLayout(pair)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    layout.addWidget(label)
    layout.addWidget(field)
    return pair


VIEW = ViewSpec(
    key="emergence",
    title="Emergence",
    about=(
        "The same answers under a metric that jumps (exact match, about p^L) and one that does not "
        "(token edit distance, about L·(1 − p)), against parameters, compute or steps; bands are "
        "95 % bootstrap intervals. Marks tell where heads begin to look back."
    ),
    empty=_EMPTY,
    needs=frozenset(),
    shortcut="Ctrl+Shift+E",
    area="left",
    order=5,
    create=EmergenceView,
    tab="embedding",
    shown=False,
)
