"""The chat template on and off: exact after any edits, and built on what stands before them."""

from __future__ import annotations

import pytest
import tinymodels
from hypothesis import given, settings
from hypothesis import strategies as st
from test_exact import EXAMPLES, Case, editing

from engine.models.families.decoder import common_prefix
from engine.types import AttentionQuery, EmbeddingQuery, NextQuery, Request, Snapshot

TEMPLATE = (
    "<s>user\n{{ messages[0]['content'] }}</s>\n"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
QUERIES = (EmbeddingQuery(1), AttentionQuery(1, None), NextQuery(5))


@pytest.fixture(scope="module", params=["llama", "gpt2", "mistral"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    made = Case(request.param, tmp_path_factory.mktemp(request.param))
    assert made.engine.loaded is not None
    made.engine.loaded.reader_of_text.tokenizer.chat_template = TEMPLATE  # type: ignore[attr-defined]
    return made


def ask(case: Case, text: str, chat: bool) -> Snapshot:
    return case.engine.answer(Request(1, case.engine.epoch, text, QUERIES, chat=chat))


@settings(max_examples=EXAMPLES, deadline=None)
@given(texts=editing(), switches=st.lists(st.booleans(), min_size=5, max_size=5))
def test_edits_within_the_template_and_switching_it_are_exact(
    case: Case, texts: list[str], switches: list[bool]
) -> None:
    trace = case.engine._trace
    before = list(trace.ids) if trace else []
    for text, chat in zip(texts, switches, strict=False):
        snapshot = ask(case, text, chat)
        case.check(snapshot)
        ids = [token.id for token in snapshot.tokens]
        if not ids:
            continue
        assert snapshot.stats.reused == common_prefix(before, ids)
        assert snapshot.stats.suffix == len(ids) - snapshot.stats.reused
        before = ids


def test_a_key_runs_itself_and_what_closes_the_template(case: Case) -> None:
    text = tinymodels.TEXT[:60]
    closing = 0
    for end in range(40, 60):
        snapshot = ask(case, text[:end], True)
        own = [index for index, token in enumerate(snapshot.tokens) if token.start < token.end]
        closing = len(snapshot.tokens) - own[-1] - 1
        if end > 40:
            # One token may merge with what is typed.
            assert snapshot.stats.suffix <= closing + 2
    assert closing > 0


def test_the_templates_tokens_are_special_and_stand_for_no_text(case: Case) -> None:
    text = "The dog"
    wrapped, plain = ask(case, text, True), ask(case, text, False)
    assert all(token.start == token.end for token in wrapped.tokens if token.special)
    assert "".join(text[t.start : t.end] for t in wrapped.tokens if not t.special) == text
    assert sum(token.special for token in wrapped.tokens) == len(wrapped.tokens) - len(plain.tokens)
