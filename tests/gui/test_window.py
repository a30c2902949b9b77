from dataclasses import replace

import pytest
from fakes import FakeBridge, model_info
from PySide6.QtCore import QPoint, QSize, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QToolButton, QWidget
from windows import asked, make_window, settle

from engine.types import Progress
from gui import app as program
from gui import glossary, theme
from gui.settings import Settings, SettingsFile
from gui.view import view_specs

# What the offscreen platform says of every window that is told its size.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")

KEYS = [spec.key for spec in view_specs()]
NEEDY = [spec.key for spec in view_specs() if spec.needs]
SHOWN = [spec.key for spec in view_specs() if spec.shown]


# --- panels ---------------------------------------------------------------------------------------


def test_every_view_stands_in_the_window(qtbot):
    window = make_window(qtbot)
    assert list(window.panels) == KEYS
    for key, panel in window.panels.items():
        assert panel.isVisible() == panel.spec.shown, key
        if not panel.spec.shown:
            continue
        assert panel.state == "picture", key
        assert panel.width() >= 200, key
        assert panel.height() >= 100, key
        assert window.rect().contains(panel.geometry()), key


def test_a_view_can_be_hidden_floated_and_brought_back(qtbot):
    window = make_window(qtbot)
    for key, panel in window.panels.items():
        action = window.commands.actions[f"view.show.{key}"]
        panel.close()
        window.commands.refresh()
        assert not panel.isVisible()
        assert not action.isChecked()
        action.trigger()
        assert panel.isVisible()
        assert action.isChecked()
        panel.setFloating(True)
        assert panel.isFloating()
        panel.setFloating(False)
        panel.close()
    window.commands.actions["view.reset"].trigger()
    assert all(panel.isVisible() == panel.spec.shown for panel in window.panels.values())
    assert not any(panel.isFloating() for panel in window.panels.values())


def test_a_hidden_view_is_not_asked_for(qtbot):
    window = make_window(qtbot)
    for number, key in enumerate(NEEDY):
        panel = window.panels[key]
        wanted = set(panel.view.queries())
        others = {q for k in KEYS if k != key for q in window.panels[k].view.queries()}
        panel.close()
        window.session.set_text(f"Something else, {number}.")
        settle(window, qtbot)
        assert set(window.bridge.requests[-1].queries).isdisjoint(wanted - others), key
        panel.show()
        qtbot.waitUntil(lambda wanted=wanted: wanted <= set(window.bridge.requests[-1].queries))
        settle(window, qtbot)
        assert panel.state == "picture", key


def test_a_panel_explains_itself(qtbot):
    window = make_window(qtbot)
    for panel in window.panels.values():
        found = panel.titleBarWidget().findChildren(QToolButton)
        buttons = {button.accessibleName(): button for button in found}
        assert panel.spec.about in buttons[f"About {panel.spec.title}"].toolTip()
        assert len(buttons[f"Save {panel.spec.title}"].menu().actions()) >= 9
        for button in found:
            assert button.focusPolicy() & Qt.FocusPolicy.TabFocus
            assert button.toolTip()


def test_a_panel_without_text_says_what_it_is_for(qtbot):
    window = make_window(qtbot)
    window.session.set_text("")
    settle(window, qtbot)
    for key in set(NEEDY) & set(SHOWN):
        assert window.panels[key].state == "empty"
        assert window.panels[key].spec.empty in window.panels[key].message
    window.session.set_text("Back again.")
    settle(window, qtbot)
    assert {window.panels[key].state for key in SHOWN} == {"picture"}


def test_a_view_the_model_cannot_serve_says_why_and_is_not_asked_for(qtbot):
    window = make_window(qtbot, "encoder")
    settle(window, qtbot)
    panel = window.panels["latent"]
    assert panel.state == "unfit"
    assert "No VAE has been trained" in panel.message
    assert "LatentQuery" not in asked(window)
    window.open_model("builtin")
    qtbot.waitUntil(lambda: window.session.model.name == "builtin")
    settle(window, qtbot)
    assert panel.state == "picture"
    assert "LatentQuery" in asked(window)


