"""The latent map in three directions and by UMAP: what is asked, shown, decoded and saved."""

from __future__ import annotations

import io
from dataclasses import replace
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
from fakes import FakeBridge, make_snapshot, model_info, request
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtWidgets import QLayout
from test_plane_choice import PLAIN, choose
from windows import make_window

from engine.errors import UserError
from engine.types import Failure, JobDone, LatentQuery, LatentResult, Progress
from gui.figures import latent as figure
from gui.mapping import MapChoice, MapMade, map_job
from gui.session import Session
from gui.turning import Turn, middle_of, seen_from
from gui.views.latent import VIEW

TEXT = "The dog is running in the park."
UMAP, COMPONENTS, DIMENSIONS = 3, 4, 5
SIZE = 5


@pytest.fixture(autouse=True)
def still(monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")


@pytest.fixture
def view(qtbot):
    session = Session(TEXT)
    session.set_model(model_info(latent_layers=(2, 4)))
    made = VIEW.create(session)
    qtbot.addWidget(made)
    made.layout().setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
    made.resize(620, 360)
    made.show()
    return made


def made_of(query: LatentQuery, result: LatentResult, fitted: bool = True) -> LatentResult:
    """An answer of a space of five dimensions, as the engine would give it."""
    dice = np.random.default_rng(0)
    mu = dice.normal(size=(len(result.xy), SIZE)).astype(np.float32)
    points = dice.normal(size=(300, SIZE)).astype(np.float32)
    plane = query.plane if fitted or query.plane != "umap" else "own"
    if plane == "umap":
        axes, xy, reference = None, np.tanh(mu[:, :2]), np.tanh(points[:, :2])
        covariance = np.full((len(mu), 2, 2), np.nan, np.float32)
    else:
        chosen = (
            list(plane) if isinstance(plane, tuple) else range(2 + (plane == "three components"))
        )
        axes = np.eye(SIZE, dtype=np.float32)[:, list(chosen)]
        xy, reference = mu @ axes, points @ axes
        covariance = np.tile(np.diag([4.0, 1.0, 0.25][: axes.shape[1]]), (len(mu), 1, 1))
    return replace(
        result,
        mu=mu,
        logvar=mu,
        xy=xy,
        reference=reference,
        covariance=covariance.astype(np.float32),
        axes=axes,
        reference_mu=points,
        plane=plane,
        planes=True,
        card=MappingProxyType(PLAIN),
    )


def answer(view, fitted=True):
    query = next(one for one in view.queries() if isinstance(one, LatentQuery))
    snapshot = make_snapshot(request(TEXT, query), view.session.model)
    told = made_of(query, snapshot.results[query], fitted)
    view.render_snapshot(replace(snapshot, results=MappingProxyType({query: told})))
    return told


# --- three directions ----------------------------------------------------------------------------


def test_three_directions_are_asked_for_and_named(view):
    answer(view)
    choose(view.plane.which, COMPONENTS)
    assert view.queries()[0] == LatentQuery(2, "three components")
    answer(view)
    assert view.map.solid
    assert "first three PCs of 5 dimensions" in view.caption()
    choose(view.plane.which, DIMENSIONS)
    assert view.plane.third.isVisible()
    choose(view.plane.third, 0)
    assert view.queries()[0].plane == (1, 2, 0)  # the others give way
    answer(view)
    assert "z₂, z₃ and z₁ of 5 dimensions" in view.caption()
    choose(view.plane.which, 0)
    answer(view)
    assert not view.map.solid
    assert not view.plane.third.isVisible()


def test_three_dimensions_are_never_the_same(view):
    answer(view)
    choose(view.plane.which, DIMENSIONS)
    for combo in (view.plane.across, view.plane.up, view.plane.third):
        for index in range(SIZE):
            choose(combo, index)
            assert combo.currentIndex() == index
            assert len(set(view.plane.plane)) == 3


def test_the_read_out_tells_all_three_coordinates(view):
    answer(view)
    choose(view.plane.which, COMPONENTS)
    told = answer(view)
    first, last = view.read_out(1).splitlines()[1:]
    assert first.count(",") == 2
    assert last == "σ = (2, 1, 0.5)"
    assert f"{told.xy[1, 2]:.3g}".lstrip("-") in first


def test_a_place_on_a_turned_map_is_a_point_that_is_seen_there(view):
    answer(view)
    choose(view.plane.which, COMPONENTS)
    told = answer(view)
    view.session.select(3)
    view.map.set_turn(Turn(35, -20))
    point = np.array(view.decoding.point_at(QPointF(141, 57)))
    seen = seen_from(Turn(35, -20), (point @ told.axes)[None], view.map.cloud.centre)[0]
    expected = view.map.seen.to_map(141, 57, view.map.width(), view.map.height())
    np.testing.assert_allclose(seen[:2], expected, atol=1e-4)
    # What is not seen, the depth and the other dimensions, is the selected token's.
    token = seen_from(Turn(35, -20), told.xy[3:4], view.map.cloud.centre)[0]
    assert seen[2] == pytest.approx(token[2], abs=1e-4)
    np.testing.assert_allclose(point[3:], told.mu[3, 3:], atol=1e-5)


def test_a_held_point_turns_with_the_map(view, qtbot):
    answer(view)
    choose(view.plane.which, COMPONENTS)
    answer(view)
    view.decoding.toggle.setChecked(True)
    qtbot.mouseClick(view.map, Qt.MouseButton.LeftButton, pos=QPoint(30, 30))
    held, before = view.decoding.source, view.decoding.marks.held
    assert held is not None
    view.map.set_turn(view.map.turn.turned(90, 0))
    assert view.decoding.source == held
    assert view.decoding.marks.held is not None
    assert np.hypot(*np.subtract(view.decoding.marks.held, before)) > 0.05
    choose(view.plane.which, 0)
    answer(view)
    assert view.decoding.source == held  # it is a point of the space, whatever is drawn


def test_what_is_saved_is_seen_from_where_it_is_on_the_screen(view):
    answer(view)
    choose(view.plane.which, COMPONENTS)
    told = answer(view)
    view.map.set_turn(Turn(35, -20))
    options = view.figure_options()
    assert (options.plane, options.turn) == ("three components", Turn(35, -20))
    query = figure.queries(options, view.session.model)[0]
    snapshot = make_snapshot(request(TEXT, query), view.session.model)
    snapshot = replace(snapshot, results=MappingProxyType({query: told}))
    saved = figure.arrays(snapshot, options)
    drawn = (saved["xy"] - saved["centre"]) @ saved["rotation"][:2].T
    np.testing.assert_allclose(drawn, view.map.seen_places(), atol=1e-5)
    assert saved["axis_names"].tolist() == ["PC 1", "PC 2", "PC 3"]
    assert saved["covariance"].shape == (8, 3, 3)
    table = figure.table(snapshot, options)
    assert table[0][:6] == ["position", "id", "token", "x", "y", "z"]
    assert table[1][3:6] == pytest.approx(told.xy[0].tolist(), abs=1e-4)
    page = drawn_page(snapshot, options)
    offsets = page.axes[0].collections[0].get_offsets()
    centre, _ = middle_of(told.reference)
    seen = seen_from(Turn(35, -20), told.reference, centre)[:, :2]
    np.testing.assert_allclose(offsets, seen, atol=1e-5)
    assert {"PC 1", "PC 2", "PC 3"} <= {text.get_text() for text in page.axes[0].texts}
    assert "azimuth 35°, elevation −20°" in page.axes[0].get_xlabel()


def drawn_page(snapshot, options):
    from matplotlib.figure import Figure

    from gui.figures import style

    with style.context():
        page = Figure()
        figure.draw(page, snapshot, options)
        page.savefig(io.BytesIO(), format="svg")
    return page


# --- UMAP ----------------------------------------------------------------------------------------


def test_choosing_umap_has_it_fitted_once(view):
    answer(view)
    wanted = []
    view.bending.wanted.connect(wanted.append)
    choose(view.plane.which, UMAP)
    assert view.queries()[0] == LatentQuery(2, "umap")
    for _ in range(3):
        answer(view, fitted=False)
    assert [(one.layer, one.states) for one in wanted] == [(2, "tokens")]
    line = view.bending.line
    assert line.isVisible()
    assert line.button.text() == "Cancel"
    assert view.map.axis_names == ("z₁", "z₂")  # what is shown meanwhile is not called UMAP
    line.set_progress("UMAP: step 3 of 9", 0.4)
    assert line.label.text() == "UMAP: step 3 of 9"
    view.bending.fitted()
    answer(view)
    assert not line.isVisible()
    assert view.map.axis_names == ("UMAP 1 of μ", "UMAP 2 of μ")
    assert "UMAP of 5 dimensions" in view.caption()
    assert "UMAP of μ at (" in view.read_out(1)
    assert "σ" not in view.read_out(1)
    view.grab()


def test_another_space_is_only_offered_to_be_fitted(view):
    answer(view)
    choose(view.plane.which, UMAP)
    answer(view)
    wanted = []
    view.bending.wanted.connect(wanted.append)
    view.session.set_layer(5)
    answer(view, fitted=False)
    assert not wanted
    assert "no UMAP of this space yet" in view.bending.line.label.text()
    view.bending.line.button.click()
    assert [one.layer for one in wanted] == [4]


def test_what_is_left_is_not_fitted_on(view):
    answer(view)
    unwanted = []
    view.bending.unwanted.connect(lambda: unwanted.append(1))
    choose(view.plane.which, UMAP)
    answer(view, fitted=False)
    choose(view.plane.which, 0)
    assert unwanted == [1]
    assert not view.bending.line.isVisible()
    choose(view.plane.which, UMAP)
    answer(view, fitted=False)
    view.bending.line.button.click()
    assert unwanted == [1, 1]
    assert "Cancelled" in view.bending.line.label.text()
    answer(view, fitted=False)
    assert view.bending.line.button.text() == "Fit"
    assert "Cancelled" in view.bending.line.label.text()


def test_in_umap_a_dot_is_decoded_and_no_place_between(view):
    answer(view)
    choose(view.plane.which, UMAP)
    told = answer(view)
    view.decoding.toggle.setChecked(True)
    view.map.set_points(np.empty((0, 2)), ())
    at = view.map.seen.to_pixels(told.reference[7], view.map.width(), view.map.height())
    dot = view.map.dot_at(QPointF(*at))
    point = view.decoding.point_at(QPointF(*at))
    assert point == pytest.approx(told.reference_mu[dot].tolist())
    assert view.decoding.point_at(QPointF(1, view.map.height() - 1)) is None
    assert "bends the space" in view.decoding.bars.message


def test_a_umap_picture_is_saved_without_ellipses(view):
    answer(view)
    choose(view.plane.which, UMAP)
    told = answer(view)
    options = view.figure_options()
    query = figure.queries(options, view.session.model)[0]
    snapshot = make_snapshot(request(TEXT, query), view.session.model)
    snapshot = replace(snapshot, results=MappingProxyType({query: told}))
    page = drawn_page(snapshot, options)
    assert page.axes[0].get_xlabel() == "UMAP 1 of μ"
    kinds = {type(one).__name__ for one in page.axes[0].collections}
    assert "EllipseCollection" not in kinds
    said = [text.get_text() for text in page.legends[0].get_texts()]
    assert not any("σ" in text for text in said)
    assert np.isnan(figure.arrays(snapshot, options)["covariance"]).all()


# --- in the window -------------------------------------------------------------------------------


class MapBridge(FakeBridge):
    def __init__(self) -> None:
        super().__init__()
        self.fits: list[MapChoice] = []
        self.there = False

    def fit_map(self, choice):
        self.fits.append(choice)
        self._jobs.append(f"map {len(self.fits)}")
        return self._jobs[-1]

    def answer(self, request=None):
        asked = request or self.requests[-1]
        snapshot = make_snapshot(asked, self.model)
        results = {
            query: made_of(query, found, self.there) if isinstance(query, LatentQuery) else found
            for query, found in snapshot.results.items()
        }
        if asked is self.requests[-1]:
            self.snapshotReady.emit(replace(snapshot, results=MappingProxyType(results)))


@pytest.fixture
def window(qtbot):
    made = make_window(qtbot, bridge=MapBridge())
    made.commands.actions["view.show.latent"].trigger()
    return made


def begin(window, qtbot):
    view = window.panels["latent"].view
    qtbot.waitUntil(lambda: view._result is not None and view._result.planes)
    choose(view.plane.which, UMAP)
    qtbot.waitUntil(lambda: bool(window.bridge.fits))
    return view


def test_the_window_fits_and_shows_it(window, qtbot):
    view, bridge = begin(window, qtbot), window.bridge
    assert bridge.fits[0].fingerprint == window.session.model.fingerprint
    bridge.progressed.emit(Progress("UMAP: step 5 of 10", 0.5, "map 1"))
    assert view.bending.line.label.text() == "UMAP: step 5 of 10"
    bridge.there = True
    told = "Cannot write planes: the disk is full. Free some space and try again."
    bridge.jobFinished.emit(JobDone("map 1", MapMade(bridge.fits[0], told)))
    qtbot.waitUntil(lambda: view._result.plane == "umap")
    assert not view.bending.line.isVisible()
    assert "the disk is full" in window.message
    assert len(bridge.fits) == 1


def test_a_failure_and_a_cancelled_job_are_said_above_the_map(window, qtbot):
    view, bridge = begin(window, qtbot), window.bridge
    bridge.failed.emit(Failure(0, "Cannot draw UMAP of μ: too few.", job="map 1"))
    assert view.bending.line.label.text() == "Cannot draw UMAP of μ: too few."
    assert window.message == ""
    view.bending.line.button.click()
    assert len(bridge.fits) == 2
    bridge.cancel_job("map 2")  # from the line of state
    assert "Cancelled" in view.bending.line.label.text()
    view.bending.line.button.click()
    view.bending.line.button.click()
    assert bridge.cancelled == ["map 2", "map 3"]


@pytest.mark.parametrize(
    ("loaded", "why"),
    [
        (None, "no longer the model that is open"),
        (SimpleNamespace(info=model_info(fingerprint="1" * 64)), "no longer the model"),
        (SimpleNamespace(info=model_info(), spaces={}, sentence_spaces={}), "no latent space"),
    ],
)
@pytest.mark.parametrize("states", ["tokens", "mean"])
def test_the_job_says_what_is_not_there_any_more(loaded, why, states):
    choice = MapChoice("Builtin", "0" * 64, 4, states)
    with pytest.raises(UserError, match=why):
        next(map_job(choice)(SimpleNamespace(loaded=loaded)))
