"""The latent view: what it asks for, the path it draws, and how it is linked to the rest."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from fakes import make_snapshot, model_info, request
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QLayout

from engine.types import LatentQuery, LatentResult
from gui import theme
from gui.session import Session
from gui.views.latent import VIEW, figures, nearest_layer

TEXT = "The dog is running in the park."


@pytest.fixture(autouse=True)
def still(monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_REDUCED_MOTION", "1")


@pytest.fixture
def session():
    made = Session(TEXT)
    made.set_model(model_info())
    return made


@pytest.fixture
def view(qtbot, session):
    made = VIEW.create(session)
    qtbot.addWidget(made)
    # As a window of its own it would tell the screen its least size, which a fake screen minds.
    made.layout().setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
    made.resize(520, 260)
    made.show()
    return made


def answer(view, text=TEXT, **changes) -> LatentResult:
    """Draw an answer to the view's query, changed as told."""
    snapshot = make_snapshot(request(text, *view.queries()), view.session.model)
    query = view.queries()[0]
    result = replace(snapshot.results[query], **changes)
    view.render_snapshot(replace(snapshot, results=MappingProxyType({query: result})))
    return result


def pixels_of(widget) -> np.ndarray:
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    flat = np.frombuffer(image.constBits(), np.uint8)
    # A copy, for the image and its memory end here.
    return flat.reshape(image.height(), image.width(), 4).copy()


# --- what it asks for ----------------------------------------------------------------------------


def test_the_nearest_layer_and_the_lower_of_two():
    assert nearest_layer((5, 10, 20), 14) == 10
    assert nearest_layer((20, 10, 5), 15) == 10
    assert nearest_layer((), 3) is None


def test_it_asks_for_the_space_nearest_to_the_sessions_layer(view, session):
    session.set_model(model_info(layers=12, latent_layers=(3, 6, 9)))
    for layer, expected in ((0, 3), (4, 3), (5, 6), (12, 9)):
        session.set_layer(layer)
        assert view.queries() == (LatentQuery(expected),)


def test_a_chosen_layer_is_kept_whatever_the_session_shows(view, session, qtbot):
    session.set_model(model_info(layers=12, latent_layers=(3, 6, 9)))
    assert [view.layers.itemText(i) for i in range(4)] == [
        "nearest: layer 3",
        "layer 3",
        "layer 6",
        "layer 9",
    ]
    assert view.layers.isVisible()
    view.layers.setFocus()
    with qtbot.waitSignal(view.queriesChanged):
        qtbot.keyClick(view.layers, Qt.Key.Key_End)
    session.set_layer(0)
    assert view.queries() == (LatentQuery(9),)
    session.set_model(model_info(layers=12, latent_layers=(4, 5)))
    assert view.queries() == (LatentQuery(4),)


def test_one_space_needs_no_choice(view):
    assert not view.layers.isVisible()
    assert view.queries() == (LatentQuery(4),)


def test_a_model_without_a_space_is_asked_nothing(view, session):
    session.set_model(model_info(provides=frozenset({"embedding"}), latent_layers=()))
    assert view.queries() == ()


def test_without_a_list_of_layers_the_engine_chooses(view, session):
    session.set_model(model_info(latent_layers=()))
    assert view.queries() == (LatentQuery(None),)


# --- what it draws -------------------------------------------------------------------------------


def test_tokens_stand_at_their_means_in_reading_order(view):
    result = answer(view)
    np.testing.assert_allclose(view.map.drawn_positions(), result.xy)
    assert view.map.joined
    assert view.caption() == "layer 4 · path of 8 tokens"


def test_read_out_says_mean_and_spread(view):
    xy = np.zeros((8, 2), np.float32)
    xy[1] = 0.41, -1.2
    spread = np.tile(np.eye(2, dtype=np.float32), (8, 1, 1))
    spread[1] = [[0.09, 0.02], [0.02, 0.04]]
    answer(view, xy=xy, covariance=spread)
    assert view.read_out(1) == "dog, token 1\nμ = (0.41, −1.2)\nσ = (0.3, 0.2)"
    assert view.read_out(99) == ""


def test_axes_say_whether_they_are_latent_coordinates(view):
    answer(view)
    assert view.map._titles == ("z₁", "z₂")
    answer(view, mu=np.zeros((8, 5), np.float32), logvar=np.zeros((8, 5), np.float32))
    assert view.map._titles == ("PC 1 of μ", "PC 2 of μ")
    assert "first two PCs of 5 dimensions" in view.caption()


def test_the_cloud_is_not_drawn_again_while_typing(view):
    reference = np.random.default_rng(0).normal(0, 2, (3000, 2)).astype(np.float32)
    labels = np.zeros(3000, np.int64)
    xy = np.random.default_rng(1).normal(0, 0.3, (9, 2)).astype(np.float32)
    drawn = []
    for count in (8, 9):
        text = TEXT + " It" * (count - 8)
        answer(view, text, reference=reference, labels=labels, xy=xy[:count])
        view.map.grab()
        drawn.append(view.map.cloud.drawings)
    assert drawn[0] == drawn[1] > 0


