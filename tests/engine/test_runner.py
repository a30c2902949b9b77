"""The engine's thread: newest wins, jobs give way, closing ends everything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import Cancelled, UserError
from engine.runner import Event, Runner
from engine.types import Failure, JobDone, Progress, Request, Snapshot


class FakeEngine:
    """An engine whose answers wait until they are let go."""

    def __init__(self) -> None:
        self.loaded: object | None = object()
        self.epoch = 1
        self.go = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.answered: list[str] = []

    def answer(self, request: Request, cancelled: Callable[[], bool], _early: object) -> Any:
        self.begun.release()
        while not self.go.acquire(timeout=0.01):
            if cancelled():
                raise Cancelled
        if request.text == "bad":
            raise UserError("Cannot show it", "it is bad", "Write another")
        if request.text == "bug":
            raise RuntimeError("a fault of ours")
        self.answered.append(request.text)
        return Snapshot(request, SimpleNamespace(), ())  # type: ignore[arg-type]


class Inbox:
    """What the runner delivered, with a way to wait for more."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, enough: Callable[[list[Event]], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: enough(self.events), 60), self.events

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def runner(engine: FakeEngine, inbox: Inbox) -> Iterator[Runner]:
    made = Runner(inbox, lambda: engine)  # type: ignore[arg-type,return-value]
    made.start()
    yield made
    made.close()


def test_the_newest_request_replaces_what_waits_but_not_what_runs(
    runner: Runner, engine: FakeEngine, inbox: Inbox
) -> None:
    runner.submit(Request(1, 1, "first"))
    assert engine.begun.acquire(timeout=60)
    for seq in range(2, 12):
        runner.submit(Request(seq, 1, f"text {seq}"))
    engine.go.release(20)
    inbox.wait_for(
        lambda events: any(getattr(e, "request", None) and e.request.seq == 11 for e in events)
    )
    assert engine.answered == ["first", "text 11"]


def test_a_job_gives_way_to_requests(runner: Runner, engine: FakeEngine, inbox: Inbox) -> None:
    steps: list[str] = []
    turn = threading.Semaphore(0)

    def job(_: Any) -> Generator[Progress, None, str]:
        for index in range(3):
            steps.append(f"step {index}, after {len(engine.answered)} answers")
            assert turn.acquire(timeout=60)
            yield Progress("working", index / 3)
        return "result"

    engine.go.release(10)
    runner.start_job("train", job)
    runner.submit(Request(1, 1, "typed"))
    turn.release(1)
    inbox.wait_for(lambda events: any(isinstance(e, Snapshot) for e in events))
    turn.release(2)
    inbox.wait_for(lambda events: any(isinstance(e, JobDone) for e in events))
    assert inbox.of(JobDone) == [JobDone("train", "result")]
    assert [p.job for p in inbox.of(Progress)] == ["train"] * 3
    assert steps[-1] == "step 2, after 1 answers"


def test_cancelling_a_job_closes_its_generator(runner: Runner, inbox: Inbox) -> None:
    closed = threading.Event()

    def job(_: Any) -> Generator[Progress, None, None]:
        try:
            while True:
                yield Progress("for ever")
        finally:
            closed.set()

    runner.start_job("endless", job)
    inbox.wait_for(lambda events: len(events) > 3)
    runner.cancel_job("endless")
    assert closed.wait(60)
    inbox.wait_for(lambda events: any(isinstance(e, JobDone) and e.cancelled for e in events))


def test_an_interrupting_job_ends_the_running_pass(
    runner: Runner, engine: FakeEngine, inbox: Inbox
) -> None:
    runner.submit(Request(1, 1, "long"))
    assert engine.begun.acquire(timeout=60)

    def load(_: Any) -> Generator[Progress, None, str]:
        yield Progress("loading")
        return "new model"

    runner.start_job("open", load, interrupt=True)
    inbox.wait_for(lambda events: any(isinstance(e, JobDone) for e in events))
    assert engine.answered == []


def test_failures_are_sentences_and_the_thread_lives_on(
    runner: Runner, engine: FakeEngine, inbox: Inbox
) -> None:
    engine.go.release(10)
    runner.submit(Request(1, 1, "bad"))
    inbox.wait_for(lambda events: len(events) == 1)
    assert inbox.events[0] == Failure(1, "Cannot show it: it is bad. Write another.", seq=1)
    runner.submit(Request(2, 1, "bug"))
    inbox.wait_for(lambda events: len(events) == 2)
    assert "a fault of ours" in inbox.of(Failure)[1].sentence
    assert "Traceback" not in inbox.of(Failure)[1].sentence
    runner.submit(Request(3, 1, "good"))
    inbox.wait_for(lambda events: any(isinstance(e, Snapshot) for e in events))


def test_a_job_that_fails_is_told_and_ends(runner: Runner, inbox: Inbox) -> None:
    def job(_: Any) -> Generator[Progress, None, None]:
        yield Progress("begun")
        raise UserError("Cannot train", "the corpus is empty", "Choose another")

    runner.start_job("train", job)
    inbox.wait_for(lambda events: len(events) == 2)
    assert inbox.of(Failure) == [
        Failure(1, "Cannot train: the corpus is empty. Choose another.", job="train")
    ]


def test_closing_ends_a_running_pass_and_jobs(engine: FakeEngine, inbox: Inbox) -> None:
    closed = threading.Event()

    def job(_: Any) -> Generator[Progress, None, None]:
        try:
            while True:
                yield Progress("for ever")
        finally:
            closed.set()

    runner = Runner(inbox, lambda: engine)  # type: ignore[arg-type,return-value]
    runner.start()
    runner.start_job("endless", job)
    inbox.wait_for(lambda events: bool(events))
    runner.submit(Request(1, 1, "long"))
    assert engine.begun.acquire(timeout=60)
    runner.close()
    assert closed.is_set()
    assert engine.answered == []


def test_an_engine_that_cannot_be_made_is_told(inbox: Inbox) -> None:
    def broken() -> Any:
        raise ImportError("no torch here")

    runner = Runner(inbox, broken)
    runner.start()
    inbox.wait_for(lambda events: bool(events))
    assert "no torch here" in inbox.of(Failure)[0].sentence
    runner.close()
