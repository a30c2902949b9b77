"""What the model expects next: the likeliest tokens, each a button that writes it."""

from __future__ import annotations

import math

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QEnterEvent,
    QFontMetrics,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QAbstractButton,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QWidget,
)

from engine.types import NextResult
from gui import theme
from gui.widgets.spans import is_fragment, shortened, visible

COUNT = 8
"""How many tokens are offered where there is room."""
COLDEST, HOTTEST = 0.1, 2.0
"""The temperatures there are to choose from."""

_NARROWEST = 112
_HEIGHT = 36
_MIDDLE = Qt.AlignmentFlag.AlignVCenter


def percent(probability: float) -> str:
    """A probability in per cent: two figures below ten, and never a zero that is none."""
    if probability < 0.0005:
        return "<0.1 %"
    value = 100 * probability
    return f"{value:.1f} %" if value < 9.95 else f"{value:.0f} %"


class _Choice(QAbstractButton):
    """One token with its probability, as a number and as a bar."""

    def __init__(self, rank: int, parent: QWidget) -> None:
        super().__init__(parent)
        self._rank = rank
        self.token = ""
        self._label = ""
        self._probability = 0.0
        self._shown: tuple[object, ...] | None = None
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def show_token(self, text: str, id_: int, probability: float, temperature: float) -> None:
        if self._shown == (text, id_, probability, temperature):
            return
        self._shown = (text, id_, probability, temperature)
        self.token, self._label, self._probability = text, visible(text) or "∅", probability
        writable = bool(text) and not is_fragment(text)
        self.setEnabled(writable)
        # Surprise is the model's own, at temperature 1; another one's share does not tell it.
        bits = -math.log2(probability) if probability > 0 else math.inf
        surprise = f"Surprise if it comes: {bits:.1f} bits. " if temperature == 1 else ""
        heat = "" if temperature == 1 else f" divided by T = {temperature:g}"
        label = shortened(self._label, 40)
        self.setAccessibleName(f"Next token {label}, {percent(probability)}")
        self.setToolTip(
            f"p(next = {label} | context) = {probability:.3g}: the softmax over all scores at the "
            f"last token{heat}. {surprise}Token id {id_}. "
            + (
                f"Click or Alt+{self._rank} writes it."
                if writable
                else "It is part of a character and cannot be written alone."
            )
        )
        self.update()

    def clear(self) -> None:
        self.token = self._label = ""
        self._shown = None
        self.setEnabled(False)
        self.setAccessibleName("No prediction yet")
        self.setToolTip("")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(self.rect())
        painter.setPen(Qt.PenStyle.NoPen)
        if self.underMouse() and self.isEnabled():
            painter.setBrush(QColor(look.raised))
            painter.drawRoundedRect(area, 4, 4)
        inner = area.adjusted(6, 4, -6, -4)
        track = QRectF(inner.left(), inner.bottom() - 4, inner.width(), 4)
        painter.setBrush(QColor(look.line))
        painter.drawRoundedRect(track, 2, 2)
        if self._label:
            track.setWidth(max(2.0, track.width() * self._probability))
            painter.setBrush(QColor(look.accent))
            painter.drawRoundedRect(track, 2, 2)
            line = QRectF(inner.left(), inner.top(), inner.width(), inner.height() - 6)
            number = percent(self._probability)
            painter.setFont(theme.token_font(theme.SMALL))
            painter.setPen(QColor(look.muted))
            painter.drawText(line, _MIDDLE | Qt.AlignmentFlag.AlignRight, number)
            line.setRight(line.right() - painter.fontMetrics().horizontalAdvance(number) - 4)
            font = theme.token_font(theme.NORMAL)
            shown = QFontMetrics(font).elidedText(
                self._label, Qt.TextElideMode.ElideRight, int(line.width())
            )
            painter.setFont(font)
            painter.setPen(QColor(look.text if self.isEnabled() else look.muted))
            painter.drawText(line, _MIDDLE | Qt.AlignmentFlag.AlignLeft, shown)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.accent), 1.5))
            painter.drawRoundedRect(area.adjusted(1, 1, -1, -1), 4, 4)

    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.update()


