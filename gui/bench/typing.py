"""``main.py bench typing``: edits in the real window, in turn with what they are compared with."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.models.catalogue import default, resolve
from engine.models.store import ModelSource, acquire, open_spec
from engine.types import ModelInfo
from gui.bench.report import Line, Report
from gui.bench.texts import keys, long_text
from gui.headless.console import DONE, finish, say

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.floors import Floors
    from gui.bench.stage import Measured, Stage

PASTED = 50
"""Tokens of the pasted paragraph, about."""

WARM_UPS = 2
_CHARACTERS = 8  # of text made for each token wanted; no sample has more
_FEW = 5  # a dear case is repeated this many times less often
_SHARE = 0.5  # of the memory that is free, what an eager pass may take
_LONG = 512  # tokens above which an eager pass is not warmed up


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    `tokens` are lengths of contexts, `edits` what is done in each (see `_Length.edits`), `repeats`
    how often, after warm-up; dear cases less often.
    """

    model: str | None
    device: str
    tokens: tuple[int, ...]
    edits: tuple[str, ...]
    repeats: int


def run(plan: Plan, as_json: bool) -> int:
    """Measure, and print a line for each case.

    Raises
    ------
    UserError
        If the model cannot be had, or the window fails.
    """
    entry = resolve(plan.model) if plan.model is not None else default()
    source = open_spec(entry, finish(acquire(entry)))
    # Before Qt is loaded: nothing may come up on the screen, or wait for it.
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from gui.bench.stage import Stage, application

    report = Report(as_json)
    with application(), tempfile.TemporaryDirectory(prefix="contextscope-bench-") as folder:
        stage = Stage(plan.model or entry.name, plan.device, Path(folder))
        try:
            info = stage.open()
            if not info.layers:
                raise UserError(
                    "Cannot measure typing",
                    f"{info.title} is a table of vectors, with nothing to run and to compare with",
                    "Choose a model that has layers",
                )
            floors = stage.runner.call(partial(_floors, source, info))
            for tokens in plan.tokens:
                for line in _Length(plan, stage, floors, info, tokens).lines():
                    report.add(line)
        finally:
            stage.close()
    report.end()
    return DONE


