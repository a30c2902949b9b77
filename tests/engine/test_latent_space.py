"""Collecting states, a space's file, finding spaces for a model, and the probe that uses one."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tinymodels
import torch

from engine.engine import Engine
from engine.errors import UserError
from engine.latent import store
from engine.latent.card import described, require
from engine.latent.corpus import (
    Passages,
    States,
    Text,
    collect_steps,
    load_states,
    read_texts,
    save_states,
    sentence_starts,
)
from engine.latent.space import Space, load, read_card
from engine.latent.train import space_steps
from engine.latent.training import Settings
from engine.latent.vae import sample
from engine.probes.latent import Posteriors, middle
from engine.types import LatentQuery, LatentResult, ModelInfo, Request

LAYER = 2
CUT = Passages(tokens=1600, length=20)
QUICK = Settings(latent=3, hidden=16, epochs=2, batch=128, seed=1)
WORDS = ["dog", "park", "sea", "shore", "fox", "shells", "lazy", "running", "the", "in", "by"]


def prose(seed: int, sentences: int = 400) -> str:
    rng = np.random.default_rng(seed)
    return " ".join(
        " ".join(rng.choice(WORDS, rng.integers(3, 9))).capitalize() + "." for _ in range(sentences)
    )


def drain(steps: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinymodels.save_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def bare(folder: Path) -> Engine:
    """A model that has no space. Its spaces are added to by no test."""
    return tinymodels.open_engine(folder)


@pytest.fixture(scope="module")
def info(bare: Engine) -> ModelInfo:
    assert bare.loaded is not None
    return bare.loaded.info


@pytest.fixture(scope="module")
def states(bare: Engine) -> States:
    assert bare.loaded is not None
    texts = [Text("one", prose(1)), Text("two", prose(2))]
    collected: dict[int, States] = drain(collect_steps(bare.loaded, texts, [0, LAYER], CUT))
    return collected[LAYER]


@pytest.fixture(scope="module")
def space(states: States, info: ModelInfo) -> Space:
    made: Space = drain(space_steps(info, states, QUICK, CUT, "by a test"))
    return made


@pytest.fixture
def saved(space: Space, tmp_path: Path) -> Path:
    path = tmp_path / "space.safetensors"
    space.save(path)
    return path


@pytest.fixture
def engine(folder: Path, space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The model, with the space lying where the user's own are looked for."""
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path))
    space.save(tmp_path / "latent" / "mine.safetensors")
    return tinymodels.open_engine(folder)


def answer(engine: Engine, text: str, query: LatentQuery = LatentQuery()) -> LatentResult:  # noqa: B008
    snapshot = engine.answer(Request(1, engine.epoch, text, (query,)))
    result = snapshot.results[query]
    assert isinstance(result, LatentResult)
    return result


def states_of(engine: Engine) -> torch.Tensor:
    assert engine._trace is not None
    return engine._trace.states["decoder"][LAYER].rows()


# --- collecting -----------------------------------------------------------------------------------


def test_states_are_the_ones_a_view_would_show(bare: Engine, states: States) -> None:
    assert bare.loaded is not None
    third = states.passages == 3
    ids = [int(id_) for id_ in states.ids[third]]
    trace, _ = bare.loaded.reader.read(None, ids, [], lambda: False)
    torch.testing.assert_close(
        states.values[torch.from_numpy(third)], trace.states["decoder"][LAYER].rows()
    )
    assert states.positions[third].tolist() == list(range(len(ids)))


def test_each_text_gives_about_as_many_states(states: States) -> None:
    counts = np.bincount(states.labels)
    assert states.names == ("one", "two")
    assert counts.tolist() == [800, 800]
    assert len(np.unique(states.passages)) == 80


def test_passages_start_at_sentences_and_never_overlap(bare: Engine) -> None:
    assert bare.loaded is not None
    text = prose(3, 40)
    # More passages are asked for than the text has room for.
    wanted = Passages(tokens=100_000, length=16)
    found = drain(collect_steps(bare.loaded, [Text("x", text)], [0], wanted))[0]
    whole = [token.id for token in bare.loaded.reader_of_text.read(text)]
    assert len(found) <= len(whole)
    starts = {text[at : at + 3] for at in sentence_starts(text)}
    for number in np.unique(found.passages):
        piece = [int(id_) for id_ in found.ids[found.passages == number]]
        read = bare.loaded.reader_of_text.tokenizer.decode(piece)
        assert read in text
        assert read[:3] in starts