def test_a_failure_keeps_the_last_picture(qtbot):
    window = make_window(qtbot)
    settle(window, qtbot)
    window.bridge.auto = False
    window.session.set_text("This one comes to nothing.")
    window.bridge.fail("Cannot show this text: it is too long. Shorten it.")
    panel = window.panels["attention"]
    assert panel.state == "picture"
    assert panel.message == "Cannot show this text: it is too long. Shorten it."
    assert "stale" in window.status.words
    window.bridge.auto = True
    window.session.set_text("This one is fine.")
    settle(window, qtbot)
    assert panel.message == ""
    assert "live" in window.status.words


def test_what_has_no_answer_is_said_in_place_of_another_layers_picture(qtbot):
    window = make_window(qtbot)
    panel = window.panels["attention"]
    assert panel.state == "picture"
    latest = window.controller.latest
    refused = dict.fromkeys(latest.request.queries, "Layer 2 has no attention")
    window.controller.take(replace(latest, results={}, refused=refused))
    qtbot.waitUntil(lambda: panel.state == "failed")
    assert "Layer 2 has no attention" in panel.message


def test_a_failure_with_no_picture_yet_is_shown_in_its_place(qtbot):
    bridge = FakeBridge()
    bridge.auto = False
    window = make_window(qtbot, None, bridge=bridge)
    window.open_model("builtin")
    qtbot.waitUntil(lambda: bool(bridge.requests))
    bridge.fail("Cannot show this text: it is too odd. Write another.")
    panel = window.panels["attention"]
    assert panel.state == "failed"
    assert "too odd" in panel.message
    assert window.panels["tokens"].state == "picture"  # one must still be able to write


def test_the_busy_mark_comes_late_and_only_where_there_is_no_picture(qtbot):
    window = make_window(qtbot)
    window.session.set_text("")
    settle(window, qtbot)
    panel = window.panels["attention"]
    window.bridge.auto = False
    window.session.set_text("Text again.")
    assert panel.state == "empty"
    qtbot.waitUntil(lambda: panel.state == "loading")
    window.bridge.answer()
    qtbot.waitUntil(lambda: panel.state == "picture")
    window.session.set_text("More text.")
    qtbot.waitUntil(lambda: "busy" in window.status.words)
    assert panel.state == "picture"
    window.bridge.answer()
    qtbot.waitUntil(lambda: "live" in window.status.words)


def test_before_a_model_is_there_panels_wait_for_it_and_one_can_write(qtbot):
    window = make_window(qtbot, None)
    assert "Waiting for a model" in window.panels["attention"].message
    assert window.panels["tokens"].state == "picture"
    window.editor.insertPlainText("Early ")
    assert window.session.text.endswith("Early ")
    window.open_model("builtin")
    settle(window, qtbot)
    assert window.panels["attention"].state == "picture"
    assert window.controller.latest.request.text == window.session.text


# --- models ---------------------------------------------------------------------------------------


def test_another_model_or_device_keeps_the_text(qtbot):
    window = make_window(qtbot)
    window.session.set_text("Mine, and not to be lost.")
    window.top.modelChosen.emit("smollm2-135m-instruct")
    qtbot.waitUntil(lambda: window.session.model.name == "smollm2-135m-instruct")
    window.top.deviceChosen.emit("cpu")
    qtbot.waitUntil(lambda: not window.bridge.jobs())
    settle(window, qtbot)
    assert window.session.text == "Mine, and not to be lost."
    assert window.editor.toPlainText() == "Mine, and not to be lost."
    assert window.bridge.opened[-1] == ("smollm2-135m-instruct", "cpu")
    assert window.settings.recent[0] == "smollm2-135m-instruct"


def test_the_first_look_at_a_model_is_a_third_of_the_way_up(qtbot):
    window = make_window(qtbot)
    assert window.session.layer == 2
    window.open_model("smollm2-135m-instruct")
    qtbot.waitUntil(lambda: window.session.model.name == "smollm2-135m-instruct")
    assert window.session.layer == 4
    window.session.set_layer(5)
    window.open_model("builtin")
    qtbot.waitUntil(lambda: window.session.model.name == "builtin")
    assert window.session.layer == 5


