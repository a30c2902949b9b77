"""The engine: one model, one trace, and answers to requests. Runs on one thread; knows no Qt.

>>> engine = Engine()
>>> info = engine.load(source)                                            # doctest: +SKIP
>>> engine.answer(Request(1, engine.epoch, "Hello", (AttentionQuery(0),)))  # doctest: +SKIP
"""

from __future__ import annotations

import bisect
import gc
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import torch

from engine import contrast, memory, precision
from engine.beside import MEMO
from engine.comparison import SecondLoaded
from engine.cores import all_but_one, one_core
from engine.errors import Cancelled, NoRoomError, UserError
from engine.models.families.decoder import common_prefix
from engine.models.families.spec import Ran, added
from engine.models.halfway import Halfway, Stage
from engine.models.loader import Loaded, load_steps, load_whole_steps, with_spaces
from engine.models.store import ModelSource
from engine.order import foremost, forget_unasked, is_last, scored, soon
from engine.probes.spec import Answer, NotAnswerable, Pass, on_host, probe_specs, wait_for
from engine.reading import read, read_target
from engine.trace import Trace
from engine.types import (
    ModelInfo,
    PassStats,
    Precision,
    Progress,
    Query,
    Request,
    Result,
    Snapshot,
    Token,
)

SMALL = 64 << 20
"""A pass that takes no more bytes than this is tried, without asking whether they are there."""

FEW_TOKENS = 8
"""Questions about so many new tokens are small: see `one_core`."""

A = TypeVar("A")


def never() -> bool:
    """Nobody asks to stop."""
    return False