class _Length:
    """All cases at one length of the context."""

    def __init__(
        self, plan: Plan, stage: Stage, floors: Floors, info: ModelInfo, tokens: int
    ) -> None:
        self.plan = plan
        self.stage = stage
        self.floors = floors
        self.info = info
        self.tokens = tokens
        few = max(1, plan.repeats // _FEW)
        dear = {"middle": few, "paste": few, "fresh": 1}
        session = stage.window.session
        there = {"layer": session.depth, "head": session.heads}
        self.wanted = {
            edit: dear.get(edit, plan.repeats) for edit in plan.edits if there.get(edit, 1)
        }
        self.edits: dict[str, Callable[[], Measured]] = {
            "append": self._append,
            "middle": self._middle,
            "paste": self._paste,
            "layer": self._layer,
            "head": self._head,
            "fresh": self._fresh,
        }
        self.found: dict[str, list[Measured]] = {}
        self.opened = session.layer, session.head
        self.last_layer = session.layer
        self.typed = iter(keys(4 * (plan.repeats + WARM_UPS) + 8))
        self.text = ""
        self.paragraph = ""

    def lines(self) -> Iterator[Line]:
        """Measure everything, in turn, and say what came of it."""
        room = PASTED + 4 * (self.plan.repeats + WARM_UPS)
        longest = self.info.max_tokens
        start = min(self.tokens, longest - room)
        if start < 0.8 * self.tokens:
            say(f"{self.tokens} tokens left out: {self.info.title} reads at most {longest:,}.")
            return
        for edit in self.plan.edits:
            if edit not in self.wanted:
                say(f"No {edit} at {self.tokens} tokens: {self.info.title} has none to go to.")
        self._plan_floors()
        call = self.stage.runner.call
        self.text = call(partial(cut, text=long_text(_CHARACTERS * start), tokens=start))
        made = long_text(_CHARACTERS * PASTED, seed=1)
        self.paragraph = call(partial(cut, text=made, tokens=PASTED))
        self.stage.show_text(self.text)
        for turn in range(-WARM_UPS, self.plan.repeats):
            for case in self.wanted:
                if self._due(case, turn):
                    self._measure(case, self.edits[case], keep=turn >= 0)
                    if case == "append" and "floor-step" in self.wanted_floors:
                        step = partial(self._step, self.last.suffix)
                        self._measure("floor-step", step, keep=turn >= 0)
            if "floor-eager" in self.wanted_floors and self._due("floor-eager", turn):
                self._measure("floor-eager", self._eager, keep=turn >= 0)
        for case, runs in self.found.items():
            yield Line.of(case, self.tokens, runs, self.info)

    def _plan_floors(self) -> None:
        self.wanted_floors: dict[str, int] = {}
        if self.info.kind != "decoder":
            say(
                f"No floor-step at {self.tokens} tokens: {self.info.title} has no cache to step on."
            )
        elif "append" in self.wanted:
            self.wanted_floors["floor-step"] = self.plan.repeats
        need, free = self.floors.eager_bytes(self.tokens), self.floors.free_bytes()
        if free is not None and need > _SHARE * free:
            say(
                f"No floor-eager at {self.tokens} tokens: it would take about {need / 1e9:.1f} GB "
                f"and {free / 1e9:.1f} GB are free."
            )
            return
        most = 3 if self.tokens <= _LONG else 2 if self.tokens <= 2 * _LONG else 1
        self.wanted_floors["floor-eager"] = min(self.plan.repeats, most)

    def _due(self, case: str, turn: int) -> bool:
        """Whether `case` is done in this turn: as often as wanted, evenly over all turns."""
        wanted = {**self.wanted, **self.wanted_floors}[case]
        if turn < 0:
            return wanted == self.plan.repeats or (turn == -1 and self.tokens <= _LONG)
        return turn * wanted // self.plan.repeats != (turn - 1) * wanted // self.plan.repeats

    def _return(self) -> None:
        """Show what the program opens with again: no case depends on which ones came before."""
        session, (layer, head) = self.stage.window.session, self.opened
        self._show_layer(layer)
        if session.head != head:
            self.stage.timed(lambda: session.set_head(head))

    def _show_layer(self, layer: int) -> None:
        session = self.stage.window.session
        if session.layer != layer:
            self.stage.timed(lambda: session.set_layer(layer))

    def _measure(self, case: str, edit: Callable[[], Measured], keep: bool) -> None:
        self.last = edit()
        if keep:
            self.found.setdefault(case, []).append(self.last)

    # --- edits -----------------------------------------------------------------------------------

    def _append(self) -> Measured:
        return self._type(None)

    def _middle(self) -> Measured:
        tokens = self.stage.latest.tokens
        characters = tokens[len(tokens) // 2].end
        # Qt counts in UTF-16.
        before = self.stage.window.session.text[:characters]
        return self._type(len(before.encode("utf-16-le")) // 2)

    def _type(self, place: int | None) -> Measured:
        from PySide6.QtTest import QTest

        from gui.bench.stage import put_caret

        self._return()
        editor = self.stage.editor
        put_caret(editor, place)
        key = next(self.typed)
        return self.stage.timed(lambda: QTest.keyClicks(editor, key))

    def _paste(self) -> Measured:
        from PySide6.QtCore import QMimeData

        from gui.bench.stage import put_caret

        self._return()
        editor = self.stage.editor
        before = self.stage.window.session.text
        put_caret(editor, None)
        carried = QMimeData()
        carried.setText(self.paragraph)
        # Not by way of the clipboard, which belongs to the user where there is one.
        done = self.stage.timed(lambda: editor.insertFromMimeData(carried))
        self.stage.show_text(before)
        return done

    def _layer(self) -> Measured:
        session = self.stage.window.session
        self._show_layer(self.last_layer)
        self.last_layer = (self.last_layer + 1) % (session.depth + 1)
        return self.stage.timed(lambda: session.set_layer(self.last_layer))

    def _head(self) -> Measured:
        session = self.stage.window.session
        other = 0 if session.head is None else (session.head + 1) % session.heads
        # The mean and a lone head of a model that has one are two different things.
        chosen = None if other == session.head else other
        return self.stage.timed(lambda: session.set_head(chosen))

    def _fresh(self) -> Measured:
        self._return()
        text = self.stage.window.session.text
        self.stage.show_text(self.paragraph[:1])
        # Nothing of it may be kept: another first character is another first token.
        return self.stage.show_text(text)

    # --- floors ----------------------------------------------------------------------------------

    def _step(self, suffix: int) -> Measured:
        ids = self.stage.ids
        suffix = min(max(1, suffix), len(ids))
        return self._floor(lambda _engine: self.floors.step(ids, suffix), suffix)

    def _eager(self) -> Measured:
        ids = self.stage.ids
        return self._floor(lambda _engine: self.floors.eager(ids), len(ids))

    def _floor(self, work: Callable[[Engine], float], suffix: int) -> Measured:
        from gui.bench.stage import Measured

        self.stage.settle()
        memory = self.stage.memory
        memory.begin()
        took = self.stage.runner.call(work)
        return Measured(took, 1, suffix, peak=memory.peak(), before=memory.before)


def cut(engine: Engine, text: str, tokens: int) -> str:
    """As much of `text` as is `tokens` tokens of the engine's model."""
    if engine.loaded is None:
        raise UserError("Cannot cut the text", "there is no model", "Open one")
    read = engine.loaded.reader_of_text.read(text)
    special = sum(token.special for token in read)
    plain = [token for token in read if not token.special]
    return text[: plain[min(max(1, tokens - special), len(plain)) - 1].end]


def _floors(source: ModelSource, info: ModelInfo, _engine: Engine) -> Floors:
    from engine.floors import Floors

    return Floors(source.folder, info)
