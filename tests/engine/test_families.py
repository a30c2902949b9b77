"""What families do at their edges: no attention, attention here and there, maps that are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tinymodels
import torch
import transformers
from tinyfamilies import VOCABULARY

from engine.engine import Engine
from engine.errors import UserError
from engine.models.families.spec import family_specs
from engine.models.stored import StoredAttention
from engine.types import AttentionQuery, MosaicQuery, NextQuery, Query, Request, Snapshot


def ask(engine: Engine, text: str, *queries: Query) -> Snapshot:
    return engine.answer(Request(1, engine.epoch, text, queries))


def test_a_model_without_attention_says_so_and_shows_the_rest(tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model("mamba", tmp_path))
    assert engine.loaded is not None
    info = engine.loaded.info
    assert info.heads == 0
    assert info.provides == {"embedding", "next"}
    snapshot = ask(engine, "The dog", AttentionQuery(0), MosaicQuery(), NextQuery())
    assert set(snapshot.results) == {NextQuery()}
    assert all("provides no attention" in reason for reason in snapshot.refused.values())


def test_a_layer_without_attention_is_named(tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model("lfm2", tmp_path))
    snapshot = ask(engine, "The dog", AttentionQuery(0), AttentionQuery(1), MosaicQuery())
    assert set(snapshot.results) == {AttentionQuery(1), MosaicQuery()}
    assert "Layer 0" in snapshot.refused[AttentionQuery(0)]
    assert "these do: 1" in snapshot.refused[AttentionQuery(0)]


@pytest.mark.parametrize("name", ["bloom", "gpt_neo"])
def test_models_outside_the_registry_run_the_suffix_only(name: str, tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model(name, tmp_path))
    count = len(ask(engine, tinymodels.TEXT).tokens)
    stats = ask(engine, tinymodels.TEXT + "z").stats
    assert (stats.passes, stats.suffix) == (1, 1)
    assert stats.reused == count
    assert engine.loaded is not None
    reader, info = engine.loaded.reader, engine.loaded.info
    assert reader.map_bytes(count) == info.layers * info.heads * count**2 * 4
    assert stats.trace_bytes > reader.map_bytes(count)


def test_a_model_of_the_registry_keeps_no_maps(tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model("llama", tmp_path))
    assert engine.loaded is not None
    assert engine.loaded.reader.map_bytes(1000) == 0


def test_stored_maps_grow_and_are_cut_like_the_text() -> None:
    generator = torch.Generator().manual_seed(0)
    stored, whole = StoredAttention(), torch.zeros(2, 0, 0)
    assert (stored.heads, stored.rows, stored.columns, stored.nbytes) == (0, 0, 0, 0)
    with pytest.raises(RuntimeError, match="no attention"):
        stored.weights()
    for kept, new in ((0, 5), (5, 1), (3, 90), (93, 1), (10, 2), (0, 200)):
        stored.keep(kept)
        columns = kept + new
        rows = torch.rand(2, new, columns, generator=generator).tril(kept)
        stored.append(rows)
        grown = torch.zeros(2, columns, columns)
        grown[:, :kept, :kept] = whole[:, :kept, :kept]
        grown[:, kept:] = rows
        whole = grown
        assert (stored.heads, stored.rows, stored.columns) == (2, columns, columns)
        assert torch.equal(stored.weights(), whole)
        assert torch.equal(stored.weights(1, kept, columns), whole[1:, kept:])
    assert stored.nbytes <= 2 * 320**2 * 4


def test_the_heads_of_stored_maps(tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model("mpnet", tmp_path))
    queries = (AttentionQuery(1, None), AttentionQuery(1, 2), AttentionQuery(1, "mean"))
    every, one, mean = (ask(engine, "The dog", *queries).results[query] for query in queries)
    np.testing.assert_array_equal(one.weights, every.weights[2])
    np.testing.assert_allclose(mean.weights, every.weights.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("config", "family"),
    [
        (transformers.LlamaConfig(), "decoder"),
        (transformers.BloomConfig(), "stored-decoder"),
        (transformers.MambaConfig(), "recurrent"),
        (transformers.BertConfig(), "encoder"),
        (transformers.XLNetConfig(), "stored-encoder"),
        (transformers.DebertaV2Config(), "stored-encoder"),
        (transformers.T5Config(), "encoder-decoder"),
        (transformers.MarianConfig(), "encoder-decoder"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.model_type,
)
def test_who_takes_what(config: transformers.PreTrainedConfig, family: str) -> None:
    assert next(spec for spec in family_specs() if spec.accepts(config)).key == family


def test_a_model_whose_attention_cannot_be_read_is_refused(tmp_path: Path) -> None:
    config = transformers.LEDConfig(
        vocab_size=VOCABULARY, d_model=32, encoder_layers=1, decoder_layers=1, attention_window=[8]
    )
    assert not any(spec.accepts(config) for spec in family_specs())
    transformers.AutoModelForSeq2SeqLM.from_config(config).save_pretrained(tmp_path)
    tinymodels.save_tokenizer(tmp_path)
    with pytest.raises(UserError, match="attention cannot be read"):
        tinymodels.open_engine(tmp_path)


def test_wrapping_as_a_conversation_keeps_the_front_and_shows_the_typed(tmp_path: Path) -> None:
    folder = tinymodels.save_model("llama", tmp_path)
    template = (
        "<s>user {{ messages[0]['content'] }}</s>{% if add_generation_prompt %}<s>{% endif %}"
    )
    (folder / "chat_template.jinja").write_text(template)
    engine = tinymodels.open_engine(folder)
    assert engine.loaded is not None
    assert "chat" in engine.loaded.info.provides
    first = engine.answer(Request(1, engine.epoch, "The do", chat=True))
    second = engine.answer(Request(2, engine.epoch, "The dog", (NextQuery(),), chat=True))
    assert second.stats.reused >= 2
    shown = "".join("The dog"[t.start : t.end] for t in second.tokens)
    assert shown == "The dog"
    assert [t.text for t in first.tokens if t.special][-2:] == ["</s>", "<s>"]
    plain = engine.answer(Request(3, engine.epoch, "The dog", (NextQuery(),)))
    assert len(plain.tokens) < len(second.tokens)
