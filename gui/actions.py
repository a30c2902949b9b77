"""Every command of the program, in one table: menus, shortcuts and the shortcut sheet come from it.

A new command is one record here and one function in gui/commands.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, get_args

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu

from engine.types import Dtype
from gui import commands
from gui.precision import EXACT
from gui.samples import samples
from gui.session import Scaling
from gui.settings import RECENT_MODELS
from gui.theme import ThemeChoice
from gui.view import view_specs

if TYPE_CHECKING:
    from gui.window import MainWindow

Test = Callable[["MainWindow"], bool]

MENUS = ("&File", "&Edit", "&View", "&Model", "&Help")


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One command.

    Parameters
    ----------
    id : str
        Stable, unique name, ``"view.reset"``.
    menu : str
        Where it stands: a menu of `MENUS` without the ampersand, and submenus after slashes.
    text : str
        What it is called there.
    shortcut : str
        Key sequences, the first being the one that is shown, with ``" | "`` between them.
    tip : str
        One sentence on what it does.
    enabled_when, run : callable
        Whether it can be done now, and doing it.
    checked_when : callable, optional
        For a command that is a state: whether it is on.
    tip_when : callable, optional
        For a command that cannot always be done: its sentence now, which says why not.
    text_when : callable, optional
        For a command whose name changes: what it is called now; nothing hides it.
    group : str
        One of `GROUPS`.
    """

    id: str
    menu: str
    text: str
    shortcut: str
    tip: str
    enabled_when: Test
    run: Callable[[MainWindow], None]
    checked_when: Test | None = None
    text_when: Callable[[MainWindow], str] | None = None
    group: str = "help"
    tip_when: Callable[[MainWindow], str] | None = None

    @property
    def shortcuts(self) -> tuple[str, ...]:
        """The key sequences, as this system writes them."""
        return tuple(_native(keys) for keys in self.shortcut.split(" | ") if keys)


def _native(keys: str) -> str:
    # On macOS the option key types characters and moves by words; with ⌘ it is free.
    return keys.replace("Alt+", "Ctrl+Alt+") if sys.platform == "darwin" else keys


def always(_window: MainWindow) -> bool:
    """For what can always be done."""
    return True


def _has_model(window: MainWindow) -> bool:
    return window.session.model is not None


def _has_tokens(window: MainWindow) -> bool:
    return window.token_count > 0


def _has_selection(window: MainWindow) -> bool:
    return window.session.selected is not None


def _has_range(window: MainWindow) -> bool:
    return window.session.range is not None


def _is_inexact(window: MainWindow) -> bool:
    return window.session.model is not None and window.session.model.dtype != EXACT


def _can_chat(window: MainWindow) -> bool:
    return window.session.can_chat


def _has_picture(window: MainWindow) -> bool:
    return window.current_panel is not None and window.controller.latest is not None


def _has_job(window: MainWindow) -> bool:
    return bool(window.status.job)


def _on_text(name: str) -> Callable[[MainWindow], None]:
    return partial(commands.edit, name=name)


