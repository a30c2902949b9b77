"""The one visual language: colours, type and spacing, for dark and for light.

Magnitudes take a perceptually uniform sequential map whose low end lies near the panel's own
background; signed values a diverging map with a neutral middle, safe for red-green blindness (both
from the CET and matplotlib sets); categories the eight hues of Okabe and Ito (2008). Widgets ask
`current()` when they paint and repaint on a palette change, so a change of theme reaches every one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import numpy as np
import pyqtgraph as pg  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication, QToolTip

from engine.paths import RESOURCES

ThemeChoice = Literal["system", "dark", "light"]

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")

SMALL, NORMAL, LARGE, HEADING = 11, 13, 15, 20
"""The four sizes of type, in pixels."""

STEP = 4
"""Spacing comes in multiples of this many pixels."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as ``#rrggbb``.

    `window` lies behind panels, `panel` behind pictures, `line` divides. `text` and `muted` are
    written, `accent` marks the selection (with `on_accent` written on it), `hover` outlines.
    `warn` is for what went wrong. `tokens` are the shades that tell neighbouring tokens apart.
    """

    dark: bool
    window: str
    panel: str
    raised: str
    line: str
    text: str
    muted: str
    accent: str
    on_accent: str
    hover: str
    warn: str
    tokens: tuple[str, ...]


DARK = Theme(
    dark=True,
    window="#14171c",
    panel="#1b1f26",
    raised="#252b34",
    line="#323a46",
    text="#e6e9ee",
    muted="#98a2b0",
    accent="#ffb454",
    on_accent="#1b1f26",
    hover="#c9d4e3",
    warn="#ff8f73",
    tokens=("#24405c", "#3b3a63", "#1f4a4a", "#54364f", "#4a4327", "#2f4a33"),
)

LIGHT = Theme(
    dark=False,
    window="#eef0f3",
    panel="#ffffff",
    raised="#f5f6f8",
    line="#d5dae1",
    text="#1c2128",
    muted="#5c6673",
    accent="#c25e00",
    on_accent="#ffffff",
    hover="#46515f",
    warn="#b3261e",
    tokens=("#d6e6f7", "#e2def6", "#d2eeea", "#f5dced", "#f3ebcc", "#dcefd9"),
)


def system_is_dark() -> bool:
    """Whether the system asks for dark windows."""
    return QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark


def current() -> Theme:
    """The theme the application's palette shows now."""
    return _of_palette(QGuiApplication.palette().cacheKey())


@lru_cache(maxsize=8)
def _of_palette(_key: int) -> Theme:
    """The theme of the application's palette, which has a new key once it is another one."""
    return DARK if QGuiApplication.palette().window().color().lightness() < 128 else LIGHT


def palette(theme: Theme) -> QPalette:
    """Make the Qt palette of a theme."""
    made = QPalette()
    role = QPalette.ColorRole
    for which, colour in (
        (role.Window, theme.window),
        (role.WindowText, theme.text),
        (role.Base, theme.panel),
        (role.AlternateBase, theme.raised),
        (role.Text, theme.text),
        (role.Button, theme.raised),
        (role.ButtonText, theme.text),
        (role.ToolTipBase, theme.raised),
        (role.ToolTipText, theme.text),
        (role.PlaceholderText, theme.muted),
        (role.Highlight, theme.accent),
        (role.HighlightedText, theme.on_accent),
        (role.Link, theme.accent),
        (role.Light, theme.raised),
        (role.Midlight, theme.raised),
        (role.Mid, theme.line),
        (role.Dark, theme.line),
        (role.Shadow, theme.line),
        (role.BrightText, theme.warn),
        (role.Accent, theme.accent),
    ):
        made.setColor(which, QColor(colour))
    disabled = QPalette.ColorGroup.Disabled
    for which in (role.WindowText, role.Text, role.ButtonText):
        made.setColor(disabled, which, QColor(theme.muted))
    return made


