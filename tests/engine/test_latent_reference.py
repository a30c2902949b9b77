"""Giving a latent space anew the states that it is shown against."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
from test_latent_space import drain, prose

from engine.engine import Engine
from engine.errors import UserError
from engine.latent.card import described
from engine.latent.corpus import Passages, Pooling, Text, collect_steps
from engine.latent.corpus_excerpts import excerpts_steps
from engine.latent.corpus_sentences import marks, sentences
from engine.latent.reference import refresh_steps, save
from engine.latent.space import Space, load
from engine.latent.train import space_steps
from engine.latent.training import Settings

LAYER = 2
CUT = Passages(tokens=1600, length=20, sentences=300)
TEXTS = (Text("one", prose(1)), Text("two", prose(2)))
QUICK = Settings(latent=3, hidden=16, epochs=1, batch=128, picture=0.0, seed=1)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return tinymodels.open_engine(tinymodels.save_model("llama", tmp_path_factory.mktemp("llama")))


def trained(engine: Engine, pooling: Pooling) -> Space:
    assert engine.loaded is not None
    states = drain(collect_steps(engine.loaded, TEXTS, [LAYER], CUT, pooling))[LAYER]
    excerpts = drain(excerpts_steps(engine.loaded, TEXTS, CUT, pooling))
    made: Space = drain(
        space_steps(engine.loaded.info, states, QUICK, CUT, "by a test", excerpts=excerpts)
    )
    return made


@pytest.fixture(scope="module")
def of_tokens(engine: Engine) -> Space:
    return trained(engine, "tokens")


def refreshed(engine: Engine, space: Space, texts: tuple[Text, ...] = TEXTS, **how: Any) -> Space:
    made: Space = drain(refresh_steps(engine.loaded, space, texts, CUT, **how))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize("pooling", ["tokens", "mean", "last"])
def test_of_the_same_texts_it_is_what_training_held_out(engine: Engine, pooling: Pooling) -> None:
    space = trained(engine, pooling)
    old = dataclasses.replace(space, points=None, texts=())
    made = refreshed(engine, old)
    # Some sentences of such prose stand in what was trained on as well; the rest is found again.
    known = {text: row for row, text in enumerate(space.texts)}
    rows = [known[text] for text in made.texts if text in known]
    assert len(rows) > 0.5 * len(space.texts)
    own = [row for row, text in enumerate(made.texts) if text in known]
    assert made.points is not None
    assert space.points is not None
    same = np.abs(made.points[own] - space.points[rows]).max(axis=1) < 0.01
    assert same.mean() > 0.9  # an excerpt may stand in two places


def test_nothing_else_changes(engine: Engine, of_tokens: Space, tmp_path: Path) -> None:
    made = refreshed(engine, of_tokens, command="python main.py latent refresh …")
    save(made, tmp_path / "new.safetensors")
    again = load(tmp_path / "new.safetensors")
    for name, tensor in of_tokens.vae.state_dict().items():
        torch.testing.assert_close(again.vae.state_dict()[name], tensor, rtol=0, atol=0)
    # The picture of the training stays: its axes are no longer found from what is shown.
    torch.testing.assert_close(again.axes, of_tokens.axes, rtol=0, atol=0)
    torch.testing.assert_close(again.origin, of_tokens.origin, rtol=0, atol=0)
    assert again.seen.tolist() == np.unique(of_tokens.seen).tolist()
    assert again.card.held_out == of_tokens.card.held_out
    assert again.texts == made.texts
    assert again.card.reference == "python main.py latent refresh …"
    told = (tmp_path / "new.md").read_text(encoding="utf-8")
    assert told == described(again.card)
    assert "latent refresh" in told
    assert "latent refresh" not in described(of_tokens.card)


def test_points_labels_and_texts_belong_together(engine: Engine, of_tokens: Space) -> None:
    """Other texts bring their own labels; one of which everything was seen has no place."""
    texts = (TEXTS[0], Text("three", prose(3, 60).upper()), Text("four", prose(4, 60).lower()))
    seen = dataclasses.replace(of_tokens, seen=marks(sentences(TEXTS[0].text)))
    made = refreshed(engine, seen, texts)
    assert made.label_names == ("three", "four")
    assert len(made.texts) == len(made.labels) == len(made.reference) == len(made.points)  # type: ignore[arg-type]
    assert set(made.labels.tolist()) == {0, 1}
    for text, label in zip(made.texts, made.labels.tolist(), strict=True):
        assert text == (text.lower() if label else text.upper())
    flat = (torch.tensor(made.points) - made.origin) @ made.axes
    np.testing.assert_allclose(made.reference, flat.numpy(), atol=0.02)
    assert set(made.card.data) == {"one", "two"}  # what it was trained on is not rewritten


def test_what_was_trained_on_is_left_out(engine: Engine, of_tokens: Space) -> None:
    half = sentences(TEXTS[0].text)[::2]
    seen = dataclasses.replace(trained(engine, "mean"), seen=np.unique(marks(half)))
    found = refreshed(engine, seen)
    assert not set(found.texts) & set(half)
    assert {found.label_names[label] for label in found.labels} == {"one", "two"}
    everything = dataclasses.replace(
        of_tokens, seen=marks(one for text in TEXTS for one in sentences(text.text))
    )
    with pytest.raises(UserError, match="comes to 0 states, and it takes 20"):
        refreshed(engine, everything)


def test_a_space_of_another_model_is_refused(of_tokens: Space, tmp_path: Path) -> None:
    other = tinymodels.open_engine(tinymodels.save_model("gpt2", tmp_path / "gpt2"))
    with pytest.raises(UserError, match="trained for"):
        refreshed(other, of_tokens)