def _static() -> tuple[ActionSpec, ...]:
    spec = ActionSpec
    return (
        spec("file.open", "File", "&Open text …", "Ctrl+O",
             "Read a text file as the context.", always, commands.open_text, group="text"),
        spec("file.save", "File", "&Save text …", "Ctrl+S",
             "Write the context to a text file.", always, commands.save_text, group="text"),
        spec("file.export", "File", "Save current vie&w as …", "Ctrl+E",
             "Save the view that has the focus; the file's suffix picks the format.",
             _has_picture, commands.export_current, group="export"),
        spec("file.copy", "File", "&Copy picture", "Ctrl+Shift+C",
             "Copy the view that has the focus as a picture.",
             _has_picture, commands.copy_picture, group="export"),
        spec("file.quit", "File", "&Quit", "Ctrl+Q",
             "Close the program; text, model and layout are remembered.",
             always, commands.quit_program, group="quit"),
        spec("edit.undo", "Edit", "&Undo", "Ctrl+Z",
             "Take back the last change of the text.", always, _on_text("undo"), group="undo"),
        spec("edit.redo", "Edit", "&Redo", "Ctrl+Shift+Z | Ctrl+Y",
             "Do again what was taken back.", always, _on_text("redo"), group="undo"),
        spec("edit.cut", "Edit", "Cu&t", "Ctrl+X",
             "Move the marked text to the clipboard.", always, _on_text("cut"), group="clip"),
        spec("edit.copy", "Edit", "&Copy", "Ctrl+C",
             "Copy the marked text to the clipboard.", always, _on_text("copy"), group="clip"),
        spec("edit.paste", "Edit", "&Paste", "Ctrl+V",
             "Insert the clipboard's text.", always, _on_text("paste"), group="clip"),
        spec("edit.all", "Edit", "Select &all", "Ctrl+A",
             "Mark the whole text.", always, _on_text("selectAll"), group="clip"),
        spec("edit.chat", "Edit", "Chat te&mplate", "Alt+T", commands.CHAT_TIP, _can_chat,
             commands.toggle_chat, commands.is_chat, group="limit",
             tip_when=commands.chat_tip),
        spec("model.precision.measure", "Model/&Precision", "&Measure the error", "",
             "Run a short text in float32 too, and tell the largest difference.", _is_inexact,
             commands.measure_precision, group="precision.measure"),
        spec("token.next", "Edit", "&Next token", "Alt+.",
             "Select the next token in every view.", _has_tokens,
             partial(commands.step_token, step=1), group="token"),
        spec("token.previous", "Edit", "Pre&vious token", "Alt+,",
             "Select the token before in every view.", _has_tokens,
             partial(commands.step_token, step=-1), group="token"),
        spec("token.pin", "Edit", "P&in token", "Alt+P",
             "Keep a mark on the selected token in every view, or take it away.",
             _has_selection, commands.toggle_pin, group="token"),
        spec("token.none", "Edit", "Select no to&ken", "Alt+N",
             "Take the selection away in every view.", _has_selection,
             commands.select_none, group="token"),
        spec("range.pin", "Edit", "Pin ran&ge", "Alt+R",
             "Pin the tokens of the marked text, or from the first pinned token to the last.",
             _has_tokens, commands.pin_range, group="range"),
        spec("range.longer", "Edit", "Range l&onger", "Alt+Shift+Right",
             "Pin one token more at the range's end.", _has_tokens,
             partial(commands.grow_range, step=1), group="range"),
        spec("range.shorter", "Edit", "Range s&horter", "Alt+Shift+Left",
             "Pin one token less at the range's end.", _has_tokens,
             partial(commands.grow_range, step=-1), group="range"),
        spec("range.none", "Edit", "Unpin rang&e", "Alt+Shift+R",
             "Lift the pinned range in every view.", _has_range, commands.unpin_range,
             group="range"),
        spec("view.layer.up", "View", "Layer &up", "Alt+Up",
             "Show the next deeper layer.", _has_model,
             partial(commands.step_layer, step=1), group="place"),
        spec("view.layer.down", "View", "Layer &down", "Alt+Down",
             "Show the layer before.", _has_model,
             partial(commands.step_layer, step=-1), group="place"),
        spec("view.head.next", "View", "&Next head", "Alt+Right",
             "Show the next head; after the mean over heads comes head 0.", _has_model,
             partial(commands.step_head, step=1), group="place"),
        spec("view.head.previous", "View", "Pre&vious head", "Alt+Left",
             "Show the head before; before head 0 comes the mean over heads.", _has_model,
             partial(commands.step_head, step=-1), group="place"),
        spec("view.head.mean", "View", "&Mean over heads", "Alt+0",
             "Show the average of all heads' attention.", _has_model,
             commands.mean_over_heads, group="place"),
        spec("view.scaling", "View/Attention &colours", "&Next colours", "Alt+S",
             "Change how attention weights become colours: linear, log, by row.", always,
             commands.next_scaling, group="colours.next"),
        spec("view.theme.toggle", "View/&Theme", "&Switch dark and light", "Ctrl+T",
             "Switch between dark and light colours.", always, commands.toggle_theme,
             group="theme.next"),
        spec("view.goto", "View", "&Go to …", "Ctrl+K",
             "Go to a token, a head or a command by its name.", always, commands.go_to,
             group="place"),
        spec("view.fullscreen", "View", "&Full screen", "F11",
             "Give the window the whole screen, or take it back.", always,
             commands.toggle_full_screen, commands.is_full_screen, group="window"),
        spec("view.reset", "View", "&Reset layout", "Ctrl+Shift+R",
             "Put every panel back where it was on the first start.", always,
             commands.reset_layout, group="window"),
        spec("model.open", "Model", "&Open model …", "Ctrl+Shift+O",
             "Open a model by name, by hub id, or from a folder or file.", always,
             commands.open_model, group="open"),
        spec("model.cancel", "Model", "&Cancel job", "Ctrl+.",
             "Stop the download or other work under way; nothing half-made is kept.",
             _has_job, commands.cancel_job, group="job"),
        spec("model.cache", "Model", "Open cache &folder", "",
             "Show the folder that downloaded models are kept in.", always,
             commands.open_cache, group="cache"),
        spec("help.shortcuts", "Help", "&Keyboard shortcuts", "F1 | Ctrl+/",
             "Show every shortcut on one sheet.", always, commands.show_shortcuts, group="help"),
        spec("help.about", "Help", "&About Contextscope", "",
             "Show versions, licences and the folders in use.", always, commands.show_about,
             group="help"),
    )  # fmt: skip


