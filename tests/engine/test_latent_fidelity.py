"""How much of what a model says survives a space."""

from __future__ import annotations

from pathlib import Path

import pytest
import tinymodels
from test_latent_decode import LAYER, drain, with_space

from engine.errors import UserError
from engine.latent.corpus import Text
from engine.latent.fidelity import fidelity_steps

TEXTS = [Text("one", 4 * tinymodels.TEXT)]


def test_fidelity_of_a_space_that_keeps_nearly_all_is_high(tmp_path: Path) -> None:
    engine = with_space("llama", tmp_path)
    assert engine.loaded is not None
    found = drain(fidelity_steps(engine.loaded, LAYER, TEXTS, states=20, length=40))
    assert (found.layer, found.latent, found.states) == (LAYER, 31, 20)
    # The space is PCA of all dimensions but one, its posterior drawn in a little.
    assert found.pca_divergence < found.divergence < 0.1 * found.mean_divergence
    assert found.agreement > found.mean_agreement


def test_a_model_that_predicts_nothing_has_none(tmp_path: Path) -> None:
    engine = with_space("bert", tmp_path)
    assert engine.loaded is not None
    with pytest.raises(UserError, match="predicts no next token"):
        drain(fidelity_steps(engine.loaded, LAYER, TEXTS))
