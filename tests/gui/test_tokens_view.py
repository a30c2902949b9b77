"""The context view: the editor, the ribbon, the row of next tokens, and the samples."""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QLayout

from engine.errors import UserError
from engine.types import (
    ModelInfo,
    NextQuery,
    NextResult,
    PassStats,
    Request,
    Snapshot,
    Token,
    frozen,
)
from gui import theme
from gui.samples import FILE, read_samples, samples
from gui.session import Session
from gui.view import view_specs
from gui.views.tokens import VIEW
from gui.widgets.nextbar import COUNT, percent
from gui.widgets.token_ribbon import CHIP, TokenRibbon

DOG = "The dog is running in the park."
NEXT = (" park", " yard", "\n", "⟨F0⟩", ",")


def model(**changes) -> ModelInfo:
    made = ModelInfo(
        name="small",
        title="Small",
        family="llama",
        kind="decoder",
        layers=4,
        heads=2,
        width=8,
        vocabulary=1024,
        max_tokens=64,
        parameters=1000,
        device="cpu",
        dtype="float32",
        provides=frozenset({"embedding", "attention", "next"}),
    )
    return replace(made, **changes)


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


def snapshot(text: str, info: ModelInfo | None = None, **changes) -> Snapshot:
    """An answer with surprises 0, 1, 2, … bits; the first is not a number."""
    info = info or model()
    tokens = changes.pop("tokens", words(text))
    target = changes.pop("target", None)
    results = {}
    if "next" in info.provides and tokens:
        surprise = np.arange(len(tokens), dtype=np.float32)
        surprise[0] = np.nan
        shares = np.array([0.31, 0.09, 0.05, 0.02, 0.0001], np.float32)
        results[NextQuery(COUNT)] = NextResult(
            tuple(range(5)), NEXT, frozen(shares), frozen(surprise)
        )
    made = Snapshot(
        request=Request(1, 1, text, (NextQuery(COUNT),), target=target),
        model=info,
        tokens=tokens,
        results=MappingProxyType(results),
        stats=PassStats(),
    )
    return replace(made, **changes)


@pytest.fixture
def session(qapp):
    return Session(DOG)


@pytest.fixture
def view(qtbot, session):
    made = VIEW.create(session)
    qtbot.addWidget(made)
    # As a window of its own it would tell the screen its least size, which a fake screen minds.
    made.layout().setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
    made.resize(760, 260)
    with qtbot.waitExposed(made):
        made.show()
    return made


@pytest.fixture
def drawn(view, session):
    session.set_model(model())
    view.render_snapshot(snapshot(DOG))
    return view


def point(widget, place: QPointF) -> None:
    viewport = widget.viewport()
    none = Qt.MouseButton.NoButton
    QApplication.sendEvent(
        viewport,
        QMouseEvent(
            QEvent.Type.MouseMove,
            place,
            viewport.mapToGlobal(place),
            none,
            none,
            Qt.KeyboardModifier.NoModifier,
        ),
    )


# --- the view ------------------------------------------------------------------------------------


def test_the_view_is_found_first_on_the_left():
    assert next(spec for spec in view_specs() if spec.area == "left") is VIEW
    assert (VIEW.key, VIEW.title, VIEW.shortcut, VIEW.needs) == (
        "tokens",
        "Context",
        "Ctrl+1",
        frozenset(),
    )


def test_what_is_asked_depends_on_the_model(view, session):
    assert view.queries() == ()
    session.set_model(model())
    assert view.queries() == (NextQuery(COUNT),)
    session.set_model(model(provides=frozenset({"attention"})))
    assert view.queries() == ()


def test_the_editor_starts_with_the_sessions_text_and_the_focus(view, session):
    assert view.editor.text == DOG
    assert view.focusWidget() is view.editor
    assert view.caption() == "31 characters"


def test_typing_reaches_the_session_with_each_key(view, session, qtbot):
    told = []
    session.textChanged.connect(told.append)
    view.editor.moveCursor(view.editor.textCursor().MoveOperation.End)
    qtbot.keyClicks(view.editor, " It")
    assert told == [DOG + " ", DOG + " I", DOG + " It"]


def test_a_text_set_elsewhere_reaches_the_editor_and_can_be_undone(view, session):
    session.set_text("a sample 😀")
    assert view.editor.text == "a sample 😀"
    view.editor.undo()
    assert (view.editor.text, session.text) == (DOG, DOG)


def test_a_text_the_editor_must_change_comes_back_changed(view, session):
    session.set_text("a\r\n\ud800")
    assert session.text == view.editor.text == "a\n\ufffd"
    assert view.notice.isVisible()
    assert "surrogate" in view.notice.text
    session.set_text("a")
    assert not view.notice.isVisible()