class Engine:
    """Answers requests about one loaded model."""

    def __init__(self) -> None:
        self.loaded: Loaded | None = None
        self.second: Loaded | None = None  # the one it is compared with
        self.epoch = 0
        self._trace: Trace | None = None
        self._source: ModelSource | None = None
        self._asked: tuple[Query, ...] = ()  # last
        self._alone = ""  # why there is no second model any more
        self.passes = 0  # forward passes since the start, for tests and the status line

    def load_steps(
        self, source: ModelSource, device: str = "auto", dtype: str = "auto"
    ) -> Generator[Progress, None, ModelInfo]:
        """Load a model and make it the one that answers. The one before answers until then.

        Raises
        ------
        UserError
            If it cannot be loaded, or would not fit into memory. The one before stays; the second
            model is closed before this one is given up for want of memory.
        """
        try:
            loaded = yield from load_whole_steps(source, device, dtype)
        except NoRoomError:
            if self.second is None:
                raise
            title = self.second.info.title
            self.close_second(f"{title} was closed to make room for {source.title}")
            loaded = yield from load_whole_steps(source, device, dtype)
        if loaded.info.dtype != "float32":
            known = precision.remembered(loaded.info)
            loaded = replace(loaded, info=replace(loaded.info, precision=known))
        self.loaded, self._trace, self._source = loaded, None, source
        self.epoch += 1
        gc.collect()  # the model before is large and may hang in a cycle
        return loaded.info

    def load_second_steps(
        self, source: ModelSource, device: str = "", dtype: str = "auto"
    ) -> Generator[Progress, None, SecondLoaded]:
        """Load another model beside the one that answers, to be compared with it.

        The second one before, if any, stays until then. Without a `device` it goes where the model
        that answers is.

        Raises
        ------
        UserError
            If it cannot be loaded, or would not fit into memory beside what is there.
        """
        where = device or (self.loaded.reader.device.type if self.loaded else "auto")
        loaded = yield from load_whole_steps(source, where, dtype)
        self.close_second()
        self.second = loaded
        return SecondLoaded(loaded.info)

    def close_second(self, why: str = "") -> None:
        """Let the second model go, with all it has read; `why` is told to who asks for it."""
        self.second, self._alone = None, why
        if self._trace is not None:
            for memo in (MEMO, contrast.MEMO):
                self._trace.memos.pop(memo, None)
        gc.collect()
        if self.loaded is not None:
            memory.release(self.loaded.reader.device)

    def take_space(self, path: Path) -> ModelInfo | None:
        """Open a space that was just made, in place of the one of the same layer and states.

        What was encoded with the one before is forgotten. Returns what the model provides now;
        None, and nothing changes, for a space of another model.

        Raises
        ------
        UserError
            If the file is damaged.
        """
        from engine.latent.space import load

        loaded = self.loaded
        if loaded is None:
            return None
        space = load(path, loaded.reader.device)
        layer, card = space.card.layer, space.card
        if card.fingerprint != loaded.info.fingerprint:
            return None
        spaces, sentences = loaded.spaces, loaded.sentence_spaces
        if card.states == "tokens":
            spaces = {**spaces, layer: space}
        else:
            sentences = {**sentences, (layer, card.pooling): space}
        info = with_spaces(loaded.info, spaces, sentences)
        self.loaded = replace(loaded, info=info, spaces=spaces, sentence_spaces=sentences)
        if self._trace is not None:
            for memo in (f"latent {layer}", "decode", MEMO):
                self._trace.memos.pop(memo, None)
        return info

    def measure_steps(self) -> Generator[Progress, None, Precision]:
        """Measure how far the model's numbers are from float32; its `info` then says it.

        The weights are read once more, in float32 and into the CPU's memory, and let go.

        Raises
        ------
        UserError
            If there is no model or nothing to compare, or the weights would not fit.
        """
        loaded, source = self.loaded, self._source
        if loaded is None or source is None:
            raise UserError("Cannot measure", "no model is loaded yet", "Wait, or open a model")
        request = Request(0, self.epoch, precision.TEXT, limit=precision.TOKENS)
        tokens = read(loaded, request).tokens
        targets = read_target(loaded, request)
        ids, target_ids = [t.id for t in tokens], [t.id for t in targets]
        try:
            said = f"Comparing {loaded.info.title} with float32"
            exact = yield from precision.under(said, load_steps(source, "cpu", "float32"))
            found = precision.difference(loaded, exact, ids, target_ids)
        except Exception as error:
            if not memory.ran_out(error):
                raise
            raise UserError(
                f"Cannot measure the precision of {loaded.info.title}",
                "its weights in float32 do not fit into memory beside it",
                "Measure it on a machine with more",
            ) from None
        precision.remember(loaded.info, found)
        if self.loaded is loaded:
            self.loaded = replace(loaded, info=replace(loaded.info, precision=found))
        return found

    def load(self, source: ModelSource, device: str = "auto", dtype: str = "auto") -> ModelInfo:
        """Do what `load_steps` does, without the steps."""
        steps = self.load_steps(source, device, dtype)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                info: ModelInfo = stop.value
                return info

    def answer(
        self,
        request: Request,
        cancelled: Callable[[], bool] = never,
        early: Callable[[Snapshot], None] | None = None,
    ) -> Snapshot:
        """Run what is new in the text and answer each query.

        Parameters
        ----------
        request : Request
            What is asked, of which text.
        cancelled : callable
            Asked between two blocks whether to stop.
        early : callable, optional
            Takes a snapshot of the tokens before they are run, and of the quick answers while the
            slow ones are worked out, where a few tokens were run and both are asked for.

        Raises
        ------
        UserError
            If there is no model, or memory would not do or runs out. What stood before the edit is
            kept for the next text then.
        engine.errors.Cancelled
            If `cancelled` said so.
        """
        if self.loaded is None:
            raise UserError("Cannot answer", "no model is loaded yet", "Wait, or open a model")
        begun = time.perf_counter()
        with torch.inference_mode():
            return self._answer(self.loaded, request, cancelled, begun, early)

    def _answer(
        self,
        loaded: Loaded,
        request: Request,
        cancelled: Callable[[], bool],
        begun: float,
        early: Callable[[Snapshot], None] | None,
    ) -> Snapshot:
        reading, targets = read(loaded, request), read_target(loaded, request)
        tokens = reading.tokens
        if not tokens:
            return Snapshot(request, loaded.info, tokens, notice=reading.notice)
        self._make_room(loaded, tokens, targets, request)
        answers: dict[Query, Result] = {}
        refused: dict[Query, str] = {}
        passed = Pass(
            *(loaded, Trace(), tokens, targets, reading.text, request, cancelled),
            second=self.second,
            alone=self._alone,
        )
        ran, run_ms = Ran(0, 0, 0), 0.0

        def snapshot(more: bool = False) -> Snapshot:
            whole = added([ran, *passed.beside])
            stats = PassStats(
                passes=whole.passes,
                suffix=whole.suffix,
                reused=whole.reused,
                pass_ms=run_ms,
                total_ms=(time.perf_counter() - begun) * 1e3,
                trace_bytes=passed.trace.nbytes,
                weight_bytes=sum(one.weight_bytes for one in (loaded, self.second) if one),
            )
            results, reasons = MappingProxyType(dict(answers)), MappingProxyType(dict(refused))
            return Snapshot(
                request, loaded.info, tokens, targets, results, reasons, stats, reading.notice, more
            )

        def answer(queries: tuple[Query, ...], tell: bool) -> None:
            """Answer what has not been answered; with `tell`, others are yet to be."""
            asked = tuple(one for one in queries if one not in answers and one not in refused)
            self._results(passed, asked, answers, refused)
            if asked and tell and early:
                early(snapshot(more=True))

        def meet(queries: tuple[Query, ...], trace: Trace) -> None:
            """Answer, while the pass goes on, what is asked of the blocks that are through."""
            nonlocal passed
            passed = replace(passed, trace=trace)
            forget_unasked(trace, request)
            with one_core():
                answer(queries, tell=True)

        # A whole text is long in coming: then all is drawn at once.
        eager = early is not None and on_host(loaded.reader.device)
        early_ones = soon(loaded, request.queries) if eager else []
        stages = tuple(Stage(blocks, partial(meet, queries)) for blocks, queries in early_ones)
        halfway = Halfway(stages, scored(request.queries)) if stages else None
        if early is not None and not self._has_read(tokens, targets):
            early(snapshot(more=True))  # how the text is cut is known before the pass
        trace, ran, run_ms = self._run(loaded, tokens, targets, cancelled, halfway)
        passed = replace(passed, trace=trace)
        forget_unasked(trace, request)
        few = 0 < ran.suffix <= FEW_TOKENS
        with one_core(few) if ran.suffix else all_but_one():
            first = foremost(request.queries, self._asked if not ran.suffix else None)
            if ran.suffix <= FEW_TOKENS and eager and first != request.queries:
                answer(first, tell=True)
            answer(request.queries, tell=False)
        self._asked = request.queries
        self.passes += sum(one.passes for one in passed.beside)
        return snapshot()

    def _has_read(self, tokens: tuple[Token, ...], targets: tuple[Token, ...]) -> bool:
        """Whether these are the tokens that were run last."""
        trace = self._trace
        read = ([token.id for token in tokens], [token.id for token in targets])
        return trace is not None and (trace.ids, trace.target_ids) == read

    def _run(
        self,
        loaded: Loaded,
        tokens: tuple[Token, ...],
        targets: tuple[Token, ...],
        cancelled: Callable[[], bool],
        halfway: Halfway | None,
    ) -> tuple[Trace, Ran, float]:
        # Until the pass is through, the trace is neither the old text's nor the new one's.
        old, self._trace = self._trace, None
        found: tuple[Trace, Ran] | None = None
        begun = time.perf_counter()
        try:
            found = loaded.reader.read_telling(
                old, [t.id for t in tokens], [t.id for t in targets], cancelled, halfway
            )
        except Cancelled:
            self._trace = _mended(old)
            raise
        except Exception as error:
            if not memory.ran_out(error):
                raise
        if found is None:
            # Out here nothing of the pass hangs on the exception any more.
            self._trace = _mended(old)
            memory.release(loaded.reader.device)
            raise UserError(
                f"Cannot run {len(tokens):,} tokens through {loaded.info.title}",
                f"the memory of {loaded.info.device} is full",
                "Shorten the text or open a smaller model",
            )
        self._trace, ran = found
        self.passes += ran.passes
        took = (time.perf_counter() - begun) * 1e3
        return self._trace, ran, took

    def _make_room(
        self,
        loaded: Loaded,
        tokens: tuple[Token, ...],
        targets: tuple[Token, ...],
        request: Request,
    ) -> None:
        """Refuse what would not fit, before anything is allocated.

        A trace that takes the room of the one to come is forgotten first.
        """
        reader, trace = loaded.reader, self._trace
        ids, target_ids = [t.id for t in tokens], [t.id for t in targets]
        count, kept = max(len(ids), len(target_ids)), 0
        if trace is not None and (reader.builds_on or trace.ids == ids):
            kept = common_prefix(trace.ids, ids) if trace.target_ids == target_ids else 0
        base = trace if kept else None
        new = 0 if kept == len(ids) else count - kept
        need = reader.pass_bytes(base, new, count, request.queries)
        if need <= SMALL:
            return
        there = memory.room(reader.device)
        if need <= there.free:
            return
        free = there.free + (0 if trace is None else trace.nbytes)

        def fits(many: int) -> bool:
            return reader.pass_bytes(None, many, many, request.queries) <= free

        if fits(count):
            self._trace = trace = base = None
            memory.release(reader.device)
            return
        # More tokens never take less, so the most that fit are found by halving.
        most = bisect.bisect_left(range(1, count), True, key=lambda many: not fits(many))
        raise UserError(
            f"Cannot run {count:,} tokens through {loaded.info.title}",
            memory.shortage(need, there),
            memory.ways_out(
                there,
                reader.device,
                reader.itemsize,
                f"shorten the text to about {most:,} tokens" if most else "open a smaller model",
            ),
        )

    def _results(
        self,
        passed: Pass,
        queries: tuple[Query, ...],
        results: dict[Query, Result],
        refused: dict[Query, str],
    ) -> None:
        """Answer queries: all their work is queued, then one wait, then what looks at numbers."""
        answers: dict[Query, Answer] = {}
        for query in sorted(queries, key=is_last):
            try:
                answers[query] = self._probe(passed, query)
            except NotAnswerable as reason:
                refused[query] = str(reason)
        wait_for(passed.loaded.reader.device)
        for query, answer in answers.items():
            try:
                made = answer if isinstance(answer, Result) else _sheltered(passed, answer)
                results[query] = made
            except NotAnswerable as reason:
                refused[query] = str(reason)

    @staticmethod
    def _probe(passed: Pass, query: Query) -> Answer:
        spec = probe_specs().get(type(query))
        if spec is None:
            raise NotAnswerable(f"nothing answers {type(query).__name__}")
        if spec.needs and spec.needs not in passed.loaded.info.provides:
            raise NotAnswerable(f"{passed.loaded.info.title} provides no {spec.needs}")
        return _sheltered(passed, lambda: spec.answer(passed, query))

    def read(self, request: Request) -> tuple[Token, ...]:
        """The tokens that a request's text is read as, cut where an answer would be; runs nothing.

        Raises
        ------
        UserError
            If there is no model.
        """
        if self.loaded is None:
            raise UserError("Cannot read a text", "no model is loaded yet", "Wait, or open a model")
        return read(self.loaded, request).tokens


def _sheltered(passed: Pass, work: Callable[[], A]) -> A:
    """Do a probe's work; where memory runs out, only its query goes without an answer."""
    try:
        return work()
    except Exception as error:
        if not memory.ran_out(error):
            raise
    # What probes keep can be worked out again, and may have been left half done.
    passed.trace.memos.clear()
    memory.release(passed.loaded.reader.device)
    raise NotAnswerable(
        f"The memory of {passed.loaded.info.device} is too full for this: shorten the text"
    )


def _mended(trace: Trace | None) -> Trace | None:
    """What is still true of a trace after a pass that did not come to its end."""
    if trace is None:
        return None
    try:
        trace.memos.clear()  # they can be worked out again
        trace.mend()
    except (MemoryError, RuntimeError):
        return None
    return trace if trace.ids else None
