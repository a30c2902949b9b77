from collections import Counter

import pytest
from PySide6.QtGui import QDesktopServices, QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog, QFileDialog
from windows import make_window

from gui.actions import GROUPS, MENUS, action_specs
from gui.samples import samples
from gui.view import view_specs
from gui.widgets.shortcut_sheet import ShortcutSheet

# What the offscreen platform says of every window that is told its size.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")

SPECS = action_specs()


def test_ids_are_unique():
    assert [id for id, times in Counter(spec.id for spec in SPECS).items() if times > 1] == []


def test_no_two_commands_share_a_shortcut():
    keys = Counter(
        QKeySequence(shortcut).toString() for spec in SPECS for shortcut in spec.shortcuts
    )
    assert [key for key, times in keys.items() if times > 1] == []


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_a_command_is_fit_to_be_offered(spec):
    assert spec.menu.partition("/")[0] in [name.replace("&", "") for name in MENUS]
    assert spec.group in GROUPS
    assert spec.tip.endswith((".", "?"))
    assert spec.tip[0].isupper()
    assert spec.text
    for shortcut in spec.shortcuts:
        assert QKeySequence(shortcut).toString()


def test_every_view_and_sample_has_a_line():
    ids = {spec.id for spec in SPECS}
    assert {f"view.show.{view.key}" for view in view_specs()} <= ids
    assert sum(id.startswith("file.sample.") for id in ids) == len(samples()) > 0


def test_no_two_neighbours_have_the_same_mnemonic():
    letters = Counter()
    for spec in SPECS:
        _, mark, after = spec.text.partition("&")
        if mark and spec.group != "samples":
            letters[spec.menu, after[0].lower()] += 1
    assert [where for where, times in letters.items() if times > 1] == []


@pytest.fixture
def live(qtbot, monkeypatch):
    """A window with a model, an answer, a selection and recent models; nothing leaves the test."""
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda _url: True)
    window = make_window(qtbot)
    window.settings.recent = ["builtin", "encoder"]
    window.session.select(1)
    window.panels["attention"].focus_view()
    window.commands.refresh()
    return window


@pytest.fixture(scope="module")
def shared(qapp):
    """One window for all that can be triggered on it."""
    window = make_window()
    yield window
    window.close()
    window.deleteLater()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_a_command_can_be_triggered(shared, qtbot, monkeypatch, spec):
    window = shared
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda _url: True)
    monkeypatch.setattr(window, "close", lambda: True)
    window.show()
    window.settings.recent = ["builtin", "encoder"]
    window.session.select(1)
    window.panels["attention"].show()
    window.panels["attention"].focus_view()
    window.commands.refresh()
    action = window.commands.actions[spec.id]
    assert action.isEnabled() == spec.enabled_when(window)
    action.trigger()
    qtbot.waitUntil(lambda: not window.bridge.jobs())
    for dialog in window.findChildren(QDialog):
        dialog.close()
    if spec.id == "file.copy":
        qtbot.waitUntil(lambda: bool(window.message))
        assert "Copied" in window.message
    elif spec.checked_when is not None:
        assert action.isChecked() == spec.checked_when(window)
    window.messages.dismiss()

    def rested():
        """A change of size is heard of late, and has the settings saved soon."""
        QTest.qWait(5)
        changed = window._saver.isActive()
        window.save_settings()
        return not changed

    qtbot.waitUntil(rested)


def test_what_cannot_be_done_now_is_disabled(qtbot):
    window = make_window(qtbot, model=None)
    off = {id for id, action in window.commands.actions.items() if not action.isEnabled()}
    assert {"view.layer.up", "token.next", "token.pin", "model.cancel", "file.export"} <= off
    assert {"file.open", "model.open", "file.quit", "help.shortcuts"}.isdisjoint(off)


def test_layers_heads_and_tokens_are_stepped(live):
    session, act = live.session, live.commands.actions
    session.set_layer(2)
    act["view.layer.up"].trigger()
    assert session.layer == 3
    act["view.layer.down"].trigger()
    act["view.layer.down"].trigger()
    assert session.layer == 1
    act["view.head.next"].trigger()
    assert session.head == 0
    act["view.head.previous"].trigger()
    assert session.head is None
    act["token.next"].trigger()
    assert session.selected == 2
    act["token.pin"].trigger()
    assert session.pinned == {2}
    act["token.none"].trigger()
    act["token.previous"].trigger()
    assert session.selected == live.token_count - 1


def test_samples_become_the_context(live):
    live.commands.actions["file.sample.0"].trigger()
    assert live.session.text == samples()[0].text


def test_a_text_file_is_opened_and_saved(live, tmp_path, qtbot):
    source = tmp_path / "in.txt"
    source.write_bytes("\ufeffEin Hund.\r\nZwei.".encode())
    live.commands.actions["file.open"].trigger()
    live.findChild(QFileDialog).fileSelected.emit(str(source))
    assert live.session.text == "Ein Hund.\nZwei."
    for dialog in live.findChildren(QFileDialog):
        dialog.close()
    qtbot.waitUntil(lambda: live.findChild(QFileDialog) is None)
    live.commands.actions["file.save"].trigger()
    live.findChild(QFileDialog).fileSelected.emit(str(tmp_path / "out.txt"))
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == live.session.text


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "Cannot open"), (b"\xff\xfe\x00\x01", "UTF-8"), (b"x" * 4_000_001, "4 MB")],
    ids=["missing", "binary", "large"],
)
def test_a_file_that_is_no_text_is_one_sentence(live, tmp_path, content, said):
    before = live.session.text
    if content is not None:
        (tmp_path / "in.txt").write_bytes(content)
    live.commands.actions["file.open"].trigger()
    live.findChild(QFileDialog).fileSelected.emit(str(tmp_path / "in.txt"))
    assert said in live.message
    assert live.session.text == before


def test_the_sheet_names_every_shortcut(live):
    live.commands.actions["help.shortcuts"].trigger()
    assert live.findChild(ShortcutSheet) is not None
    lines = [line for group in live.commands.shortcut_groups().values() for line in group]
    assert len(lines) == sum(bool(spec.shortcuts) for spec in SPECS)


def test_recent_models_are_named_in_the_menu(live):
    live.commands.refresh()
    actions = live.commands.actions
    assert actions["model.recent.1"].text() == "encoder"
    assert not actions["model.recent.2"].isVisible()
    actions["model.recent.1"].trigger()
    assert live.bridge.opened[-1][0] == "encoder"
