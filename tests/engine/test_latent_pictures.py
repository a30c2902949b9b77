"""Projections: what each fits, how it places, that a long one can be ended, and what is refused."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from test_latent_decode import LAYER, TEXT, ask, drain, with_space

from engine.engine import Engine
from engine.errors import UserError
from engine.latent.corpus import States
from engine.latent.pictures import PictureResult, picture_steps, pictures_of
from engine.latent.placing import Neighbours, affinities, memberships
from engine.latent.projections.directions import Directions
from engine.latent.projections.identity import Dimensions
from engine.latent.projections.spec import ProjectionSpec, Settings, choices, projection_specs
from engine.latent.projections.tsne import Tsne
from engine.latent.projections.umap import Umap
from engine.latent.values import PlaceQuery, PlaceResult
from engine.models.sources import process
from engine.probes.place import Places

SPECS = list(projection_specs().values())
WIDTH = 32
SMALL: dict[type[Settings], Settings] = {
    Umap: Umap(neighbours=8, keep=10),
    Tsne: Tsne(perplexity=8, keep=10),
    Directions: Directions(left=(0, 1), right=(100,), bottom=(5,), top=(150, 151)),
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return with_space("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def states() -> States:
    """Two groups that lie apart in all dimensions, of 100 states in 10 passages each."""
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], 100)
    values = rng.normal(size=(200, WIDTH)) + 6 * labels[:, None]
    none = np.zeros(200, dtype=np.int64)
    return States(
        layer=LAYER,
        values=torch.tensor(values, dtype=torch.float32),
        labels=labels,
        names=("low", "high"),
        passages=np.repeat(np.arange(20), 10),
        positions=none,
        ids=none,
    )


def drawn(
    engine: Engine, states: States, key: str, settings: Settings, name: str = ""
) -> PictureResult:
    assert engine.loaded is not None
    result = drain(picture_steps(engine.loaded, states, key, settings, name))
    assert isinstance(result, PictureResult)
    return result


@pytest.fixture(scope="module")
def umap(llama: Engine, states: States) -> PictureResult:
    """What UMAP draws; a process of its own takes seconds to begin."""
    return drawn(llama, states, "umap", SMALL[Umap])


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.key)
def test_each_draws_measures_and_places(
    spec: ProjectionSpec, llama: Engine, states: States, request: pytest.FixtureRequest
) -> None:
    if spec.key == "umap":
        found = request.getfixturevalue("umap")
    else:
        found = drawn(llama, states, spec.key, SMALL.get(spec.settings, spec.settings()))
    assert found.xy.shape == (200, 2)
    assert np.isfinite(found.xy).all()
    assert found.held_out.sum() == 40
    assert len(set(states.passages[found.held_out]) & set(states.passages[~found.held_out])) == 0
    assert found.mu is not None
    assert found.mu.shape == (200, 31)
    assert found.held_out_quality is not None
    assert found.held_out_quality.judged == 40
    assert found.pca_held_out_quality is not None
    assert found.pca_held_out_quality.accuracy == 1
    for one in (found.fitted_quality, found.held_out_quality):
        assert 0 <= one.trustworthiness <= 1
        assert 0 <= one.continuity <= 1
    if spec.key in ("pca", "umap", "tsne"):
        assert found.held_out_quality.accuracy == 1
    assert llama.loaded is not None
    picture = pictures_of(llama.loaded)[spec.key]
    again = picture.place(states.values[torch.from_numpy(found.held_out.copy())])
    np.testing.assert_allclose(again, found.xy[found.held_out], atol=1e-4)
    np.testing.assert_array_equal(picture.fitted.xy, found.xy[~found.held_out])
    assert "new point" in found.placing


def test_typing_is_placed_in_a_picture_that_stays(llama: Engine, states: States) -> None:
    drawn(llama, states, "pca", Settings(), "mine")
    assert llama.loaded is not None
    fitted = pictures_of(llama.loaded)["mine"].fitted.xy.copy()
    query = PlaceQuery("mine")
    first = ask(llama, query, text=TEXT + " One")
    more = ask(llama, query, text=TEXT + " One dog")
    one, other = first.results[query], more.results[query]
    assert isinstance(one, PlaceResult)
    assert isinstance(other, PlaceResult)
    assert len(other.xy) == len(more.tokens) > len(one.xy)
    np.testing.assert_array_equal(pictures_of(llama.loaded)["mine"].fitted.xy, fitted)
    assert llama._trace is not None
    memo = llama._trace.memos["place mine"]
    assert isinstance(memo, Places)
    assert memo.placed <= len(first.tokens) + 3
    missing = PlaceQuery("no such")
    assert "not drawn yet" in ask(llama, missing).refused[missing]


def test_the_same_seed_draws_the_same(llama: Engine, states: States, umap: PictureResult) -> None:
    np.testing.assert_array_equal(drawn(llama, states, "umap", SMALL[Umap], "again").xy, umap.xy)


@pytest.mark.parametrize("key", ["pca", "identity"])
def test_fewer_points_are_said(llama: Engine, states: States, key: str) -> None:
    settings = dataclasses.replace(projection_specs()[key].settings(), points=120, seed=5)
    found = drawn(llama, states, key, settings)
    assert (len(found.rows), found.of, len(found.xy)) == (120, 200, 120)
    np.testing.assert_array_equal(found.labels, states.labels[found.rows])


def test_a_long_one_ends_at_once_and_its_process_with_it(
    llama: Engine, states: States, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PATIENCE", 60)
    assert llama.loaded is not None
    before = set(psutil.Process().children())
    steps = picture_steps(llama.loaded, states, "umap", Umap(neighbours=8), "ended")
    for progress in steps:
        if progress.text.startswith("UMAP: preparing"):
            break
    (child,) = set(psutil.Process().children()) - before
    begun = time.monotonic()
    steps.close()
    assert time.monotonic() - begun < process.PATIENCE  # it went when it was told to
    assert not child.is_running()
    assert "ended" not in pictures_of(llama.loaded)


@pytest.mark.parametrize(
    ("key", "settings", "why"),
    [
        ("umap", Umap(neighbours=190), "no 190 neighbours"),
        ("umap", Umap(metric="hamming"), "Distance is hamming"),
        ("tsne", Tsne(perplexity=80), "takes 241 points"),
        ("identity", Dimensions(second=WIDTH), "there are 32 dimensions"),
        ("identity", Dimensions(held_out=0.99), "Held out is 0.99"),
        ("directions", Directions(), "between two groups"),
        ("directions", Directions(left=(0,), right=(1,), bottom=(0,), top=(1,)), "are one"),
        ("pca", Settings(points=13, held_out=0.5), "it takes 12"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_anything_is_computed(
    llama: Engine, states: States, key: str, settings: Settings, why: str
) -> None:
    with pytest.raises(UserError, match=why):
        drawn(llama, states, key, settings)


def test_mu_takes_a_space(llama: Engine, states: States) -> None:
    with pytest.raises(UserError, match="no latent space for layer 1"):
        drawn(llama, dataclasses.replace(states, layer=1), "vae", Dimensions())
    other = drawn(llama, dataclasses.replace(states, layer=1), "pca", Settings())
    assert other.mu is None


def test_choices_are_told_to_a_form() -> None:
    told = {one.name: one for one in choices(Umap)}
    assert list(told)[:2] == ["neighbours", "spread_least"]
    assert list(told)[-3:] == ["points", "held_out", "seed"]
    assert (told["neighbours"].least, told["neighbours"].most) == (2, 200)
    assert told["metric"].options == ("euclidean", "cosine")


def test_weights_of_neighbours_are_calibrated() -> None:
    distances = np.sort(np.random.default_rng(0).random((5, 15)), axis=1)
    shares = affinities(5)(distances)
    entropy = -(shares * np.log2(shares)).sum(axis=1)
    np.testing.assert_allclose(entropy, np.log2(5), atol=1e-6)
    even = memberships(np.ones((1, 8)))
    np.testing.assert_allclose(even, 1 / 8)
    plain = memberships(distances)
    np.testing.assert_allclose(1 / plain.max(axis=1), np.log2(15), atol=1e-6)


@pytest.mark.parametrize("cosine", [False, True])
def test_a_fitted_point_is_placed_among_its_nearest(cosine: bool) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 6)).astype(np.float32)
    xy = rng.normal(size=(300, 2)).astype(np.float32)
    fitted = Neighbours(x, xy, lambda rows: rows, cosine, 1, memberships, "")
    np.testing.assert_allclose(fitted.place(2 * x if cosine else x), xy, atol=1e-6)


def test_no_projection_imports_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from engine.latent.projections.spec import projection_specs;"
        "projection_specs(); sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
