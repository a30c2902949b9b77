"""The engine: one model, one trace, and answers to requests. Runs on one thread; knows no Qt.

>>> engine = Engine()
>>> info = engine.load(source)                                            # doctest: +SKIP
>>> engine.answer(Request(1, engine.epoch, "Hello", (AttentionQuery(0),)))  # doctest: +SKIP
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from types import MappingProxyType

import torch

from engine.errors import UserError
from engine.models.families.spec import Ran
from engine.models.loader import Loaded, load_steps
from engine.models.store import ModelSource
from engine.models.text import without_surrogates
from engine.probes.spec import NotAnswerable, Pass, probe_specs
from engine.trace import Trace
from engine.types import (
    ModelInfo,
    PassStats,
    Progress,
    Query,
    Request,
    Result,
    Snapshot,
    Token,
)

DEFAULT_LIMIT = 1024
"""Most tokens run on a CPU unless the user says otherwise: beyond it a first pass takes many
seconds there."""

ACCELERATOR_LIMIT = 8192

_SURROGATES = (
    "Characters that are half of a pair (lone surrogates) were replaced by �, because no tokenizer "
    "accepts them."
)


def never() -> bool:
    """Nobody asks to stop."""
    return False


class Engine:
    """Answers requests about one loaded model."""

    def __init__(self) -> None:
        self.loaded: Loaded | None = None
        self.epoch = 0
        self._trace: Trace | None = None
        self.passes = 0  # forward passes since the start, for tests and the status line

    def load_steps(
        self, source: ModelSource, device: str = "auto"
    ) -> Generator[Progress, None, ModelInfo]:
        """Load a model and make it the one that answers. The one before answers until then.

        Raises
        ------
        UserError
            If it cannot be loaded. The one before stays.
        """
        loaded = yield from load_steps(source, device)
        self.loaded, self._trace = loaded, None
        self.epoch += 1
        gc.collect()  # the model before is large and may hang in a cycle
        return loaded.info

    def load(self, source: ModelSource, device: str = "auto") -> ModelInfo:
        """Do what `load_steps` does, without the steps."""
        steps = self.load_steps(source, device)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                info: ModelInfo = stop.value
                return info

    def answer(self, request: Request, cancelled: Callable[[], bool] = never) -> Snapshot:
        """Run what is new in the text and answer each query.

        Raises
        ------
        UserError
            If there is no model, or memory runs out; the trace is then forgotten, nothing else.
        engine.errors.Cancelled
            If `cancelled` said so.
        """
        if self.loaded is None:
            raise UserError("Cannot answer", "no model is loaded yet", "Wait, or open a model")
        begun = time.perf_counter()
        with torch.inference_mode():
            return self._answer(self.loaded, request, cancelled, begun)

    def _answer(
        self,
        loaded: Loaded,
        request: Request,
        cancelled: Callable[[], bool],
        begun: float,
    ) -> Snapshot:
        tokens, notice = self._tokens(loaded, request)
        targets = self._targets(loaded, request)
        if not tokens:
            return Snapshot(request, loaded.info, tokens, notice=notice)
        passed, ran, run_ms = self._run(loaded, tokens, targets, cancelled)
        results: dict[Query, Result] = {}
        refused: dict[Query, str] = {}
        for query in request.queries:
            try:
                results[query] = self._probe(passed, query)
            except NotAnswerable as reason:
                refused[query] = str(reason)
        return Snapshot(
            request=request,
            model=loaded.info,
            tokens=tokens,
            target_tokens=targets,
            results=MappingProxyType(results),
            refused=MappingProxyType(refused),
            stats=PassStats(
                passes=ran.passes,
                suffix=ran.suffix,
                reused=ran.reused,
                pass_ms=run_ms,
                total_ms=(time.perf_counter() - begun) * 1e3,
                trace_bytes=passed.trace.nbytes,
                weight_bytes=loaded.weight_bytes,
            ),
            notice=notice,
        )

    def _run(
        self,
        loaded: Loaded,
        tokens: tuple[Token, ...],
        targets: tuple[Token, ...],
        cancelled: Callable[[], bool],
    ) -> tuple[Pass, Ran, float]:
        # Until the pass is through, the trace is neither the old text's nor the new one's.
        trace, self._trace = self._trace, None
        begun = time.perf_counter()
        try:
            trace, ran = loaded.reader.read(
                trace, [t.id for t in tokens], [t.id for t in targets], cancelled
            )
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise self._no_memory(loaded, len(tokens)) from error
        except RuntimeError as error:
            if "can't allocate memory" in str(error) or "not enough memory" in str(error):
                raise self._no_memory(loaded, len(tokens)) from error
            raise
        self._trace = trace
        self.passes += ran.passes
        return Pass(loaded, trace, tokens, targets), ran, (time.perf_counter() - begun) * 1e3

    @staticmethod
    def _no_memory(loaded: Loaded, count: int) -> UserError:
        return UserError(
            f"Cannot run {count} tokens through {loaded.info.title}",
            f"the memory of {loaded.info.device} is full",
            "Shorten the text or open a smaller model",
        )

    @staticmethod
    def _probe(passed: Pass, query: Query) -> Result:
        spec = probe_specs().get(type(query))
        if spec is None:
            raise NotAnswerable(f"nothing answers {type(query).__name__}")
        if spec.needs not in passed.loaded.info.provides:
            raise NotAnswerable(f"{passed.loaded.info.title} provides no {spec.needs}")
        return spec.answer(passed, query)

    def _tokens(self, loaded: Loaded, request: Request) -> tuple[tuple[Token, ...], str]:
        """Tokenize, and cut what is more than the model or the user's limit allows."""
        text = without_surrogates(request.text)
        notice = "" if text == request.text else _SURROGATES
        if not text and loaded.info.kind == "decoder":
            return (), notice  # special tokens alone would be a prediction from nothing typed
        reader = loaded.reader_of_text
        tokens = reader.read_chat(text) if request.chat else reader.read(text)
        own = DEFAULT_LIMIT if loaded.info.device == "cpu" else ACCELERATOR_LIMIT
        wanted = own if request.limit is None else request.limit
        limit = max(1, min(wanted, loaded.info.max_tokens))
        if len(tokens) > limit:
            why = (
                f"{loaded.info.title} reads at most {limit:,}"
                if limit == loaded.info.max_tokens
                else f"the token limit is {limit:,} (Edit ▸ Token limit)"
            )
            cut = len(tokens) - limit
            # An encoder's closing special token stays at the end.
            tail = tokens[-1:] if tokens[-1].special and loaded.info.kind != "decoder" else ()
            tokens = tokens[: limit - len(tail)] + tail
            said = f"The last {cut:,} of {cut + limit:,} tokens are left out: {why}."
            notice = f"{said} {notice}".strip()
        return tokens, notice

    @staticmethod
    def _targets(loaded: Loaded, request: Request) -> tuple[Token, ...]:
        """What the decoder of an encoder-decoder reads: its start token, then the target."""
        if loaded.info.kind != "encoder-decoder":
            return ()
        config = loaded.reader.model.config
        start = config.decoder_start_token_id
        start = config.pad_token_id if start is None else start
        text = without_surrogates(request.text if request.target is None else request.target)
        read = loaded.reader_of_text.read(text)
        # Shifted right: the decoder predicts the closing token, it does not read it.
        body = read[:-1] if read and read[-1].special else read
        limit = request.limit or DEFAULT_LIMIT
        first = loaded.reader_of_text.token(0 if start is None else start, special=True)
        return (first, *body)[: min(limit, loaded.info.max_tokens)]
