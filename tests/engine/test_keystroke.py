"""What an appended token makes the probes do: its own rows, and nothing of what stood there."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tinymodels
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from engine.engine import SMALL, Engine, never
from engine.estimate import Sizes
from engine.frozen import FrozenSquare
from engine.models import kernels
from engine.models.families.decoder import common_prefix
from engine.models.text import TokenReader
from engine.probes import mosaic
from engine.probes.attention import ShownMap
from engine.probes.mosaic import Thumbnails
from engine.probes.spec import Pass
from engine.trace import LayerAttention, Trace
from engine.types import (
    AttentionQuery,
    EmbeddingQuery,
    LatentQuery,
    MosaicQuery,
    NextQuery,
    Query,
    Request,
    Snapshot,
)

TEXT = tinymodels.TEXT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinymodels.save_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture
def engine(folder: Path) -> Engine:
    return tinymodels.open_engine(folder, "cpu")


def ask(engine: Engine, text: str, *queries: Query) -> Snapshot:
    return engine.answer(Request(1, engine.epoch, text, queries))


def trace_of(engine: Engine) -> Trace:
    assert engine._trace is not None
    return engine._trace


# --- all heads ------------------------------------------------------------------------------------


def test_few_rows_of_attention_are_those_of_the_general_way(engine: Engine) -> None:
    ask(engine, TEXT)
    with torch.inference_mode():
        for layer in trace_of(engine).attention["decoder"]:
            assert isinstance(layer, LayerAttention)
            assert layer.plain
            queries, keys = layer.arrays()
            for start in (layer.rows - 1, layer.rows - 5):
                rows = np.zeros((layer.heads, layer.rows, layer.rows), np.float32)
                kernels.fold(queries, keys, layer.scale, start, layer.rows, 1, rows)
                wanted = layer.weights(start=start).numpy()
                np.testing.assert_allclose(rows[:, start:], wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["gemma2", "mistral", "gpt_oss", "bloom"])
def test_what_is_not_plain_attention_is_worked_out_the_general_way(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model(name, tmp_path), "cpu")
    ask(engine, TEXT, MosaicQuery())
    layers = trace_of(engine).attention["decoder"]
    plain = [isinstance(layer, LayerAttention) and layer.plain for layer in layers]
    few = counted(monkeypatch, "_fold_few")
    ask(engine, TEXT + " d", MosaicQuery())
    assert len(few) == sum(plain) < len(layers)


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """Notes which layers a function of the mosaic was called for."""
    calls: list[int] = []
    run = getattr(mosaic, name)

    def noting(kept: Thumbnails, index: int, *rest: Any) -> None:
        calls.append(index)
        run(kept, index, *rest)

    monkeypatch.setattr(mosaic, name, noting)
    return calls


def test_a_new_row_is_joined_to_its_block_where_it_stands(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, text = MosaicQuery(4), TEXT
    before = ask(engine, text, query).results[query].maps
    shown, many = before.copy(), counted(monkeypatch, "_fold_many")
    memo = trace_of(engine).memos["mosaic decoder 4"]
    assert isinstance(memo, Thumbnails)
    places, folded, runs = set(), memo.folded, 0
    for _ in range(5):
        text += " d"
        snapshot = ask(engine, text, query)
        assert memo.rows == snapshot.results[query].rows == len(snapshot.tokens)
        places.add(memo.maps.data_ptr())
        runs += snapshot.stats.suffix
    assert memo.folded == folded + runs
    assert not many
    assert len(places) <= 2, "thumbnails were copied within a block"
    assert np.array_equal(before, shown), "what was shown never changes"
    trace_of(engine).memos.clear()
    anew = ask(engine, text, query).results[query].maps
    np.testing.assert_allclose(snapshot.results[query].maps, anew, atol=1e-6)


def test_a_letter_that_joins_the_last_token_folds_this_token_alone(engine: Engine) -> None:
    query, text = MosaicQuery(4), TEXT
    ask(engine, text, query)
    memo = trace_of(engine).memos["mosaic decoder 4"]
    assert isinstance(memo, Thumbnails)
    most = []
    for letter in (" d", "o", "g", "s", " a", "x", "y", "z", "w"):
        text += letter
        folded = memo.folded
        snapshot = ask(engine, text, query)
        most.append(memo.folded - folded)
    assert max(most) <= 3 < memo.block, "a block was folded anew"
    trace_of(engine).memos.clear()
    anew = ask(engine, text, query).results[query].maps
    np.testing.assert_allclose(snapshot.results[query].maps, anew, atol=1e-6)


def test_smaller_thumbnails_are_made_of_larger_ones(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join([TEXT] * 4)
    wanted = ask(engine, text, MosaicQuery(8)).results[MosaicQuery(8)].maps
    trace_of(engine).memos.clear()
    ask(engine, text, MosaicQuery(32))
    whole = LayerAttention.weights
    looked: list[int] = []

    def weights(layer: LayerAttention, *given: Any, **more: Any) -> torch.Tensor:
        looked.append(1)
        return whole(layer, *given, **more)

    monkeypatch.setattr(LayerAttention, "weights", weights)
    smaller = ask(engine, text, MosaicQuery(8)).results[MosaicQuery(8)].maps
    np.testing.assert_array_equal(smaller, wanted)
    assert not looked, "no map was worked out again"
    larger = ask(engine, text, MosaicQuery(64)).results[MosaicQuery(64)].maps
    assert looked, "finer ones cannot be made of coarse ones"
    assert larger.shape[2] > smaller.shape[2]


# --- what is quick comes first --------------------------------------------------------------------


def test_quick_answers_come_before_the_slow_ones_are_worked_out(engine: Engine) -> None:
    quick, slow = AttentionQuery(1, 0), (MosaicQuery(), NextQuery(), EmbeddingQuery(1))
    early: list[Snapshot] = []

    def asked(text: str, *queries: Query) -> Snapshot:
        request = Request(1, engine.epoch, text, queries)
        early.clear()
        return engine.answer(request, never, early.append)

    asked(TEXT, quick, *slow)
    assert [set(one.results) for one in early] == [set()], "a whole text is drawn at once"
    whole = asked(TEXT + " d", *slow, quick)
    assert [set(one.results) for one in early] == [set(), {quick}]
    assert early[0].more
    assert early[0].tokens == whole.tokens
    assert set(whole.results) == {quick, *slow}
    assert not whole.more
    assert whole.results[quick] is early[1].results[quick]
    other = AttentionQuery(1, 1)
    asked(TEXT + " d", *slow, other)
    assert [set(one.results) for one in early] == [{other}], "nothing had to be run"
    layer = EmbeddingQuery(0), MosaicQuery()
    asked(TEXT + " d", AttentionQuery(0, 1), *layer)
    assert [set(one.results) for one in early] == [set(layer)], "a whole map takes longest"
    asked(TEXT + " d c", *slow)
    assert [set(one.results) for one in early] == [set()]
    asked(TEXT + " d c d", quick)
    assert [set(one.results) for one in early] == [set()]


def test_how_a_text_is_cut_is_told_before_it_is_run(engine: Engine) -> None:
    told: list[tuple[Snapshot, int]] = []

    def asked(text: str) -> Snapshot:
        told.clear()
        request = Request(1, engine.epoch, text, (NextQuery(),))
        return engine.answer(request, never, lambda one: told.append((one, engine.passes)))

    for text in (TEXT, TEXT + " d", TEXT[:10], TEXT):
        before = engine.passes
        whole = asked(text)
        (first, passes), *_ = told
        assert (first.tokens, first.more, passes) == (whole.tokens, True, before)
    asked(TEXT)
    assert not told, "they are drawn already"


# --- one map --------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["mean", 2])
def test_a_shown_map_grows_where_it_lies_and_never_changes(
    engine: Engine, head: Literal["mean"] | int
) -> None:
    query, text = AttentionQuery(1, head), TEXT
    shown = []
    for _ in range(4):
        shown.append(ask(engine, text, query).results[query].weights)
        text += " d"
    memo = trace_of(engine).memos["attention"]
    assert isinstance(memo, ShownMap)
    assert isinstance(memo.weights, FrozenSquare)
    assert shown[-1].base is not None, "what is shown is not a copy"
    meant = [one.copy() for one in shown]
    for edit in (TEXT, TEXT[:20] + "z" + TEXT[20:], TEXT[:9] + " dog", text):
        whole = ask(engine, edit, query, AttentionQuery(1, None)).results
        maps = whole[AttentionQuery(1, None)].weights
        wanted = maps.mean(axis=0) if head == "mean" else maps[head]
        np.testing.assert_allclose(whole[query].weights, wanted, atol=1e-6)
        assert not whole[query].weights.flags.writeable
    for one, other in zip(shown, meant, strict=True):
        assert np.array_equal(one, other)


def test_the_map_of_a_hidden_view_does_not_grow(engine: Engine) -> None:
    query = AttentionQuery(1)
    ask(engine, TEXT, query, MosaicQuery())
    memos = trace_of(engine).memos
    held = {name: memo.nbytes for name, memo in memos.items()}
    for end in range(12):
        ask(engine, TEXT + " dog" * end)
    assert {name: memo.nbytes for name, memo in trace_of(engine).memos.items()} == held


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 90)), max_size=8))
def test_views_of_a_frozen_square_keep_what_they_show(edits: list[tuple[int, int]]) -> None:
    square, whole, number = FrozenSquare(), np.zeros((0, 0), np.float32), 0.0
    views = []
    for cut, more in edits:
        kept = max(0, len(whole) - cut)
        square.keep(kept)
        number += 1
        rows = np.tril(np.full((more, kept + more), number, np.float32), kept)
        square.append(rows)
        whole = np.concatenate([np.pad(whole[:kept, :kept], ((0, 0), (0, more))), rows])
        views.append((square.rows(), whole))
    for view, meant in views:
        assert np.array_equal(view, meant)


def test_rows_put_below_those_shown_do_not_copy_the_square() -> None:
    square = FrozenSquare()
    for count in range(1, 400):
        square.append(np.ones((1, count), np.float32))
    assert square.moved < 10


# --- tokens ---------------------------------------------------------------------------------------


def reader_of(engine: Engine) -> TokenReader:
    assert engine.loaded is not None
    reader = engine.loaded.reader_of_text
    assert isinstance(reader, TokenReader)
    return reader


def test_tokens_that_stood_there_are_the_same_objects(engine: Engine) -> None:
    reader = reader_of(engine)
    before = ask(engine, TEXT).tokens
    made = reader.made
    after = ask(engine, TEXT + " d").tokens
    assert reader.made - made <= 3
    kept = len(after) - (reader.made - made)
    assert all(one is other for one, other in zip(before[:kept], after[:kept], strict=True))
    assert ask(engine, TEXT + " d", MosaicQuery()).tokens is after, "the same text is not read anew"


def test_a_target_and_a_text_do_not_push_each_other_out(tmp_path: Path) -> None:
    engine = tinymodels.open_engine(tinymodels.save_model("t5", tmp_path), "cpu")
    reader = reader_of(engine)

    def typed(text: str) -> int:
        made = reader.made
        engine.answer(Request(1, engine.epoch, text, target="a park"))
        return reader.made - made

    assert typed(TEXT) > 20
    assert typed(TEXT + " d") <= 4


@given(st.lists(st.tuples(st.text("aé \n🐕猫<s>d", max_size=12), st.booleans()), max_size=6))
def test_reuse_gives_what_a_new_reader_gives(parts: list[tuple[str, bool]]) -> None:
    readers = {name: make() for name, make in MAKERS.items()}
    text = ""
    for part, behind in parts:
        text = text + part if behind else part + text
        for name, reader in readers.items():
            assert reader.read(text) == MAKERS[name]().read(text)


@functools.cache
def tokenizer_of(kind: str) -> Any:
    if kind == "wordpiece":
        words = ["[UNK]", "[CLS]", "[SEP]", "a", "##a", "d", "##d", "e", "##e", "<", "s", ">"]
        made = Tokenizer(models.WordPiece({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer()  # é and e become one piece
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.post_processor = processors.TemplateProcessing(
            "[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
        names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **names)
    with tempfile.TemporaryDirectory() as folder:
        tinymodels.save_tokenizer(Path(folder))
        return transformers.AutoTokenizer.from_pretrained(folder)


MAKERS = {
    kind: functools.partial(lambda kind: TokenReader(tokenizer_of(kind)), kind)
    for kind in ("wordpiece", "bytes")
}


def test_a_small_pass_over_a_long_text_does_not_ask_what_is_free() -> None:
    # As of the default model with 1024 tokens, all views shown.
    sizes = Sizes(30, 31, 9, 3, 64, 576, 1536, 49152, 4, cached=True)
    queries = (EmbeddingQuery(10), AttentionQuery(10), MosaicQuery(), NextQuery(), LatentQuery(15))
    assert sizes.asking(queries, 1, 1024) < SMALL
    whole = sizes.asking((*queries, AttentionQuery(10, None)), 1, 1024)
    assert whole >= sizes.asking(queries, 1, 1024) + 4 * 9 * 1024**2, "what is kept adds up"


@given(st.lists(st.integers(0, 1), max_size=20), st.lists(st.integers(0, 1), max_size=20))
def test_a_common_prefix_ends_where_the_two_first_differ(one: list[int], other: list[int]) -> None:
    count = common_prefix(one, other)
    assert one[:count] == other[:count]
    assert count == min(len(one), len(other)) or one[count] != other[count]


def test_another_layer_leaves_the_window_a_core(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    probe = Engine._probe

    def watched(passed: Pass, query: Query) -> object:
        seen.append(torch.get_num_threads())
        return probe(passed, query)

    monkeypatch.setattr(Engine, "_probe", staticmethod(watched))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for layer, threads in ((0, 3), (1, 2)):  # a whole text first: nothing is drawn beside it
            seen.clear()
            text = TEXT + " window"
            engine.answer(Request(1, engine.epoch, text, (AttentionQuery(layer, "mean"),)))
            assert seen == [threads]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
