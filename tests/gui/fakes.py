"""A bridge with no engine behind it, and snapshots of made-up numbers that follow from the text."""

# ruff: noqa: N815 - Qt's signals have Qt's names

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from made_comparisons import answers, comparison
from PySide6.QtCore import QObject, QTimer, Signal

from engine.comparison import CompareQuery, SecondLoaded
from engine.latent.values import PlaceQuery, PlaceResult
from engine.tasks.answers import AnswersQuery
from engine.types import (
    AttentionQuery,
    AttentionResult,
    EmbeddingQuery,
    EmbeddingResult,
    Failure,
    GatesQuery,
    GatesResult,
    JobDone,
    LatentQuery,
    LatentResult,
    MemoryQuery,
    MemoryResult,
    ModelInfo,
    MosaicQuery,
    MosaicResult,
    NeighboursQuery,
    NeighboursResult,
    NextQuery,
    NextResult,
    PassStats,
    Precision,
    Progress,
    Query,
    Request,
    Result,
    Snapshot,
    Token,
    frozen,
)

ALL = frozenset({"embedding", "attention", "next", "latent", "gates"})


def model_info(name: str = "builtin", **changes: Any) -> ModelInfo:
    """A small decoder; any field can be changed."""
    info = ModelInfo(
        name=name,
        title=name.replace("-", " ").title(),
        family="llama",
        kind="decoder",
        layers=6,
        heads=4,
        width=32,
        vocabulary=1000,
        max_tokens=512,
        parameters=1_500_000,
        device="cpu",
        dtype="float32",
        provides=ALL,
        latent_layers=(4,),
        source="made of numbers",
        fingerprint="0" * 64,
    )
    return replace(info, **changes)


def tokens_of(text: str) -> tuple[Token, ...]:
    """Words with the space before them, and marks; as a byte-pair tokenizer would."""
    return tuple(
        Token(
            id=zlib.crc32(piece.group().encode("utf-8", "replace")) % 1000,
            text=piece.group(),
            data=piece.group().encode("utf-8", "surrogatepass"),
            start=piece.start(),
            end=piece.end(),
        )
        for piece in re.finditer(r"\s?\w+|\s?[^\w\s]|\s+", text)
    )


def make_snapshot(
    request: Request, model: ModelInfo | None = None, tokens: tuple[Token, ...] | None = None
) -> Snapshot:
    """Answer every query of `request` with made-up numbers of the right shapes."""
    model = model or model_info()
    tokens = tokens if tokens is not None else tokens_of(request.text)
    results: dict[Query, Result] = {}
    refused: dict[Query, str] = {}
    for query in request.queries:
        answer = _answer(query, model, tokens, request.text) if tokens else "The text is empty."
        if isinstance(answer, str):
            refused[query] = answer
        else:
            results[query] = answer
    return Snapshot(
        request=request,
        model=model,
        tokens=tokens,
        results=MappingProxyType(results),
        refused=MappingProxyType(refused),
        stats=PassStats(1, 1, max(0, len(tokens) - 1), 12.0, 14.0, 2_000_000, 6_000_000),
    )


