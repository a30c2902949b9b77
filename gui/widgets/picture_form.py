"""What picture to draw: of which states, by which projection, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QVBoxLayout, QWidget
from superqt import QElidingLabel, QFlowLayout

from gui import theme
from gui.picturing import PictureChoice
from gui.session import Session
from gui.training import Pooling
from gui.widgets import form
from gui.widgets.corpus_choice import CorpusChoice
from gui.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from engine.latent.projections.spec import ProjectionSpec

FOLLOW = -1
"""The layer that everything else shows."""

MOST = {"tokens": 60_000, "mean": 8_000, "last": 8_000}
"""How many tokens or sentences are read at most unless told otherwise."""

_STATES: tuple[tuple[str, Pooling], ...] = (
    ("of tokens", "tokens"),
    ("of sentences, mean", "mean"),
    ("of sentences, last token", "last"),
)
_COLUMNS = ("by default", "subject", "sentiment", "language")
_FIRST = (
    "Whether the first token of each passage is drawn. It has seen nothing but itself, and most "
    "models put a state there that is hundreds of times as long as any other: with it the picture "
    "shows little else."
)


class PictureForm(QWidget):
    """The fields. Projections are looked for when it is shown first, which takes a moment.

    Attributes
    ----------
    says : QElidingLabel
        What the chosen projection does; whoever shows the form finds a place for it.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.specs: Mapping[str, ProjectionSpec] = {}
        self.projection = form.combo("Projection", "How states become places on a plane.")
        self.texts = CorpusChoice()
        self.label = form.combo(
            "Label",
            "Which column of a table is the label that colours; by default <i>label</i>, else "
            "<i>subject</i>. The samples have subject, sentiment and language.",
            editable=True,
        )
        self.label.addItems(list(_COLUMNS))
        self.states = form.combo("States", "One state a token, or one a sentence.")
        for text, kind in _STATES:
            self.states.addItem(text, kind)
        self.layer = form.spin(
            "Layer", FOLLOW, FOLLOW, 0, "Whose states; by default the one shown.", "shown"
        )
        self.most = form.spin(
            "Read at most",
            MOST["tokens"],
            0,
            100_000_000,
            "About how many tokens, or how many sentences, are read, as many of each text or "
            "label. How many were read of how many is said below the picture.",
            "all",
        )
        self.first = form.check("first tokens too", _FIRST)
        self.settings = SettingsForm()
        self.says = QElidingLabel()  # stands where there is room for it
        self.says.setFont(theme.ui_font(theme.SMALL))
        self.says.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        upper = QWidget()
        flow = QFlowLayout(upper)
        flow.setContentsMargins(0, 0, 0, 0)
        flow.setHorizontalSpacing(8)
        flow.setVerticalSpacing(4)
        for name, field in (
            ("projection", self.projection),
            ("texts", self.texts),
            ("label", self.label),
            ("states", self.states),
            ("layer", self.layer),
            ("read at most", self.most),
        ):
            flow.addWidget(form.named(name, field))
        flow.addWidget(self.first)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(4)
        layout.addWidget(upper)
        layout.addWidget(self.settings)
        layout.addStretch(1)

        self.projection.currentIndexChanged.connect(lambda _: self._show_settings())
        self.states.currentIndexChanged.connect(lambda _: self._show_states())
        self.texts.changed.connect(self._show_states)
        session.modelChanged.connect(self.refresh)
        self.refresh()

    def fill(self) -> None:
        """Find the projections there are; once."""
        if self.specs:
            return
        from engine.latent.projections.spec import projection_specs

        self.specs = projection_specs()
        for key, spec in self.specs.items():
            self.projection.addItem(spec.title, key)

    def refresh(self) -> None:
        """Fit the layers to the model."""
        model = self.session.model
        self.layer.setMaximum(model.layers if model is not None else 0)

    @property
    def pooling(self) -> Pooling:
        """Which states are chosen."""
        kind: Pooling = self.states.currentData()
        return kind

    @property
    def chosen_layer(self) -> int:
        """Whose states."""
        layer = self.layer.value()
        return self.session.layer if layer == FOLLOW else layer

    def problem(self) -> str:
        """Why this cannot be drawn, as far as it can be told without trying; one sentence."""
        model, spec = self.session.model, self.specs.get(self.projection.currentData())
        if model is None or spec is None:
            return "No model is loaded yet. Wait a moment."
        what = f"Cannot draw {spec.title}"
        if spec.of == "μ" and self.chosen_layer not in model.latent_layers:
            why = f"there is no latent space for layer {self.chosen_layer} of {model.title}"
            return f"{what}: {why}. Train one, or choose a layer that has one."
        if not self.texts.paths and not self.session.text.strip():
            return f"{what}: the context is empty. Type a text, or choose other texts."
        return ""

    def choice(self, name: str, forget: tuple[str, ...] = ()) -> PictureChoice | None:
        """What is chosen now, to be drawn as the picture `name`; None where no model is there."""
        model, spec = self.session.model, self.specs.get(self.projection.currentData())
        if model is None or spec is None:
            return None
        corpus: tuple[Path, ...] = self.texts.paths
        column = self.label.currentText().strip()
        return PictureChoice(
            model=model.title,
            fingerprint=model.fingerprint,
            title=spec.title,
            name=name,
            projection=spec.key,
            layer=self.chosen_layer,
            states=self.pooling,
            corpus=corpus,
            text="" if corpus else self.session.text,
            label=column if column and column != _COLUMNS[0] else None,
            most=self.most.value(),
            first=self.first.isChecked(),
            settings=self.settings.values(),
            forget=forget,
        )

    def _show_settings(self) -> None:
        from engine.latent.projections.spec import choices

        spec = self.specs[self.projection.currentData()]
        self.says.setText(spec.says)
        self.says.setToolTip(f"<p>{spec.says}</p>")
        self.settings.set_choices(choices(spec.settings))

    def _show_states(self) -> None:
        self.first.setEnabled(self.pooling == "tokens")
        self.label.setEnabled(bool(self.texts.paths))
        if self.most.value() in MOST.values():
            self.most.setValue(MOST[self.pooling])

    def minimumSizeHint(self) -> QSize:
        """As narrow as a crowded window asks, and as high as its lines are then."""
        return QSize(160, super().minimumSizeHint().height())
