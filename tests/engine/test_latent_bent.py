"""UMAP of a space's reference μ as a picture of the space, and its three directions."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
from test_latent_decode import LAYER, TEXT, ask, space_of

from engine.engine import Engine
from engine.errors import UserError
from engine.latent import bent
from engine.latent.projections import umap
from engine.latent.projections.spec import Cloud, check
from engine.latent.space import Space
from engine.types import LatentQuery, LatentResult, Progress

Z = 5
UMAP = LatentQuery(LAYER, "umap")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    made = tinymodels.open_engine(tinymodels.save_model("llama", tmp_path_factory.mktemp("llama")))
    assert made.loaded is not None
    object.__setattr__(made.loaded.info, "provides", made.loaded.info.provides | {"latent"})
    return made


@pytest.fixture
def space(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Space:
    """A space that nothing was fitted to, and a folder for what is kept."""
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path))
    assert engine.loaded is not None
    made = space_of(engine, Z)
    engine.loaded.spaces[LAYER] = made
    return made


@pytest.fixture
def bends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In place of UMAP: places that follow from the first two coordinates. Lists what it fitted."""
    fitted: list[int] = []

    def fit(cloud: Cloud, _settings: object) -> Generator[Progress, None, Any]:
        fitted.append(len(cloud.chosen))
        for step in range(3):
            yield Progress(f"UMAP: step {step}", step / 3)
        return SimpleNamespace(xy=np.tanh(cloud.chosen[:, :2]).astype(np.float32))

    monkeypatch.setattr(umap, "fit", fit)
    return fitted


def drain(steps: Generator[Progress, None, str]) -> str:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return str(stop.value)


def shown(engine: Engine, query: LatentQuery, text: str = TEXT) -> LatentResult:
    result = ask(engine, query, text=text).results[query]
    assert isinstance(result, LatentResult)
    return result


def test_every_reference_state_is_fitted_and_tokens_are_placed_among_them(
    engine: Engine, space: Space, bends: list[int]
) -> None:
    """That UMAP itself fits and places is shown in test_latent_pictures.py."""
    check(bent.SETTINGS, "UMAP of μ")
    assert (bent.SETTINGS.held_out, bent.SETTINGS.points) == (0, 0)
    assert space.points is not None
    assert shown(engine, UMAP).plane == "own"
    assert drain(bent.bent_steps(space)) == ""
    assert bends == [len(space.points)]
    found = shown(engine, UMAP)
    assert found.plane == "umap"
    np.testing.assert_allclose(found.reference, np.tanh(space.points[:, :2]), atol=1e-6)
    assert found.axes is None
    assert np.isnan(found.covariance).all()
    # What was fitted is its own nearest point, so that it is placed near where it was drawn.
    again = space.picture("umap").project(torch.from_numpy(np.array(space.points))).numpy()
    apart = np.linalg.norm(again - found.reference, axis=1)
    assert np.median(apart) < 0.2 * np.ptp(found.reference, axis=0).max()


def test_typing_never_changes_what_was_fitted(
    engine: Engine, space: Space, bends: list[int]
) -> None:
    drain(bent.bent_steps(space))
    first, more = shown(engine, UMAP), shown(engine, UMAP, TEXT + " and the dog ran")
    assert more.reference is first.reference
    assert len(more.xy) > len(first.xy)
    np.testing.assert_array_equal(more.xy[: len(first.xy) - 1], first.xy[:-1])
    assert np.isfinite(more.xy).all()
    assert space.points is not None
    assert bends == [len(space.points)]


def test_what_was_fitted_is_found_again(engine: Engine, space: Space, bends: list[int]) -> None:
    drain(bent.bent_steps(space))
    found = shown(engine, UMAP)
    assert engine.loaded is not None
    engine.loaded.spaces[LAYER] = dataclasses.replace(space)  # as the next start reads it
    again = shown(engine, UMAP)
    assert again.plane == "umap"
    np.testing.assert_array_equal(again.reference, found.reference)
    np.testing.assert_array_equal(again.xy, found.xy)
    assert len(bends) == 1
    assert space.points is not None
    other = dataclasses.replace(space, points=space.points + np.float32(0.5))
    assert other.picture("umap").plane == "own"


