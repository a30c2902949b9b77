"""The ribbon: tokens as chips, with how surprising each was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QKeyEvent, QWheelEvent
from PySide6.QtWidgets import QApplication

from engine.types import Token, frozen
from gui import theme
from gui.widgets.token_ribbon import CHIP, TokenRibbon


def words(text: str) -> tuple[Token, ...]:
    """Each word with the space before it."""
    found, start = [], 0
    while start < len(text):
        end = text.find(" ", start + 1)
        end = len(text) if end < 0 else end
        piece = text[start:end]
        found.append(Token(sum(piece.encode()), piece, piece.encode(), start, end))
        start = end
    return tuple(found)


@pytest.fixture
def ribbon(qtbot):
    made = TokenRibbon()
    qtbot.addWidget(made)
    made.resize(500, made.height())
    with qtbot.waitExposed(made):
        made.show()
    return made


def test_the_invisible_is_visible_in_the_ribbon(ribbon):
    texts = ["<s>", " dog", "\n", "⟨F0 9F⟩", "⟨90 B6⟩"]
    tokens = [Token(k, text, b"", 0, 0, special=not k) for k, text in enumerate(texts)]
    ribbon.set_tokens(tokens, range(5))
    assert ribbon._labels == ["<s>", "·dog", "↵", "⟨F0 9F⟩", "⟨90 B6⟩"]
    look = theme.current()
    picture = ribbon.viewport().grab().toImage()

    def inside(token: int) -> str:
        box = ribbon.box_of(token)
        return picture.pixelColor(int(box.left() + 3), int(box.center().y())).name()

    assert inside(0) == look.panel or inside(0) not in look.tokens  # special: an outline only
    assert inside(1) == look.tokens[1]


def test_a_context_that_was_typed_on_looks_as_if_it_was_shown_at_once(ribbon, qtbot):
    old, other = words("The dog is running"), words("The cat sat down")
    for tokens in (old, old[:2], (*old[:3], *other[1:]), other, (), old, old):
        bits = frozen(np.linspace(0, 9, len(tokens), dtype=np.float32))
        for shown in (bits, bits, None, bits[:2], bits, bits[:3]):
            shades = tuple(range(len(tokens)))
            ribbon.set_tokens(tokens, shades, shown)
            fresh = TokenRibbon()
            qtbot.addWidget(fresh)
            fresh.resize(ribbon.size())
            fresh.set_tokens(tokens, shades, shown)
            assert ribbon._labels == fresh._labels
            np.testing.assert_array_equal(ribbon._edges, fresh._edges)
            pictures = (one.viewport().grab().toImage() for one in (ribbon, fresh))
            assert next(pictures) == next(pictures)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 3), st.integers(0, 12), st.booleans()),
        min_size=2,
        max_size=6,
    )
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_painted_in_part_looks_as_if_it_was_painted_whole(ribbon, steps):
    spoken = words("The dog is running in the park with a ball and a stick")
    for count, other, known, fewer in steps:
        tokens = (*spoken[:count], *words(f" cat{other}"))
        bits = np.arange(len(tokens), dtype=np.float32) + fewer
        ribbon.set_tokens(tokens, [k % 5 for k in range(len(tokens))], frozen(bits[:known]))
        QApplication.processEvents()
        shown = ribbon.window().backingStore().paintDevice().copy()
        ribbon.viewport().repaint()
        again = ribbon.window().backingStore().paintDevice().copy()
        assert shown == again


def test_only_chips_from_the_first_other_one_on_are_painted_again(ribbon):
    tokens = words("a b c d")
    bits = frozen(np.array([np.nan, 1.0, 2.0, 3.0], np.float32))
    painted = []
    ribbon.set_tokens(tokens[:3], range(3), bits[:3])
    ribbon.viewport().update = lambda area: painted.append(area.left())
    ribbon.set_tokens(tokens, range(4), bits[:3])
    ribbon.set_tokens(tokens, range(4), bits)
    ribbon.set_tokens(tokens[:3], range(3), bits[:3])
    ends = [int(ribbon._edges[at]) for at in (3, 3, 3)]
    assert painted == ends
    ribbon.set_tokens(tokens[:3], range(3), bits[:3], top_bits=9.0)
    assert painted[3:] == [0]


def test_an_answer_that_says_the_same_paints_no_chip(ribbon):
    tokens, bits = words("a b c"), frozen(np.array([np.nan, 1.0, 2.0], np.float32))
    ribbon.set_tokens(tokens, range(3), bits)
    ribbon.set_marks(1, None, frozenset())
    painted = []
    ribbon.viewport().update = lambda *_: painted.append(1)
    ribbon.set_tokens(tokens, range(3), frozen(np.array(bits)))
    ribbon.set_marks(1, None, frozenset())
    ribbon.set_hint("")
    assert not painted
    ribbon.set_tokens(tokens, range(3), frozen(bits + 1))
    assert painted


def test_surprise_is_a_colour_below_and_hatched_for_the_first(ribbon):
    bits = frozen(np.array([np.nan, 0.0, 8.0, 40.0], np.float32))
    ribbon.set_tokens(words("a b c d"), range(4), bits, 8.0)
    picture = ribbon.viewport().grab().toImage()
    table = theme.sequential(theme.current().dark)
    y = int(ribbon.box_of(0).top()) + CHIP + 5
    for token, level in ((1, 0), (2, 255), (3, 255)):
        colour = picture.pixelColor(int(ribbon.box_of(token).center().x()), y)
        assert colour.getRgb()[:3] == tuple(int(part) for part in table[level][:3])
    first = ribbon.box_of(0)
    seen = {
        picture.pixelColor(int(x), y).name() for x in np.arange(first.left() + 3, first.right() - 3)
    }
    assert len(seen) > 1
    assert "40.0 bits" in ribbon.tip(3)
    assert "not predicted" in ribbon.tip(0)


def test_a_thousand_tokens_are_painted_only_where_they_are_seen(ribbon, monkeypatch):
    painted = []
    plain = TokenRibbon._paint_chip
    monkeypatch.setattr(
        TokenRibbon,
        "_paint_chip",
        lambda self, painter, token, look: (
            painted.append(token),
            plain(self, painter, token, look),
        ),
    )
    tokens = words("so it is " * 1000)
    ribbon.set_tokens(tokens, [k % 6 for k in range(len(tokens))])
    ribbon.reveal(2000)
    painted.clear()
    ribbon.viewport().grab()
    assert 2000 in painted
    assert len(set(painted)) < 40
    assert ribbon.token_at(ribbon.box_of(2000).center()) == 2000


def test_the_keyboard_moves_pins_and_lets_go(ribbon, qtbot):
    told, pinned = [], []

    def select(token: int | None) -> None:
        told.append(token)
        ribbon.set_marks(token, None, frozenset())

    ribbon.tokenClicked.connect(select)
    ribbon.pinToggled.connect(pinned.append)
    ribbon.set_tokens(words("a b c"), range(3))
    keys = Qt.Key
    for key in (keys.Key_Right, keys.Key_Right, keys.Key_End, keys.Key_Right, keys.Key_Left):
        qtbot.keyClick(ribbon, key)
    qtbot.keyClick(ribbon, keys.Key_P)
    qtbot.keyClick(ribbon, keys.Key_Home)
    qtbot.keyClick(ribbon, keys.Key_Escape)
    assert told == [0, 1, 2, 2, 1, 0, None]
    assert pinned == [1]


def test_keys_without_a_name_do_no_harm(ribbon):
    odd = QKeyEvent(QEvent.Type.KeyPress, 0x7FFF1234, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(ribbon, odd)
    assert not odd.isAccepted()


def test_the_wheel_scrolls_sideways(ribbon):
    ribbon.set_tokens(words("so it is " * 100), [k % 6 for k in range(300)])
    place = QPointF(20, 10)
    turned = QWheelEvent(
        place,
        ribbon.viewport().mapToGlobal(place),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(ribbon.viewport(), turned)
    assert ribbon.horizontalScrollBar().value() == 120


def test_the_menu_of_a_token_pins_it(ribbon):
    pinned = []
    ribbon.pinToggled.connect(pinned.append)
    ribbon.set_tokens(words("a b"), (0, 1))
    menu = ribbon.menu_for(1)
    assert menu.actions()[0].text() == "Pin token ·b"
    menu.actions()[0].trigger()
    ribbon.set_marks(None, None, frozenset({1}))
    assert ribbon.menu_for(1).actions()[0].text() == "Unpin token ·b"
    assert pinned == [1]
