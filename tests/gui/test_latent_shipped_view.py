"""The built-in model's own latent space in the view: its planes are offered, its states found."""

from __future__ import annotations

import numpy as np
import pytest

from engine.engine import Engine
from engine.models.catalogue import resolve
from engine.models.store import fetch, open_spec
from engine.types import Request
from gui.session import Session
from gui.views.latent import VIEW

TEXT = "The dog is running in the park."


@pytest.fixture(scope="module")
def engine():
    entry, made = resolve("builtin"), Engine()
    made.load(open_spec(entry, fetch(entry)), "cpu")
    return made


@pytest.fixture
def view(qtbot, engine, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")
    session = Session(TEXT)
    session.set_model(engine.loaded.info)
    made = VIEW.create(session)
    qtbot.addWidget(made)
    made.show()
    return made


def answer(engine, view):
    queries = view.queries()
    snapshot = engine.answer(Request(1, engine.epoch, TEXT, queries))
    view.render_snapshot(snapshot)
    return snapshot.results[queries[0]]


def test_every_plane_is_offered_and_drawn(engine, view):
    own = answer(engine, view)
    model = view.plane.which.model()
    assert [model.item(row).isEnabled() for row in range(3)] == [True, True, True]
    for index, plane in ((1, "components"), (2, (0, 1))):
        view.plane.which.setCurrentIndex(index)
        view.plane.which.activated.emit(index)
        result = answer(engine, view)
        assert result.plane == plane
        np.testing.assert_array_equal(view.map.cloud.xy, result.reference)
        assert (index == 2) == np.allclose(result.reference, own.reference, atol=0.02)


def test_words_of_the_texts_are_found(engine, view):
    result = answer(engine, view)
    view.search.field.setText("holmes said")  # a word of the text, and one of its label
    found = view.search.found.tolist()
    assert 0 < len(found) < len(result.labels) / 20
    assert {result.label_names[result.labels[row]] for row in found} == {"sherlock-holmes"}
    assert all("said" in result.texts[row].replace("‹", "").replace("›", "") for row in found)
