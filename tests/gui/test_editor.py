"""The editor: text in and out, and tokens behind it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from editors import COUNT, DOG, make_editor, show, words
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import (
    QGuiApplication,
    QHelpEvent,
    QMouseEvent,
    QTextCursor,
)
from PySide6.QtWidgets import QApplication, QToolTip

from engine.types import Token
from gui import theme
from gui.widgets.editor import ContextEditor
from gui.widgets.roomy import PieceKeeper
from gui.widgets.spans import carry_shades

TEXTS = st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from("a😀𠀀\n\u0301"))


@pytest.fixture
def editor(qtbot):
    return make_editor(qtbot)


def centre(editor: ContextEditor, token: int) -> QPointF:
    return editor.boxes_of(token)[0].center()


def pixel(editor: ContextEditor, point: QPointF) -> str:
    picture = editor.viewport().grab().toImage()
    ratio = picture.devicePixelRatio()
    return picture.pixelColor(int(point.x() * ratio), int(point.y() * ratio)).name()


def below_text(editor: ContextEditor, token: int) -> QPointF:
    """A point of a token's box that no letter covers: the space before a word."""
    box = editor.boxes_of(token)[0]
    return QPointF(box.left() + 3, box.center().y())


# --- text ----------------------------------------------------------------------------------------


def test_every_character_typed_is_told_at_once(editor, qtbot):
    told = []
    editor.textEdited.connect(told.append)
    for character in "dog":
        qtbot.keyClick(editor, character)
        assert told[-1] == editor.text
    assert told == ["d", "do", "dog"]


def test_undo_and_redo_over_typing_and_set_text(editor, qtbot):
    qtbot.keyClicks(editor, "one")
    editor.set_text("one two 😀")
    assert editor.text == "one two 😀"
    editor.undo()
    assert editor.text == "one"
    editor.redo()
    assert editor.text == "one two 😀"


def test_appending_is_one_step_between_two_typings(editor, qtbot):
    qtbot.keyClicks(editor, "in the")
    editor.append(" park")
    qtbot.keyClicks(editor, "s")
    assert editor.text == "in the parks"
    for expected in ("in the park", "in the", ""):
        editor.undo()
        assert editor.text == expected


@settings(max_examples=30, deadline=None)
@given(old=TEXTS, new=TEXTS)
def test_set_text_leads_from_any_text_to_any_other(qapp, old, new):
    editor = ContextEditor()
    told = []
    editor.textEdited.connect(told.append)
    for text in (old, new):
        for end in ("\r\n", "\r", "\u2029", "\ufdd0", "\ufdd1"):
            text = text.replace(end, "\n")
        editor.set_text(text)
        assert editor.text == text
    assert all(text == editor.text for text in told[-1:])
    editor.deleteLater()


def test_no_break_spaces_are_kept(editor):
    editor.set_text("10\u00a0km")
    assert editor.text == "10\u00a0km"


def test_line_ends_of_other_systems_become_plain_ones(editor):
    editor.set_text("a\r\nb\rc")
    assert editor.text == "a\nb\nc"


def test_rich_text_is_pasted_plain(editor):
    mime = QMimeData()
    mime.setHtml("<h1>Big <b>bold</b></h1>")
    editor.insertFromMimeData(mime)
    assert editor.text == "Big bold"
    mime.setText(" plain")
    assert editor.canInsertFromMimeData(mime)
    editor.insertFromMimeData(mime)
    assert editor.text == "Big bold plain"
    assert editor.document().firstBlock().charFormat().fontPointSize() == 0


def test_a_lone_surrogate_that_is_set_is_replaced_and_said(editor, qtbot):
    with qtbot.waitSignal(editor.noticed) as said:
        editor.set_text("a\ud800b")
    assert editor.text == "a\ufffdb"
    assert "one broken character" in said.args[0]
    assert "surrogate" in said.args[0]