def _toggles() -> list[ActionSpec]:
    return [
        ActionSpec(
            f"view.show.{view.key}", "View", view.title, view.shortcut,
            f"Show {view.title} and give it the focus; once more to hide it.", always,
            partial(commands.toggle_view, key=view.key),
            partial(commands.is_shown, key=view.key), group="panels",
        )
        for view in view_specs()
    ]  # fmt: skip


_SCALINGS: Mapping[Scaling, tuple[str, str]] = {
    "linear": ("&Linear", "Colours follow the weights as they are."),
    "log": ("L&og", "Colours follow the logarithm, so that small weights can be told apart."),
    "row": ("By &row", "Each row is coloured by its own largest weight."),
}

_THEMES: Mapping[ThemeChoice, tuple[str, str]] = {
    "system": ("As the s&ystem", "Follow the system from dark to light and back."),
    "dark": ("&Dark", "Dark colours, whatever the system shows."),
    "light": ("&Light", "Light colours, whatever the system shows."),
}


_PRECISIONS: Mapping[Dtype, tuple[str, str]] = {
    "auto": (
        "&As the device suits",
        "Compute in float32 on a processor, in bfloat16 on a graphics processor.",
    ),
    "float32": ("float&32", "As exact as the model gets; the most memory."),
    "bfloat16": (
        "&bfloat16",
        "Half the memory, three digits; on a processor long texts take several times as long.",
    ),
    "float16": (
        "float1&6",
        "Half the memory, four digits; large numbers of some models run over.",
    ),
}


def _choices() -> list[ActionSpec]:
    scalings = [
        ActionSpec(
            f"view.scaling.{name}", "View/Attention &colours", *_named(_SCALINGS[name]), always,
            partial(commands.set_scaling, name=name),
            partial(commands.has_scaling, name=name), group="colours",
        )
        for name in get_args(Scaling)
    ]  # fmt: skip
    themes = [
        ActionSpec(
            f"view.theme.{name}", "View/&Theme", *_named(_THEMES[name]), always,
            partial(commands.set_theme, name=name),
            partial(commands.has_theme, name=name), group="theme",
        )
        for name in get_args(ThemeChoice)
    ]  # fmt: skip
    limits = [
        ActionSpec(
            f"edit.limit.{limit or 'own'}", "Edit/Token &limit",
            f"{limit:,} tokens" if limit else "&As the device allows", "",
            f"Run at most {limit:,} tokens of a context, or as many as the model reads."
            if limit
            else "Run at most 1,024 tokens on a CPU, where more take seconds, and 8,192 on a GPU.",
            always,
            partial(commands.set_limit, limit=limit),
            partial(commands.has_limit, limit=limit), group="limit",
        )
        for limit in commands.LIMITS
    ]  # fmt: skip
    precisions = [
        ActionSpec(
            f"model.precision.{name}", "Model/&Precision", *_named(_PRECISIONS[name]), always,
            partial(commands.set_precision, name=name),
            partial(commands.has_precision, name=name), group="precision",
        )
        for name in get_args(Dtype)
    ]  # fmt: skip
    return scalings + themes + limits + precisions


def _named(words: tuple[str, str]) -> tuple[str, str, str]:
    return words[0], "", words[1]


