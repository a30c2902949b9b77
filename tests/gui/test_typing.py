"""A sentence typed into the real window, key by key, with the real engine behind it."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication
from windows import make_window

sys.path.append(str(Path(__file__).resolve().parent.parent / "engine"))
import tinymodels

from engine.models.families.decoder import DecoderReader
from engine.paths import RESOURCES
from engine.types import Snapshot
from gui.bridge import Bridge
from gui.settings import Settings
from gui.window import MainWindow

SENTENCE = "The dog is running in the park."


class Watch:
    """Notes each forward pass: how many tokens it had, and how many ran at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passes: list[tuple[int, int, int]] = []  # (tokens of the text, kept, run)
        self.at_once = 0
        self.most_at_once = 0
        self.threads: set[str] = set()
        read = DecoderReader.read

        def watched(reader: Any, trace: Any, ids: list[int], *rest: Any) -> Any:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.threads.add(threading.current_thread().name)
            try:
                trace, ran = read(reader, trace, ids, *rest)
            finally:
                self.at_once -= 1
            self.passes.append((len(ids), ran.reused, ran.suffix))
            return trace, ran

        monkeypatch.setattr(DecoderReader, "read", watched)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


@pytest.fixture
def window(qtbot: Any, request: pytest.FixtureRequest, watch: Watch) -> Iterator[MainWindow]:
    bridge = Bridge()
    spec = getattr(request, "param", "builtin")
    window = make_window(qtbot, model=None, settings=Settings(model=spec, text=""), bridge=bridge)
    bridge.start()
    window.open_model(spec)
    qtbot.waitUntil(lambda: window.session.model is not None, timeout=120_000)
    yield window
    window.close()
    bridge.close()


def answered(window: MainWindow, text: str) -> bool:
    latest = window.controller.latest
    return latest is not None and latest.request.text == text


def pictures(window: MainWindow) -> dict[str, str]:
    """A fingerprint of what each visible view shows."""
    found = {}
    for key, panel in window.panels.items():
        if panel.view.isVisible():
            image = panel.view.grab().toImage()
            found[key] = hashlib.sha256(bytes(image.constBits())).hexdigest()
    return found


def test_each_key_changes_every_visible_view(qtbot: Any, window: MainWindow, watch: Watch) -> None:
    editor = window.editor
    assert editor is not None
    editor.setFocus()
    qtbot.keyClick(editor, SENTENCE[0])
    qtbot.waitUntil(lambda: answered(window, SENTENCE[0]))
    shown = pictures(window)
    assert {"tokens", "embedding", "attention", "mosaic"} <= set(shown)
    tokens = 1
    for index, key in enumerate(SENTENCE[1:], 1):
        before = len(watch.passes)
        QApplication.processEvents()
        qtbot.keyClick(editor, " " if key == " " else key)
        text = SENTENCE[: index + 1]
        qtbot.waitUntil(lambda text=text: answered(window, text))
        latest: Snapshot | None = window.controller.latest
        assert latest is not None
        fresh = watch.passes[before:]
        assert all(run <= count - kept for count, kept, run in fresh)
        assert sum(run for _, _, run in fresh) <= max(2, abs(len(latest.tokens) - tokens) + 2)
        tokens = len(latest.tokens)
        now = pictures(window)
        # One token attends to itself alone, whatever it is.
        alone = {"mosaic"} if tokens == 1 else set()
        same = [view for view in shown.keys() - alone if now[view] == shown[view]]
        assert not same, f"after {text!r} nothing changed in {same}"
        shown = now
    assert window.session.text == SENTENCE
    assert watch.most_at_once == 1
    assert watch.threads == {"contextscope-engine"}


def test_keys_faster_than_passes_end_in_the_last_text(
    qtbot: Any, window: MainWindow, watch: Watch
) -> None:
    editor = window.editor
    assert editor is not None
    editor.setFocus()
    for _ in range(4):
        qtbot.keyClicks(editor, SENTENCE)
    qtbot.waitUntil(lambda: answered(window, SENTENCE * 4), timeout=60_000)
    assert len(watch.passes) <= len(SENTENCE) * 4
    assert watch.most_at_once == 1


def test_layer_head_and_hidden_views_run_no_pass(
    qtbot: Any, window: MainWindow, watch: Watch
) -> None:
    window.session.set_text(SENTENCE)
    qtbot.waitUntil(lambda: answered(window, SENTENCE), timeout=60_000)
    ran = sum(run for _, _, run in watch.passes)
    model = window.session.model
    assert model is not None
    for layer in range(model.layers + 1):
        window.session.set_layer(layer)
        window.session.set_head(layer % model.heads)
        qtbot.waitUntil(lambda layer=layer: _shows_layer(window, layer))
    window.panels["mosaic"].close()
    window.session.set_layer(0)
    qtbot.waitUntil(lambda: _shows_layer(window, 0))
    latest = window.controller.latest
    assert latest is not None
    assert not [q for q in latest.request.queries if type(q).__name__ == "MosaicQuery"]
    assert sum(run for _, _, run in watch.passes) == ran


def _shows_layer(window: MainWindow, layer: int) -> bool:
    latest = window.controller.latest
    asked = latest.request.queries if latest else ()
    return any(type(q).__name__ == "EmbeddingQuery" and q.layer == layer for q in asked)


def test_closing_in_mid_run_ends_at_once(qtbot: Any, window: MainWindow) -> None:
    window.session.set_text(SENTENCE * 30)
    window.close()
    assert not [t for t in threading.enumerate() if t.name == "contextscope-engine"]


def test_another_model_keeps_the_text(qtbot: Any, window: MainWindow, tmp_path: Path) -> None:
    window.session.set_text(SENTENCE)
    qtbot.waitUntil(lambda: answered(window, SENTENCE), timeout=60_000)
    folder = tinymodels.save_model("bert", tmp_path / "bert")
    window.open_model(str(folder))
    qtbot.waitUntil(lambda: window.session.model.kind == "encoder", timeout=60_000)
    qtbot.waitUntil(lambda: answered(window, SENTENCE), timeout=60_000)
    assert window.session.text == SENTENCE
    assert window.controller.latest.model.kind == "encoder"


def test_a_model_that_is_not_there_is_a_sentence_and_the_old_one_stays(
    qtbot: Any, window: MainWindow, tmp_path: Path
) -> None:
    window.session.set_text(SENTENCE)
    qtbot.waitUntil(lambda: answered(window, SENTENCE), timeout=60_000)
    (tmp_path / "empty").mkdir()
    window.open_model(str(tmp_path / "empty"))
    qtbot.waitUntil(lambda: "empty" in window.message, timeout=60_000)
    assert "Traceback" not in window.message
    window.session.set_text(SENTENCE + " It")
    qtbot.waitUntil(lambda: answered(window, SENTENCE + " It"), timeout=60_000)
    assert window.session.model.name == "builtin"


@pytest.mark.model
@pytest.mark.parametrize("window", ["smollm2-135m-instruct"], indirect=True)
def test_each_key_changes_every_view_of_the_default_model(
    qtbot: Any, window: MainWindow, watch: Watch
) -> None:
    test_each_key_changes_every_visible_view(qtbot, window, watch)
    assert "latent" in pictures(window)


def test_the_built_in_model_is_there() -> None:
    assert (RESOURCES / "models" / "builtin" / "model.safetensors").is_file()
