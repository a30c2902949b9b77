"""Figures: each draws what its snapshot says, for any text, and leaves matplotlib as it was."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_comparisons import PROMPT
from made_runs import lab_sheet
from made_snapshots import HEADS, LAYERS, WORDS, model, snapshot, tokens
from made_studies import kshot_sheet, sheets
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

import gui.figures
from engine.errors import UserError
from engine.types import AttentionResult
from gui import theme
from gui.figures import colour, lettering, style
from gui.figures.numbers import block_extreme, plain, text_array, token_texts
from gui.figures.spec import FigureOptions, FigureSpec, figure_specs
from gui.view import view_specs

KEYS = sorted(figure_specs())
AWKWARD = ("犬", " 公園", "⟨F0 9F⟩", " שלום", "\x07", "\ud800", "\0", "😀", "हि", "\u202e", " $x$")
CHOSEN = FigureOptions(layer=3, head=2, prompt=PROMPT, sheet=kshot_sheet())


def drawn(key, options=CHOSEN, info=None, words=WORDS, **changes):
    spec, info = figure_specs()[key], info or model()
    seen = snapshot(spec.queries(options, info), info, words, **changes)
    with style.context([*words, " park garden"]):
        figure = Figure()
        spec.draw(figure, seen, options)
        figure.canvas.draw()
    return figure


def written(figure):
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [text.get_text() for text in axes.texts]
        texts += [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    return texts


def test_every_module_is_a_figure_or_shared():
    for module in pkgutil.iter_modules(gui.figures.__path__):
        loaded = importlib.import_module(f"gui.figures.{module.name}")
        if module.name not in gui.figures.SHARED:
            # The command line takes the views' names from the modules' names.
            assert isinstance(loaded.FIGURE, FigureSpec)
            assert loaded.FIGURE.key == module.name


def test_every_view_has_a_figure():
    assert {spec.key for spec in view_specs()} <= set(KEYS)


@pytest.mark.parametrize("key", [*KEYS, "lines"])
@pytest.mark.parametrize("words", [WORDS, ("a",), AWKWARD], ids=["sentence", "one", "awkward"])
def test_draws_within_its_paper(key, words):
    if key == "lines":
        figure = drawn("attention", replace(CHOSEN, picture="lines"), words=words)
    else:
        figure = drawn(key, words=words)
    width, height = figure.get_size_inches()
    assert 1 < width < 11
    assert 1 < height < 11
    inside = figure.get_window_extent()
    for text in figure.texts:
        box = text.get_window_extent()
        assert inside.x0 <= box.x0 <= box.x1 <= inside.x1
        assert inside.y0 <= box.y0 <= box.y1 <= inside.y1


@pytest.mark.parametrize("kind", ["encoder", "encoder-decoder"])
@pytest.mark.parametrize("key", KEYS)
def test_draws_every_kind_of_model(key, kind):
    info = model(kind)
    for stack in info.stacks[-2:]:
        figure = drawn(key, replace(CHOSEN, layer=1, stack=stack), info)
        if figure_specs()[key].made_of is None:
            assert figure.texts[0].get_text().startswith(info.title)


@pytest.mark.parametrize("at", range(6))
def test_draws_what_a_job_measured_within_its_paper(at):
    one = [*sheets(), lab_sheet(1), lab_sheet(3), lab_sheet(8)][at]
    figure = drawn("study", replace(CHOSEN, sheet=one))
    inside = figure.get_window_extent()
    for text in figure.texts:
        box = text.get_window_extent()
        assert inside.x0 <= box.x0 <= box.x1 <= inside.x1, text.get_text()
        assert inside.y0 <= box.y0 <= box.y1 <= inside.y1, text.get_text()
    assert len(one.table()) > 3


def test_leaves_the_global_settings_alone():
    before = dict(matplotlib.rcParams)
    drawn("tokens")
    assert dict(matplotlib.rcParams) == before


def test_settings_of_the_user_do_not_change_a_figure():
    plain_size = drawn("attention").get_size_inches()
    with matplotlib.rc_context({"font.size": 30, "axes.labelsize": 40}):
        assert np.array_equal(drawn("attention").get_size_inches(), plain_size)


def test_title_names_layer_and_head():
    title = drawn("attention").texts[0].get_text()
    assert title == "Made-135M · attention · layer 3 · head 2"
    mean = drawn("attention", FigureOptions(layer=0)).texts[0].get_text()
    assert mean.endswith(f"layer 0 · mean over {HEADS} heads")
    cross = FigureOptions(layer=1, head=0, stack="cross")
    title = drawn("attention", cross, model("encoder-decoder")).texts[0].get_text()
    assert "cross-attention · layer 1" in title
    assert "input embeddings" in drawn("embedding", FigureOptions(layer=0)).texts[0].get_text()
    assert "layer 3 · Z = 3" in drawn("latent").texts[0].get_text()


def cloud_colours(figure):
    """The colours of a latent figure's reference states, and the names below it."""
    from matplotlib.colors import to_hex

    cloud = max(figure.axes[0].collections, key=lambda one: len(one.get_offsets()))
    colours = {to_hex(face).upper() for face in cloud.get_facecolors()}
    named = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return colours, named