def test_special_tokens_are_run_but_not_collected(tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model("bert", tmp_path))
    assert engine.loaded is not None
    found = drain(collect_steps(engine.loaded, [Text("x", prose(1, 60))], [3], Passages(200, 20)))[
        3
    ]
    specials = engine.loaded.reader_of_text.special_ids
    assert len(found)
    assert not specials & set(found.ids.tolist())


def test_an_encoder_decoders_text_is_read_by_its_encoder(tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model("t5", tmp_path))
    assert engine.loaded is not None
    found = drain(collect_steps(engine.loaded, [Text("x", prose(1, 60))], [3], Passages(100, 20)))[
        3
    ]
    assert found.values.shape == (len(found), 32)


def test_nothing_to_collect_is_a_sentence(bare: Engine, tmp_path: Path) -> None:
    assert bare.loaded is not None
    with pytest.raises(UserError, match="no token"):
        drain(collect_steps(bare.loaded, [Text("empty", "")], [0], CUT))
    with pytest.raises(UserError, match="layers 0 to 3"):
        drain(collect_steps(bare.loaded, [Text("x", "A dog.")], [4], CUT))
    with pytest.raises(UserError, match=r"holds no \.txt"):
        read_texts(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        read_texts(tmp_path / "nowhere")


def test_texts_are_labelled_with_their_files_names(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("Two\nlines.", encoding="utf-8")
    (tmp_path / "a.txt").write_text("One.", encoding="utf-8")
    assert read_texts(tmp_path) == (Text("a", "One."), Text("b", "Two lines."))
    assert read_texts(tmp_path / "a.txt") == (Text("a", "One."),)


def test_kept_states_come_back(states: States, tmp_path: Path) -> None:
    path = tmp_path / "states.safetensors"
    assert load_states(path) is None
    save_states(path, states)
    again = load_states(path)
    assert again is not None
    assert torch.equal(again.values, states.values)
    assert again.names == states.names
    assert again.layer == LAYER
    for name in ("labels", "passages", "positions", "ids"):
        assert np.array_equal(getattr(again, name), getattr(states, name))
    path.write_bytes(path.read_bytes()[:5000])
    assert load_states(path) is None


# --- a space and its file -------------------------------------------------------------------------


def test_a_saved_space_gives_identical_outputs(space: Space, saved: Path, states: States) -> None:
    again = load(saved)
    for one, other in zip(
        (*space.encode(states.values), space.project(space.encode(states.values)[0])),
        (*again.encode(states.values), again.project(again.encode(states.values)[0])),
        strict=True,
    ):
        assert torch.equal(one, other)
    z = torch.randn(5, 3)
    assert torch.equal(space.decode(z), again.decode(z))
    assert np.array_equal(space.reference, again.reference)
    assert np.array_equal(space.labels, again.labels)
    assert again.card == space.card
    assert read_card(saved) == space.card


def test_the_card_tells_what_was_measured(space: Space, states: States, info: ModelInfo) -> None:
    card = space.card
    assert (card.model, card.fingerprint, card.layer) == (info.name, info.fingerprint, LAYER)
    assert card.data == {"one": 800, "two": 800}
    assert card.command == "by a test"
    held = card.held_out
    assert held is not None
    assert held.held_out_states == len(states) - card.train_states - card.choose_states
    assert held.elbo == pytest.approx(held.reconstruction - held.kl)
    assert held.kl == pytest.approx(sum(held.kl_per_dim), rel=1e-5)
    assert card.precision == "float16"
    assert abs(held.elbo - card.elbo_in_float32) < 1e-3 * abs(card.elbo_in_float32)
    told = space.figures
    assert told["elbo"] == held.elbo
    assert told["z"] == 3
    assert told["beta"] == QUICK.beta
    assert f"{held.elbo:.2f}" in described(card)
    json.dumps(dict(told))  # plain values only
    with pytest.raises(TypeError):
        told["elbo"] = 0.0  # type: ignore[index]


def test_the_reference_cloud_is_of_held_out_states(space: Space, states: States) -> None:
    held = space.card.held_out
    assert held is not None
    assert space.reference.shape == (held.held_out_states, 2)
    assert space.label_names == ("one", "two")
    assert set(space.labels.tolist()) <= {0, 1}
    assert not space.reference.flags.writeable


def test_projection_and_covariance_are_those_of_samples(space: Space, states: States) -> None:
    mu, logvar = space.encode(states.values[:2])
    count = 60_000
    for row in range(2):
        z = sample(
            mu[row].expand(count, 3),
            logvar[row].expand(count, 3),
            torch.Generator().manual_seed(0),
        )
        drawn = space.project(z)  # (count, 2)
        size = float(space.covariance(logvar)[row].diagonal().max())
        torch.testing.assert_close(
            drawn.mean(dim=0), space.project(mu)[row], atol=0.03 * size**0.5, rtol=0
        )
        torch.testing.assert_close(
            torch.cov(drawn.T), space.covariance(logvar)[row], atol=0.03 * size, rtol=0
        )


@pytest.mark.parametrize("latent", [1, 2])
def test_one_and_two_dimensions_are_their_own_picture(
    latent: int, states: States, info: ModelInfo
) -> None:
    narrow = dataclasses.replace(QUICK, latent=latent, epochs=1)
    made: Space = drain(space_steps(info, states, narrow, CUT))
    mu, logvar = made.encode(states.values[:9])
    xy, covariance = made.project(mu), made.covariance(logvar)
    assert xy.shape == (9, 2)
    assert covariance.shape == (9, 2, 2)
    if latent == 2:
        assert torch.equal(xy, mu)
        torch.testing.assert_close(covariance, torch.diag_embed(logvar.exp()))
    else:
        assert (xy[:, 1] == 0).all()


def test_decoding_goes_back_to_the_states_units(space: Space, states: States) -> None:
    mu, _ = space.encode(states.values)
    rebuilt = space.decode(mu)
    error = (rebuilt - states.values).square().sum()
    total = (states.values - states.values.mean(dim=0)).square().sum()
    assert rebuilt.shape == states.values.shape
    assert error < total


# Each damage is done to the bytes of a good file.
DAMAGE = {
    "cut in half": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "another format": lambda data: b"PK\x03\x04" + data[4:],
    "a header that lies": lambda data: (2**60).to_bytes(8, "little") + data[8:],
    "no card": lambda data: data.replace(b'"card"', b'"core"', 1),
    "a card of another kind": lambda data: data.replace(b'\\"latent\\":3', b'\\"latent\\":"', 1),
    "a card that lies": lambda data: data.replace(b'\\"latent\\":3', b'\\"latent\\":4', 1),
    "not numbers": lambda data: data[:-4000] + b"\xff" * 4000,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_a_sentence(kind: str, saved: Path) -> None:
    good = saved.read_bytes()
    bad = DAMAGE[kind](good)
    assert bad != good
    saved.write_bytes(bad)
    with pytest.raises(UserError, match=r"Cannot read the latent space space\.safetensors"):
        load(saved)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot read the latent space"):
        load(tmp_path / "none.safetensors")


def test_a_space_of_something_else_is_refused_with_both_names(
    space: Space, info: ModelInfo
) -> None:
    require(space.card, info)
    require(space.card, info, LAYER)
    other = dataclasses.replace(info, name="other", title="Other", width=64)
    with pytest.raises(UserError, match=rf"{info.title} \(width 32\).*Other \(width 64\)"):
        require(space.card, other)
    with pytest.raises(UserError, match=rf"layer 2 of {info.title}.*layer is 1 of {info.title}"):
        require(space.card, info, 1)
    wider = dataclasses.replace(info, width=64)
    with pytest.raises(UserError, match=r"width 32.*width 64"):
        require(space.card, wider)
    again = dataclasses.replace(info, fingerprint="0" * 64)
    with pytest.raises(UserError, match="other weights"):
        require(space.card, again)
    require(space.card, dataclasses.replace(info, fingerprint=""))


# --- finding spaces -------------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The two folders that are looked into: the program's and the user's."""
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    monkeypatch.setattr(store, "folders", lambda: (shipped, own))
    return shipped, own


def with_card(space: Space, **changes: Any) -> Space:
    return dataclasses.replace(space, card=msgspec.structs.replace(space.card, **changes))


def test_spaces_are_found_by_layer(
    space: Space, info: ModelInfo, shelf: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    shipped, own = shelf
    assert store.spaces_for(info, torch.device("cpu")) == {}
    space.save(shipped / "a.safetensors")
    with_card(space, layer=1).save(shipped / "b.safetensors")
    with_card(space, command="the user's own").save(own / "c.safetensors")
    with_card(space, model="another").save(own / "d.safetensors")
    with_card(space, states="sentences", layer=3).save(own / "e.safetensors")
    found = store.spaces_for(info, torch.device("cpu"))
    assert sorted(found) == [1, LAYER]
    assert found[LAYER].card.command == "the user's own"
    assert not caplog.records


def test_what_cannot_be_used_is_passed_over_and_logged(
    space: Space, info: ModelInfo, shelf: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    shipped, _ = shelf
    space.save(shipped / "good.safetensors")
    with_card(space, fingerprint="0" * 64, layer=1).save(shipped / "stale.safetensors")
    with_card(space, layer=9).save(shipped / "deep.safetensors")
    (shipped / "broken.safetensors").write_bytes(b"nothing")
    (shipped / ".half.part.safetensors").write_bytes(b"being written")
    data = (shipped / "good.safetensors").read_bytes()
    (shipped / "torn.safetensors").write_bytes(data[:-100])
    with caplog.at_level(logging.WARNING, logger="engine.latent.store"):
        found = store.spaces_for(info, torch.device("cpu"))
    assert list(found) == [LAYER]
    named = {record.getMessage().split()[0] for record in caplog.records}
    assert named == {f"{name}.safetensors" for name in ("broken", "stale", "deep", "torn")}


def test_a_broken_file_does_not_keep_a_model_from_opening(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path))
    (tmp_path / "latent").mkdir()
    (tmp_path / "latent" / "broken.safetensors").write_bytes(b"nothing")
    engine = tinymodels.open_engine(folder)
    assert engine.loaded is not None
    assert "latent" not in engine.loaded.info.provides


# --- the probe ------------------------------------------------------------------------------------


def test_the_probe_encodes_the_states_of_the_spaces_layer(engine: Engine, space: Space) -> None:
    result = answer(engine, "The dog is running in the park.")
    mu, logvar = space.encode(states_of(engine))
    np.testing.assert_allclose(result.mu, mu.numpy(), atol=1e-5)
    np.testing.assert_allclose(result.logvar, logvar.numpy(), atol=1e-5)
    np.testing.assert_allclose(result.xy, space.project(mu).numpy(), atol=1e-5)
    np.testing.assert_allclose(result.covariance, space.covariance(logvar).numpy(), atol=1e-5)
    assert result.layer == LAYER
    assert result.label_names == ("one", "two")
    assert len(result.reference) == len(result.labels)
    assert result.card["active_units"] == space.figures["active_units"]
    assert engine.loaded is not None
    assert engine.loaded.info.latent_layers == (LAYER,)


def test_typing_encodes_only_what_is_new(engine: Engine, space: Space) -> None:
    text = "The dog is running in the park."
    for end in range(4, len(text) + 1):
        result = answer(engine, text[:end])
        assert engine._trace is not None
        mu, logvar = space.encode(states_of(engine))
        np.testing.assert_allclose(result.mu, mu.numpy(), atol=1e-4)
        np.testing.assert_allclose(result.logvar, logvar.numpy(), atol=1e-4)
    kept = engine._trace.memos[f"latent {LAYER}"]  # type: ignore[union-attr]
    assert isinstance(kept, Posteriors)
    before, tokens = kept.encoded, len(result.mu)
    result = answer(engine, text + " The fox")
    assert kept.encoded - before == len(result.mu) - tokens
    answer(engine, text + " The fox")
    assert kept.encoded - before == len(result.mu) - tokens


def test_an_edit_in_the_middle_is_encoded_anew(engine: Engine, space: Space) -> None:
    answer(engine, "The dog is running in the park.")
    result = answer(engine, "The dog sells sea shells.")
    mu, _ = space.encode(states_of(engine))
    assert len(result.mu) == len(mu)
    np.testing.assert_allclose(result.mu, mu.numpy(), atol=1e-4)


def test_a_layer_without_a_space_is_told_of(engine: Engine) -> None:
    snapshot = engine.answer(Request(1, engine.epoch, "The dog", (LatentQuery(1),)))
    assert snapshot.refused[LatentQuery(1)].endswith(f"for layer {LAYER}, not for 1")
    assert answer(engine, "The dog", LatentQuery(LAYER)).layer == LAYER


def test_unasked_it_is_the_layer_nearest_to_the_middle() -> None:
    assert middle((2, 15, 28), 30) == 15
    assert middle((2, 28), 30) == 2
    assert middle((22, 8), 30) == 8
    assert middle((0, 3), 3) == 0
