"""Snapshots made with numpy, that answer what a figure asks for."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from fakes import gates, memory_result
from made_comparisons import answers, comparison

from engine.comparison import CompareQuery
from engine.latent.pictured import PictureResult
from engine.latent.projections.spec import Settings
from engine.latent.quality import Quality
from engine.latent.values import PictureQuery, PlaceQuery, PlaceResult
from engine.tasks.answers import AnswersQuery
from engine.types import (
    AttentionQuery,
    AttentionResult,
    EmbeddingQuery,
    EmbeddingResult,
    GatesQuery,
    LatentQuery,
    LatentResult,
    MemoryQuery,
    ModelInfo,
    MosaicQuery,
    MosaicResult,
    NextQuery,
    NextResult,
    Query,
    Request,
    Result,
    Snapshot,
    Token,
)

LAYERS, HEADS, WIDTH, LATENT = 6, 4, 48, 3
SENTENCE = "The dog is running in the park."
WORDS = ("The", " dog", " is", " running", " in", " the", " park", ".")


def model(kind="decoder", **changes) -> ModelInfo:
    settings = {
        "name": "made",
        "title": "Made-135M",
        "family": "llama",
        "kind": kind,
        "layers": LAYERS,
        "heads": HEADS,
        "width": WIDTH,
        "vocabulary": 1000,
        "max_tokens": 512,
        "parameters": 1_000_000,
        "device": "cpu",
        "dtype": "float32",
        "provides": frozenset({"embedding", "attention", "next", "latent", "gates"}),
        "latent_layers": (3,),
        "source": "made by the test",
        "fingerprint": "ab" * 32,
        "decoder_layers": 3 if kind == "encoder-decoder" else 0,
    }
    return ModelInfo(**(settings | changes))


def tokens(words) -> tuple[Token, ...]:
    made, start = [], 0
    for index, word in enumerate(words):
        data = word.encode("utf-8", "surrogatepass")
        made.append(Token(100 + index, word, data, start, start + len(word)))
        start += len(word)
    return tuple(made)


def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (e / e.sum(axis=-1, keepdims=True)).astype(np.float32)


def attention(rng, heads, rows, columns, causal):
    scores = rng.normal(size=(heads, rows, columns)) * 1.5
    scores[..., 0] += 2  # a first-token sink
    if causal:
        scores = np.where(np.triu(np.ones((rows, columns), bool), 1), -np.inf, scores)
    return softmax(scores)


def answer(query: Query, info: ModelInfo, count: int, target: int, rng) -> Result:
    match query:
        case AttentionQuery(layer, head, stack):
            stack = stack or info.stacks[0]
            rows = count if stack == "encoder" or not target else target
            columns = target if stack == "decoder" and target else count
            weights = attention(rng, info.heads, rows, columns, stack == "decoder")
            if head == "mean":
                weights = weights.mean(axis=0)
            elif head is not None:
                weights = weights[head]
            return AttentionResult(layer, head, stack, weights)
        case EmbeddingQuery(layer, stack, _):
            stack = stack or info.stacks[0]
            rows = target if stack == "decoder" and target else count
            values = rng.normal(size=(rows, info.width)).astype(np.float32)
            values[:, 7] *= 40
            if rows > 3:
                values[0] *= 100  # a massive activation
            xy = values[:, :2] * 2
            norms = np.linalg.norm(values, axis=1).astype(np.float32)
            share = np.array([0.41, 0.18], np.float32)
            fitted = norms <= 4 * np.median(norms)
            return EmbeddingResult(layer, stack, values, norms, xy, share, fitted)
        case MosaicQuery(size, stack):
            stack = stack or info.stacks[0]
            depth, side = info.depth(stack), min(size, count)
            maps = np.stack([attention(rng, info.heads, side, side, stack == "decoder")] * depth)
            return MosaicResult(stack, maps, count, count)
        case NextQuery(most):
            share = np.sort(softmax(rng.normal(size=most) * 2) * 0.9)[::-1].copy()
            surprise = rng.gamma(2, 3, size=target or count).astype(np.float32)
            surprise[0] = np.nan
            texts = (" park", " garden", "\n", " street", " woods", "!", " snow", " house")[:most]
            return NextResult(tuple(range(most)), texts, share, surprise)
        case LatentQuery(layer):
            mu = np.cumsum(rng.normal(size=(count, LATENT)), axis=0).astype(np.float32) / 2
            logvar = rng.normal(-2, 0.4, size=(count, LATENT)).astype(np.float32)
            covariance = np.stack([np.diag(np.exp(row[:2])) for row in logvar])
            covariance[:, 0, 1] = covariance[:, 1, 0] = covariance[:, 0, 0] * 0.3
            return LatentResult(
                layer=layer if layer is not None else info.latent_layers[0],
                mu=mu,
                logvar=logvar,
                xy=mu[:, :2].copy(),
                covariance=covariance.astype(np.float32),
                reference=rng.normal(size=(900, 2)).astype(np.float32) * 1.4,
                labels=np.arange(900) % 3,
                label_names=("Emma", "Alice", "Ulysses"),
                card=MappingProxyType(
                    {"fingerprint": "ab" * 32, "sha256": "cd" * 32, "date": "2026-01-01", "seed": 0}
                ),
            )
        case GatesQuery(layer):
            return gates(layer, count, info.width, rng)
        case AnswersQuery():
            return answers(query, info, tokens(WORDS[:1] * count), rng)
        case CompareQuery():
            return comparison(query, info, tokens(WORDS[:1] * count), rng)
        case MemoryQuery():
            return memory_result(count)
        case PictureQuery(name):
            return picture_result(name)
        case PlaceQuery(name):
            return PlaceResult(name, 3, rng.normal(size=(count, 2)).astype(np.float32))
    raise AssertionError(query)


def picture_result(name="picture 1", states=60, **changes) -> PictureResult:
    """A picture of states of two labels, of which the last sixth is held out."""
    rng = np.random.default_rng(1)
    held = np.arange(states) >= states - states // 6
    good = Quality(0.91, 0.93, 0.8, int((~held).sum()), int((~held).sum()), 50, 10)
    settings = {
        "name": name,
        "projection": "umap",
        "title": "UMAP",
        "axes": ("UMAP 1", "UMAP 2"),
        "settings": Settings(points=states, seed=7),
        "layer": 3,
        "states": "tokens",
        "of": 2 * states,
        "rows": np.arange(states),
        "xy": rng.normal(size=(states, 2)).astype(np.float32),
        "held_out": held,
        "labels": np.arange(states) % 2,
        "label_names": ("Emma", "Ulysses"),
        "texts": tuple(f"… the [word{index}] …" for index in range(states)),
        "mu": None,
        "placing": "A new point stands among its neighbours.",
        "fitted_quality": good,
        "held_out_quality": Quality(0.88, 0.9, 0.75, 10, 10, 10, 4),
        "pca_fitted_quality": Quality(0.71, 0.8, 0.5, 50, 50, 50, 10),
        "pca_held_out_quality": Quality(0.7, 0.79, 0.45, 10, 10, 10, 4),
        "seconds": 1.5,
        "source": "books, all 90 sentences",
    }
    return PictureResult(**(settings | changes))


def snapshot(queries, info=None, words=WORDS, target=(), seed=0, **changes) -> Snapshot:
    """A snapshot of `words` in which every query is answered with random numbers."""
    info = info or model()
    rng = np.random.default_rng(seed)
    if info.kind == "encoder-decoder" and not target:
        target = ("<s>", "Der", " Hund")
    settings = {
        "request": Request(1, 1, "".join(words), tuple(queries)),
        "model": info,
        "tokens": tokens(words),
        "target_tokens": tokens(target),
        "results": MappingProxyType(
            {query: answer(query, info, len(words), len(target), rng) for query in queries}
        ),
    }
    return Snapshot(**(settings | changes))
