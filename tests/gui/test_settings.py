import json
import os
import sys

import pytest

from gui.settings import RECENT_MODELS, VERSION, Settings, SettingsFile, describe


@pytest.fixture
def file(tmp_path):
    return SettingsFile(tmp_path / "config" / "settings.json")


def test_every_setting_says_what_it_is():
    texts = describe()
    assert set(texts) == set(Settings.__struct_fields__)
    assert all(text.endswith(".") for text in texts.values())


def test_no_file_means_defaults_and_no_complaint(file):
    assert file.load() == (Settings(), "")


def test_what_is_saved_comes_back(file):
    settings = Settings(
        theme="light",
        geometry="AAAA",
        text="Zwei\nZeilen \U0001f415",
        model="gpt2",
        layer=7,
        head=0,
        scaling="row",
        recent=["gpt2", "builtin"],
        token_limit=64,
    )
    assert file.save(settings) == ""
    assert SettingsFile(file.path).load() == (settings, "")


def test_a_text_with_lone_surrogates_comes_back(file):
    settings = Settings(text="a\ud800b\udfff")
    assert file.save(settings) == ""
    assert SettingsFile(file.path).load()[0].text == settings.text


def test_nothing_is_written_when_nothing_changed(file):
    file.save(Settings())
    file.path.unlink()
    assert file.save(Settings()) == ""
    assert not file.path.exists()
    file.save(Settings(layer=3))
    assert file.path.exists()


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"theme": "pink"}',
        b'{"layer": "ten"}',
        b'{"token_limit": 0}',
        b'{"a field that never was": 1}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_set_aside(file, written):
    file.path.parent.mkdir()
    file.path.write_bytes(written)
    settings, complaint = file.load()
    assert settings == Settings()
    aside = file.path.with_name("settings.damaged-1.json")
    assert str(aside) in complaint
    assert "defaults" in complaint
    assert aside.read_bytes() == written
    assert not file.path.exists()


def test_damaged_files_do_not_replace_each_other(file):
    file.path.parent.mkdir()
    for number in (1, 2, 3):
        file.path.write_text(f"damage {number}")
        file.load()
    kept = sorted(path.read_text() for path in file.path.parent.glob("settings.damaged-*.json"))
    assert kept == ["damage 1", "damage 2", "damage 3"]


def test_a_newer_file_is_set_aside_and_not_lost(file):
    file.path.parent.mkdir()
    newer = json.dumps({"version": VERSION + 1, "text": "precious"})
    file.path.write_text(newer)
    settings, complaint = file.load()
    assert settings == Settings()
    assert "newer" in complaint
    file.save(settings)
    assert file.path.with_name("settings.damaged-1.json").read_text() == newer


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "config").write_text("a file is in the way")
    file = SettingsFile(tmp_path / "config" / "settings.json")
    assert file.save(Settings()).startswith("Cannot write")
    assert file.load()[0] == Settings()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_one_sentence(file):
    file.path.parent.mkdir()
    file.path.parent.chmod(0o500)
    try:
        assert "not writable" in file.save(Settings())
    finally:
        file.path.parent.chmod(0o700)


def test_a_disk_that_is_full_leaves_the_old_file(file, monkeypatch):
    file.save(Settings(text="old"))

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    assert "the disk is full" in file.save(Settings(text="new"))
    assert SettingsFile(file.path).load()[0].text == "old"
    assert [path.name for path in file.path.parent.iterdir()] == ["settings.json"]


def test_recent_models_are_few_and_each_once():
    settings = Settings()
    for number in range(RECENT_MODELS + 4):
        settings.remember_model(f"model-{number}")
    settings.remember_model("model-6")
    assert settings.recent[0] == "model-6"
    assert len(settings.recent) == RECENT_MODELS
    assert len(set(settings.recent)) == RECENT_MODELS