def test_an_unknown_model_is_a_sentence_and_the_old_one_stays(qtbot):
    window = make_window(qtbot)
    window.open_model("no-such-model")
    qtbot.waitUntil(lambda: bool(window.message))
    assert "the hub knows no such model" in window.message
    assert "Builtin stays open." in window.message
    assert window.session.model.name == "builtin"
    assert window.opening == ""
    assert window.status.job == ""
    window.messages.dismiss()
    assert window.message == ""


def test_a_download_shows_how_far_it_is_and_can_be_cancelled(qtbot):
    window = make_window(qtbot)
    window.bridge.held.add("gpt2")
    window.open_model("gpt2")
    job = window.bridge.jobs()[-1]
    window.bridge.progressed.emit(Progress("Fetching GPT-2", 0.37, job))
    assert "Fetching GPT-2" in window.status.words
    assert "37%" in window.status.words
    window.session.set_text("Typing goes on.")
    settle(window, qtbot)
    window.commands.actions["model.cancel"].trigger()
    assert window.bridge.cancelled == [job]
    assert "no job" in window.status.words
    assert window.session.model.name == "builtin"


def test_the_status_line_says_what_an_answer_cost(qtbot):
    window = make_window(qtbot)
    settle(window, qtbot)
    qtbot.waitUntil(lambda: " ms" in window.status.words)
    for words in ("live", "Builtin · cpu", "8 tokens", "1 pass of 1 token", "8 MB", "VAE ready"):
        assert words in window.status.words


def test_the_status_line_keeps_its_places(qtbot):
    window = make_window(qtbot)
    settle(window, qtbot)
    field = window.status._memory
    before = field.mapTo(window, QPoint(0, 0))
    window.session.set_text(" ".join(["word"] * 300))
    settle(window, qtbot)
    QApplication.processEvents()
    assert "300 tokens" in window.status.words
    assert field.mapTo(window, QPoint(0, 0)) == before


def test_the_top_bar_and_the_session_follow_each_other(qtbot):
    window = make_window(qtbot)
    window.session.set_layer(3)
    assert window.top.layer.words == "3"
    assert window.top.head.words == "all"
    window.top.headChosen.emit(2)
    assert window.session.head == 2
    assert window.top.head.words == "2"
    window.top.layerChosen.emit(99)
    assert window.session.layer == 6


def test_the_token_limit_is_asked_for_at_once_and_remembered(qtbot):
    window = make_window(qtbot)
    window.commands.actions["edit.limit.256"].trigger()
    settle(window, qtbot)
    assert window.bridge.requests[-1].limit == 256
    assert window.settings.token_limit == 256
    assert window.commands.actions["edit.limit.256"].isChecked()
    window.commands.actions["edit.limit.own"].trigger()
    settle(window, qtbot)
    assert window.bridge.requests[-1].limit is None


# --- what is remembered ---------------------------------------------------------------------------


def test_text_layout_theme_and_place_come_back(qtbot, qapp):
    window = make_window(qtbot)
    window.session.set_text("Remember me.")
    window.set_theme("light")
    window.session.set_layer(4)
    window.session.set_head(1)
    window.session.set_scaling("row")
    window.panels["latent"].close()
    window.resize(780, 620)
    settle(window, qtbot)
    window.close()

    settings, complaint = SettingsFile().load()
    assert complaint == ""
    assert settings.theme == "light"
    again = make_window(qtbot, settings=settings)
    settle(again, qtbot)
    assert again.session.text == "Remember me."
    assert again.editor.toPlainText() == "Remember me."
    assert (again.session.layer, again.session.head) == (4, 1)
    assert again.session.scaling == "row"
    assert again.panels["latent"].isHidden()
    assert again.panels["attention"].isVisible()
    assert again.size() == QSize(780, 620)


def test_changes_are_written_before_the_window_closes(qtbot):
    window = make_window(qtbot)
    window._saver.setInterval(10)
    window.session.set_text("Kill me now.")
    qtbot.waitUntil(lambda: SettingsFile().load()[0].text == "Kill me now.")


