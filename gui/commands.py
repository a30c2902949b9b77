"""What the commands of gui/actions.py do to a window.

Nothing here blocks: dialogs stay open beside the work, and what fails is a sentence in the window.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import PySide6
from PySide6.QtCore import Qt, QUrl, qVersion
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QFileDialog,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from engine.errors import UserError
from engine.files import replacing
from engine.models.catalogue import catalogue
from engine.paths import ROOT, cache_dir, config_dir
from engine.types import Dtype
from gui import theme
from gui.ranges import tokens_in
from gui.session import Scaling
from gui.theme import ThemeChoice
from gui.widgets.goto import Target
from gui.widgets.open_model import NAME, ModelOffer, OpenModel
from gui.widgets.shortcut_sheet import ShortcutSheet
from gui.widgets.spans import Units

if TYPE_CHECKING:
    from gui.window import MainWindow

LIMITS = (None, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Token limits to choose from; None leaves it to the engine."""

LARGEST_FILE = 4_000_000
"""A text file of more bytes than this is no context; reading it would only freeze the window."""


# --- text -----------------------------------------------------------------------------------------


def open_text(window: MainWindow) -> None:
    """Ask for a text file and make it the context."""
    _ask_path(window, "Open text", False, "Text (*.txt *.md);;All files (*)", read_text)


def read_text(window: MainWindow, name: str) -> None:
    """Make the file `name` the context."""
    path = Path(name)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        window.say(f"Cannot open {path}: {reason}. Choose another file.")
        return
    if len(content) > LARGEST_FILE:
        window.say(f"Cannot open {path}: it is larger than 4 MB. Choose a shorter text.")
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        window.say(f"Cannot open {path}: it is not text in UTF-8. Convert it, or choose another.")
        return
    window.session.set_text(text.replace("\r\n", "\n"))


def save_text(window: MainWindow) -> None:
    """Ask where to, and write the context there."""
    _ask_path(window, "Save text", True, "Text (*.txt);;All files (*)", write_text, "context.txt")


def write_text(window: MainWindow, name: str) -> None:
    """Write the context to the file `name`."""
    try:
        with replacing(Path(name)) as beside:
            beside.write_text(window.session.text, encoding="utf-8", errors="replace")
    except UserError as error:
        window.say(error.sentence)


def set_text(window: MainWindow, text: str) -> None:
    """Make a sample text the context."""
    window.session.set_text(text)


def edit(window: MainWindow, name: str) -> None:
    """Undo, redo, cut, copy, paste or selectAll in the text that has the focus.

    Where none has it, the context is meant.
    """
    focus = QApplication.focusWidget()
    if not isinstance(focus, (QLineEdit, QPlainTextEdit, QTextEdit)):
        focus = window.editor
    if focus is not None:
        getattr(focus, name)()


# --- tokens, layers, heads ------------------------------------------------------------------------


def step_token(window: MainWindow, step: int) -> None:
    """Select the next token or the one before; with none selected, the first or the last."""
    session, count = window.session, window.token_count
    if session.selected is None:
        session.select(0 if step > 0 else count - 1)
    else:
        session.select(max(0, min(count - 1, session.selected + step)))


def select_none(window: MainWindow) -> None:
    """Take the selection away."""
    window.session.select(None)


def toggle_pin(window: MainWindow) -> None:
    """Pin the selected token, or unpin it."""
    if window.session.selected is not None:
        window.session.toggle_pin(window.session.selected)


def pin_range(window: MainWindow) -> None:
    """Pin the tokens of the text marked in the editor, else those from first to last pin."""
    session, latest = window.session, window.controller.latest
    editor = window.editor
    marked = None
    if latest is not None and editor is not None and editor.textCursor().hasSelection():
        cursor = editor.textCursor()
        units = Units(session.text)
        places = units.to_characters(np.array([cursor.selectionStart(), cursor.selectionEnd()]))
        marked = tokens_in(latest.tokens, (int(places[0]), int(places[1])))
    pins = session.pinned | ({session.selected} if session.selected is not None else set())
    if marked is None and pins:
        marked = (min(pins), max(pins) + 1)
    if marked is None:
        window.remark("Mark some text, or select a token, to pin a range.")
    else:
        session.pin_range(marked)


def grow_range(window: MainWindow, step: int) -> None:
    """Move the end of the pinned range by a token; with none pinned, begin at the selection."""
    session = window.session
    at = session.selected if session.selected is not None else 0
    first, after = session.range or (at, at + (step < 0))
    session.pin_range((first, max(first + 1, min(window.token_count, after + step))))


def unpin_range(window: MainWindow) -> None:
    """Lift the pinned range."""
    window.session.pin_range(None)


def step_layer(window: MainWindow, step: int) -> None:
    """Go up or down the layers."""
    window.session.set_layer(window.session.layer + step)