@pytest.mark.parametrize("what", [b"", b"no tensors at all"])
def test_a_damaged_file_is_fitted_anew(space: Space, bends: list[int], what: bytes) -> None:
    drain(bent.bent_steps(space))
    assert space.points is not None
    bent._path(space.points).write_bytes(what)
    again = dataclasses.replace(space)
    assert again.picture("umap").plane == "own"
    drain(bent.bent_steps(again))
    assert again.picture("umap").plane == "umap"
    assert len(bends) == 2


def test_what_cannot_be_kept_on_disk_is_shown_all_the_same(
    space: Space, bends: list[int], tmp_path: Path
) -> None:
    (tmp_path / "planes").write_text("a file where the folder would be")
    assert "Cannot write" in drain(bent.bent_steps(space))
    assert space.picture("umap").plane == "umap"


def test_cancelling_leaves_all_as_it_was(space: Space, bends: list[int], tmp_path: Path) -> None:
    steps = bent.bent_steps(space)
    while not next(steps).text.startswith("UMAP: step"):
        pass
    steps.close()
    assert space.picture("umap").plane == "own"
    assert not list(tmp_path.rglob("umap-*"))


@pytest.mark.parametrize("count", [None, 0, 15])
def test_what_cannot_be_fitted_is_said_at_once(
    space: Space, bends: list[int], count: int | None
) -> None:
    assert space.points is not None
    points = None if count is None else space.points[:count].copy()
    poor = dataclasses.replace(space, points=points)
    why = "trained plane only" if count is None else f"has {count} reference states, and it takes"
    with pytest.raises(UserError, match=why):
        next(bent.bent_steps(poor))
    assert not bends


def test_a_point_that_is_no_number_has_no_place(space: Space, bends: list[int]) -> None:
    drain(bent.bent_steps(space))
    z = torch.zeros(3, Z)
    z[1, 2] = torch.nan
    places = space.picture("umap").project(z)
    assert torch.isnan(places).all(dim=1).tolist() == [False, True, False]


def test_three_dimensions_are_those_of_mu(engine: Engine, space: Space) -> None:
    found = shown(engine, LatentQuery(LAYER, (3, 1, 0)))
    assert space.points is not None
    assert found.plane == (3, 1, 0)
    np.testing.assert_allclose(found.xy, found.mu[:, [3, 1, 0]])
    np.testing.assert_allclose(found.reference, space.points[:, [3, 1, 0]])
    variance = np.exp(found.logvar[:, [3, 1, 0]])
    np.testing.assert_allclose(found.covariance, variance[:, :, None] * np.eye(3), rtol=1e-6)
    flat = shown(engine, LatentQuery(LAYER, (3, 1)))
    assert flat.xy.shape[1] == 2
    np.testing.assert_array_equal(flat.xy, found.xy[:, :2])


def test_three_components_begin_with_the_two(engine: Engine, space: Space) -> None:
    three = shown(engine, LatentQuery(LAYER, "three components"))
    two = shown(engine, LatentQuery(LAYER, "components"))
    assert three.axes is not None
    assert three.axes.shape == (Z, 3)
    np.testing.assert_allclose(three.axes.T @ three.axes, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(three.reference[:, :2], two.reference, atol=1e-5)
    assert np.all(np.diff(three.reference.var(axis=0)) < 0)


@pytest.mark.parametrize("plane", [(0, 1, 1), (0, 1, Z)])
def test_three_that_are_not_there_are_the_spaces_own(
    engine: Engine, space: Space, plane: tuple[int, int, int]
) -> None:
    assert shown(engine, LatentQuery(LAYER, plane)).plane == "own"
