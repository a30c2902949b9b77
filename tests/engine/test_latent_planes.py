"""The planes of a latent space: what is drawn of the reference and the tokens in each."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tinymodels
import torch
from safetensors.torch import load_file, save_file
from test_latent_decode import LAYER, ask, space_of

from engine.engine import Engine
from engine.errors import UserError
from engine.latent.space import Space, load
from engine.types import LatentPlane, LatentQuery, LatentResult

Z = 5


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    made = tinymodels.open_engine(tinymodels.save_model("llama", tmp_path_factory.mktemp("llama")))
    assert made.loaded is not None
    made.loaded.spaces[LAYER] = space_of(made, Z)
    object.__setattr__(made.loaded.info, "provides", made.loaded.info.provides | {"latent"})
    return made


@pytest.fixture(scope="module")
def space(engine: Engine) -> Space:
    assert engine.loaded is not None
    return engine.loaded.spaces[LAYER]


def shown(engine: Engine, plane: LatentPlane) -> LatentResult:
    query = LatentQuery(LAYER, plane)
    result = ask(engine, query).results[query]
    assert isinstance(result, LatentResult)
    return result


def old(space: Space, path: Path) -> Space:
    """The space as a file has it that was written before the reference's μ was kept."""
    space.save(path)
    tensors = load_file(path)
    del tensors["reference.mu"]
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    save_file(tensors, path, json.loads(header)["__metadata__"])
    return load(path)


def test_two_dimensions_are_those_of_mu(engine: Engine, space: Space) -> None:
    found = shown(engine, (3, 1))
    assert space.points is not None
    np.testing.assert_allclose(found.xy, found.mu[:, [3, 1]])
    np.testing.assert_allclose(found.reference, space.points[:, [3, 1]])
    variance = np.exp(found.logvar[:, [3, 1]])
    expected = variance[:, :, None] * np.eye(2)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-6)
    assert (found.plane, found.planes) == ((3, 1), True)


def test_components_are_where_the_reference_differs_most(engine: Engine, space: Space) -> None:
    found = shown(engine, "components")
    assert space.points is not None
    assert found.axes is not None
    points = space.points.astype(np.float64)
    values = np.linalg.eigvalsh(np.cov(points.T, bias=True))[::-1]
    np.testing.assert_allclose(found.reference.var(axis=0), values[:2], rtol=1e-4)
    np.testing.assert_allclose(found.axes.T @ found.axes, np.eye(2), atol=1e-6)
    np.testing.assert_allclose(found.reference.mean(axis=0), 0, atol=1e-5)
    # Tokens stand among the reference as the projection has it.
    np.testing.assert_allclose(
        found.xy, (found.mu - points.mean(axis=0)) @ found.axes, atol=1e-4, rtol=1e-4
    )
    spread = np.einsum("za,tz,zb->tab", found.axes, np.exp(found.logvar), found.axes)
    np.testing.assert_allclose(found.covariance, spread, rtol=1e-4, atol=1e-6)


def test_its_own_plane_is_as_it_was_made(engine: Engine, space: Space) -> None:
    found = shown(engine, "own")
    assert found.plane == "own"
    assert found.reference is space.reference
    # Another plane is made once, so that the window can tell that it shows the same cloud.
    assert shown(engine, (0, 4)).reference is shown(engine, (0, 4)).reference


@pytest.mark.parametrize("plane", [(0, 0), (0, Z), (-1, 0)])
def test_a_plane_that_is_not_there_is_its_own(
    engine: Engine, plane: tuple[int, int], space: Space
) -> None:
    found = shown(engine, plane)
    assert found.plane == "own"
    assert found.reference is space.reference


def test_the_references_mu_is_kept_in_the_file(space: Space, tmp_path: Path) -> None:
    path = tmp_path / "space.safetensors"
    space.save(path)
    again = load(path)
    assert again.points is not None
    assert space.points is not None
    assert np.array_equal(again.points, space.points)
    for plane in ("components", (2, 4)):
        one, other = space.picture(plane), again.picture(plane)  # type: ignore[arg-type]
        assert np.array_equal(one.reference, other.reference)
        assert torch.equal(one.axes, other.axes)


def test_an_older_file_has_its_own_plane_only(engine: Engine, space: Space, tmp_path: Path) -> None:
    again = old(space, tmp_path / "space.safetensors")
    assert again.points is None
    assert engine.loaded is not None
    engine.loaded.spaces[LAYER] = again
    try:
        found = shown(engine, (1, 2))
    finally:
        engine.loaded.spaces[LAYER] = space
    assert (found.plane, found.planes) == ("own", False)
    np.testing.assert_array_equal(found.reference, space.reference)


def test_points_that_do_not_fit_the_reference_are_told_of(space: Space, tmp_path: Path) -> None:
    assert space.points is not None
    bad = dataclasses.replace(space, points=space.points[:-1].copy())
    bad.save(tmp_path / "bad.safetensors")
    with pytest.raises(UserError, match="do not fit each other"):
        load(tmp_path / "bad.safetensors")
