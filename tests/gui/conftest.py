"""What holds for every test with widgets: none stays, and no timer runs on."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, QPoint, Qt, QTimer
from PySide6.QtGui import QCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QToolTip, QWidget
from pytestqt.qtbot import QtBot

PATIENCE = 120_000
"""Milliseconds that a test waits for what must come. It costs nothing where it comes soon."""


class PatientBot(QtBot):
    """Waits long enough for a machine that has other things to do."""

    def waitUntil(self, callback: Callable[[], bool | None], *, timeout: int = PATIENCE) -> None:
        super().waitUntil(callback, timeout=timeout)

    def waitSignal(self, signal: Any, *, timeout: int = PATIENCE, **more: Any) -> Any:
        return super().waitSignal(signal, timeout=timeout, **more)

    def mouseMove(self, widget: QWidget, pos: QPoint | None = None, delay: int = -1) -> None:
        there = widget.rect().center() if pos is None else pos
        if QCursor.pos() == widget.mapToGlobal(there):
            # A test before this one left it there, and what does not move tells nobody.
            QTest.mouseMove(widget, there + QPoint(3, 3))
        QTest.mouseMove(widget, there, delay)

    def waitExposed(self, widget: QWidget, *, timeout: int = PATIENCE) -> Any:
        return super().waitExposed(widget, timeout=timeout)


@pytest.fixture
def qtbot(qapp: QApplication, request: pytest.FixtureRequest) -> PatientBot:
    """pytest-qt's, with more patience."""
    return PatientBot(request)


@pytest.fixture(autouse=True)
def no_timer_stays(monkeypatch: pytest.MonkeyPatch, qapp: QApplication) -> Iterator[None]:
    """Fail a test after which a timer it started still runs."""
    started: weakref.WeakSet[QTimer] = weakref.WeakSet()
    start = QTimer.start

    def noting(timer: QTimer, *args: Any) -> None:
        started.add(timer)
        start(timer, *args)

    monkeypatch.setattr(QTimer, "start", noting)
    yield
    _settle()
    deadline = time.monotonic() + PATIENCE / 1e3
    # What is due at once is work that waits for its turn: views draw one after the other.
    while any(timer.interval() == 0 for timer in _active(started)):
        if time.monotonic() > deadline:
            break
        _settle()
    active = _active(started)
    for timer in active:
        timer.stop()
    if active:
        owners = [type(timer.parent()).__name__ for timer in active]
        pytest.fail(f"timers still running, of: {owners}")


def _active(timers: Iterable[QTimer]) -> list[QTimer]:
    return [timer for timer in list(timers) if shiboken6.isValid(timer) and timer.isActive()]


@pytest.fixture(autouse=True)
def no_widget_stays(no_timer_stays: None, qapp: QApplication) -> Iterator[None]:
    """Fail a test after which a top-level widget it made still lives."""
    before = {_address(widget) for widget in QApplication.topLevelWidgets()}
    yield
    _settle()
    left = _new_widgets(before)
    if left:
        gc.collect()  # a window may hang in a cycle with a signal's slot
        _settle()
        left = _new_widgets(before)
    if left:
        names = sorted(f"{type(widget).__name__} {widget.objectName()}" for widget in left)
        for widget in left:
            widget.close()
            widget.deleteLater()
        _settle()
        pytest.fail(f"widgets left behind: {names}")


def _new_widgets(before: set[int]) -> list[QWidget]:
    return [
        widget
        for widget in QApplication.topLevelWidgets()
        if _address(widget) not in before and shiboken6.isValid(widget) and not _qts_own(widget)
    ]


def _address(widget: QWidget) -> int:
    """Where Qt keeps the widget: Python's own wrapper of it may be made anew at any time."""
    return int(shiboken6.getCppPointer(widget)[0])


def _qts_own(widget: QWidget) -> bool:
    """Tooltips and menus' shadows that Qt keeps for the next time."""
    return widget.metaObject().className() in ("QTipLabel", "QComboBoxPrivateContainer")


def _settle() -> None:
    for _ in range(3):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QCoreApplication.processEvents()


@pytest.fixture(autouse=True)
def own_theme(no_widget_stays: None, qapp: QApplication) -> Iterator[None]:
    """Leave the application in the colours it was found in."""
    sheet, palette, style = qapp.styleSheet(), qapp.palette(), qapp.style().objectName()
    tips = QToolTip.palette()
    yield
    qapp.styleHints().setColorScheme(Qt.ColorScheme.Unknown)
    if qapp.styleSheet() != sheet:
        qapp.setStyleSheet(sheet)
    if qapp.palette() != palette:
        qapp.setPalette(palette)
    if qapp.style().objectName() != style:
        qapp.setStyle(style)
    QToolTip.setPalette(tips)
