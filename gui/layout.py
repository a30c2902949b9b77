"""Where the panels stand at first, and how their places are packed into the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from PySide6.QtCore import QByteArray, QSize, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMainWindow

from gui.view import Area
from gui.widgets.panel import Panel

VERSION = 1
"""Of the layout; Qt refuses one of another version."""

SIDES: Mapping[Area, Qt.DockWidgetArea] = {
    "left": Qt.DockWidgetArea.LeftDockWidgetArea,
    "right": Qt.DockWidgetArea.RightDockWidgetArea,
}

SIZE = QSize(1280, 800)
"""The window's size on the first start, where the screen has that much room."""

LEFT_SHARE = 0.52
SHARES = {"tokens": 42, "embedding": 58, "attention": 42, "mosaic": 26, "latent": 32}
"""How the height of a side is shared among its panels at first; 40 where nothing is said."""


def arrange(window: QMainWindow, panels: Mapping[str, Panel]) -> None:
    """Put every panel where its record wants it, and share the room among them."""
    for panel in panels.values():
        window.removeDockWidget(panel)
        panel.setFloating(False)
    sides: dict[Area, list[Panel]] = {}
    for panel in panels.values():
        behind = panels.get(panel.spec.tab)
        if behind is None:
            window.addDockWidget(SIDES[panel.spec.area], panel)
            sides.setdefault(panel.spec.area, []).append(panel)
        else:
            window.tabifyDockWidget(behind, panel)
            behind.raise_()
        panel.setVisible(panel.spec.shown)
    for stacked in sides.values():
        _share(window, stacked)
    if len(sides) == 2:
        first = round(window.width() * LEFT_SHARE)
        window.resizeDocks(
            [sides["left"][0], sides["right"][0]],
            [first, window.width() - first],
            Qt.Orientation.Horizontal,
        )


def _share(window: QMainWindow, stacked: Iterable[Panel]) -> None:
    panels = list(stacked)
    shares = [SHARES.get(panel.spec.key, 40) for panel in panels]
    heights = [round(window.height() * share / sum(shares)) for share in shares]
    window.resizeDocks(panels, heights, Qt.Orientation.Vertical)


def restore(window: QMainWindow, panels: Mapping[str, Panel], geometry: str, state: str) -> None:
    """Put window and panels where they were, as `packed` told; else where they stand at first."""
    room = QGuiApplication.primaryScreen().availableGeometry().size()
    window.resize(SIZE.boundedTo(room))
    arrange(window, panels)
    if geometry:
        window.restoreGeometry(_unpacked(geometry))
    if state:
        window.restoreState(_unpacked(state), VERSION)


def packed(window: QMainWindow) -> tuple[str, str]:
    """Say where window and panels are, as text."""
    return _packed(window.saveGeometry()), _packed(window.saveState(VERSION))


def _packed(data: QByteArray) -> str:
    return bytes(data.toBase64().data()).decode("ascii")


def _unpacked(text: str) -> QByteArray:
    # Damaged text makes bytes that Qt refuses.
    return QByteArray.fromBase64(text.encode("ascii", "ignore"))