def mean_over_heads(window: MainWindow) -> None:
    """Show the mean over heads."""
    window.session.set_head(None)


def step_head(window: MainWindow, step: int) -> None:
    """Go through the mean over heads, head 0, head 1 and so on."""
    session = window.session
    place = (-1 if session.head is None else session.head) + step
    session.set_head(None if place < 0 else place)


def has_scaling(window: MainWindow, name: Scaling) -> bool:
    """Whether weights become colours that way."""
    return window.session.scaling == name


def set_scaling(window: MainWindow, name: Scaling) -> None:
    """Turn weights into colours that way."""
    window.session.set_scaling(name)


def has_limit(window: MainWindow, limit: int | None) -> bool:
    """Whether that is the most tokens that are run."""
    return window.settings.token_limit == limit


def set_limit(window: MainWindow, limit: int | None) -> None:
    """Run at most so many tokens, at once and after the next start."""
    window.settings.token_limit = limit
    window.controller.set_limit(limit)
    window.commands.refresh()
    window.save_settings()


CHAT_TIP = (
    "Wrap the context as one turn of a user in the model's template for conversations; the "
    "template's tokens are shown dimmed."
)


def chat_tip(window: MainWindow) -> str:
    """What the chat template does, or why there is none."""
    model = window.session.model
    if model is None or window.session.can_chat:
        return CHAT_TIP
    return f"{model.title} came without a template for conversations."


def is_chat(window: MainWindow) -> bool:
    """Whether the context is wrapped in the model's template for conversations."""
    return window.session.chats


def toggle_chat(window: MainWindow) -> None:
    """Wrap the context, or leave it as it is, at once and after the next start."""
    window.session.set_chat(not window.session.chats)
    window.save_settings()


def next_scaling(window: MainWindow) -> None:
    """Take the next way from weights to colours."""
    names: tuple[Scaling, ...] = get_args(Scaling)
    here = names.index(window.session.scaling)
    window.session.set_scaling(names[(here + 1) % len(names)])


# --- the window -----------------------------------------------------------------------------------


def toggle_view(window: MainWindow, key: str) -> None:
    """Show a view and give it the focus; hide it if it has the focus already."""
    panel = window.panels[key]
    focus = QApplication.focusWidget()
    if panel.isVisible() and focus is not None and panel.isAncestorOf(focus):
        panel.hide()
        return
    panel.show()
    panel.raise_()
    panel.focus_view()


def is_shown(window: MainWindow, key: str) -> bool:
    """Whether the view `key` is open, be it behind another one."""
    return not window.panels[key].isHidden()


def reset_layout(window: MainWindow) -> None:
    """Put every panel back."""
    window.reset_layout()


def has_theme(window: MainWindow, name: ThemeChoice) -> bool:
    """Whether that is the choice of colours."""
    return window.settings.theme == name


def set_theme(window: MainWindow, name: ThemeChoice) -> None:
    """Take those colours."""
    window.set_theme(name)


def toggle_theme(window: MainWindow) -> None:
    """Go from dark to light or back, away from the system's choice."""
    window.set_theme("light" if theme.current().dark else "dark")


def is_full_screen(window: MainWindow) -> bool:
    """Whether the window has the whole screen."""
    return window.isFullScreen()


def toggle_full_screen(window: MainWindow) -> None:
    """Give the window the whole screen, or take it back."""
    window.setWindowState(window.windowState() ^ Qt.WindowState.WindowFullScreen)


def quit_program(window: MainWindow) -> None:
    """Close the window, and with it the program."""
    window.close()


def targets(window: MainWindow) -> list[Target]:
    """What the go-to field knows: tokens, then commands that can be done now, then heads."""
    session, latest = window.session, window.controller.latest
    found = []
    for index, token in enumerate(latest.tokens if latest is not None else ()):
        go = partial(session.select, index)
        found.append(Target(f"{token.text.strip() or token.text!r}  · token {index}", "", go))
    actions = window.commands
    for id, spec in actions.specs.items():
        action = actions.actions[id]
        if action.isEnabled() and action.isVisible():
            found.append(Target(action.text().replace("&", ""), spec.tip, action.trigger))
    model = session.model
    for layer in range(session.depth + 1 if model is not None else 0):
        found.append(Target(f"L{layer}", f"Layer {layer}.", partial(session.set_layer, layer)))
        for head in range(session.heads if layer < session.depth else 0):
            go = partial(_go_to_head, window, layer, head)
            found.append(Target(f"L{layer}H{head}", f"Head {head} of layer {layer}.", go))
    return found


def _go_to_head(window: MainWindow, layer: int, head: int) -> None:
    window.session.set_layer(layer)
    window.session.set_head(head)


