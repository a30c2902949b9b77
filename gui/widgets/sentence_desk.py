"""Sentences in, sentences out: what lies between two of them, beside one, or at a − b + c."""

from __future__ import annotations

from html import escape
from typing import cast

from PySide6.QtCore import QEvent, QSize, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from engine.latent.draft_values import REACH, Line, Way, Wish
from gui import theme

WAYS: tuple[tuple[str, Way, int], ...] = (
    ("from one to another", "between", 2),
    ("written back", "here", 1),
    ("along a dimension", "dimension", 1),
    ("analogy a − b + c", "analogy", 3),
    ("from the prior", "prior", 0),
)
"""What is offered: its name, the way, and how many sentences it takes."""

_EXAMPLES = (
    "My sister bought a new hat.",
    "The old man walked to the river.",
    "The old man will walk to the river.",
)

_ABOUT = (
    "<p>A variational autoencoder of short sentences: the encoder makes of a sentence a point z, "
    "the decoder makes of a point a draft of words, and the model that is open writes the sentence "
    "that is likely under both: ln p = ln p(model) + ln p(draft | z). The model's weights stay as "
    "they are. It knows short, simple English sentences of at most 14 tokens; what it has not met "
    "comes back as something else.</p>"
)
_WAY = (
    "<p><b>From one to another</b>: points on the straight line between two sentences. <b>Written "
    "back</b>: the sentence as its own point gives it. <b>Along a dimension</b>: one coordinate "
    f"from −{REACH:g} to {REACH:g}, the others as the sentence's. <b>Analogy</b>: the point "
    "a − b + c. <b>From the prior</b>: draws z ~ N(0, I).</p>"
)
_FIGURES = (
    "<p>Measured on short sentences of the kinds it learned from that were kept aside: the share "
    "of tokens that were the likeliest given those before, with the sentence's own point and by "
    "the model alone; the perplexity a token, and the dimensions whose μ varies. On other texts "
    "it does much worse.</p>"
)
_HINT = "Press Write: the model writes short sentences from points between these."


