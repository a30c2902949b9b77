"""Random edits in the window, as hands would make them; the same seed makes the same ones."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import get_args

from PySide6.QtCore import QMimeData, Qt
from PySide6.QtGui import QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDoubleSpinBox

from gui.bench.stage import Stage, put_caret
from gui.bench.texts import keys, long_text
from gui.session import Scaling

LONG = 800
"""Characters above which a text is cut back: about 200 tokens."""

BURST = 3200
"""Characters of the long text that comes once in a while: about 800 tokens."""

_STAYS = 6  # edits for which a long text stays
_UNUSUAL = "é ß 字 🙂 e\u0301 \t\n“”—0123456789<>&"
_ALWAYS_SHOWN = "tokens"  # the panel that is typed into


class RandomEdits:
    """Does one edit after another in a stage's window.

    Parameters
    ----------
    stage : Stage
        The window, with a model.
    seed : int
        Another seed makes other edits.
    """

    def __init__(self, stage: Stage, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._stage = stage
        self._session = stage.window.session
        self._pick = random.Random(seed)
        self._typed = iter(keys(4000, seed))
        self._seeds = count(seed * 1000)
        self._stays = 0
        # What is done how often.
        self._kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "key": (40, self.write),
            "unusual": (3, self._type_unusual),
            "backspace": (9, self._backspace),
            "delete": (4, self._delete),
            "backspaces": (5, self._backspaces),
            "paste": (5, self._paste),
            "replace": (6, self._replace),
            "cut": (2, self._cut),
            "undo": (6, self._undo),
            "redo": (3, self._redo),
            "layer": (5, self._layer),
            "head": (4, self._head),
            "select": (4, self._select),
            "pin": (1, self._pin),
            "view": (3, self._view),
            "colours": (1, self._colours),
            "temperature": (1, self._temperature),
            "theme": (1, self._theme),
        }

    def one(self, burst: bool = False) -> None:
        """Do an edit; with `burst` paste a long text, which is cut back a few edits later."""
        text = self._session.text
        if burst:
            kind, work = "burst", self._burst
            self._stays = _STAYS
        elif len(text) > LONG and not self._stays:
            kind, work = "shorten", self._shorten
        else:
            self._stays = max(0, self._stays - 1)
            names = list(self._kinds)
            weights = [self._kinds[name][0] for name in names]
            (kind,) = self._pick.choices(names, weights)
            work = self._kinds[kind][1]
        work()
        self.done[kind] += 1

    @property
    def hurries(self) -> bool:
        """Whether the next edit comes before this one's answer."""
        return self._pick.random() < 0.4

    # --- the text --------------------------------------------------------------------------------

    def write(self) -> None:
        """Type a key or a few."""
        # At the end for the most part, as one writes.
        self._put_caret(None if self._pick.random() < 0.7 else self._place())
        for _ in range(self._pick.choice((1, 1, 1, 5))):
            QTest.keyClicks(self._stage.editor, self._next_key())

    def _next_key(self) -> str:
        typed = next(self._typed, None)
        if typed is None:
            self._typed = iter(keys(4000, next(self._seeds)))
            typed = next(self._typed)
        return typed

    def _type_unusual(self) -> None:
        self._put_caret(self._place())
        self._stage.editor.textCursor().insertText(self._pick.choice(_UNUSUAL))

    def _backspace(self) -> None:
        self._put_caret(None if self._pick.random() < 0.5 else self._place())
        QTest.keyClick(self._stage.editor, Qt.Key.Key_Backspace)

    def _delete(self) -> None:
        self._put_caret(self._place())
        QTest.keyClick(self._stage.editor, Qt.Key.Key_Delete)

    def _backspaces(self) -> None:
        self._put_caret(None if self._pick.random() < 0.5 else self._place())
        for _ in range(self._pick.randint(5, 40)):
            QTest.keyClick(self._stage.editor, Qt.Key.Key_Backspace)

    def _paste(self) -> None:
        self._put_caret(self._place())
        self._insert(self._pick.choice((20, 80, 200, 600)))

    def _burst(self) -> None:
        self._put_caret(None)
        self._insert(BURST)

    def _insert(self, characters: int) -> None:
        carried = QMimeData()
        carried.setText(long_text(characters, next(self._seeds))[:characters])
        # Not by way of the clipboard, which belongs to the user where there is one.
        self._stage.editor.insertFromMimeData(carried)

    def _replace(self) -> None:
        self._mark(self._pick.choice((3, 20, 200)))
        QTest.keyClicks(self._stage.editor, "".join(self._next_key() for _ in range(4)))

    def _cut(self) -> None:
        self._mark(self._pick.choice((10, 100)))
        self._stage.editor.textCursor().removeSelectedText()

    def _shorten(self) -> None:
        """Leave a piece of the text, or once in a while nothing."""
        keep = self._pick.choice((0, 40, 200, 400))
        put_caret(self._stage.editor, min(keep, self._end))
        cursor = self._stage.editor.textCursor()
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()

    def _undo(self) -> None:
        for _ in range(self._pick.choice((1, 1, 4))):
            self._stage.editor.undo()

    def _redo(self) -> None:
        self._stage.editor.redo()

    @property
    def _end(self) -> int:
        return self._stage.editor.document().characterCount() - 1

    def _place(self) -> int:
        return self._pick.randint(0, self._end)

    def _put_caret(self, place: int | None) -> None:
        put_caret(self._stage.editor, place)

    def _mark(self, most: int) -> None:
        start = self._place()
        put_caret(self._stage.editor, start)
        cursor = self._stage.editor.textCursor()
        cursor.setPosition(min(self._end, start + self._pick.randint(1, most)), _KEEP)
        self._stage.editor.setTextCursor(cursor)

    # --- what is looked at -----------------------------------------------------------------------

    def _layer(self) -> None:
        self._session.set_layer(self._pick.randint(0, self._session.depth))

    def _head(self) -> None:
        head = self._pick.randint(-1, max(-1, self._session.heads - 1))
        self._session.set_head(None if head < 0 else head)

    def _select(self) -> None:
        self._session.select(self._token())

    def _pin(self) -> None:
        token = self._token()
        if token is not None:
            self._session.toggle_pin(token)

    def _token(self) -> int | None:
        # How many there are depends on which answer has come; how much chance is used must not.
        share = self._pick.random()
        tokens = self._stage.window.token_count
        return int(share * tokens) if tokens else None

    def _view(self) -> None:
        panels = self._stage.window.panels
        key = self._pick.choice([key for key in panels if key != _ALWAYS_SHOWN])
        panels[key].setVisible(panels[key].isHidden())

    def _colours(self) -> None:
        self._session.set_scaling(self._pick.choice(get_args(Scaling)))

    def _temperature(self) -> None:
        turned = self._stage.window.panels[_ALWAYS_SHOWN].view.findChild(QDoubleSpinBox)
        if isinstance(turned, QDoubleSpinBox):
            turned.setValue(self._pick.choice((0.5, 1.0, 1.5)))

    def _theme(self) -> None:
        if self._pick.random() < 0.2:  # every widget is polished anew
            self._stage.window.commands.actions["view.theme.toggle"].trigger()


_KEEP = QTextCursor.MoveMode.KeepAnchor