def go_to(window: MainWindow) -> None:
    """Give the focus to the go-to field."""
    window.top.goto.setFocus(Qt.FocusReason.ShortcutFocusReason)
    window.top.goto.selectAll()


# --- models ---------------------------------------------------------------------------------------


def offers() -> list[ModelOffer]:
    """The models of the catalogue, as the open-model window lists them."""
    return [
        ModelOffer(
            spec=entry.name,
            title=entry.title,
            about=entry.about,
            family=entry.family,
            licence=entry.licence,
            size=entry.size,
            at_hand=entry.in_cache(),
        )
        for entry in catalogue()
    ]


def open_model(window: MainWindow) -> None:
    """Show the window that asks for a model, or bring it forward."""
    shown = window.findChild(OpenModel, NAME)
    if shown is None:
        shown = OpenModel(offers(), window.settings.model, window)
        shown.chosen.connect(window.open_model)
    _present(shown)


def recent_name(window: MainWindow, index: int) -> str:
    """What the recent model at `index` is called in the menu; empty where there is none."""
    recent = window.settings.recent
    return recent[index].replace("&", "&&") if index < len(recent) else ""


def has_recent(window: MainWindow, index: int) -> bool:
    """Whether so many models were open before."""
    return index < len(window.settings.recent)


def open_recent(window: MainWindow, index: int) -> None:
    """Open the model that is at `index` of the recent ones."""
    if index < len(window.settings.recent):
        window.open_model(window.settings.recent[index])


def has_precision(window: MainWindow, name: Dtype) -> bool:
    """Whether that is what models are to compute in."""
    return window.dtype == name


def set_precision(window: MainWindow, name: Dtype) -> None:
    """Load the model again to compute in that, now and after the next start."""
    window.set_dtype(name)


def measure_precision(window: MainWindow) -> None:
    """Compare the model with itself in float32."""
    window.measure_precision()


def cancel_job(window: MainWindow) -> None:
    """Stop the job whose progress is shown."""
    if window.status.job:
        window.bridge.cancel_job(window.status.job)


def open_cache(window: MainWindow) -> None:
    """Show the folder of downloaded models in the system's file manager."""
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        window.say(f"Cannot open {folder}: {(error.strerror or str(error)).lower()}.")
        return
    if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
        window.say(f"The system has no file manager to show {folder} with. Open it by hand.")


# --- help -----------------------------------------------------------------------------------------


def show_shortcuts(window: MainWindow) -> None:
    """Show the sheet of shortcuts, or bring it forward."""
    shown = window.findChild(ShortcutSheet)
    _present(shown or ShortcutSheet(window.commands.shortcut_groups(), window))


def about_text() -> str:
    """Versions, licences and folders, as rich text."""
    parts = []
    for name in ("torch", "transformers", "PySide6-Essentials", "pyqtgraph", "numpy", "matplotlib"):
        try:
            parts.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            parts.append(f"{name} missing")
    lines = [
        "<p><b>Contextscope</b>: type a context and see, while you type, the inside of a real "
        "language model.</p>",
        f"<p>Python {platform.python_version()}, Qt {qVersion()}, "
        f"PySide {PySide6.__version__}<br>{', '.join(parts)}</p>",
        "<p>Contextscope is under the Apache licence 2.0. Qt and PySide are under the LGPL 3, "
        "torch and numpy under BSD licences, transformers under Apache 2.0. Each model has its "
        "own licence, shown where it is opened.</p>",
        f"<p>Program: {ROOT}<br>Models: {cache_dir()}<br>Settings: {config_dir()}</p>",
    ]
    return "".join(lines)


def show_about(window: MainWindow) -> None:
    """Show versions, licences and folders."""
    dialog = QDialog(window)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle("About Contextscope")
    label = QLabel(about_text())
    label.setWordWrap(True)
    label.setMinimumWidth(460)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
    layout = QVBoxLayout(dialog)
    layout.setContentsMargins(24, 16, 24, 16)
    layout.addWidget(label)
    _present(dialog)


# --- pictures and numbers -------------------------------------------------------------------------


def export_current(window: MainWindow) -> None:
    """Ask where to save the view that has the focus."""
    if window.current_panel is not None:
        window.saving.ask(window.current_panel.spec.key)


def copy_picture(window: MainWindow) -> None:
    """Copy the view that has the focus as a picture."""
    if window.current_panel is not None:
        window.saving.copy(window.current_panel.spec.key)


def _present(dialog: QWidget) -> None:
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()


def _ask_path(
    window: MainWindow,
    title: str,
    saving: bool,
    kinds: str,
    then: Callable[[MainWindow, str], None],
    name: str = "",
) -> None:
    dialog = QFileDialog(window, title)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setNameFilter(kinds)
    if saving:
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("txt")
        dialog.selectFile(name)
    else:
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.fileSelected.connect(lambda path: then(window, path))
    dialog.open()