def test_a_latent_cloud_is_coloured_by_label_as_on_the_screen():
    grey, names = cloud_colours(drawn("latent"))
    assert len(grey) == 1
    assert "Emma" not in names
    hues, names = cloud_colours(drawn("latent", replace(CHOSEN, coloured=True)))
    assert hues == set(colour.CATEGORIES[:3])
    assert names[-3:] == ["Emma", "Alice", "Ulysses"]
    one, names = cloud_colours(drawn("latent", replace(CHOSEN, coloured=True, only=1)))
    assert one == grey | {colour.CATEGORIES[1]}
    assert names[-1] == "Alice"
    assert "Emma" not in names


def test_last_depth_shows_the_last_block():
    info = model()
    (query,) = figure_specs()["attention"].queries(FigureOptions(layer=LAYERS), info)
    assert query.layer == LAYERS - 1
    (query,) = figure_specs()["embedding"].queries(FigureOptions(layer=LAYERS), info)
    assert query.layer == LAYERS


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_attention_masks_the_future_of_a_causal_model_only(kind):
    mesh = drawn("attention", info=model(kind)).axes[0].collections[0]
    masked = np.ma.getmaskarray(mesh.get_array()).reshape(len(WORDS), len(WORDS))
    future = np.triu(np.ones_like(masked), k=1)
    assert np.array_equal(masked, future if kind == "decoder" else np.zeros_like(future))


def test_attention_cells_hold_the_weights():
    spec, info = figure_specs()["attention"], model()
    seen = snapshot(spec.queries(CHOSEN, info), info)
    (result,) = seen.results.values()
    with style.context():
        figure = Figure()
        spec.draw(figure, seen, CHOSEN)
    shown = figure.axes[0].collections[0].get_array().reshape(result.weights.shape)
    assert np.array_equal(shown.filled(0), result.weights)


def test_mean_over_heads_is_drawn_where_all_heads_are_at_hand():
    spec, info, options = figure_specs()["attention"], model(), FigureOptions(layer=1)
    seen = snapshot(spec.queries(options, info), info)
    (result,) = seen.results.values()
    assert isinstance(result, AttentionResult)
    assert result.weights.shape == (HEADS, len(WORDS), len(WORDS))
    with style.context():
        figure = Figure()
        spec.draw(figure, seen, options)
    shown = figure.axes[0].collections[0].get_array().reshape(len(WORDS), len(WORDS))
    assert np.allclose(shown.filled(0), result.weights.mean(axis=0))


