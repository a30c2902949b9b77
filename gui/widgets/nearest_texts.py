"""The reference texts that lie nearest to a latent point, with their distances."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from engine.latent.paths import nearest
from engine.types import LatentResult
from gui import theme
from gui.widgets.spans import visible

COUNT = 5
"""Texts that are listed."""

ROW = 18
"""Height of a text in pixels."""

_ABOUT = (
    "<p>Texts of the space's reference states whose μ is nearest to the point z, with the "
    "Euclidean distance ‖μ − z‖₂ in latent units.</p>"
)


def nearest_texts(
    result: LatentResult, point: Sequence[float], count: int = COUNT
) -> tuple[tuple[str, float], ...]:
    """The reference texts nearest to `point` (Z), nearest first, and how far each is.

    Nothing where the space keeps no reference texts. A text is named once, at its nearest state.
    """
    mu, texts = result.reference_mu, result.texts
    if mu is None or len(texts) != len(mu) or mu.ndim != 2 or mu.shape[1] != len(point):
        return ()
    # Several states may be of one text: look at more of them than are listed.
    indices, apart = nearest(mu, point, 8 * count)
    found: dict[str, float] = {}
    for index, distance in zip(indices.tolist(), apart.tolist(), strict=True):
        found.setdefault(texts[index], distance)
    return tuple(found.items())[:count]


class NearestTexts(QWidget):
    """A row for each text, cut where it is too long; the whole of it is said on hover."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: tuple[tuple[str, float], ...] = ()
        self.setAccessibleName(name)
        self.setToolTip(_ABOUT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)

    def set_rows(self, rows: Sequence[tuple[str, float]]) -> None:
        """List texts with their distances."""
        self.rows = tuple(rows)
        self.setAccessibleDescription(
            "; ".join(f"{visible(text)} at {distance:.2f}" for text, distance in self.rows)
        )
        self.update()

    def sizeHint(self) -> QSize:
        """Room for all that are listed, and what they are."""
        return QSize(144, (COUNT + 1) * ROW)

    def minimumSizeHint(self) -> QSize:
        """Room for two."""
        return QSize(104, 2 * ROW)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Write each text with its distance to the right."""
        look = theme.current()
        painter = QPainter(self)
        font = theme.ui_font(theme.SMALL)
        if not self.rows:
            painter.setFont(font)
            painter.setPen(QColor(look.muted))
            flags = Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap
            said = "The reference texts nearest to the point stand here once there is one."
            painter.drawText(self.rect().adjusted(4, 2, -4, -2), flags, said)
        middle = Qt.AlignmentFlag.AlignVCenter
        for index, (text, distance) in enumerate(self.rows):
            line = QRectF(4, index * ROW, self.width() - 10, ROW)
            painter.setFont(theme.tabular(font))
            painter.setPen(QColor(look.muted))
            number = f"{distance:.2f}"
            painter.drawText(line, middle | Qt.AlignmentFlag.AlignRight, number)
            room = line.width() - painter.fontMetrics().horizontalAdvance(number) - 8
            painter.setFont(font)
            painter.setPen(QColor(look.text))
            shown = painter.fontMetrics().elidedText(
                " ".join(text.split()), Qt.TextElideMode.ElideRight, int(room)
            )
            painter.drawText(line, middle | Qt.AlignmentFlag.AlignLeft, shown)
        painter.end()

    def event(self, event: QEvent) -> bool:
        """Say the whole text under the mouse."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            index = int(QPointF(event.pos()).y() // ROW)
            if 0 <= index < len(self.rows):
                text, distance = self.rows[index]
                said = f"<p style='margin:0'>{escape(text)}<br><b>distance {distance:.3f}</b></p>"
                QToolTip.showText(event.globalPos(), said + _ABOUT, self)
                return True
        return super().event(event)