def test_lone_surrogates_that_are_pasted_are_replaced_in_one_step(editor, qtbot):
    mime = QMimeData()
    mime.setText("x\ud800y😀z\ude00")
    qtbot.keyClicks(editor, "ab")
    with qtbot.waitSignal(editor.noticed) as said:
        editor.insertFromMimeData(mime)
    assert editor.text == "abx\ufffdy😀z\ufffd"
    assert "2 broken characters" in said.args[0]
    editor.undo()
    assert editor.text in ("ab", "")


@pytest.mark.parametrize("end", ["\n", ""])
def test_200_000_characters_are_taken_and_only_lines_in_sight_are_looked_at(editor, end):
    line = "word soup is fine and so are you "
    text = (line * 6 + end) * (200_000 // (6 * len(line)) + 1)
    mime = QMimeData()
    mime.setText(text)
    editor.insertFromMimeData(mime)
    tokens = words(text[:20_000])
    editor.set_tokens(tokens, carry_shades((), (), tokens, COUNT), text, tokens[-1].end)
    for place in (5, 100_000):
        cursor = editor.textCursor()
        cursor.setPosition(place)
        editor.setTextCursor(cursor)
        editor.insertPlainText("x")
        assert len(editor.text) == len(text) + (1 if place == 5 else 2)
        height = float(editor.viewport().height())
        assert 0 < sum(1 for _ in editor._lines(0.0, height)) < 12
        editor.viewport().grab()


def test_a_key_has_only_its_own_line_laid_out(editor):
    lines = [f"{number} word soup is fine and so are you" for number in range(5)]
    show(editor, "\n".join(lines))
    editor.viewport().grab()
    for place in (editor.document().findBlockByNumber(number).position() + 9 for number in (4, 0)):
        cursor = editor.textCursor()
        cursor.setPosition(place)
        editor.setTextCursor(cursor)
        before = editor._keeper.laid_out
        editor.insertPlainText("x")
        editor.viewport().grab()
        assert editor._keeper.laid_out - before == 1
        editor.viewport().grab()
        assert editor._keeper.laid_out - before == 1


def test_a_key_in_a_long_paragraph_has_one_line_of_it_laid_out(editor):
    show(editor, "שלום\n" + "हिन्दी dog " * 25)
    editor.moveCursor(QTextCursor.MoveOperation.End)
    editor.viewport().grab()
    assert editor.document().findBlockByNumber(1).layout().lineCount() > 3
    before = editor._keeper.laid_out
    editor.insertPlainText("x")
    editor.viewport().grab()
    assert editor._keeper.laid_out - before == 1


@pytest.mark.parametrize("word", ["dog", "שלום", "हि", "😀e\u0301"])
@pytest.mark.parametrize("width", [760, 180])
def test_tokens_stand_where_they_would_if_no_line_was_kept(editor, word, width):
    editor.resize(width, 400)
    dice = np.random.default_rng(len(word) + width)
    text = f"The {word} is running in the park.\n\nOne {word}{word} more. "
    for _ in range(24):
        show(editor, text)
        editor.viewport().grab()
        kept = [editor.boxes_of(token) for token in range(len(editor._tokens))]
        editor._keeper = PieceKeeper()
        assert kept == [editor.boxes_of(token) for token in range(len(editor._tokens))]
        at = int(dice.integers(len(text) + 1))
        new = dice.choice(["a", " ", "\n", word, ""])
        text = text[:at] + str(new) + text[at + (new == "") :]


def test_the_focus_moves_on_with_tab_and_the_selection_of_text_is_faint(editor):
    assert editor.tabChangesFocus()
    assert editor.palette().highlight().color().alpha() < 255


# --- tokens on the screen ------------------------------------------------------------------------


@pytest.mark.parametrize("look", [theme.DARK, theme.LIGHT], ids=["dark", "light"])
def test_each_token_has_its_shade_behind_it(editor, look):
    before = QGuiApplication.palette()
    QApplication.setPalette(theme.palette(look))
    try:
        show(editor, DOG)
        for token in range(1, 7):
            assert pixel(editor, below_text(editor, token)) == look.tokens[token % COUNT]
        editor.set_marks(2, None, frozenset())
        assert pixel(editor, below_text(editor, 2)) == look.accent
        assert pixel(editor, below_text(editor, 3)) == look.tokens[3]
    finally:
        QApplication.setPalette(before)


def test_colours_move_with_the_text_before_any_answer(editor, qtbot):
    show(editor, DOG)
    shade = pixel(editor, below_text(editor, 5))
    left = editor.boxes_of(5)[0].left()
    editor.moveCursor(QTextCursor.MoveOperation.Start)
    qtbot.keyClicks(editor, "Look: ")
    assert editor.boxes_of(5)[0].left() > left
    assert pixel(editor, below_text(editor, 5)) == shade


def test_an_answer_to_an_older_text_is_moved_onto_the_present_one(editor):
    editor.set_text("So: " + DOG)
    tokens = words(DOG)
    editor.set_tokens(tokens, carry_shades((), (), tokens, COUNT), DOG)
    assert editor.token_at(centre(editor, 1)) == 1
    cursor = editor.textCursor()
    cursor.setPosition("So: The do".__len__())
    editor.setTextCursor(cursor)
    assert editor.caret_token() == 1


@pytest.mark.parametrize(
    "text",
    [DOG, "狗在 公园", "😀 𠀀 a😀b", "e\u0301 a\u0308 o", "اب في الحديقة", "one\ntwo\n\nthree"],
    ids=["latin", "chinese", "astral", "combining", "arabic", "lines"],
)
def test_every_token_can_be_pointed_at(editor, text):
    show(editor, text)
    for token in range(len(words(text))):
        assert editor.boxes_of(token), token
        assert editor.token_at(centre(editor, token)) == token


def test_text_from_right_to_left_stands_on_its_own_letters(editor):
    text = "الكلب في with English"
    show(editor, text)
    boxes = [editor.boxes_of(token) for token in range(4)]
    assert boxes[0][0].left() > boxes[1][0].left()
    assert boxes[0][0].right() == pytest.approx(editor.viewport().width() - 8, abs=2)
    # The words run to the left, but the letters of English to the right, left of them all.
    assert len(boxes[2]) == 2
    assert boxes[2][0].right() <= boxes[3][0].left() + 1
    assert boxes[3][0].right() <= boxes[1][0].left() + 1


def test_bytes_of_an_emoji_share_its_picture(editor):
    tokens = tuple(
        Token(k, f"⟨{byte:02X}⟩", bytes([byte]), 1, 2) for k, byte in enumerate("😀".encode())
    )
    show(editor, "a😀b", (Token(9, "a", b"a", 0, 1), *tokens))
    boxes = [editor.boxes_of(token)[0] for token in range(1, 5)]
    assert all(a.right() == pytest.approx(b.left()) for a, b in pairwise(boxes))
    assert [editor.token_at(box.center()) for box in boxes] == [1, 2, 3, 4]


def test_bytes_of_a_letter_stand_in_the_order_the_letter_is_read(editor):
    tokens = (Token(1, "⟨D8⟩", b"\xd8", 0, 1), Token(2, "⟨A7⟩", b"\xa7", 0, 1))
    show(editor, "اب", tokens)
    assert editor.boxes_of(0)[0].left() > editor.boxes_of(1)[0].left()


def test_what_was_not_read_is_dimmed(editor):
    tokens = words("The dog")
    editor.set_text(DOG)
    editor.set_tokens(tokens, (0, 1), DOG, 7)
    marked = editor.extraSelections()[0]
    assert marked.cursor.selectedText() == DOG[7:]
    assert marked.format.foreground().color().name() == theme.current().muted


def send(editor: ContextEditor, kind: QEvent.Type, point: QPointF, button: Qt.MouseButton) -> None:
    held = button if kind == QEvent.Type.MouseButtonPress else Qt.MouseButton.NoButton
    place = editor.viewport().mapToGlobal(point)
    QApplication.sendEvent(
        editor.viewport(),
        QMouseEvent(kind, point, place, button, held, Qt.KeyboardModifier.NoModifier),
    )


def test_hover_and_leave(editor):
    show(editor, DOG)
    told = []
    editor.tokenHovered.connect(told.append)
    for token in (4, 4, 1):
        send(editor, QEvent.Type.MouseMove, centre(editor, token), Qt.MouseButton.NoButton)
    QApplication.sendEvent(editor, QEvent(QEvent.Type.Leave))
    assert told == [4, 1, None]


def test_a_click_selects_and_sets_the_caret_even_between_lines(editor, qtbot):
    show(editor, "one two\nthree four")
    told = []
    editor.tokenClicked.connect(told.append)
    qtbot.mouseClick(editor.viewport(), Qt.MouseButton.LeftButton, pos=centre(editor, 1).toPoint())
    assert told == [1]
    box = editor.boxes_of(1)[0]
    gap = QPoint(int(box.center().x()), int(box.bottom() + 2))
    qtbot.mouseClick(editor.viewport(), Qt.MouseButton.LeftButton, pos=gap)
    assert told == [1, None]
    assert 3 < editor.textCursor().position() < 7


def test_dragging_selects_text_and_no_token(editor):
    show(editor, DOG)
    told = []
    editor.tokenClicked.connect(told.append)
    start, end = centre(editor, 0), centre(editor, 3)
    left = Qt.MouseButton.LeftButton
    send(editor, QEvent.Type.MouseButtonPress, start, left)
    place = editor.viewport().mapToGlobal(end)
    moved = QMouseEvent(
        QEvent.Type.MouseMove,
        end,
        place,
        Qt.MouseButton.NoButton,
        left,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(editor.viewport(), moved)
    send(editor, QEvent.Type.MouseButtonRelease, end, left)
    assert editor.textCursor().hasSelection()
    assert told == []


def test_a_selected_token_follows_the_caret_and_escape_lets_go(editor, qtbot):
    show(editor, DOG)
    told = []
    editor.tokenClicked.connect(told.append)
    editor.moveCursor(QTextCursor.MoveOperation.Start)
    qtbot.keyClick(editor, Qt.Key.Key_Right)
    assert told == []  # moving about selects nothing by itself
    editor.set_marks(3, None, frozenset())
    qtbot.keyClick(editor, Qt.Key.Key_End)
    qtbot.keyClick(editor, Qt.Key.Key_Escape)
    assert told == [len(words(DOG)) - 1, None]


def test_the_tooltip_says_what_a_token_is(editor, monkeypatch):
    said = []
    monkeypatch.setattr(QToolTip, "showText", lambda *args: said.append(args[1]))
    show(editor, DOG)
    point = centre(editor, 1).toPoint()
    place = editor.viewport().mapToGlobal(point)
    QApplication.sendEvent(editor.viewport(), QHelpEvent(QEvent.Type.ToolTip, point, place))
    assert len(said) == 1
    for part in ("·dog", "20 64 6F 67", "3–6", str(words(DOG)[1].id)):
        assert part in said[0]


def test_lines_stand_equally_far_apart_within_a_paragraph_and_between(editor):
    show(editor, "one\ntwo\nthree " + "long " * 40)
    baselines = [
        corner.y() + line.y() + line.ascent() for _, line, corner in editor._lines(0.0, 200.0)
    ]
    steps = np.diff(baselines)
    assert len(steps) > 3
    assert np.ptp(steps) < 0.01
    assert steps[0] > 1.25 * editor.fontMetrics().height()


def test_the_placeholder_stands_where_the_text_will(editor):
    empty = editor.viewport().grab().toImage()
    editor.set_text(" ")
    assert empty != editor.viewport().grab().toImage()