def _answer(query: Query, model: ModelInfo, tokens: tuple[Token, ...], text: str) -> Result | str:
    count = len(tokens)
    dice = np.random.default_rng(zlib.crc32(f"{text}{query}".encode("utf-8", "replace")))
    normal = lambda *shape: _floats(dice.standard_normal(shape))  # noqa: E731
    stack = model.stacks[0]
    if isinstance(query, EmbeddingQuery):
        values = normal(count, model.width)
        xy = normal(count, 2) if query.picture else None
        explained = _floats([0.4, 0.2]) if query.picture else None
        norms = _floats(np.linalg.norm(values, axis=1))
        return EmbeddingResult(query.layer, query.stack or stack, values, norms, xy, explained)
    if isinstance(query, NeighboursQuery):
        ids = tuple(range(query.count))
        texts = tuple(f" word{index}" for index in ids)
        return NeighboursResult(
            query.layer, query.position, ids, texts, _floats(np.linspace(0.9, 0.2, query.count))
        )
    if isinstance(query, AttentionQuery):
        maps = _attention(dice, model.heads, count, model.kind == "decoder")
        if query.head is None:
            weights = maps
        else:
            weights = maps.mean(0) if query.head == "mean" else maps[query.head]
        return AttentionResult(query.layer, query.head, query.stack or stack, _floats(weights))
    if isinstance(query, MosaicQuery):
        size = min(query.size, count)
        maps = _attention(dice, model.layers * model.heads, size, model.kind == "decoder")
        maps = maps.reshape(model.layers, model.heads, size, size)
        return MosaicResult(query.stack or stack, _floats(maps), count, count)
    if isinstance(query, NextQuery):
        shares = np.sort(dice.dirichlet(np.full(query.count + 4, 0.4)))[::-1][: query.count]
        surprise = dice.gamma(2.0, 2.0, count)
        surprise[0] = np.nan
        ids = tuple(int(index) for index in dice.integers(0, model.vocabulary, query.count))
        texts = tuple(f" next{index}" for index in range(query.count))
        return NextResult(ids, texts, _floats(shares), _floats(surprise))
    if isinstance(query, LatentQuery):
        xy = normal(count, 2)
        reference = normal(300, 2)
        return LatentResult(
            layer=query.layer or (model.latent_layers or (1,))[0],
            mu=xy,
            logvar=_floats(np.full((count, 2), -2.0)),
            xy=xy,
            covariance=_floats(np.repeat(np.eye(2)[None] * np.exp(-2.0), count, 0)),
            reference=reference,
            labels=frozen(dice.integers(0, 2, len(reference))),
            label_names=("prose", "verse"),
            card=MappingProxyType({"elbo": -12.5, "active_units": 2}),
        )
    if isinstance(query, GatesQuery):
        return gates(query.layer, count, model.width, dice)
    if isinstance(query, PlaceQuery):
        return PlaceResult(query.picture, 4, normal(count, 2))
    if isinstance(query, AnswersQuery):
        return answers(query, model, tokens, dice)
    if isinstance(query, CompareQuery):
        return comparison(query, model, tokens, dice)
    if isinstance(query, MemoryQuery):
        return memory_result(count)
    return f"No answer is known to {type(query).__name__}."


def gates(layer: int, count: int, units: int, dice: np.random.Generator) -> GatesResult:
    """An LSTM's gates over random scores."""
    scores = dice.standard_normal((4, count, units))
    enter, forget, output = 1 / (1 + np.exp(-scores[:3]))
    candidate, cell = np.tanh(scores[3]), np.zeros((count, units))
    for t in range(count):
        cell[t] = enter[t] * candidate[t] + (forget[t] * cell[t - 1] if t else 0)
    told = (output * np.tanh(cell), cell, enter, forget, output, candidate)
    return GatesResult(layer, *(_floats(part) for part in told))


def memory_result(count: int = 2048, **changes: Any) -> MemoryResult:
    """What a Llama of 30 layers, 9 heads and 3 key heads leaves of `count` tokens."""
    found = MemoryResult(
        weights=538_060_032,
        cache=count * 46_080,
        states=count * 73_728,
        queries=count * 69_120,
        masks=0,
        maps=0,
        shown=count**2 * 4,
        thumbnails=270 * 576 * 4,
        memos=count * 40 + 196_608,
        all_maps=270 * count**2 * 4,
        process=1_400_000_000,
        free=6_200_000_000,
        total=16_000_000_000,
        bound="this machine",
    )
    return replace(found, **changes)


