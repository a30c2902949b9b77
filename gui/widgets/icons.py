"""The program's icons: line drawings of resources/icons, in the colour of the theme."""

from __future__ import annotations

from functools import cache

from PySide6.QtCore import QByteArray, QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QToolButton, QWidget

from engine.paths import RESOURCES
from gui import theme

SIZE = 16
"""The side of an icon in device-independent pixels."""


@cache
def _drawing(name: str) -> str:
    return (RESOURCES / "icons" / f"{name}.svg").read_text(encoding="utf-8")


def pixmap(name: str, colour: str, size: int = SIZE, ratio: float = 1.0) -> QPixmap:
    """Draw the icon `name` in `colour`, `size` pixels wide on a screen of `ratio` dots a pixel."""
    made = QPixmap(round(size * ratio), round(size * ratio))
    made.fill(Qt.GlobalColor.transparent)
    source = _drawing(name).replace("currentColor", colour)
    painter = QPainter(made)
    QSvgRenderer(QByteArray(source.encode())).render(painter, QRectF(made.rect()))
    painter.end()
    made.setDevicePixelRatio(ratio)
    return made


def icon(name: str, size: int = SIZE) -> QIcon:
    """Make the icon `name` in the colours of the current theme, sharp up to three dots a pixel."""
    colours = theme.current()
    made = QIcon()
    for ratio in (1.0, 1.5, 2.0, 3.0):
        made.addPixmap(pixmap(name, colours.text, size, ratio))
        faded = QColor(colours.muted)
        made.addPixmap(pixmap(name, faded.name(), size, ratio), QIcon.Mode.Disabled)
    return made


def application_icon() -> QIcon:
    """The program's own icon."""
    made = QIcon()
    for size in (16, 24, 32, 48, 64, 128, 256):
        made.addPixmap(pixmap("contextscope", "", size))
    return made


class IconButton(QToolButton):
    """A flat square button with an icon that follows the theme.

    Parameters
    ----------
    name : str
        The icon.
    label : str
        What the button is called where it is read aloud.
    tip : str
        One sentence on what it does.
    """

    def __init__(self, name: str, label: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon_name = name
        self.setAutoRaise(True)
        self.setIconSize(QSize(SIZE, SIZE))
        self.setFixedSize(24, 24)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName(label)
        self.setToolTip(tip)
        self.setIcon(icon(name))

    def changeEvent(self, event: QEvent) -> None:
        """Redraw the icon when the theme has changed."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_icon_name"):
            self.setIcon(icon(self._icon_name))