def test_a_massive_state_leaves_the_scales_and_is_named():
    spec, info = figure_specs()["embedding"], model()
    seen = snapshot(spec.queries(CHOSEN, info), info)
    (result,) = seen.results.values()
    with style.context():
        figure = Figure()
        spec.draw(figure, seen, CHOSEN)
    heat, lengths, _, plane = figure.axes
    assert heat.images[0].norm.vmax == pytest.approx(
        np.percentile(np.abs(result.values[result.fitted]), 99)
    )
    assert lengths.get_xlim()[1] <= 3 * np.median(result.norms) + 1e-3
    assert lengths.texts[0].get_text().startswith(f"{result.norms[0]:,.0f}")
    assert np.array_equal(plane.collections[0].get_offsets(), result.xy[result.fitted])
    assert "left out, massive: The, the" in written(figure)


def test_lines_join_queries_to_keys_by_strength():
    spec, info, options = figure_specs()["attention"], model(), replace(CHOSEN, picture="lines")
    seen = snapshot(spec.queries(options, info), info)
    (result,) = seen.results.values()
    with style.context():
        figure = Figure()
        spec.draw(figure, seen, options)
    (lines,) = figure.axes[0].collections
    ends = np.array([path.vertices for path in lines.get_paths()])[:, :, 1]  # (lines, 2)
    joined = [tuple(np.floor(pair * len(WORDS)).astype(int)) for pair in ends]
    strong = result.weights > result.weights.max() * 12 / 255
    assert set(joined) == {tuple(pair) for pair in np.argwhere(strong)}
    assert result.weights[joined[-1]] == result.weights.max()
    assert (np.diff(lines.get_linewidths()) >= 0).all()


def test_lines_left_out_are_counted():
    options = FigureOptions(layer=0, head=0, picture="lines", scaling="log")
    texts = written(drawn("attention", options, model("encoder"), words=WORDS * 4))
    assert any(text.startswith("the strongest 400 of ") for text in texts)


def test_the_nearest_latent_space_is_shown():
    info = model(latent_layers=(2, 5))
    ask = figure_specs()["latent"].queries
    asked = [ask(FigureOptions(layer=layer), info)[0].layer for layer in (None, 0, 3, 4, 6)]
    assert asked == [None, 2, 2, 5, 5]


def test_scalings_reach_the_colours():
    weights = np.array([[0.5, np.nan], [0.02, 0.0001]], np.float32)
    same, norm, _ = colour.scaled(weights, "linear")
    assert np.array_equal(same, weights, equal_nan=True)
    assert (norm.vmin, norm.vmax) == (0, 0.5)
    shares, norm, _ = colour.scaled(weights, "row")
    assert np.allclose(shares, [[1, np.nan], [1, 0.005]], equal_nan=True)
    assert (norm.vmin, norm.vmax) == (0, 1)
    raised, norm, _ = colour.scaled(weights, "log")
    assert isinstance(norm, LogNorm)
    assert raised[1, 1] == pytest.approx(norm.vmin) == pytest.approx(0.5e-3)


def test_figures_grow_with_the_text_and_labels_thin_out():
    short, long = drawn("attention"), drawn("attention", words=WORDS * 12)
    assert (long.get_size_inches() > short.get_size_inches()).all()
    assert (long.get_size_inches() < 9).all()
    assert len(short.axes[0].get_yticks()) == len(WORDS)
    assert len(long.axes[0].get_yticks()) == len(WORDS) * 12 // 2
    assert any("every 2nd token" in text for text in written(long))


def test_large_maps_are_shrunk_without_losing_a_peak_and_say_so():
    words = ("x",) * (style.PIXELS + 1)
    spec, info = figure_specs()["attention"], model("encoder")
    options = FigureOptions(layer=0, head=0)
    weights = np.full((len(words), len(words)), 0.1, np.float32)
    weights[700, 301] = 0.9
    (query,) = spec.queries(options, info)
    result = AttentionResult(0, 0, "encoder", weights)
    seen = replace(snapshot((), info, words), results={query: result})
    with style.context():
        figure = Figure()
        spec.draw(figure, seen, options)
    image = figure.axes[0].images[0].get_array()
    assert max(image.shape) <= style.PIXELS
    assert image[350, 150] == np.float32(0.9)
    assert any("largest weight of 2 × 2" in text for text in written(figure))