class SentenceDesk(QWidget):
    """Fields for sentences, how points are made of them, and what was written.

    Attributes
    ----------
    busy : bool
        Whether something is being written.
    """

    startRequested = Signal()
    stopRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.busy = False
        self._lines: tuple[Line, ...] = ()
        self._note = _HINT
        self.way = QComboBox()
        self.way.setFont(theme.ui_font(theme.SMALL))
        for name, way, _ in WAYS:
            self.way.addItem(name, way)
        self.way.setAccessibleName("How points are made of the sentences")
        self.way.setToolTip(_WAY)
        self.dimension = _spin("dim ", 0, "Dimension of the walk", "<p>From 0 to Z − 1.</p>")
        self.seed = _spin(
            "seed ", 0, "Seed of the draws", "<p>The same seed draws the same points.</p>"
        )
        self.go = QPushButton("Write")
        self.go.setFont(theme.ui_font(theme.SMALL))
        self.go.setToolTip(_ABOUT)
        self.go.setStyleSheet("QPushButton { padding: 2px 10px; }")
        self.fields = tuple(_field(index) for index in range(3))
        self.figures = QLabel()
        self.figures.setFont(theme.ui_font(theme.SMALL))
        self.figures.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.figures.setWordWrap(True)
        self.figures.setAccessibleName("How good the space of sentences is")
        self.figures.setToolTip(_FIGURES)
        self.text = QTextEdit()
        self.text.setReadOnly(True)
        self.text.setFrameShape(QFrame.Shape.NoFrame)
        self.text.setFont(theme.ui_font(theme.SMALL))
        self.text.document().setDocumentMargin(2)
        self.text.setAccessibleName("Sentences written from points")
        self.text.setToolTip(_ABOUT)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        controls = QHBoxLayout()
        controls.setContentsMargins(0, 0, 0, 0)
        controls.setSpacing(4)
        for control in (self.go, self.way, self.dimension, self.seed):
            controls.addWidget(control)
        controls.addStretch(1)
        given = QVBoxLayout()
        given.setSpacing(4)
        given.addLayout(controls)
        for field in self.fields:
            given.addWidget(field)
            field.returnPressed.connect(self._enter)
        given.addWidget(self.figures)
        given.addStretch(1)
        # Beside each other: the panel is low at first, and seven lines are to be seen.
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 2)
        layout.setSpacing(8)
        layout.addLayout(given, 2)
        layout.addWidget(self.text, 3)
        self.way.currentIndexChanged.connect(self._arrange)
        self.go.clicked.connect(self._press)
        self._arrange()
        self._ready()

    @property
    def wish(self) -> Wish:
        """What is asked for now."""
        way = cast(Way, self.way.currentData())
        sentences = tuple(field.text() for field in self.fields if not field.isHidden())
        return Wish(way, sentences, self.dimension.value(), self.seed.value())

    # --- what it is told -------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin to write."""
        self.busy, self._note = True, "Writing…"
        self.go.setText("Stop")
        self.go.setAccessibleName("Stop writing sentences")
        self._show()

    def show_lines(self, lines: tuple[Line, ...], note: str, figures: str = "") -> None:
        """Show what was written, what is to be said of it, and how good the space is."""
        self._lines = lines
        self.figures.setText(figures)
        self.end(note)

    def end(self, sentence: str) -> None:
        """Take that it is over, and why, where there is something to say."""
        self.busy, self._note = False, sentence
        self._ready()

    def forget(self) -> None:
        """Forget what another model wrote."""
        self._lines, self._note = (), _HINT
        self.figures.setText("")
        self._show()

    # --- what it shows ---------------------------------------------------------------------------

    def _press(self) -> None:
        (self.stopRequested if self.busy else self.startRequested).emit()

    def _enter(self) -> None:
        if not self.busy:
            self.startRequested.emit()

    def _arrange(self) -> None:
        _, way, count = WAYS[self.way.currentIndex()]
        for index, field in enumerate(self.fields):
            field.setVisible(index < count)
        self.dimension.setVisible(way == "dimension")
        self.seed.setVisible(way == "prior")

    def _ready(self) -> None:
        self.go.setText("Write")
        self.go.setAccessibleName("Write sentences from points")
        self._show()

    def _show(self) -> None:
        look = theme.current()
        rows = "".join(
            f"<tr><td style='color:{look.muted}' align='right'>{escape(line.label)}&nbsp;</td>"
            f"<td>{escape(line.text)}</td></tr>"
            for line in self._lines
        )
        note = f"<p style='margin:0;color:{look.muted}'>{escape(self._note)}</p>"
        table = f"<table cellspacing='0' cellpadding='1'>{rows}</table>" if rows else ""
        self.text.setHtml((note if self._note else "") + table)
        said = [f"{line.label}: {line.text}" for line in self._lines]
        self.text.setAccessibleDescription(" ".join([self._note, *said]).strip())

    # --- Qt --------------------------------------------------------------------------------------

    def changeEvent(self, event: QEvent) -> None:
        """Write in the colours of another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "text"):
            self._show()

    def minimumSizeHint(self) -> QSize:
        """The controls and three fields."""
        return QSize(240, 112)

    def sizeHint(self) -> QSize:
        """As much as a walk of seven sentences takes."""
        return QSize(560, 150)


def _spin(prefix: str, value: int, name: str, about: str) -> QSpinBox:
    spin = QSpinBox()
    spin.setRange(0, 9999)
    spin.setPrefix(prefix)
    spin.setValue(value)
    spin.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
    spin.setAccessibleName(name)
    spin.setToolTip(about)
    return spin


def _field(index: int) -> QLineEdit:
    field = QLineEdit(_EXAMPLES[index])
    field.setFont(theme.ui_font(theme.SMALL))
    field.setMaxLength(200)
    letter = "abc"[index]
    field.setAccessibleName(f"Sentence {letter}")
    field.setToolTip(
        f"<p>Sentence <b>{letter}</b>: short and simple, at most 14 tokens, with its stop.</p>"
    )
    return field