def _attention(dice: np.random.Generator, heads: int, count: int, causal: bool) -> np.ndarray:
    scores = dice.standard_normal((heads, count, count)) * 2
    scores[:, :, :1] += 2.0
    if causal:
        scores = np.where(np.tri(count, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def _floats(values: Any) -> Any:
    return frozen(np.ascontiguousarray(values, np.float32))


class FakeBridge(QObject):
    """What the window knows of gui.bridge.Bridge, answered at the next turn of the event loop.

    With `auto` off nothing is answered until the test says so. Models are looked up in `models`;
    one that is not there fails, as an unknown name does. `held` names stay under way.
    """

    snapshotReady = Signal(object)
    failed = Signal(object)
    progressed = Signal(object)
    jobFinished = Signal(object)
    modelLoaded = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.auto = True
        self.started = False
        self.closed = False
        self.models = {
            "builtin": model_info(),
            "smollm2-135m-instruct": model_info("smollm2-135m-instruct", layers=12, heads=6),
            "encoder": model_info(
                "encoder", kind="encoder", provides=frozenset({"embedding", "attention"})
            ),
        }
        self.devices: set[str] | None = None  # None: all there are
        self.held: set[str] = set()
        self.model: ModelInfo | None = None
        self.requests: list[Request] = []
        self.asked: list[Request] = []
        self.opened: list[tuple[str, str]] = []
        self.dtypes: list[str] = []
        self.measured = 0
        self.seconds: list[tuple[str, str]] = []
        self.closed_seconds = 0
        self.cancelled: list[str] = []
        self._jobs: list[str] = []

    def start(self) -> None:
        self.started = True

    def close(self) -> None:
        self.closed = True

    def jobs(self) -> tuple[str, ...]:
        return tuple(self._jobs)

    def measure_precision(self) -> str:
        self.measured += 1
        job = f"precision {self.measured}"
        self._jobs.append(job)
        if "precision" not in self.held:
            found = Precision(0.0126, "next-token probability", 32)
            QTimer.singleShot(0, self, lambda: self.finish_measuring(job, found))
        return job

    def finish_measuring(self, job: str, value: object) -> None:
        if job in self._jobs:
            self._jobs.remove(job)
            self.jobFinished.emit(JobDone(job, value))

    def open_model(self, spec: str, device: str = "auto", dtype: str = "auto") -> str:
        job = f"open {spec}"
        self.opened.append((spec, device))
        self.dtypes.append(dtype)
        self._jobs.append(job)
        self.progressed.emit(Progress(f"Fetching {spec}", 0.1, job))
        if spec not in self.held:
            QTimer.singleShot(0, self, lambda: self.finish_opening(spec, device, dtype))
        return job

    def finish_opening(self, spec: str, device: str = "auto", dtype: str = "auto") -> None:
        job = f"open {spec}"
        if job not in self._jobs:
            return
        self._jobs.remove(job)
        info = self.models.get(spec)
        if self.devices is not None and device not in self.devices:
            sentence = f"Cannot run {spec} on {device}: there is none here. Choose auto."
            self.failed.emit(Failure(0, sentence, job=job))
            return
        if info is None:
            sentence = f"Cannot open {spec}: the hub knows no such model. Check the spelling."
            self.failed.emit(Failure(0, sentence, job=job))
            return
        self.model = info if device == "auto" else replace(info, device=device)
        if dtype != "auto":
            self.model = replace(self.model, dtype=dtype)
        self.modelLoaded.emit(self.model)
        self.jobFinished.emit(JobDone(job, self.model))

    def open_second(self, spec: str, dtype: str = "auto") -> str:
        self.seconds.append((spec, dtype))
        job = f"second {len(self.seconds)} {spec}"
        self._jobs.append(job)
        self.progressed.emit(Progress(f"Fetching {spec}", 0.1, job))
        if spec not in self.held:
            QTimer.singleShot(0, self, lambda: self.finish_second(job, spec))
        return job

    def finish_second(self, job: str, spec: str) -> None:
        if job not in self._jobs:
            return
        self._jobs.remove(job)
        info = self.models.get(spec)
        if info is None:
            sentence = f"Cannot open {spec}: the hub knows no such model. Check the spelling."
            self.failed.emit(Failure(0, sentence, job=job))
            return
        device = info.device if self.model is None else self.model.device
        self.jobFinished.emit(JobDone(job, SecondLoaded(replace(info, device=device))))

    def close_second(self) -> None:
        self.closed_seconds += 1

    def cancel_job(self, name: str) -> None:
        self.cancelled.append(name)
        if name in self._jobs:
            self._jobs.remove(name)
            self.jobFinished.emit(JobDone(name, cancelled=True))

    def submit(self, request: Request) -> None:
        self.requests.append(request)
        if self.auto:
            QTimer.singleShot(0, self, lambda: self.answer(request))

    def answer(self, request: Request | None = None) -> None:
        """Answer `request`, or the last one; an older one is dropped, newest wins."""
        if request is None or request is self.requests[-1]:
            self.snapshotReady.emit(make_snapshot(request or self.requests[-1], self.model))

    def fail(self, sentence: str) -> None:
        """Let the last request come to nothing."""
        last = self.requests[-1]
        self.failed.emit(Failure(last.epoch, sentence, seq=last.seq))

    def ask(self, request: Request, callback: Callable[[object], None]) -> None:
        self.asked.append(request)
        snapshot = make_snapshot(request, self.model)
        QTimer.singleShot(0, self, lambda: callback(snapshot))


def request(text: str, *queries: Query, seq: int = 1) -> Request:
    """A request as the controller would make it."""
    return Request(seq=seq, epoch=1, text=text, queries=queries, born=time.perf_counter())
