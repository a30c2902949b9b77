"""The sample texts of the menu."""

from __future__ import annotations

import pytest

from engine.errors import UserError
from gui.samples import FILE, read_samples, samples

DOG = "The dog is running in the park."


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
