"""The context view: the editor, the ribbon, the row of next tokens, and the samples."""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QLayout

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
from gui.session import Session
from gui.view import view_specs
from gui.views.tokens import VIEW
from gui.widgets.nextbar import COUNT, percent

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


def test_tokens_are_drawn_before_the_model_has_run_and_their_surprise_when_it_is_known(
    drawn, session
):
    whole = snapshot("The dog is hungry")
    drawn.render_tokens(replace(whole, results=MappingProxyType({}), more=True))
    assert drawn.ribbon._labels == ["The", "·dog", "·is", "·hungry"]
    assert [drawn.editor.boxes_of(token) != [] for token in range(4)] == [True] * 4
    assert drawn.ribbon._surprise is not None
    np.testing.assert_array_equal(drawn.ribbon._surprise, [np.nan, 1, 2])
    assert "surprise" in drawn.ribbon.tip(2)
    assert "surprise" not in drawn.ribbon.tip(3)
    session.select(3)
    assert "surprise" not in drawn.info.text
    drawn.render_snapshot(whole)
    assert "surprise 3.0 bits" in drawn.info.text
    np.testing.assert_array_equal(drawn.ribbon._surprise, [np.nan, 1, 2, 3])


def test_another_models_surprise_is_not_shown_of_new_tokens(drawn):
    other = snapshot(DOG, model(name="other"))
    drawn.render_tokens(replace(other, results=MappingProxyType({}), more=True))
    assert drawn.ribbon._surprise is None


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


def test_another_temperature_is_another_question_and_the_figure_has_it_too(drawn, qtbot):
    turned = drawn.nextbar._temperature
    with qtbot.waitSignal(drawn.queriesChanged):
        turned.setValue(0.7)
    assert drawn.queries() == (NextQuery(COUNT, 0.7),)
    assert drawn.figure_options().temperature == 0.7
    turned.setValue(0)
    assert drawn.nextbar.temperature == 0.1
    assert "softmax(scores / T)" in turned.toolTip()


def test_what_a_token_says_of_itself_names_the_temperature(drawn):
    assert "Surprise" in choices(drawn)[0].toolTip()
    result = next(iter(snapshot(DOG).results.values()))
    drawn.nextbar.set_result(replace(result, temperature=0.5))
    assert "divided by T = 0.5" in choices(drawn)[0].toolTip()
    assert "Surprise" not in choices(drawn)[0].toolTip()


def test_where_nothing_is_predicted_there_is_no_temperature(drawn):
    assert drawn.nextbar._temperature.isVisible()
    drawn.nextbar.refuse("none")
    assert not drawn.nextbar._temperature.isVisible()


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


def test_surprise_of_blind_guessing_ends_the_scale(drawn):
    assert drawn.info._top_bits == math.log2(1024)