def test_tokens_stand_in_editor_and_ribbon_with_the_same_shade(drawn):
    assert drawn.caption() == "31 characters · 7 tokens"
    look = theme.current()
    editor, ribbon = drawn.editor.viewport().grab(), drawn.ribbon.viewport().grab()
    pictures = editor.toImage(), ribbon.toImage()
    for token in range(1, 7):
        box = drawn.editor.boxes_of(token)[0]
        chip = drawn.ribbon.box_of(token)
        places = (
            QPointF(box.left() + 2.5, box.center().y()),
            QPointF(chip.left() + 3, chip.top() + 12),
        )
        for picture, place in zip(pictures, places, strict=True):
            assert picture.pixelColor(place.toPoint()).name() == look.tokens[token % 6]


def test_an_answer_to_an_older_text_is_drawn_where_its_words_stand_now(drawn, session):
    drawn.editor.set_text("Now " + DOG)
    drawn.render_snapshot(snapshot(DOG))
    assert drawn.editor.token_at(drawn.editor.boxes_of(1)[0].center()) == 1
    first = drawn.editor.boxes_of(0)[0]
    assert first.left() > 30


def test_selection_hover_and_pins_go_both_ways(drawn, session, qtbot):
    left = Qt.MouseButton.LeftButton
    place = drawn.editor.boxes_of(3)[0].center()
    qtbot.mouseClick(drawn.editor.viewport(), left, pos=place.toPoint())
    assert session.selected == 3
    chip = drawn.ribbon.box_of(5).center()
    qtbot.mouseClick(drawn.ribbon.viewport(), left, pos=chip.toPoint())
    assert session.selected == 5
    point(drawn.editor, drawn.editor.boxes_of(2)[0].center())
    assert session.hovered == 2
    point(drawn.ribbon, drawn.ribbon.box_of(4).center())
    assert session.hovered == 4
    before = drawn.editor.viewport().grab().toImage(), drawn.ribbon.viewport().grab().toImage()
    session.select(1)
    session.hover(6)
    session.toggle_pin(2)
    after = drawn.editor.viewport().grab().toImage(), drawn.ribbon.viewport().grab().toImage()
    for old, new in zip(before, after, strict=True):
        assert old != new
    assert "·park." in drawn.info.text
    assert "6.0 bits" in drawn.info.text


def test_marks_stay_on_their_tokens_when_text_comes_before_them(drawn, session):
    session.select(1)
    session.toggle_pin(2)
    session.set_text("Oh " + DOG)
    made = snapshot(session.text, tokens=(Token(1, "Oh", b"Oh", 0, 2), *(
        replace(token, start=token.start + 3, end=token.end + 3) for token in words(DOG)
    )))  # fmt: skip
    drawn.render_snapshot(made)
    assert session.selected == 2
    assert session.pinned == {3}


def test_marks_on_tokens_that_are_gone_are_forgotten(drawn, session):
    session.select(6)
    session.toggle_pin(5)
    session.toggle_pin(0)
    session.set_text("The dog")
    drawn.render_snapshot(snapshot("The dog"))
    assert session.selected is None
    assert session.pinned == {0}


def test_the_notice_is_shown_and_what_was_not_read_is_dimmed(drawn):
    sentence = "Only the first 3 tokens were read: the model reads no more."
    drawn.render_snapshot(snapshot(DOG, tokens=words(DOG)[:3], notice=sentence))
    assert drawn.notice.isVisible()
    assert drawn.notice.text == sentence
    dimmed = drawn.editor.extraSelections()
    assert dimmed[0].cursor.selectedText() == DOG[words(DOG)[2].end :]
    drawn.render_snapshot(snapshot(DOG))
    assert not drawn.notice.isVisible()
    assert drawn.editor.extraSelections() == []


def test_an_empty_context_is_explained(drawn, session):
    session.set_text("")
    drawn.render_snapshot(snapshot("", tokens=()))
    assert drawn.caption() == "0 characters · 0 tokens"
    assert drawn.ribbon.token_at(QPointF(5, 10)) is None
    drawn.grab()


# --- what comes next -----------------------------------------------------------------------------


def choices(view):
    return [choice for choice in view.nextbar._choices if choice.isVisible()]


def test_a_next_token_that_is_clicked_is_written_as_one_step(drawn, session, qtbot):
    qtbot.mouseClick(choices(drawn)[0], Qt.MouseButton.LeftButton)
    assert session.text == DOG + " park"
    assert drawn.focusWidget() is drawn.editor
    qtbot.keyClicks(drawn.editor, "s")
    drawn.editor.undo()
    drawn.editor.undo()
    assert session.text == DOG