class _Temperature(QDoubleSpinBox):
    """What the scores are divided by before the softmax. A stray wheel does not turn it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setPrefix("T ")
        self.setDecimals(1)
        self.setSingleStep(0.1)
        self.setRange(COLDEST, HOTTEST)
        self.setValue(1.0)
        self.setKeyboardTracking(False)
        self.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Sampling temperature")
        self.setToolTip(
            "The sampling temperature: p = softmax(scores / T). Below 1 the likeliest tokens gain, "
            "above 1 all come nearer to each other. The model is not run again, and surprise is "
            "always that at T = 1."
        )

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class NextBar(QWidget):
    """A row of the likeliest next tokens, all of one width so that nothing moves while typing.

    Where the model predicts none, a sentence says why.
    """

    chosen = Signal(str)
    """The user wants this text written."""

    temperatureChanged = Signal(float)
    """The user wants the probabilities at this temperature."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label = QLabel("next", self)
        self._label.setFont(theme.ui_font(theme.SMALL))
        self._label.setToolTip(
            "The tokens the model expects next, by their probability: the softmax of its scores."
        )
        self._temperature = _Temperature(self)
        self._temperature.valueChanged.connect(self.temperatureChanged)
        self._choices = [_Choice(rank, self) for rank in range(1, COUNT + 1)]
        self._why = QLabel(self)
        self._why.setFont(theme.ui_font(theme.SMALL))
        self._why.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._why.hide()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.STEP)
        layout.addWidget(self._label)
        layout.addWidget(self._temperature)
        for choice in self._choices:
            choice.clear()
            choice.clicked.connect(lambda _=False, choice=choice: self.chosen.emit(choice.token))
            layout.addWidget(choice, 1)
        layout.addWidget(self._why, 1)
        self.setFixedHeight(_HEIGHT)
        self.setAccessibleName("Next tokens")
        for label in (self._label, self._why):
            label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
            label.setContentsMargins(0, 0, 0, 2 * theme.STEP)  # level with the tokens' text

    @property
    def temperature(self) -> float:
        """What the scores are to be divided by."""
        return round(self._temperature.value(), 1)

    def set_result(self, result: NextResult) -> None:
        """Offer what the model expects."""
        self._say("")
        for rank, choice in enumerate(self._choices):
            if rank < len(result.ids):
                choice.show_token(
                    result.texts[rank],
                    result.ids[rank],
                    float(result.probabilities[rank]),
                    result.temperature,
                )
            else:
                choice.clear()

    def clear(self) -> None:
        """Offer nothing, but keep the room."""
        self._say("")
        for choice in self._choices:
            choice.clear()

    def refuse(self, why: str) -> None:
        """Say in one sentence why there is nothing to offer."""
        for choice in self._choices:
            choice.clear()
        self._say(why)

    def write(self, rank: int) -> None:
        """Write the token of this rank, 0 being the likeliest, if it is in sight."""
        if self._choices[rank].isVisible():
            self._choices[rank].click()

    def _say(self, why: str) -> None:
        self._why.setText(why)
        self._why.setToolTip(why)
        self._why.setVisible(bool(why))
        self._temperature.setVisible(not why)
        self._fit()

    def _fit(self) -> None:
        room = max(1, (self.width() - self._before) // (_NARROWEST + theme.STEP))
        for rank, choice in enumerate(self._choices):
            choice.setVisible(not self._why.text() and rank < room)

    @property
    def _before(self) -> int:
        """The room that stands before the tokens."""
        return (
            self._label.sizeHint().width() + self._temperature.sizeHint().width() + 2 * theme.STEP
        )

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show as many tokens as there is room for."""
        super().resizeEvent(event)
        self._fit()

    def minimumSizeHint(self) -> QSize:
        """Room for the word and the likeliest token."""
        return QSize(self._before + _NARROWEST, _HEIGHT)
