"""The line at the foot of the window: what runs, what it cost, and the job that is under way."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QStatusBar, QWidget

from engine.types import ModelInfo, PassStats, Progress
from gui import glossary, precision, theme
from gui.widgets.icons import IconButton

BUSY_AFTER_MS = 200
"""An answer that comes sooner leaves the mark as it is, so that typing does not make it flicker."""


class StatusLine(QStatusBar):
    """Fields of fixed width, with digits of one width, so that nothing jumps while typing."""

    cancelRequested = Signal(str)
    """The name of the job whose ✕ was pressed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeGripEnabled(False)
        self._job = ""
        self._mark = _Field("○ starting", "Whether the pictures show what is written now.")
        self._model = _Field("", "The model that answers, and the device it runs on.")
        self._tokens = _Field("000000 tokens", glossary.tip("token"))
        self._latency = _Field("00000 ms", "Milliseconds from the keystroke to the painted answer.")
        self._passes = _Field("1 pass of 00000 tokens", glossary.tip("prefix reuse"))
        self._memory = _Field("00000 MB", "Memory held by the weights and by the last pass.")
        self._job_text = _Field("", "The work that goes on beside your typing.")
        self._bar = QProgressBar()
        self._bar.setFixedWidth(96)
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName("Progress")
        self._cancel = IconButton("close", "Cancel job", "Stop the job; nothing half-made is kept.")
        self._cancel.clicked.connect(lambda: self.cancelRequested.emit(self._job))
        self._latent = _Field("no VAE", glossary.tip("VAE"))
        self._mark.hold()
        self._job_text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._job_text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

        line = QWidget()
        layout = QHBoxLayout(line)
        layout.setContentsMargins(8, 0, 8, 0)
        layout.setSpacing(12)
        for field in (self._mark, self._model, self._tokens, self._latency, self._passes):
            layout.addWidget(field)
        layout.addWidget(self._memory)
        layout.addWidget(self._job_text, 1)
        layout.addWidget(self._bar)
        layout.addWidget(self._cancel)
        layout.addWidget(self._latent)
        self.addWidget(line, 1)
        self.setFixedHeight(28)

        for field in (self._tokens, self._latency, self._passes, self._memory):
            field.hold()
            field.setText("")
        self._latent.setText("")
        self.clear_progress()
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(BUSY_AFTER_MS)
        self._patience.timeout.connect(lambda: self._set_mark("◐ busy"))
        self._set_mark("○ starting")

    # --- what is shown --------------------------------------------------------------------------

    def expect(self) -> None:
        """A request is on its way; the mark says so if the answer takes longer than a moment."""
        if not self._patience.isActive():
            self._patience.start()

    def settle(self) -> None:
        """What is shown answers what is written."""
        self._patience.stop()
        self._set_mark("● live")

    def fail(self) -> None:
        """The last request came to nothing, so that the pictures are older than the text."""
        self._patience.stop()
        self._set_mark("▲ stale")

    def set_model(self, model: ModelInfo) -> None:
        """Name the model and its device, and say whether a latent space is at hand."""
        said = (model.title, model.device, precision.brief(model))
        self._model.setText(" · ".join(part for part in said if part))
        self._model.setToolTip(
            f"{model.family}, {model.layers} layers, {model.heads} heads, width {model.width}, "
            f"{model.parameters / 1e6:.1f} million parameters, {model.dtype}. {model.source} "
            + precision.sentence(model)
        )
        if model.latent_layers:
            layers = ", ".join(str(layer) for layer in model.latent_layers)
            self._latent.setText("VAE ready")
            self._latent.setToolTip(
                f"{glossary.tip('VAE')}<p>A latent space is kept for layer {layers}.</p>"
            )
        else:
            self._latent.setText("no VAE")
            self._latent.setToolTip(
                f"{glossary.tip('VAE')}<p>None has been trained for {model.title} yet.</p>"
            )

    def set_latency(self, milliseconds: float) -> None:
        """Show how long the last keystroke took to become a picture."""
        self._latency.setText(f"{milliseconds:.0f} ms")

    def set_stats(self, tokens: int, stats: PassStats) -> None:
        """Show what the last answer cost: tokens, passes, bytes held."""
        self._tokens.setText(_count(tokens, "token"))
        if stats.passes:
            passes = _count(stats.passes, "pass", "passes")
            self._passes.setText(f"{passes} of {_count(stats.suffix, 'token')}")
        else:
            self._passes.setText("no pass needed")
        self._memory.setText(f"{(stats.trace_bytes + stats.weight_bytes) / 1e6:.0f} MB")

    def set_progress(self, progress: Progress) -> None:
        """Show how far a job is, with a ✕ that stops it."""
        self._job = progress.job
        share = progress.fraction
        percent = "" if share is None else f"  {share:4.0%}"
        self._job_text.setText(f"{progress.text}{percent}")
        self._job_text.setToolTip(progress.text)
        self._bar.setRange(0, 0 if share is None else 1000)
        if share is not None:
            self._bar.setValue(round(1000 * share))
        self._bar.show()
        self._cancel.show()

    def clear_progress(self, job: str | None = None) -> None:
        """A job is over (None: all are); its progress goes."""
        if job in (None, self._job):
            self._job = ""
            self._job_text.setText("no job")
            self._job_text.setToolTip("")
            self._bar.setRange(0, 1)
            self._bar.hide()
            self._cancel.hide()

    @property
    def job(self) -> str:
        """The job whose progress is shown; empty if there is none."""
        return self._job

    @property
    def words(self) -> str:
        """Everything the line says, for tests and for a screen reader."""
        fields = (self._mark, self._model, self._tokens, self._latency, self._passes)
        more = (self._memory, self._job_text, self._latent)
        return " | ".join(field.text() for field in (*fields, *more))

    def _set_mark(self, words: str) -> None:
        self._mark.setText(words)
        live = words.startswith("●")
        self._mark.setForegroundRole(
            QPalette.ColorRole.Highlight if live else QPalette.ColorRole.PlaceholderText
        )


class _Field(QLabel):
    def __init__(self, text: str, tip: str) -> None:
        super().__init__(text)
        self.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.setToolTip(tip)
        self._held = False

    def hold(self) -> None:
        """Keep the size that the text has now, however short it becomes.

        What has a size of its own does not have the whole window laid out for each new text.
        """
        self._held = True
        self.setFixedSize(self.sizeHint())

    def setText(self, text: str) -> None:
        """Show `text`; one that needs more room than any before it takes that room for good."""
        super().setText(text)
        if self._held and self.sizeHint().width() > self.width():
            self.setFixedWidth(self.sizeHint().width())


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