def test_a_next_token_can_be_written_by_keyboard(drawn, session, qtbot):
    button = choices(drawn)[1]
    button.setFocus()
    qtbot.keyClick(button, Qt.Key.Key_Space)
    assert session.text == DOG + " yard"
    drawn.activateWindow()
    drawn.editor.setFocus()
    with qtbot.waitSignal(session.textChanged):
        qtbot.keyClick(drawn.editor, Qt.Key.Key_1, Qt.KeyboardModifier.AltModifier)
    assert session.text == DOG + " yard park"


def test_a_fragment_of_a_character_cannot_be_written(drawn):
    fragment = choices(drawn)[3]
    assert fragment.token == "⟨F0⟩"
    assert not fragment.isEnabled()
    assert "cannot be written" in fragment.toolTip()


def test_next_tokens_keep_their_places(drawn):
    before = [choice.geometry() for choice in choices(drawn)]
    result = next(iter(snapshot(DOG).results.values()))
    drawn.nextbar.set_result(replace(result, texts=(" extraordinarily", "a", "b", "c", "d")))
    drawn.nextbar.grab()
    assert [choice.geometry() for choice in choices(drawn)] == before
    drawn.nextbar.clear()
    assert [choice.geometry() for choice in choices(drawn)] == before


def test_a_narrow_row_offers_fewer(drawn, qtbot):
    many = len(choices(drawn))
    drawn.resize(400, 260)
    qtbot.waitUntil(lambda: 0 < len(choices(drawn)) < many)


def test_a_model_that_predicts_nothing_says_so(view, session):
    info = model(kind="encoder", provides=frozenset({"attention"}))
    session.set_model(info)
    view.render_snapshot(snapshot(DOG, info))
    assert choices(view) == []
    assert "Small reads in both directions" in view.nextbar._why.text()
    session.set_model(model(name="other"))
    assert len(choices(view)) > 0


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.312, "31 %"), (0.0931, "9.3 %"), (0.0996, "10 %"), (0.00002, "<0.1 %"), (1.0, "100 %")],
)
def test_percentages(share, said):
    assert percent(share).replace("\u00a0", " ") == said


# --- encoder-decoder -----------------------------------------------------------------------------


@pytest.fixture
def translating(view, session):
    info = model(kind="encoder-decoder", decoder_layers=4)
    session.set_model(info)
    view.render_snapshot(snapshot(DOG, info, target_tokens=words(DOG)))
    return view


def test_the_decoders_text_is_there_for_an_encoder_decoder_only(drawn, session):
    assert not drawn.target.isVisible()
    session.set_model(model(kind="encoder-decoder", decoder_layers=4))
    assert drawn.target.isVisible()


def test_the_decoders_text_goes_both_ways(translating, session, qtbot):
    qtbot.keyClicks(translating.target_editor, "Le")
    assert session.target == "Le"
    session.set_target("Le chien")
    assert translating.target_editor.text == "Le chien"
    info = session.model
    translating.render_snapshot(
        snapshot(DOG, info, target="Le chien", target_tokens=words("Le chien"))
    )
    assert len(translating.target_editor.boxes_of(1)) == 1


def test_a_next_token_goes_to_the_decoders_text(translating, session, qtbot):
    qtbot.mouseClick(choices(translating)[0], Qt.MouseButton.LeftButton)
    assert (session.text, session.target) == (DOG, DOG + " park")


def test_the_decoders_surprise_is_not_taken_for_that_of_the_context(translating, session):
    session.select(2)
    assert "bits" not in translating.info.text


# --- the ribbon ----------------------------------------------------------------------------------


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


# --- samples -------------------------------------------------------------------------------------


def test_the_samples_are_many_and_the_first_is_the_dog():
    shelf = samples()
    assert shelf[0].text == DOG
    assert len(shelf) >= 14
    assert len({sample.title for sample in shelf}) == len(shelf)
    groups = [sample.group for sample in shelf]
    assert groups == sorted(groups, key=groups.index)  # each group stands together
    for sample in shelf:
        assert sample.text.strip("\n") == sample.text != ""
        assert sample.about.endswith((".", "?"))
        assert len(sample.about) < 100
    text = "".join(sample.text for sample in shelf)
    assert all(letter in text for letter in "公ا" + "क" + "🌱")


@pytest.mark.parametrize(
    "damaged",
    ["[[sample]\n", "sample = []", '[[sample]]\ntitle = "x"\n', "\udcff"],
)
def test_a_damaged_file_is_told_in_a_sentence(tmp_path, damaged):
    path = tmp_path / "samples.toml"
    path.write_bytes(damaged.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match="Cannot read the sample texts"):
        read_samples(path)


def test_a_missing_file_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_samples(tmp_path / "none.toml")
    assert FILE.exists()


def test_surprise_of_blind_guessing_ends_the_scale(drawn):
    assert drawn.info._top_bits == math.log2(1024)
