"""Editors with text in them, for the tests of the editor."""

from __future__ import annotations

import re

from engine.types import Token
from gui import theme
from gui.widgets.editor import ContextEditor
from gui.widgets.spans import carry_shades

DOG = "The dog is running in the park."
COUNT = len(theme.DARK.tokens)


def words(text: str) -> tuple[Token, ...]:
    """A token for each word with the space before it, and for each other character."""
    found = re.finditer(r" ?\w+|[^\w]", text)
    return tuple(
        Token(hash(m.group()) % 997, m.group(), m.group().encode(), m.start(), m.end())
        for m in found
    )


def make_editor(qtbot) -> ContextEditor:
    made = ContextEditor()
    qtbot.addWidget(made)
    made.resize(760, 260)
    with qtbot.waitExposed(made):
        made.show()
    return made


def show(editor: ContextEditor, text: str, tokens: tuple[Token, ...] | None = None) -> None:
    tokens = words(text) if tokens is None else tokens
    editor.set_text(text)
    editor.set_tokens(tokens, carry_shades((), (), tokens, COUNT), text)