def test_a_settings_file_that_cannot_be_written_is_one_sentence(qtbot, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CONTEXTSCOPE_CONFIG", str(tmp_path / "file"))
    window = make_window(qtbot)
    window.save_settings()
    window.session.set_text("More.")
    window.save_settings()
    assert window.message.count("Cannot write") == 1
    assert "will not remember" in window.message


def test_a_damaged_layout_is_no_obstacle(qtbot):
    window = make_window(qtbot, settings=Settings(model="builtin", geometry="!!", layout="AAAA"))
    assert all(panel.isVisible() == panel.spec.shown for panel in window.panels.values())


# --- colours --------------------------------------------------------------------------------------


def test_a_change_of_theme_repaints_everything(qtbot, qapp):
    theme.apply(qapp, "dark")
    window = make_window(qtbot)
    settle(window, qtbot)

    def lightness():
        image = window.grab().toImage()
        shown = [panel for panel in window.panels.values() if panel.isVisible()]
        assert len(shown) >= 5
        # Where one that is hidden would be, anything may stand.
        places = [panel.geometry().bottomRight() for panel in shown]
        return [image.pixelColor(place - QPoint(3, 3)).lightness() for place in places]

    dark = lightness()
    window.set_theme("light")
    QApplication.processEvents()
    light = lightness()
    assert max(dark) < 128 < min(light)
    assert window.settings.theme == "light"
    window.commands.actions["view.theme.toggle"].trigger()
    assert theme.current().dark


def test_the_system_theme_is_followed_only_where_it_is_asked_for(qapp, monkeypatch):
    monkeypatch.setattr(theme, "system_is_dark", lambda: True)
    program.follow_system(qapp, Settings(theme="system"))
    assert theme.current().dark
    monkeypatch.setattr(theme, "system_is_dark", lambda: False)
    program.follow_system(qapp, Settings(theme="dark"))
    assert theme.current().dark
    program.follow_system(qapp, Settings(theme="system"))
    assert not theme.current().dark


# --- saving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".csv", ".npz"])
def test_a_view_is_saved_and_the_window_says_so(qtbot, tmp_path, suffix):
    window = make_window(qtbot)
    path = tmp_path / f"map{suffix}"
    window.saving.save("attention", path)
    qtbot.waitUntil(lambda: bool(window.message))
    assert window.message == f"Saved {path}."
    assert path.stat().st_size > 100


def test_a_picture_is_copied(qtbot):
    window = make_window(qtbot)
    QGuiApplication.clipboard().clear()
    window.saving.run("attention", "copy")
    qtbot.waitUntil(lambda: bool(window.message))
    assert QGuiApplication.clipboard().image().width() > 400


def test_a_place_that_cannot_be_written_is_one_sentence(qtbot, tmp_path):
    window = make_window(qtbot)
    (tmp_path / "file").write_text("")
    window.saving.save("attention", tmp_path / "file" / "map.csv")
    qtbot.waitUntil(lambda: bool(window.message))
    assert window.message.startswith("Cannot write")


def test_the_suggested_name_fits_every_file_system(qtbot):
    window = make_window(qtbot)
    window.session.model = model_info("owner/na me:1")
    for key in KEYS:
        assert set(window.saving.suggest(key)).isdisjoint('/\\:*?"<>| ')


# --- reading and hearing --------------------------------------------------------------------------


def test_the_context_has_the_focus_on_start(qtbot):
    window = make_window(qtbot)
    assert window.focusWidget() is window.editor


def test_every_control_of_the_window_has_a_name_and_a_tip(qtbot):
    window = make_window(qtbot)
    controls = [
        control
        for bar in (window.top, window.status)
        for control in bar.findChildren(QWidget)
        if control.metaObject().className() in ("Picker", "QSpinBox", "IconButton")
    ]
    assert len(controls) >= 9
    for control in controls:
        assert control.accessibleName()
        assert control.toolTip()


def test_the_glossary_explains_in_one_sentence():
    assert len(glossary.TERMS) >= 25
    for name, term in glossary.TERMS.items():
        assert term.text.endswith("."), name
        assert len(term.text) < 160, name
        assert name in glossary.tip(name)
    with pytest.raises(KeyError):
        glossary.tip("phlogiston")
