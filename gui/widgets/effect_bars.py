"""What switching heads off does: a bar for each choice of heads, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from engine.studies.values import Effect, Interval
from gui import theme
from gui.widgets.legend import number

_NAMES = {"none": "all heads on", "top": "highest off", "random": "others off"}
_ROW, _HEAD, _NAME = 20, 22, 84
_MEASURES: tuple[tuple[str, str], ...] = (
    ("loss", "Loss of what repeats, nats"),
    ("accuracy", "Accuracy of what repeats"),
    ("icl_score", "In-context learning score, nats"),
)
_LEVEL = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class EffectBars(QWidget):
    """Bars under a title for each measure; none before heads were switched off."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.effects: tuple[Effect, ...] = ()
        self.message = ""
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.setAccessibleName("Effect of switching heads off")
        self.setToolTip(
            "<p>What becomes of two losses when the heads that score highest are switched off, and "
            "when as many others drawn by chance are. Above: the second half of random tokens "
            "repeated twice. Below: loss at the late position less loss at the early one; the "
            "further below 0, the more the context helps. Lines are 95 % bootstrap intervals.</p>"
        )

    def set_effects(self, effects: Sequence[Effect], message: str = "") -> None:
        """Show these; `message` says why there are none."""
        self.effects, self.message = tuple(effects), message
        said = [
            f"{title}, {_NAMES[one.off]}: {number(found.value)}"
            for name, title in _MEASURES
            for one in self.effects
            if (found := _of(one, name)) is not None
        ]
        self.setAccessibleDescription("; ".join(said) or message)
        self.update()

    def sizeHint(self) -> QSize:
        """As high as all measures take."""
        return QSize(230, len(_MEASURES) * (_HEAD + 3 * _ROW) + 8)

    def minimumSizeHint(self) -> QSize:
        """Names, and some room for the bars."""
        return QSize(190, _HEAD + 3 * _ROW)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw titles, bars, intervals and numbers."""
        colours = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.tabular(theme.ui_font(theme.SMALL)))
        if not self.effects:
            painter.setPen(QColor(colours.muted))
            flags = int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap)
            painter.drawText(QRectF(self.rect()).adjusted(8, 8, -8, -8), flags, self.message)
            painter.end()
            return
        top = 2.0
        for name, title in _MEASURES:
            found = [(one, _of(one, name)) for one in self.effects]
            told = [(one, interval) for one, interval in found if interval is not None]
            if not told:
                continue
            painter.setPen(QColor(colours.text))
            painter.drawText(QRectF(4, top, self.width() - 8, _HEAD), int(_LEVEL), title)
            top += _HEAD
            self._paint_bars(painter, told, top)
            top += _ROW * len(told)
        painter.end()

    def _paint_bars(
        self, painter: QPainter, told: Sequence[tuple[Effect, Interval]], top: float
    ) -> None:
        colours = theme.current()
        low = min(0.0, *(found.low for _, found in told))
        high = max(0.0, *(found.high for _, found in told))
        unit = max(24.0, self.width() - _NAME - 56.0) / max(1e-9, high - low)
        zero = _NAME - low * unit
        for row, (one, found) in enumerate(told):
            y = top + row * _ROW
            painter.setPen(QColor(colours.muted))
            painter.drawText(QRectF(4, y, _NAME, _ROW), int(_LEVEL), _NAMES[one.off])
            hue = QColor(colours.accent if one.off == "top" else colours.muted)
            end = zero + found.value * unit
            painter.fillRect(
                QRectF(QPointF(zero, y + 4), QPointF(end, y + _ROW - 6)).normalized(), hue
            )
            painter.setPen(QPen(QColor(colours.text), 1.2))
            middle = y + _ROW / 2 - 1
            left, right = zero + found.low * unit, zero + found.high * unit
            painter.drawLine(QPointF(left, middle), QPointF(right, middle))
            painter.setPen(QColor(colours.text))
            x = max(zero, end, right) + 6
            painter.drawText(QRectF(x, y, 60, _ROW), int(_LEVEL), number(found.value))
        painter.setPen(QPen(QColor(colours.line), 1))
        painter.drawLine(QPointF(zero, top), QPointF(zero, top + _ROW * len(told) - 2))


def _of(one: Effect, name: str) -> Interval | None:
    found: Interval | None = getattr(one, name)
    return found