def test_colours_come_when_asked_for_and_have_names(view, qtbot):
    reference = np.random.default_rng(0).normal(0, 1, (3000, 2)).astype(np.float32)
    labels = np.arange(3000) % 3
    names = ("prose", "verse", "drama")
    answer(view, reference=reference, labels=labels, label_names=names)
    grey = pixels_of(view.map).astype(int)
    assert not view.legend.isVisible()
    qtbot.mouseClick(view.colours, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert view.legend.isVisible()
    assert [button.text() for button in view.legend.buttons] == list(names)
    coloured = pixels_of(view.map).astype(int)

    def colourful(picture):
        # Without the frame that shows the focus.
        return (np.ptp(picture[2:-2, 2:-2, :3], axis=-1) > 60).sum()

    assert colourful(coloured) > 20 * max(1, colourful(grey))
    qtbot.mouseClick(view.legend.buttons[1], Qt.MouseButton.LeftButton)
    assert view.map.cloud.palette == (None, theme.category(1), None)
    assert 0 < colourful(pixels_of(view.map).astype(int)) < colourful(coloured)
    qtbot.mouseClick(view.legend.buttons[1], Qt.MouseButton.LeftButton)
    assert view.map.cloud.palette == tuple(theme.category(index) for index in range(3))
    qtbot.mouseClick(view.colours, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert not view.legend.isVisible()
    assert view.map.cloud.palette is None


def test_new_labels_make_a_new_legend(view):
    answer(view)
    view.colours.setChecked(True)
    answer(view, TEXT, label_names=("a", "b", "c"), labels=np.zeros(300, np.int64))
    assert [button.text() for button in view.legend.buttons] == ["a", "b", "c"]


def test_figures_say_what_the_card_knows():
    card = {
        "z": 8,
        "elbo": -812.4,
        "kl_per_dim": [1.5] * 8,
        "active_units": np.int64(7),
        "explained_variance": np.float32(0.2294),
    }
    assert figures(card, 2) == (
        "Z = 8 · ELBO −812 nat · 7 of 8 units active · KL 12 nat · explains 22.9 %"
    )


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"elbo": None, "active_units": "many", "kl_per_dim": "x", "z": float("nan")},
        {"kl_per_dim": [], "explained_variance": float("inf"), "elbo": [1]},
        {"kl_per_dim": 3.0, "layer": 4},
        {"kl_per_dim": ["x", None]},
    ],
)
def test_figures_leave_out_what_the_card_does_not_know(card):
    assert figures(card, 2) == "Z = 2"


@pytest.mark.parametrize("count", [0, 1, 2, 600])
@pytest.mark.parametrize("kind", ["normal", "alike", "nan", "huge", "no cloud"])
def test_nothing_is_too_odd_to_be_drawn(view, session, count, kind):
    xy = np.random.default_rng(0).normal(0, 1, (count, 2)).astype(np.float32)
    spread = np.tile(np.eye(2, dtype=np.float32) * 0.1, (count, 1, 1))
    changes = {}
    if kind == "alike":
        xy[:], spread[:] = 1, 0
    elif kind == "nan":
        xy[:], spread[:] = np.nan, np.nan
    elif kind == "huge":
        xy, spread = xy * np.float32(1e37), spread * np.float32(1e37)
    elif kind == "no cloud":
        changes = {
            "reference": np.zeros((0, 2), np.float32),
            "labels": np.zeros(0, np.int64),
            "label_names": (),
        }
    session.select(0)
    session.toggle_pin(1)
    view.colours.setChecked(True)
    answer(view, " ".join(["a"] * max(count, 1)), xy=xy, mu=xy, covariance=spread, **changes)
    view.grab()
    assert view.map.count == count
    if count:
        assert view.read_out(0)


def test_dark_and_light_paint_different_pixels(view, qapp):
    answer(view)
    before = qapp.palette()
    brightness = []
    for which in (theme.DARK, theme.LIGHT):
        qapp.setPalette(theme.palette(which))
        qapp.processEvents()
        brightness.append(pixels_of(view.map).mean())
    qapp.setPalette(before)
    assert brightness[0] + 80 < brightness[1]


def test_a_snapshot_that_answers_something_else_changes_nothing(view, session):
    answer(view)
    view.render_snapshot(make_snapshot(request("Other", LatentQuery(1)), session.model))
    assert view.map.count == 8


# --- how it is linked ----------------------------------------------------------------------------


def test_hovering_and_clicking_a_point_reach_every_view(view, session, qtbot):
    answer(view, xy=np.stack([np.arange(8), np.arange(8) % 3], 1).astype(np.float32))
    at = view.map.position_of(3).toPoint()
    qtbot.mouseMove(view.map, at)
    assert session.hovered == 3
    qtbot.mouseClick(view.map, Qt.MouseButton.LeftButton, pos=at)
    assert session.selected == 3
    qtbot.mouseClick(view.map, Qt.MouseButton.LeftButton, pos=at)
    assert session.selected is None


def test_a_token_chosen_elsewhere_is_marked_here(view, session):
    answer(view)
    pictures = [pixels_of(view.map)]
    for change in (
        lambda: session.select(2),
        lambda: session.hover(5),
        lambda: session.toggle_pin(6),
    ):
        change()
        pictures.append(pixels_of(view.map))
        assert (pictures[-1] != pictures[-2]).any()


def test_keys_walk_along_the_path(view, session, qtbot):
    answer(view)
    view.setFocus()
    for expected in (0, 1, 2):
        qtbot.keyClick(view.map, Qt.Key.Key_Right)
        assert session.selected == expected


def test_every_control_has_a_name_and_an_explanation(view):
    answer(view)
    for control in (view.layers, view.colours, *view.legend.buttons):
        assert control.accessibleName()
        assert control.toolTip()
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus


def test_what_is_saved_is_the_space_on_the_screen(view, session):
    answer(view)
    assert view.figure_options().layer == view.layer


@pytest.mark.parametrize(
    ("plane", "said", "axis"),
    [
        ("first two dimensions of μ", "z₁ and z₂ of", "z₁"),
        ("first two principal components of μ", "first two PCs of", "PC 1 of μ"),
    ],
)
def test_the_caption_says_which_plane_is_shown(view, plane, said, axis):
    wide = np.zeros((8, 5), np.float32)
    answer(view, mu=wide, logvar=wide, card={"plane": plane})
    assert said in view.caption()
    assert view.map.axis_names[0] == axis
