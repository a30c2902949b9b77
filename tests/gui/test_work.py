"""What each change in the window costs: passes, tokens in them, probes, and pictures drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from PySide6.QtCore import QMimeData, Qt
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QApplication
from windows import make_window

from engine.comparison import CompareQuery
from engine.engine import Engine
from engine.latent.values import PlaceQuery
from engine.tasks.answers import AnswersQuery
from engine.types import (
    AttentionQuery,
    EmbeddingQuery,
    GatesQuery,
    LatentQuery,
    MemoryQuery,
    MosaicQuery,
    NeighboursQuery,
    NextQuery,
    Query,
)
from gui.bridge import Bridge
from gui.session import Scaling
from gui.settings import Settings
from gui.widgets.nextbar import NextBar
from gui.window import MainWindow

TEXT = "The dog is running in the park. A small bird sits on the old wall and looks at it."
PARAGRAPH = " It rains in the morning, and the children stay at home with their books."

OWN: dict[str, set[type[Query]]] = {
    "tokens": {NextQuery},
    "embedding": {EmbeddingQuery, NeighboursQuery},
    "attention": {AttentionQuery},
    "mosaic": {MosaicQuery},
    "latent": {LatentQuery},
    "memory": {MemoryQuery},
    "training": set(),  # what it shows comes from a job
    "pictures": {PlaceQuery},
    "compare": {CompareQuery},
    "task": {AnswersQuery},
    "study": set(),  # these two likewise
    "laboratory": set(),
    "emergence": set(),
    "gates": {GatesQuery},
}
"""The questions that each view alone asks."""

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")


class Work:
    """Counts what the engine does and what the views draw, since it was last asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[tuple[int, int]] = []  # of each pass: tokens of the text, tokens run
        self.probes: list[Query] = []
        self.drawn: list[str] = []
        self.asked = 0
        run, probe = Engine._run, Engine._probe

        def watched_run(engine: Engine, loaded: Any, tokens: Any, *rest: Any) -> Any:
            passed, ran, ms = run(engine, loaded, tokens, *rest)
            if ran.passes:
                assert ran.passes == 1
                assert ran.suffix + ran.reused == len(tokens)
                self.ran.append((len(tokens), ran.suffix))
            return passed, ran, ms

        def watched_probe(passed: Any, query: Query) -> Any:
            self.probes.append(query)
            return probe(passed, query)

        monkeypatch.setattr(Engine, "_run", watched_run)
        monkeypatch.setattr(Engine, "_probe", staticmethod(watched_probe))

    def watch(self, window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
        for key, panel in window.panels.items():
            draw = panel.view.render_snapshot

            def watched(snapshot: Any, key: str = key, draw: Any = draw) -> None:
                self.drawn.append(key)
                draw(snapshot)

            monkeypatch.setattr(panel.view, "render_snapshot", watched)
        submit = window.bridge.submit

        def asking(request: Any) -> None:
            self.asked += 1
            submit(request)

        monkeypatch.setattr(window.bridge, "submit", asking)

    def forget(self) -> None:
        self.ran, self.probes, self.drawn, self.asked = [], [], [], 0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


@pytest.fixture
def window(qtbot: Any, work: Work, monkeypatch: pytest.MonkeyPatch) -> Iterator[MainWindow]:
    bridge = Bridge()
    made = make_window(qtbot, None, Settings(model="builtin", text=TEXT), bridge)
    work.watch(made, monkeypatch)
    bridge.start()
    made.open_model("builtin")
    qtbot.waitUntil(lambda: made.controller.latest is not None, timeout=120_000)
    rest(qtbot, made)
    work.forget()
    yield made
    made.close()
    bridge.close()


def rest(qtbot: Any, window: MainWindow) -> None:
    """Wait until the newest question is answered and drawn, and nothing more is asked."""
    QApplication.processEvents()

    def done() -> bool:
        latest = window.controller.latest
        return latest is not None and latest.request.seq == window._asked

    qtbot.waitUntil(done, timeout=60_000)
    QApplication.processEvents()
    qtbot.waitUntil(done, timeout=60_000)


def put_caret(window: MainWindow, place: int) -> None:
    assert window.editor is not None
    cursor = window.editor.textCursor()
    cursor.setPosition(place)
    window.editor.setTextCursor(cursor)


def ids(window: MainWindow) -> list[int]:
    latest = window.controller.latest
    assert latest is not None
    return [token.id for token in latest.tokens]


def changed(before: list[int], after: list[int]) -> int:
    """How many tokens stand from the first one on that is another than before."""
    same = 0
    while same < min(len(before), len(after)) and before[same] == after[same]:
        same += 1
    return len(after) - same


def key_at_the_end(qtbot: Any, window: MainWindow) -> None:
    put_caret(window, len(TEXT))
    qtbot.keyClick(window.editor, "x")


def key_in_the_middle(qtbot: Any, window: MainWindow) -> None:
    put_caret(window, len(TEXT) // 2)
    qtbot.keyClick(window.editor, "x")


def paste(qtbot: Any, window: MainWindow) -> None:
    put_caret(window, len(TEXT))
    carried = QMimeData()
    carried.setText(PARAGRAPH)
    window.editor.insertFromMimeData(carried)


def replace_a_word(qtbot: Any, window: MainWindow) -> None:
    put_caret(window, TEXT.index("small"))
    cursor = window.editor.textCursor()
    cursor.movePosition(QTextCursor.MoveOperation.EndOfWord, QTextCursor.MoveMode.KeepAnchor)
    window.editor.setTextCursor(cursor)
    qtbot.keyClick(window.editor, "t")


def backspace(qtbot: Any, window: MainWindow) -> None:
    put_caret(window, len(TEXT))
    qtbot.keyClick(window.editor, Qt.Key.Key_Backspace)


@pytest.mark.parametrize(
    "edit", [key_at_the_end, key_in_the_middle, paste, replace_a_word, backspace]
)
def test_an_edit_runs_its_suffix_once_and_each_question_once(
    qtbot: Any, window: MainWindow, work: Work, edit: Callable[[Any, MainWindow], None]
) -> None:
    before = ids(window)
    edit(qtbot, window)
    rest(qtbot, window)
    after = ids(window)
    suffix = changed(before, after)
    # A text that only got shorter leaves nothing to run.
    assert work.ran == ([(len(after), suffix)] if suffix else [])
    assert work.asked == 1
    assert len(work.probes) == len(set(work.probes)) <= len(window.controller.queries())
    assert sorted(work.drawn) == sorted(set(work.drawn))
    assert {"tokens", "embedding", "attention", "mosaic"} <= set(work.drawn)


def test_what_an_append_runs_does_not_grow_with_the_text(
    qtbot: Any, window: MainWindow, work: Work
) -> None:
    for text in (TEXT, TEXT * 3):
        window.session.set_text(text)
        rest(qtbot, window)
        work.forget()
        window.session.set_text(text + " x")
        rest(qtbot, window)
        assert len(work.ran) == 1
        assert work.ran[0][1] <= 2


def next_layer(window: MainWindow) -> None:
    session = window.session
    session.set_layer((session.layer + 1) % (session.depth + 1))


def next_head(window: MainWindow) -> None:
    window.session.set_head(1)


def layer_and_head(window: MainWindow) -> None:
    next_layer(window)
    next_head(window)


def temperature(window: MainWindow) -> None:
    strip = window.panels["tokens"].view.findChild(NextBar)
    assert isinstance(strip, NextBar)
    strip._temperature.setValue(0.5)


@pytest.mark.parametrize("change", [next_layer, next_head, layer_and_head, temperature])
def test_another_look_at_the_same_text_is_one_question_and_no_pass(
    qtbot: Any, window: MainWindow, work: Work, change: Callable[[MainWindow], None]
) -> None:
    change(window)
    rest(qtbot, window)
    assert work.ran == []
    assert work.asked == 1
    assert 1 <= len(work.probes) == len(set(work.probes)) <= len(window.controller.queries())
    change_drawn = {"next_head": "attention", "temperature": "tokens"}
    assert change_drawn.get(change.__name__, "embedding") in work.drawn


def scaling(window: MainWindow) -> None:
    for each in get_args(Scaling):
        window.session.set_scaling(each)


def colours(window: MainWindow) -> None:
    for _ in range(2):
        window.commands.actions["view.theme.toggle"].trigger()


def marks(window: MainWindow) -> None:
    window.session.hover(1)
    window.session.hover(None)
    window.session.toggle_pin(2)


def lines(window: MainWindow) -> None:
    bar: Any = window.panels["attention"].view.bar
    bar.lines_button.click()
    bar.map_button.click()


@pytest.mark.parametrize("change", [scaling, colours, marks, lines])
def test_what_changes_the_picture_alone_asks_nothing(
    qtbot: Any, window: MainWindow, work: Work, change: Callable[[MainWindow], None]
) -> None:
    change(window)
    rest(qtbot, window)
    assert (work.asked, work.ran, work.probes, work.drawn) == (0, [], [], [])


# The built-in model is no LSTM, so that it has nothing to show of gates.
@pytest.mark.parametrize("key", sorted(key for key in OWN if OWN[key] and key != "gates"))
def test_a_hidden_view_costs_nothing_until_it_is_shown(
    qtbot: Any, window: MainWindow, work: Work, key: str
) -> None:
    panel = window.panels[key]
    if not panel.isVisible():
        window.commands.actions[f"view.show.{key}"].trigger()
    assert panel.isVisible()
    panel.close()
    rest(qtbot, window)
    work.forget()
    window.session.set_text(TEXT + " x")
    rest(qtbot, window)
    window.session.set_layer(0)
    rest(qtbot, window)
    assert work.probes
    assert not [query for query in work.probes if type(query) in OWN[key]]
    assert key not in work.drawn
    ran = len(work.ran)
    panel.show()
    rest(qtbot, window)
    assert key in work.drawn
    assert len(work.ran) == ran == 1


def test_every_view_is_known_here(qtbot: Any, window: MainWindow) -> None:
    assert set(OWN) == set(window.panels)
    for key, panel in window.panels.items():
        assert {type(query) for query in panel.view.queries()} <= OWN[key]
