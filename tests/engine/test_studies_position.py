"""Loss by position, held to the stock model's, and the texts it is measured on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tinymodels import TEXT, make, open_engine, save_model

from engine.errors import UserError
from engine.latent.corpus_texts import Text
from engine.studies import bootstrap
from engine.studies.position import Looking, Order, position_job, score
from engine.studies.values import Placed
from engine.studies.windows import windows

TEXTS = (Text("a", TEXT * 8), Text("b", TEXT[30:] * 4), Text("c", "The dog."))
LOOKING = Looking(early=10, late=100, texts=3)


def run(loaded, order):
    told = []
    steps = position_job(loaded, order)
    while True:
        try:
            told.append(next(steps))
        except StopIteration as stop:
            return stop.value, told


@pytest.fixture(params=["llama", "mamba"])
def family(request):
    return request.param


@pytest.fixture
def loaded(family, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    return open_engine(save_model(family, tmp_path)).loaded


def test_losses_are_the_stock_models(loaded, family):
    found, told = run(loaded, Order(TEXTS, LOOKING))
    cut = windows(loaded, TEXTS, LOOKING, "")
    model = make(family)
    assert found.losses.shape == (len(cut), len(cut[0].ids))
    for row, window in zip(found.losses, cut, strict=True):
        ids = torch.tensor([window.ids])
        with torch.no_grad():
            scores = model(ids).logits[0].log_softmax(-1)
        expected = -scores[:-1].gather(1, ids[0, 1:, None])[:, 0]
        np.testing.assert_allclose(row[1:], expected, atol=1e-4)
        assert np.isnan(row[0])
    np.testing.assert_allclose(found.curve[1:], found.losses[:, 1:].mean(axis=0), rtol=1e-5)
    assert (found.low[1:] <= found.curve[1:] + 1e-6).all()
    each = found.losses[:, 100] - found.losses[:, 10]
    assert found.score.value == pytest.approx(each.mean(), abs=1e-5)
    placed = [one for one in told if isinstance(one, Placed)]
    np.testing.assert_array_equal(placed[-1].curve, found.curve)

    seen = []
    table = loaded.reader.model.get_input_embeddings()
    table.register_forward_pre_hook(lambda _, args: seen.append(args[0].numel()))
    again, _ = run(loaded, Order(TEXTS, Looking(early=20, late=100, around=3, texts=3)))
    assert not seen  # other positions of the same texts
    np.testing.assert_array_equal(again.losses, found.losses)
    run(loaded, Order(TEXTS, LOOKING, fresh=True))
    assert seen


def test_the_score_is_late_less_early():
    losses = np.arange(2 * 60, dtype=float).reshape(2, 60) ** 1.1
    drawn = bootstrap.resamples(1, 2)
    # Column i holds position i + 1: of the first token there is no loss.
    expected = (losses[:, 49] - losses[:, 9]).mean()
    assert score(losses, Looking(10, 50), drawn).value == pytest.approx(expected)
    wide = (losses[:, 47:52].mean(axis=1) - losses[:, 7:12].mean(axis=1)).mean()
    assert score(losses, Looking(10, 50, 2), drawn).value == pytest.approx(wide)


@pytest.mark.parametrize("family", ["llama"], indirect=True)
def test_windows(loaded):
    cut = windows(loaded, TEXTS, Looking(10, 100, texts=99), "")
    assert {len(window.ids) for window in cut} == {256}
    assert {window.name for window in cut} == {"a"}
    few = windows(loaded, TEXTS[1:], Looking(10, 100, texts=99), "")
    assert len(few) == 1  # shorter than the model reads, and long enough
    assert 100 < len(few[0].ids) < 256
    rows = [Text("x", TEXT, row=True), Text("x", TEXT, row=True), Text("y", TEXT, row=True)]
    joined = windows(loaded, rows, Looking(5, 60), "")
    assert [window.name for window in joined] == ["x"]


@pytest.mark.parametrize("family", ["llama"], indirect=True)
@pytest.mark.parametrize(
    ("looking", "says"),
    [
        (Looking(10, 300), "position 300 lies beyond the 256 tokens"),
        (Looking(100, 10), "position 10 cannot be held against that at 100"),
        (Looking(3, 100, 3), "cannot be held against"),
        (Looking(10, 250, 9), "position 259 lies beyond"),
    ],
)
def test_positions_that_make_no_sense_are_a_sentence(loaded, looking, says):
    with pytest.raises(UserError, match=says):
        run(loaded, Order(TEXTS, looking))


@pytest.mark.parametrize("family", ["llama"], indirect=True)
def test_texts_that_are_too_short_are_a_sentence(loaded):
    with pytest.raises(UserError, match="the longest text has 3 tokens, and the score looks at"):
        run(loaded, Order(TEXTS[2:], LOOKING))
    with pytest.raises(UserError, match="the longest text has 0 tokens"):
        run(loaded, Order((), LOOKING))
