"""What of the editor is painted anew, and what not."""

from __future__ import annotations

import pytest
from editors import COUNT, DOG, make_editor, show, words
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import (
    QFontMetricsF,
    QImage,
)
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from engine.types import Token
from gui.widgets.editor import ContextEditor
from gui.widgets.spans import carry_shades


@pytest.fixture
def editor(qtbot):
    return make_editor(qtbot)


# --- what is painted anew ----------------------------------------------------------------------

LONG = "The dog is running in the park, and 犬は走る. " * 20 + "\n\nNext: אבג דהו.\n" + "end " * 30


class Areas(QObject):
    """Notes how much of a widget is painted each time."""

    def __init__(self, widget):
        super().__init__(widget)
        self.heights = []
        widget.installEventFilter(self)

    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Paint:
            self.heights.append(event.rect().height())
        return False


SHADE = 40  # of 255


def on_screen(editor: ContextEditor) -> QImage:
    """What has been painted so far; `grab` would paint all of it anew."""
    QTest.qWait(20)  # the platform lets some milliseconds pass before it paints what was asked for
    window = editor.window()
    return window.screen().grabWindow(window.winId()).toImage()


@pytest.fixture
def unblinking(editor, qapp):
    before = qapp.cursorFlashTime()
    qapp.setCursorFlashTime(0)
    editor.setCursorWidth(0)
    yield editor
    qapp.setCursorFlashTime(before)


def test_an_answer_to_a_letter_paints_the_last_line_only(unblinking):
    editor = unblinking
    show(editor, DOG * 12)
    editor.append("x")
    QApplication.processEvents()
    areas = Areas(editor.viewport())
    shades = carry_shades((), (), words(editor.text), COUNT)
    editor.set_tokens(words(editor.text), shades, editor.text)
    QApplication.processEvents()
    line = QFontMetricsF(editor.font()).height()
    assert areas.heights
    assert max(areas.heights) < editor.viewport().height() / 2
    lines = editor.document().documentLayout().pitch
    assert max(areas.heights) >= line
    assert editor.viewport().height() > 5 * lines
    areas.heights.clear()
    editor.set_tokens(words(editor.text), shades, editor.text)
    editor.set_marks(None, None, frozenset())
    QApplication.processEvents()
    assert areas.heights == []


changes = st.lists(
    st.tuples(
        st.sampled_from(["type", "cut", "read", "retoken", "mark", "scroll", "set"]),
        st.integers(0, 2000),
    ),
    min_size=1,
    max_size=8,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes)
def test_what_is_painted_bit_by_bit_is_what_is_painted_at_once(unblinking, changes):
    editor = unblinking
    show(editor, LONG)
    tokens, shades = words(LONG), carry_shades((), (), words(LONG), COUNT)
    editor.set_marks(None, None, frozenset())
    for what, number in changes:
        text = editor.text
        at = number % (len(text) + 1)
        if what == "type":
            editor.set_text(text[:at] + "aw \n"[number % 4] + text[at:])
        elif what == "cut":
            editor.set_text(text[:at] + text[at + number % 30 :])
        elif what == "set":
            editor.set_text(LONG[: number % len(LONG)])
        elif what == "mark":
            editor.set_marks(number % 90, (number // 3) % 90, frozenset({number % 7}))
        elif what == "scroll":
            bar = editor.verticalScrollBar()
            bar.setValue(number % (bar.maximum() + 1))
        else:
            new = words(editor.text)
            if what == "retoken":  # one character a token from some place on
                new = tuple(t for t in new if t.end <= at) + tuple(
                    Token(1, c, c.encode(), i, i + 1)
                    for i, c in enumerate(text)
                    if i >= max((t.end for t in new if t.end <= at), default=0)
                )
            shades = carry_shades(tokens, shades, new, COUNT)
            tokens = new
            editor.set_tokens(tokens, shades, editor.text)
        QApplication.processEvents()
    bit_by_bit = on_screen(editor)
    editor.viewport().update()
    anew = on_screen(editor)
    # Qt works smoothed shapes out in bands of rows, which a clip puts elsewhere: a dot beside one
    # may get a shade of it, far from where the clip ends. Two such dots were seen at most.
    differ = (
        [
            (x, y)
            for y in range(anew.height())
            for x in range(anew.width())
            if anew.pixel(x, y) != bit_by_bit.pixel(x, y)
        ]
        if anew != bit_by_bit
        else []
    )
    assert len(differ) <= 4
    for x, y in differ:
        one, other = anew.pixelColor(x, y), bit_by_bit.pixelColor(x, y)
        assert abs(one.lightness() - other.lightness()) <= SHADE