def _samples() -> list[ActionSpec]:
    return [
        ActionSpec(
            f"file.sample.{number}", f"File/Sa&mple texts/{sample.group}", sample.title, "",
            sample.about, always,
            partial(commands.set_text, text=sample.text), group="samples",
        )
        for number, sample in enumerate(samples())
    ]  # fmt: skip


def _recent() -> list[ActionSpec]:
    return [
        ActionSpec(
            f"model.recent.{index}", "Model/&Recent models", f"Recent model {index + 1}", "",
            "Open a model that was open before.",
            partial(commands.has_recent, index=index),
            partial(commands.open_recent, index=index),
            text_when=partial(commands.recent_name, index=index),
            group="recent",
        )
        for index in range(RECENT_MODELS)
    ]  # fmt: skip


GROUPS = (
    *("text", "samples", "export", "quit"),
    *("undo", "clip", "token", "range", "limit"),
    *("panels", "place", "colours", "colours.next", "theme", "theme.next", "window"),
    *("open", "recent", "precision", "precision.measure", "job", "cache", "help"),
)
"""From the top of a menu to its foot; a line is drawn between neighbours."""


def action_specs() -> tuple[ActionSpec, ...]:
    """The whole table: what is written above, and a line for each view, scaling and sample."""
    made = (*_static(), *_samples(), *_toggles(), *_choices(), *_recent())
    return tuple(sorted(made, key=lambda spec: GROUPS.index(spec.group)))


class Actions:
    """The live actions of a window, with its menus.

    Parameters
    ----------
    window : MainWindow
        Where the menus go and what the commands work on.
    """

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self.specs = {spec.id: spec for spec in action_specs()}
        self.actions: dict[str, QAction] = {}
        self._menus: dict[str, QMenu] = {}
        for name in MENUS:
            menu = window.menuBar().addMenu(name)
            menu.setToolTipsVisible(True)
            menu.aboutToShow.connect(self.refresh)
            self._menus[name.replace("&", "")] = menu
        last: dict[str, str] = {}
        for spec in self.specs.values():
            menu = self._menu(spec.menu)
            if last.setdefault(spec.menu, spec.group) != spec.group:
                menu.addSeparator()
                last[spec.menu] = spec.group
            action = self._make(spec)
            menu.addAction(action)
            self.actions[spec.id] = action
        self.refresh()

    def refresh(self) -> None:
        """Bring what is enabled and checked up to date."""
        window = self._window
        for id, spec in self.specs.items():
            action = self.actions[id]
            action.setEnabled(spec.enabled_when(window))
            if spec.checked_when is not None:
                action.setChecked(spec.checked_when(window))
            if spec.tip_when is not None:
                action.setToolTip(spec.tip_when(window))
            if spec.text_when is not None:
                action.setText(spec.text_when(window) or spec.text)
                action.setVisible(bool(spec.text_when(window)))

    def shortcut_groups(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """By menu: every command that has a shortcut, as (keys, what it does)."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for spec in self.specs.values():
            for keys in spec.shortcuts[:1]:
                name = spec.menu.partition("/")[0]
                groups.setdefault(name, []).append((keys, spec.text.replace("&", "")))
        return groups

    def _make(self, spec: ActionSpec) -> QAction:
        action = QAction(spec.text, self._window)
        action.setObjectName(spec.id)
        action.setToolTip(spec.tip)
        action.setShortcuts([QKeySequence(keys) for keys in spec.shortcuts])
        action.setMenuRole(_ROLES.get(spec.id, QAction.MenuRole.NoRole))
        action.setCheckable(spec.checked_when is not None)
        action.triggered.connect(lambda _checked=False: self._run(spec))
        return action

    def _run(self, spec: ActionSpec) -> None:
        spec.run(self._window)
        self.refresh()

    def _menu(self, path: str) -> QMenu:
        plain = path.replace("&", "")
        if plain not in self._menus:
            above, _, name = path.rpartition("/")
            menu = self._menu(above).addMenu(name)
            menu.setToolTipsVisible(True)
            self._menus[plain] = menu
        return self._menus[plain]


_ROLES = {
    "file.quit": QAction.MenuRole.QuitRole,
    "help.about": QAction.MenuRole.AboutRole,
}