def test_tokens_figure_shows_the_tokens_and_what_comes_next():
    texts = written(drawn("tokens"))
    assert {"The", "dog", "running", "garden"} <= set(texts)
    assert any(text.endswith(" %") for text in texts)


def test_a_long_list_of_lines_is_cut_and_says_so():
    figure = drawn("tokens", words=("a\n",) * 150)
    assert figure.get_size_inches()[1] < 48  # what a PNG at scale 4 can hold is 109
    assert "150 tokens, the first 120 shown" in written(figure)


def test_tokens_of_a_model_that_predicts_nothing():
    info = model("encoder", provides=frozenset({"embedding", "attention"}))
    texts = written(drawn("tokens", info=info))
    assert "running" in texts
    assert "next token" not in texts


def test_refused_query_becomes_the_reason():
    spec, info = figure_specs()["attention"], model()
    (query,) = spec.queries(CHOSEN, info)
    seen = replace(snapshot((), info), refused={query: "it has no maps"})
    with pytest.raises(UserError, match="it has no maps"):
        spec.arrays(seen, CHOSEN)


def test_colours_fall_evenly_in_lightness():
    colours = colour.sequential()(np.linspace(0, 1, 33))[:, :3]
    hexes = ["#" + "".join(f"{round(255 * part):02x}" for part in rgb) for rgb in colours]
    steps = np.diff([colour._lab(one)[0] for one in hexes])
    assert (steps < 0).all()
    assert np.ptp(steps) < 0.6
    middle = colour.diverging()(0.5)[:3]
    assert min(middle) > 0.95


def test_shades_are_those_of_the_screen():
    assert theme.LIGHT.tokens == colour.SHADES
    assert theme.LIGHT.accent == colour.ACCENT


def test_nothing_unwritable_is_written():
    assert lettering.label(" dog") == "dog"
    assert lettering.label("  ") == "␣␣"
    assert lettering.label("a\n") == "a⏎"
    assert lettering.drawable("\ud800\x07\u202e") == "⟨U+D800⟩⟨U+0007⟩⟨U+202E⟩"
    assert lettering.drawable("naïve λ→∞ сон") == "naïve λ→∞ сон"


@settings(max_examples=25)
@given(st.text(max_size=40))
def test_label_is_fit_for_xml_and_utf8(text):
    shown = lettering.label(text)
    shown.encode("utf-8")
    assert shown
    assert all(char.isprintable() or char in "\u200c\u200d" for char in shown)


def test_elided_text_fits():
    with style.context():
        cut = lettering.elide("incomprehensibilities", 7, 0.5)
        assert cut.endswith("…")
        assert lettering.width(cut, 7) <= 0.5
        assert lettering.elide("a", 7, 0.5) == "a"


@settings(max_examples=25)
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), unique=True),
    st.integers(1, 12),
)
def test_shrinking_keeps_the_largest_magnitude(values, most):
    values = np.nan_to_num(values, nan=0.5, posinf=3, neginf=-3)
    shrunk = block_extreme(values, most, most)
    assert max(shrunk.shape) <= max(most, 1)
    assert np.isin(shrunk, values).all()
    assert np.abs(shrunk).max() == np.abs(values).max()


@settings(max_examples=25)
@given(hnp.arrays(np.float32, 5, elements=st.floats(width=32, allow_nan=False)))
def test_plain_numbers_come_back_as_the_same_float32(values):
    assert np.array_equal(np.array(plain(values), np.float32), values)
    assert plain(np.array([0.1], np.float32)) == [0.1]


def test_strings_survive_numpy():
    kept = text_array(["a\0", "\ud83d", "犬", ""])
    assert kept.tolist() == ["a␀", "\\ud83d", "犬", ""]
    assert text_array([]).shape == (0,)
    assert token_texts(tokens(("a", "bc"))).dtype.kind == "U"
