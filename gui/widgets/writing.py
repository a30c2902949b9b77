"""What a model writes on from a latent point, beside what it writes by itself."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QFrame,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from engine.latent.values import Written
from gui import theme

WIDE = 190
"""From this width on the two texts stand beside each other."""

TAIL = 12
"""Characters of the context's end that stand before what is written, at most."""

_ABOUT = (
    "<p>The decoded state dec(z) stands in place of one token's state, and the model runs on from "
    "it: it writes token after token behind that one, each read with that state in place. Beside "
    "it stands what it writes with its own state. ∎ says that it ends the text. Without a token "
    "selected it is the last one's state.</p>"
)


class WritingPanel(QWidget):
    """A button that starts and stops, how to choose tokens, and the two texts as they grow.

    Attributes
    ----------
    busy : bool
        Whether something is being written.
    written : list of str
        What the point and the model's own state made so far.
    """

    startRequested = Signal()
    stopRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.busy = False
        self.written = ["", ""]
        self._ended = [False, False]
        self._where = ""
        self._before = ""
        self._note = ""
        self._hint = ""
        self.go = QPushButton("Write")
        self.go.setFont(theme.ui_font(theme.SMALL))
        self.go.setAccessibleName("Write on from the latent point")
        self.go.setToolTip(_ABOUT)
        self.go.setStyleSheet("QPushButton { padding: 2px 10px; }")
        self.go.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self.temperature = QDoubleSpinBox()
        self.temperature.setRange(0.0, 2.0)
        self.temperature.setSingleStep(0.1)
        self.temperature.setDecimals(1)
        self.temperature.setPrefix("T ")
        self.temperature.setAccessibleName("Temperature of writing")
        self.temperature.setToolTip(
            "<p>At temperature 0 the likeliest token is written each time. Else one is drawn from "
            "softmax(scores / T): the higher T, the less likely tokens it takes.</p>"
        )
        self.seed = QSpinBox()
        self.seed.setRange(0, 9999)
        self.seed.setPrefix("seed ")
        self.seed.setAccessibleName("Seed of writing")
        self.seed.setToolTip(
            "<p>The same seed draws the same tokens. At temperature 0 nothing is drawn.</p>"
        )
        for spin in (self.temperature, self.seed):
            spin.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
            spin.setMinimumWidth(52)
            spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.text = QTextEdit()
        self.text.setReadOnly(True)
        self.text.setFrameShape(QFrame.Shape.NoFrame)
        self.text.setFont(theme.ui_font(theme.SMALL))
        self.text.document().setDocumentMargin(2)
        self.text.setAccessibleName("What the model writes on")
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.text.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        controls = QHBoxLayout()
        controls.setContentsMargins(0, 0, 0, 0)
        controls.setSpacing(4)
        controls.addWidget(self.go)
        controls.addWidget(self.temperature, 3)
        controls.addWidget(self.seed, 4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(controls)
        layout.addWidget(self.text, 1)
        self.go.clicked.connect(self._press)
        self.temperature.valueChanged.connect(lambda value: self.seed.setEnabled(value > 0))
        self.seed.setEnabled(False)
        self._show()

    # --- what it is told -------------------------------------------------------------------------

    def offer(self, hint: str, possible: bool) -> None:
        """Say, while nothing was written, from where it would be; and whether it can be at all."""
        self.go.setEnabled(possible or self.busy)
        if hint != self._hint:
            self._hint = hint
            self._show()

    def begin(self, where: str, context: str) -> None:
        """Begin to write from the point `where`, behind the text `context`."""
        self.busy = True
        self.written, self._ended = ["", ""], [False, False]
        self._where, self._note = where, ""
        self._before = _tail(context)
        self.go.setText("Stop")
        self.go.setAccessibleName("Stop writing on")
        self.text.verticalScrollBar().setValue(0)
        self._show()

    def take(self, step: Written) -> None:
        """Show what was written up to this step."""
        if step.written or step.ended:
            self.written[step.which] = step.written
            self._ended[step.which] = step.ended
            self._show()

    def end(self, sentence: str) -> None:
        """Take that it is over, and why, where there is something to say."""
        self.busy = False
        self._note = sentence
        self.go.setText("Write")
        self.go.setAccessibleName("Write on from the latent point")
        self._show()

    def outdate(self) -> None:
        """Take that what stands here was written behind another text, or by another model."""
        if any(self.written) or self._where:
            self._note = "Written before the last change of text or model."
            self._show()

    # --- what it shows ---------------------------------------------------------------------------

    def _press(self) -> None:
        (self.stopRequested if self.busy else self.startRequested).emit()

    def _show(self) -> None:
        look = theme.current()
        if not self._where:
            html = f"<span style='color:{look.muted}'>{escape(self._hint)}</span>"
            self.text.setHtml(html)
            self.text.setAccessibleDescription(self._hint)
            return
        heads = (f"from {self._where}", "by itself")
        parts = [self._part(which, head) for which, head in enumerate(heads)]
        note = f"<p style='margin:0;color:{look.muted}'>{escape(self._note)}</p>" * bool(self._note)
        if self.text.viewport().width() >= WIDE:
            cells = "".join(f"<td width='50%'>{part}</td>" for part in parts)
            table = "<table width='100%' cellspacing='0' cellpadding='2'>"
            body = f"{note}{table}<tr>{cells}</tr></table>"
        else:
            body = note + "".join(parts)
        bar = self.text.verticalScrollBar()
        at = bar.value()
        self.text.setHtml(body)
        bar.setValue(at)
        told = [f"{head}: {text}" for head, text in zip(heads, self.written, strict=True)]
        self.text.setAccessibleDescription(". ".join([*told, self._note]))

    def _part(self, which: int, head: str) -> str:
        look = theme.current()
        ends = " ∎" if self._ended[which] else "▏" if self.busy else ""
        return (
            f"<p style='margin:0;color:{look.muted}'>{escape(head)}</p>"
            "<p style='margin-top:0;margin-bottom:4px;white-space:pre-wrap'>"
            f"<span style='color:{look.muted}'>{escape(self._before)}</span>"
            f"{escape(self.written[which])}"
            f"<span style='color:{look.accent}'>{ends}</span></p>"
        )

    # --- Qt --------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the texts beside each other where there is room."""
        super().resizeEvent(event)
        if (event.size().width() >= WIDE) != (event.oldSize().width() >= WIDE):
            self._show()

    def changeEvent(self, event: QEvent) -> None:
        """Write in the colours of another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "text"):
            self._show()

    def minimumSizeHint(self) -> QSize:
        """The controls and two lines."""
        return QSize(152, 56)


def _tail(context: str) -> str:
    """The last words of a context."""
    words = " ".join(context.split()) + context[len(context.rstrip()) :]
    if len(words) <= TAIL:
        return words
    kept = words[-TAIL:]
    return "…" + (kept.split(" ", 1)[1] if " " in kept.strip() else kept)
