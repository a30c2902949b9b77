"""Comparisons of made-up numbers, for the tests of what draws them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.comparison import CompareQuery, CompareResult, Side
from engine.tasks.answers import AnswersQuery, AnswersResult
from engine.tasks.taskfile import find_task
from engine.types import ModelInfo, Token
from gui.prompting import Choice, write

CONTEXT_TOKENS = 3

PROMPT = write(find_task("sentiment"), Choice())


def comparison(
    query: CompareQuery, model: ModelInfo, tokens: tuple[Token, ...], dice: np.random.Generator
) -> CompareResult:
    """Two sides of which only B has `CONTEXT_TOKENS` tokens before the text, all tokens shared."""
    count, layers, heads = len(tokens), model.layers, model.heads
    shift = dice.uniform(0, 1, (count, layers + 1)).astype(np.float32)
    shift[:, 0] = 0
    attends = "attention" in model.provides and heads > 0
    predicts = "next" in model.provides and model.kind == "decoder"
    causal = np.tri(count, dtype=np.float32) if model.kind == "decoder" else np.float32(1)
    attention = (dice.normal(0, 0.1, (count, count)) * causal).astype(np.float32)
    nats = dice.normal(0, 2, count).astype(np.float32)
    kl = np.abs(dice.normal(0, 2, count)).astype(np.float32)
    if count:
        nats[0] = kl[0] = np.nan
    return CompareResult(
        layer=query.layer,
        head=query.head,
        stack="decoder" if model.kind == "decoder" else "encoder",
        one=side(query.one, tokens, dice, predicts, 0, model.title),
        other=side(
            *(query.other, tokens, dice, predicts, CONTEXT_TOKENS),
            "Other Model" if query.model else model.title,
        ),
        pairs=np.repeat(np.arange(count)[:, None], 2, axis=1),
        shift=shift,
        kl=kl if predicts else None,
        pcxmi=nats if predicts else None,
        next_kl=0.5 if predicts else float("nan"),
        attention=attention if attends and query.attention else None,
        elsewhere=np.full((2, count), 0.25, np.float32) if attends and query.attention else None,
        heads=dice.uniform(0, 1, (layers, heads)).astype(np.float32) if attends else None,
        space=query.space,
        paths=None if query.space is None else dice.normal(size=(2, count, 2)).astype(np.float32),
        reference=None if query.space is None else dice.normal(size=(300, 2)).astype(np.float32),
        second=query.model,
    )


def side(
    context: str,
    tokens: tuple[Token, ...],
    dice: np.random.Generator,
    predicts: bool,
    before: int,
    model: str,
) -> Side:
    """One side with `before` tokens of context."""
    count = len(tokens)
    surprise = dice.gamma(2, 2, count).astype(np.float32)
    if not predicts:
        surprise[:] = np.nan
    elif count and not before:
        surprise[0] = np.nan
    return Side(
        context=context,
        tokens=tokens,
        places=np.arange(before, before + count),
        own=np.arange(count),
        count=before + count,
        surprise=surprise,
        next_ids=(1, 2) if predicts else (),
        next_texts=(" park", "\n") if predicts else (),
        next_probabilities=np.array([0.5, 0.25] if predicts else [], np.float32),
        model=model,
    )


def answers(
    query: AnswersQuery, model: ModelInfo, tokens: tuple[Token, ...], dice: np.random.Generator
) -> AnswersResult:
    """Made-up probabilities, the first answer the likeliest, and attention to each part."""
    count, parts = len(query.answers), []
    for first, after in query.ranges:
        inside = [i for i, token in enumerate(tokens) if first <= token.start < after]
        parts.append((inside[0], inside[-1] + 1) if inside else (0, 0))
    probabilities = (0.4 / 2 ** np.arange(count)).astype(np.float32)
    attends = "attention" in model.provides and model.heads > 0
    shape = (model.layers, model.heads, len(parts))
    return AnswersResult(
        ids=np.arange(count),
        counted=np.ones(count, np.int64),
        probabilities=probabilities,
        shares=probabilities / max(1e-9, probabilities.sum()),
        ranks=np.arange(count),
        mass=(dice.uniform(0, 1, shape) / (len(parts) or 1)).astype(np.float32)
        if attends
        else None,
        tokens=np.array(parts, np.int64).reshape(-1, 2),
    )


def with_a_merge(found: CompareResult) -> CompareResult:
    """The same, but B has its first token merged with the end of its context."""
    first = found.other.tokens[0]
    merged = replace(first, text="x" + first.text, start=-1)
    own = found.other.own.copy()
    own[0] = -1
    other = replace(found.other, tokens=(merged, *found.other.tokens[1:]), own=own)
    cut = {
        name: value[1:]
        for name in ("shift", "kl", "pcxmi", "pairs")
        if (value := getattr(found, name)) is not None
    }
    attention = None if found.attention is None else found.attention[1:, 1:]
    elsewhere = None if found.elsewhere is None else found.elsewhere[:, 1:]
    return replace(found, other=other, attention=attention, elsewhere=elsewhere, **cut)