def ui_font(size: int = NORMAL, bold: bool = False) -> QFont:
    """The system's interface face at `size` pixels."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
    font.setPixelSize(size)
    font.setBold(bold)
    return font


def token_font(size: int = NORMAL) -> QFont:
    """The monospaced face, for tokens and numbers, at `size` pixels."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    font.setPixelSize(size)
    return font


@cache
def sequential(dark: bool) -> NDArray[np.uint8]:
    """256 colours (256, 4) RGBA from nothing to most, for magnitudes."""
    return _table("cividis" if dark else "CET-L17")


@cache
def diverging(dark: bool) -> NDArray[np.uint8]:
    """256 colours (256, 4) RGBA, neutral in the middle, for signed values."""
    return _table("CET-D6" if dark else "CET-D1")


def _table(name: str) -> NDArray[np.uint8]:
    table = pg.colormap.get(name).getLookupTable(nPts=256, alpha=True)  # (256, 4)
    return np.asarray(table, np.uint8)


def category(index: int) -> str:
    """The colour of the category `index`; beyond the eighth they repeat, so say the name too."""
    return OKABE_ITO[index % len(OKABE_ITO)]


def chosen(choice: ThemeChoice) -> Theme:
    """The theme that `choice` stands for, the system being asked where it is to decide."""
    if choice == "system":
        return DARK if system_is_dark() else LIGHT
    return DARK if choice == "dark" else LIGHT


def apply(app: QApplication, choice: ThemeChoice) -> Theme:
    """Give the whole application the colours of `choice`, native title bars and dialogs too.

    Nothing is touched when the application wears them already, so this may be called whenever the
    system reports a change without repainting for nothing.
    """
    schemes = {"dark": Qt.ColorScheme.Dark, "light": Qt.ColorScheme.Light}
    app.styleHints().setColorScheme(schemes.get(choice, Qt.ColorScheme.Unknown))
    theme = chosen(choice)
    sheet = stylesheet(theme)
    if app.styleSheet() != sheet:
        app.setPalette(palette(theme))
        QToolTip.setPalette(palette(theme))
        QToolTip.setFont(ui_font(NORMAL))
        app.setStyleSheet(sheet)
    return theme


def tabular(font: QFont) -> QFont:
    """Give the digits of `font` one width, so that a changing number does not shift its line."""
    font.setFeature(QFont.Tag("tnum"), 1)
    return font


def stylesheet(theme: Theme) -> str:
    """The few rules that a palette cannot express: lines, spacing and states of the controls."""
    icons = (RESOURCES / "icons").as_posix()
    # A number without a frame stands between arrows of its own and keeps the plain style.
    spin = 'QAbstractSpinBox[frame="true"]'
    return f"""
QMainWindow, QDialog {{ background: {theme.window}; }}
QMainWindow::separator {{ background: {theme.window}; width: 4px; height: 4px; }}
QMainWindow::separator:hover {{ background: {theme.accent}; }}
QToolTip {{ background: {theme.raised}; color: {theme.text}; border: 1px solid {theme.line};
    padding: 4px; }}
QMenuBar {{ background: {theme.window}; padding: 0 4px; }}
QMenuBar::item {{ padding: 4px 8px; background: transparent; border-radius: 4px; }}
QMenuBar::item:selected {{ background: {theme.raised}; }}
QMenu {{ background: {theme.raised}; border: 1px solid {theme.line}; padding: 4px; }}
QMenu::item {{ padding: 4px 24px 4px 24px; border-radius: 4px; }}
QMenu::item:selected {{ background: {theme.accent}; color: {theme.on_accent}; }}
QMenu::item:disabled {{ color: {theme.muted}; background: transparent; }}
QMenu::separator {{ height: 1px; background: {theme.line}; margin: 4px 8px; }}
QToolBar {{ background: {theme.window}; border: none; padding: 0 8px; spacing: 4px; }}
QStatusBar {{ background: {theme.window}; border-top: 1px solid {theme.line}; }}
QStatusBar::item {{ border: none; }}
QToolButton {{ border: 1px solid transparent; border-radius: 4px; padding: 2px; }}
QToolButton:hover, QToolButton:checked {{ background: {theme.raised};
    border-color: {theme.line}; }}
QToolButton:pressed {{ background: {theme.line}; }}
QToolButton:focus {{ border-color: {theme.accent}; }}
QToolButton::menu-indicator {{ image: none; }}
QCheckBox {{ spacing: 6px; }}
QCheckBox::indicator, QTreeView::indicator {{ width: 12px; height: 12px;
    border: 1px solid {theme.muted}; border-radius: 3px; background: {theme.raised}; }}
QCheckBox::indicator:checked, QTreeView::indicator:checked {{ background: {theme.accent};
    border-color: {theme.accent};
    image: url({icons}/{"check-dark" if theme.dark else "check-light"}.svg); }}
QCheckBox:focus {{ color: {theme.accent}; }}
QComboBox, QLineEdit, QPushButton, {spin} {{ background: {theme.raised};
    border: 1px solid {theme.line}; border-radius: 4px; padding: 2px 6px; min-height: 18px;
    selection-background-color: {theme.accent}; selection-color: {theme.on_accent}; }}
{spin} {{ padding: 1px 0 1px 4px; }}
QAbstractSpinBox QLineEdit, QComboBox QLineEdit {{ background: transparent; border: none;
    padding: 0 0 0 3px; min-height: 0; }}
QComboBox:hover, QPushButton:hover {{ border-color: {theme.muted}; }}
QComboBox:focus, QLineEdit:focus, QPushButton:focus, {spin}:focus {{
    border-color: {theme.accent}; }}
QComboBox:disabled, QLineEdit:disabled, QPushButton:disabled, {spin}:disabled {{
    color: {theme.muted}; }}
QComboBox::drop-down {{ border: none; width: 18px; }}
QComboBox::down-arrow, {spin}::down-arrow {{ image: url({icons}/arrow-down.svg);
    width: 12px; height: 12px; }}
{spin}::up-arrow {{ image: url({icons}/arrow-up.svg); width: 12px; height: 12px; }}
{spin}::up-button, {spin}::down-button {{ border: none; width: 16px; height: 10px;
    background: transparent; }}
QComboBox QAbstractItemView {{ background: {theme.raised}; border: 1px solid {theme.line};
    selection-background-color: {theme.accent}; selection-color: {theme.on_accent};
    outline: none; }}
QPlainTextEdit#field {{ background: {theme.raised}; border: 1px solid {theme.line};
    border-radius: 4px; }}
QPlainTextEdit#field:focus {{ border-color: {theme.accent}; }}
QPushButton {{ padding: 4px 12px; min-width: 56px; }}
QPushButton:default {{ border-color: {theme.accent}; }}
QPushButton:pressed {{ background: {theme.line}; }}
QTreeView {{ background: {theme.panel}; border: 1px solid {theme.line}; border-radius: 4px;
    outline: none; }}
QTreeView::item {{ padding: 4px; }}
QTreeView::item:selected {{ background: {theme.accent}; color: {theme.on_accent}; }}
QHeaderView::section {{ background: {theme.raised}; color: {theme.muted}; border: none;
    border-bottom: 1px solid {theme.line}; padding: 4px 8px; }}
QTabBar::tab {{ background: {theme.window}; color: {theme.muted}; padding: 4px 12px;
    border: none; border-top: 2px solid transparent; }}
QTabBar::tab:selected {{ background: {theme.panel}; color: {theme.text};
    border-top-color: {theme.accent}; }}
QTabBar::tab:hover {{ color: {theme.text}; }}
QProgressBar {{ background: {theme.raised}; border: 1px solid {theme.line}; border-radius: 3px;
    max-height: 8px; min-height: 8px; }}
QProgressBar::chunk {{ background: {theme.accent}; border-radius: 2px; }}
#panelHeader {{ background: {theme.window}; }}
#panelBody {{ background: {theme.panel}; }}
#strip {{ background: {theme.raised}; border-left: 3px solid {theme.warn}; }}
#strip[quiet="true"] {{ border-left-color: {theme.muted}; }}
"""
